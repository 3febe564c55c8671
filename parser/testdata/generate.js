// Writes node.json: what the official parser makes of messages, and the
// messages that it makes of packets. To run it:
//
//	npm install socket.io-parser@4.2.7 && node generate.js > node.json
//
// Binary values are written as {"$bytes": "<base64>"}.
const { Encoder, Decoder } = require("socket.io-parser");

const ph = (n) => `{"_placeholder":true,"num":${n}}`;
const bin = (...b) => Buffer.from(b);

const decode = [
  // every type, with and without data
  ["0"], ['0{"token":"x"}'], ["0/admin,"], ['0/admin,{"token":"x"}'], ["0/admin"], ["0/admin?x=1,"], ["0{}"], ["0/,"],
  ["1"], ["1/admin,"], ["15"],
  ['2["foo",1]'], ['2/admin,12["foo"]'], ["2"], ["2/a,"], ["212"], ['2[5,"x"]'], ["2[1.5]"], ["2[-1]"], ['2["a",null]'], ['2[""]'],
  ["3[]"], ["35[]"], ['3/admin,13["bar"]'], ["3"], ["31"], ['31[null,{"a":[]}]'],
  ['4{"message":"Not authorized"}'], ['4/admin,{"message":"x","data":{"a":1}}'], ['4"bad"'], ["4"],
  [`51-["e",${ph(0)}]`, bin(1)], [`51-["e",${ph(0)}]`, bin()],
  [`52-/a,7["e",${ph(0)},{"k":${ph(1)}}]`, bin(1), bin(2, 3)], [`61-7[1,${ph(0)}]`, bin(9)], [`61-[${ph(0)}]`, bin(9)],
  [`52-["e",${ph(1)},${ph(0)}]`, bin(1), bin(2)],
  [`51-["e",{"num":0,"_placeholder":true}]`, bin(1)], [`51-["e",{"_placeholder": true , "num" : 0 , "more":1}]`, bin(1)],
  [`51-["e",{"\\u005fplaceholder":true,"num":0}]`, bin(1)],
  [`51-["e",{"_placeholder":false,"num":0},${ph(0)}]`, bin(1)], [`51-["e",{"_placeholder":1,"num":5},${ph(0)}]`, bin(1)],
  // leading zeros, spaces
  ["2007[\"x\"]"], ['2 ["x"]'], ['2[ "x" , 1 ]\n'], ["051-{}"], [`501-["e",${ph(0)}]`, bin(1)], [`51 -["e",${ph(0)}]`],
  ['29007199254740991["x"]'], ['29007199254740992["x"]'], ['299999999999999999999["x"]'],
  // errors
  ["7"], ["8[]"], ["9"], ["999"], ["a"], ["{}"], ["-1"],
  ["5"], ["51"], ["5a-"], ["51.23-"], ["5-1-"], ["5-[]"], ["50-[]"], [`5-1-["e"]`], ["5-"], ["6"], ["6-[]"], ["60-[]"], ["51e0-[]"], ["50x1-[]"], ["5+1-[]"],
  ['511-["e"]'], ["5451000000-[]"], ["51000000000-[]"], ["599999999999999999999999-[]"],
  ['442["some","data"'], ['0/admin,"invalid"'], ["0[]"], ["0null"], ['0"x"'], ["1/admin,{}"], ["1[]"], ["1x"], ['2/admin,"invalid'], ["2/admin,{}"],
  ['2[{"toString":"foo"}]'], ['2[true,"foo"]'], ['2[null,"bar"]'], ["2[]"], ["2[[]]"], ['2["connect"]'], ['2["disconnect","123"]'],
  ['2["connect_error"]'], ['2["disconnecting"]'], ['2["newListener"]'], ['2["removeListener"]'], ['2["conn\\u0065ct"]'], ['2["Connect"]'], ['2["error"]'], ['2["connection"]'],
  ["2{}"], ['2"x"'], ["2null"], ["2true"], ['2["a"'], ['2["a",]'], ['2["a"]]'], ['2["a"]x'], ["2[01]"], ["2[+1]"], ["2[1.]"], ["2[.5]"], ["2[1e]"], ["2['a']"], ['2["\t"]'], ['2["\\x"]'], ['2["a",NaN]'], ['2["a",undefined]'],
  ["3{}"], ["31{}"], ["4[]"], ["45"], ["4null"], ['2/["x"]'],
  [bin(1)], [`51-["e",${ph(0)}]`, '2["x"]'], [`51-["e",${ph(0)}]`, "0"], ['2["x"]', bin(1)], [`51-["e",${ph(0)}]`],
  [`51-["e",{"_placeholder":true,"num":"splice"}]`, bin(1)], [`51-["e",${ph(1)}]`, bin(1)], [`51-["e",${ph(-1)}]`, bin(1)],
  [`51-["e",{"_placeholder":true}]`, bin(1)], [`51-["e",{"_placeholder":true,"num":null}]`, bin(1)], [`51-["e",{"_placeholder":true,"num":0.5}]`, bin(1)],
  [`51-["e",{"_placeholder":true,"num":1e0}]`, bin(1)], [`51-["e",{"_placeholder":true,"num":-0}]`, bin(1)],
  [`51-["e",${ph(0)},${ph(0)}]`, bin(1)], [`51-["e"]`, bin(1)], ["51-", bin(1)], [`52-["e",${ph(0)}]`, bin(1), bin(2)],
  [`51-["e",{"_placeholder":true,"num":1,"num":0}]`, bin(1)],
  // a placeholder without an attachment is an object
  [`2["e",${ph(0)}]`], [`31[${ph(3)}]`],
  ['2["a",1e400]'],
  // text
  ['2["é€😀","\\ud83d\\ude00","\\u0000","\\/"]'], ['2["a",{"__proto__":1}]'], ['2["a",{"k":1,"k":2}]'],
  ['2["a",9007199254740993,-0,1E5,0.1]'],
];

const encode = [
  { type: 0, nsp: "/woot", data: { token: "123" } }, { type: 0, nsp: "/", data: { sid: "x" } }, { type: 0, nsp: "/" },
  { type: 1, nsp: "/woot" }, { type: 1, nsp: "/" },
  { type: 2, data: ["a", 1, {}], nsp: "/" }, { type: 2, data: ["a", 1, {}], id: 1, nsp: "/test" }, { type: 2, data: ["a"], id: 0, nsp: "/" },
  { type: 3, data: ["a", 1, {}], id: 123, nsp: "/" }, { type: 3, data: [], id: 5, nsp: "/admin" },
  { type: 4, data: "Unauthorized", nsp: "/" }, { type: 4, data: { message: "Unauthorized" }, nsp: "/" },
  { type: 2, data: ["a", Buffer.from("abc")], id: 23, nsp: "/cool" }, { type: 2, data: ["a", { b: ["c", Buffer.from("abc")] }], id: 23, nsp: "/cool" },
  { type: 3, data: ["a", Buffer.from("xxx"), {}], id: 127, nsp: "/back" },
  { type: 2, data: ["a", bin()], nsp: "/" },
  { type: 2, data: ["a", { a: "hi", b: { why: bin(0, 0, 0) }, c: { a: "bye", b: { a: bin(1, 1, 1, 1, 1, 1) } } }], id: 999, nsp: "/deep" },
  { type: 2, data: ["a", { a: "b", c: 4, e: { g: null }, h: bin(9) }], nsp: "/", id: 600 },
  { type: 2, data: ["a", bin(1, 2, 3), bin(4, 5, 6)], nsp: "/" },
  { type: 2, data: ["<é€😀&\u2028>", "\"\\/\b\f\n\r\t\u0001\u007f"], nsp: "/" },
];

const numbers = [0, -0, 1, -1, 0.1, 1.5, -2.25, 1e5, 123456789012, 9007199254740991, 9007199254740992, 9007199254740994, 1e20, 1e21, 1.5e21, 123456789e15, 1e-5, 1e-6, 1e-7, 1.5e-7, 1e-10, 5e-324, 1.7976931348623157e308, 1e100, -1e-7, -1e21, 0.1 + 0.2];

function plain(v) {
  if (Buffer.isBuffer(v)) return { $bytes: v.toString("base64") };
  if (Array.isArray(v)) return v.map(plain);
  if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
  return v;
}

function run(messages) {
  const decoder = new Decoder();
  let packet;
  decoder.on("decoded", (p) => (packet = p));
  const result = { messages: messages.map(plain) };
  try {
    for (const m of messages) {
      packet = undefined;
      decoder.add(m);
    }
    if (packet) result.packet = plain(packet);
    else result.pending = true;
  } catch (e) {
    result.error = e.message;
  }
  return result;
}

console.log("{");
console.log('"decode": [\n' + decode.map((m) => JSON.stringify(run(m))).join(",\n") + "\n],");
console.log('"encode": [\n' + encode.map((p) => {
  const packet = plain({ ...p });
  return JSON.stringify({ packet, messages: new Encoder().encode(p).map(plain) });
}).join(",\n") + "\n],");
console.log('"numbers": [\n' + numbers.map((n) => JSON.stringify([Object.is(n, -0) ? "-0" : n.toExponential(17), JSON.stringify(n)])).join(",\n") + "\n]");
console.log("}");
