package main

import (
	"context"
	"fmt"

	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/internal/lobby"
	"github.com/roomcast/roomcast/server"
)

// openNamespaces opens the namespaces of the settings, and no others. verifier
// may be nil if none asks for tokens; node is this node's name in a cluster, else empty.
func openNamespaces(io *server.Server, c *config.Config, verifier *auth.Verifier, node string) error {
	main := false
	for i := range c.Namespaces {
		n := &c.Namespaces[i]
		policy := policyOf(n, verifier, node)
		policy.Status = c.Demo
		if n.Name != "" {
			ns, err := io.Open(n.Name)
			if err != nil {
				return fmt.Errorf("open namespace %s: %w", n.Name, err)
			}
			lobby.Open(ns, policy)
			main = main || n.Name == "/"
			continue
		}
		pattern, err := n.Regexp()
		if err != nil {
			return err
		}
		lobby.Open(io.OfMatch(pattern), policy)
	}
	if main {
		return nil
	}
	return openMain(io, c, verifier, node)
}

// openMain deals with the namespace "/", which the server always has: it is what
// the first pattern says that matches it, or closed.
func openMain(io *server.Server, c *config.Config, verifier *auth.Verifier, node string) error {
	for i := range c.Namespaces {
		n := &c.Namespaces[i]
		if n.Pattern == "" {
			continue
		}
		if pattern, err := n.Regexp(); err != nil {
			return err
		} else if pattern.MatchString("/") {
			policy := policyOf(n, verifier, node)
			policy.Status = c.Demo
			lobby.Open(io.Of("/"), policy)
			return nil
		}
	}
	io.Of("/").Use(func(context.Context, *server.Socket) error {
		return server.Errorf("forbidden", "Invalid namespace") // as for any other that doesn't exist
	})
	return nil
}

func policyOf(n *config.Namespace, verifier *auth.Verifier, node string) lobby.Policy {
	p := lobby.Policy{
		Join:      n.Join.Allows,
		Send:      n.Send.Allows,
		MaxRooms:  int(n.MaxRooms),
		Anonymous: n.Auth == "optional",
		Node:      node,
	}
	if n.Auth != "none" {
		p.Verify = verifier.Verify
	}
	return p
}
