/**
 * Makes a self-signed certificate: good for trying TLS on one machine and nothing else, since every
 * client must be given it.
 *
 * @module
 */

import type { Certificate } from "jsr:@usher/server@^0.2.0";

/** How long it is valid. */
const DAYS = 365;

const DAY = 86_400_000;

/** Its names: this machine, over loopback. */
const SUBJECT = "localhost";
const IPV4 = [127, 0, 0, 1];
const IPV6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/** ECDSA on P-256, as WebCrypto names it. */
const KEY = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

/** Makes a certificate for `localhost`, `127.0.0.1` and `::1` that is valid from now on. */
export async function selfSigned(): Promise<Certificate> {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const body = describe(
    new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
    new Date(),
  );
  const signature = new Uint8Array(await crypto.subtle.sign(SIGNATURE, privateKey, body));
  // WebCrypto gives r and s side by side; X.509 wants them as DER.
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32)];
  const certificate = sequence(body, ECDSA_WITH_SHA256, bits(sequence(integer(r), integer(s))));
  return {
    cert: pem("CERTIFICATE", certificate),
    key: pem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey))),
  };
}

/** The TBSCertificate, which is signed (RFC 5280, section 4.1). */
function describe(publicKey: Bytes, from: Date): Bytes {
  const serial = crypto.getRandomValues(new Uint8Array(16));
  const name = sequence(set(sequence(oid(2, 5, 4, 3), utf8(SUBJECT))));
  const until = new Date(from.getTime() + DAYS * DAY);
  return sequence(
    explicit(0, integer(Uint8Array.of(2))), // version 3, which counts from 0
    integer(serial),
    ECDSA_WITH_SHA256,
    name, // the issuer, which is the subject itself
    sequence(time(from), time(until)),
    name,
    publicKey,
    explicit(3, sequence(...EXTENSIONS)),
  );
}

type Bytes = Uint8Array<ArrayBuffer>;

// DER (X.690): everything is a tag, a length and a value.

function der(tag: number, ...values: Bytes[]): Bytes {
  const length = values.reduce((sum, { length }) => sum + length, 0);
  const size = length < 128
    ? [length]
    : length < 256
    ? [0x81, length]
    : [0x82, length >> 8, length];
  return concat(Uint8Array.of(tag, ...size), ...values);
}

function concat(...parts: Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function sequence(...values: Bytes[]): Bytes {
  return der(0x30, ...values);
}

function set(...values: Bytes[]): Bytes {
  return der(0x31, ...values);
}

function explicit(number: number, value: Bytes): Bytes {
  return der(0xa0 + number, value);
}

/** A positive integer: as few bytes as hold it, and a zero before what would be a sign bit. */
function integer(bytes: Bytes): Bytes {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.slice(first);
  return digits[0]! < 128 ? der(0x02, digits) : der(0x02, Uint8Array.of(0), digits);
}

function oid(first: number, second: number, ...more: number[]): Bytes {
  const bytes = more.flatMap((number) => {
    const digits = [number & 127];
    while ((number >>= 7) > 0) digits.unshift(number & 127 | 128);
    return digits;
  });
  return der(0x06, Uint8Array.of(first * 40 + second, ...bytes));
}

function utf8(text: string): Bytes {
  return der(0x0c, new TextEncoder().encode(text));
}

/** Until 2049 a year has two digits. */
function time(date: Date): Bytes {
  const text = date.toISOString().replace(/^20|[-:T]|\.\d+/g, "");
  return der(0x17, new TextEncoder().encode(text));
}

function octets(...values: Bytes[]): Bytes {
  return der(0x04, ...values);
}

function bits(value: Bytes, unused = 0): Bytes {
  return der(0x03, Uint8Array.of(unused), value);
}

const ECDSA_WITH_SHA256 = sequence(oid(1, 2, 840, 10045, 4, 3, 2));

const CRITICAL = der(0x01, Uint8Array.of(0xff));

/** Tags of the kinds of alternative name. */
const DNS = 0x82;
const IP = 0x87;

/** Its extensions: for a server's handshakes, and not for signing certificates. */
const EXTENSIONS = [
  // basicConstraints: no authority, which is the default and therefore left out.
  sequence(oid(2, 5, 29, 19), CRITICAL, octets(sequence())),
  // keyUsage: digitalSignature, the first bit.
  sequence(oid(2, 5, 29, 15), CRITICAL, octets(bits(Uint8Array.of(0x80), 7))),
  // extKeyUsage: serverAuth.
  sequence(oid(2, 5, 29, 37), octets(sequence(oid(1, 3, 6, 1, 5, 5, 7, 3, 1)))),
  // subjectAltName: clients look for names only here.
  sequence(
    oid(2, 5, 29, 17),
    octets(sequence(
      der(DNS, new TextEncoder().encode(SUBJECT)),
      der(IP, Uint8Array.from(IPV4)),
      der(IP, Uint8Array.from(IPV6)),
    )),
  ),
];

function pem(label: string, bytes: Bytes): string {
  const lines = bytes.toBase64().replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}
