package config

import (
	"reflect"
	"strings"
)

// Setting is one leaf of [Config].
type Setting struct {
	Path string // such as "shutdown.window"
	Help string
	Type reflect.Type
	Off  bool // the word off is a value
}

// Flag is the setting's name on the command line, without the dashes.
func (s Setting) Flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(s.Path) }

// Env is its name in the environment.
func (s Setting) Env() string { return EnvName(s.Path) }

const envPrefix = "ROOMCAST_"

// EnvName returns the environment's name of a path or flag.
func EnvName(path string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(path))
}

// Settings lists all settings in the order of [Config].
func Settings() []Setting {
	var list []Setting
	settings(reflect.TypeFor[Config](), "", &list)
	return list
}

func settings(t reflect.Type, prefix string, list *[]Setting) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + f.Tag.Get("koanf")
		if isSection(f.Type) {
			settings(f.Type, path+".", list)
			continue
		}
		*list = append(*list, Setting{path, f.Tag.Get("help"), f.Type, f.Tag.Get("off") != ""})
	}
}

// isSection reports whether a type of setting has settings in it.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Access]()
}

// byName returns the fields of a struct type by their keys.
func byName(t reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		fields[f.Tag.Get("koanf")] = f
	}
	return fields
}
