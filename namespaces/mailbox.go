package namespaces

import "sync"

// mailbox runs a socket's handlers one at a time, in order. Its goroutine lives
// only while there is something to run.
type mailbox struct {
	mu      sync.Mutex
	jobs    []job
	bytes   int
	running bool
	space   chan struct{} // made by a reader that waits for room
}

// job is an event, or something else to run in its turn.
type job struct {
	event *Event
	h     handler
	run   func()
}

// keptJobs is the capacity that an idle mailbox may keep.
const keptJobs = 8

// put adds a job. It reports false if the mailbox is full; force adds it all the same.
// The job waits for start.
func (m *mailbox) put(s *Socket, j job, force bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	limits := &s.ns.reg.cfg.Limits
	if !force && (len(m.jobs) >= limits.WaitingEvents || m.bytes >= limits.WaitingBytes) {
		return false
	}
	m.jobs = append(m.jobs, j)
	if j.event != nil {
		m.bytes += j.event.size
	}
	return true
}

// start sees to it that somebody runs what is in the mailbox.
func (m *mailbox) start(s *Socket) {
	m.mu.Lock()
	start := !m.running && len(m.jobs) > 0
	if start {
		m.running = true
		s.ns.reg.running.Add(1)
	}
	m.mu.Unlock()
	if start {
		go m.run(s)
	}
}

// run works until the mailbox is empty. What handlers send to their own session meanwhile
// is gathered, and written together.
func (m *mailbox) run(s *Socket) {
	defer s.ns.reg.running.Done()
	sess := s.client.sess
	sess.Cork()
	defer sess.Uncork()
	var spare []job
	for {
		m.mu.Lock()
		jobs := m.jobs
		if len(jobs) == 0 {
			m.running = false
			m.jobs = nil
			if cap(spare) <= keptJobs {
				m.jobs = spare
			}
			m.mu.Unlock()
			return
		}
		m.jobs = spare
		m.mu.Unlock()
		for i := range jobs {
			j := &jobs[i]
			if j.run != nil {
				j.run()
			} else {
				s.dispatch(j.event, j.h)
				m.taken(j.event.size)
			}
			jobs[i] = job{}
		}
		spare = jobs[:0]
	}
}

// taken makes room for what waits to be put.
func (m *mailbox) taken(size int) {
	m.mu.Lock()
	m.bytes -= size
	space := m.space
	m.space = nil
	m.mu.Unlock()
	if space != nil {
		close(space)
	}
}

// wait returns a channel that is closed when something was taken out.
func (m *mailbox) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.space == nil {
		m.space = make(chan struct{})
	}
	return m.space
}

// overflow reports whether even a reader that must not wait has to stop.
func (m *mailbox) overflow(s *Socket) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	limits := &s.ns.reg.cfg.Limits
	return len(m.jobs) >= overflowFactor*limits.WaitingEvents || m.bytes >= overflowFactor*limits.WaitingBytes
}

// overflowFactor is how many times the limit may wait while a handler waits for an ack.
const overflowFactor = 8
