package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

const modeDev = "dev"

// The headers that say who calls and what a request belongs to.
const (
	headerTenant      = "Leat-Tenant"
	headerActor       = "Leat-Actor"
	headerCorrelation = "X-Correlation-Id"
)

// authenticator knows who calls.
type authenticator interface {
	// admit refuses what must not even reach the page: a domain.Forbidden error says why.
	admit(r *http.Request) error
	// origin tells on whose behalf a request for the API is made.
	origin(r *http.Request) (event.Origin, error)
}

// devAuth asks for no credential. A browser on the same machine is then the one danger: any page
// that it shows could call. So the request must be addressed to this machine by name (a name that
// somebody else's DNS points here is refused), and what changes something, or opens the live feed,
// must not come from another site's page.
type devAuth struct{ crossOrigin *http.CrossOriginProtection }

var _ authenticator = devAuth{}

func newDevAuth() devAuth { return devAuth{crossOrigin: http.NewCrossOriginProtection()} }

func (d devAuth) admit(r *http.Request) error {
	if !isLoopback(r.Host) {
		return domain.Errorf(domain.Forbidden, "HOST_NOT_ALLOWED",
			"the request is addressed to host %q; while auth.mode is dev only localhost and loopback addresses are answered", r.Host)
	}
	if err := d.crossOrigin.Check(r); err != nil || foreignUpgrade(r) {
		return domain.Errorf(domain.Forbidden, "ORIGIN_NOT_ALLOWED",
			"the request comes from a page of another site (origin %q)", r.Header.Get("Origin"))
	}
	return nil
}

// foreignUpgrade tells whether a page of another site opens a WebSocket: a GET, and no browser
// keeps such a page from reading what comes.
func foreignUpgrade(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || r.Header.Get("Upgrade") == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

func (d devAuth) origin(r *http.Request) (event.Origin, error) {
	o := event.Origin{Tenant: "dev", Actor: "dev"}
	if tenant := r.Header.Get(headerTenant); tenant != "" {
		if err := event.CheckTenant(tenant); err != nil {
			return event.Origin{}, err
		}
		o.Tenant = tenant
	}
	if actor := r.Header.Get(headerActor); actor != "" {
		if err := checkHeader(headerActor, actor, event.MaxActor); err != nil {
			return event.Origin{}, err
		}
		o.Actor = actor
	}
	return o, nil
}

// checkHeader refuses what could not be stored or shown: too many bytes, broken UTF-8, characters
// that do not print.
func checkHeader(name, value string, limit int) error {
	e := &domain.Error{Kind: domain.Invalid, Code: "INVALID_HEADER", Field: name}
	switch {
	case len(value) > limit:
		e.Message = fmt.Sprintf("is %d bytes long; the limit is %d", len(value), limit)
	case !utf8.ValidString(value) || strings.IndexFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		e.Message = "must hold printable characters only"
	default:
		return nil
	}
	return e
}

func isLoopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
