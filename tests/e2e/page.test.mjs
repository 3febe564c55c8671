// The page of the program in two browsers. Screenshots go to out/, to be looked at.
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { complaints, launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";

test("the page, in two browsers", { skip }, async (t) => {
  const server = await startProgram();
  const browser = await launch();
  const visit = async (name, options = {}) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(10_000);
    const complained = complaints(page);
    await page.goto(`${server.url}/?name=${name}`);
    return { page, complained, id: (testid) => page.getByTestId(testid) };
  };
  const text = async (locator) => ((await locator.first().textContent()) ?? "").toLowerCase();
  const shot = (page, name) => page.screenshot({ path: join(out, `${name}.png`) });
  try {
    const ada = await visit("Ada");
    const grace = await visit("Grace", { colorScheme: "dark" });

    await t.test("both upgrade to WebSocket and see each other", { timeout: 30_000 }, async () => {
      for (const { id } of [ada, grace]) {
        await until(async () => (await text(id("transport"))).includes("websocket"), "WebSocket shown");
        await until(async () => (await id("member").count()) === 2, "two members");
      }
    });
    await t.test("they talk, by keyboard alone", { timeout: 30_000 }, async () => {
      await ada.id("composer-input").focus();
      await ada.page.keyboard.type("hello, Grace 🎉");
      await ada.page.keyboard.press("Enter");
      await until(async () => (await grace.id("messages").textContent()).includes("hello, Grace 🎉"), "the message");
      await shot(ada.page, "chat-light");
      await shot(grace.page, "chat-dark");
    });
    await t.test("at 360 px nothing scrolls sideways", { timeout: 30_000 }, async () => {
      await ada.page.setViewportSize({ width: 360, height: 720 });
      const [scroll, width] = await ada.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      await shot(ada.page, "chat-360");
      assert.ok(scroll <= width, `${scroll} > ${width}`);
    });
    await t.test("nothing is complained of", () => {
      assert.deepEqual([...ada.complained, ...grace.complained], []);
    });
  } finally {
    await browser.close();
    await server.stop();
  }
});
