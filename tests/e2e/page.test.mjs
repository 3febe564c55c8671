// The page of the program in two browsers: people, rooms, messages. Screenshots
// go to out/, to be looked at.
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { hears, present, say, sees, transport, visit } from "./lib/visit.mjs";

test("the page, in two browsers", { skip }, async (t) => {
  const server = await startProgram();
  const browser = await launch();
  const shot = ({ page }, name) => page.screenshot({ path: join(out, `${name}.png`) });
  try {
    const ada = await visit(browser, server.url, "Ada");
    await t.test("who is alone is told what to do", async () => {
      await until(() => ada.id("alone").isVisible(), "the hint");
    });
    const grace = await visit(browser, server.url, "Grace", { colorScheme: "dark" });

    await t.test("both upgrade to WebSocket and see each other", { timeout: 30_000 }, async () => {
      for (const visitor of [ada, grace]) {
        await until(async () => (await transport(visitor)) === "websocket", "WebSocket shown");
        await sees(visitor, "Ada", "Grace");
        assert.equal(await visitor.id("upgrade").getAttribute("data-upgrade"), "done");
        await until(async () => / ms$/.test(await visitor.id("latency").textContent()), "a latency");
      }
    });
    await t.test("each sees the other's transport and latency", { timeout: 30_000 }, async () => {
      const other = grace.page.locator('[data-testid="member"][data-name="Ada"]');
      await until(async () => (await other.getAttribute("data-transport")) === "websocket", "her transport");
      await until(async () => / ms$/.test(await other.getByTestId("member-latency").textContent()), "her latency");
    });
    await t.test("their avatars have colours that differ", async () => {
      for (const { page } of [ada, grace]) {
        const colours = await page.locator(".members .avatar:visible").evaluateAll((list) => list.map((a) => getComputedStyle(a).backgroundColor));
        assert.equal(new Set(colours).size, 2, String(colours));
      }
    });
    await t.test("they talk", { timeout: 30_000 }, async () => {
      await say(ada, "hello, Grace 🎉");
      await hears(grace, "hello, Grace 🎉");
      await say(grace, "hello, Ada");
      await hears(ada, "hello, Ada");
      await until(async () => (await ada.page.locator('[data-own="true"]').getAttribute("data-status")) === "sent", "the ack");
      await shot(ada, "chat-light");
      await shot(grace, "chat-dark");
    });
    await t.test("a room is apart from the others; the link leads to it", { timeout: 30_000 }, async () => {
      await grace.id("room-chip-random").click();
      await sees(grace, "Grace");
      await sees(ada, "Ada");
      await say(grace, "only for random");
      assert.match(grace.page.url(), /room=random/);
      const linus = await visit(browser, server.url, "Linus", { query: "&room=random" });
      await sees(linus, "Grace", "Linus");
      await say(linus, "here too");
      await hears(grace, "here too");
      await say(ada, "still in the lobby");
      await sees(ada, "Ada");
      for (const [visitor, foreign] of [[ada, "only for random"], [ada, "here too"], [grace, "still in the lobby"]]) {
        assert.ok(!(await visitor.id("messages").textContent()).includes(foreign), `${visitor.name} got "${foreign}"`);
      }
      await linus.context.close();
      await sees(grace, "Grace");
    });
    await t.test("the invitation opens a window in the same room, under another name", { timeout: 30_000 }, async () => {
      const [popup] = await Promise.all([grace.context.waitForEvent("page"), grace.id("invite").click()]);
      await until(async () => (await present(grace)).length === 2, "the guest");
      assert.match(popup.url(), /room=random/);
      await popup.close();
    });
    await t.test("nothing is complained of", () => {
      assert.deepEqual([...ada.complained, ...grace.complained], []);
    });
  } finally {
    await browser.close();
    await server.stop();
  }
});
