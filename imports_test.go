package leat_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/leat-dev/leat"

// source is one Go file of the module, without tests: what it is, and what it imports.
type source struct {
	path    string // "handlers/audit/set.go"
	imports []string
}

// Imports point inward. This test reads all files of the module, whatever their build tags;
// modules inside it (tools, examples) have rules of their own.
func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	sources, err := readSources(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("got %d Go files, want all of the module: is this its root?", len(sources))
	}
	for _, v := range violations(sources) {
		t.Error(v)
	}
}

// A checker that finds nothing proves nothing: each rule is broken once here.
func TestImportRulesCatchViolations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file, imported string
		want           string // a part of the violation; "" for what is allowed
	}{
		{"domain/root.go", "time", ""},
		{"domain/builds/build.go", module + "/domain", ""},
		{"domain/root.go", "github.com/google/uuid", "domain imports the standard library only"},
		{"domain/builds/build.go", module + "/app/event", "domain imports domain"},
		{"domain/root.go", module + "/domain/builds", "the framework does not know the reference service"},

		{"app/publish/publisher.go", "github.com/jonboulle/clockwork", ""},
		{"app/publish/publisher.go", module + "/app/event", ""},
		{"app/publish/publisher.go", module + "/handlers/audit", "app imports app, domain"},
		{"app/app.go", module + "/adapters/sqlite", "app imports app, domain"},
		{"app/app.go", module + "/configs", "app imports app, domain"},
		{"app/app.go", module + "/domain/projects", "the framework does not know the reference service"},

		{"handlers/audit/set.go", module + "/app/handler", ""},
		{"handlers/audit/audittest/suite.go", module + "/handlers/audit", ""},
		{"handlers/audit/set.go", module + "/handlers/email", "siblings in handlers do not know one another"},
		{"handlers/audit/set.go", module + "/adapters/sqlite", "handlers imports handlers, app, domain"},
		{"handlers/audit/set.go", module + "/handlers/reference", "the framework does not know the reference service"},

		{"adapters/sqlite/audit.go", module + "/handlers/audit", ""},
		{"adapters/sqlite/audit.go", "modernc.org/sqlite", ""},
		{"adapters/sqlite/log.go", module + "/adapters/sqlbus", "siblings in adapters do not know one another"},
		{"adapters/httpapi/server.go", module + "/configs", "adapters imports adapters, handlers, app, domain"},
		{"adapters/httpapi/server.go", module + "/wiring", "adapters imports adapters, handlers, app, domain"},
		{"adapters/sqlite/log.go", module + "/adapters/reference", "the framework does not know the reference service"},

		{"handlers/reference/rules.go", module + "/handlers/notify", ""},
		{"handlers/reference/rules.go", module + "/domain/builds", ""},
		{"handlers/reference/rules.go", module + "/adapters/httpapi", ""},
		{"adapters/reference/routes.go", module + "/adapters/httpapi", ""},
		{"adapters/reference/routes.go", module + "/handlers/reference", ""},
		{"adapters/reference/service.go", module + "/wiring", ""},
		{"adapters/reference/routes.go", module + "/configs", ""},
		{"domain/builds/build.go", module + "/handlers/reference", "domain imports domain"},

		{"configs/config.go", module + "/adapters/sqlite", ""},
		{"configs/config.go", module + "/wiring", "configs imports adapters, handlers, app, domain"},
		{"configs/config.go", module + "/adapters/reference", "the framework does not know the reference service"},

		{"wiring/sets.go", module + "/configs", ""},
		{"wiring/apptest/apptest.go", module + "/wiring", ""},
		{"wiring/sets.go", module + "/adapters/reference", "the framework does not know the reference service"},
		{"wiring/apptest/apptest.go", module + "/domain/builds", "the framework does not know the reference service"},
		{"wiring/cmd/leat/main.go", module + "/adapters/reference", ""},
		{"wiring/cmd/leat/main.go", module + "/domain/builds", ""},

		{"app/event/message.go", module + "/app/eventlog/eventlogtest", "what is for tests is imported by tests only"},
		{"app/bus/bustest/suite.go", module + "/app/eventlog/eventlogtest", ""},
		{"app/event/message.go", "testing", "what is for tests is imported by tests only"},
		{"app/bus/bustest/suite.go", "testing", ""},

		{"common/common.go", "fmt", "there is no rule for the folder common"},
		{"doc.go", "fmt", ""},
	}
	for _, tt := range tests {
		got := strings.Join(violations([]source{{path: tt.file, imports: []string{tt.imported}}}), "\n")
		switch {
		case tt.want == "" && got != "":
			t.Errorf("%s importing %s: got %q, want no violation", tt.file, tt.imported, got)
		case tt.want != "" && (!strings.Contains(got, tt.want) || !strings.HasPrefix(got, tt.file+": ")):
			t.Errorf("%s importing %s: got %q, want a violation that names the file and says %q", tt.file, tt.imported, got, tt.want)
		}
	}
}

// layers says which top folders a top folder may import, itself included.
var layers = map[string][]string{
	"domain":   {"domain"},
	"app":      {"app", "domain"},
	"handlers": {"handlers", "app", "domain"},
	"adapters": {"adapters", "handlers", "app", "domain"},
	"configs":  {"adapters", "handlers", "app", "domain"},
	"wiring":   {"wiring", "configs", "adapters", "handlers", "app", "domain"},
}

// violations applies the import rule and returns a line for each import that breaks it.
func violations(sources []source) []string {
	var out []string
	for _, s := range sources {
		folder := path.Dir(s.path)
		top, _, _ := strings.Cut(folder, "/")
		allowed, known := layers[top]
		if !known && folder != "." {
			out = append(out, fmt.Sprintf("%s: there is no rule for the folder %s; say in imports_test.go what it may import", s.path, top))
			continue
		}
		for _, imported := range s.imports {
			if rule := broken(folder, top, allowed, imported); rule != "" {
				out = append(out, fmt.Sprintf("%s: imports %s, but %s", s.path, strings.TrimPrefix(imported, module+"/"), rule))
			}
		}
	}
	return out
}

// broken returns the rule that an import breaks, "" when there is none.
func broken(folder, top string, allowed []string, imported string) string {
	if forTests(imported) && !forTests(folder) {
		return "what is for tests is imported by tests only"
	}
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		if host, _, _ := strings.Cut(imported, "/"); top == "domain" && strings.Contains(host, ".") {
			return "domain imports the standard library only"
		}
		return ""
	}
	isReference, toReference := reference(folder), reference(target)
	if toReference && !isReference && !within(folder, "wiring/cmd/leat") {
		return "the framework does not know the reference service; only it itself and wiring/cmd/leat do"
	}
	if isReference && top != "domain" {
		return "" // a service is made of the framework
	}
	targetTop, _, _ := strings.Cut(target, "/")
	if !slices.Contains(allowed, targetTop) {
		return fmt.Sprintf("%s imports %s of this module", top, strings.Join(allowed, ", "))
	}
	if (top == "handlers" || top == "adapters") && targetTop == top && second(folder) != second(target) {
		return fmt.Sprintf("siblings in %s do not know one another", top)
	}
	return ""
}

// reference tells whether a folder belongs to the reference service: its handlers, its adapters,
// and the aggregates, which are all that lies below domain.
func reference(folder string) bool {
	return within(folder, "handlers/reference") || within(folder, "adapters/reference") ||
		strings.HasPrefix(folder, "domain/")
}

// forTests tells whether a package exists for tests: "testing" and what ends in test.
func forTests(folder string) bool {
	return folder == "testing" || strings.HasPrefix(folder, module) && strings.HasSuffix(folder, "test") ||
		!strings.Contains(folder, ".") && strings.HasSuffix(folder, "test")
}

func within(folder, parent string) bool {
	return folder == parent || strings.HasPrefix(folder, parent+"/")
}

func second(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// readSources parses the imports of every Go file below root that is no test.
func readSources(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(rel)}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			s.imports = append(s.imports, imported)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// skip leaves out what is no part of the module.
func skip(root, folder string) error {
	if folder == root {
		return nil
	}
	base := filepath.Base(folder)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}
