/**
 * usher's echo server inside TLS: `usher_tls.ts [MODE [BYTES [MODULE]]]`, as in usher_iterate.ts; echo
 * only. The certificate is where build.ts puts it.
 *
 * @module
 */

type Usher = typeof import("../../../mod.ts");

const { serve }: Usher = await import(Deno.args[2] ?? "../../../mod.ts");

const options = {
  port: 0,
  hostname: "127.0.0.1",
  cert: await Deno.readTextFile("build/tls/cert.pem"),
  key: await Deno.readTextFile("build/tls/key.pem"),
};
const server = serve(options, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));
