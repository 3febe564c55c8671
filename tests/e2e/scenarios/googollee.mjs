// Scripts for googollee's users' program (compat/googollee/testdata/program).

const unicode = 'text "quoted" \\ \n <b>&</b>';

/** What must be the same with googollee and with Roomcast. */
export const same = [
  {
    name: "connect, contexts and rooms at the start",
    async run(t) {
      const [ada] = await t.connect("ada");
      await t.ask(ada, "where");
      await t.ask(ada, "context", "first");
      await t.ask(ada, "context", "second");
      await t.notes(1);
      await t.connect("bob");
      await t.ask(ada, "connections");
      await t.ask(ada, "len", "/", "everybody");
      await t.ask(ada, "len", "", "<id>");
    },
  },
  {
    name: "the context that ConnInitor has set",
    modes: ["polling"], // over WebSocket it may come too late: mended, below
    async run(t) {
      const c = t.open("ada", { query: { initial: "from ConnInitor" } });
      await t.until(() => c.socket.connected, "connected");
      await t.ask(c, "context", "mine");
      await t.ask(c, "context", "");
      await t.notes(1);
    },
  },
  {
    name: "arguments and answers",
    async run(t) {
      const [c] = await t.connect("ada");
      const object = { text: unicode, n: 3, f: 1.5, tags: ["a", "b"], labels: { k: "v" }, next: { text: "inner", f: 0, tags: null } };
      await t.ask(c, "text", unicode);
      await t.ask(c, "number", 41);
      await t.ask(c, "float", 5);
      await t.ask(c, "bool", false);
      await t.ask(c, "object", object);
      await t.ask(c, "object", { TEXT: "t", extra: 1, n: null });
      await t.ask(c, "pointer", object);
      await t.ask(c, "list", [1, 2, 3]);
      await t.ask(c, "map", { a: 1, b: [true, null], c: { d: "e" } });
      for (const v of ["text", 1, 1.5, true, null, [1, "a"], { a: 1 }]) await t.ask(c, "any", v);
      await t.ask(c, "raw", { a: [1, 2] });
      await t.ask(c, "three", "a", 2, { text: "c" });
      await t.ask(c, "several", 6, 7);
      await t.ask(c, "fails", "");
      await t.ask(c, "fails", "a reason");
      await t.ask(c, "bytes", "AQID");
      await t.ask(c, "nils");
      await t.ask(c, "numbers", 12345678901234);
      await t.ask(c, "times");
      await t.ask(c, "bytes-out");
    },
  },
  {
    name: "arguments that are missing, null or too many",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "three", "a");
      await t.ask(c, "three", "a", 2, { text: "c" }, "more", [1]);
      await t.ask(c, "three", null, null, null);
      await t.ask(c, "text");
      await t.ask(c, "number", null);
    },
  },
  {
    name: "events without an answer, and without a handler",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.unanswered(c, "nothing");
      await t.unanswered(c, "nobody-listens", 1, { a: 2 });
      c.socket.emit("text", "not asked for");
      c.socket.emit("echo", "word", [1, { a: "b" }]);
      await t.ask(c, "text", "still here");
    },
  },
  {
    name: "the types that the server sends",
    async run(t) {
      const [c] = await t.connect("ada");
      c.socket.emit("types");
      await t.settle();
    },
  },
  {
    name: "binary arguments and answers",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "buffer", Buffer.from([1, 2, 254]));
      await t.ask(c, "buffer", Buffer.alloc(0));
      await t.ask(c, "buffers", { List: [Buffer.from("one"), Buffer.from("two")], Inner: { B: Buffer.from("three") } });
      await t.ask(c, "values-of-buffers", [Buffer.from("one"), Buffer.from("three")]);
      await t.ask(c, "text", "after");
    },
  },
  {
    name: "order",
    async run(t) {
      const [c] = await t.connect("ada");
      for (let i = 0; i < 20; i++) c.socket.emit("slow", i, (n) => t.write("ada", "slow", n));
      for (let i = 0; i < 20; i++) c.socket.emit("echo", "n", i);
      await t.ask(c, "text", "done");
    },
  },
  {
    name: "questions to the client",
    async run(t) {
      const [c] = await t.connect("ada");
      for (const event of ["ask-nothing", "ask-object", "ask-each"]) {
        let n = event === "ask-each" ? 5 : 1;
        const listener = c.socket.on("answered", () => n--);
        c.socket.emit(event);
        await t.until(() => n <= 0, event);
        listener.off("answered");
      }
      c.socket.emit("ask", "why");
      await t.notes(2);
      await t.settle();
    },
  },
  {
    name: "rooms",
    async run(t) {
      const [ada, bob, cy] = await t.connect("ada", "bob", "cy");
      await t.ask(ada, "join", "a");
      await t.ask(ada, "join", "a");
      await t.ask(bob, "join", "a");
      await t.ask(bob, "join", "b");
      await t.ask(cy, "len", "/", "a");
      await t.ask(cy, "len", "", "b");
      await t.ask(cy, "len", "/", "none");
      await t.ask(cy, "len", "/nowhere", "a");
      await t.ask(cy, "all-rooms", "/");
      await t.ask(cy, "cast", "/", "a", "to a");
      await t.ask(ada, "cast", "", "a", "to a with its sender");
      await t.ask(cy, "cast", "/", "none", "to nobody");
      await t.ask(cy, "cast", "/nowhere", "a", "to nowhere");
      await t.ask(cy, "cast-own", "to myself");
      await t.settle();
      await t.ask(cy, "each", "/", "a");
      await t.ask(ada, "each", "/", "a");
      await t.ask(ada, "each", "/nowhere", "a");
      await t.ask(bob, "leave", "a");
      await t.ask(bob, "leave", "never-joined");
      await t.ask(cy, "cast", "/", "a", "ada alone");
      await t.ask(cy, "server-join", "/", "b");
      await t.ask(cy, "server-join", "/nowhere", "b");
      await t.ask(cy, "rooms");
      await t.ask(cy, "server-leave", "/", "b");
      await t.ask(cy, "rooms");
      await t.settle();
      await t.ask(cy, "clear", "/", "a");
      await t.ask(cy, "clear", "/nowhere", "a");
      await t.ask(ada, "rooms");
      await t.ask(ada, "leave-all");
      await t.ask(ada, "len", "/", "<id>");
      await t.ask(bob, "server-leave-all", "/");
      await t.ask(bob, "rooms");
      await t.ask(cy, "all-rooms", "/");
      await t.ask(cy, "no-rooms");
      await t.ask(cy, "rooms-of", "/chat");
      await t.ask(cy, "rooms-of", "/nowhere");
    },
  },
  {
    name: "namespaces",
    async run(t) {
      const [ada, bob] = await t.connect("ada", "bob");
      const chat = t.join("ada", "/chat", ada.io);
      const other = t.join("bob", "/chat", bob.io, { query: { a: 1 } });
      await t.until(() => chat.socket.connected && other.socket.connected, "both in /chat");
      await t.ask(chat, "id");
      await t.ask(ada, "id");
      await t.ask(chat, "say", "hello");
      await t.ask(other, "say", "hi");
      await t.ask(ada, "len", "/chat", "<id>");
      await t.ask(ada, "len", "/", "<id>");
      await t.ask(ada, "server-join", "/nowhere", "x");
      await t.notes(4);
      chat.socket.disconnect();
      await t.notes(1);
      await t.ask(other, "say", "alone");
      await t.ask(ada, "text", "still here");
      chat.socket.connect();
      await t.until(() => chat.socket.connected, "in /chat again");
      await t.notes(1);
      await t.ask(chat, "say", "back");
      await t.ask(ada, "text", "still here");
    },
  },
  {
    name: "disconnects",
    async run(t) {
      const [ada, bob, cy] = await t.connect("ada", "bob", "cy");
      const end = /^error in \/: (EOF|websocket: close|read tcp|.*closed)/; // mended, below
      await t.notes(3);
      ada.io.engine.close();
      await t.notes(1, { but: end });
      await t.ask(bob, "len", "/", "everybody");
      bob.socket.disconnect();
      await t.notes(1, { but: end });
      await t.ask(cy, "len", "/", "everybody");
    },
  },
  {
    name: "a connection that the server closes",
    modes: ["websocket"],
    async run(t) {
      const [ada, bob] = await t.connect("ada", "bob");
      await t.notes(2);
      ada.socket.emit("farewell");
      await t.until(() => !ada.socket.connected, "gone");
      await t.notes(1, { but: /^error in/ });
      await t.ask(bob, "len", "/", "everybody");
    },
  },
  {
    name: "requests that the checker lets through",
    modes: ["polling"],
    async run(t) {
      await t.fetch("&name=ada", (r) => [r.headers.get("x-checked")]);
      await t.upgrade("&name=ada", "x-checked");
    },
  },
];

const welcome = ["connect []"];
const ended = 'disconnect ["transport close"]';
const failure = (code, message) => `[{"ok":false,"code":"${code}","message":"${message}"}]`;
const note = (context = "<nil>") => `connect "/", context ${context}, rooms [<id>]`;
const gone = (context = "<nil>") => `disconnect "/": "client namespace disconnect", rooms [], context ${context}`;

/**
 * What googollee does wrong, and what Roomcast does instead: ours is all that is seen,
 * theirs are the lines that show the fault. */
export const mended = [
  {
    name: "Emit and broadcasts in OnConnect of / hang for ever",
    mode: "websocket",
    async run(t) {
      const c = t.open("eager");
      await t.until(() => c.socket.connected, "connected");
      await t.askInVain(c, "text", "alive");
    },
    theirs: { eager: ["no answer to text"] },
    ours: {
      eager: [
        "connect []",
        'event ["welcome",["<id>","everybody"],1]',
        'event ["arrived"]',
        'event ["everywhere"]',
        'answer to text ["alive"]',
      ],
    },
  },
  {
    name: "OnConnect may come before ConnInitor, whose context it lacks then",
    mode: "websocket",
    async run(t) {
      const c = t.open("ada", { query: { hold: 1, initial: "known" } });
      await t.notes(0, { extra: 1 });
      await t.release();
      if (!t.original) await t.notes(1);
      await t.until(() => c.socket.connected, "connected");
    },
    theirs: { notes: [note()] },
    ours: { ada: welcome, notes: [note("known")] },
  },
  {
    name: "BroadcastToNamespace comes once for each room that a client is in",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "cast-all", "/", "once");
      await t.settle();
    },
    theirs: { ada: ['event ["cast","once",2]', 'event ["cast","once",2]'] },
    ours: { ada: [...welcome, 'event ["cast","once",2]', "answer to cast-all [true]"] },
  },
  {
    name: "an argument of the wrong type ends the connection",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.notes(1);
      await t.ask(c, "number", "seven");
      await t.notes(1, { extra: 1 });
      await t.ask(c, "text", "alive");
    },
    theirs: { ada: [ended, "no answer to number"], notes: [gone()] },
    ours: {
      ada: [
        ...welcome,
        `answer to number ${failure("bad_request", 'argument 1 of \\"number\\": string can\'t be a whole number of 64 bits')}`,
        'answer to text ["alive"]',
      ],
      notes: [note(), "error in /: argument 1 of \"number\": string can't be a whole number of 64 bits"],
    },
  },
  ...[
    ["panic", ["a text"], "event call error: a text"],
    ["panic-error", [], "an error"],
  ].map(([event, args, text]) => ({
    name: `a panic in a handler ends the connection (${event})`,
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.notes(1);
      await t.ask(c, event, ...args);
      await t.notes(1, { extra: 1 });
      await t.ask(c, "text", "alive");
    },
    theirs: { ada: [ended, `no answer to ${event}`], notes: [gone()] },
    ours: {
      ada: [...welcome, `answer to ${event} ${failure("internal", "internal error")}`, 'answer to text ["alive"]'],
      notes: [note(), `error in /: ${text}`],
    },
  })),
  {
    name: "an event with a comma in its name ends the connection",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "comma,name");
    },
    theirs: { ada: [ended, "no answer to comma,name"] },
    ours: { ada: [...welcome, 'answer to comma,name ["comma"]'] },
  },
  {
    name: "Emit of nil panics",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      c.socket.emit("null");
      await t.ask(c, "text", "alive");
    },
    theirs: { ada: [ended, "no answer to text"] },
    ours: { ada: [...welcome, 'event ["null",null]', 'answer to text ["alive"]'] },
  },
  {
    name: "a parser.Buffer that isn't a pointer can't be sent",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.askInVain(c, "value");
    },
    theirs: { ada: ["a packet that can't be read", "no answer to value"] },
    ours: { ada: [...welcome, 'answer to value [{"bytes":"09"}]'] },
  },
  {
    name: "a parser.Buffer in a map can't be taken",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "values", { k: Buffer.from("abc") });
    },
    theirs: { ada: [ended, "no answer to values"] },
    ours: { ada: [...welcome, "answer to values [3]"] },
  },
  {
    name: "bytes in an interface{} are lost",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "any", Buffer.from([1, 2]));
    },
    theirs: { ada: ['answer to any ["map[string]interface {} map[_placeholder:true num:0]"]'] },
    ours: { ada: [...welcome, 'answer to any ["[]uint8 [1 2]"]'] },
  },
  {
    name: "text that isn't ASCII ends a polling connection",
    mode: "polling",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.ask(c, "text", "ünïcödé 🎉");
      await t.ask(c, "text", "alive");
    },
    theirs: { ada: ['disconnect ["transport error"]', "no answer to text", "no answer to text"] },
    ours: { ada: [...welcome, 'answer to text ["ünïcödé 🎉"]', 'answer to text ["alive"]'] },
  },
  {
    name: "a namespace without handlers ends the connection, and says nothing",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      const nowhere = t.join("ada", "/nowhere", c.io);
      await t.until(() => nowhere.over, "an end");
      await t.ask(c, "text", "alive");
    },
    theirs: { ada: [ended, "no answer to text"], "ada/nowhere": [ended] },
    ours: { ada: [...welcome, 'answer to text ["alive"]'], "ada/nowhere": ['error [{"message":"Invalid namespace"}]'] },
  },
  {
    name: "an error of OnConnect ends the connection, and nobody is told (/)",
    mode: "websocket",
    async run(t) {
      const c = t.open("intruder");
      let over = false;
      c.io.on("close", () => (over = true));
      await t.until(() => over, "closed");
      await t.notes(3);
    },
    theirs: { intruder: [...welcome, ended], notes: ["error in /: not you"] },
    ours: {
      intruder: ['error ["not you"]', ended],
      notes: [note(), gone(), "error in /: not you"],
    },
  },
  {
    name: "an error of OnConnect ends the connection, and nobody is told (/refusing)",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.notes(1);
      const refused = t.join("ada", "/refusing", c.io);
      await t.until(() => refused.over, "an end");
      await t.ask(c, "text", "alive");
      await t.notes(2, { extra: 1 });
    },
    theirs: { ada: [ended, "no answer to text"], "ada/refusing": [ended], notes: [gone(), "error in /refusing: not here"] },
    ours: {
      ada: [...welcome, 'answer to text ["alive"]'],
      "ada/refusing": ['error ["not here"]'],
      notes: [note(), 'disconnect "/refusing": "client namespace disconnect"', "error in /refusing: not here"],
    },
  },
  ...[
    ["the number of attachments isn't checked", '599999999999999-["buffer",{"_placeholder":true,"num":0}]', null],
    ["the number of a placeholder isn't checked", '51-["buffer",{"_placeholder":true,"num":7}]', Buffer.from("x")],
  ].map(([what, text, binary]) => ({
    name: `a packet ends the process: ${what}`,
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      c.io.engine.send(text);
      if (binary) c.io.engine.send(binary);
      await t.until(() => !c.socket.connected, "closed");
      const [bob] = await t.connect("bob");
      await t.ask(bob, "text", "alive");
    },
    theirs: { bob: ['connect_error [""]', "no answer to text"] },
    ours: { ada: [...welcome, ended], bob: [...welcome, 'answer to text ["alive"]'] },
  })),
  {
    name: "a client that doesn't poll holds up the whole namespace",
    mode: "websocket",
    async run(t) {
      const handshake = await (await fetch(`${t.server.url}/socket.io/?EIO=3&transport=polling`)).text();
      const sid = /"sid":"([^"]+)"/.exec(handshake)[1];
      await fetch(`${t.server.url}/socket.io/?EIO=3&transport=polling&sid=${sid}`); // it is in, and never polls again
      const [c] = await t.connect("ada");
      await t.ask(c, "len", "/", "everybody");
      await t.ask(c, "cast", "/", "everybody", "broadcast 1");
      if (!(await t.askInVain(c, "cast", "/", "everybody", "broadcast 2"))) return;
      await t.ask(c, "cast", "/", "everybody", "broadcast 3");
      await t.connect("bob");
    },
    theirs: { ada: ["answer to len [2]", "answer to cast [true]", "no answer to cast"] },
    ours: {
      ada: [
        ...welcome,
        "answer to len [2]",
        ...[1, 2, 3].flatMap((i) => [`event ["cast","broadcast ${i}",1]`, "answer to cast [true]"]),
      ],
      bob: welcome,
    },
  },
  {
    name: "the ids of sessions count up",
    mode: "websocket",
    async run(t) {
      const [ada, bob] = await t.connect("ada", "bob");
      const { id } = ada.io.engine;
      t.write("ids", "the next number", bob.io.engine.id === `${Number(id) + 1}`);
      t.write("ids", "length", id.length);
    },
    theirs: { ids: ["the next number [true]"] },
    ours: { ada: welcome, bob: welcome, ids: ["the next number [false]", "length [20]"] },
  },
  {
    name: "the end of a connection is an error in /",
    mode: "websocket",
    async run(t) {
      const [c] = await t.connect("ada");
      await t.notes(1);
      c.io.engine.close();
      await t.notes(1, { extra: 1 });
    },
    theirs: { notes: [gone(), "error in /: websocket: close 1005 (no status)"] },
    ours: { ada: [...welcome, 'disconnect ["forced close"]'], notes: [note(), gone()] },
  },
  {
    name: "a polling client that the server closes sees a failed request",
    mode: "polling",
    async run(t) {
      const [c] = await t.connect("ada");
      c.socket.emit("farewell");
      await t.until(() => !c.socket.connected, "gone");
    },
    theirs: { ada: ['error [""]', 'disconnect ["transport error"]'] },
    ours: { ada: [...welcome, ended] },
  },
  {
    name: "a request that is refused is answered with 502",
    mode: "polling",
    run: (t) => t.fetch("&deny=1", (r, body) => [body]),
    theirs: { fetch: ['&deny=1 [502,"request checker err: denied\\n"]'] },
    ours: { fetch: ['&deny=1 [403,"{\\"code\\":4,\\"message\\":\\"denied\\"}"]'] },
  },
  {
    name: "pages of other origins are served over polling",
    mode: "polling",
    run: (t) => t.fetch("", () => [], { headers: { Origin: "https://elsewhere.example" } }),
    theirs: { fetch: [" [200]"] },
    ours: { fetch: [" [403]"] },
  },
  {
    name: "JSONP writes what the client says into the script",
    mode: "polling",
    run: (t) => t.fetch("&j=alert(1)", (r, body) => [body.includes("alert")]),
    theirs: { fetch: ["&j=alert(1) [200,true]"] },
    ours: { fetch: ["&j=alert(1) [400,false]"] },
  },
];
