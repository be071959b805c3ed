/**
 * Tools for bytes that need no connection: functions of their arguments, without sockets, clocks or
 * permissions.
 *
 * {@linkcode proxyHeader} and {@linkcode encodeProxyHeader} read and write the headers of the PROXY
 * protocol.
 *
 * @module
 */

export { ProtocolError, ProxyHeaderError } from "../errors.ts";
export type { Batch, Decoded, Decoder, Need } from "./codec/codec.ts";
export { encodeProxyHeader, type EncodeProxyHeaderOptions } from "./proxy/encode_proxy_header.ts";
export { type ProxyAddress, type ProxyHeader, proxyHeader } from "./proxy/proxy_header.ts";
export type { ProxySsl, ProxyTlv, ProxyTlvs } from "./proxy/proxy_tlvs.ts";
