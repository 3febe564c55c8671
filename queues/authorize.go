package queues

import (
	"context"
	"strings"
)

// Action is something that a principal wants to do.
type Action string

// The actions. The name that goes with each is that of a queue, inbox or topic.
const (
	Publish   Action = "publish"    // to a queue
	Consume   Action = "consume"    // from a queue
	Inspect   Action = "inspect"    // see a queue's numbers and messages
	Admin     Action = "admin"      // pause, purge, redrive, configure, delete a queue
	OpenInbox Action = "inbox.open" // read an inbox
	SendInbox Action = "inbox.send" // send to an inbox or topic
	Subscribe Action = "subscribe"  // one's inbox to a topic
)

// words say what a principal does by an action to what is named behind them.
var words = map[Action]string{
	Publish: "publish to", Consume: "consume from", Inspect: "inspect", Admin: "admin",
	OpenInbox: "open the inbox", SendInbox: "send to", Subscribe: "subscribe to",
}

// refusal is ErrUnauthorized in words.
func refusal(principal string, action Action, name string) error {
	who := "a client without a name"
	if principal != "" {
		who = principal
	}
	return Refuse(CodeUnauthorized, who+" isn't allowed to "+words[action]+" "+name)
}

// Authorize decides whether a principal may do something. An error says no; it has
// CodeUnauthorized for the client unless it is an Error itself.
type Authorize func(ctx context.Context, principal string, action Action, name string) error

// OwnInbox is the Authorize that is used if there is no other: nothing is allowed but
// to open the inbox of one's own name, or one of one's devices.
func OwnInbox(_ context.Context, principal string, action Action, name string) error {
	owner, _, _ := strings.Cut(name, "/")
	if action == OpenInbox && principal != "" && owner == principal {
		return nil
	}
	return ErrUnauthorized
}
