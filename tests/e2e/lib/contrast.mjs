// Measures the contrast of what is rendered, as WCAG 2.2 defines it.

/**
 * Returns what is below AA on the page as it is now, as lines to read: text
 * below 4.5:1 (3:1 if large), edges of controls below 3:1 against what is
 * behind them. Controls that are switched off are exempt, as WCAG has it.
 */
export async function tooFaint(page) {
  // Colours on their way to others are not measured: two frames for them to start, then their end.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== "running"));
  return page.evaluate(measure);
}

// measure runs in the page.
function measure() {
  const dot = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    dot.clearRect(0, 0, 1, 1);
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = dot.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  /** The colour behind an element's content, with all that lies under it. */
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
  };
  const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1 && !element.closest(".unseen, .skip:not(:focus)");
  };
  const off = (element) => element.closest("button, input")?.disabled === true;
  const label = (element) => `<${element.tagName.toLowerCase()} class="${element.className}"> ${(element.textContent || element.placeholder || "").trim().slice(0, 40)}`;

  const faint = [];
  let texts = 0;
  let edges = 0;
  const check = (element, colour, kind) => {
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const behind = ground(element);
    const [r, g, b, a] = rgba(colour);
    const found = ratio(over([r, g, b, a * opacity(element)], behind), behind);
    texts++;
    if (found < (large ? 3 : 4.5)) faint.push(`${kind} ${found.toFixed(2)}: ${label(element)}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!shown(element) || off(element)) continue;
    const style = getComputedStyle(element);
    if ([...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())) check(element, style.color, "text");
    if (element.matches("input:not([type=checkbox])")) {
      check(element, element.value ? style.color : getComputedStyle(element, "::placeholder").color, "input");
    }
    if (element.matches("input, button.button, a.button, button.chip")) {
      const behind = ground(element.parentElement);
      const seen = [style.borderTopColor, style.backgroundColor].map((colour) => ratio(over(rgba(colour), behind), behind));
      edges++;
      if (Math.max(...seen) < 3) faint.push(`edge ${Math.max(...seen).toFixed(2)}: ${label(element)}`);
    }
  }
  return { faint, texts, edges };
}
