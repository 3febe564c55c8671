package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
)

// API is what backends may do through the JSON API: everything.
type API struct {
	Token  string         // which they show as "Authorization: Bearer …"
	IO     *server.Server // for /api/emit
	Broker *queues.Broker // nil: there are no queues
	Apart  func() string  // why other nodes can't be reached, or ""; if nil, they can
}

// Limits of a request.
const (
	apiBody = 8 << 20 // bytes
	apiTime = 30 * time.Second
)

// mount adds the API to a router. docs/queues.md lists its requests.
func (a *API) mount(r gin.IRouter) {
	g := r.Group("/api", a.guard)
	g.POST("/emit", a.answer((*apiCall).emit))
	for _, route := range []struct {
		method, path string
		f            func(*apiCall) (any, error)
	}{
		{"GET", "/queues", (*apiCall).list},
		{"GET", "/queues/:queue", (*apiCall).show},
		{"PUT", "/queues/:queue", (*apiCall).configure},
		{"DELETE", "/queues/:queue", (*apiCall).remove},
		{"POST", "/queues/:queue/messages", (*apiCall).publish},
		{"GET", "/queues/:queue/messages", (*apiCall).peek},
		{"POST", "/queues/:queue/pause", (*apiCall).pause},
		{"POST", "/queues/:queue/resume", (*apiCall).resume},
		{"POST", "/queues/:queue/purge", (*apiCall).purge},
		{"POST", "/queues/:queue/redrive", (*apiCall).redrive},
		{"POST", "/inboxes", (*apiCall).inboxSend},
		{"GET", "/inboxes", (*apiCall).inboxShow},
		{"DELETE", "/inboxes", (*apiCall).inboxRemove},
	} {
		g.Handle(route.method, route.path, a.answer(route.f))
	}
}

// guard lets in who has the token. The time that it takes says nothing about it.
func (a *API) guard(c *gin.Context) {
	shown, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	want, got := sha256.Sum256([]byte(a.Token)), sha256.Sum256([]byte(shown))
	if !ok || a.Token == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		c.Header("WWW-Authenticate", "Bearer")
		reply(c, http.StatusUnauthorized, queueapi.Refusal{Code: queues.CodeUnauthorized, Message: "show the token: Authorization: Bearer …"})
		c.Abort()
	}
}

func reply(c *gin.Context, status int, v any) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	c.JSON(status, v)
}

// apiCall is one request.
type apiCall struct {
	*API
	ctx   context.Context
	c     *gin.Context
	queue string
}

func (a *API) answer(f func(*apiCall) (any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), apiTime)
		defer cancel()
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, apiBody)
		call := &apiCall{a, ctx, c, c.Param("queue")}
		if a.Broker == nil && c.FullPath() != "/api/emit" {
			reply(c, http.StatusNotFound, queueapi.Refusal{Code: queues.CodeNotFound, Message: "there are no queues here: set data or redis"})
			return
		}
		v, err := f(call)
		if err != nil {
			r := call.refusal(err)
			reply(c, statusOf(r.Code), r)
			return
		}
		status := http.StatusOK
		if r, ok := v.(queueapi.Refusal); ok {
			status = statusOf(r.Code)
		}
		reply(c, status, v)
	}
}

// statusOf is the HTTP status that a code has.
func statusOf(code queues.Code) int {
	switch code {
	case queues.CodeUnauthorized:
		return http.StatusForbidden
	case queues.CodeNotFound, queues.CodeGone:
		return http.StatusNotFound
	case queues.CodeBadRequest:
		return http.StatusBadRequest
	case queues.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case queues.CodeQueueFull, queues.CodeRateLimited:
		return http.StatusTooManyRequests
	case queues.CodePaused, queues.CodeConflict, queues.CodeSuperseded, queues.CodeTakenOver:
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

// decode reads the body's JSON object into v; an empty body leaves it as it is.
func (a *apiCall) decode(v any) error {
	body, err := io.ReadAll(a.c.Request.Body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return queues.Refuse(queues.CodeTooLarge, "the request is larger than 8 MiB")
	}
	if err == nil && len(strings.TrimSpace(string(body))) > 0 {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return queueapi.BadJSON("the body", err)
	}
	return nil
}

// refusal is the answer for an error. Who has the token may know what is behind it.
func (a *apiCall) refusal(err error) queueapi.Refusal {
	r := queueapi.RefusalOf(err)
	e, _ := errors.AsType[*queues.Error](err)
	switch {
	case e == queues.ErrNotFound && a.queue != "":
		r.Message = "there is no queue " + a.queue
	case e != nil && e.Cause != nil:
		r.Message += ": " + e.Cause.Error()
	}
	return r
}

// data takes a part of the body as data of its own. There is nothing binary in it.
func data(raw json.RawMessage) (queues.Payload, error) {
	if raw == nil {
		return queues.Payload{}, queues.Refuse(queues.CodeBadRequest, "data is missing")
	}
	return queues.Payload{JSON: raw}, nil
}

type ok struct {
	OK bool `json:"ok"`
}

type counted struct {
	OK bool `json:"ok"`
	N  int  `json:"n"`
}

func (a *apiCall) list() (any, error) {
	names, err := a.Broker.Queues(a.ctx)
	if err != nil {
		return nil, err
	}
	all := make([]queueapi.Numbers, 0, len(names))
	for _, name := range names {
		if st, err := a.Broker.Stats(a.ctx, name); err == nil {
			all = append(all, queueapi.NumbersOf(name, st))
		}
	}
	return map[string]any{"ok": true, "queues": all}, nil
}

func (a *apiCall) show() (any, error) {
	st, err := a.Broker.Stats(a.ctx, a.queue)
	if err != nil {
		return nil, err
	}
	cfg, err := a.Broker.Config(a.ctx, a.queue)
	if err != nil {
		return nil, err
	}
	return struct {
		ok
		queueapi.Numbers
		Config queueapi.Settings `json:"config"`
	}{ok{true}, queueapi.NumbersOf(a.queue, st), queueapi.SettingsOf(cfg)}, nil
}

func (a *apiCall) configure() (any, error) {
	var raw json.RawMessage
	if err := a.decode(&raw); err != nil {
		return nil, err
	}
	cfg, err := queueapi.ParseConfig(raw)
	if err != nil {
		return nil, err
	}
	return ok{true}, a.Broker.Configure(a.ctx, a.queue, cfg)
}

func (a *apiCall) remove() (any, error) {
	return ok{true}, a.Broker.Delete(a.ctx, a.queue, a.c.Query("force") == "true")
}

func (a *apiCall) publish() (any, error) {
	var in queueapi.Drafts
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	drafts, many := in.All(data)
	results, err := a.Broker.Publish(a.ctx, a.queue, drafts...)
	if err != nil {
		return nil, err
	}
	return queueapi.ResultsOf(results, many), nil
}

func (a *apiCall) peek() (any, error) {
	number := func(name string, def int) (int, error) {
		text := a.c.Query(name)
		if text == "" {
			return def, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, queues.Refuse(queues.CodeBadRequest, name+" isn't a number")
		}
		return n, nil
	}
	n, err := number("n", 10)
	offset, err2 := number("offset", 0)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	state := queues.Ready
	if s := a.c.Query("state"); s != "" {
		state = queues.State(s)
	}
	list, err := a.Broker.Peek(a.ctx, a.queue, state, offset, min(n, 1000))
	if err != nil {
		return nil, err
	}
	shown := make([]queueapi.Shown, len(list))
	for i, m := range list {
		shown[i] = queueapi.ShownOf(m)
	}
	return map[string]any{"ok": true, "messages": shown}, nil
}

func (a *apiCall) pause() (any, error)  { return a.paused(true) }
func (a *apiCall) resume() (any, error) { return a.paused(false) }

// paused stops or resumes publish, consume or, if neither is named, both.
func (a *apiCall) paused(on bool) (any, error) {
	var in struct{ Publish, Consume *bool }
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	st, err := a.Broker.Stats(a.ctx, a.queue)
	if err != nil {
		return nil, err
	}
	publish, consume := st.PublishPaused, st.ConsumePaused
	both := in.Publish == nil && in.Consume == nil
	if both || in.Publish != nil && *in.Publish {
		publish = on
	}
	if both || in.Consume != nil && *in.Consume {
		consume = on
	}
	return ok{true}, a.Broker.Pause(a.ctx, a.queue, publish, consume)
}

func (a *apiCall) purge() (any, error) {
	var in struct{ Dead bool }
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	n, err := a.Broker.Purge(a.ctx, a.queue, in.Dead)
	return counted{true, n}, err
}

func (a *apiCall) redrive() (any, error) {
	in := struct {
		N    int
		IDs  []string
		Rate float64
	}{N: -1}
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	ctx := a.ctx
	if in.Rate > 0 {
		ctx = a.c.Request.Context() // it takes its time
	}
	n, err := a.Broker.Redrive(ctx, a.queue, in.N, in.IDs, in.Rate)
	return counted{true, n}, err
}

func (a *apiCall) inboxSend() (any, error) {
	var in queueapi.Entry
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	e, err := in.Message(data)
	if err != nil {
		return nil, err
	}
	if in.Topic != "" {
		seq, err := a.Broker.TopicPublish(a.ctx, in.Topic, e)
		return map[string]any{"ok": true, "accepted": true, "tseq": seq}, err
	}
	sent, err := a.Broker.InboxSend(a.ctx, e, in.Inboxes()...)
	if err != nil {
		return nil, err
	}
	return in.Answer(sent), nil
}

func (a *apiCall) inbox() string { return queueapi.InboxNamed(a.c.Query("inbox")) }

func (a *apiCall) inboxShow() (any, error) {
	st, err := a.Broker.InboxStats(a.ctx, a.inbox())
	if err != nil {
		return nil, err
	}
	return struct {
		ok
		queueapi.InboxNumbers
	}{ok{true}, queueapi.InboxNumbersOf(a.inbox(), st)}, nil
}

func (a *apiCall) inboxRemove() (any, error) {
	return ok{true}, a.Broker.DeleteInbox(a.ctx, a.inbox())
}

// emit sends an event to rooms of a namespace, or to all of it, on all nodes.
func (a *apiCall) emit() (any, error) {
	var in struct {
		Namespace string
		Rooms     []string
		Except    []string
		Event     string
		Args      []json.RawMessage
		Volatile  bool
	}
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Event == "" || len(in.Event) > 128 || parser.IsReserved(in.Event):
		return nil, queues.Refuse(queues.CodeBadRequest, "event is missing, too long or reserved")
	case in.Namespace == "":
		in.Namespace = "/"
	}
	var ns *server.Namespace
	for _, n := range a.IO.Namespaces() {
		if n.Name() == in.Namespace {
			ns = n
		}
	}
	if ns == nil {
		return nil, queues.Refuse(queues.CodeNotFound, "this node has no such namespace")
	}
	if a.Apart != nil {
		if why := a.Apart(); why != "" { // who tries again later sends it once
			return nil, queues.Refuse(queues.CodeUnavailable, why+": nothing was sent")
		}
	}
	args := make([]any, len(in.Args))
	for i, arg := range in.Args {
		args[i] = arg
	}
	b := ns.To(in.Rooms...).Except(in.Except...)
	if in.Volatile {
		b = b.Volatile()
	}
	return ok{true}, b.Emit(a.ctx, in.Event, args...)
}
