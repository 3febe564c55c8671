package namespaces

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// oneEach is a driver that takes its time, and has one adapter for each name at most, as that of Redis streams.
type oneEach struct {
	adapters.Driver
	mu   sync.Mutex
	open map[string]bool
}

func (d *oneEach) Open(name string, l adapters.Local) (adapters.Adapter, error) {
	d.mu.Lock()
	taken := d.open[name]
	d.open[name] = true
	d.mu.Unlock()
	if taken {
		return nil, errors.New("the namespace is open already")
	}
	time.Sleep(time.Millisecond)
	a, err := d.Driver.Open(name, l)
	return &slowly{a, d, name}, err
}

type slowly struct {
	adapters.Adapter
	d    *oneEach
	name string
}

func (a *slowly) Close(ctx context.Context) error {
	time.Sleep(time.Millisecond)
	a.d.mu.Lock()
	delete(a.d.open, a.name)
	a.d.mu.Unlock()
	return a.Adapter.Close(ctx)
}

// TestNamespaceIsOpenedOnce: of two clients that came to a new dynamic namespace at
// once, one was never answered, since its adapter was opened twice; likewise
// one that came while the last had just left.
func TestNamespaceIsOpenedOnce(t *testing.T) {
	reg, err := NewRegistry(Config{
		Driver: &oneEach{Driver: new(adapters.Memory), open: map[string]bool{}}, CleanupEmpty: true,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close(context.Background())
	reg.OfMatch(func(string) bool { return true })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				ns, err := reg.Of("/a")
				if err != nil {
					t.Error(err)
					return
				}
				reg.cleanup(ns)
			}
		})
	}
	all.Wait()
}
