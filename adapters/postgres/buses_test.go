//go:build !race

// Under the race detector the suite runs here on bus sql alone: the other buses run under it in their own
// packages, on SQLite, and each combination with PostgreSQL takes minutes.

package postgres_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

var embeddedKind = bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
	return natsbus.Open(context.Background(), natsbus.Config{Dir: filepath.Join(p.Dir, "nats")}, natsbus.Hooks{}, p.Logger)
}}

func externalKind() bustest.Kind {
	server := natstest.OnePerTest()
	return bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
		return natsbus.Open(context.Background(), natsbus.Config{URL: server(p.T).URL()}, natsbus.Hooks{}, p.Logger)
	}}
}

func onGoChannel() bustest.Env { return several(env(gochannelKind, externalKind())) }
func onEmbedded() bustest.Env  { return env(embeddedKind, sqlKind) }
func onExternal() bustest.Env  { return several(env(externalKind(), sqlKind)) }

func TestBusGoChannel(t *testing.T)    { bustest.Run(t, onGoChannel()) }
func TestPubSubGoChannel(t *testing.T) { bustest.RunPubSub(t, onGoChannel()) }

func TestBusNATSEmbedded(t *testing.T)    { bustest.Run(t, onEmbedded()) }
func TestPubSubNATSEmbedded(t *testing.T) { bustest.RunPubSub(t, onEmbedded()) }

func TestBusNATSExternal(t *testing.T)    { bustest.Run(t, onExternal()) }
func TestPubSubNATSExternal(t *testing.T) { bustest.RunPubSub(t, onExternal()) }
