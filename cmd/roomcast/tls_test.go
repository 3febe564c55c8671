package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/roomcast/roomcast/internal/testcert"
)

// WebTransport comes over UDP on the same port, and passes through Gin.
func TestWebTransport(t *testing.T) {
	cert := testcert.New(t, "test")
	certFile, keyFile := testcert.Write(t, t.TempDir(), cert)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
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
