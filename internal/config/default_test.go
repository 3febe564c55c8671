package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestWriteDefault(t *testing.T) {
	var b bytes.Buffer
	if err := WriteDefault(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/default.yaml"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("differs from %s (go test ./internal/config -update writes it anew):\n%s", golden, b.Bytes())
	}
}

func TestDefaultFileIsTheDefault(t *testing.T) {
	c, err := Load(Source{File: "testdata/default.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	none, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	// An empty list and none mean the same.
	clean := func(c *Config) *Config {
		for _, list := range []*[]string{&c.Origins, &c.TrustedProxies} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if len(c.Auth.Keys) == 0 {
			c.Auth.Keys = nil
		}
		if len(c.Inboxes.Rules) == 0 {
			c.Inboxes.Rules = nil
		}
		if len(c.Namespaces) == 0 {
			c.Namespaces = nil
		}
		if len(c.Queues) == 0 {
			c.Queues = nil
		}
		if len(c.Inboxes.Send) == 0 {
			c.Inboxes.Send = nil
		}
		if len(c.Inboxes.Topics.Patterns) == 0 {
			c.Inboxes.Topics.Patterns = nil
		}
		return c
	}
	if !reflect.DeepEqual(clean(c), clean(none)) {
		t.Errorf("the file says\n%+v\nthe defaults are\n%+v", c, none)
	}
}

// table returns the settings as rows of a Markdown table.
func table(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| setting | default | |\n|---|---|---|\n")
	defaults := reflect.ValueOf(Default())
	for _, s := range Settings() {
		v := defaults
		for name := range strings.SplitSeq(s.Path, ".") {
			v = v.FieldByIndex(byName(v.Type())[name].Index)
		}
		value, err := scalar(v.Interface())
		if err != nil {
			t.Fatal(err)
		}
		help := s.Help
		if s.Off {
			help += " May be off."
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.Path, value, help)
		if s.Type.Kind() != reflect.Slice || s.Type.Elem().Kind() != reflect.Struct {
			continue
		}
		for i := range s.Type.Elem().NumField() {
			item := s.Type.Elem().Field(i).Tag
			fmt.Fprintf(&b, "| `%s[].%s` | | %s |\n", s.Path, item.Get("koanf"), item.Get("help"))
		}
	}
	return b.String()
}

func TestDocumentedSettings(t *testing.T) {
	const (
		name  = "../../docs/configuration.md"
		begin = "<!-- settings: go test ./internal/config -update -->\n"
		end   = "<!-- end -->\n"
	)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the settings", name)
	}
	want := table(t)
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		old = want
	}
	if old != want {
		t.Errorf("%s is out of date: go test ./internal/config -update", name)
	}
}
