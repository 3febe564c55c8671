// Package websocket names the WebSocket transport.
package websocket

import "github.com/roomcast/roomcast/compat/googollee/engineio/transport/websocket"

// Transport is WebSocket.
type Transport = websocket.Transport

// Default is what is used if a server's options name no transports.
var Default = websocket.Default
