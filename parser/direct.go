package parser

// EncodeEvent is MarshalEvent and JSON.Encode in one step, for the packet of a
// single receiver: it writes text once. id is NoID for an event that wants no ack.
func EncodeEvent(namespace string, id int64, event string, args ...any) (Encoded, error) {
	if IsReserved(event) {
		return Encoded{}, reservedError(event)
	}
	return encodeDirect(Event, namespace, id, event, args)
}

// EncodeAck is Marshal and JSON.Encode in one step.
func EncodeAck(namespace string, id int64, args ...any) (Encoded, error) {
	return encodeDirect(Ack, namespace, id, "", args)
}

func encodeDirect(t Type, namespace string, id int64, event string, args []any) (Encoded, error) {
	if err := checkNamespace(namespace); err != nil {
		return Encoded{}, err
	}
	e := encoder{dst: make([]byte, 0, headerLen(namespace)+6+len(event)+estimate(args))}
	e.dst = appendHeader(e.dst, t, namespace, id, 0)
	e.start = len(e.dst)
	e.dst = append(e.dst, '[')
	if t == Event {
		e.dst = AppendString(e.dst, event)
		if len(args) > 0 {
			e.dst = append(e.dst, ',')
		}
	}
	if err := e.args(args); err != nil {
		return Encoded{}, err
	}
	if len(e.attachments) > 0 { // their number belongs into the header
		return JSON.Encode(&Packet{
			Type: t, Namespace: namespace, ID: id,
			Payload: Payload{JSON: e.dst[e.start:], Attachments: e.attachments},
		})
	}
	return Encoded{Text: e.dst}, nil
}
