package redisadapter

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// watchTime is how often a node asks which servers are the primaries.
const watchTime = time.Second

// movesTime is how many times as long it takes to find sessions whose slot of a cluster has moved.
const movesTime = 10

// watch follows failovers. Connections to a server that isn't the primary any more are given up: after a failover by order
// it may take entries for another ten seconds, until Sentinel makes it a replica. They are lost then. The
// client's own connections follow at once, for it is told by Sentinel. And states of sessions are written again.
func (st *sessionStore) watch() {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	_, cluster := st.d.rdb.(*redis.ClusterClient)
	for n := 0; ; n++ {
		changed := st.d.lineages.ask(st.life)
		for _, s := range st.streams {
			s.follow()
		}
		if (changed || cluster && n%movesTime == 0) && st.following.CompareAndSwap(false, true) {
			st.run.Go(st.follow)
		}
		select {
		case <-tick.C:
		case <-st.life.Done():
			return
		}
	}
}

// follow closes the connections to a server that isn't the one which has the stream.
func (s *stream) follow() {
	now := s.d.lineages.of(s.life, s.name)
	if now == "" {
		return
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
