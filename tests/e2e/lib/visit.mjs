// Visitors of the page: each a browser context of its own, as another person's would be.
import { complaints } from "./browser.mjs";
import { until } from "./clients.mjs";

/**
 * Opens the page as name and waits until it is in its room. query is added to
 * the address ("&room=x"), options go to the context. The visitor's id(x) is
 * the element with that data-testid.
 */
export async function visit(browser, url, name, { query = "", ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.setDefaultNavigationTimeout(20_000);
  const visitor = { name, context, page, complained: complaints(page), id: (testid) => page.getByTestId(testid) };
  await page.goto(`${url}/?name=${encodeURIComponent(name)}${query}`);
  await inside(visitor);
  return visitor;
}

/** Waits until a visitor has the state "connected" and is in the list of the tab shown. */
export async function inside({ page, name }) {
  const members = page.locator('[data-testid="member"]:visible');
  await until(async () => (await state({ page })) === "connected" && (await names(members)).includes(name), `${name} inside`);
}

export const state = ({ page }) => page.getByTestId("state").getAttribute("data-state");
export const transport = ({ page }) => page.getByTestId("transport").getAttribute("data-transport");

/** Names in the list of members that is shown, sorted. */
export const present = async ({ page }) => (await names(page.locator('[data-testid="member"]:visible'))).sort();

const names = (members) => members.evaluateAll((list) => list.map((member) => member.dataset.name));

/** Waits until exactly these are in the list. */
export async function sees(visitor, ...expected) {
  const wanted = [...expected].sort().join();
  await until(async () => (await present(visitor)).join() === wanted, `${visitor.name} sees ${wanted}`);
}

export async function say({ page }, text) {
  await page.getByTestId("composer-input").fill(text);
  await page.getByTestId("composer-input").press("Enter");
}

export async function hears({ page, name }, text) {
  await until(async () => (await page.getByTestId("messages").textContent()).includes(text), `${name} hears "${text}"`);
}
