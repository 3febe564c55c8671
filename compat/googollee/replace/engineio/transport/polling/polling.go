// Package polling names the long-polling transport.
package polling

import "github.com/roomcast/roomcast/compat/googollee/engineio/transport/polling"

type (
	Addr      = polling.Addr
	Transport = polling.Transport
)

// Default is what is used if a server's options name no transports.
var Default = polling.Default
