// A TCP proxy whose network can be cut and mended, or stall, for tests of what
// clients and servers do then.
import net from "node:net";
import { once } from "node:events";

export async function startProxy(port) {
  const pairs = new Set();
  let down = false;
  const listener = net.createServer((client) => {
    if (down) return client.destroy();
    const upstream = net.connect(port, "127.0.0.1");
    const pair = [client, upstream];
    pairs.add(pair);
    for (const [from, to] of [pair, [upstream, client]]) {
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
      from.pipe(to);
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const destroy = () => pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()));
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** Every connection breaks and new ones are refused, until mend. */
    cut() {
      down = true;
      destroy();
    },
    mend() {
      down = false;
    },
    /** Connections stay open, but nothing passes any more. */
    stall() {
      pairs.forEach(([client, upstream]) => {
        client.unpipe(upstream);
        upstream.unpipe(client);
      });
    },
    async close() {
      destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}
