package socketio

import (
	"fmt"
	"reflect"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
)

// function is a handler or an ack callback, called by reflection.
type function struct {
	f    reflect.Value
	args []reflect.Type // without the Conn of a handler
}

// newHandler returns the handler of an event. It panics if f isn't func(Conn, ...).
func newHandler(f any) *function {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Func {
		panic("event handler must be a func.")
	}
	// By its name, so that a program may have an interface of its own of the same methods.
	if t := v.Type(); t.NumIn() < 1 || t.In(0).Name() != "Conn" {
		panic("handler function should be like func(socketio.Conn, ...)")
	}
	return newFunction(v, 1)
}

func newFunction(v reflect.Value, skip int) *function {
	fn := &function{f: v}
	for i := skip; i < v.Type().NumIn(); i++ {
		fn.args = append(fn.args, v.Type().In(i))
	}
	return fn
}

// isFunc reports whether v is an ack callback.
func isFunc(v any) bool { return v != nil && reflect.TypeOf(v).Kind() == reflect.Func }

// decode returns the arguments as f takes them. Those that are missing or null
// are zero, or point to a zero value; those beyond are ignored.
func (fn *function) decode(event string, args server.Args, in []reflect.Value) ([]reflect.Value, error) {
	for i, t := range fn.args {
		pointer := t.Kind() == reflect.Pointer
		if pointer {
			t = t.Elem()
		}
		v := reflect.New(t)
		if err := args.Decode(i, v.Interface()); err != nil {
			return nil, &server.DecodeError{Event: event, Arg: i, Err: err}
		}
		if !pointer {
			v = v.Elem()
		}
		in = append(in, v)
	}
	return in, nil
}

// call calls f and returns what it returned.
func (fn *function) call(in []reflect.Value) []any {
	var results []any
	for _, v := range fn.f.Call(in) {
		results = append(results, v.Interface())
	}
	return results
}

// encodable returns values as they are to be sent: a []byte is a base64
// string, as it always was, and only a parser.Buffer is binary. Values aren't changed.
func encodable(values []any) ([]any, error) {
	out := make([]any, len(values))
	for i, v := range values {
		var err error
		if out[i], err = parser.AsText(v); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return out, nil
}
