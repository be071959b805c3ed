/** The files in examples/deploy/ work, and their numbers add up. @module */

import { assert, assertEquals } from "@std/assert";
import { parseAllDocuments } from "yaml";
import { DEFAULTS } from "../../lib/server/options.ts";
import { run } from "../interop/processes.ts";
import { LoopingClients } from "../soak/looping.ts";
import { Behind, FLEET, inFront, opinion, renew, SINGLE } from "../soak/renewal_run.ts";
import { Directory } from "../support/directory.ts";
import { netTest, root, treeTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { proxied } from "../support/balancer.ts";
import { dial, readExactly, writeAll } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import { Program } from "../support/program.ts";

const DEPLOY = new URL("examples/deploy/", root);
const READINESS = new URL("examples/readiness.ts", root);

/** Ms of a stop besides lame duck and timeout: the queue is emptied, and handlers get a last second. */
const REST_OF_A_STOP = 250 + 1000;

function read(name: string): string {
  return Deno.readTextFileSync(new URL(name, DEPLOY));
}

/** The value of a setting in a file; as a number, if it is one. */
function setting(file: string, pattern: RegExp): number {
  const [, value] = pattern.exec(file) ?? [];
  assert(value !== undefined, `${pattern} is not there`);
  return Number(value);
}

treeTest("usher.service: systemd waits for longer than a stop takes", () => {
  const unit = read("usher.service");
  const stop = setting(unit, /--lame-duck (\d+)/) + DEFAULTS.shutdownTimeout + REST_OF_A_STOP;
  assert(setting(unit, /^TimeoutStopSec=(\d+)$/m) * 1000 > stop);
  assert(setting(unit, /^LimitNOFILE=(\d+)$/m) > DEFAULTS.maxConnections * 1.5);
});

/** Starts the service with the Deno and the files of this machine. */
function execStart(): string[] {
  const [, line = ""] = /^ExecStart=(.*)$/m.exec(read("usher.service")) ?? [];
  return line.split(" ");
}

netTest("usher.service: systemd accepts it without a warning", async () => {
  using place = new Directory();
  const file = place.at("usher.service");
  const unit = read("usher.service").replace("/usr/local/bin/deno", Deno.execPath());
  await Deno.writeTextFile(file, unit);
  const { code, complaints } = await run("systemd-analyze", ["verify", file]);
  // It looks at other units of the machine, too.
  assertEquals(complaints.split("\n").filter((line) => line.includes("usher")), []);
  assertEquals(code, 0);
}, { os: ["linux"], programs: ["systemd-analyze"] });

netTest("usher.service: systemd is notified when it is ready, and when it stops", async () => {
  using place = new Directory();
  const path = place.at("notify");
  await using systemd = new Program(new URL("./programs/notified.ts", import.meta.url), {
    args: [path],
    flags: ["--unstable-net"],
  });
  assertEquals(await systemd.line(), "ready");

  const [, ...words] = execStart();
  const program = words.findIndex((word) => word.endsWith(".ts"));
  const args = words.slice(program + 1).join(" ").replace("0.0.0.0", "127.0.0.1")
    .replace(/(port) \d+/g, "$1 0").replace(/(lame-duck) \d+/, "$1 0");
  const url = words[program]!.replace("/srv/usher/", root.href);
  await using service = new Program(new URL(url), {
    how: words.slice(0, program),
    args: args.split(" "),
    under: ["env", `NOTIFY_SOCKET=${path}`],
  });
  const listening = await service.line();
  assertEquals(await said(systemd), ["READY=1", `STATUS=${listening}`]);
  service.kill("SIGTERM");
  assertEquals((await service.status).code, 0);
  assertEquals(await said(systemd), ["STOPPING=1", "STATUS=Stopping"]);
  assertEquals(await service.complaints(), []);
}, { os: ["linux"], programs: ["systemd-notify"] });

/** The messages of one systemd-notify, which then waits until they are received. */
async function said(systemd: Program): Promise<string[]> {
  const facts: string[] = [];
  for (let line; (line = await systemd.line()) !== "BARRIER=1";) facts.push(line);
  return facts;
}

netTest("usher.socket: systemd accepts it without a warning", async () => {
  using place = new Directory();
  const service = read("usher.service").replace("/usr/local/bin/deno", Deno.execPath());
  await Deno.writeTextFile(place.at("usher.service"), service);
  const file = place.at("usher.socket");
  await Deno.writeTextFile(file, read("usher.socket"));
  const { code, complaints } = await run("systemd-analyze", ["verify", file]);
  assertEquals(complaints.split("\n").filter((line) => line.includes("usher")), []);
  assertEquals(code, 0);
}, { os: ["linux"], programs: ["systemd-analyze"] });

netTest("usher.socket: the service serves on the socket that it is started with", async () => {
  // A port of the service's own is as good as any other while nothing has it.
  const port = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const addr = port.addr;
  port.close();
  const [, ...words] = execStart();
  const program = words.findIndex((word) => word.endsWith(".ts"));
  await using service = new Program(new URL("under_systemd.ts", DEPLOY), {
    how: words.slice(0, program),
    args: ["--port", "0", "--health-port", "0", "--lame-duck", "0"],
    under: ["systemd-socket-activate", `--listen=127.0.0.1:${addr.port}`],
  });
  while (!(await service.complaint() ?? "Listening").startsWith("Listening")) await turn();
  using client = await dial(addr);
  await client.write(bytes`hello`);
  assertEquals(await service.line(), `Listening on tcp://127.0.0.1:${addr.port}`);
  assertEquals(text(await readExactly(client, 5)), "hello");
  service.kill("SIGTERM");
  assertEquals((await service.status).code, 0);
}, { os: ["linux"], programs: ["systemd-socket-activate"] });

netTest("under_systemd.ts is an ordinary server without systemd", async () => {
  await using service = new Program(new URL("under_systemd.ts", DEPLOY), {
    how: ["run", "--allow-net", "--allow-env=NOTIFY_SOCKET,LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES"],
    args: ["--port", "0", "--health-port", "0", "--lame-duck", "0"],
    under: ["env", "--unset=NOTIFY_SOCKET"],
  });
  await service.line();
  service.kill("SIGTERM");
  assertEquals((await service.status).code, 0);
  assertEquals(await service.complaints(), []);
}, { os: ["linux"] });

/** A probe of a pod, in seconds. */
interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  timeoutSeconds?: number;
  failureThreshold: number;
}

/** The part of a Deployment that is checked. */
interface Deployment {
  kind: string;
  spec: {
    template: {
      spec: {
        terminationGracePeriodSeconds: number;
        containers: [{
          command: string[];
          args: string[];
          ports: { name: string; containerPort: number }[];
          readinessProbe: Probe;
          livenessProbe: Probe;
        }];
      };
    };
  };
}

/** Seconds allowed for nodes and ingresses to notice that a pod is not ready. */
const PROPAGATION = 5;

netTest("kubernetes.yaml: kubectl reads it without a warning", async () => {
  const file = new URL("kubernetes.yaml", DEPLOY).pathname;
  // Works without a cluster: it parses the file and prints it.
  const { code, complaints } = await run("kubectl", [
    ...["label", "--local", "-f", file, "-o", "json", "--kubeconfig", "/dev/null", "read=yes"],
  ]);
  assertEquals({ code, complaints }, { code: 0, complaints: "" });
}, { programs: ["kubectl"] });

netTest("kubernetes.yaml: the numbers add up, and its command starts a server", async () => {
  const objects = parseAllDocuments(read("kubernetes.yaml")).map((document) => {
    assertEquals([...document.errors, ...document.warnings], []);
    return document.toJS() as Deployment;
  });
  assertEquals(objects.map(({ kind }) => kind), ["Deployment", "Service", "PodDisruptionBudget"]);
  const { terminationGracePeriodSeconds: grace, containers } = objects[0]!.spec.template.spec;
  const [{ command, args, ports, readinessProbe, livenessProbe }] = containers;

  const { periodSeconds, failureThreshold, timeoutSeconds = 1 } = readinessProbe;
  const lameDuck = setting(args.join(" "), /--lame-duck=(\d+)/);
  // `spread` is cut to half of the timeout.
  assert(setting(args.join(" "), /--spread=(\d+)/) <= DEFAULTS.shutdownTimeout / 2);
  assert(lameDuck >= 1000 * (periodSeconds * failureThreshold + timeoutSeconds + PROPAGATION));
  assert(grace * 1000 > lameDuck + DEFAULTS.shutdownTimeout + REST_OF_A_STOP);
  assertEquals(
    ports.map(({ containerPort }) => containerPort),
    ["port", "health-port"].map((flag) => setting(args.join(" "), new RegExp(`--${flag}=(\\d+)`))),
  );

  const [, ...how] = command.slice(0, -1);
  await using program = new Program(new URL(command.at(-1)!, root), {
    how,
    args: args.map((flag) => flag.replace(/port=\d+/, "port=0").replace("0.0.0.0", "127.0.0.1")),
  });
  await program.line();
  const [, health] = /^Probes on (.*)\/readyz$/.exec(await program.line()) ?? [];
  for (const { httpGet: { path, port } } of [readinessProbe, livenessProbe]) {
    assertEquals(port, ports[1]!.name);
    const response = await fetch(`${health}${path}`);
    await response.body?.cancel();
    assertEquals(response.status, 200, path);
  }
}, { os: ["linux", "darwin"] });

const needs = { os: ["linux" as const], programs: ["haproxy"] };

netTest("haproxy.cfg: HAProxy accepts it without a warning", async () => {
  const { pathname } = new URL("haproxy.cfg", DEPLOY);
  const { code, complaints } = await run("haproxy", ["-c", "-f", pathname]);
  assertEquals({ code, complaints }, { code: 0, complaints: "" });
}, needs);

netTest("60-usher.conf: the kernel takes every setting", async () => {
  const file = new URL("60-usher.conf", DEPLOY).pathname;
  const { code, said, complaints } = await run("unshare", [
    ...["--map-root-user", "--net", "sysctl", "--load", file],
  ]);
  assertEquals({ code, complaints }, { code: 0, complaints: "" });
  assertEquals(said, read("60-usher.conf").replaceAll(/^(#.*)?\n/gm, ""));
}, { programs: ["sysctl"], networkNamespaces: true, os: ["linux"] });

treeTest("haproxy.cfg: a server is marked down before its lame duck is over", () => {
  const configuration = read("haproxy.cfg");
  const looks = setting(configuration, /\bfall (\d+)/);
  const noticed = looks * setting(configuration, /\binter (\d+)s/) +
    setting(configuration, /timeout check (\d+)s/);
  // The commands in its header leave the lame duck at its default.
  assert(setting(Deno.readTextFileSync(READINESS), /"lame-duck": "(\d+)"/) > noticed * 1000);
});

netTest("haproxy.cfg: a stopping server is marked down in time, and no request fails", async () => {
  await using one = await Behind.start(3000, SINGLE);
  await using two = await Behind.start(3000, SINGLE);
  await using haproxy = await inFront([one, two]);
  const requests = new LoopingClients({ kind: "tcp", at: haproxy.port }, 4);
  await requests.more(50);

  one.program.kill("SIGTERM");
  while (!(await opinion(haproxy, "usher1")).startsWith("DOWN"));
  // It still listens, and serves clients that do not come through HAProxy.
  using late = await dial(one.addr);
  await writeAll(late, proxied("192.0.2.7", 2));
  await late.write(bytes`hello`);
  assertEquals(text(await readExactly(late, 5)), "hello");
  late.close();
  assertEquals((await one.program.status).code, 0);

  await requests.more(50);
  await requests.stop();
  assertEquals(requests.failures, []);
  assertEquals(await opinion(haproxy, "usher2"), "UP L7OK");
}, needs);

for (const [what, renewed] of Object.entries({ servers: SINGLE, fleets: FLEET })) {
  netTest(`haproxy.cfg: two ${what} renewed in turn lose none of 64 clients`, async () => {
    const { failures, answered } = await renew(renewed, 2);
    assertEquals(failures, []);
    assert(answered > 0);
  }, needs);
}

netTest("haproxy.cfg: without a lame duck requests fail", async () => {
  await using one = await Behind.start(0, SINGLE);
  await using two = await Behind.start(0, SINGLE);
  // However often it checks, it cannot know before the first refusal; the checks are slow here.
  await using haproxy = await inFront([one, two], "fall 1000");
  const requests = new LoopingClients({ kind: "tcp", at: haproxy.port }, 4);
  await requests.more(50);
  one.program.kill("SIGTERM");
  assertEquals((await one.program.status).code, 0);
  await requests.more(50);
  await requests.stop();
  assert(requests.failures.length > 0);
}, needs);
