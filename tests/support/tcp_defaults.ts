/** What a TCP address is completed with, written out for tests. @module */

/** The defaults of a TCP address. */
export const TCP = {
  hostname: "0.0.0.0",
  tcpBacklog: 511,
  noDelay: true,
  keepAlive: true,
  reusePort: false,
};
