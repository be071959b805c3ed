/**
 * TCP, TLS and Unix-socket servers that nothing from outside can end.
 *
 * {@linkcode serve} listens, accepts and passes each connection to a handler, with limits, timeouts
 * and a graceful stop; {@linkcode listen} gives the hardened listener alone.
 *
 * @example The smallest server
 * ```ts
 * import { serve } from "@usher/server";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 * console.log(`Listening on port ${server.addr.port}`);
 *
 * await server.shutdown(); // a server without this line runs on
 * ```
 *
 * @module
 */

// In the order in which a reader needs them: the documentation lists them in it.

// Servers
export { serve } from "./lib/server/serve.ts";
export type { Server, ServerControl } from "./lib/server/server.ts";
export type { Handler } from "./lib/server/handler.ts";
export type { ServeSettings, ServeTcpOptions } from "./lib/server/options.ts";
export type {
  ServeEntryOptions,
  ServeFdOptions,
  ServeHandledOptions,
  ServeListenersOptions,
  ServeOptions,
  ServeTcpListenersOptions,
  ServeUnixOptions,
} from "./lib/server/options.ts";
export type { ServeAddress, ServeAddressOptions } from "./lib/listener/listen_options.ts";

// Connections
export type { ChunkOptions, Connection, RequiredRecord } from "./lib/connection/connection.ts";
export { connection, type ConnectionOptions } from "./lib/connection/wrap.ts";
export { copy } from "./lib/connection/copy.ts";
export { relay, type Relayed } from "./lib/connection/relay.ts";
export type { ReadOptions } from "./lib/connection/cancellation.ts";
export type { RecordOptions } from "./lib/connection/byte_reader.ts";
export type { AbortOptions } from "./lib/connection/abort.ts";

// Frames
export { type Framed, framed, type FramedOptions } from "./lib/connection/framed.ts";
export {
  type Broadcast,
  broadcast,
  type BroadcastOptions,
  type Membership,
  type SendOptions,
} from "./lib/connection/broadcast.ts";
export { lines, type LinesOptions } from "./lib/wire/codec/lines.ts";
export { delimited, type DelimitedOptions } from "./lib/wire/codec/delimited.ts";
export { lengthPrefixed, type LengthPrefixedOptions } from "./lib/wire/codec/length_prefixed.ts";
export { mapped, type Mapping } from "./lib/wire/codec/mapped.ts";
export { oneOf } from "./lib/wire/codec/one_of.ts";
export {
  type Message,
  type ParsedHeader,
  withHeader,
  type WithHeaderOptions,
} from "./lib/wire/codec/with_header.ts";
export type {
  Batch,
  Codec,
  Decoded,
  Decoder,
  Encoder,
  Need,
  Oversize,
} from "./lib/wire/codec/codec.ts";

// Limits
export type { Admit, AdmitResult, IdentifiedConnection } from "./lib/server/admission.ts";
export { type RateLimit, rateLimit, type RateLimitOptions } from "./lib/server/rate_limit.ts";
export { type AddressSet, addressSet, type AddressSetOptions } from "./lib/listener/address_set.ts";
export { peerKey } from "./lib/wire/address/peer_key.ts";

// Errors and records
export { FrameTooLargeError, ProtocolError, ProxyHeaderError, RefusedError } from "./lib/errors.ts";
export type { EndRecord } from "./lib/server/end_records.ts";
export type { EndReason } from "./lib/connection/end_reason.ts";
export type { RefusalCause, ServerStats } from "./lib/server/statistics.ts";
export { formatAddress } from "./lib/format_address.ts";

// Stopping
export type { ShutdownOptions } from "./lib/server/server.ts";
export type { ShutdownReport } from "./lib/server/drain.ts";
export {
  shutdownOnSignals,
  type ShutdownOnSignalsOptions,
} from "./lib/server/shutdown_on_signals.ts";

// TLS
export type {
  Certificate,
  TlsClientOptions,
  TlsListenOptions,
  TlsSettings,
  TlsVersion,
} from "./lib/tls/tls_options.ts";
export type { TlsInfo } from "./lib/tls/handshake.ts";
export type { StartTlsLimits, StartTlsOptions } from "./lib/connection/enter_tls.ts";

// PROXY protocol
export type { ProxyProtocolOptions } from "./lib/listener/listen_options.ts";
export type { ProxyAddress, ProxyHeader } from "./lib/wire/proxy/proxy_header.ts";
export type { ProxySsl, ProxyTlv, ProxyTlvs } from "./lib/wire/proxy/proxy_tlvs.ts";

// Listeners
export { listen } from "./lib/listener/listen.ts";
export { type InheritedListener, inheritedListeners } from "./lib/listener/inherited_listeners.ts";
export type {
  FdListenOptions,
  ListenOptions,
  TcpListenOptions,
  UnixListenOptions,
} from "./lib/listener/listen_options.ts";
