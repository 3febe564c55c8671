package engine

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// compression is the encoding of a response of n bytes, or "".
func (srv *Server) compression(r *http.Request, batches []*Batch, n int) string {
	if n < srv.cfg.CompressThreshold {
		return ""
	}
	for _, b := range batches {
		if !b.plain {
			return acceptedEncoding(r.Header["Accept-Encoding"])
		}
	}
	return ""
}

// acceptedEncoding picks gzip or deflate (which means zlib) by the client's
// preference, and among equals by its order.
func acceptedEncoding(headers []string) (encoding string) {
	best := 0.0
	for _, h := range headers {
		for item := range strings.SplitSeq(h, ",") {
			name, params, _ := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "*" {
				name = "gzip"
			}
			q := 1.0
			if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
				q, _ = strconv.ParseFloat(v, 64)
			}
			if (name == "gzip" || name == "deflate") && q > best {
				best, encoding = q, name
			}
		}
	}
	return encoding
}

// compressor is what gzip.Writer and zlib.Writer have in common.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

var (
	gzips = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	zlibs = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}
)

// compress returns body in the encoding "gzip" or "deflate".
func compress(encoding string, body []byte) []byte {
	pool := &gzips
	if encoding == "deflate" {
		pool = &zlibs
	}
	c := pool.Get().(compressor)
	defer pool.Put(c)
	out := bytes.NewBuffer(make([]byte, 0, len(body)/2))
	c.Reset(out)
	c.Write(body) // to memory: no errors
	c.Close()
	return out.Bytes()
}
