package smtpmail_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/handlers/email"
)

// plain is a server for one connection that answers each command from a table, and 250 to all others. It tells
// what it was told, and how often it had to wait for more.
type plain struct {
	addr *net.TCPAddr

	mu    sync.Mutex
	heard []string
	ways  int
}

func servePlain(t *testing.T, answers map[string]string) *plain {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &plain{addr: l.Addr().(*net.TCPAddr)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		p.talk(conn, answers)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return p
}

func (p *plain) talk(conn net.Conn, answers map[string]string) {
	r := bufio.NewReader(conn)
	say := func(text string) { _, _ = fmt.Fprint(conn, text+"\r\n") }
	say("220 here")
	for inData := false; ; {
		waits := r.Buffered() == 0
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if inData && line != "." {
			continue
		}
		p.mu.Lock()
		p.heard = append(p.heard, line)
		if waits {
			p.ways++
		}
		p.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		answer := answers[verb]
		switch {
		case answer != "":
		case verb == "DATA":
			answer = "354 go on"
		default:
			answer = "250 well"
		}
		inData = verb == "DATA" && strings.HasPrefix(answer, "354")
		say(answer)
		if strings.HasPrefix(answer, "421") || verb == "QUIT" {
			return
		}
	}
}

func (p *plain) mailer(t *testing.T) *smtpmail.Mailer {
	t.Helper()
	m, err := smtpmail.New(smtpmail.Config{Host: "127.0.0.1", Port: p.addr.Port}, clockwork.NewRealClock())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// said returns what was heard between the greeting and the end, and how often the server had to wait.
func (p *plain) said() (string, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.heard[1:], "\n"), p.ways
}

const mailOf = "MAIL FROM:<leat@localhost>\nRCPT TO:<grace@example.com>\nDATA\n."

func TestAServerThatTakesOneCommandAtATime(t *testing.T) {
	t.Parallel()
	p := servePlain(t, nil)
	msg := message()
	msg.From, msg.To.Address = "", "grace@example.com"
	require.NoError(t, p.mailer(t).Send(t.Context(), msg))
	said, ways := p.said()
	require.Equal(t, mailOf, said)
	require.GreaterOrEqual(t, ways, 4)
}

// TestOneWayForThreeCommands shows what happens to the three commands that go together, whichever is refused.
func TestOneWayForThreeCommands(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		answers   map[string]string
		want      string // of the error; "": sent
		permanent bool
		said      string
	}{
		{"taken", nil, "", false, mailOf},
		{"sender refused", map[string]string{"MAIL": "550 no", "RCPT": "503 no mail", "DATA": "503 no mail"}, "MAIL: 550", true, strings.TrimSuffix(mailOf, ".") + "RSET"},
		{"recipient refused", map[string]string{"RCPT": "451 later", "DATA": "554 nobody"}, "RCPT: 451", false, strings.TrimSuffix(mailOf, ".") + "RSET"},
		{"recipient refused, and content asked for", map[string]string{"RCPT": "550 no", ".": "554 nobody"}, "RCPT: 550", true, mailOf + "\nRSET"},
		{"content refused", map[string]string{"DATA": "452 full"}, "DATA: 452", false, strings.TrimSuffix(mailOf, ".") + "RSET"},
		{"mail refused at its end", map[string]string{".": "550 spam"}, "DATA: 550", true, mailOf},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			answers := map[string]string{"EHLO": "250-here\r\n250-PIPELINING\r\n250 SIZE"}
			for verb, answer := range test.answers {
				answers[verb] = answer
			}
			p := servePlain(t, answers)
			msg := message()
			msg.From, msg.To.Address = "", "grace@example.com"
			m := p.mailer(t)
			err := m.Send(t.Context(), msg)
			said, ways := p.said()
			require.Equal(t, test.said, said)
			require.LessOrEqual(t, ways, 4)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.permanent, email.IsPermanent(err))
		})
	}
}
