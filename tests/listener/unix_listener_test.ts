/** A Unix path is either ours or untouched. @module */

import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { listen, serve } from "../../mod.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { readAll, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const UNIX = { os: ["linux" as const, "darwin" as const] };
const transport = "unix";

const OWNER = new URL("./programs/unix_owner.ts", import.meta.url);

/** Sends something to the server there, and returns the answer. */
async function ask(path: string, question: string): Promise<string> {
  const conn = await Deno.connect({ transport, path });
  await writeAll(conn, new TextEncoder().encode(question));
  await conn.closeWrite();
  return text(await readAll(conn));
}

/** An echo server. */
function echo(path: string) {
  return serve({ path }, async (conn) => {
    for await (const chunk of conn) await conn.write(chunk);
  });
}

/** Asserts that listening there is refused for this reason, and returns the error. */
function assertInUse(path: string, why: string): Error {
  const error = assertThrows(() => listen({ path }), Deno.errors.AddrInUse, why);
  assertEquals((error as { code?: string }).code, "EADDRINUSE");
  return error;
}

/** A file's identity, so that a replaced one shows: its kind, its inode and its text. */
function likeness(path: string): unknown {
  const { dev, ino, isFile, isDirectory, isSocket, isSymlink, mode } = Deno.lstatSync(path);
  const content = isFile ? Deno.readTextFileSync(path) : null;
  return { dev, ino, isFile, isDirectory, isSocket, isSymlink, mode, content };
}

/** Asserts that what is at each path is the same before and after. */
function assertUntouched(paths: string[], run: () => void): void {
  const before = paths.map(likeness);
  run();
  assertEquals(paths.map(likeness), before);
}

/** Leaves stale files of an usher server that was killed at these paths. */
async function leaveStale(...paths: string[]): Promise<void> {
  await using owner = new Program(OWNER, { args: paths });
  assertEquals(await owner.ask("serve"), "serving");
  owner.kill("SIGKILL");
  await owner.status;
}

/** A socket file without a listener, as a killed program leaves it. */
function leaveDeadSocket(path: string): void {
  using _listener = Deno.listen({ transport, path: `${path}.bound` });
  // Deno unlinks the name that it bound, and no other.
  Deno.renameSync(`${path}.bound`, path);
}

netTest("listen() makes a file and a lock, and close() removes both", () => {
  using directory = new Directory();
  const listener = listen({ path: directory.at("s") });
  assertEquals(directory.names(), ["s", "s.lock"]);
  assertEquals(Deno.lstatSync(directory.at("s")).isSocket, true);
  listener.close();
  assertEquals(directory.names(), []);
}, UNIX);

netTest("close() with an accept pending removes file and lock", async () => {
  using directory = new Directory();
  const listener = listen({ path: directory.at("s") });
  const pending = listener.accept();
  listener.close();
  await pending.catch(() => {});
  assertEquals(directory.names(), []);
}, UNIX);

netTest("close() with an accept pending keeps the path until that has settled", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  const listener = listen({ path });
  const pending = listener.accept();
  listener.close();
  // Deno unlinks its path only then, which by then may be the next server's.
  assertInUse(path, "a running server has it");
  await pending.catch(() => {});
  listen({ path }).close();
  assertEquals(directory.names(), []);
}, UNIX);

netTest("shutdown() removes file and lock", async () => {
  using directory = new Directory();
  const server = echo(directory.at("s"));
  assertEquals(await ask(directory.at("s"), "hello"), "hello");
  await server.shutdown();
  assertEquals(directory.names(), []);
}, UNIX);

netTest("disposing twice removes nothing of the next listener", () => {
  using directory = new Directory();
  const first = listen({ path: directory.at("s") });
  first[Symbol.dispose]();
  using _second = listen({ path: directory.at("s") });
  first[Symbol.dispose]();
  first.close();
  assertEquals(directory.names(), ["s", "s.lock"]);
}, UNIX);

netTest("addr and localAddr are the path as given", async () => {
  using directory = new Directory();
  const addr = { transport, path: directory.at("s") } as const;
  {
    using listener = listen({ path: addr.path });
    assertEquals(listener.addr, addr);
    using _client = await Deno.connect(addr);
    using conn = await listener.accept();
    assertEquals(conn.localAddr, addr);
  }
  await using server = serve({ path: addr.path }, async (conn) => {
    await conn.write(bytes`${JSON.stringify(conn.localAddr)}`);
  });
  assertEquals([server.addr, server.addrs], [addr, [addr]]);
  assertEquals(JSON.parse(await ask(addr.path, "")), addr);
}, UNIX);

netTest("listen() takes a relative path", async () => {
  using directory = new Directory();
  const before = Deno.cwd();
  Deno.chdir(directory.path);
  try {
    await using server = echo("s");
    assertEquals(server.addr.path, `${await Deno.realPath(directory.path)}/s`);
    assertEquals(directory.names(), ["s", "s.lock"]);
    assertEquals(await ask("s", "hello"), "hello");
  } finally {
    Deno.chdir(before);
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("close() removes file and lock of a relative path from any directory", () => {
  using directory = new Directory();
  const before = Deno.cwd();
  try {
    Deno.chdir(directory.path);
    const listener = listen({ path: "s" });
    assertEquals(directory.names(), ["s", "s.lock"]);
    Deno.chdir("/");
    listener.close();
  } finally {
    Deno.chdir(before);
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() takes the longest path that it allows", () => {
  using directory = new Directory();
  const most = Deno.build.os === "linux" ? 101 : 97;
  const path = directory.at("s".repeat(most - directory.path.length - 1));
  assertEquals(path.length, most);
  listen({ path }).close();
  assertThrows(() => listen({ path: `${path}s` }), RangeError, `use at most ${most}`);
  assertEquals(directory.names(), []);
}, UNIX);

netTest(
  "listen() on an abstract name makes no file, and is AddrInUse while it is taken",
  async () => {
    const path = `\0usher-test-${crypto.randomUUID()}`;
    {
      await using server = echo(path);
      assertEquals(server.addr.path, path);
      assertEquals(await ask(path, "hello"), "hello");
      assertInUse(path, "use another name");
    }
    listen({ path }).close();
  },
  { os: ["linux"] },
);

for (const mode of [0o600, 0o660, 0o666, 0o777, 0o000]) {
  netTest(`listen() gives the file mode ${mode.toString(8)} whatever the umask is`, () => {
    using directory = new Directory();
    const before = Deno.umask();
    try {
      for (const umask of [0o000, 0o022, 0o077]) {
        Deno.umask(umask);
        using _listener = listen({ path: directory.at("s"), mode });
        assertEquals(Deno.lstatSync(directory.at("s")).mode! & 0o777, mode);
      }
    } finally {
      Deno.umask(before);
    }
  }, UNIX);
}

netTest("listen() without a mode leaves the mode to the umask", () => {
  using directory = new Directory();
  const before = Deno.umask(0o027);
  try {
    using _listener = listen({ path: directory.at("s") });
    assertEquals(Deno.lstatSync(directory.at("s")).mode! & 0o777, 0o750);
  } finally {
    Deno.umask(before);
  }
}, UNIX);

netTest("listen() makes its lock accessible only to its own user, whatever the umask is", () => {
  using directory = new Directory();
  const before = Deno.umask(0);
  try {
    using _listener = listen({ path: directory.at("s") });
    assertEquals(Deno.lstatSync(directory.at("s.lock")).mode! & 0o777, 0o600);
  } finally {
    Deno.umask(before);
  }
}, UNIX);

/** Calls `before` whenever `name` of Deno's functions is called, until disposed. */
function whenever<Name extends "listen" | "linkSync" | "renameSync" | "openSync">(
  name: Name,
  before: (args: unknown[]) => void,
  after: () => void = () => {},
): Disposable {
  const original: (typeof Deno)[Name] = Deno[name];
  const replaced = (...args: unknown[]) => {
    before(args);
    const result: unknown = Reflect.apply(original, Deno, args);
    after();
    return result;
  };
  Object.assign(Deno, { [name]: replaced });
  return { [Symbol.dispose]: () => void Object.assign(Deno, { [name]: original }) };
}

netTest(
  "listen() with a mode never lets an unauthorized user connect, not even for a moment",
  () => {
    using directory = new Directory();
    const path = directory.at("s"), made = directory.at("s.new");
    const modeOf = (file: string) => (Deno.lstatSync(file).mode! & 0o777).toString(8);
    const seen: Record<string, unknown> = {};
    const before = Deno.umask(0);
    try {
      // Bound, when a client could connect if it could reach the file; and moved, when it can.
      using _bind = whenever("listen", ([options]) => {
        seen["boundIn"] = (options as Deno.UnixListenOptions).path;
        seen["closedTo"] = modeOf(made);
        seen["early"] = directory.names();
      });
      using _move = whenever("linkSync", ([from, to]) => {
        seen["moved"] = [from, modeOf(from as string), to];
        seen["stillClosedTo"] = modeOf(made);
      });
      using _listener = listen({ path, mode: 0o600 });
      seen["inTheEnd"] = modeOf(path);
    } finally {
      Deno.umask(before);
    }
    assertEquals(seen, {
      boundIn: `${made}/s`,
      closedTo: "700",
      early: ["s.lock", "s.new"],
      moved: [`${made}/s`, "600", path],
      stillClosedTo: "700",
      inTheEnd: "600",
    });
  },
  UNIX,
);

netTest("listen() replaces the stale file of a server that was killed, at once", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await leaveStale(path);
  assertEquals(directory.names(), ["s", "s.lock"]);
  {
    await using _server = echo(path);
    assertEquals(await ask(path, "hello"), "hello");
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() replaces a stale file as often as servers are killed", async () => {
  using directory = new Directory();
  for (let i = 0; i < 3; i++) await leaveStale(directory.at("s"));
  listen({ path: directory.at("s") }).close();
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() with a mode also sets it on a file that replaces a stale one", async () => {
  using directory = new Directory();
  await leaveStale(directory.at("s"));
  const before = Deno.umask(0);
  try {
    using _listener = listen({ path: directory.at("s"), mode: 0o600 });
    assertEquals((await Deno.lstat(directory.at("s"))).mode! & 0o777, 0o600);
  } finally {
    Deno.umask(before);
  }
}, UNIX);

netTest("listen() is AddrInUse while another process serves there, which serves on", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await using owner = new Program(OWNER, { args: [path] });
  assertEquals(await owner.ask("serve"), "serving");
  assertUntouched([path, `${path}.lock`], () => assertInUse(path, "a running server has it"));
  assertEquals(await ask(path, "hello"), "hello");
  await owner.ask("stop");
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() is AddrInUse while this process serves there, which serves on", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await using _server = echo(path);
  assertUntouched([path, `${path}.lock`], () => assertInUse(path, "a running server has it"));
  assertEquals(await ask(path, "hello"), "hello");
}, UNIX);

/** Files of another program at our path, and the error then. */
const FOREIGN: Record<string, [make: (path: string) => Disposable | void, why: string]> = {
  "a file": [(path) => Deno.writeTextFileSync(path, "keep me"), "not a socket"],
  "an empty file": [(path) => Deno.writeTextFileSync(path, ""), "not a socket"],
  "a directory": [(path) => Deno.mkdirSync(path), "not a socket"],
  "a symbolic link to nothing": [(path) => Deno.symlinkSync(`${path}.no`, path), "not a socket"],
  "a symbolic link to a socket": [(path) => {
    leaveDeadSocket(`${path}.real`);
    Deno.symlinkSync(`${path}.real`, path);
  }, "not a socket"],
  "a socket without a listener": [leaveDeadSocket, "usher did not make"],
  "a socket that is listened on": [
    (path) => Deno.listen({ transport, path }),
    "usher did not make",
  ],
};

for (const [what, [make, why]] of Object.entries(FOREIGN)) {
  netTest(`listen() does not touch ${what} of another program`, () => {
    using directory = new Directory();
    const path = directory.at("s");
    using _owner = make(path) ?? null;
    const names = directory.names();
    for (let i = 0; i < 2; i++) assertUntouched([path], () => assertInUse(path, why));
    assertEquals(directory.names(), names);
  }, UNIX);
}

netTest(
  "listen() does not touch a foreign socket that took the place of a stale file",
  async () => {
    using directory = new Directory();
    const path = directory.at("s");
    await leaveStale(path);
    await Deno.remove(path);
    using _foreign = Deno.listen({ transport, path });
    assertUntouched([path], () => assertInUse(path, "usher did not make"));
  },
  UNIX,
);

netTest("listen() starts where the stale file is gone but its lock is left", async () => {
  using directory = new Directory();
  await leaveStale(directory.at("s"));
  await Deno.remove(directory.at("s"));
  listen({ path: directory.at("s") }).close();
  assertEquals(directory.names(), []);
}, UNIX);

for (const [what, make] of Object.entries(FOREIGN)) {
  netTest(`close() does not touch ${what} that replaced our file`, () => {
    using directory = new Directory();
    const path = directory.at("s");
    const listener = listen({ path });
    Deno.removeSync(path);
    using _owner = make[0](path) ?? null;
    assertUntouched([path], () => listener.close());
    assertEquals(directory.names().includes("s.lock"), false);
  }, UNIX);
}

netTest("shutdown() does not touch the file of another server that took our place", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  const first = echo(path);
  // A cleanup that removes everything that looks like a socket, and a new server.
  for (const name of directory.names()) await Deno.remove(directory.at(name));
  await using _second = echo(path);
  await first.shutdown();
  assertEquals(directory.names(), ["s", "s.lock"]);
  assertEquals(await ask(path, "hello"), "hello");
  assertInUse(path, "a running server has it");
}, UNIX);

/** Files at `path.lock` that are no lock of ours. */
const FOREIGN_LOCKS: Record<string, (path: string) => void> = {
  "a file with another text": (path) => Deno.writeTextFileSync(path, "4711\n"),
  "a file that begins like ours": (path) => Deno.writeTextFileSync(path, "usherette 1:2:3\n"),
  "a directory": (path) => Deno.mkdirSync(path),
  "a socket": leaveDeadSocket,
};

for (const [what, make] of Object.entries(FOREIGN_LOCKS)) {
  netTest(`listen() does not touch ${what} where its lock should be`, () => {
    using directory = new Directory();
    const lock = directory.at("s.lock");
    make(lock);
    assertUntouched([lock], () => {
      assertMatch(assertInUse(directory.at("s"), lock).message, /remove or rename it$/);
    });
    assertEquals(directory.names(), ["s.lock"]);
  }, UNIX);
}

netTest("listen() writes nothing through a symbolic link where its lock should be", () => {
  using directory = new Directory();
  using elsewhere = new Directory();
  const victim = elsewhere.at("victim");
  // Empty, too: a lock that its owner had no time to fill would look like that.
  for (const content of ["keep me", ""]) {
    Deno.writeTextFileSync(victim, content);
    Deno.symlinkSync(victim, directory.at("s.lock"));
    assertUntouched([victim, directory.at("s.lock")], () => {
      assertInUse(directory.at("s"), "not a plain file");
    });
    Deno.removeSync(directory.at("s.lock"));
  }
}, UNIX);

netTest("listen() creates nothing through a symbolic link where its lock should be", () => {
  using directory = new Directory();
  using elsewhere = new Directory();
  Deno.symlinkSync(elsewhere.at("victim"), directory.at("s.lock"));
  assertInUse(directory.at("s"), "not a plain file");
  assertEquals(elsewhere.names(), []);
}, UNIX);

netTest("listen() creates nothing through a link that is planted while it takes its lock", () => {
  using directory = new Directory();
  using elsewhere = new Directory();
  const lock = directory.at("s.lock");
  let planted = false;
  using _race = whenever("openSync", () => {
    if (!planted) Deno.symlinkSync(elsewhere.at("victim"), lock);
    planted = true;
  });
  assertInUse(directory.at("s"), "not a plain file");
  assertEquals([directory.names(), elsewhere.names()], [["s.lock"], []]);
}, UNIX);

netTest("listen() takes over no file that a planted link names", () => {
  using directory = new Directory();
  using elsewhere = new Directory();
  const lock = directory.at("s.lock"), victim = elsewhere.at("victim");
  Deno.writeTextFileSync(victim, "");
  Deno.writeTextFileSync(lock, "");
  let planted = false;
  using _race = whenever("openSync", () => {
    if (planted) return;
    planted = true;
    Deno.removeSync(lock);
    Deno.symlinkSync(victim, lock);
  });
  assertUntouched([victim], () => assertInUse(directory.at("s"), "not a plain file"));
  assertEquals([directory.names(), elsewhere.names()], [["s.lock"], ["victim"]]);
}, UNIX);

/** Files at `path.new` that are not ours. */
const FOREIGN_DIRECTORIES: Record<string, (path: string, elsewhere: Directory) => void> = {
  "a file": (path) => Deno.writeTextFileSync(path, "keep me"),
  "a directory with a file": (path) => {
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(`${path}/s`, "keep me");
  },
  "a symbolic link to a directory with a socket": (path, elsewhere) => {
    leaveDeadSocket(elsewhere.at("s"));
    Deno.symlinkSync(elsewhere.path, path);
  },
};

for (const [what, make] of Object.entries(FOREIGN_DIRECTORIES)) {
  netTest(`listen() does not touch ${what} where it makes its socket`, () => {
    using directory = new Directory();
    using elsewhere = new Directory();
    const made = directory.at("s.new");
    make(made, elsewhere);
    const names = elsewhere.names();
    assertUntouched([made], () => {
      assertMatch(assertInUse(directory.at("s"), made).message, /remove or rename it$/);
    });
    assertEquals([directory.names(), elsewhere.names()], [["s.new"], names]);
  }, UNIX);
}

netTest("listen() does not touch what another program puts there at the last moment", () => {
  using directory = new Directory();
  const path = directory.at("s");
  using _race = whenever("linkSync", () => Deno.writeTextFileSync(path, "keep me"));
  assertInUse(path, "has just taken it");
  assertEquals(directory.names(), ["s"]);
  assertEquals(Deno.readTextFileSync(path), "keep me");
}, UNIX);

netTest(
  "listen() with a mode changes the mode of no other file, whatever takes the socket's place",
  () => {
    using directory = new Directory();
    const path = directory.at("s"), made = directory.at("s.new"), secret = directory.at("secret");
    Deno.writeTextFileSync(secret, "mine", { mode: 0o600 });
    Deno.chmodSync(secret, 0o600);
    using _race = whenever("listen", () => {}, () => {
      Deno.renameSync(made, directory.at("away"));
      Deno.mkdirSync(made);
      Deno.symlinkSync(secret, `${made}/s`);
    });
    assertInUse(path, "another program exchanges files there");
    assertEquals(Deno.statSync(secret).mode! & 0o777, 0o600);
    assertEquals(Deno.readTextFileSync(secret), "mine");
  },
  UNIX,
);

netTest("listen() with a mode leaves the umask as it was, also when binding fails", () => {
  using directory = new Directory();
  const before = Deno.umask();
  {
    using _listener = listen({ path: directory.at("s"), mode: 0o600 });
    assertEquals(Deno.umask(), before);
  }
  using _race = whenever("listen", () => {
    throw new Deno.errors.PermissionDenied("no");
  });
  assertThrows(
    () => listen({ path: directory.at("s"), mode: 0o600 }),
    Deno.errors.PermissionDenied,
  );
  assertEquals(Deno.umask(), before);
}, UNIX);

/** A lock file that names the socket of another program as one of ours. */
function plantLock(path: string, mode = 0o600): void {
  const { ino, birthtime } = Deno.lstatSync(path);
  Deno.writeTextFileSync(`${path}.lock`, `usher ${ino}@${birthtime!.getTime()}\n`);
  Deno.chmodSync(`${path}.lock`, mode);
}

/** Signs that another program may have planted a lock file, and the error then. */
const PLANTED: Record<
  string,
  [plant: (path: string) => void, why: string, needs?: { root: true }]
> = {
  "that others may write to": [(path) => plantLock(path, 0o666), "other users may write"],
  "that its group may write to": [(path) => plantLock(path, 0o620), "other users may write"],
  "of another user": [
    (path) => {
      plantLock(path);
      Deno.chownSync(`${path}.lock`, 65534, 65534);
    },
    "belongs to another user",
    { root: true },
  ],
  "with a second name": [(path) => {
    plantLock(path);
    Deno.linkSync(`${path}.lock`, `${path}.else`);
  }, "is not a lock file of usher"],
  "that is empty and has a second name": [(path) => {
    Deno.writeTextFileSync(`${path}.else`, "", { mode: 0o600 });
    Deno.linkSync(`${path}.else`, `${path}.lock`);
  }, "is not a lock file of usher"],
};

for (const [which, [plant, why, needs]] of Object.entries(PLANTED)) {
  netTest(`listen() does not trust a lock file ${which}, and changes nothing`, async () => {
    using directory = new Directory();
    const path = directory.at("s");
    using other = Deno.listen({ transport, path });
    plant(path);
    assertUntouched([path, `${path}.lock`], () => assertInUse(path, why));
    const client = await Deno.connect({ transport, path });
    (await other.accept()).close();
    client.close();
  }, { ...UNIX, ...needs });
}

netTest("listen() as another user is refused the lock file that root left", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await Deno.chmod(directory.path, 0o777);
  await leaveStale(path);
  await using owner = new Program(OWNER, {
    args: [path],
    under: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
  });
  assertEquals(await owner.ask("serve"), "PermissionDenied");
  assertEquals(directory.names(), ["s", "s.lock"]);
}, { ...UNIX, root: true, programs: ["setpriv"] });

/** Transient reasons for a start to fail: makes it fail, until disposed. */
const PASSING: Record<string, (path: string) => Disposable> = {
  "a directory of another program is in the way": (path) => {
    Deno.mkdirSync(`${path}.new`);
    Deno.writeTextFileSync(`${path}.new/x`, "");
    return { [Symbol.dispose]: () => Deno.removeSync(`${path}.new`, { recursive: true }) };
  },
  "nothing can be bound": () =>
    whenever("listen", () => {
      throw new Deno.errors.PermissionDenied("no");
    }),
  "the socket cannot be moved into place": () =>
    whenever("renameSync", () => {
      throw new Deno.errors.PermissionDenied("no");
    }),
};

for (const [why, begin] of Object.entries(PASSING)) {
  netTest(`listen() replaces a stale file after a start that failed as ${why}`, async () => {
    using directory = new Directory();
    const path = directory.at("s");
    await leaveStale(path);
    {
      using _reason = begin(path);
      assertThrows(() => listen({ path }));
    }
    assertEquals(directory.names(), ["s", "s.lock"]);
    listen({ path }).close();
    assertEquals(directory.names(), []);
  }, UNIX);
}

netTest(
  "listen() replaces a stale file whose file system has got another device number",
  async () => {
    using directory = new Directory();
    const path = directory.at("s");
    await leaveStale(path);
    using _mounted = mountedAnew();
    listen({ path }).close();
    assertEquals(directory.names(), []);
  },
  UNIX,
);

/** Makes every file appear to be on another device, as after a container's restart. */
function mountedAnew(): Disposable {
  const { lstatSync } = Deno, { statSync } = Deno.FsFile.prototype;
  const moved = (info: Deno.FileInfo) => ({ ...info, dev: info.dev + 1 });
  Deno.lstatSync = (path) => moved(lstatSync(path));
  Deno.FsFile.prototype.statSync = function () {
    return moved(statSync.call(this));
  };
  return {
    [Symbol.dispose]: () => {
      Deno.lstatSync = lstatSync;
      Deno.FsFile.prototype.statSync = statSync;
    },
  };
}

netTest("listen() takes the path over from an owner that leaves while it takes the lock", () => {
  using directory = new Directory();
  const path = directory.at("s");
  const owner = listen({ path });
  let opened = 0;
  // Open, but not yet locked: the file that is open then is removed.
  using _race = whenever("openSync", () => opened++, () => owner.close());
  {
    using _listener = listen({ path });
    assertEquals(opened, 2);
    assertEquals(directory.names(), ["s", "s.lock"]);
    assertInUse(path, "a running server has it");
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() gives up when the lock changes hands all the time", () => {
  using directory = new Directory();
  const path = directory.at("s");
  // Between open and lock the file is always removed.
  using _race = whenever("openSync", () => {}, () => Deno.removeSync(`${path}.lock`));
  assertInUse(path, "all the time");
  assertEquals(directory.names(), []);
}, UNIX);

netTest("listen() leaves nothing behind when binding fails", () => {
  using directory = new Directory();
  {
    using _race = whenever("listen", () => {
      throw new Deno.errors.PermissionDenied("no");
    });
    assertThrows(() => listen({ path: directory.at("s") }), Deno.errors.PermissionDenied);
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("serve() leaves nothing behind when another of its addresses cannot be bound", () => {
  using directory = new Directory();
  using taken = listen({ path: directory.at("taken") });
  const listeners = [{ path: directory.at("s") }, { path: taken.addr.path }];
  assertThrows(() => serve({ listeners }, () => Promise.resolve()), Deno.errors.AddrInUse);
  assertEquals(directory.names(), ["taken", "taken.lock"]);
}, UNIX);

netTest("fifty servers in turn in one process each get the path", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  for (let i = 0; i < 50; i++) {
    const server = echo(path);
    assertEquals(await ask(path, `${i}`), `${i}`);
    await server.shutdown();
    assertEquals(directory.names(), []);
  }
}, UNIX);

netTest("fifty listeners in turn without a client each get the path", () => {
  using directory = new Directory();
  for (let i = 0; i < 50; i++) {
    using _listener = listen({ path: directory.at("s") });
    assertEquals(directory.names(), ["s", "s.lock"]);
  }
  assertEquals(directory.names(), []);
}, UNIX);

netTest("two processes in turn each get the path", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await using one = new Program(OWNER, { args: [path] });
  await using other = new Program(OWNER, { args: [path] });
  for (let i = 0; i < 25; i++) {
    const [owner, rival] = i % 2 === 0 ? [one, other] : [other, one];
    assertEquals(await owner.ask("serve"), "serving");
    assertEquals(await rival.ask("serve"), "AddrInUse");
    assertEquals(await ask(path, `${i}`), `${i}`);
    assertEquals(await owner.ask("stop"), "stopped");
    assertEquals(directory.names(), []);
  }
}, UNIX);

netTest("of many processes that start at once exactly one gets the path", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  await leaveStale(path);
  const owners = Array.from({ length: 6 }, () => new Program(OWNER, { args: [path] }));
  try {
    const answers = await Promise.all(owners.map((owner) => owner.ask("serve")));
    assertEquals(answers.toSorted(), [...Array(5).fill("AddrInUse"), "serving"]);
    assertEquals(await ask(path, "hello"), "hello");
    await owners[answers.indexOf("serving")]!.ask("stop");
    assertEquals(directory.names(), []);
  } finally {
    await Promise.all(owners.map((owner) => owner[Symbol.asyncDispose]()));
  }
}, UNIX);

/** More than start and stop have steps, so that the last run shows that none was left out. */
const STEPS = 18;

for (const stale of [false, true]) {
  const where = stale ? "over a stale file" : "on a free path";
  netTest(
    `listen() recovers from a server ${where} that was killed, at whichever step of start or stop`,
    async () => {
      const directories = Array.from({ length: STEPS }, () => new Directory());
      try {
        if (stale) await leaveStale(...directories.map((directory) => directory.at("s")));
        const survived = await Promise.all(directories.map(async (directory, i) => {
          await using owner = new Program(OWNER, {
            args: [directory.at("s"), `--die-before=${i + 1}`],
          });
          // Without an answer it was killed before it could give one.
          const answer = await owner.ask("serve").then(() => owner.ask("stop")).catch(() => null);
          if (answer === null) assertEquals((await owner.status).signal, "SIGKILL");
          return answer === "stopped";
        }));
        // Each was killed one step later than the one before, until there was no step left.
        const steps = survived.indexOf(true);
        assert(steps >= 10, `only ${steps} steps`);
        assertEquals(survived, survived.map((_, i) => i >= steps));
        for (const directory of directories) {
          const listener = listen({ path: directory.at("s") });
          assertEquals(directory.names(), ["s", "s.lock"]);
          listener.close();
          assertEquals(directory.names(), []);
        }
      } finally {
        for (const directory of directories) directory[Symbol.dispose]();
      }
    },
    UNIX,
  );
}

/** The flags with which a program may listen in a directory, without a mode. */
function permissions(directory: Directory): string[] {
  const where = directory.path;
  return ["--no-prompt", "--allow-net", `--allow-read=${where}`, `--allow-write=${where}`];
}

for (const mode of ["no", "a"] as const) {
  const flags = mode === "no" ? [] : ["--allow-sys"], args = mode === "no" ? ["--no-mode"] : [];
  netTest(`listen() with ${mode} mode needs no more permissions than it says`, async () => {
    using directory = new Directory();
    const path = directory.at("s");
    await using owner = new Program(OWNER, {
      how: ["run", "--quiet", "--no-config", ...permissions(directory), ...flags],
      args: [path, ...args],
    });
    assertEquals(await owner.ask("serve"), "serving");
    assertEquals(await ask(path, "hello"), "hello");
    assertEquals(await owner.ask("stop"), "stopped");
    assertEquals(directory.names(), []);
  }, UNIX);
}

netTest("listen() with a mode names the flag that it needs, and leaves nothing", async () => {
  using directory = new Directory();
  await using owner = new Program(OWNER, {
    how: ["run", "--quiet", "--no-config", ...permissions(directory)],
    args: [directory.at("s")],
  });
  assertEquals(await owner.ask("serve"), "NotCapable");
  assertMatch(await owner.complaint() ?? "", /with 'mode' --allow-sys$/);
  assertEquals(directory.names(), []);
}, UNIX);

netTest("for await on a listener of a Unix socket takes clients until it is closed", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  using listener = listen({ path });
  const clients = [0, 1].map(() => Deno.connect({ transport, path }));
  let taken = 0;
  for await (const conn of listener) {
    assertInstanceOf(conn, Object);
    conn.close();
    if (++taken === 2) listener.close();
  }
  for (const client of await Promise.all(clients)) client.close();
  assertEquals(taken, 2);
}, UNIX);
