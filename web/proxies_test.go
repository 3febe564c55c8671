package web

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestTrustProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	many := strings.TrimSuffix(strings.Repeat("10.0.0.2, ", 1000), ", ")
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		remote     string
	}{
		{"no proxy", "192.0.2.1:7", nil, "192.0.2.1:7"},
		{"spoofed", "192.0.2.1:7", []string{"1.2.3.4"}, "192.0.2.1:7"},
		{"one proxy", "10.0.0.1:7", []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"nothing forwarded", "10.0.0.1:7", nil, "10.0.0.1:0"},
		{"spoofed through a proxy", "10.0.0.1:7", []string{"1.2.3.4, 192.0.2.1"}, "192.0.2.1:0"},
		{"two proxies", "10.0.0.1:7", []string{"1.2.3.4, 192.0.2.1, 10.0.0.2"}, "192.0.2.1:0"},
		{"several headers", "10.0.0.1:7", []string{"1.2.3.4", "192.0.2.1, 10.0.0.3", "10.0.0.2"}, "192.0.2.1:0"},
		{"spaces", "10.0.0.1:7", []string{" 192.0.2.1 ,10.0.0.2"}, "192.0.2.1:0"},
		{"all trusted", "10.0.0.1:7", []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9:0"},
		{"nonsense", "10.0.0.1:7", []string{"1.2.3.4, unknown"}, "10.0.0.1:0"},
		{"nonsense further left", "10.0.0.1:7", []string{"x, 192.0.2.1"}, "192.0.2.1:0"},
		{"empty", "10.0.0.1:7", []string{""}, "10.0.0.1:0"},
		{"with a port", "10.0.0.1:7", []string{"192.0.2.1:99"}, "192.0.2.1:0"},
		{"IPv6", "[fd00::1]:7", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"IPv6 in brackets", "[fd00::1]:7", []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"IPv6 with a port", "[fd00::1]:7", []string{"[2001:db8::1]:99"}, "[2001:db8::1]:0"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:7", []string{"::ffff:192.0.2.1"}, "192.0.2.1:0"},
		{"zone", "[fd00::1%eth0]:7", []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"more hops than are read", "10.0.0.1:7", []string{"192.0.2.1, " + many}, "10.0.0.2:0"},
		{"a socket without address", "@", []string{"192.0.2.1"}, "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		for _, v := range tt.forwarded {
			r.Header.Add("X-Forwarded-For", v)
		}
		w := httptest.NewRecorder()
		TrustProxies(trusted, echo).ServeHTTP(w, r)
		var got struct{ Remote string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Remote != tt.remote {
			t.Errorf("%s: %s, %v; want %s", tt.name, got.Remote, err, tt.remote)
		}
		if r.RemoteAddr != tt.peer {
			t.Errorf("%s: the request was changed", tt.name)
		}
	}
}

func TestForwardedProto(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		peer   string
		target string
		protos []string
		scheme string
	}{
		{"10.0.0.1:7", "/", []string{"https"}, "https"},
		{"10.0.0.1:7", "/", []string{"HTTPS"}, "https"},
		{"10.0.0.1:7", "/", []string{"http"}, "http"},
		{"10.0.0.1:7", "/", []string{"https, http"}, "http"}, // the nearest proxy's word
		{"10.0.0.1:7", "/", []string{"https", "http"}, "http"},
		{"10.0.0.1:7", "/", []string{"gopher"}, ""},
		{"10.0.0.1:7", "/", nil, ""},
		{"192.0.2.1:7", "/", []string{"https"}, ""},
		{"192.0.2.1:7", "https://example.com/", nil, ""}, // the client's own word
		{"10.0.0.1:7", "https://example.com/", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if strings.HasPrefix(tt.target, "https") {
			r.URL.Scheme = "https" // what net/http makes of a request line with a whole URL
		}
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-Proto"] = tt.protos
		w := httptest.NewRecorder()
		TrustProxies(trusted, echo).ServeHTTP(w, r)
		var got struct{ Scheme string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Scheme != tt.scheme {
			t.Errorf("%s %s %q: %q, %v; want %q", tt.peer, tt.target, tt.protos, got.Scheme, err, tt.scheme)
		}
	}
}
