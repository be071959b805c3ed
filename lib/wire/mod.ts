/**
 * Tools for bytes that need no connection: functions of their arguments, without sockets, clocks or
 * permissions.
 *
 * {@linkcode BinaryReader} and {@linkcode BinaryWriter} read and write the fields of binary messages,
 * {@linkcode clientHello} reads what a TLS client asks for, and {@linkcode proxyHeader} and
 * {@linkcode encodeProxyHeader} read and write the headers of the PROXY protocol.
 *
 * @module
 */

export { ProtocolError, ProxyHeaderError } from "../errors.ts";
export { BinaryReader, type BinaryReaderOptions, type LengthWidth } from "./binary_reader.ts";
export { BinaryWriter, type BinaryWriterOptions } from "./binary_writer.ts";
export { type ClientHello, clientHello } from "./client_hello.ts";
export type { Batch, Decoded, Decoder, Need } from "./codec/codec.ts";
export { encodeProxyHeader, type EncodeProxyHeaderOptions } from "./proxy/encode_proxy_header.ts";
export { type ProxyAddress, type ProxyHeader, proxyHeader } from "./proxy/proxy_header.ts";
export type { ProxySsl, ProxyTlv, ProxyTlvs } from "./proxy/proxy_tlvs.ts";
