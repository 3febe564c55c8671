package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxKeys      = 16
	maxNamespace = 255 // bytes of a namespace's name
	minSecret    = 32  // bytes; as many as HS256 has
)

// validate returns all that can't be right. What is allowed but unwise is in
// [Config.Warnings].
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	c.offs(bad)
	if err := checkAddr(c.Listen); err != nil {
		bad("listen: %w", err)
	}
	if c.InternalListen != off {
		if err := checkAddr(c.InternalListen); err != nil {
			bad("internal_listen: %w", err)
		} else if c.InternalListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			bad("internal_listen: %s is the public listener's address too", c.Listen)
		}
	}
	if !regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`).MatchString(c.Path) {
		bad("path: %q isn't a path such as /socket.io (no slash at the end)", c.Path)
	}
	switch first, _, _ := strings.Cut(strings.TrimPrefix(c.Path, "/"), "/"); first {
	case "livez", "readyz", "assets":
		bad("path: /%s is the program's own", first)
	}
	oneOf(bad, "log.format", c.Log.Format, "text", "json")
	oneOf(bad, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls: set both cert and key, or neither")
	}
	if c.WebTransport && c.TLS.Cert == "" {
		bad("webtransport: needs tls.cert and tls.key; browsers speak it over TLS only")
	}
	for _, o := range c.Origins {
		if err := checkOrigin(o); err != nil {
			bad("origins: %w", err)
		}
	}
	if _, err := ParsePrefixes(c.TrustedProxies); err != nil {
		bad("trusted_proxies: %w", err)
	}
	if len(c.Transports) == 0 {
		bad("transports: is empty; name polling, websocket or both")
	}
	for _, t := range c.Transports {
		oneOf(bad, "transports", t, "polling", "websocket")
	}
	if c.JSONP && !slices.Contains(c.Transports, "polling") {
		bad("jsonp: needs polling among transports")
	}
	if c.Cookie != "" && !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`).MatchString(c.Cookie) {
		bad("cookie: %q isn't a name of letters, digits, _, . and -", c.Cookie)
	}
	c.validateCluster(bad)
	c.validateQueues(bad)
	c.Auth.validate(bad)
	c.validateNamespaces(bad)
	return errors.Join(errs...)
}

// offs refuses the word off where there must be a limit.
func (c *Config) offs(bad func(string, ...any)) {
	v := reflect.ValueOf(c).Elem()
	for _, s := range Settings() {
		f := v
		for name := range strings.SplitSeq(s.Path, ".") {
			f = f.FieldByIndex(byName(f.Type())[name].Index)
		}
		if f.CanInt() && f.Int() < 0 && !s.Off {
			bad("%s: can't be off", s.Path)
		}
	}
}

func oneOf(bad func(string, ...any), path, value string, words ...string) {
	if !slices.Contains(words, value) {
		bad("%s: %q isn't one of %s%s", path, value, strings.Join(words, ", "), suggest(value, slices.Values(words)))
	}
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q isn't an address such as 127.0.0.1:8080 or :8080", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be 0 to 65535", addr)
	} else if n == 0 && port != "0" {
		return fmt.Errorf("%q: write port 0 as 0", addr)
	}
	return nil
}

func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("%q isn't an origin such as https://app.example.org (lower case, no path) or \"*\"", origin)
	}
	return nil
}

// ParsePrefixes parses networks and single addresses.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, addrErr := netip.ParseAddr(s)
			if addrErr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q isn't a network such as 10.0.0.0/8 or an address", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%q has bits beyond its length; did you mean %s?", s, p.Masked())
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func (a *Auth) validate(bad func(string, ...any)) {
	if len(a.Keys) > maxKeys {
		bad("auth.keys: has %d keys; %d are possible", len(a.Keys), maxKeys)
	}
	ids := make(map[string]bool)
	for i, k := range a.Keys {
		sources := 0
		for _, s := range []string{k.Secret, k.SecretFile, k.PublicKeyFile} {
			if s != "" {
				sources++
			}
		}
		if sources != 1 {
			bad("auth.keys[%d]: set one of secret, secret_file and public_key_file", i)
		}
		if k.Secret != "" && len(k.Secret) < minSecret {
			bad("auth.keys[%d]: secret has %d bytes; at least %d are needed (openssl rand -hex 32)", i, len(k.Secret), minSecret)
		}
		if k.ID != "" && ids[k.ID] {
			bad("auth.keys[%d]: the id %q is used twice", i, k.ID)
		}
		ids[k.ID] = true
	}
}

func (c *Config) validateNamespaces(bad func(string, ...any)) {
	seen := make(map[string]bool)
	for i := range c.Namespaces {
		n := &c.Namespaces[i]
		at := fmt.Sprintf("namespaces[%d]", i)
		switch {
		case (n.Name == "") == (n.Pattern == ""):
			bad("%s: set one of name and pattern", at)
		case n.Name != "":
			if !strings.HasPrefix(n.Name, "/") || len(n.Name) > maxNamespace || strings.ContainsAny(n.Name, ",?") {
				bad("%s: %q isn't a name such as /chat", at, n.Name)
			}
		default:
			if _, err := n.Regexp(); err != nil {
				bad("%s: pattern: %w", at, err)
			}
		}
		if key := n.Name + "\x00" + n.Pattern; seen[key] {
			bad("%s: %s is there twice", at, n.Name+n.Pattern)
		} else {
			seen[key] = true
		}
		if n.Auth == "" {
			n.Auth = "required"
		}
		oneOf(bad, at+".auth", n.Auth, "required", "optional", "none")
		if n.Auth != "none" && len(c.Auth.Keys) == 0 {
			bad("%s: auth is %s, but auth.keys is empty; give a key, or write auth: none to admit everybody", at, n.Auth)
		}
		for _, p := range slices.Concat(n.Join.Patterns, n.Send.Patterns) {
			if err := checkPattern(p); err != nil {
				bad("%s: %w", at, err)
			}
		}
		if n.MaxRooms == 0 {
			n.MaxRooms = 100
		} else if n.MaxRooms < 0 {
			bad("%s: max_rooms can't be off", at)
		}
	}
}

// Regexp returns the compiled pattern; it matches whole names only.
func (n *Namespace) Regexp() (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:` + n.Pattern + `)$`)
}
