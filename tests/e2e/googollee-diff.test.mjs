// One program, built with googollee v1.7.0 and with Roomcast in its place: a
// client of version 2.5 plays the same scripts against both, and the transcripts
// are equal, but for the faults that are mended.
import { test } from "node:test";
import assert from "node:assert/strict";
import { build, start } from "./lib/googollee.mjs";
import { mended, same } from "./scenarios/googollee.mjs";
import { Transcript } from "./lib/transcript.mjs";

async function play(way, mode, script) {
  const server = await start(way, "script");
  const transcript = new Transcript(server, mode, way === "original");
  try {
    await script(transcript);
    return transcript.seen;
  } finally {
    transcript.close();
    await server.kill();
  }
}

/** Plays a script against both. */
const both = (mode, script) => Promise.all(["original", "import"].map((way) => play(way, mode, script)));

/** Fails unless each line is in a transcript, as often as it is listed. */
function shows(seen, lines) {
  for (const [who, list] of Object.entries(lines)) {
    const rest = [...(seen[who] ?? [])];
    for (const line of list) {
      const at = rest.indexOf(line);
      assert.notEqual(at, -1, `googollee has no such fault: no ${line} in ${JSON.stringify(seen, null, 2)}`);
      rest.splice(at, 1);
    }
  }
}

const concurrency = 6;

test("googollee and Roomcast", async (t) => {
  build("original", "import");
  for (const mode of ["websocket", "polling"]) {
    const scripts = same.filter(({ modes }) => modes?.includes(mode) ?? true);
    await t.test(`are the same over ${mode}`, { concurrency }, (t) =>
      Promise.all(
        scripts.map(({ name, run }) =>
          t.test(name, async () => {
            const [theirs, ours] = await both(mode, run);
            assert.deepEqual(ours, theirs);
          }),
        ),
      ),
    );
  }
  await t.test("differ where a fault is mended", { concurrency }, (t) =>
    Promise.all(
      mended.map(({ name, mode, run, ours, theirs }) =>
        t.test(name, async () => {
          const [broken, whole] = await both(mode, run);
          assert.deepEqual(whole, ours);
          assert.notDeepEqual(broken, ours);
          shows(broken, theirs);
        }),
      ),
    ),
  );
});
