package redisadapter

import "strings"

// topic is something that this node wants to hear: a channel, or a pattern.
type topic struct {
	name    string
	pattern bool
	handle  func(channel string, payload []byte) flusher
}

// subscription is what one connection has subscribed to, for all topics of that name.
type subscription struct {
	topics []*topic
	ready  chan struct{} // closed while Redis has confirmed it
	err    error         // what Redis said instead
}

func (s *subscription) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// flusher is an adapter's Local that has gathered something: it is flushed when
// all that has arrived was handled.
type flusher interface{ Flush() }

func newTopic(name string, handle func(channel string, payload []byte) flusher) *topic {
	return &topic{name: name, handle: handle}
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// escapeGlob returns the pattern that matches name alone.
func escapeGlob(name string) string { return globEscaper.Replace(name) }
