package redisadapter

import (
	"context"
	"time"
)

// watchTime is how often a node asks which server is the primary.
const watchTime = time.Second

// watch gives up connections to a server that isn't the primary any more: after a failover by order
// it may take entries for another ten seconds, until Sentinel makes it a replica. They are lost then. The
// client's own connections follow at once, for it is told by Sentinel.
func (s *stream) watch() {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.life.Done():
			return
		}
		now := s.primary()
		if now == "" {
			continue
		}
		for _, c := range []*dedicated{s.reading.Load(), s.writing.Load()} {
			if c == nil {
				continue
			}
			if was := c.lineage(); was != "" && was != now {
				_ = c.Close()
			}
		}
	}
}

// primary returns the replication id of the server that has the stream, as the client sees it;
// empty if it isn't known.
func (s *stream) primary() string {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	server, err := serverOf(ctx, s.d.rdb, s.name)
	if err != nil {
		return ""
	}
	info, err := server.Info(ctx, "replication").Result()
	if err != nil {
		return ""
	}
	history, replica := replication(info)
	if replica {
		return ""
	}
	return history
}
