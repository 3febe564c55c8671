// Writes node.json: what socket.io-msgpack-parser makes of packets and messages. To run it:
//
//	npm install socket.io-msgpack-parser@3.0.2 && node generate.js > node.json
//
// Binary values are written as {"$bytes": "<base64>"}; messages as hexadecimal digits.
const { Encoder, Decoder } = require("socket.io-msgpack-parser");

const bin = (...b) => Buffer.from(b);
const many = (n, v) => new Array(n).fill(v);
const members = (n) => Object.fromEntries(many(n, 0).map((_, i) => ["k" + i, i]));

// Packets that both encode to the same bytes, and decode from them.
const same = [
  { type: 0, data: { sid: "abc" }, nsp: "/" }, { type: 0, nsp: "/zz" }, { type: 1, nsp: "/" }, { type: 1, nsp: "/admin" },
  { type: 2, data: ["hello", "x"], id: 0, nsp: "/" }, { type: 2, data: ["bcast", bin(1)], nsp: "/" },
  { type: 3, data: ["ok"], id: 0, nsp: "/" }, { type: 3, data: [], id: 4294967296, nsp: "/" },
  { type: 4, data: { message: "no" }, nsp: "/" }, { type: 4, data: "no", nsp: "/" },
  { type: 2, data: ["n", 0, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991, -1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991, 0.5, -1.25, 1e-7], nsp: "/" },
  { type: 2, data: ["v", null, true, false, [], {}, "é😀\n\"", [[[]]], { a: { b: [bin(), bin(1, 2)] }, c: 1 }], nsp: "/" },
  { type: 2, data: ["s", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256)], nsp: "/" },
  { type: 2, data: ["b", Buffer.alloc(255), Buffer.alloc(256)], nsp: "/" },
  { type: 2, data: ["a", many(15, 1), many(16, 1), members(15), members(16)], nsp: "/" },
];

// Packets of which only the bytes are decoded.
const decode = [
  { type: 0, data: undefined, nsp: "/zz" }, { type: 0, data: { token: "abc" }, nsp: "/", options: { compress: true } },
  { options: { compress: true, list: [bin(1), { a: 1 }] }, nsp: "/", id: 7, data: ["e"], type: 2 }, { type: 0, data: { sid: "x", pid: undefined }, nsp: "/", id: undefined },
  { type: 2, data: ["d", new Date(0), new Date(1700000000123), new Date(-1), new Date(253402300800000), new Date(-62198755200000)], nsp: "/" },
  { type: 2, data: ["u", undefined, { a: undefined, b: 1, c: undefined }, [undefined]], nsp: "/" },
  { type: 2, data: ["t", new Uint8Array([1, 2, 3]), new Uint8Array(8), new Uint8Array(1), new ArrayBuffer(2)], nsp: "/" },
];

const hex = [
  // errors
  "", "c1", "80", "90", "01", "a178", "c0",
  "82a474797065 05 a36e7370a12f", "82a474797065 ff a36e7370a12f", "82a474797065 a132 a36e7370a12f", "81a36e7370a12f", "82a474797065 d40000 a36e7370a12f",
  "81a47479706500", "82a47479706500a36e737001", "82a47479706500a36e7370c0",
  "83a47479706500a46461746190a36e7370a12f", "83a47479706500a464617461c0a36e7370a12f", "83a47479706501a46461746180a36e7370a12f", "83a47479706501a464617461c0a36e7370a12f",
  "82a47479706502a36e7370a12f", "83a47479706502a46461746180a36e7370a12f", "82a47479706503a36e7370a12f", "82a47479706504a36e7370a12f", "83a47479706504a46461746101a36e7370a12f",
  "84a47479706502a46461746191a178a26964a130a36e7370a12f", "84a47479706502a46461746191a178a26964c0a36e7370a12f", "84a47479706502a46461746191a178a26964cb3ff8000000000000a36e7370a12f",
  "82a47479706501a36e7370a12f00", "82a47479706501a36e7370a12f0000", "82a47479706501a36e7370",
  // forms that notepack doesn't write
  "83a47479706502a46461746192a165ca3fc00000a36e7370a12f", "83a474797065cc02a46461746191d90165a36e7370da00012f", "83a474797065d300000000000000 02a464617461dd00000001db0000000165a36e7370a12f",
  "df00000003a47479706502a464617461dc0001a165a36e7370a12f", "83a47479706502a46461746192a165d501aabba36e7370a12f", "83a47479706502a46461746192a165d5 00aabba36e7370a12f",
  "83a47479706502a46461746192a165d6ff00000001a36e7370a12f", "83a47479706502a46461746192a165c7 0105 aaa36e7370a12f", "83a47479706502a46461746192a165c7 0000 a36e7370a12f",
  "83a47479706502a46461746192a165c5000101a36e7370a12f", "83a47479706502a46461746192a165c8000100 01a36e7370a12f", "83a47479706502a46461746192a165cb7ff0000000000000a36e7370a12f",
].map((s) => s.replace(/ /g, ""));

function plain(v) {
  if (v instanceof Date) return v.toJSON();
  if (Buffer.isBuffer(v)) return { $bytes: v.toString("base64") };
  if (v instanceof ArrayBuffer) return plain(Buffer.from(v));
  if (Array.isArray(v)) return v.map(plain);
  if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
  return v;
}

function run(message) {
  const result = { hex: message.toString("hex") };
  const decoder = new Decoder();
  decoder.on("decoded", (p) => {
    delete p.options;
    result.packet = plain(p);
  });
  try {
    decoder.add(message);
  } catch (e) {
    result.error = e.message;
  }
  return JSON.stringify(result);
}

const encode = (p) => new Encoder().encode(p)[0];
console.log("{");
console.log('"same": [\n' + same.map((p) => run(encode(p))).join(",\n") + "\n],");
console.log('"decode": [\n' + [...decode.map(encode), ...hex.map((h) => Buffer.from(h, "hex"))].map(run).join(",\n") + "\n]");
console.log("}");
