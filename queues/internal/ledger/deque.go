package ledger

import (
	"cmp"
	"slices"
)

// deque is a list that grows and shrinks at both ends. Its zero value is empty.
type deque struct {
	ring []*message // its length is 0 or a power of two
	head int
	n    int
}

func (d *deque) at(i int) *message { return d.ring[(d.head+i)&(len(d.ring)-1)] }

func (d *deque) pushBack(m *message) {
	d.grow()
	d.ring[(d.head+d.n)&(len(d.ring)-1)] = m
	d.n++
}

func (d *deque) pushFront(m *message) {
	d.grow()
	d.head = (d.head - 1) & (len(d.ring) - 1)
	d.ring[d.head] = m
	d.n++
}

// popFront takes the first message off, which must exist.
func (d *deque) popFront() *message {
	m := d.ring[d.head]
	d.ring[d.head] = nil
	d.head = (d.head + 1) & (len(d.ring) - 1)
	d.n--
	if d.n == 0 && len(d.ring) > 1024 {
		*d = deque{}
	}
	return m
}

func (d *deque) grow() {
	if d.n == len(d.ring) {
		d.resize(max(2*d.n, 8))
	}
}

func (d *deque) resize(size int) {
	ring := make([]*message, size)
	for i := range d.n {
		ring[i] = d.at(i)
	}
	d.ring, d.head = ring, 0
}

// keep drops the messages that f doesn't want.
func (d *deque) keep(f func(*message) bool) {
	var kept deque
	for i := range d.n {
		if m := d.at(i); f(m) {
			kept.pushBack(m)
		}
	}
	*d = kept
}

// line is a deque whose messages may leave it from the middle: those that aren't in
// the state of the line any more are passed over, and cleared away when they are many.
type line struct {
	deque
	state state
	n     int // messages that are in it
}

func (l *line) in(m *message) bool { return m.state == l.state && m.line == l }

func (l *line) pushBack(m *message) {
	l.enter(m)
	l.deque.pushBack(m)
}

func (l *line) pushFront(m *message) {
	l.enter(m)
	l.deque.pushFront(m)
}

func (l *line) enter(m *message) {
	m.state, m.line = l.state, l
	l.n++
}

// front returns the first message, or nil.
func (l *line) front() *message {
	for l.deque.n > 0 {
		if m := l.deque.at(0); l.in(m) {
			return m
		}
		l.deque.popFront()
	}
	return nil
}

// pop takes the first message, or returns nil.
func (l *line) pop() *message {
	m := l.front()
	if m != nil {
		l.deque.popFront()
		l.n--
		m.line, m.state = nil, gone
	}
	return m
}

// leave says that m, which is in the line, goes.
func (l *line) leave(m *message) {
	l.n--
	m.line = nil
	m.state = gone // until it is put elsewhere: its place here must not become valid again
	if l.deque.n > 64 && l.n < l.deque.n/2 {
		l.deque.keep(l.in)
	}
}

// sort orders the line by a time.
func (l *line) sort(at func(*message) int64) {
	ms := l.first(l.n, nil)
	slices.SortStableFunc(ms, func(a, b *message) int { return cmp.Compare(at(a), at(b)) })
	l.deque, l.n = deque{}, 0
	for _, m := range ms {
		l.pushBack(m)
	}
}
