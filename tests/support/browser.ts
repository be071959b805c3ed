/** A page in a real browser. @module */

import { Program } from "./program.ts";

/** Ms after which a condition on a page counts as never coming true. */
const PATIENCE = 20_000;

const program = new URL("browser_program.ts", import.meta.url);

/** How a page is shown. */
export interface Showing {
  viewport?: { width: number; height: number };
  colorScheme?: "light" | "dark";
}

/** A page in headless Chromium; closed when its scope is left. */
export class Browsing implements AsyncDisposable {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /**
   * Opens an address.
   *
   * @param longest Ms after which the browser is killed if it is forgotten.
   */
  static async open(url: string, showing?: Showing, longest?: number): Promise<Browsing> {
    const browser = new Program(program, {
      // With the import map of the configuration.
      how: ["run", "--quiet", "-A"],
      args: [url, JSON.stringify(showing ?? {})],
      ...(longest === undefined ? {} : { longest }),
    });
    await browser.line();
    return new Browsing(browser);
  }

  /** Runs a command in `browser_program.ts`. */
  async do<T = unknown>(action: string, ...args: string[]): Promise<T> {
    const answer = JSON.parse(await this.#program.ask(JSON.stringify([action, ...args])));
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  }

  /** Errors and warnings of the console, errors of scripts, and requests to other hosts. */
  complaints(): Promise<string[]> {
    return this.do("complaints");
  }

  /** The text of an element. */
  text(selector: string): Promise<string> {
    return this.do("text", selector);
  }

  /** The value of an expression on the page. */
  look<T>(expression: string): Promise<T> {
    return this.do("look", expression);
  }

  /** Waits until an expression on the page is true; the page's own policy forbids eval. */
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
    await this.#program.end();
  }
}
