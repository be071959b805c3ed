/**
 * What answering frames with their length in front costs with usher's `framed()` and
 * `lengthPrefixed()`. Arguments as in usher_iterate.ts, the first two without meaning.
 *
 * @module
 */

type Usher = typeof import("../../../mod.ts");

const { framed, lengthPrefixed, serve }: Usher = await import(Deno.args[2] ?? "../../../mod.ts");

const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
  const messages = framed(conn, lengthPrefixed());
  for await (const frame of messages) messages.send(frame);
});
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));
