// The streams of a cluster, as a process without sockets sees them.
import { encode } from "@msgpack/msgpack";
import { until } from "./harness.mjs";

/** The name of the stream of number i. */
export const streamName = (config, i = 0) => `${config.prefix}:stream` + (config.streams > 1 ? `-${i}` : "");

/**
 * Writes entries as @socket.io/redis-streams-emitter 0.1.1 does, byte for byte as it was compared with one built from its
 * source, since npm doesn't have it: emit, join, leave, disconnect and server return when Redis has the entry.
 */
export function streamsEmitter(redis, stream, { nsp = "/", rooms = [], except = [], flags = {} } = {}) {
  const write = (type, data, binary) =>
    redis.command(
      "XADD", stream, "MAXLEN", "~", 10_000, "*", "uid", "emitter", "nsp", nsp, "type", type,
      "data", binary ? Buffer.from(encode(data)).toString("base64") : JSON.stringify(data),
    );
  const opts = { rooms, except, flags: {} };
  const emitted = { rooms, flags, except }; // in this order
  const binary = (args) => args.some((v) => v instanceof Uint8Array);
  return {
    emit: (...data) => write(3, { packet: { type: 2, data, nsp }, opts: emitted }, binary(data)),
    join: (names) => write(4, { opts, rooms: names }),
    leave: (names) => write(5, { opts, rooms: names }),
    disconnect: (close) => write(6, { opts, close }),
    server: (...packet) => write(9, { packet }, binary(packet)),
  };
}

/**
 * Waits until an official server has read from the streams. One that has read
 * nothing yet misses what is written between two of its reads.
 */
export async function warm(redis, server, streams) {
  for (const stream of streams) {
    const e = streamsEmitter(redis, stream);
    await until(async () => {
      await e.server("warm", stream);
      return (await server.do("heard")).includes(stream);
    }, `${server.kind} reads ${stream}`);
  }
}
