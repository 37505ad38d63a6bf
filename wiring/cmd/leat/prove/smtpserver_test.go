//go:build prove

package prove_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// Verbs at which a mail server can misbehave. The content is what follows DATA, up to the dot.
var verbs = []string{"greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "content", "taken", "RSET", "QUIT"}

// mood is what a mail server does once at a verb, in place of its answer. At "taken" it has the mail
// already.
type mood struct {
	verb string
	how  string // "slow", "hang", "drop", or an answer, "451 not now"
	left int    // so many times
}

// moodyServer is a mail server that speaks the protocol itself, so that it can fall silent anywhere.
type moodyServer struct {
	address *net.TCPAddr
	cert    string // a file with the certificate, in PEM
	tls     *tls.Config
	closed  chan struct{}
	open    sync.WaitGroup

	mu    sync.Mutex
	moods []mood
	seen  map[string]int // moods that were shown, by verb
	mails []oracle.Mail
	conns map[net.Conn]bool
}

func startMoodyServer(t *testing.T, dir string) *moodyServer {
	t.Helper()
	m := &moodyServer{cert: dir + "/mail.pem", closed: make(chan struct{}), seen: map[string]int{}, conns: map[net.Conn]bool{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	m.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m.address = l.Addr().(*net.TCPAddr)
	m.open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns[conn] = true
			m.mu.Unlock()
			m.open.Go(func() {
				m.talk(conn)
				_ = conn.Close()
				m.mu.Lock()
				delete(m.conns, conn)
				m.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		close(m.closed)
		_ = l.Close()
		m.mu.Lock()
		for conn := range m.conns {
			_ = conn.Close()
		}
		m.mu.Unlock()
		m.open.Wait()
	})
	return m
}

// settings let the program send its mails here, over TLS and logged in.
func (m *moodyServer) settings() []string {
	return []string{
		"smtp.host=127.0.0.1", fmt.Sprintf("smtp.port=%d", m.address.Port), "smtp.tls=starttls", "smtp.username=leat", "smtp.password=secret",
	}
}

// set lets the server be in these moods, each as often as it says.
func (m *moodyServer) set(moods ...mood) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moods, m.seen = moods, map[string]int{}
}

// shown tells how often it was in a mood at the verb since.
func (m *moodyServer) shown(verb string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[verb]
}

// alone tells whether nobody is connected.
func (m *moodyServer) alone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns) == 0
}

func (m *moodyServer) received() []oracle.Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]oracle.Mail(nil), m.mails...)
}

// mood returns how the server feels at a verb; "" is well.
func (m *moodyServer) mood(verb string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.moods {
		if one := &m.moods[i]; one.verb == verb && one.left > 0 {
			one.left--
			m.seen[verb]++
			return one.how
		}
	}
	return ""
}

// moodySlow is how long a slow answer takes; programs here wait longer.
const moodySlow = 150 * time.Millisecond

// say answers as the server feels; ok is false when the connection is over.
func (m *moodyServer) say(conn net.Conn, verb, answer string) (well, ok bool) {
	well = true
	switch how := m.mood(verb); how {
	case "":
	case "slow":
		time.Sleep(moodySlow)
	case "hang":
		waitForEnd(conn)
		return false, false
	case "drop":
		return false, false
	default:
		well, answer = false, how
	}
	_, err := conn.Write([]byte(answer + "\r\n"))
	return well, err == nil && !strings.HasPrefix(answer, "421")
}

// waitForEnd reads until the other side gives up.
func waitForEnd(conn net.Conn) {
	rest := make([]byte, 1024)
	for {
		if _, err := conn.Read(rest); err != nil {
			return
		}
	}
}

func (m *moodyServer) talk(conn net.Conn) {
	in := bufio.NewReader(conn)
	if _, ok := m.say(conn, "greeting", "220 moody"); !ok {
		return
	}
	to, secure := "", false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
		verb = strings.ToUpper(verb)
		answer := "250 fine"
		switch verb {
		case "EHLO", "HELO":
			verb, answer = "EHLO", "250-moody\r\n250 STARTTLS"
			if secure {
				answer = "250-moody\r\n250 AUTH PLAIN"
			}
		case "STARTTLS":
			answer = "220 go on"
		case "AUTH":
			answer = "235 welcome"
		case "RCPT":
			to = strings.Trim(strings.TrimPrefix(argument, "TO:"), "<>")
		case "DATA":
			answer = "354 go on"
		case "QUIT":
			answer = "221 bye"
		}
		well, ok := m.say(conn, verb, answer)
		switch {
		case !ok || verb == "QUIT":
			return
		case !well:
		case verb == "STARTTLS":
			secured := tls.Server(conn, m.tls)
			if secured.Handshake() != nil {
				return
			}
			conn, in, secure = secured, bufio.NewReader(secured), true
		case verb == "DATA":
			if !m.content(conn, in, to) {
				return
			}
		}
	}
}

// content reads a mail and takes it, unless the server is in the mood not to.
func (m *moodyServer) content(conn net.Conn, in *bufio.Reader, to string) bool {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	switch how := m.mood("content"); how {
	case "":
	case "slow":
		time.Sleep(moodySlow)
	case "hang":
		waitForEnd(conn)
		return false
	case "drop":
		return false
	default: // refused
		_, err := conn.Write([]byte(how + "\r\n"))
		return err == nil && !strings.HasPrefix(how, "421")
	}
	parsed, err := mail.ReadMessage(strings.NewReader(text.String()))
	if err != nil {
		_, err = conn.Write([]byte("554 that is no mail\r\n"))
		return err == nil
	}
	m.mu.Lock()
	m.mails = append(m.mails, oracle.Mail{To: to, MessageID: parsed.Header.Get("Message-Id")})
	m.mu.Unlock()
	_, ok := m.say(conn, "taken", "250 taken")
	return ok
}
