package pebblequeue

import "encoding/binary"

// place is the key of a message or an entry of an inbox: two numbers, which a map finds sooner than three.
type place struct {
	line uint64 // kind and number
	seq  uint64
}

// placeOf returns the place that a key of 13 bytes stands for. Others are read only when the store
// opens, or seldom.
func placeOf(key []byte) (p place, ok bool) {
	if len(key) != 13 {
		return place{}, false
	}
	return place{uint64(key[0])<<32 | uint64(binary.BigEndian.Uint32(key[1:])), binary.BigEndian.Uint64(key[5:])}, true
}

// key returns the key of a place.
func (p place) key() []byte {
	key := make([]byte, 0, 13)
	key = append(key, byte(p.line>>32))
	key = binary.BigEndian.AppendUint32(key, uint32(p.line))
	return binary.BigEndian.AppendUint64(key, p.seq)
}

// cache has values by their places. Those of neighbouring places share a page, since they come and go one after the
// other: so the map is asked seldom, and is small. Its zero value is empty.
type cache struct {
	pages map[place]*page
	last  *page // that was found last; the only one that may have no value: the next is likely to be there
	at    place // where it is
	bytes int   // of values and pages
}

const (
	pageSize = 8
	pageCost = 256 // bytes, with its place in the map
)

type page struct {
	values [pageSize][]byte // none is nil or empty: what isn't there is
	n      int
}

// page returns the page of p, or nil.
func (c *cache) page(p place) *page {
	p.seq /= pageSize
	if c.last == nil || c.at != p {
		found := c.pages[p]
		if found == nil {
			return nil
		}
		c.turn(found, p)
	}
	return c.last
}

func (c *cache) turn(pg *page, at place) {
	if c.last != nil && c.last.n == 0 {
		c.drop(c.at)
	}
	c.last, c.at = pg, at
}

func (c *cache) get(p place) []byte {
	if pg := c.page(p); pg != nil {
		return pg.values[p.seq%pageSize]
	}
	return nil
}

// set sets a value, which isn't empty.
func (c *cache) set(p place, value []byte) {
	pg := c.page(p)
	if pg == nil {
		pg = &page{}
		c.turn(pg, place{p.line, p.seq / pageSize})
		if c.pages == nil {
			c.pages = map[place]*page{}
		}
		c.pages[c.at] = pg
		c.bytes += pageCost
	}
	v := &pg.values[p.seq%pageSize]
	if *v == nil {
		pg.n++
	}
	c.bytes += len(value) - len(*v)
	*v = value
}

func (c *cache) forget(p place) {
	pg := c.page(p)
	if pg == nil {
		return
	}
	v := &pg.values[p.seq%pageSize]
	if *v == nil {
		return
	}
	c.bytes -= len(*v)
	*v = nil
	pg.n--
}

// drop forgets a page: at is its place in the map.
func (c *cache) drop(at place) {
	for _, v := range c.pages[at].values {
		c.bytes -= len(v)
	}
	c.bytes -= pageCost
	delete(c.pages, at)
	if c.at == at {
		c.last = nil
	}
}

// forgetAll forgets the values of places that f says.
func (c *cache) forgetAll(f func(place) bool) {
	for at, pg := range c.pages {
		for i, v := range pg.values {
			if p := (place{at.line, at.seq*pageSize + uint64(i)}); v != nil && f(p) {
				c.forget(p)
			}
		}
	}
}

// trim forgets some until there are at most so many bytes.
func (c *cache) trim(most int) {
	if c.bytes <= most {
		return
	}
	for at := range c.pages {
		c.drop(at)
		if c.bytes <= most {
			return
		}
	}
}
