package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Codes of refused requests, with the texts of the official server.
const (
	unknownTransport = iota
	unknownSID
	badMethod
	badRequest
	forbidden
	unsupportedVersion
)

var refusals = [...]string{
	"Transport unknown",
	"Session ID unknown",
	"Bad handshake method",
	"Bad request",
	"Forbidden",
	"Unsupported protocol version",
}

// ConnectionError tells why a request was refused.
type ConnectionError struct {
	Request *http.Request
	Code    int            // 0 to 5, as officially
	Message string         // the text of Code
	Context map[string]any // what was wrong, such as "sid", "origin" or "limit"
}

// Error has code, message and context in one line.
func (e *ConnectionError) Error() string {
	return fmt.Sprintf("engine: request refused: %s (code %d, %v)", e.Message, e.Code, e.Context)
}

// refusal is an answer to a request that is not admitted.
type refusal struct {
	code    int
	status  int    // 400 by default, or 403 for forbidden
	message string // to the client, instead of the text of code
	context map[string]any
	retry   bool // with Retry-After
}

func mismatch(transport, previous string) refusal {
	return refusal{code: badRequest, context: map[string]any{
		"name": "TRANSPORT_MISMATCH", "transport": transport, "previousTransport": previous}}
}

// refuse answers a request that is not admitted, and reports it.
func (srv *Server) refuse(w http.ResponseWriter, r *http.Request, no refusal) {
	srv.stats.refused(no.code)
	if f := srv.cfg.OnConnectionError; f != nil {
		f(&ConnectionError{Request: r, Code: no.code, Message: refusals[no.code], Context: no.context})
	}
	message := no.message
	if message == "" {
		message = refusals[no.code]
	}
	if srv.isUpgrade(r) && srv.refuseUpgrade(w, no, message) {
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	if no.retry {
		h["Retry-After"] = []string{"1"}
	}
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{no.code, message})
	w.WriteHeader(no.statusOr(http.StatusForbidden))
	w.Write(body)
}

// statusOr is the status of a refusal; officially Forbidden is 403, but 400 in
// the answer to an upgrade request.
func (no refusal) statusOr(forbiddenStatus int) int {
	switch {
	case no.status != 0:
		return no.status
	case no.code == forbidden:
		return forbiddenStatus
	}
	return http.StatusBadRequest
}

// refuseUpgrade writes the raw answer that the official server gives to
// upgrade requests, if the connection can be taken over.
func (srv *Server) refuseUpgrade(w http.ResponseWriter, no refusal, message string) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if !errors.Is(err, http.ErrNotSupported) {
			srv.log.Debug("engine: refuse upgrade", "error", err)
		}
		return false
	}
	defer conn.Close()
	status := no.statusOr(http.StatusBadRequest)
	retry := ""
	if no.retry {
		retry = "Retry-After: 1\r\n"
	}
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-type: text/html\r\n%sContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), retry, len(message), message)
	return true
}
