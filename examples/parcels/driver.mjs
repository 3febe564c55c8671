// A driver: takes pickups, one at a time, and delivers them.
//
//   npm install --no-save socket.io-client && node driver.mjs 7
import { io } from "socket.io-client";

const [name = "1", url = "http://127.0.0.1:8080", ms = "2000"] = process.argv.slice(2);
const socket = io(`${url}/drivers`, { auth: { name } });

/** Asks the server; a refusal is an error. */
async function ask(event, request) {
  const answer = await socket.timeout(10_000).emitWithAck(event, request);
  if (answer.ok === false) throw new Error(answer.message);
  return answer;
}

let connections = 0;
const carried = new Set(); // receipts of the pickups that this driver is on the road with

// Anew after each reconnect. With a session, what this driver had stays with it for 30 s.
async function consume() {
  const { resumed } = await ask("queue:consume", { queue: "pickups", session: `driver-${name}`, graceMs: 30_000 });
  // A pickup from before a crash, or that was lost on its way to us: nobody knows of it, so it goes to the next.
  const release = resumed.filter((r) => !carried.has(r));
  if (release.length > 0) await ask("queue:settle", { release });
  console.log(`driver ${name} is on the road`);
}

socket.on("connect", () => {
  connections++;
  // If the connection is lost before the answer, there is another connect.
  consume().catch((err) => console.log(`driver ${name} isn't on the road: ${err.message}`));
});

socket.on("queue:message", async (pickup, ack) => {
  const connection = connections;
  const parcel = pickup.data;
  console.log(`${parcel.id} for ${parcel.to}${pickup.attempt > 1 ? `, attempt ${pickup.attempt}` : ""}`);
  let outcome; // undefined: done
  carried.add(pickup.r);
  try {
    await new Promise((resolve) => setTimeout(resolve, Number(ms)));
    if (/nowhere/i.test(parcel.to)) throw new Error(`there is no ${parcel.to}`);
    await ask("delivered", parcel); // first the report, then the ack: a report may come twice, but none is missing
  } catch (err) {
    outcome = { nack: true, error: err.message };
  } finally {
    carried.delete(pickup.r);
  }
  // The callback belongs to the connection that it came by; the receipt holds on any.
  if (socket.connected && connections === connection) ack(outcome);
  else socket.emit("queue:settle", outcome ? { nack: [{ r: pickup.r, ...outcome }] } : { ack: [pickup.r] });
});
