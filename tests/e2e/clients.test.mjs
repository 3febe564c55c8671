// Every client version over every transport, against servers in different dress.
import { matrix } from "./lib/matrix.mjs";
import connect from "./scenarios/connect.mjs";
import disconnect from "./scenarios/disconnect.mjs";
import events from "./scenarios/events.mjs";
import rooms from "./scenarios/rooms.mjs";
import upgrade from "./scenarios/upgrade.mjs";

const all = [...connect, ...events, ...rooms, ...disconnect, ...upgrade];

// Heartbeats quick enough to be part of what is tested (ms).
const heartbeat = { pingInterval: 2000, pingTimeout: 4000 };

matrix({ name: "plain server", config: heartbeat }, all);
matrix({ name: "MessagePack", config: { ...heartbeat, parser: "msgpack" }, versions: ["3.1", "4.8"] }, all);
matrix({ name: "with recovery", config: { ...heartbeat, recovery: true } }, all);
matrix({ name: "with compression", config: { ...heartbeat, deflate: true }, modes: ["websocket"] }, events);
