package natsbus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/domain"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := natstest.NewAuthority(t), natstest.NewAuthority(t)
	cert, key := ca.Issue("server")
	server := natstest.StartServer(t, natstest.Options{TLSCert: cert, TLSKey: key, TLSCA: ca.Path})
	mine, mineKey := ca.Issue("client")
	b, _ := open(t, natsbus.Config{URL: server.URL(), TLS: natsbus.TLS{CA: ca.Path, Cert: mine, Key: mineKey}})
	require.NoError(t, b.Check(t.Context()))
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(10, keys(1))))

	// A server that we do not know, or whose name is another, is refused at once.
	for _, wrong := range []natsbus.TLS{
		{CA: other.Path, Cert: mine, Key: mineKey},
		{CA: ca.Path, Cert: mine, Key: mineKey, ServerName: "elsewhere"},
	} {
		err := refused(t, natsbus.Config{URL: server.URL(), TLS: wrong, StartWait: time.Hour})
		require.Equal(t, domain.Invalid, domain.KindOf(err))
		require.ErrorContains(t, err, "x509")
	}
	faults := natsbus.Config{URL: server.URL(), TLS: natsbus.TLS{Cert: mine}}.Validate()
	require.Len(t, faults, 1)
	require.EqualError(t, faults[0], "nats.tls.cert: belongs together with nats.tls.key")
}
