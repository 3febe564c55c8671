package ledger

// The two times by which messages are found.
const (
	byDeadline = iota // a lease or a schedule ends
	byExpiry          // the TTL is over
)

// heap has the messages that have one of the two times, the earliest first. A message
// remembers its place, so that it can be taken out.
type heap struct {
	by int
	ms []*message
}

func (h *heap) top() *message {
	if len(h.ms) == 0 {
		return nil
	}
	return h.ms[0]
}

// set puts m in, or moves it to another time.
func (h *heap) set(m *message, at int64) {
	m.times[h.by] = at
	i := int(m.places[h.by]) - 1
	if i < 0 {
		i = len(h.ms)
		h.ms = append(h.ms, m)
		m.places[h.by] = int32(i + 1)
	}
	h.down(h.up(i))
}

// remove takes m out, if it is in.
func (h *heap) remove(m *message) {
	i := int(m.places[h.by]) - 1
	if i < 0 {
		return
	}
	last := len(h.ms) - 1
	h.swap(i, last)
	h.ms[last] = nil
	h.ms = h.ms[:last]
	m.places[h.by] = 0
	if i < last {
		h.down(h.up(i))
	}
	if cap(h.ms) > 1024 && last < cap(h.ms)/4 {
		h.ms = append(make([]*message, 0, cap(h.ms)/2), h.ms...)
	}
}

func (h *heap) before(i, j int) bool {
	a, b := h.ms[i], h.ms[j]
	if a.times[h.by] != b.times[h.by] {
		return a.times[h.by] < b.times[h.by]
	}
	return a.seq < b.seq
}

func (h *heap) swap(i, j int) {
	h.ms[i], h.ms[j] = h.ms[j], h.ms[i]
	h.ms[i].places[h.by] = int32(i + 1)
	h.ms[j].places[h.by] = int32(j + 1)
}

func (h *heap) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h *heap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.ms); child++ {
			if h.before(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
