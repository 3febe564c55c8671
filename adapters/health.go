package adapters

// Health is the rare ability of a Driver to know whether this node hears the
// others, found by type assertion.
type Health interface {
	// Healthy returns nil while what this node publishes comes back to it, and
	// otherwise what is wrong.
	Healthy() error
}
