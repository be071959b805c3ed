/** A scripted socket that records which options are set on it. @module */

import { ScriptedSocket } from "./scripted_socket.ts";

/** A socket that records its options. */
export class Switchboard extends ScriptedSocket {
  readonly set: string[] = [];

  setNoDelay(on: boolean): void {
    this.set.push(`noDelay ${on}`);
  }

  setKeepAlive(on: boolean): void {
    this.set.push(`keepAlive ${on}`);
  }
}
