/**
 * How long usher's `shutdown()` takes. Arguments as in usher_iterate.ts, the first two without
 * meaning. Echoes until a line arrives on stdin, then stops and says `stopped MILLISECONDS`.
 *
 * @module
 */

type Usher = typeof import("../../../mod.ts");

const { serve }: Usher = await import(Deno.args[2] ?? "../../../mod.ts");

const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
await say(`ready ${server.addr.port}`);
await Deno.stdin.read(new Uint8Array(16));
const began = performance.now();
await server.shutdown();
await say(`stopped ${performance.now() - began}`);

async function say(line: string): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(line + "\n"));
}
