// Package plainjson reads JSON texts in which there is nothing to mend and nothing to complain of, in one
// pass. It knows no errors: of any other text it says that it is not plain, and who asked turns to a slower
// reader that tells what is wrong, if anything is. So what it reads must mean to encoding/json what it means
// here; the other way round it may be as strict as it likes.
//
// Strings share the memory of the text.
package plainjson

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects of a plain text may nest.
const MaxDepth = 64

// Reader goes through a text, value by value. Each of its methods reports false when what comes is not
// plain; the reader can do nothing more then.
type Reader struct {
	text   string
	at     int
	depth  int
	spaced bool
}

// NewReader returns a reader that stands before the text's one value.
func NewReader(text string) *Reader { return &Reader{text: text} }

// End tells whether nothing follows but white space.
func (r *Reader) End() bool {
	r.space()
	return r.at == len(r.text)
}

// Spaced tells whether there was white space around or between what has been read; after End, in all of the text.
func (r *Reader) Spaced() bool { return r.spaced }

// Object reads an object. field is called with each key, as often as it is there, must read the value, and
// says whether that went well.
func (r *Reader) Object(field func(key string) bool) bool {
	if !r.open('{') {
		return false
	}
	if r.close('}') {
		return true
	}
	for {
		key, ok := r.String()
		if !ok || !r.take(':') || !field(key) {
			return false
		}
		if r.close('}') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}

func (r *Reader) array(element func() bool) bool {
	if !r.open('[') {
		return false
	}
	if r.close(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if r.close(']') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}

// Value reads any value as encoding/json would into an any, numbers as json.Number. An object that has a
// key twice is not plain.
func (r *Reader) Value() (any, bool) {
	switch r.next() {
	case '{':
		object := map[string]any{}
		ok := r.Object(func(key string) bool {
			if _, twice := object[key]; twice {
				return false
			}
			value, ok := r.Value()
			object[key] = value
			return ok
		})
		return object, ok
	case '[':
		array := []any{}
		ok := r.array(func() bool {
			value, ok := r.Value()
			array = append(array, value)
			return ok
		})
		return array, ok
	case '"':
		s, ok := r.String()
		return s, ok
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	default:
		s, ok := r.number()
		return json.Number(s), ok
	}
}

// Skip reads past any value and tells where in the text it stood. What keys its objects have is not looked at.
func (r *Reader) Skip() (from, to int, ok bool) {
	next := r.next()
	from = r.at
	switch next {
	case '{':
		ok = r.Object(func(string) bool { return r.skip() })
	case '[':
		ok = r.array(r.skip)
	case '"':
		_, ok = r.String()
	case 't':
		ok = r.word("true")
	case 'f':
		ok = r.word("false")
	case 'n':
		ok = r.word("null")
	default:
		_, ok = r.number()
	}
	return from, r.at, ok
}

func (r *Reader) skip() bool {
	_, _, ok := r.Skip()
	return ok
}

// String reads a string.
func (r *Reader) String() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	start, ascii, escaped := r.at, true, false
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			s := r.text[start:r.at]
			r.at++
			if !ascii && !utf8.ValidString(s) {
				return "", false
			}
			if escaped {
				return unescape(r.text[start-1 : r.at])
			}
			return s, true
		case c == '\\':
			escaped = true
			r.at++ // what is escaped does not end the string
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false
}

func unescape(quoted string) (s string, ok bool) {
	err := json.Unmarshal([]byte(quoted), &s)
	return s, err == nil
}

// number reads a number as it is written.
func (r *Reader) number() (string, bool) {
	start := r.at
	if r.at < len(r.text) && r.text[r.at] == '-' {
		r.at++
	}
	if whole := r.digits(); whole == 0 || whole > 1 && r.text[r.at-whole] == '0' {
		return "", false
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		r.at++
		if r.digits() == 0 {
			return "", false
		}
	}
	if r.at < len(r.text) && (r.text[r.at] == 'e' || r.text[r.at] == 'E') {
		r.at++
		if r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
			r.at++
		}
		if r.digits() == 0 {
			return "", false
		}
	}
	return r.text[start:r.at], true
}

// digits reads past digits and tells how many there were.
func (r *Reader) digits() int {
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at - start
}

func (r *Reader) word(w string) bool {
	if !strings.HasPrefix(r.text[r.at:], w) {
		return false
	}
	r.at += len(w)
	return true
}

// open reads the beginning of an array or object.
func (r *Reader) open(bracket byte) bool {
	r.depth++
	return r.depth <= MaxDepth && r.take(bracket)
}

// close reads the end of an array or object, if it is that.
func (r *Reader) close(bracket byte) bool {
	if r.next() != bracket {
		return false
	}
	r.at++
	r.depth--
	return true
}

// take reads one byte, and white space before it.
func (r *Reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

// next is the byte that comes after white space, 0 at the end of the text.
func (r *Reader) next() byte {
	r.space()
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *Reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
			r.spaced = true
		default:
			return
		}
	}
}
