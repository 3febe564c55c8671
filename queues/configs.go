package queues

import (
	"context"
	"errors"
	"time"
)

// cachedConfig is what a queue's configuration was.
type cachedConfig struct {
	Config
	at      time.Time
	renewed bool // somebody asks for it
}

// configAge is how old what the broker knows of a configuration may be.
const configAge = 5 * time.Second

// config returns the configuration of a queue as it is, or was some seconds ago.
func (b *Broker) config(ctx context.Context, queue string) (Config, error) {
	b.mu.RLock()
	c, ok := b.configs[queue]
	b.mu.RUnlock()
	if !ok || c.old() && b.renews(queue) {
		return b.askConfig(ctx, queue)
	}
	return c.Config, nil
}

func (c *cachedConfig) old() bool { return !c.renewed && time.Since(c.at) > configAge }

// renews reports whether the caller is the one to ask for a configuration. Those who want it meanwhile get the
// old one, so that publishing doesn't wait.
func (b *Broker) renews(queue string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.configs[queue]
	if !ok || !c.old() || b.isClosed() {
		return false
	}
	c.renewed = true
	b.configs[queue] = c
	return true
}

func (b *Broker) askConfig(ctx context.Context, queue string) (Config, error) {
	c, err := b.store.Config(ctx, queue)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.configs[queue] = cachedConfig{Config: c, at: time.Now()}
	case errors.Is(err, ErrNotFound):
		delete(b.configs, queue)
	default:
		if old, ok := b.configs[queue]; ok {
			old.at, old.renewed = time.Now(), false
			b.configs[queue] = old
			return old.Config, nil
		}
	}
	return c, err
}

func (b *Broker) forgetConfig(queue string) {
	b.mu.Lock()
	delete(b.configs, queue)
	b.mu.Unlock()
}
