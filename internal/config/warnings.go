package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Warnings lists what works but is unsafe, or does nothing, one sentence each.
func (c *Config) Warnings() []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }

	if len(c.Namespaces) == 0 {
		warn("namespaces: is empty, so every client is told \"Invalid namespace\"; list the namespaces that exist, or try --demo")
	}
	public := !Loopback(c.Listen)
	if c.Demo && public {
		warn("demo: whoever can reach %s may join and send without a token", c.Listen)
	}
	if public && c.TLS.Cert == "" && len(c.TrustedProxies) == 0 {
		warn("tls: is off on %s; set tls, or put a TLS proxy in front and name it in trusted_proxies", c.Listen)
	}
	if c.InternalListen != off && !Loopback(c.InternalListen) {
		warn("internal_listen: %s isn't a loopback address, and /metrics and /debug/pprof ask for no password", c.InternalListen)
	}
	if slices.Contains(c.Origins, "*") {
		warn("origins: \"*\" lets any web page use its visitor's network position to connect; list origins instead")
	}
	if prefixes, err := ParsePrefixes(c.TrustedProxies); err == nil {
		for _, p := range prefixes {
			if p.Bits() == 0 {
				warn("trusted_proxies: %s believes whatever address a client claims to have", p)
			}
		}
	}
	if c.JSONP {
		warn("jsonp: answers are scripts that any page can load; leave it off unless such old browsers matter")
		if c.Cookie != "" {
			warn("cookie: together with jsonp other pages can act with the cookie; switch one of them off")
		}
	}
	c.clusterWarnings(warn)
	c.queueWarnings(warn)
	if len(c.Auth.Keys) > 0 && c.Auth.Issuer == "" {
		warn("auth.issuer: is empty, so a token of any issuer that shares a key is believed")
	}
	if len(c.Auth.Keys) > 0 && c.Auth.Audience == "" {
		warn("auth.audience: is empty, so a token made for another service is believed")
	}
	if !c.Demo {
		for _, n := range c.Namespaces {
			if n.Auth == "none" && (n.Join.All || n.Send.All) {
				warn("namespaces: in %s%s anybody may join or send to any room without a token", n.Name, n.Pattern)
			}
		}
	}
	return list
}

// Loopback reports whether only this machine can reach a listener's address.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
