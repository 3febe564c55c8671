package socketio

// EachFunc is called for each connection by Server.ForEach.
type EachFunc func(Conn)

// Broadcast is googollee's interface of adapters. Nothing takes one: it is
// here for programs that name it.
type Broadcast interface {
	Join(room string, connection Conn)
	Leave(room string, connection Conn)
	LeaveAll(connection Conn)
	Clear(room string)
	Send(room, event string, args ...interface{})
	SendAll(event string, args ...interface{})
	ForEach(room string, f EachFunc)
	Len(room string) int
	Rooms(connection Conn) []string
	AllRooms() []string
}
