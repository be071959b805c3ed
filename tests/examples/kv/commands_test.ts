/** Each command does what it does in Redis. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { BYE, execute } from "../../../examples/kv/commands.ts";
import { replies } from "../../../examples/kv/resp.ts";
import { Store } from "../../../examples/kv/store.ts";
import { fromLatin1, latin1 } from "../../../examples/kv/text.ts";

/** A command with its reply on the wire, and ms that pass before it. */
type Turn = [command: string | string[], reply: string, after?: number];

const NOT_AN_INTEGER = "-ERR value is not an integer or out of range";

/** Commands in turn, to a store that is empty at first. */
const TALKS: Record<string, Turn[]> = {
  "PING answers PONG, or its argument": [
    ["PING", "+PONG"],
    ["PING hello", "$5 hello"],
    ["PING a b", "-ERR wrong number of arguments for 'ping' command"],
  ],
  "names are case-insensitive": [
    ["ping", "+PONG"],
    ["PiNg", "+PONG"],
  ],
  "ECHO answers its argument": [
    ["ECHO hello", "$5 hello"],
    [["ECHO", ""], "$0 "],
    ["ECHO", "-ERR wrong number of arguments for 'echo' command"],
  ],
  "SET stores what GET finds": [
    ["GET a", "$-1"],
    ["SET a 1", "+OK"],
    ["GET a", "$1 1"],
    ["SET a longer", "+OK"],
    ["GET a", "$6 longer"],
    [["SET", "", ""], "+OK"],
    [["GET", ""], "$0 "],
    ["GET a b", "-ERR wrong number of arguments for 'get' command"],
    ["SET a", "-ERR wrong number of arguments for 'set' command"],
  ],
  "keys and values may be any bytes": [
    [["SET", "\0\r\n\xff", "\r\n$-1\r\n\x80"], "+OK"],
    [["GET", "\0\r\n\xff"], "$8 \r\n$-1\r\n\x80"],
    [["GET", "\0\r\n\xfe"], "$-1"],
    [["KEYS", "*\xff"], "*1 $4 \0\r\n\xff"],
  ],
  "SET with EX and PX stores with an expiry": [
    ["SET a 1 EX 10", "+OK"],
    ["SET b 1 px 1500", "+OK"],
    ["TTL a", ":10"],
    ["TTL b", ":2"],
    ["TTL b", ":1", 100],
    ["GET b", "$-1", 1400],
    ["GET a", "$1 1", 8499],
    ["GET a", "$-1", 1],
  ],
  "SET without them stores without an expiry": [
    ["SET a 1 EX 10", "+OK"],
    ["SET a 2", "+OK"],
    ["TTL a", ":-1"],
    ["GET a", "$1 2", 20_000],
  ],
  "SET with NX stores new keys, with XX existing ones": [
    ["SET a 1 XX", "$-1"],
    ["GET a", "$-1"],
    ["SET a 1 NX", "+OK"],
    ["SET a 2 nx", "$-1"],
    ["GET a", "$1 1"],
    ["SET a 2 XX EX 1", "+OK"],
    ["GET a", "$1 2"],
    ["SET a 3 XX", "$-1", 1000],
    ["SET a 3 EX 5 NX", "+OK"],
    ["TTL a", ":5"],
  ],
  "SET refuses unknown options": [
    ["SET a 1 NX XX", "-ERR syntax error"],
    ["SET a 1 EX", "-ERR syntax error"],
    ["SET a 1 EX 1 PX 1", "-ERR syntax error"],
    ["SET a 1 KEEPTTL", "-ERR syntax error"],
    ["SET a 1 EX x", NOT_AN_INTEGER],
    ["SET a 1 EX x y", "-ERR syntax error"],
    ["SET a 1 EX 1.5", NOT_AN_INTEGER],
    ["SET a 1 EX 0", "-ERR invalid expire time in 'set' command"],
    ["SET a 1 PX -1", "-ERR invalid expire time in 'set' command"],
    ["SET a 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command"],
    ["SET a 1 EX 9223372036854775808", NOT_AN_INTEGER],
    ["GET a", "$-1"],
  ],
  "DEL and EXISTS count": [
    ["MSET a 1 b 2 c 3", "+OK"],
    ["EXISTS a b x a", ":3"],
    ["DEL a x b a", ":2"],
    ["EXISTS a b c", ":1"],
    ["DEL", "-ERR wrong number of arguments for 'del' command"],
  ],
  "INCR and DECR change stored numbers": [
    ["INCR a", ":1"],
    ["INCR a", ":2"],
    ["DECR a", ":1"],
    ["GET a", "$1 1"],
    ["DECR b", ":-1"],
    ["SET a 99", "+OK"],
    ["INCR a", ":100"],
    ["GET a", "$3 100"],
  ],
  "INCR and DECR count in 64 bits": [
    ["SET a 9007199254740993", "+OK"],
    ["INCR a", ":9007199254740994"],
    ["SET a 9223372036854775806", "+OK"],
    ["INCR a", ":9223372036854775807"],
    ["INCR a", "-ERR increment or decrement would overflow"],
    ["GET a", "$19 9223372036854775807"],
    ["SET a -9223372036854775808", "+OK"],
    ["DECR a", "-ERR increment or decrement would overflow"],
  ],
  "INCR refuses what is not a number": [
    ...["", "x", "1x", " 1", "+1", "01", "-0", "1.0", "9223372036854775808", "1".repeat(40)]
      .flatMap((value): Turn[] => [[["SET", "a", value], "+OK"], ["INCR a", NOT_AN_INTEGER]]),
  ],
  "INCR keeps the expiry of a key": [
    ["SET a 1 EX 10", "+OK"],
    ["INCR a", ":2"],
    ["TTL a", ":10"],
    ["INCR a", ":1", 10_000],
    ["TTL a", ":-1"],
  ],
  "EXPIRE sets the expiry of a key": [
    ["EXPIRE a 10", ":0"],
    ["TTL a", ":-2"],
    ["SET a 1", "+OK"],
    ["TTL a", ":-1"],
    ["EXPIRE a 10", ":1"],
    ["TTL a", ":10"],
    ["TTL a", ":9", 1000],
    ["EXPIRE a 1", ":1"],
    ["EXISTS a", ":0", 1000],
  ],
  "EXPIRE with a time in the past removes the key": [
    ["SET a 1", "+OK"],
    ["EXPIRE a 0", ":1"],
    ["EXISTS a", ":0"],
    ["SET a 1", "+OK"],
    ["EXPIRE a -1", ":1"],
    ["EXPIRE a -1", ":0"],
  ],
  "EXPIRE refuses what is not a time": [
    ["SET a 1", "+OK"],
    ["EXPIRE a x", NOT_AN_INTEGER],
    ["EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"],
    ["TTL a", ":-1"],
  ],
  "MSET stores, and MGET finds, several at once": [
    ["MSET a 1 b 2", "+OK"],
    ["MGET a x b a", "*4 $1 1 $-1 $1 2 $1 1"],
    ["MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"],
    ["MGET", "-ERR wrong number of arguments for 'mget' command"],
  ],
  "KEYS finds keys that match and have not expired": [
    ["MSET one 1 two 2 three 3", "+OK"],
    ["SET too 2 PX 10", "+OK"],
    ["KEYS t*", "*2 $3 two $5 three", 10],
    ["KEYS *", "*3 $3 one $3 two $5 three"],
    ["KEYS [^o]??", "*1 $3 two"],
    ["KEYS x", "*0"],
    [`KEYS ${"x".repeat(257)}`, "-ERR pattern is longer than 256 bytes"],
  ],
  "DBSIZE counts keys, and FLUSHALL removes them": [
    ["MSET a 1 b 2", "+OK"],
    ["DBSIZE", ":2"],
    ["FLUSHALL", "+OK"],
    ["DBSIZE", ":0"],
    ["SET a 1", "+OK"],
    ["FLUSHALL async", "+OK"],
    ["DBSIZE", ":0"],
    ["FLUSHALL now", "-ERR syntax error"],
  ],
  "COMMAND answers little more than a count": [
    ["COMMAND", "*0"],
    ["COMMAND DOCS", "*0"],
    ["COMMAND DOCS get", "*0"],
    ["COMMAND COUNT", ":18"],
  ],
  "CONFIG GET answers the names that programs ask for": [
    ["CONFIG GET save", "*2 $4 save $0 "],
    ["CONFIG GET appendonly", "*2 $10 appendonly $2 no"],
    ["CONFIG GET APPEND*", "*2 $10 appendonly $2 no"],
    ["CONFIG GET nothing s*", "*2 $4 save $0 "],
    ["CONFIG GET nothing", "*0"],
    ["CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"],
    ["CONFIG SET save x", "-ERR unknown subcommand 'SET'. Try CONFIG GET."],
  ],
  "unknown commands are refused, with their control characters escaped": [
    ["NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "],
    ["nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "],
    [["a\r\n+OK"], "-ERR unknown command 'a??+OK', with args beginning with: "],
    [["constructor"], "-ERR unknown command 'constructor', with args beginning with: "],
    [
      ["x".repeat(1000), "y".repeat(200), "z"],
      `-ERR unknown command '${"x".repeat(128)}', with args beginning with: '${"y".repeat(128)}' `,
    ],
  ],
};

for (const [name, turns] of Object.entries(TALKS)) {
  Deno.test(`execute(): ${name}`, () => {
    using time = new FakeTime();
    using store = new Store();
    for (const [command, reply, after = 0] of turns) {
      time.tick(after);
      assertEquals(say(store, command), wire(reply), String(command));
    }
  });
}

Deno.test("execute(): QUIT answers OK, whatever its arguments", () => {
  using store = new Store();
  assertEquals(execute(store, [fromLatin1("quit"), fromLatin1("now")]), BYE);
});

Deno.test("execute(): a full store refuses new data, and can be emptied", () => {
  using store = new Store(1000);
  assertEquals(say(store, ["SET", "a", "x".repeat(1000)]), "+OK\r\n");
  for (const command of ["SET b 1", "MSET b 1", "INCR b", "DECR b"]) {
    assertEquals(say(store, command), "-OOM command not allowed when the store is full\r\n");
  }
  assertEquals(say(store, "DEL a"), ":1\r\n");
  assertEquals(say(store, "SET b 1"), "+OK\r\n");
});

Deno.test("execute(): no reply is larger than 8 MiB", () => {
  using store = new Store();
  say(store, ["SET", "a", "x".repeat(1_048_576)]);
  assertEquals(say(store, ["MGET", ..."aaaaaaa"]).length, 4 + 7 * (10 + 1_048_576 + 2));
  const tooMuch = "-ERR the reply would be more than 8388608 bytes\r\n";
  assertEquals(say(store, ["MGET", ..."aaaaaaaa"]), tooMuch);
  for (let i = 0; i < 10; i++) say(store, ["SET", `${i}`.repeat(1_000_000), ""]);
  assertEquals(say(store, "KEYS *"), tooMuch);
});

/** The reply to a command on the wire; words of a text are separated by one space. */
function say(store: Store, command: string | string[]): string {
  const words = typeof command === "string" ? command.split(" ") : command;
  return latin1(replies.encode(execute(store, words.map(fromLatin1))));
}

/** A reply as written in the table, where a space stands for CRLF except in a line of text. */
function wire(reply: string): string {
  return `${/^[+-]/.test(reply) ? reply : reply.replaceAll(" ", "\r\n")}\r\n`;
}
