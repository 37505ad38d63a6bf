package configs

import (
	"reflect"
	"slices"
	"strings"
)

// key is one thing that can be set. index leads to its field from a Config; it is nil for the keys
// under handlers, which hold a set's name.
type key struct {
	path  string
	typ   reflect.Type
	index []int
}

// secret tells whether a key's value must not be shown.
func secret(path string) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	for _, word := range []string{"password", "token", "secret"} {
		if last == word || strings.HasSuffix(last, "_"+word) {
			return true
		}
	}
	return false
}

// keys lists what the fields of Config and of the structs in it say, in the order of the fields.
// Maps by name (handlers) are left out.
func keys() []key {
	return slices.DeleteFunc(fields(reflect.TypeFor[Config](), "", nil), func(k key) bool {
		return slices.Contains(saidElsewhere, k.path)
	})
}

// saidElsewhere are fields of components that other keys fill in: smtp.from and drain.timeout.
var saidElsewhere = []string{"email.from", "email.drain"}

func fields(t reflect.Type, prefix string, index []int) []key {
	var out []key
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		at := append(slices.Clone(index), i)
		switch {
		case option == "squash":
			out = append(out, fields(f.Type, prefix, at)...)
		case name == "" || name == "-" || f.Type.Kind() == reflect.Map:
		case f.Type.Kind() == reflect.Struct:
			out = append(out, fields(f.Type, prefix+name+".", at)...)
		default:
			out = append(out, key{path: prefix + name, typ: f.Type, index: at})
		}
	}
	return out
}

const handlersPrefix = "handlers."

// policyKeys lists the keys of one handler set.
func policyKeys(set string) []key {
	list := fields(reflect.TypeOf(Config{}.Handlers).Elem(), handlersPrefix+set+".", nil)
	for i := range list {
		list[i].index = nil
	}
	return list
}

// Keys returns the name of everything that can be set, sorted; {set} stands for the name of a
// handler set.
func Keys() []string {
	var out []string
	for _, k := range append(keys(), policyKeys("{set}")...) {
		out = append(out, k.path)
	}
	slices.Sort(out)
	return out
}

// lookup finds a key by its path. near is the known key that a path which is not one comes closest
// to, "" when none is close; section tells that the path is the beginning of keys.
func lookup(path string) (found key, ok bool, near string, section bool) {
	candidates := keys()
	if rest, under := strings.CutPrefix(path, handlersPrefix); under {
		set, _, _ := strings.Cut(rest, ".")
		if !validName(set) {
			return key{}, false, "", false
		}
		candidates = append(candidates, policyKeys(set)...)
	}
	best := len(path)/4 + 1
	for _, k := range candidates {
		if k.path == path {
			return k, true, "", false
		}
		if strings.HasPrefix(k.path, path+".") {
			section = true
		}
		if d := distance(strings.ReplaceAll(k.path, ".", "_"), strings.ReplaceAll(path, ".", "_")); d < best {
			best, near = d, k.path
		}
	}
	return key{}, false, near, section || path == strings.TrimSuffix(handlersPrefix, ".")
}

// distance is the number of letters to put in, take out, change or swap with a neighbour to make
// one text of the other.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// validName tells whether a handler set can have the name.
func validName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
