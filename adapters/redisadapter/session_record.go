package redisadapter

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// A saved session is the base64 of a MessagePack map, as official servers write
// and read it, with members of our own behind theirs:
//
//	{sid, pid, rooms, data, node, turn, lineage, from, last, until, ended, stays: [[room, from, to], …]}

// savedSession is a session as Redis has it.
type savedSession struct {
	adapters.Session
	node string // which has it, or had it last; empty: an official server
	turn int64  // how often it was taken over: a session that comes back to a node isn't in a state that it was in before

	// lineage is the replication id of the Redis server that it was written to. One with another id, after a failover
	// or a restart, may lack a later state. Empty: it wasn't known.
	lineage string
}

// encodeRecord returns the value of a session's key.
func encodeRecord(r *savedSession) (string, error) {
	data, err := socketData(r.Data)
	if err != nil {
		return "", err
	}
	w := &packSink{dst: make([]byte, 0, 512)}
	w.object(12)
	w.key("sid")
	w.text(r.ID)
	w.key("pid")
	w.text(r.Private)
	w.key("rooms")
	writeTexts(w, r.Rooms())
	w.key("data")
	if err := w.payload(data); err != nil {
		return "", err
	}
	w.key("node")
	w.text(r.node)
	w.key("turn")
	w.int(r.turn)
	w.key("lineage")
	w.text(r.lineage)
	place := func(name string, at adapters.Offset) {
		w.key(name)
		w.text(at.String())
	}
	place("from", r.From)
	place("last", r.Last)
	place("until", r.Until)
	w.key("ended")
	if r.Ended.IsZero() {
		w.int(0)
	} else {
		w.int(r.Ended.UnixMilli())
	}
	w.key("stays")
	w.array(len(r.Stays))
	for _, stay := range r.Stays {
		w.array(3)
		w.text(stay.Room)
		w.text(stay.From.String())
		w.text(stay.To.String())
		w.end()
	}
	w.end()
	w.end()
	return base64.StdEncoding.EncodeToString(w.bytes()), nil
}

// decodeRecord reads it.
func decodeRecord(value string) (*savedSession, error) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, malformed("a session that isn't base64")
	}
	s, err := newSource(b)
	if err != nil {
		return nil, err
	}
	r := &savedSession{}
	var rooms []string
	place := func(at *adapters.Offset) error {
		text, err := s.text()
		if err == nil && text != "" {
			var ok bool
			if *at, ok = adapters.ParseOffset(text); !ok {
				err = malformed("a session with a bad offset")
			}
		}
		return err
	}
	err = s.object(func(key string) (err error) {
		switch key {
		case "sid":
			r.ID, err = s.text()
		case "pid":
			r.Private, err = s.text()
		case "rooms":
			rooms, err = readTexts(s)
		case "data":
			p, err := s.payload()
			if err == nil && p.JSON != nil && decodeValue(p, &r.Data) != nil {
				r.Data = nil // a program in JavaScript may have put anything there
			}
			return err
		case "node":
			r.node, err = s.text()
		case "turn":
			r.turn, err = s.int()
		case "lineage":
			r.lineage, err = s.text()
		case "from":
			err = place(&r.From)
		case "last":
			err = place(&r.Last)
		case "until":
			err = place(&r.Until)
		case "ended":
			var ms int64
			if ms, err = s.int(); ms > 0 {
				r.Ended = time.UnixMilli(ms)
			}
		case "stays":
			err = s.array(func(int) error {
				var stay adapters.Stay
				err := s.array(func(i int) (err error) {
					switch i {
					case 0:
						stay.Room, err = s.text()
					case 1:
						err = place(&stay.From)
					case 2:
						err = place(&stay.To)
					default:
						err = s.skip()
					}
					return err
				})
				r.Stays = append(r.Stays, stay)
				return err
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && (r.ID == "" || r.Private == "") {
		err = malformed("a session without ids")
	}
	if err != nil {
		return nil, err
	}
	if r.Stays == nil { // an official server knows the rooms at the end, and no more
		for _, name := range rooms {
			r.Stays = append(r.Stays, adapters.Stay{Room: name})
		}
	}
	return r, nil
}

// digest is what Redis's sha1hex says of a value.
func digest(value string) string {
	sum := sha1.Sum([]byte(value))
	return hex.EncodeToString(sum[:])
}
