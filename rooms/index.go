// Package rooms records who is in which room on this node. It knows neither
// sockets nor networks: members are any comparable values.
package rooms

import (
	"iter"
	"maps"
	"slices"
	"sync"
)

// Index records which members are in which rooms.
//
// The zero Index is empty and ready to use. Methods may be called from any
// goroutine. Index calls nothing while it is locked.
type Index[M comparable] struct {
	mu      sync.RWMutex
	all     room[M]             // every member that was added
	rooms   map[string]*room[M] // no empty rooms
	members map[M][]*room[M]    // member -> its rooms; the same pairs, reversed
}

// Change says that a member's place in a room has changed.
type Change struct {
	Room string
	Edge bool // the join created the room, or the leave emptied and deleted it
}

// Add makes m a member of the whole, which a Target without rooms reaches.
// Members may be in rooms before they are added.
func (ix *Index[M]) Add(m M) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.all.add(m)
}

// Join adds m to rooms and returns what changed: rooms that it wasn't in yet.
func (ix *Index[M]) Join(m M, names ...string) []Change {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var changes []Change
	for _, name := range names {
		r, known := ix.rooms[name]
		if !known {
			r = &room[M]{name: name}
			if ix.rooms == nil {
				ix.rooms = map[string]*room[M]{}
				ix.members = map[M][]*room[M]{}
			}
			ix.rooms[name] = r
		}
		if !r.add(m) {
			continue
		}
		ix.members[m] = append(ix.members[m], r)
		changes = append(changes, Change{name, !known})
	}
	return changes
}

// Leave removes m from rooms and returns what changed.
func (ix *Index[M]) Leave(m M, names ...string) []Change {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var changes []Change
	for _, name := range names {
		r := ix.rooms[name]
		if r == nil || !r.remove(m) {
			continue
		}
		mine := ix.members[m]
		i := slices.Index(mine, r)
		mine[i] = mine[len(mine)-1]
		mine[len(mine)-1] = nil
		if mine = mine[:len(mine)-1]; len(mine) == 0 {
			delete(ix.members, m)
		} else {
			ix.members[m] = mine
		}
		changes = append(changes, ix.left(r))
	}
	return changes
}

// Remove takes m out of all its rooms and out of the whole.
func (ix *Index[M]) Remove(m M) []Change {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.all.remove(m)
	mine := ix.members[m]
	delete(ix.members, m)
	changes := make([]Change, 0, len(mine))
	for _, r := range mine {
		r.remove(m)
		changes = append(changes, ix.left(r))
	}
	return changes
}

// left forgets r if it is empty now.
func (ix *Index[M]) left(r *room[M]) Change {
	empty := len(r.members) == 0
	if empty {
		delete(ix.rooms, r.name)
	}
	return Change{r.name, empty}
}

// Rooms returns the names of m's rooms, in the order in which it joined them
// unless it has left some.
func (ix *Index[M]) Rooms(m M) []string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	names := make([]string, len(ix.members[m]))
	for i, r := range ix.members[m] {
		names[i] = r.name
	}
	return names
}

// CountRooms returns how many rooms m is in.
func (ix *Index[M]) CountRooms(m M) int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return len(ix.members[m])
}

// Has reports whether m is in the room.
func (ix *Index[M]) Has(m M, name string) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	r := ix.rooms[name]
	return r != nil && r.has(m)
}

// Len returns the number of members in the room.
func (ix *Index[M]) Len(name string) int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if r := ix.rooms[name]; r != nil {
		return len(r.members)
	}
	return 0
}

// Count returns the number of rooms, and of members that were added.
func (ix *Index[M]) Count() (rooms, members int) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return len(ix.rooms), len(ix.all.members)
}

// Names returns the names of all rooms, in no order.
func (ix *Index[M]) Names() []string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return slices.Collect(maps.Keys(ix.rooms))
}

// Target names receivers: the members of any of Rooms (all members, if there
// are none) that are in none of the Except rooms.
type Target struct {
	Rooms  []string
	Except []string
}

// Select returns the members that t reaches, each once. It is a snapshot:
// later changes don't show in it, and it may be walked without any lock.
func (ix *Index[M]) Select(t Target) Selection[M] {
	// Taking a snapshot marks the room as shared, hence the full lock.
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var s Selection[M]
	switch len(t.Rooms) {
	case 0:
		s.list = ix.all.snapshot()
	case 1:
		if r := ix.rooms[t.Rooms[0]]; r != nil {
			s.list = r.snapshot()
		}
	default:
		s.list = ix.union(t.Rooms)
	}
	if len(s.list) == 0 {
		return s
	}
	for _, name := range t.Except {
		if r := ix.rooms[name]; r != nil {
			s.skipAll(r)
		}
	}
	return s
}

// union lists the members of several rooms, each once.
func (ix *Index[M]) union(names []string) []M {
	var found []*room[M]
	n := 0
	for _, name := range names {
		if r := ix.rooms[name]; r != nil && !slices.Contains(found, r) {
			found = append(found, r)
			n += len(r.members)
		}
	}
	if len(found) == 1 {
		return found[0].snapshot()
	}
	list := make([]M, 0, n)
	seen := make(map[M]struct{}, n)
	for _, r := range found {
		for _, m := range r.members {
			if _, dup := seen[m]; !dup {
				seen[m] = struct{}{}
				list = append(list, m)
			}
		}
	}
	return list
}

// Selection is the answer to Select.
type Selection[M comparable] struct {
	list []M // may be shared with the index: never written
	few  []M // members to skip, while they are few
	many map[M]struct{}
}

// fewSkips is up to where comparing one by one beats a map.
const fewSkips = 8

func (s *Selection[M]) skipAll(r *room[M]) {
	if s.many == nil && len(s.few)+len(r.members) <= fewSkips {
		s.few = append(s.few, r.members...)
		return
	}
	if s.many == nil {
		s.many = make(map[M]struct{}, len(s.few)+len(r.members))
		for _, m := range s.few {
			s.many[m] = struct{}{}
		}
		s.few = nil
	}
	for _, m := range r.members {
		s.many[m] = struct{}{}
	}
}

// Max returns how many members All yields at most.
func (s Selection[M]) Max() int { return len(s.list) }

// All yields the selected members.
func (s Selection[M]) All() iter.Seq[M] {
	return func(yield func(M) bool) {
		for _, m := range s.list {
			if len(s.few) > 0 && slices.Contains(s.few, m) {
				continue
			}
			if s.many != nil {
				if _, skip := s.many[m]; skip {
					continue
				}
			}
			if !yield(m) {
				return
			}
		}
	}
}

// room is a set of members that can be handed out as a slice at no cost.
type room[M comparable] struct {
	name    string
	members []M
	pos     map[M]int // member -> index in members; only for large rooms
	shared  bool      // a snapshot may alias members[:len]: don't overwrite
}

// largeRoom is from where a map finds a member faster than a scan.
const largeRoom = 16

func (r *room[M]) find(m M) int {
	if r.pos == nil {
		return slices.Index(r.members, m)
	}
	if i, ok := r.pos[m]; ok {
		return i
	}
	return -1
}

func (r *room[M]) has(m M) bool { return r.find(m) >= 0 }

func (r *room[M]) add(m M) bool {
	if r.has(m) {
		return false
	}
	// Appending writes behind what snapshots see, so a shared slice may grow.
	r.members = append(r.members, m)
	switch n := len(r.members); {
	case r.pos != nil:
		r.pos[m] = n - 1
	case n > largeRoom:
		r.pos = make(map[M]int, 2*n)
		for i, m := range r.members {
			r.pos[m] = i
		}
	}
	return true
}

func (r *room[M]) remove(m M) bool {
	i := r.find(m)
	if i < 0 {
		return false
	}
	last := len(r.members) - 1
	if r.shared {
		r.members = slices.Clone(r.members)
		r.shared = false
	}
	moved := r.members[last]
	r.members[i] = moved
	clear(r.members[last:])
	r.members = r.members[:last]
	if r.pos != nil {
		r.pos[moved] = i
		delete(r.pos, m)
		if last <= largeRoom/2 {
			r.pos = nil
		}
	}
	if c := cap(r.members); c > 64 && last < c/4 {
		r.members = slices.Clip(slices.Clone(r.members))
	}
	return true
}

func (r *room[M]) snapshot() []M {
	r.shared = true
	return slices.Clip(r.members)
}
