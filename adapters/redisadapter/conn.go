package redisadapter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// conn is a connection in subscribed state. go-redis dials and authenticates
// it; we read it ourselves, since its PubSub subscribes to everything by itself
// when it has connected anew, all shard channels in one command that a cluster refuses, takes
// messages of any size, and doesn't tell whether more has arrived.
type conn struct {
	raw    net.Conn
	client *redis.Client // owns raw
	r      *bufio.Reader
	max    int // bytes of a message

	mu  sync.Mutex
	buf []byte
}

const writeTimeout = 5 * time.Second

// dial connects as client does. waits is told since when nothing has arrived.
func dial(ctx context.Context, client *redis.Client, maxMessage int, waits *atomic.Int64) (*conn, error) {
	opt := *client.Options()
	dialer := opt.Dialer
	c := &conn{max: maxMessage}
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dialer(ctx, network, addr)
		c.raw = raw
		return raw, err
	}
	opt.Protocol, opt.PushNotificationProcessor = 2, nil
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.PoolSize, opt.MinIdleConns = 1, 0
	opt.MaxRetries, opt.DialerRetries = -1, 1
	c.client = redis.NewClient(&opt)
	if err := c.client.Ping(ctx).Err(); err != nil {
		_ = c.client.Close()
		return nil, err
	}
	if c.raw == nil {
		_ = c.client.Close()
		return nil, errors.New("redisadapter: the client doesn't dial")
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		_ = c.client.Close()
		return nil, err
	}
	c.r = bufio.NewReaderSize(timedReader{c.raw, waits}, 64<<10)
	return c, nil
}

func (c *conn) close() {
	_ = c.raw.Close() // first: the client's Close looks into the connection, and waits for our reading
	_ = c.client.Close()
}

// timedReader notes since when it waits for the network, in Unix nanoseconds: it
// doesn't while a message is handled, and begins anew with each part of a large one.
type timedReader struct {
	net.Conn
	waits *atomic.Int64
}

func (r timedReader) Read(b []byte) (int, error) {
	r.waits.Store(time.Now().UnixNano())
	n, err := r.Conn.Read(b)
	r.waits.Store(math.MaxInt64)
	return n, err
}

// send writes commands, each with its arguments, in one go.
func (c *conn) send(commands ...[]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.buf[:0]
	for _, args := range commands {
		b = append(b, '*')
		b = strconv.AppendInt(b, int64(len(args)), 10)
		b = append(b, "\r\n"...)
		for _, a := range args {
			b = append(b, '$')
			b = strconv.AppendInt(b, int64(len(a)), 10)
			b = append(b, "\r\n"...)
			b = append(b, a...)
			b = append(b, "\r\n"...)
		}
	}
	if cap(b) <= 64<<10 {
		c.buf = b
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.raw.Write(b)
	return err
}

// push is what Redis says on a connection in subscribed state.
type push struct {
	kind    string // "message", "subscribe" and so on; "error"
	pattern []byte // valid until the next push, as channel
	channel []byte // what an error says
	payload []byte // ours; nil if it was too large
}

// more reports whether something has arrived that wasn't read yet.
func (c *conn) more() bool { return c.r.Buffered() > 0 }

// read returns the next push. Its errors end the connection.
func (c *conn) read(p *push) error {
	*p = push{pattern: p.pattern[:0], channel: p.channel[:0]}
	typ, n, err := c.head()
	if err != nil {
		return err
	}
	switch typ {
	case '-':
		p.kind = "error"
		p.channel, err = c.rest(p.channel)
		return err
	case '+', ':':
		_, err = c.rest(nil)
		return err
	case '*':
	default:
		return errProtocol
	}
	if n < 2 || n > 4 {
		return errProtocol
	}
	kind, err := c.bulk(nil, 32)
	if err != nil {
		return err
	}
	p.kind = pushKinds[string(kind)]
	if p.kind == "pmessage" {
		if p.pattern, err = c.bulk(p.pattern, maxName); err != nil {
			return err
		}
		n--
	}
	if p.channel, err = c.bulk(p.channel, maxName); err == errLong {
		p.channel, err = p.channel[:0], nil
	}
	if err != nil || n < 3 {
		return err
	}
	if p.kind == "message" || p.kind == "pmessage" {
		p.payload, err = c.bulk(nil, c.max)
		if err == errLong {
			return nil
		}
		return err
	}
	_, err = c.bulk(nil, 32) // the number of subscriptions
	return err
}

// maxName bounds names of channels: longer ones are none of ours.
const maxName = 64 << 10

var pushKinds = map[string]string{
	"message": "message", "smessage": "message", "pmessage": "pmessage",
	"subscribe": "subscribe", "psubscribe": "subscribe", "ssubscribe": "subscribe",
	"unsubscribe": "unsubscribe", "punsubscribe": "unsubscribe", "sunsubscribe": "unsubscribe",
}

var (
	errProtocol = errors.New("redisadapter: Redis doesn't speak as expected")
	errLong     = errors.New("redisadapter: the message is too large")
)

// head reads the first byte of a reply, and the number behind it if it has one.
func (c *conn) head() (typ byte, n int, err error) {
	typ, err = c.r.ReadByte()
	if err != nil || typ == '-' || typ == '+' || typ == ':' {
		return typ, 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 2 {
		return 0, 0, errProtocol
	}
	n, err = strconv.Atoi(string(line[:len(line)-2]))
	if err != nil || n > 512<<20 {
		return 0, 0, errProtocol
	}
	return typ, n, nil
}

// rest reads the rest of a line.
func (c *conn) rest(dst []byte) ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil || len(line) < 2 {
		return dst, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return append(dst, line[:len(line)-2]...), nil
}

// bulk reads a string or a number, appending to dst. One of more than limit
// bytes is skipped: errLong.
func (c *conn) bulk(dst []byte, limit int) ([]byte, error) {
	typ, n, err := c.head()
	if err != nil {
		return dst, err
	}
	if typ == ':' {
		return c.rest(dst)
	}
	if typ != '$' {
		return dst, errProtocol
	}
	if n < 0 { // null, as the channel of an unsubscription from everything
		return dst, nil
	}
	if n > limit {
		if _, err := io.CopyN(io.Discard, c.r, int64(n)+2); err != nil {
			return dst, err
		}
		return dst, errLong
	}
	if dst == nil {
		dst = make([]byte, 0, n)
	}
	start := len(dst)
	dst = append(dst, make([]byte, n)...)
	if _, err := io.ReadFull(c.r, dst[start:]); err != nil {
		return dst, err
	}
	_, err = c.r.Discard(2)
	return dst, err
}
