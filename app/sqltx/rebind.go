package sqltx

import (
	"strconv"
	"strings"
)

// Rebind numbers the placeholders of a query, for stores on PostgreSQL: each ? becomes $1, $2 and so
// on. Quoted strings (also E'…' and $tag$…$tag$), quoted identifiers and comments stay as they are.
// PostgreSQL's operators that contain a question mark cannot be told from placeholders; their
// functions, such as jsonb_exists, do the same.
func Rebind(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var out strings.Builder
	out.Grow(len(query) + 8)
	for n, i := 0, 0; i < len(query); {
		if query[i] == '?' {
			n++
			out.WriteByte('$')
			out.WriteString(strconv.Itoa(n))
			i++
			continue
		}
		end := i + token(query, i)
		out.WriteString(query[i:end])
		i = end
	}
	return out.String()
}

// token returns how long the token is that begins at i, as far as placeholders are concerned.
func token(query string, i int) int {
	rest := query[i:]
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return quoted(rest, false)
	case strings.HasPrefix(rest, "--"):
		return through(rest, 2, "\n")
	case strings.HasPrefix(rest, "/*"):
		return comment(rest)
	case c == '$':
		return dollarQuoted(rest)
	case !inWord(c):
		return 1
	}
	n := 1
	for n < len(rest) && (inWord(rest[n]) || rest[n] == '$') {
		n++
	}
	if (rest[:n] == "e" || rest[:n] == "E") && strings.HasPrefix(rest[n:], "'") {
		return n + quoted(rest[n:], true)
	}
	return n
}

// quoted returns the length of what stands between two equal quotes, with them. A doubled quote
// ends one such piece and begins the next, which comes to the same.
func quoted(rest string, backslashes bool) int {
	for n := 1; n < len(rest); n++ {
		switch {
		case rest[n] == '\\' && backslashes:
			n++
		case rest[n] == rest[0] && backslashes && strings.HasPrefix(rest[n+1:], "'"):
			n++ // the next piece would lose its backslashes
		case rest[n] == rest[0]:
			return n + 1
		}
	}
	return len(rest)
}

// comment returns the length of a comment, in which others may stand.
func comment(rest string) int {
	depth := 1
	for n := 2; n < len(rest); n++ {
		switch {
		case strings.HasPrefix(rest[n:], "/*"):
			depth++
			n++
		case strings.HasPrefix(rest[n:], "*/"):
			depth--
			n++
			if depth == 0 {
				return n + 1
			}
		}
	}
	return len(rest)
}

// dollarQuoted returns the length of $tag$…$tag$, and 1 for a dollar that begins no such string.
func dollarQuoted(rest string) int {
	n := 1
	for n < len(rest) && inWord(rest[n]) {
		n++
	}
	if n == len(rest) || rest[n] != '$' || rest[1] >= '0' && rest[1] <= '9' {
		return 1
	}
	return through(rest, n+1, rest[:n+1])
}

// through returns the length of rest to the end of mark, which is looked for from n on.
func through(rest string, n int, mark string) int {
	if at := strings.Index(rest[n:], mark); at >= 0 {
		return n + at + len(mark)
	}
	return len(rest)
}

func inWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
