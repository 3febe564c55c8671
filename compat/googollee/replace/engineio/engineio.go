// Package engineio has the options of the connection.
package engineio

import "github.com/roomcast/roomcast/compat/googollee/engineio"

type (
	CheckerFunc    = engineio.CheckerFunc
	Conn           = engineio.Conn
	ConnInitorFunc = engineio.ConnInitorFunc
	Options        = engineio.Options
)
