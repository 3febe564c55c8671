package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// nodeEnv is set in processes that are nodes: this program starts itself.
const nodeEnv = "ROOMCAST_CHAOS_NODE"

// nodeConfig is what a node is told.
type nodeConfig struct {
	Official string // its official server's program; "": it is one of ours
	Redis    target
	MaxLen   int64
	Number   int     // sender's number: its events are told apart by it
	First    int     // number of its first event
	Rate     float64 // events per second
	Groups   int     // rooms; every event goes to one of them or to all
}

// emitted is what clients ask a node to send to a room.
type emitted struct {
	Room             string
	N                int
	Volatile, Binary bool
}

// report is what a node says of itself, every second.
type report struct {
	Recovered, CutOff, Unkept int64
	Fresh                     map[string]int64
	Streams                   redisadapter.StreamStats
}

// runNode is the main function of a node: it prints its address, then reports, and
// ends with its standard input.
func runNode(text string) error {
	var cfg nodeConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	rdb := cfg.Redis.client()
	defer rdb.Close()
	driver := redisadapter.Streams(rdb, redisadapter.StreamsConfig{MaxLen: cfg.MaxLen, Config: redisadapter.Config{Logger: log}})
	io_, err := server.New(server.Config{
		Driver: driver, Recovery: &server.Recovery{}, Logger: log,
		Engine: engine.Config{HandshakeRate: -1},
	})
	if err != nil {
		return err
	}
	ns := io_.Of("/")
	server.OnAck(ns, "join", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		return s.Recovered(), s.Join(room)
	})
	server.OnAck(ns, "emit", func(ctx context.Context, _ *server.Socket, m emitted) (bool, error) {
		to := ns.To(m.Room)
		if m.Volatile {
			to = to.Volatile()
		}
		if m.Binary {
			return true, to.Emit(ctx, "n", m.N, []byte{1, 2, 3})
		}
		return true, to.Emit(ctx, "n", m.N)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hs := &http.Server{Handler: io_}
	go func() { _ = hs.Serve(ln) }()
	fmt.Println(ln.Addr())
	var sending atomic.Bool
	sending.Store(true)
	go func() {
		if cfg.Rate <= 0 {
			return
		}
		tick := time.NewTicker(time.Duration(float64(time.Second) / cfg.Rate))
		for i := cfg.First; sending.Load(); i++ {
			to := ns.All()
			if g := i % (cfg.Groups + 1); g > 0 {
				to = to.To("r" + strconv.Itoa(g-1))
			}
			_ = to.Emit(context.Background(), "n", cfg.Number, i, time.Now().UnixMilli())
			<-tick.C
		}
	}()
	go func() {
		for range time.Tick(time.Second) {
			n := io_.Stats().Namespaces
			b, _ := json.Marshal(report{n.Recovered, n.CutOff, n.Unkept, n.Fresh, driver.StreamStats()})
			fmt.Println(string(b))
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "quiet" {
			sending.Store(false)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return io_.Shutdown(ctx)
}

// process is a running node.
type process struct {
	addr  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{}

	mu   sync.Mutex
	last report
}

// startNode starts this program as a node, or an official server.
func startNode(cfg nodeConfig) (*process, error) {
	text, _ := json.Marshal(cfg)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self), ended: make(chan struct{})}
	if cfg.Official != "" {
		p.cmd = exec.Command("node", cfg.Official)
	}
	p.cmd.Env = append(os.Environ(), nodeEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = p.cmd.Wait()
		return nil, fmt.Errorf("a node ended at its start")
	}
	p.addr = strings.TrimSpace(lines.Text())
	go func() {
		defer close(p.ended)
		for lines.Scan() {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				p.mu.Lock()
				p.last = r
				p.mu.Unlock()
			}
		}
		_ = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the node with SIGKILL.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// quiet has it send nothing more.
func (p *process) quiet() { _, _ = io.WriteString(p.in, "quiet\n") }

// stop ends it in good order.
func (p *process) stop() {
	_ = p.in.Close()
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

func (p *process) report() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
