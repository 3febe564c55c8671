package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/internal/lobby"
	"github.com/roomcast/roomcast/server"
)

// opener opens namespaces as the settings say.
type opener struct {
	io       *server.Server
	cfg      *config.Config
	verifier *auth.Verifier // nil if no namespace asks for tokens
	node     string         // this node's name in a cluster, else empty
	queues   *hostQueues    // nil if there are none
	log      *slog.Logger
}

// all opens the namespaces of the settings, and no others.
func (o *opener) all() error {
	main := false
	for i := range o.cfg.Namespaces {
		n := &o.cfg.Namespaces[i]
		if n.Name != "" {
			ns, err := o.io.Open(n.Name)
			if err != nil {
				return fmt.Errorf("open namespace %s: %w", n.Name, err)
			}
			o.open(ns, n)
			main = main || n.Name == "/"
			continue
		}
		pattern, err := n.Regexp()
		if err != nil {
			return err
		}
		o.open(o.io.OfMatch(pattern), n)
	}
	if main {
		return nil
	}
	return o.main()
}

// open gives a namespace the events that its setting allows.
func (o *opener) open(ns *server.Namespace, n *config.Namespace) {
	lobby.Open(ns, o.policy(n))
	if n.Queues && o.queues != nil {
		o.queues.openTo(ns, o.log)
	}
}

// main deals with the namespace "/", which the server always has: it is what
// the first pattern says that matches it, or closed.
func (o *opener) main() error {
	for i := range o.cfg.Namespaces {
		n := &o.cfg.Namespaces[i]
		if n.Pattern == "" {
			continue
		}
		if pattern, err := n.Regexp(); err != nil {
			return err
		} else if pattern.MatchString("/") {
			o.open(o.io.Of("/"), n)
			return nil
		}
	}
	o.io.Of("/").Use(func(context.Context, *server.Socket) error {
		return server.Errorf("forbidden", "Invalid namespace") // as for any other that doesn't exist
	})
	return nil
}

func (o *opener) policy(n *config.Namespace) lobby.Policy {
	p := lobby.Policy{
		Join:      n.Join.Allows,
		Send:      n.Send.Allows,
		MaxRooms:  int(n.MaxRooms),
		Anonymous: n.Auth == "optional",
		Node:      o.node,
		Status:    o.cfg.Demo,
	}
	if n.Auth != "none" {
		p.Verify = o.verifier.Verify
	}
	return p
}
