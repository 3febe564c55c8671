// A driver: takes pickups, one at a time, and delivers them.
//
//   npm install socket.io-client && node driver.mjs 7
import { io } from "socket.io-client";

const [name = "1", url = "http://127.0.0.1:8080", ms = "2000"] = process.argv.slice(2);
const socket = io(`${url}/drivers`, { auth: { name } });

let connections = 0;

// Anew after each reconnect. With a session, what this driver had stays with it for 30 s.
socket.on("connect", async () => {
  connections++;
  const answer = await socket.emitWithAck("queue:consume", { queue: "pickups", session: `driver-${name}`, graceMs: 30_000 });
  if (!answer.ok) throw new Error(answer.message);
  // A pickup from before a crash: nobody remembers it, so it goes to the next.
  if (answer.resumed.length > 0) await socket.emitWithAck("queue:settle", { release: answer.resumed });
  console.log(`driver ${name} is on the road`);
});

socket.on("queue:message", async (pickup, ack) => {
  const connection = connections;
  const parcel = pickup.data;
  console.log(`${parcel.id} for ${parcel.to}${pickup.attempt > 1 ? `, attempt ${pickup.attempt}` : ""}`);
  let outcome; // undefined: done
  try {
    await new Promise((resolve) => setTimeout(resolve, Number(ms)));
    if (/nowhere/i.test(parcel.to)) throw new Error(`there is no ${parcel.to}`);
    await socket.timeout(10_000).emitWithAck("delivered", parcel);
  } catch (err) {
    outcome = { nack: true, error: String(err) };
  }
  // The callback belongs to the connection that it came by; the receipt holds on any.
  if (socket.connected && connections === connection) ack(outcome);
  else socket.emit("queue:settle", outcome ? { nack: [{ r: pickup.r, ...outcome }] } : { ack: [pickup.r] });
});
