/** A directory for the files of a test. @module */

/** A directory of its own for one test, gone with everything in it when its scope is left. */
export class Directory implements Disposable {
  readonly path: string = Deno.makeTempDirSync();

  /** The path of a file in it, which need not exist. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  /** The names of its entries. */
  names(): string[] {
    return [...Deno.readDirSync(this.path)].map(({ name }) => name).toSorted();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
