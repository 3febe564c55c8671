package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

const preamble = `# Settings of roomcast, each with its default. What you don't change may be removed.
#
# Every setting has three names: "window" under "shutdown" in this file is
# ROOMCAST_SHUTDOWN_WINDOW in the environment and --shutdown-window on the command
# line. Flags win over the environment, the environment over this file.
# "roomcast config check FILE" says what is wrong, or unsafe, in a file.
`

// WriteDefault writes a YAML file of all settings with their defaults and a
// comment for each.
func WriteDefault(w io.Writer) error {
	var b strings.Builder
	b.WriteString(preamble)
	if err := writeSection(&b, reflect.ValueOf(Default()), ""); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeSection(b *strings.Builder, v reflect.Value, indent string) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("koanf")
		if i > 0 || indent == "" {
			b.WriteString("\n")
		}
		help := f.Tag.Get("help")
		if f.Tag.Get("off") != "" {
			help += " May be off."
		}
		comment(b, indent, strings.TrimSpace(help))
		if isSection(f.Type) {
			fmt.Fprintf(b, "%s%s:\n", indent, key)
			if err := writeSection(b, v.Field(i), indent+"  "); err != nil {
				return err
			}
			continue
		}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			comment(b, indent, "Each item has:")
			for j := range f.Type.Elem().NumField() {
				item := f.Type.Elem().Field(j)
				comment(b, indent, "  "+item.Tag.Get("koanf")+": "+item.Tag.Get("help"))
			}
		}
		value, err := scalar(v.Field(i).Interface())
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, key, value)
	}
	return nil
}

// scalar returns v as YAML on one line.
func scalar(v any) (string, error) {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "", err
	}
	n.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(out)), err
}

// comment writes text as comment lines of at most 90 columns. Leading spaces
// hang the lines that follow.
func comment(b *strings.Builder, indent, text string) {
	if text == "" {
		return
	}
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := indent + "# " + lead
	start := len(line)
	for word := range strings.FieldsSeq(text) {
		if len(line) > start && len(line)+1+len(word) > 90 {
			b.WriteString(line + "\n")
			line = indent + "# " + lead
			if lead != "" {
				line += "  "
			}
			start = len(line)
		}
		if len(line) > start {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
