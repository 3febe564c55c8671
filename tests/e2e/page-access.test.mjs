// The page for everybody: by keyboard alone, at a phone's width, in light and in
// dark, with contrast that is measured, and without motion for who asks so.
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { tooFaint } from "./lib/contrast.mjs";
import { startProgram } from "./lib/program.mjs";
import { hears, inside, present, say, sees, state, transport, visit } from "./lib/visit.mjs";

/** What has the focus: how it is called, and whether the focus is seen. */
const focus = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const style = getComputedStyle(element);
    return {
      id: element.dataset.testid ?? element.getAttribute("aria-label") ?? element.textContent.trim(),
      seen: element === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2),
      top: element.getBoundingClientRect().top,
    };
  });

/** Presses Tab until the element of that name has the focus. */
async function tabTo(page, id, key = "Tab") {
  for (let i = 0; i < 60; i++) {
    if ((await focus(page)).id === id) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} never came to ${id}`);
}

test("the page for everybody", { skip }, async (t) => {
  const server = await startProgram();
  const browser = await launch();
  const desktop = { viewport: { width: 1440, height: 900 } };
  try {
    const grace = await visit(browser, server.url, "Grace", desktop);
    const ada = await visit(browser, server.url, "Ada", desktop);
    const { page } = ada;
    const keyboard = page.keyboard;
    await sees(ada, "Ada", "Grace");

    await t.test("Tab comes to every control in the order seen, shows where it is, and gets out again", { timeout: 60_000 }, async () => {
      const order = [];
      await page.evaluate(() => document.activeElement.blur());
      for (let i = 0; i < 60; i++) {
        await keyboard.press("Tab");
        const now = await focus(page);
        if (now.id === order[0]) break;
        assert.ok(now.seen, `the focus is not seen on ${now.id}`);
        order.push(now.id);
      }
      const expected = [
        "Skip to the live demo", "Roomcast, start", "How it works", "Docs", "Source", "theme-toggle", "invite", "copy-link", "tab-chat",
        "name-input", "room-chip-lobby", "room-chip-random", "room-input", "messages", "composer-input", "polling-only", "disconnect", "cut",
        "events", "A client", "The server", "Third-party notices", "Documentation", "Client API",
      ];
      assert.deepEqual(order.filter((id) => expected.includes(id)), expected);
    });
    await t.test("the skip link leads to the demo", { timeout: 30_000 }, async () => {
      await page.evaluate(() => document.activeElement.blur());
      await tabTo(page, "Skip to the live demo");
      await keyboard.press("Enter");
      await keyboard.press("Tab");
      assert.equal((await focus(page)).id, "tab-chat");
    });
    await t.test("a name, a room, a message", { timeout: 30_000 }, async () => {
      await tabTo(page, "name-input");
      await keyboard.press("ControlOrMeta+a");
      await keyboard.type("Ada Lovelace");
      await keyboard.press("Tab");
      ada.name = "Ada Lovelace";
      await inside(ada);
      await sees(grace, "Ada Lovelace", "Grace");
      await tabTo(page, "room-chip-random");
      await keyboard.press("Space");
      await sees(ada, "Ada Lovelace");
      await tabTo(page, "room-input");
      await keyboard.type("lobby");
      await keyboard.press("Enter");
      await sees(ada, "Ada Lovelace", "Grace");
      await tabTo(page, "composer-input");
      await keyboard.type("typed, not clicked");
      await keyboard.press("Enter");
      await hears(grace, "typed, not clicked");
    });
    await t.test("arrow keys change the tab; the board draws and lets go", { timeout: 30_000 }, async () => {
      await tabTo(page, "tab-chat", "Shift+Tab");
      await keyboard.press("ArrowRight");
      assert.equal((await focus(page)).id, "tab-board");
      assert.equal(await ada.id("tab-board").getAttribute("aria-selected"), "true");
      await inside(ada);
      await tabTo(page, "board-canvas");
      await keyboard.press("Space");
      await keyboard.press("Shift+ArrowRight");
      await keyboard.press("Space");
      const drawn = await ada.id("board-canvas").evaluate((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0));
      assert.ok(drawn);
      await tabTo(page, "tab-board", "Shift+Tab");
      await keyboard.press("End");
      assert.equal((await focus(page)).id, "tab-queues");
      await inside(ada);
      await keyboard.press("Home");
      assert.equal((await focus(page)).id, "tab-chat");
    });
    await t.test("the queue and the inbox", { timeout: 30_000 }, async () => {
      await keyboard.press("End");
      await tabTo(page, "worker-start");
      await keyboard.press("Enter");
      await until(async () => (await ada.id("worker").getAttribute("data-state")) === "idle", "a worker");
      await tabTo(page, "publish-1", "Shift+Tab");
      await keyboard.press("Enter");
      await until(async () => (await ada.id("lane-done").getByTestId("card").count()) === 1, "the message is done");
      await tabTo(page, "worker-kill");
      await keyboard.press("Enter");
      await until(async () => (await ada.id("worker").count()) === 0, "the worker is gone");
      const around = () => page.evaluate(() => document.activeElement.className); // the focus was nowhere when its button had gone
      assert.equal(await around(), "crew");
      await tabTo(page, "inbox-leave");
      await keyboard.press("Enter");
      await tabTo(page, "inbox-text");
      await keyboard.type("to myself");
      await keyboard.press("Enter");
      await tabTo(page, "inbox-open", "Shift+Tab");
      await keyboard.press("Enter");
      await tabTo(page, "inbox-ack");
      await keyboard.press("Enter");
      await until(async () => (await ada.id("letter").getAttribute("data-acked")) === "true", "acknowledged");
      assert.match(await around(), /inbox/);
      await tabTo(page, "tab-queues", "Shift+Tab");
      await keyboard.press("Home");
      await inside(ada);
    });
    await t.test("the switch, leaving and coming back", { timeout: 30_000 }, async () => {
      await tabTo(page, "polling-only");
      await keyboard.press("Space");
      await until(async () => (await transport(ada)) === "polling" && (await state(ada)) === "connected", "polling");
      await keyboard.press("Space");
      await until(async () => (await transport(ada)) === "websocket", "WebSocket");
      await tabTo(page, "disconnect");
      await keyboard.press("Enter");
      await until(async () => (await state(ada)) === "disconnected", "disconnected");
      await tabTo(page, "connect");
      await keyboard.press("Enter");
      await inside(ada);
    });

    for (const colorScheme of ["light", "dark"]) {
      await t.test(`contrast in ${colorScheme} is AA at least`, { timeout: 60_000 }, async () => {
        await page.emulateMedia({ colorScheme });
        await say(ada, `measured in ${colorScheme}`);
        await say(grace, "answered");
        await hears(ada, "answered");
        await page.mouse.move(0, 0);
        const checked = { texts: 0, edges: 0 };
        const measured = async (what) => {
          const { faint, texts, edges } = await tooFaint(page);
          assert.deepEqual(faint, [], `${what}, ${colorScheme}`);
          checked.texts += texts;
          checked.edges += edges;
        };
        await measured("chat");
        await ada.id("tab-board").click();
        await inside(ada);
        await measured("board");
        await ada.id("tab-queues").click();
        await inside(ada);
        await ada.id("kind-poison").click();
        await ada.id("publish-1").click();
        await ada.id("delay-5").click();
        await ada.id("publish-10").click();
        await ada.id("delay-0").click();
        await until(async () => (await ada.id("lane-ready").getByTestId("card").count()) === 5, "cards");
        await measured("queues");
        await ada.id("inbox-leave").click();
        await until(async () => (await ada.id("inbox").getAttribute("data-state")) === "left", "left");
        await measured("queues, the inbox closed");
        await ada.id("inbox-open").click();
        await until(async () => (await ada.id("inbox").getAttribute("data-state")) === "open", "open");
        await ada.id("disconnect").click();
        await until(async () => (await state(ada)) === "disconnected", "disconnected");
        await measured("disconnected");
        await ada.id("connect").click();
        await inside(ada);
        await ada.id("tab-chat").click();
        await until(async () => (await present(ada)).length === 2, "both in the chat");
        assert.ok(checked.texts > 150 && checked.edges > 25, JSON.stringify(checked));
      });
    }
    await t.test("the measure finds what is too faint", async () => {
      await page.emulateMedia({ colorScheme: "light" });
      await page.evaluate(() => {
        document.querySelector(".how dt").style.color = "rgb(130, 135, 160)";
        document.querySelector(".how dd").style.opacity = 0.6;
        document.querySelector(".hero .button:not(.primary)").style.borderColor = "rgb(200, 200, 210)";
      });
      const { faint } = await tooFaint(page);
      assert.deepEqual(faint.map((line) => line.split(" ")[0]).sort(), ["edge", "text", "text"], faint.join("\n"));
      await page.reload();
      await inside(ada);
    });

    await t.test("the theme follows the system, or what was chosen, also after a reload", { timeout: 30_000 }, async () => {
      const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.emulateMedia({ colorScheme: "light" });
      const light = await ground();
      await page.emulateMedia({ colorScheme: "dark" });
      const dark = await ground();
      assert.notEqual(light, dark);
      await ada.id("theme-toggle").click(); // auto -> light
      assert.equal(await ground(), light);
      await page.reload();
      await inside(ada);
      assert.equal(await ground(), light);
      await ada.id("theme-toggle").click(); // -> dark
      await page.emulateMedia({ colorScheme: "light" });
      assert.equal(await ground(), dark);
      await ada.id("theme-toggle").click(); // -> auto
      assert.equal(await ground(), light);
    });

    await t.test("at the width of a phone nothing scrolls sideways or overlaps the edge", { timeout: 60_000 }, async () => {
      await ada.id("tab-chat").click();
      await say(ada, `a_word_without_end_${"x".repeat(300)}`);
      for (const width of [320, 360, 834]) {
        await page.setViewportSize({ width, height: 740 });
        for (const tab of ["chat", "board", "queues"]) {
          await ada.id(`tab-${tab}`).click();
          await inside(ada);
          const [scroll, outside] = await page.evaluate(() => [
            document.documentElement.scrollWidth,
            [...document.querySelectorAll("button, input, a, h1, h2, p, li, canvas")]
              .filter((e) => e.checkVisibility() && !e.closest("pre, .skip, .cursor, [role=tablist]") && e.getBoundingClientRect().right > innerWidth + 0.5)
              .map((e) => e.outerHTML.slice(0, 100)),
          ]);
          assert.ok(scroll <= width, `${tab} at ${width}: ${scroll}`);
          assert.deepEqual(outside, [], `${tab} at ${width}`);
          if (width !== 320) await page.screenshot({ path: join(out, `${tab}-${width}.png`) });
        }
      }
      const targets = await page.evaluate(() =>
        [...document.querySelectorAll("button, input, .foot a")]
          .filter((e) => e.checkVisibility() && Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 24)
          .map((e) => e.outerHTML.slice(0, 100)),
      );
      assert.deepEqual(targets, [], "too small for a finger");
    });

    await t.test("nothing moves for who asks for that", { timeout: 60_000 }, async () => {
      const moving = async (options) => {
        const visitor = await visit(browser, server.url, "Linus", { ...desktop, ...options });
        await visitor.page.evaluate(() => {
          window.started = 0;
          for (const event of ["animationstart", "transitionstart"]) document.addEventListener(event, () => started++, true);
        });
        await say(grace, "look at this");
        await hears(visitor, "look at this");
        await visitor.id("polling-only").click();
        await until(async () => (await transport(visitor)) === "polling" && (await state(visitor)) === "connected", "polling");
        await visitor.id("tab-queues").click();
        await inside(visitor);
        await visitor.id("worker-start").click();
        await until(async () => (await visitor.id("lane-leased").getByTestId("card").count()) > 0, "a message moves");
        const count = await visitor.page.evaluate(() => started);
        await visitor.context.close();
        return count;
      };
      assert.ok((await moving({ reducedMotion: "no-preference" })) > 0, "otherwise there is motion");
      assert.equal(await moving({ reducedMotion: "reduce" }), 0);
    });

    await t.test("the licences of what the page is made of are there", async () => {
      const text = await (await fetch(`${server.url}/third-party.txt`)).text();
      for (const part of ["instrument-sans", "spline-sans-mono", "SIL OPEN FONT LICENSE Version 1.1", "socket.io-client", "preact"]) {
        assert.ok(text.includes(part), part);
      }
    });
    await t.test("nothing is complained of", () => {
      assert.deepEqual([...ada.complained, ...grace.complained], []);
    });
  } finally {
    await browser.close();
    await server.stop();
  }
});
