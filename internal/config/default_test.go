package config

import (
	"bytes"
	"flag"
	"os"
	"reflect"
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
		if len(c.Namespaces) == 0 {
			c.Namespaces = nil
		}
		return c
	}
	if !reflect.DeepEqual(clean(c), clean(none)) {
		t.Errorf("the file says\n%+v\nthe defaults are\n%+v", c, none)
	}
}
