package redisadapter

import (
	"sync/atomic"
)

// A client that was sent nothing for long names an offset that has been trimmed
// when it comes back. It can go on all the same if it is known up to where there
// was nothing for it. For that a session's state is saved anew when it has been
// quiet for a while, and once more when it isn't any longer; and the node notes,
// for all its sessions at once, up to where their states hold.

// review counts entries, and has the states of sessions looked through every now and then.
func (s *stream) review(n int) {
	s.d.read.Add(int64(n))
	if s.unseen.Add(int64(n)) < s.d.cfg.MaxLen/8 || !s.reviewing.CompareAndSwap(false, true) {
		return
	}
	s.unseen.Store(0)
	upTo, old := s.position(), s.marks[0]
	s.marks[0], s.marks[1] = s.marks[1], upTo
	spaces := s.all()
	var left atomic.Int64
	left.Store(int64(len(spaces)) + 1)
	done := func() {
		if left.Add(-1) > 0 {
			return
		}
		s.looked.Store(&upTo)
		s.d.sessions.noteNode()
		s.reviewing.Store(false)
	}
	s.running.Go(func() {
		for _, a := range spaces {
			a.local.Review(old, done)
		}
		done()
	})
}
