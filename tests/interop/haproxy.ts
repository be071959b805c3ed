/** Runs a HAProxy for a test. @module */

import type { Directory } from "../support/directory.ts";
import { text } from "../support/bytes.ts";
import { readAll } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import { certificateFiles } from "./certificate_files.ts";
import { Daemon, onFreePort } from "./processes.ts";

/** The configuration between a client and the server. */
export interface HaproxyOptions {
  /** The address that it listens on; `:PORT` stands for a port of its own. */
  bind?: string;
  /** Further lines of its frontend. */
  lines?: string[];
  /** The port of the server behind it. */
  to: number;
  /** How it connects to the server. */
  server: string;
}

/** A HAProxy that listens on a port and forwards to another. */
export class Haproxy implements AsyncDisposable {
  readonly port: number;
  readonly #directory: Directory;
  readonly #daemon: Daemon;

  private constructor(port: number, directory: Directory, daemon: Daemon) {
    this.port = port;
    this.#directory = directory;
    this.#daemon = daemon;
  }

  /** Starts one; it listens when this resolves. */
  static start(
    { bind = "127.0.0.1:PORT", lines = [], to, server }: HaproxyOptions,
  ): Promise<Haproxy> {
    return Haproxy.startWith([
      "defaults",
      "mode tcp",
      "timeout connect 10s",
      "timeout client 30s",
      "timeout server 30s",
      "listen it",
      `bind ${bind}`,
      ...lines,
      `server usher 127.0.0.1:${to} ${server}`,
    ].join("\n"));
  }

  /**
   * Starts one with a configuration, in which `PORT` stands for its port and `FILES` for its
   * folder, which has the certificates.
   *
   * @param longest Ms after which it is ended, if it is to run for longer than a test.
   */
  static async startWith(configuration: string, longest?: number): Promise<Haproxy> {
    const directory = certificateFiles();
    return await onFreePort(async (port) => {
      const own = configuration.replaceAll("PORT", `${port}`).replaceAll("FILES", directory.path);
      const file = directory.at("haproxy.cfg");
      const socket = `\nglobal\nstats socket ${directory.at("stats")} level admin\n`;
      await Deno.writeTextFile(file, `${own}${socket}`);
      // In the foreground, as one process.
      const haproxy = new Haproxy(
        port,
        directory,
        new Daemon("haproxy", ["-db", "-f", file], longest),
      );
      if (await haproxy.#answers()) return haproxy;
      await haproxy[Symbol.asyncDispose]();
      if (haproxy.#daemon.log.includes("cannot bind socket")) return null;
      throw new Error(`HAProxy has ended: ${haproxy.#daemon.log}`);
    });
  }

  /** Whether it is ready: the process that answers here has bound everything before. */
  async #answers(): Promise<boolean> {
    while (!this.#daemon.ended) {
      try {
        await this.ask("show info");
        return true;
      } catch {
        await turn();
      }
    }
    return false;
  }

  /** The path of one of its files. */
  file(name: string): string {
    return this.#directory.at(name);
  }

  /** Runs a command on its stats socket. */
  async ask(command: string): Promise<string> {
    const console = await Deno.connect({ transport: "unix", path: this.#directory.at("stats") });
    await console.write(new TextEncoder().encode(`${command}\n`));
    return text(await readAll(console));
  }

  /** Its view of the server behind it: the state, and the result of the last check. */
  async opinion(): Promise<{ status: string; check: string }> {
    const [head = "", ...rows] = (await this.ask("show stat")).split("\n");
    const names = head.replace("# ", "").split(",");
    const cells = rows.find((row) => row.includes(",usher"))?.split(",") ?? [];
    const cell = (name: string) => cells[names.indexOf(name)] ?? "";
    // While another check is under way, the last result has a star before it.
    return { status: cell("status"), check: cell("check_status").replace(/^\* /, "") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}
