// Package docs_test checks the guides: their code compiles, and their commands run.
package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/roomcast/roomcast/internal/config"
)

// notCode are spans in columns of Go code that are none.
var notCode = map[string]bool{"[]byte": true, "0": true, "net/http": true, "io": true}

var (
	spans  = regexp.MustCompile("`([^`]+)`")
	fences = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")
)

// folded is text with all white space as one blank.
func folded(text string) string { return strings.Join(strings.Fields(text), " ") }

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCode: every piece of Go in the guides is in code_test.go or queues_code_test.go. The JavaScript of
// queues.md is run by tests/e2e/queues-recipes.test.mjs.
func TestCode(t *testing.T) {
	code := folded(read(t, "code_test.go") + read(t, "queues_code_test.go"))
	for guide, least := range map[string]int{"from-googollee.md": 40, "from-node.md": 40, "queues.md": 3} {
		text := read(t, guide)
		found := 0
		check := func(piece string) {
			found++
			if !strings.Contains(code, folded(piece)) {
				t.Errorf("%s: this isn't in code_test.go: %s", guide, piece)
			}
		}
		for _, fence := range fences.FindAllStringSubmatch(text, -1) {
			if fence[1] == "go" {
				check(fence[2])
			}
		}
		inGo := false // the second column is Go
		for line := range strings.Lines(text) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if !strings.HasPrefix(line, "| ") || len(cells) != 2 {
				inGo = inGo && strings.HasPrefix(line, "|")
				continue
			}
			if head := strings.TrimSpace(cells[1]); head == "Go" || head == "package `server`" {
				inGo = true
				continue
			}
			if !inGo {
				continue
			}
			for _, span := range spans.FindAllStringSubmatch(cells[1], -1) {
				if !notCode[span[1]] {
					check(span[1])
				}
			}
		}
		if found < least {
			t.Errorf("%s: only %d pieces of code were found", guide, found)
		}
	}
}

// TestSettings: every piece of YAML in the guides is a configuration that the program takes.
func TestSettings(t *testing.T) {
	guides, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, guide := range append(guides, "../README.md") {
		for _, fence := range fences.FindAllStringSubmatch(read(t, guide), -1) {
			if fence[1] != "yaml" {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "roomcast.yaml")
			if err := os.WriteFile(file, []byte(fence[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(config.Source{File: file}); err != nil {
				t.Errorf("%s: %v in\n%s", guide, err, fence[2])
			}
		}
	}
	if found < 2 {
		t.Errorf("only %d pieces were found", found)
	}
}

const program = `package main

import (
	"net/http"

	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
	"github.com/googollee/go-socket.io/parser"
)

func main() {
	server := socketio.NewServer(&engineio.Options{})
	server.OnEvent("/", "size", func(s socketio.Conn, b *parser.Buffer) int { return len(b.Data) })
	http.Handle("/socket.io/", server)
}
`

// TestSteps: the commands of the guide for googollee's users move a program
// from it. "go mod tidy" is left out, which asks the network, and the program is vetted, which
// takes less time than building it.
func TestSteps(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, fence := range fences.FindAllStringSubmatch(read(t, "from-googollee.md"), -1) {
		if fence[1] != "sh" {
			continue
		}
		steps++
		dir := t.TempDir()
		// The versions are those of our go.mod, so that none is asked for.
		mod := regexp.MustCompile(`(?m)^module .*`).ReplaceAllString(read(t, "../go.mod"), "module example.org/program")
		for name, text := range map[string]string{"go.mod": mod, "go.sum": read(t, "../go.sum"), "main.go": program} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("sh", "-e", "-c", strings.NewReplacer("../roomcast", root, "go mod tidy && ", "", "go build", "go vet").Replace(fence[2]))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s%v\n%s", fence[2], err, out)
			continue
		}
		deps := exec.Command("go", "list", "-deps", ".")
		deps.Dir, deps.Env = dir, cmd.Env
		out, err := deps.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "github.com/roomcast/roomcast/compat/googollee") || strings.Contains(string(out), "gorilla") {
			t.Errorf("the program was not moved by:\n%s%v", fence[2], err)
		}
	}
	if steps != 2 {
		t.Errorf("%d lists of commands", steps)
	}
}
