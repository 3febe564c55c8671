package redisadapter

import (
	"context"
	"encoding/json"
	"time"
)

// noteNode has the node's key written soon.
func (st *sessionStore) noteNode() {
	select {
	case st.nodeUp <- struct{}{}:
	default:
	}
}

// keepNode keeps the node's key: as long as it is there, its sessions can be
// taken over, connected or not. It says up to where their states hold.
func (st *sessionStore) keepNode() {
	tick := time.NewTicker(nodeRenew)
	defer tick.Stop()
	for {
		looked := map[string]string{}
		for name, s := range st.streams {
			looked[name] = s.looked.Load().String()
		}
		b, _ := json.Marshal(looked)
		st.mu.Lock()
		ttl := st.keep + nodeTTL
		st.mu.Unlock()
		ctx, cancel := context.WithTimeout(st.life, writeTime)
		_ = st.d.rdb.Set(ctx, st.nodeKey(st.d.node), b, ttl).Err() // tried again soon
		cancel()
		select {
		case <-tick.C:
		case <-st.nodeUp:
		case <-st.life.Done():
			return
		}
	}
}
