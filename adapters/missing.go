package adapters

import (
	"fmt"
	"strings"
)

// MissingError says who has not answered a request: it is what Request yields
// beside the replies that came.
type MissingError struct {
	Nodes   []string // nodes by name, as far as they are known by name
	Unnamed int      // how many nodes more
	Acks    int      // Ask: how many clients were asked by nodes that answered, and have not acknowledged
}

func (e *MissingError) Error() string {
	var parts []string
	if len(e.Nodes) > 0 {
		parts = append(parts, "no answer from "+strings.Join(e.Nodes, ", "))
	}
	if e.Unnamed > 0 {
		parts = append(parts, fmt.Sprintf("no answer from %d unnamed nodes", e.Unnamed))
	}
	if e.Acks > 0 {
		parts = append(parts, fmt.Sprintf("no ack from %d clients", e.Acks))
	}
	return "adapters: " + strings.Join(parts, "; ")
}
