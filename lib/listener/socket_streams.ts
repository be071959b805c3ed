/** Gives a raw socket the streams that Deno's own sockets have. @module */

/** Bytes per chunk of `readable`, as Deno has them. */
const STREAM_CHUNK = 65_536;

/** A socket as far as its streams need it. */
type Socket = Pick<Deno.Conn, "read" | "write" | typeof Symbol.dispose>;

/** The streams of one socket, made at first access. As with Deno's, the end of one closes the socket. */
export class SocketStreams {
  readonly #socket: Socket;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const socket = this.#socket;
    return this.#readable ??= new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: STREAM_CHUNK,
      pull: async (controller) => {
        const request = controller.byobRequest!;
        const n = await socket.read(request.view as Uint8Array<ArrayBuffer>);
        if (n === null) {
          controller.close();
          socket[Symbol.dispose]();
        }
        request.respond(n ?? 0);
      },
      cancel: () => socket[Symbol.dispose](),
    });
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    const socket = this.#socket;
    return this.#writable ??= new WritableStream({
      write: async (chunk) => {
        for (let sent = 0; sent < chunk.length;) sent += await socket.write(chunk.subarray(sent));
      },
      close: () => socket[Symbol.dispose](),
      abort: () => socket[Symbol.dispose](),
    });
  }
}
