package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/tests/chaos/history"
)

// cuts are the power cuts of a node.
type cuts struct {
	n, lossy, torn, starting int
	bytes                    int64
}

func (c *cuts) String() string {
	return fmt.Sprintf("%d power cuts of a node, %d of them while it started; in %d something wasn't synced, %d bytes of all, and %d left it torn",
		c.n, c.starting, c.lossy, c.bytes, c.torn)
}

// add waits until the power of a node has failed, and counts what it has said of that.
func (c *cuts) add(p *part) error {
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		return errors.New("it goes on")
	}
	var bytes int64
	var kept int
	if _, err := fmt.Sscan(p.last, &bytes, &kept); err != nil {
		return fmt.Errorf("at its end it said %q", p.last)
	}
	c.n++
	c.bytes += bytes
	if bytes > 0 {
		c.lossy++
		if kept > 0 {
			c.torn++
		}
	}
	return nil
}

// loseNode has the power of a node fail, and sometimes again while it starts.
func (q *queueRun) loseNode(i int) error {
	return q.during(q.nodes[i].name, "killed", func() error {
		p := q.nodes[i]
		q.rec.Add(history.Event{Kind: history.Killed, Who: p.name, Outcome: "node killed"})
		if _, err := io.WriteString(p.in, []string{"now\n", "within\n", "within\n"}[q.rnd.IntN(3)]); err != nil {
			return err
		}
		if err := q.cuts.add(p); err != nil {
			return err
		}
		time.Sleep(q.some(500 * ms))
		for q.rnd.IntN(3) == 0 {
			if err := q.startFailing(i, time.Millisecond+q.some(100*ms)); err != nil {
				return err
			}
			if err := q.cuts.add(q.nodes[i]); err != nil {
				return err
			}
			q.cuts.starting++
		}
		return q.startNode(i)
	})
}

// losePower ends Redis, and does to its log what a power cut does, which SIGKILL doesn't: the system has what was written.
func (q *queueRun) losePower() error {
	if q.sync == "always" {
		q.redis.kill()
		return q.tear()
	}
	name, err := q.redis.log()
	if err != nil {
		return err
	}
	cut, ok := q.file.before(name, q.some(time.Second))
	if !ok {
		return errors.New("nothing is known of Redis' log")
	}
	q.killRedis(cut.at)
	return os.Truncate(name, cut.bytes+int64(q.rnd.IntN(100)))
}

// killRedis kills Redis, whose log will be as long as it was at a time, or longer, and notes what may be lost with that.
func (q *queueRun) killRedis(kept int64) {
	since := q.file.written(kept)
	q.redis.kill()
	q.rec.Add(history.Event{Kind: history.Power, Call: since})
}

// tear adds to the log the beginning of another transaction like its last: one that was being written when the power
// failed, so that it wasn't synced, and nobody has an answer.
func (q *queueRun) tear() error {
	name, err := q.redis.log()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	last := bytes.LastIndex(b, []byte("*1\r\n$5\r\nMULTI\r\n"))
	if last < 0 {
		return nil
	}
	whole := bytes.Index(b[last:], []byte("*1\r\n$4\r\nEXEC\r\n"))
	if whole < 0 {
		return nil // it was being written when Redis was killed
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b[last : last+1+q.rnd.IntN(whole)])
	return errors.Join(err, f.Close())
}

// log is the name of the file to which Redis appends: the last of them, while it writes the log anew.
func (r *redisServer) log() (string, error) {
	names, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err == nil && len(names) == 0 {
		err = errors.New("Redis has no log")
	}
	if err != nil {
		return "", err
	}
	return slices.MaxFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }), nil
}

// settled waits until Redis has written its log anew, as nodes have it do after a start, so that nothing is left there of
// what was torn (redisqueue says why).
func (r *redisServer) settled() error {
	c := redis.NewClient(&redis.Options{Addr: r.addr, DisableIdentity: true})
	defer c.Close()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, err := c.Info(context.Background(), "persistence").Result()
		if err == nil && !strings.Contains(text, "aof_last_rewrite_time_sec:-1") && strings.Contains(text, "aof_rewrite_in_progress:0") {
			return nil
		}
	}
	return errors.New("Redis hasn't written its log anew")
}

// sizes are how long a log was at which time.
type sizes struct {
	end chan struct{}
	run sync.WaitGroup

	mu   sync.Mutex
	list []size
}

type size struct {
	name      string
	at, bytes int64
}

// open begins to look at a server's log.
func (s *sizes) open(r *redisServer) {
	s.end = make(chan struct{})
	s.run.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.end:
				return
			case <-tick.C:
			}
			at := history.Now()
			if name, err := r.log(); err == nil {
				if info, err := os.Stat(name); err == nil {
					s.mu.Lock()
					s.list = append(s.list, size{name, at, info.Size()})
					if len(s.list) > 500 {
						s.list = append(s.list[:0], s.list[250:]...)
					}
					s.mu.Unlock()
				}
			}
		}
	})
}

func (s *sizes) close() {
	close(s.end)
	s.run.Wait()
}

// forget begins anew: the server has, too.
func (s *sizes) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = nil
}

// before returns how long the log was a while ago, or when it began.
func (s *sizes) before(name string, d time.Duration) (found size, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := history.Now() - d.Nanoseconds()
	for _, z := range slices.Backward(s.list) {
		if z.name != name {
			break
		}
		found, ok = z, true
		if z.at <= limit {
			break
		}
	}
	return found, ok
}

// written returns a time before which all that was answered was in the log at another. Redis may answer before it writes, while it
// syncs, for up to two seconds, and then writes all at once: so what was answered before it last wrote is there. That write may
// be seen in part only; it is the one before.
func (s *sizes) written(by int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *size
	writes := 0
	for i := len(s.list) - 1; i >= 0; i-- {
		z := &s.list[i]
		if z.at > by {
			continue
		}
		if last != nil && (z.name != last.name || z.bytes < last.bytes) {
			if writes++; writes == 2 {
				return z.at
			}
		}
		last = z
	}
	return by - 2e9
}
