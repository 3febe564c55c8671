package skew

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const childEnv = "ROOMCAST_SKEW_TEST"

// TestMain lets the test's own program be the one whose clock is set: it says what time it is when it is asked.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().Unix(), time.Since(began) < 10*time.Minute)
	}
}

// The program's clock is what it was set to; how much time passes is as before.
func TestSkew(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(cmd)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := bufio.NewScanner(pipe)
	for _, d := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		if err := c.Set(d); err != nil {
			t.Fatal(err)
		}
		before := time.Now().Add(d).Unix()
		fmt.Fprintln(in)
		out.Scan()
		text, same, _ := strings.Cut(out.Text(), " ")
		said, err := strconv.ParseInt(text, 10, 64)
		if after := time.Now().Add(d).Unix(); err != nil || said < before || said > after || same != "true" {
			t.Errorf("by %v: it says %q, and it is %d to %d", d, out.Text(), before, after)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
