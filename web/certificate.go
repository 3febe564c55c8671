package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate in files. Changed files are taken up within a
// minute, for new connections.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	changed time.Time // of the files, as loaded
	checked time.Time
}

// certificateCheck is how often the files are looked at.
const certificateCheck = time.Minute

// LoadCertificate reads a certificate chain and its key, both PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.Default()
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, checked: time.Now()}
	c.changed = c.modified()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("web: tls: %w", err)
	}
	c.cert = &pair
	return c, nil
}

// TLS returns a configuration that serves the certificate.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck {
		return c.cert
	}
	c.checked = time.Now()
	changed := c.modified()
	if changed.Equal(c.changed) {
		return c.cert
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil { // perhaps only one of the files is written by now
		c.log.Warn("the changed certificate can't be used; the earlier one stays", "error", err)
		return c.cert
	}
	c.cert, c.changed = &pair, changed
	c.log.Info("took up the changed certificate", "cert", c.certFile)
	return c.cert
}

// modified is when either file was changed last.
func (c *Certificate) modified() time.Time {
	var last time.Time
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
