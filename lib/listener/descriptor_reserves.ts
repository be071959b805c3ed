/** The reserves of descriptors in this process, which come before what an accept loop wants. @module */

/** Descriptors that are kept for later. */
export interface DescriptorReserve {
  /** Takes what is missing, as far as there is any; whether nothing is missing then. */
  refill(): boolean;
}

/**
 * Every reserve. An accept loop that had no descriptor tries again only when all of them are full: else
 * it would take what one of them gives up for a moment, and never give it back.
 */
export const descriptorReserves: Set<DescriptorReserve> = new Set();
