package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// certificate makes a certificate for 127.0.0.1, and a pool that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private), pool
}

// WebTransport comes over UDP on the same port, and passes through Gin.
func TestWebTransport(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	p := serveProcess(t, "--demo", "--tls-cert="+certFile, "--tls-key="+keyFile, "--webtransport")
	url := strings.Replace(p.public, "http:", "https:", 1) + "/socket.io/?EIO=4&transport="

	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(url + "polling")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 1024)
	n, _ := resp.Body.Read(b)
	if !strings.Contains(string(b[:n]), `"upgrades":["websocket","webtransport"]`) {
		t.Errorf("handshake: %s", b[:n])
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := webtransport.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, NextProtos: []string{http3.NextProtoH3}}}
	defer d.Close()
	rsp, session, err := d.Dial(ctx, url+"webtransport", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.CloseWithError(0, "")
	if rsp.StatusCode != http.StatusOK {
		t.Fatalf("WebTransport: %s", rsp.Status)
	}
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SetDeadline(time.Now().Add(patience))
	if _, err := stream.Write([]byte{1, '0'}); err != nil { // a frame of one byte: open
		t.Fatal(err)
	}
	n, err = stream.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `0{"sid":`) {
		t.Errorf("after open came %q, %v", b[:n], err)
	}
}
