package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/internal/memnet"
)

func pipe(t *testing.T) (a, b net.Conn) {
	l := memnet.Listen()
	t.Cleanup(func() { l.Close() })
	go func() { a, _ = l.Dial(context.Background()) }()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		want := bytes.Repeat([]byte("0123456789"), memnet.BufferSize/4)
		go func() {
			a.Write(want) // more than fits: waits for the reader
			a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes and %v, want %d", len(got), err, len(want))
		}
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("a write to a closed peer succeeded")
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		begin := time.Now()
		a.SetReadDeadline(begin.Add(time.Hour))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Hour {
			t.Errorf("read: %v after %v", err, time.Since(begin))
		}
		b.SetWriteDeadline(time.Now().Add(time.Hour))
		if n, err := b.Write(make([]byte, memnet.BufferSize+1)); !errors.Is(err, os.ErrDeadlineExceeded) || n != memnet.BufferSize {
			t.Errorf("write: %d bytes, %v", n, err)
		}
		a.SetReadDeadline(time.Time{})
		if n, err := a.Read(make([]byte, 10)); n != 10 || err != nil {
			t.Errorf("read after the deadline was lifted: %d bytes, %v", n, err)
		}
	})
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
		go srv.Serve(l)
		client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}
		resp, err := client.Post("http://memory/", "text/plain", bytes.NewReader([]byte("hello")))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if string(body) != "hello" {
			t.Errorf("got %q", body)
		}
		client.CloseIdleConnections()
		srv.Close()
	})
}
