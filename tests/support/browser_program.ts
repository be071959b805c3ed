/**
 * Drives headless Chromium for a test, in a process of its own: what drives it wants to read /proc, for
 * which Deno has no lesser permission than all of them. Each line is a command in JSON, and is answered
 * by one.
 *
 * @module
 */

import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { commands, say } from "./commands.ts";

const [url = "", options = "{}"] = Deno.args;

/** The commands by name; the other members of a command are the arguments. */
const ACTIONS: Record<string, (page: Page, ...args: string[]) => Promise<unknown>> = {
  click: (page, selector = "") => page.click(selector),
  fill: (page, selector = "", value = "") => page.fill(selector, value),
  focus: (page, selector = "") => page.focus(selector),
  select: (page, selector = "", value = "") => page.selectOption(selector, value),
  press: (page, key = "") => page.keyboard.press(key),
  type: (page, text = "") => page.keyboard.type(text),
  isVisible: (page, selector = "") => page.isVisible(selector),
  text: (page, selector = "") => page.textContent(selector),
  look: (page, expression = "") => page.evaluate(expression),
  draw: (page, path = "") => page.screenshot({ path }),
  read: (page) => page.locator("body").ariaSnapshot(),
  complaints: () => Promise.resolve(complaints),
  async held(page) {
    const devTools = await page.context().newCDPSession(page);
    await devTools.send("Performance.enable");
    for (let i = 0; i < 2; i++) await devTools.send("HeapProfiler.collectGarbage");
    const { metrics } = await devTools.send("Performance.getMetrics");
    await devTools.detach();
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  },
};

/** Errors and warnings of the console, errors of scripts, and requests to other hosts. */
const complaints: string[] = [];

const { stdout } = await new Deno.Command("which", { args: ["chromium"] }).output();
const browser = await chromium.launch({
  executablePath: new TextDecoder().decode(stdout).trim(),
  // As root, as in containers, there is no sandbox; and little shared memory.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage({
  viewport: { width: 1280, height: 900 },
  ...JSON.parse(options) as BrowserContextOptions,
});
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  if (!request.url().startsWith(url)) complaints.push(`asked ${request.url()}`);
});
await page.goto(url);
say("ready");
for await (const line of commands()) {
  const [action = "", ...args] = JSON.parse(line) as string[];
  try {
    say(JSON.stringify({ result: await ACTIONS[action]!(page, ...args) }));
  } catch (error) {
    say(JSON.stringify({ error: String(error) }));
  }
}
await browser.close();
