package namespaces

import (
	"fmt"
	"testing"

	"github.com/roomcast/roomcast/parser"
)

// Clients are told what was expected of them, and not the names of our types: they were.
func TestDecodeErrorsInTheClientsWords(t *testing.T) {
	type secretType struct{ A uint8 }
	for _, test := range []struct {
		sent string
		into any
		want string
	}{
		{`"x"`, new(int64), "string can't be a whole number of 64 bits"},
		{`300`, new(int8), "number 300 can't be a whole number of 8 bits"},
		{`-1`, new(uint16), "number -1 can't be a whole number of 16 bits from 0"},
		{`1.5`, new(int64), "number 1.5 can't be a whole number of 64 bits"},
		{`"x"`, new(float64), "string can't be a number"},
		{`1`, new(bool), "number can't be true or false"},
		{`[]`, new(string), "array can't be a string"},
		{`1`, new(secretType), "number can't be an object"},
		{`1`, new(map[string]int), "number can't be an object"},
		{`{}`, new([]string), "object can't be an array"},
		{`1`, new([]byte), "number can't be binary data"},
		{`1`, new(fmt.Stringer), "number can't be taken here"},
		{`{"A":"x"}`, new(secretType), "string can't be a whole number of 8 bits from 0 in A"},
	} {
		args, err := parser.ParseArgs(parser.Payload{JSON: []byte("[" + test.sent + "]")})
		if err != nil {
			t.Fatal(err)
		}
		told := &DecodeError{"e", 0, args.Decode(0, test.into)}
		if want := `argument 1 of "e": ` + test.want; told.Err == nil || told.Error() != want {
			t.Errorf("%s into a %T: %q", test.sent, test.into, told)
		}
	}
}
