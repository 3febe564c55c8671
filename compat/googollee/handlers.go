package socketio

import "strings"

// OnConnect sets the handler of clients that join a namespace. Its error
// refuses the client: it gets the error's message, and in "/" loses its connection.
// The handler of "/" runs before those of other namespaces, for clients too that don't
// join "/" by themselves.
func (s *Server) OnConnect(namespace string, f func(Conn) error) {
	ns := s.namespace(namespace)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.connect = f
}

// OnDisconnect sets the handler of clients that have left a namespace and its
// rooms. The reason is "" if they left the namespace, and "client namespace disconnect" if
// the connection ended, by whomever.
func (s *Server) OnDisconnect(namespace string, f func(Conn, string)) {
	ns := s.namespace(namespace)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.disconnect = f
}

// OnError sets the handler of errors: arguments that don't fit a handler,
// panics, refusals, and what Emit and Join couldn't do. Without it they are logged.
func (s *Server) OnError(namespace string, f func(Conn, error)) {
	ns := s.namespace(namespace)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.fail = f
}

// OnEvent sets the handler of an event: a func(Conn, ...) whose further
// parameters take the event's arguments, decoded from JSON, and whose results, if any,
// are the ack's. It panics if f is something else.
func (s *Server) OnEvent(namespace, event string, f interface{}) {
	h := newHandler(f)
	ns := s.namespace(namespace)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.events == nil {
		ns.events = map[string]*function{}
	}
	ns.events[event] = h
}

func cleanName(name string) string {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return name
}

// namespace returns the namespace, made if need be.
func (s *Server) namespace(name string) *namespace {
	name = cleanName(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ns := s.namespaces[name]
	if ns != nil {
		return ns
	}
	ns = &namespace{srv: s, name: name}
	s.namespaces[name] = ns
	if core := s.core.Load(); core != nil {
		if err := ns.attach(core); err != nil {
			s.log.Error("googollee: a namespace can't be opened", "namespace", name, "error", err)
		}
	}
	return ns
}

// known returns the namespace if it is there and the server runs, else nil.
func (s *Server) known(name string) *namespace {
	if _, err := s.start(); err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ns := s.namespaces[cleanName(name)]; ns != nil && ns.core != nil {
		return ns
	}
	return nil
}

func (s *Server) root() *namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namespaces["/"]
}
