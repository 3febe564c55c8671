// The Board tab: a namespace of its own, in which two browsers draw.
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { hears, inside, present, say, sees, visit } from "./lib/visit.mjs";

const board = "&tab=board";

/** Draws a line between two places, given as parts of the board's width and height. */
async function draw({ page, id }, ink, from, to) {
  await id(`ink-${ink}`).click();
  await id("board-canvas").scrollIntoViewIfNeeded();
  const box = await id("board-canvas").boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(from));
  await page.mouse.down();
  await page.mouse.move(...at(to), { steps: 8 });
  await page.mouse.up();
}

/** The colour at a place of a visitor's board: [red, green, blue, alpha]. */
function colour({ id }, [x, y]) {
  return id("board-canvas").evaluate((canvas, [x, y]) => [
    ...canvas.getContext("2d").getImageData(Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1).data,
  ], [x, y]);
}

// A thin line's edge is smoothed, so half of it may be missing at a place.
const isRed = ([r, g, b, a]) => a > 100 && r > 180 && g < 120 && b < 130;
const isBlue = ([r, g, b, a]) => a > 100 && b > 180 && r < 120 && g < 140;
const isEmpty = ([, , , a]) => a === 0;
const shows = (visitor, test, place) => until(async () => test(await colour(visitor, place)), `${visitor.name} has it at ${place}`);

test("the board, in two browsers", { skip }, async (t) => {
  const server = await startProgram();
  const browser = await launch();
  try {
    const ada = await visit(browser, server.url, "Ada", { query: board });
    const grace = await visit(browser, server.url, "Grace", { query: board });
    await sees(ada, "Ada", "Grace");

    await t.test("what one draws the other sees, both ways, and where the pointer is", { timeout: 30_000 }, async () => {
      await draw(ada, "red", [0.2, 0.3], [0.8, 0.3]);
      await shows(grace, isRed, [0.5, 0.3]);
      await draw(grace, "blue", [0.2, 0.6], [0.8, 0.6]);
      await shows(ada, isBlue, [0.5, 0.6]);
      await until(async () => (await ada.id("cursor").allTextContents()).includes("Grace"), "Grace's pointer");
      await ada.page.screenshot({ path: join(out, "board-light.png") });
    });
    await t.test("who comes later gets what is there", { timeout: 30_000 }, async () => {
      const linus = await visit(browser, server.url, "Linus", { query: board });
      await shows(linus, isRed, [0.5, 0.3]);
      await shows(linus, isBlue, [0.5, 0.6]);
      await linus.context.close();
      await sees(ada, "Ada", "Grace");
    });
    await t.test("a stroke by keyboard", { timeout: 30_000 }, async () => {
      await ada.id("ink-red").focus();
      await ada.page.keyboard.press("Enter");
      await ada.id("board-canvas").focus();
      await ada.page.keyboard.press("Space");
      for (let i = 0; i < 4; i++) await ada.page.keyboard.press("Shift+ArrowRight");
      await ada.page.keyboard.press("Space");
      await shows(grace, isRed, [0.6, 0.5]); // the pen starts in the middle
    });
    await t.test("#lobby of /board and #lobby of / are two rooms, over one connection", { timeout: 30_000 }, async () => {
      const linus = await visit(browser, server.url, "Linus"); // in the chat's lobby only
      await ada.id("tab-chat").click();
      await inside(ada);
      assert.ok((await present(ada)).includes("Linus"));
      assert.notEqual(await ada.id("socket-id").textContent(), await ada.id("socket-id-board").textContent());
      await say(ada, "said in the chat");
      await hears(linus, "said in the chat");
      await ada.id("tab-board").click();
      await sees(ada, "Ada", "Grace");
      await draw(ada, "red", [0.1, 0.85], [0.4, 0.85]);
      await shows(grace, isRed, [0.3, 0.85]);
      assert.doesNotMatch(await linus.id("messages").textContent(), /stroke/);
      assert.deepEqual(linus.complained, []);
      await linus.context.close();
    });
    await t.test("another room of the board has a sheet of its own", { timeout: 30_000 }, async () => {
      const board = grace.page.getByTestId("panel-board");
      await board.getByTestId("room-chip-random").click();
      await sees(grace, "Grace");
      assert.ok(isEmpty(await colour(grace, [0.5, 0.3])));
      await draw(grace, "blue", [0.1, 0.1], [0.4, 0.1]);
      await shows(grace, isBlue, [0.3, 0.1]);
      await board.getByTestId("room-chip-lobby").click();
      await sees(grace, "Ada", "Grace");
      await shows(grace, isRed, [0.5, 0.3]); // given again by who is there
      assert.ok(isEmpty(await colour(ada, [0.3, 0.1])));
    });
    await t.test("clearing clears for all", { timeout: 30_000 }, async () => {
      await grace.id("board-clear").click();
      await shows(ada, isEmpty, [0.5, 0.3]);
      await shows(grace, isEmpty, [0.5, 0.3]);
    });
    await t.test("nothing is complained of", () => {
      assert.deepEqual([...ada.complained, ...grace.complained], []);
    });
  } finally {
    await browser.close();
    await server.stop();
  }
});
