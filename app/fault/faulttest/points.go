// Package faulttest reads the list of crash points from the source.
package faulttest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Point is a call of fault.Point.
type Point struct {
	Name    string // "" when it is no literal
	Package string // the name of the package that calls
	Place   string // file:line, from the root
}

const faultPackage = "github.com/leat-dev/leat/app/fault"

// Points returns every call of fault.Point below root, in the order of the files. Tests, and modules
// inside the module, are left out.
func Points(root string) ([]Point, error) {
	var points []Point
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name == root {
				return nil
			}
			_, inside := os.Stat(filepath.Join(name, "go.mod"))
			if strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules" || inside == nil {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		found, err := inFile(root, name)
		points = append(points, found...)
		return err
	})
	return points, err
}

func inFile(root, name string) ([]Point, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	imported := false
	for _, i := range file.Imports {
		imported = imported || i.Path.Value == strconv.Quote(faultPackage)
	}
	if !imported {
		return nil, nil
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	var points []Point
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !isPoint(call.Fun) {
			return true
		}
		p := Point{
			Package: file.Name.Name,
			Place:   fmt.Sprintf("%s:%d", filepath.ToSlash(rel), files.Position(call.Pos()).Line),
		}
		if len(call.Args) == 1 {
			if literal, ok := call.Args[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				p.Name, _ = strconv.Unquote(literal.Value)
			}
		}
		points = append(points, p)
		return true
	})
	return points, nil
}

func isPoint(fun ast.Expr) bool {
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Point" {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && pkg.Name == "fault"
}
