/**
 * An MQTT 3.1.1 broker: QoS 0 and 1, sessions that outlive their connections, wildcards, retained
 * messages, wills, keep-alive. With `--cert` and `--key` it speaks TLS, and with `--client-ca` only to
 * clients with a certificate of that authority. A client takes over any session whose client
 * identifier it sends.
 *
 * deno run --allow-net --allow-read examples/mqtt.ts
 *
 * @module
 */

import { type Framed, framed, type Handler, ProtocolError, serve } from "jsr:@usher/server@^0.2.0";
import { BinaryReader } from "jsr:@usher/server@^0.2.0/wire";
import { Broker, REFUSED } from "./mqtt/broker.ts";
import {
  type Packet,
  packets,
  publish,
  readConnect,
  readId,
  readPublish,
  reply,
} from "./mqtt/packets.ts";
import type { Session } from "./mqtt/session.ts";
import { start } from "./start.ts";

/** Ms in which a client must have sent its CONNECT. */
const LOGIN = 10_000;

/** The types of packets, which are the upper four bits of the first byte. */
const PUBLISH = 3;
const PUBACK = 0x40, SUBSCRIBE = 0x82, UNSUBSCRIBE = 0xa2, PINGREQ = 0xc0, DISCONNECT = 0xe0;
const SUBACK = 0x90, UNSUBACK = 0xb0;
const PINGRESP = Uint8Array.of(0xd0, 0);

/** Codes of CONNACK. */
const WRONG_VERSION = 1, ID_REJECTED = 2;

/** Makes the handler that serves all clients of one broker. */
export function mqtt(): Handler {
  const broker = new Broker();
  return async (conn) => {
    const client = framed(conn, packets);
    const first = await readFirst(client);
    if (first === null) return;
    const connect = readConnect(first);
    if (connect.level !== 4) return await client.write(connack(WRONG_VERSION));
    if (connect.clientId === "" && !connect.clean) return await client.write(connack(ID_REJECTED));

    const [session, present] = broker.enter(connect);
    // Half a period of grace (3.1.2.10).
    if (connect.keepAlive > 0) conn.receiveTimeout = connect.keepAlive * 1500;
    client.write(connack(0, present));
    session.attach(client);
    let { will } = connect;
    try {
      for await (const packet of client) {
        if (packet.header === DISCONNECT) {
          will = undefined;
          return;
        }
        // Awaited: a client that asks for much and reads little delays only itself.
        await obey(broker, session, packet, client);
      }
    } finally {
      session.detach(client);
      broker.leave(session);
      if (will !== undefined && !conn.draining) broker.publish(will);
    }
  };
}

async function readFirst(client: Framed<Packet>): Promise<Packet | null> {
  using _ = client.conn.deadline(LOGIN);
  return await client.read();
}

/** Handles a packet. Not `async`, which saves an async frame for the most frequent ones. */
function obey(
  broker: Broker,
  session: Session,
  packet: Packet,
  client: Framed<Packet>,
): Promise<void> | undefined {
  const { header, body } = packet;
  if (header >> 4 === PUBLISH) {
    const publication = readPublish(packet);
    broker.publish(publication);
    return publication.qos > 0 ? client.write(reply(PUBACK, publication.id)) : undefined;
  }
  if (header === PINGREQ) return client.write(PINGRESP);
  const reader = new BinaryReader(body, { name: `a packet of the type ${header >> 4}` });
  const id = readId(reader);
  if (header === PUBACK) {
    session.acknowledged(id);
    return undefined;
  }
  if (header === SUBSCRIBE) return subscribe(broker, session, id, reader, client);
  if (header !== UNSUBSCRIBE) {
    throw new ProtocolError(`Cannot take a packet that begins with ${header}`);
  }
  do broker.unsubscribe(session, reader.prefixedString(2)); while (reader.left > 0);
  return client.write(reply(UNSUBACK, id));
}

async function subscribe(
  broker: Broker,
  session: Session,
  id: number,
  reader: BinaryReader,
  client: Framed<Packet>,
): Promise<void> {
  const filters: string[] = [], codes: number[] = [];
  do {
    const filter = reader.prefixedString(2);
    const code = broker.subscribe(session, filter, reader.u8());
    codes.push(code);
    if (code !== REFUSED) filters.push(filter);
  } while (reader.left > 0);
  await client.write(reply(SUBACK, id, codes));
  for (const filter of filters) {
    for (const kept of broker.retained(filter)) await client.write(publish(kept, { retain: true }));
  }
}

/** The answer to CONNECT (3.2). */
function connack(code: number, present = false): Uint8Array {
  return Uint8Array.of(0x20, 2, present ? 1 : 0, code);
}

if (import.meta.main) {
  const command = "deno run --allow-net --allow-read examples/mqtt.ts";
  const options = { cert: "FILE", key: "FILE", "client-ca": "FILE" };
  await start({ command, port: 1883, options }, async (place, files) => {
    const { cert, key, "client-ca": authority } = files;
    if (cert === undefined || key === undefined) {
      if ((cert ?? key ?? authority) === undefined) return serve(place, mqtt());
      throw new TypeError("Cannot use TLS without both: give --cert and --key");
    }
    const read = Deno.readTextFile;
    const tls = authority !== undefined && { tls: { clientCa: await read(authority) } };
    return serve({ ...place, cert: await read(cert), key: await read(key), ...tls }, mqtt());
  });
}
