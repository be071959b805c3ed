/** Registers tests with what they need from the machine. @module */

/** The permissions that `deno task test` grants. */
const PERMISSIONS = ["net", "read", "write", "run", "env", "sys"] as const;

/** Whether this run may use the network, files and programs at all. */
export const granted: boolean = PERMISSIONS.every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);

/** What a test needs besides the permissions. */
export interface Needs {
  /** Programs that must be installed. */
  programs?: string[];
  /** The only systems on which the tested feature exists. */
  os?: (typeof Deno.build.os)[];
  /** Ports below 1024 need a privilege, which containers often lack. */
  privilegedPorts?: boolean;
  /** A network of its own, with `unshare`. */
  networkNamespaces?: boolean;
  /** The rights of root: to give files away and to become another user. */
  root?: boolean;
}

/**
 * Registers a test that opens sockets. Without permissions it is ignored (`permissions_test.ts` says
 * how to grant them); without a program or system that it needs, its name says what is missing.
 */
export function netTest(
  name: string,
  run: (t: Deno.TestContext) => void | Promise<void>,
  needs: Needs = {},
): void {
  const missing = granted ? lacking(needs) : "permissions";
  Deno.test({
    name: missing === null || !granted ? name : `${name} [skipped: needs ${missing}]`,
    ignore: missing !== null,
    fn: run,
  });
}

/** The root of the tree. */
export const root: URL = new URL("../../", import.meta.url);

/** Registers a test that only reads files of the tree: it needs read permission only. */
export function treeTest(name: string, run: () => void | Promise<void>): void {
  const { state } = Deno.permissions.querySync({ name: "read", path: root });
  Deno.test({ name, ignore: state !== "granted", fn: run });
}

function lacking(
  { programs = [], os, privilegedPorts = false, networkNamespaces = false, root = false }: Needs,
): string | null {
  if (os !== undefined && !os.includes(Deno.build.os)) return os.join(" or ");
  if (privilegedPorts && !hasPrivilegedPorts()) return "privileged ports";
  if (networkNamespaces && !hasNetworkNamespaces()) return "network namespaces";
  if (root && Deno.uid() !== 0) return "root";
  return programs.find((program) => !isInstalled(program)) ?? null;
}

function hasPrivilegedPorts(): boolean {
  if (Deno.build.os !== "linux") return false;
  // Not read by Deno itself, which wants all permissions for /proc.
  const { stdout } = new Deno.Command("cat", {
    args: ["/proc/sys/net/ipv4/ip_unprivileged_port_start"],
  }).outputSync();
  return Number(new TextDecoder().decode(stdout)) === 1024;
}

/** Containers often may not make them, or may not write to their settings. */
function hasNetworkNamespaces(): boolean {
  const args = ["--map-root-user", "--net", "test", "-w", "/proc/sys/net/ipv4/tcp_migrate_req"];
  return isInstalled("unshare") &&
    new Deno.Command("unshare", { args, stdout: "null", stderr: "null" }).outputSync().success;
}

function isInstalled(program: string): boolean {
  const finder = Deno.build.os === "windows" ? "where" : "which";
  const { success } = new Deno.Command(finder, {
    args: [program],
    stdout: "null",
    stderr: "null",
  }).outputSync();
  return success;
}
