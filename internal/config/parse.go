package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// strictYAML is a parser for koanf that knows the type of every setting: it
// refuses what isn't one and names the line.
type strictYAML struct{ file string }

// Unmarshal returns the file's settings with their final types, nested by key.
func (p strictYAML) Unmarshal(b []byte) (map[string]any, error) {
	doc, err := document(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.file, err)
	}
	if doc == nil {
		return nil, nil
	}
	values, errs := section(doc, reflect.TypeFor[Config](), "")
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %w", p.file, err)
	}
	return values, errors.Join(errs...)
}

// Marshal makes strictYAML a koanf.Parser; nothing here writes files.
func (strictYAML) Marshal(map[string]any) ([]byte, error) { return nil, errors.ErrUnsupported }

// document parses b as one YAML document. It is nil if b has no content.
func document(b []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("has more than one YAML document; one is read")
	}
	if n := doc.Content[0]; n.Kind != yaml.ScalarNode || n.Tag != "!!null" {
		return n, nil
	}
	return nil, nil
}

// section reads the settings of the struct type t from a mapping.
func section(n *yaml.Node, t reflect.Type, path string) (map[string]any, []error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil, []error{fmt.Errorf("line %d: %sexpected settings, one on a line", n.Line, label(path))}
	}
	fields := byName(t)
	values := make(map[string]any)
	var errs []error
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f, ok := fields[key.Value]
		if !ok {
			errs = append(errs, fmt.Errorf("line %d: unknown key %s%s%s", key.Line, path, key.Value,
				suggest(key.Value, maps.Keys(fields))))
			continue
		}
		if _, twice := values[key.Value]; twice {
			errs = append(errs, fmt.Errorf("line %d: %s%s is set twice", key.Line, path, key.Value))
			continue
		}
		if isSection(f.Type) {
			sub, subErrs := section(value, f.Type, path+key.Value+".")
			values[key.Value] = sub
			errs = append(errs, subErrs...)
			continue
		}
		v, leafErrs := leaf(value, f.Type, path+key.Value)
		values[key.Value] = v
		errs = append(errs, leafErrs...)
	}
	return values, errs
}

// leaf reads one setting.
func leaf(n *yaml.Node, t reflect.Type, path string) (any, []error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, []error{fmt.Errorf("line %d: %s has no value; remove it to use the default", n.Line, path)}
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		return list(n, t, path)
	}
	v := reflect.New(t)
	if err := decode(n, v.Interface()); err != nil {
		// The decoder's own words already name the line, ours of UnmarshalText don't.
		if strings.Contains(err.Error(), "line ") {
			return nil, []error{fmt.Errorf("%s: %w", path, err)}
		}
		return nil, []error{fmt.Errorf("line %d: %s: %w", n.Line, path, err)}
	}
	return v.Elem().Interface(), nil
}

func decode(n *yaml.Node, v any) error {
	err := n.Decode(v)
	var te *yaml.TypeError
	if errors.As(err, &te) {
		return errors.New(strings.Join(te.Errors, "; "))
	}
	return err
}

// list reads a list of structs, such as namespaces.
func list(n *yaml.Node, t reflect.Type, path string) (any, []error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return nil, []error{fmt.Errorf("line %d: %s: expected a list", n.Line, path)}
	}
	out := reflect.MakeSlice(t, 0, len(n.Content))
	var errs []error
	for i, item := range n.Content {
		values, itemErrs := section(item, t.Elem(), fmt.Sprintf("%s[%d].", path, i))
		errs = append(errs, itemErrs...)
		v := reflect.New(t.Elem()).Elem()
		for name, f := range byName(t.Elem()) {
			if value, ok := values[name]; ok && value != nil {
				v.FieldByIndex(f.Index).Set(reflect.ValueOf(value))
			}
		}
		out = reflect.Append(out, v)
	}
	return out.Interface(), errs
}

// parseText reads a setting from a flag or the environment: text as it is, lists
// of text with commas between, everything else as in the file.
func parseText(s Setting, text string) (any, error) {
	switch s.Type {
	case reflect.TypeFor[string]():
		return text, nil
	case reflect.TypeFor[[]string]():
		items := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, nil
	}
	if s.Type.Kind() != reflect.Slice {
		v := reflect.New(s.Type)
		if err := decode(&yaml.Node{Kind: yaml.ScalarNode, Value: text, Line: 1}, v.Interface()); err != nil {
			return nil, err
		}
		return v.Elem().Interface(), nil
	}
	doc, err := document([]byte(text))
	if err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, errors.New("has no value; write [] for an empty list")
	}
	v, errs := leaf(doc, s.Type, s.Path)
	return v, errors.Join(errs...)
}

func label(path string) string {
	if path == "" {
		return ""
	}
	return strings.TrimSuffix(path, ".") + ": "
}
