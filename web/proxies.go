package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxHops bounds how far X-Forwarded-For is read.
const maxHops = 32

// TrustProxies puts the client's address into the RemoteAddr of requests that
// come from a trusted proxy: the right-most hop of X-Forwarded-For that isn't
// trusted itself, since whatever is left of it may be the client's invention.
// X-Forwarded-Proto of such a request goes into URL.Scheme. Headers of others
// are not looked at.
func TrustProxies(trusted []netip.Prefix, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := parseHop(r.RemoteAddr)
		believed := ok && contains(trusted, peer)
		scheme := ""
		if believed {
			scheme = forwardedProto(r.Header)
		}
		if !believed && r.URL.Scheme == "" {
			h.ServeHTTP(w, r)
			return
		}
		r2 := *r
		r2.URL = new(url.URL)
		*r2.URL = *r.URL
		r2.URL.Scheme = scheme // never the client's own, as in "GET https://host/ HTTP/1.1"
		if believed {
			r2.RemoteAddr = net.JoinHostPort(clientOf(peer, r.Header["X-Forwarded-For"], trusted).String(), "0")
		}
		h.ServeHTTP(w, &r2)
	})
}

// clientOf walks from the peer to the left until a hop isn't trusted, or makes no sense.
func clientOf(peer netip.Addr, headers []string, trusted []netip.Prefix) netip.Addr {
	client, hops := peer, 0
	for i := len(headers) - 1; i >= 0; i-- {
		rest := headers[i]
		for more := true; more; hops++ {
			var last string
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, last = rest[:j], rest[j+1:]
			} else {
				last, more = rest, false
			}
			addr, ok := parseHop(strings.TrimSpace(last))
			if !ok || hops >= maxHops {
				return client
			}
			client = addr
			if !contains(trusted, addr) {
				return client
			}
		}
	}
	return client
}

// parseHop reads an address with or without a port, and without a zone.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// forwardedProto is what the nearest proxy says, or "".
func forwardedProto(h http.Header) string {
	values := h["X-Forwarded-Proto"]
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	last = strings.ToLower(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
	if last != "http" && last != "https" {
		return ""
	}
	return last
}
