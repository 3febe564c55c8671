package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
)

// streamName is the stream of the nodes.
const streamName = "socket.io"

// deployment is the Redis of a cluster of nodes: one server, a primary and its replica with a Sentinel, or a
// Redis Cluster of three masters, one of which may have the stream and a replica.
type deployment struct {
	env
	server   *redistest.Server // alone
	sentinel *redistest.Sentinel
	cluster  *redistest.Cluster
	servers  []*redistest.Server // of clients, all of them
}

// deploy starts a deployment: "", "sentinel", "cluster", or "masters": a cluster without the replica.
func deploy(kind string, args ...string) (d *deployment, err error) {
	d = &deployment{}
	err = d.try(func() error {
		switch kind {
		case "sentinel":
			primary := redistest.Start(d, args...)
			replica := redistest.StartReplica(d, primary, args...)
			d.servers = []*redistest.Server{primary, replica}
			d.sentinel = redistest.StartSentinel(d, primary, replica)
		case "cluster":
			d.cluster = redistest.StartCluster(d, args...)
			d.cluster.AddReplica(d.cluster.Owner(streamName), args...)
			d.servers = d.cluster.Nodes
		case "masters":
			d.cluster = redistest.StartCluster(d, args...)
			d.servers = d.cluster.Nodes
		default:
			d.server = redistest.Start(d, args...)
			d.servers = []*redistest.Server{d.server}
		}
		return nil
	})
	if err != nil {
		d.end()
	}
	return d, err
}

// target is how a client finds the deployment.
type target struct {
	Addrs   []string
	Master  string            // that Sentinels, which Addrs are then, know
	Cluster bool              // Addrs are of one
	Via     map[string]string // links to servers, by their addresses
}

func (d *deployment) target() target {
	switch {
	case d.sentinel != nil:
		return target{Addrs: []string{d.sentinel.Addr}, Master: d.sentinel.Master}
	case d.cluster != nil:
		return target{Addrs: d.cluster.Addrs, Cluster: true}
	}
	return target{Addrs: []string{d.server.Addr}}
}

func (t target) client() redis.UniversalClient {
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: t.Addrs, MasterName: t.Master, IsClusterMode: t.Cluster, DisableIdentity: true, PoolSize: 20,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if link := t.Via[addr]; link != "" {
				addr = link
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	})
}

// owner returns the server that has the stream.
func (d *deployment) owner() *redistest.Server {
	switch {
	case d.sentinel != nil:
		return d.sentinel.Primary()
	case d.cluster != nil:
		return d.cluster.Owner(streamName)
	}
	return d.server
}

// standIn returns the replica of the server that has the stream.
func (d *deployment) standIn() *redistest.Server {
	for _, s := range d.servers {
		if info, _ := s.Admin().Info(context.Background(), "replication").Result(); replicates(info) {
			return s
		}
	}
	d.Fatal("there is no replica")
	return nil
}

// env is what package redistest needs of a test, for a program.
type env struct {
	cleanups []func()
}

type failure string

func (f failure) Error() string { return string(f) }

func (e *env) Helper()                           {}
func (e *env) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *env) Fatal(args ...any)                 { panic(failure(fmt.Sprint(args...))) }
func (e *env) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
func (e *env) Skip(args ...any)                  { e.Fatal(args...) }

func (e *env) TempDir() string {
	dir, err := os.MkdirTemp("", "roomcast-chaos")
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// try returns the failures of f as errors.
func (e *env) try(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			var failed failure
			if is, ok := r.(error); !ok || !errors.As(is, &failed) {
				panic(r)
			}
			err = failed
		}
	}()
	return f()
}

func (e *env) end() {
	for len(e.cleanups) > 0 {
		last := e.cleanups[len(e.cleanups)-1]
		e.cleanups = e.cleanups[:len(e.cleanups)-1]
		last()
	}
}
