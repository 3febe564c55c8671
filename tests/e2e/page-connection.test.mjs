// What the page shows of its connection: the switch to polling, lost lines, a
// server that is killed and started again.
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { hears, inside, say, sees, state, transport, visit } from "./lib/visit.mjs";

test("the page's connection", { skip }, async (t) => {
  let server = await startProgram();
  const browser = await launch();
  try {
    const ada = await visit(browser, server.url, "Ada");
    const grace = await visit(browser, server.url, "Grace");
    for (const visitor of [ada, grace]) await until(async () => (await transport(visitor)) === "websocket", "WebSocket");
    await sees(ada, "Ada", "Grace");
    const sockets = [];
    ada.page.on("websocket", (socket) => sockets.push(socket.url()));
    // For a moment there are two: whoever comes back by another connection is there before the old one is gone.
    const shownToGrace = (expected) =>
      until(async () => {
        const shown = await grace.page.locator('[data-testid="member"][data-name="Ada"]').evaluateAll((all) => all.map((e) => e.dataset.transport));
        return shown.length === 1 && shown[0] === expected;
      }, `Ada on ${expected}`);

    await t.test("polling only: no WebSocket is opened, and the talk goes on", { timeout: 30_000 }, async () => {
      await ada.id("polling-only").click();
      await until(async () => (await transport(ada)) === "polling" && (await state(ada)) === "connected", "polling");
      await inside(ada);
      await shownToGrace("polling");
      await say(ada, "by polling");
      await hears(grace, "by polling");
      await say(grace, "to a poller");
      await hears(ada, "to a poller");
      assert.deepEqual(sockets, []);
      assert.equal(await transport(ada), "polling");
      assert.match(ada.page.url(), /transport=polling/);
      await ada.page.screenshot({ path: join(out, "polling.png") });
    });
    await t.test("the choice outlives a reload, and can be taken back", { timeout: 30_000 }, async () => {
      await ada.page.reload();
      await inside(ada);
      assert.equal(await ada.id("polling-only").isChecked(), true);
      assert.equal(await transport(ada), "polling");
      assert.deepEqual(sockets, []);
      // The close overtakes the next poll, which the server then can't answer: that is nobody's mistake.
      const closed = ada.page.waitForResponse((r) => r.request().postData() === "1");
      const refused = ada.page.waitForResponse((r) => r.status() === 400);
      let polls = 0;
      await ada.page.route(/transport=polling.*sid=/, async (route) => {
        if (route.request().method() === "GET" && ++polls) await closed;
        await route.continue();
      });
      await say(grace, "something to poll for");
      await until(() => polls > 0, "a poll on its way");
      await ada.id("polling-only").click();
      assert.match(await (await refused).text(), /Session ID unknown/);
      await until(async () => (await transport(ada)) === "websocket", "WebSocket again");
      await ada.page.unrouteAll();
      assert.equal(sockets.length, 1);
      await shownToGrace("websocket");
    });
    await t.test("a cut line: the session is recovered, with what was missed", { timeout: 30_000 }, async () => {
      await inside(ada);
      const id = await ada.id("socket-id").textContent();
      await say(grace, "just before");
      await hears(ada, "just before");
      await ada.id("cut").click();
      await say(grace, "while the line was down");
      await until(() => ada.id("recovered").isVisible(), "the recovery");
      await hears(ada, "while the line was down");
      assert.equal(await ada.id("socket-id").textContent(), id);
      const lines = await ada.page.getByTestId("message-text").allTextContents();
      assert.equal(lines.filter((line) => line === "while the line was down").length, 1);
    });
    await t.test("who disconnects is told so, and comes back on request", { timeout: 30_000 }, async () => {
      await ada.id("disconnect").click();
      await until(async () => (await state(ada)) === "disconnected", "disconnected");
      await sees(grace, "Grace");
      assert.equal(await transport(ada), "none");
      assert.equal(await ada.id("latency").textContent(), "–");
      assert.equal(await ada.id("composer-send").isDisabled(), true);
      await ada.id("away-connect").click();
      await inside(ada);
      await sees(grace, "Ada", "Grace");
    });
    await t.test("the server is killed, and another starts in its place", { timeout: 60_000 }, async () => {
      await server.kill();
      for (const visitor of [ada, grace]) {
        await until(async () => (await state(visitor)) === "reconnecting", "reconnecting");
        assert.equal(await visitor.id("away").isVisible(), true);
      }
      await ada.page.screenshot({ path: join(out, "reconnecting.png") });
      server = await startProgram({ listen: server.address });
      for (const visitor of [ada, grace]) {
        await sees(visitor, "Ada", "Grace");
        await until(async () => (await state(visitor)) === "connected" && (await transport(visitor)) === "websocket", "connected again");
        assert.equal(await visitor.id("away").count(), 0);
      }
      await say(grace, "after the restart");
      await hears(ada, "after the restart");
    });
    await t.test("nothing is complained of but the server's absence", () => {
      // The browser itself writes a line for each connection that fails.
      const others = [...ada.complained, ...grace.complained].filter((line) => !/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection to|ERR_INCOMPLETE_CHUNKED/.test(line));
      assert.deepEqual(others, []);
    });
  } finally {
    await browser.close();
    await server.stop();
  }
});
