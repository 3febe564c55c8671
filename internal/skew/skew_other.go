//go:build !(linux && amd64)

package skew

import "os/exec"

// Start returns ErrUnsupported.
func Start(*exec.Cmd) (*Clock, error) { return nil, ErrUnsupported }
