/**
 * What answering lines costs with usher's `framed()` and `lines()`. Arguments as in
 * usher_iterate.ts, the first two without meaning.
 *
 * @module
 */

type Usher = typeof import("../../../mod.ts");

const { framed, lines, serve }: Usher = await import(Deno.args[2] ?? "../../../mod.ts");

const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
  const messages = framed(conn, lines());
  for await (const line of messages) messages.send(line);
});
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));
