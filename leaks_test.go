package leat_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whoever starts goroutines shows that they end: the tests of a package that does so look for leaks
// when all of them have run. What is for tests is looked at by the tests that use it.
func TestGoroutinesAreLookedAfter(t *testing.T) {
	t.Parallel()
	starting, looking := map[string]string{}, map[string]bool{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return skip(".", name)
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(name))
		if strings.HasSuffix(name, "_test.go") {
			looking[folder] = looking[folder] || looksForLeaks(file)
			return nil
		}
		if at := startsGoroutine(file); at.IsValid() && !forTests(folder) {
			starting[folder] = set.Position(at).String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(starting) < 10 {
		t.Fatalf("got %d packages that start goroutines, want all of the module: is this its root?", len(starting))
	}
	for folder, at := range starting {
		if !looking[folder] {
			t.Errorf("%s: starts a goroutine, and the tests of %s do not look for leaks: call goleak.VerifyTestMain in their TestMain", at, folder)
		}
	}
}

func TestGoroutinesAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code            string
		starts, looksAt bool
	}{
		{"go f()", true, false},
		{"go func() {}()", true, false},
		{"var wg sync.WaitGroup; wg.Go(func() {})", true, false},
		{"g.Go(run)", true, false},
		{"context.AfterFunc(ctx, stop)", true, false},
		{"clock.AfterFunc(d, stop)", true, false},
		{"f()", false, false},
		{"goleak.VerifyTestMain(m)", false, true},
		{"goleak.VerifyNone(t)", false, false},
		{"if err := goleak.Find(); err != nil { panic(err) }", false, true},
	}
	for _, tt := range tests {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc x() { "+tt.code+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := startsGoroutine(file).IsValid(); got != tt.starts {
			t.Errorf("%s: starts a goroutine: got %v, want %v", tt.code, got, tt.starts)
		}
		if got := looksForLeaks(file); got != tt.looksAt {
			t.Errorf("%s: looks for leaks: got %v, want %v", tt.code, got, tt.looksAt)
		}
	}
}

// startsGoroutine returns where a file starts one.
func startsGoroutine(file *ast.File) (at token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			at = n.Pos()
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Go", "AfterFunc"}, s.Sel.Name) {
				at = n.Pos()
			}
		}
		return !at.IsValid()
	})
	return at
}

// looksForLeaks tells whether a file of tests does when all have run.
func looksForLeaks(file *ast.File) (looks bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "VerifyTestMain" || s.Sel.Name == "Find") {
			pkg, _ := s.X.(*ast.Ident)
			looks = looks || pkg != nil && pkg.Name == "goleak"
		}
		return !looks
	})
	return looks
}
