package config

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Source says where settings come from. All of it is optional.
type Source struct {
	File    string         // path of a YAML file
	Environ []string       // as of os.Environ
	Flags   *pflag.FlagSet // with [AddFlags]; those that were given count
}

// Load reads the settings and checks them. The error lists all that is wrong,
// one finding on a line.
func Load(src Source) (*Config, error) {
	k := koanf.New(".")
	var errs []error
	if src.File != "" {
		if err := k.Load(file.Provider(src.File), strictYAML{src.File}); err != nil {
			errs = append(errs, fileError(src.File, err))
		}
	}
	environ, err := environment(src.Environ)
	if err != nil {
		errs = append(errs, err)
	}
	if err := k.Load(environ, nil); err != nil {
		errs = append(errs, err)
	}
	if src.Flags != nil {
		if err := k.Load(posflag.ProviderWithFlag(src.Flags, ".", nil, flagSetting), nil); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, join(errs)
	}

	c := Default()
	if k.Bool("demo") {
		c.demo()
	}
	err = k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused: true,
		ZeroFields:  true, // lists replace the default, they don't overlay it
	}})
	if err != nil {
		return nil, join([]error{err})
	}
	if !k.Exists("limits.sessions_per_ip") && len(c.TrustedProxies) > 0 {
		c.Limits.SessionsPerIP = 100
	}
	if err := c.validate(); err != nil {
		return nil, join([]error{err})
	}
	return &c, nil
}

// join puts the package's name before every line of errs.
func join(errs []error) error {
	lines := strings.Split(errors.Join(errs...).Error(), "\n")
	for i, line := range lines {
		lines[i] = "config: " + line
	}
	return errors.New(strings.Join(lines, "\n"))
}

func fileError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s doesn't exist; \"roomcast config default\" prints a file to start from", path)
	}
	return err
}

// Kubernetes puts variables of this form into every container that runs beside
// a Service named roomcast. They aren't ours, and no mistake of the operator's.
var serviceEnv = regexp.MustCompile(`^ROOMCAST_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// environment returns the provider of ROOMCAST_ variables. The error names the
// unknown and the malformed among them.
func environment(environ []string) (*env.Env, error) {
	byEnv := make(map[string]Setting)
	for _, s := range Settings() {
		byEnv[s.Env()] = s
	}
	values := make(map[string]any)
	var errs []error
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || name == EnvName("config") || serviceEnv.MatchString(name) {
			continue
		}
		s, ok := byEnv[name]
		if !ok {
			errs = append(errs, fmt.Errorf("unknown environment variable %s%s", name, suggest(name, envNames(byEnv))))
			continue
		}
		v, err := parseText(s, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		values[name] = v
	}
	return env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return slices.Clone(environ) },
		TransformFunc: func(name, _ string) (string, any) {
			v, ok := values[name]
			if !ok {
				return "", nil
			}
			return byEnv[name].Path, v
		},
	}), errors.Join(errs...)
}

func envNames(byEnv map[string]Setting) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range byEnv {
			if !yield(name) {
				return
			}
		}
		yield(EnvName("config"))
	}
}

// AddFlags gives flags one flag for every setting.
func AddFlags(flags *pflag.FlagSet) {
	for _, s := range Settings() {
		f := flags.VarPF(&flagValue{setting: s}, s.Flag(), "", s.Help)
		if s.Type.Kind() == reflect.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue is a pflag.Value that checks its text when it is set.
type flagValue struct {
	setting Setting
	text    string
	value   any
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Set(text string) (err error) {
	v.text = text
	v.value, err = parseText(v.setting, text)
	return err
}

func (v *flagValue) Type() string {
	switch v.setting.Type {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Count]():
		return "number"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[[]string]():
		return "list"
	case reflect.TypeFor[bool]():
		return "bool"
	case reflect.TypeFor[string]():
		return "text"
	}
	return "yaml"
}

// flagSetting maps a flag to its setting; flags of others are left alone.
func flagSetting(f *pflag.Flag) (string, any) {
	v, ok := f.Value.(*flagValue)
	if !ok {
		return "", nil
	}
	return v.setting.Path, v.value
}
