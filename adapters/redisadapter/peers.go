package redisadapter

import (
	"encoding/json"
	"sync"
	"time"
)

// peers are the other Go nodes, known by their heartbeats. Official servers
// send none.
type peers struct {
	cfg  Config
	node string // our id
	dead func(id, name string)

	mu    sync.Mutex
	beats int64 // how often we have heard ourselves: time stands still while we are deaf
	known map[string]*peer
}

type peer struct {
	name  string
	last  int64 // beats when it was heard last
	every time.Duration
	alive bool
	gone  time.Time // since when it is dead, or has said goodbye
}

// heartbeat is what nodes tell each other.
type heartbeat struct {
	Node  string `json:"node"`
	Name  string `json:"name"`
	Every int64  `json:"every"` // ms
	Seq   int64  `json:"seq"`
	Bye   bool   `json:"bye,omitempty"`
}

const (
	maxHeartbeat = 1024
	maxPeers     = 1000
	// keepDead is how long Redis may count the connection of a node that is dead:
	// as long as TCP needs to notice. That of one that has said goodbye is counted a moment longer, too.
	keepDead = 10 * time.Minute
)

func newPeers(cfg Config, node string, dead func(id, name string)) *peers {
	return &peers{cfg: cfg, node: node, dead: dead, known: map[string]*peer{}}
}

func (p *peers) heartbeat(seq int64) []byte { return p.encode(seq, false) }
func (p *peers) goodbye() []byte            { return p.encode(0, true) }

func (p *peers) encode(seq int64, bye bool) []byte {
	name := p.cfg.Node
	if len(name) > 255 {
		name = name[:255]
	}
	b, _ := json.Marshal(heartbeat{p.node, name, p.cfg.Heartbeat.Milliseconds(), seq, bye})
	return b
}

// hear takes a heartbeat. If it is our own it returns its number.
func (p *peers) hear(payload []byte) (seq int64, own bool) {
	var h heartbeat
	if len(payload) > maxHeartbeat || json.Unmarshal(payload, &h) != nil || h.Node == "" {
		return 0, false
	}
	if h.Node == p.node {
		p.tick(time.Now())
		return h.Seq, true
	}
	p.note(h)
	return 0, false
}

// note takes note of another node.
func (p *peers) note(h heartbeat) {
	p.mu.Lock()
	q := p.known[h.Node]
	if q == nil {
		if len(p.known) >= maxPeers || h.Bye {
			p.mu.Unlock()
			return
		}
		q = &peer{}
		p.known[h.Node] = q
	}
	fresh := !q.alive
	q.name, q.last, q.alive = h.Name, p.beats, !h.Bye
	q.every = min(max(time.Duration(h.Every)*time.Millisecond, time.Millisecond), time.Minute)
	if h.Bye {
		q.gone = time.Now()
	}
	p.mu.Unlock()
	if h.Bye {
		p.dead(h.Node, h.Name)
	} else if fresh {
		p.cfg.Logger.Info("redisadapter: a node is there", "node", h.Name)
	}
}

// missed is how many heartbeats in a row a node may miss.
const missed = 3

// tick is told when we have heard ourselves: who is still silent by then, is
// not there.
func (p *peers) tick(now time.Time) {
	type gone struct{ id, name string }
	var died []gone
	p.mu.Lock()
	p.beats++
	for id, q := range p.known {
		allowed := missed * max(1, int64((q.every+p.cfg.Heartbeat-1)/p.cfg.Heartbeat))
		switch {
		case q.alive && p.beats-q.last > allowed:
			q.alive, q.gone = false, now
			died = append(died, gone{id, q.name})
		case !q.alive && now.Sub(q.gone) > keepDead:
			delete(p.known, id)
		}
	}
	p.mu.Unlock()
	for _, d := range died {
		p.cfg.Logger.Warn("redisadapter: a node is silent: it is not waited for any more", "node", d.name)
		p.dead(d.id, d.name)
	}
}

// each calls f for every known node.
func (p *peers) each(f func(id, name string, alive bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, q := range p.known {
		f(id, q.name, q.alive)
	}
}

// alive returns how many there are.
func (p *peers) alive() int {
	n := 0
	p.each(func(_, _ string, alive bool) {
		if alive {
			n++
		}
	})
	return n
}
