package socketio_test

import (
	"encoding/json"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	theirs = "github.com/googollee/go-socket.io"
	ours   = "github.com/roomcast/roomcast/compat/googollee"
)

// left are names of googollee's that are left out: the Go client, the server of
// Engine.IO by itself, and what only those two use.
var left = map[string]string{
	"engineio":                     "Dialer NewServer Opener Pauser Server",
	"engineio/session":             "Manager New NewManager Pauser Session",
	"engineio/transport":           "ConnParameters ErrInvalidFrame Manager NewManager ReadConnParameters",
	"engineio/transport/websocket": "DialError",
	"parser":                       "Decoder Encoder FrameReader FrameWriter NewDecoder NewEncoder",
}

// packages are the parts of googollee whose names are checked.
var packages = []string{"", "engineio", "engineio/session", "engineio/transport", "engineio/transport/polling",
	"engineio/transport/websocket", "parser"}

// TestAPI: every exported name of googollee v1.7.0 exists here, with a type to
// which the same values can be assigned; under our import path, and in the module for
// a replace line.
func TestAPI(t *testing.T) {
	original := load(t, theirs)
	for name, moved := range map[string]map[string]*types.Package{
		"import":  load(t, ours),
		"replace": load(t, theirs, "-mod=mod", "-modfile="+replaced(t)),
	} {
		t.Run(name, func(t *testing.T) {
			names := 0
			for _, part := range packages {
				from, to := original[part].Scope(), moved[part].Scope()
				for _, name := range from.Names() {
					if !token.IsExported(name) || strings.Contains(" "+left[part]+" ", " "+name+" ") {
						continue
					}
					names++
					at := filepath.Join(part, name)
					if other := to.Lookup(name); other == nil {
						t.Errorf("%s is missing", at)
					} else {
						compare(t, at, from.Lookup(name), other)
					}
				}
			}
			if names < 36 {
				t.Errorf("only %d names were compared", names)
			}
		})
	}
}

// replaced returns the name of a go.mod that is ours but for a replace line.
func replaced(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "go.mod")
	for from, to := range map[string]string{"../../go.mod": name, "../../go.sum": filepath.Join(filepath.Dir(name), "go.sum")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	module, err := filepath.Abs("replace")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "mod", "edit", "-replace", theirs+"="+module, name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return name
}

// load returns the packages below a path from the compiler's export data.
func load(t *testing.T, path string, flags ...string) map[string]*types.Package {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, flags...)
	for _, part := range packages {
		args = append(args, strings.TrimSuffix(path+"/"+part, "/"))
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	found := map[string]*types.Package{}
	for _, part := range packages {
		if found[part], err = imp.Import(strings.TrimSuffix(path+"/"+part, "/")); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// text writes a type with both import paths as one, and a function's without
// the names of its parameters.
func text(t types.Type) string {
	t = types.Unalias(t)
	if f, ok := t.(*types.Signature); ok {
		t = types.NewSignatureType(nil, nil, nil, nameless(f.Params()), nameless(f.Results()), f.Variadic())
	}
	return types.TypeString(t, func(p *types.Package) string {
		return strings.Replace(p.Path(), ours, theirs, 1)
	})
}

func nameless(list *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range list.Variables() {
		vars = append(vars, types.NewVar(token.NoPos, nil, "", v.Type()))
	}
	return types.NewTuple(vars...)
}

func compare(t *testing.T, at string, a, b types.Object) {
	t.Helper()
	if kind := fmt.Sprintf("%T", a); kind != fmt.Sprintf("%T", b) {
		t.Errorf("%s is a %s and became a %T", at, kind, b)
		return
	}
	name, isType := a.(*types.TypeName)
	if !isType {
		if text(a.Type()) != text(b.Type()) {
			t.Errorf("%s: %s became %s", at, text(a.Type()), text(b.Type()))
		}
		if c, ok := a.(*types.Const); ok && c.Val().String() != b.(*types.Const).Val().String() {
			t.Errorf("%s: %v became %v", at, c.Val(), b.(*types.Const).Val())
		}
		return
	}
	from, to := types.Unalias(name.Type()), types.Unalias(b.Type())
	if text(from) != text(to) {
		t.Errorf("%s: %s became %s", at, text(from), text(to))
	}
	if record, ok := from.Underlying().(*types.Struct); ok {
		fields(t, at, record, to.Underlying().(*types.Struct))
	} else if text(from.Underlying()) != text(to.Underlying()) {
		t.Errorf("%s: %s became %s", at, text(from.Underlying()), text(to.Underlying()))
	}
	methods(t, at, from, to)
}

// fields compares exported fields.
func fields(t *testing.T, at string, from, to *types.Struct) {
	t.Helper()
	has := map[string]string{}
	for f := range to.Fields() {
		has[f.Name()] = text(f.Type())
	}
	for f := range from.Fields() {
		if f.Exported() && has[f.Name()] != text(f.Type()) {
			t.Errorf("%s.%s: %s became %q", at, f.Name(), text(f.Type()), has[f.Name()])
		}
	}
}

// methods compares the exported methods of a type and of pointers to it.
func methods(t *testing.T, at string, from, to types.Type) {
	t.Helper()
	for _, wrap := range []func(types.Type) types.Type{
		func(t types.Type) types.Type { return t },
		func(t types.Type) types.Type { return types.NewPointer(t) },
	} {
		has := map[string]string{}
		for m := range types.NewMethodSet(wrap(to)).Methods() {
			has[m.Obj().Name()] = text(m.Type())
		}
		for m := range types.NewMethodSet(wrap(from)).Methods() {
			if name := m.Obj().Name(); token.IsExported(name) && has[name] != text(m.Type()) {
				t.Errorf("%s.%s: %s became %q", at, name, text(m.Type()), has[name])
			}
		}
	}
}

// TestNotLinked: googollee itself is in no program, and in no package that one may import.
func TestNotLinked(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./...")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(path, theirs) || strings.HasPrefix(path, "github.com/gorilla/websocket") || strings.HasPrefix(path, "github.com/gomodule") {
			t.Errorf("%s is linked", path)
		}
	}
}
