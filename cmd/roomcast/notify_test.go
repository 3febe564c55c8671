package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no Unix sockets here: %v", err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify(discard, "READY=1")
	b := make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

// There is no engine here to build the image with. Its stages may therefore only
// do what is tested without one.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"RUN scripts/build page":                    true,
		"RUN go mod download":                       true,
		"RUN VERSION=$VERSION scripts/build binary": true,
	}
	var last string
	user := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "RUN":
			if !allowed[line] {
				t.Errorf("%q runs something else than scripts/build", line)
			}
		case "FROM":
			last, user = rest, ""
			if strings.Contains(rest, "latest") || rest != "scratch" && !strings.Contains(rest, ":") {
				t.Errorf("%q has no version", line)
			}
		case "USER":
			user = rest
		case "COPY":
			if src := strings.Fields(rest)[0]; !strings.HasPrefix(src, "--") && src != "." {
				if _, err := os.Stat(filepath.Join("../..", src)); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}
	if last != "scratch" || user != "65532:65532" {
		t.Errorf("the image is made from %q and runs as %q", last, user)
	}
}
