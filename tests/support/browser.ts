/** What does a test see in a real browser? @module */

import type { BrowserContextOptions, Page } from "playwright-core";

/** Ms after which something on a page that a test waits for is taken for something that never comes. */
const PATIENCE = 20_000;

/** Where Debian has it; `which` finds it elsewhere. */
async function whereIs(program: string): Promise<string> {
  const { stdout } = await new Deno.Command("which", { args: [program] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** A page in headless Chromium, and what it complained of; closed when its scope is left. */
export class Browsing implements AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings of the console, errors of scripts, and requests to somebody else. */
  readonly complaints: string[] = [];
  readonly #close: () => Promise<void>;

  private constructor(page: Page, url: string, close: () => Promise<void>) {
    this.page = page;
    this.#close = close;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(url)) this.complaints.push(`asked ${request.url()}`);
    });
  }

  /** Opens an address. */
  static async open(url: string, options: BrowserContextOptions = {}): Promise<Browsing> {
    // Not above: it looks at the environment when it is loaded, and a bare `deno test` may not.
    const { chromium } = await import("playwright-core");
    const browser = await chromium.launch({
      executablePath: await whereIs("chromium"),
      // Who runs tests as root, as containers do, has no sandbox; and little shared memory.
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
    const browsing = new Browsing(page, url, () => browser.close());
    await page.goto(url);
    return browsing;
  }

  /** The text of an element. */
  async text(selector: string): Promise<string> {
    return await this.page.textContent(selector) ?? "";
  }

  /** The value of an expression on the page. */
  look<T>(expression: string): Promise<T> {
    return this.page.evaluate(expression) as Promise<T>;
  }

  /** Waits until an expression on the page is true; the page itself lets nobody evaluate a text. */
  async until(expression: string): Promise<void> {
    await this.look(`new Promise((resolve, reject) => {
      const until = performance.now() + ${PATIENCE};
      (function look() {
        if (${expression}) resolve();
        else if (performance.now() > until) reject(new Error("Never came true"));
        else requestAnimationFrame(look);
      })();
    })`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}
