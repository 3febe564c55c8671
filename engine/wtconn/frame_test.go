package wtconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/roomcast/roomcast/engine"
)

// record is a sink that writes down what it gets.
type record struct {
	frames []string
	kept   [][]byte // owned
}

var errEmpty = errors.New("empty packet")

func (r *record) Frame(data []byte, isBinary, owned bool) error {
	if len(data) == 0 {
		return errEmpty // as engine: a parse error
	}
	s := string(data)
	if isBinary {
		s = "binary " + s
	}
	r.frames = append(r.frames, s)
	if owned {
		r.kept = append(r.kept, data)
	}
	return nil
}

func (r *record) Handled() {}

// take reads frames from src.
func take(src io.Reader, limit int) ([]string, error) {
	var sink record
	r := reader{src: src, sink: &sink, max: limit, closed: new(atomic.Bool)}
	err := r.run()
	return sink.frames, err
}

func encode(packets ...engine.Packet) []byte {
	out := engine.NewOutput()
	defer out.Release()
	for _, p := range packets {
		addBatch(out, engine.NewBatch(false, p))
	}
	return bytes.Join(out.Buffers(), nil)
}

// TestFrames has the frames of the official protocol, both ways.
func TestFrames(t *testing.T) {
	long := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	for _, tt := range []struct {
		name  string
		p     engine.Packet
		head  string
		frame string
	}{
		{"open", engine.Packet{Type: engine.Open}, "\x01", "0"},
		{"ping", engine.Packet{Type: engine.Ping}, "\x01", "2"},
		{"text", engine.Packet{Type: engine.Message, Data: []byte("hello")}, "\x06", "4hello"},
		{"UTF-8", engine.Packet{Type: engine.Message, Data: []byte("€")}, "\x04", "4€"},
		{"binary", engine.Packet{Type: engine.Message, Binary: true, Data: []byte{1, 2, 3}}, "\x83", "binary \x01\x02\x03"},
		{"text of 125", engine.Packet{Type: engine.Message, Data: long(124)}, "\x7d", "4" + string(long(124))},
		{"text of 126", engine.Packet{Type: engine.Message, Data: long(125)}, "\x7e\x00\x7e", "4" + string(long(125))},
		{"text of 65535", engine.Packet{Type: engine.Message, Data: long(65534)}, "\x7e\xff\xff", "4" + string(long(65534))},
		{"text of 65536", engine.Packet{Type: engine.Message, Data: long(65535)}, "\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "4" + string(long(65535))},
		{"binary of 126", engine.Packet{Type: engine.Message, Binary: true, Data: long(126)}, "\xfe\x00\x7e", "binary " + string(long(126))},
		{"binary of 1,000,000", engine.Packet{Type: engine.Message, Binary: true, Data: long(1e6)}, "\xff\x00\x00\x00\x00\x00\x0f\x42\x40", "binary " + string(long(1e6))},
	} {
		enc := encode(tt.p)
		if !strings.HasPrefix(string(enc), tt.head) {
			t.Errorf("%s: encoded with head %q, want %q", tt.name, enc[:min(9, len(enc))], tt.head)
		}
		for name, src := range map[string]io.Reader{"whole": bytes.NewReader(enc), "byte by byte": iotest.OneByteReader(bytes.NewReader(enc))} {
			got, err := take(src, 1e6)
			if err != io.EOF || len(got) != 1 || got[0] != tt.frame {
				t.Errorf("%s, %s: %d frames, error %v", tt.name, name, len(got), err)
			}
		}
	}
}

// TestEmptyBinary: an empty binary message has no frame, and is left out.
func TestEmptyBinary(t *testing.T) {
	empty := engine.Packet{Type: engine.Message, Binary: true}
	text := engine.Packet{Type: engine.Message, Data: []byte("a")}
	if enc := encode(empty); len(enc) != 0 {
		t.Errorf("encoded as %x", enc)
	}
	out := engine.NewOutput()
	addBatch(out, engine.NewBatch(true, text, empty, text, empty))
	if enc := string(bytes.Join(out.Buffers(), nil)); enc != "\x024a\x024a" {
		t.Errorf("encoded as %q", enc)
	}
}

// TestMalformed has frames that end a connection, behind one that is taken.
func TestMalformed(t *testing.T) {
	u64 := func(first byte, n uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{first}, n))
	}
	for _, tt := range []struct {
		name, in string
		bad      bool
	}{
		{"at the limit", "\x0a" + strings.Repeat("x", 10), false},
		{"above the limit", "\x0b", true},
		{"empty text", "\x00", true},
		{"empty binary", "\x80", true},
		{"long form of a short length", "\x7e\x00\x01x", false},
		{"longest form of a short length", u64(0x7f, 1) + "x", false},
		{"2^53", u64(0x7f, 1<<53), true},
		{"2^63", u64(0xff, 1<<63), true},
		{"2^64-1", u64(0xff, 1<<64-1), true},
		{"end inside a header", "\x7e\x00", false},
		{"end inside a frame", "\x05abc", false},
	} {
		for _, src := range []io.Reader{strings.NewReader("\x014" + tt.in), iotest.OneByteReader(strings.NewReader("\x014" + tt.in))} {
			got, err := take(src, 10)
			if len(got) == 0 || got[0] != "4" || (err == errEmpty) != tt.bad || !tt.bad && err != io.EOF {
				t.Errorf("%s: frames %q, error %v", tt.name, got, err)
			}
		}
	}
}

// TestInvalidUTF8: as the official decoder does, bytes that aren't UTF-8 are
// replaced.
func TestInvalidUTF8(t *testing.T) {
	got, _ := take(strings.NewReader("\x034\xffa"), 10)
	if len(got) != 1 || got[0] != "4\uFFFDa" {
		t.Errorf("got %q", got)
	}
}

// TestLargeHeaderTakesNoMemory: 9 bytes announce a gigabyte that never comes.
func TestLargeHeaderTakesNoMemory(t *testing.T) {
	in := binary.BigEndian.AppendUint64([]byte{0xff}, 1<<30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		take(bytes.NewReader(in), 1<<31-1)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 100_000 {
		t.Errorf("%d bytes were allocated", n)
	}
}

// FuzzReader: however a stream is cut, it gives the same frames.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x010\x064hello\x83\x01\x02\x03\x7e\x00\x7e"), uint8(3))
	f.Add(append([]byte("\xfe\x04\x01"), make([]byte, 1025)...), uint8(100))
	f.Add([]byte("\x7f\x00\x00\x00\x00\x00\x00\x00\x014\x80"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		whole, err1 := take(bytes.NewReader(in), 5000)
		parts, err2 := take(&chunks{in, int(size) + 1}, 5000)
		if strings.Join(whole, "|") != strings.Join(parts, "|") || err1 != err2 {
			t.Fatalf("%q and %v whole, %q and %v in chunks of %d", whole, err1, parts, err2, size+1)
		}
	})
}

// chunks reads at most n bytes at once.
type chunks struct {
	rest []byte
	n    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
