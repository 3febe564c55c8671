// One program, built with googollee v1.7.0 and with Roomcast in its place: a
// client of version 2.5 plays the same scripts against both, and the transcripts
// are equal, but for the faults that are mended.
import { test } from "node:test";
import assert from "node:assert/strict";
import { build, start } from "./lib/googollee.mjs";
import { mended, same } from "./scenarios/googollee.mjs";
import { Transcript } from "./lib/transcript.mjs";

async function play(way, mode, script, patience) {
  const server = await start(way, "script");
  const transcript = new Transcript(server, mode, patience);
  try {
    await script(transcript);
    return transcript.seen;
  } finally {
    transcript.close();
    await server.kill();
  }
}

/** Plays a script against both. */
const both = (mode, script, patience) =>
  Promise.all(["original", "import"].map((way) => play(way, mode, script, patience)));

// Most of a script's time is spent waiting for what googollee doesn't send.
const concurrency = 6;

test("googollee and Roomcast", async (t) => {
  build("original", "import");
  for (const mode of ["websocket", "polling"]) {
    const scripts = same.filter(({ modes }) => modes?.includes(mode) ?? true);
    await t.test(`are the same over ${mode}`, { concurrency }, (t) =>
      Promise.all(
        scripts.map(({ name, run }) =>
          t.test(name, async () => {
            const [theirs, ours] = await both(mode, run, 10_000);
            assert.deepEqual(ours, theirs);
          }),
        ),
      ),
    );
  }
  await t.test("differ where a fault is mended", { concurrency }, (t) =>
    Promise.all(
      mended.map(({ name, mode, run, ours, crash }) =>
        t.test(name, async () => {
          if (crash) return assert.deepEqual(await play("import", mode, run, 1_500), ours);
          const [broken, whole] = await both(mode, run, 1_500);
          assert.deepEqual(whole, ours);
          assert.notDeepEqual(broken, ours, "googollee has no such fault");
        }),
      ),
    ),
  );
});
