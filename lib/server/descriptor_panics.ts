/** How does a server survive the moment without a free descriptor? @module */

let disarmed = false;

/**
 * Deno 2.9 ends the whole process in two places when no descriptor is free: when its own SIGUSR1
 * handler is set up, half a second after the start, and when an error's stack is formatted for the
 * first time. Both open something the first time only, so both are done here once, while there is
 * room. A signal that nobody acts on is listened for and let go again: the library touches no other.
 */
export function disarmDescriptorPanics(): void {
  if (disarmed) return;
  disarmed = true;
  void new Error().stack;
  // There is no such handler on Windows, and no limit that is reached as easily.
  if (Deno.build.os === "windows") return;
  const nothing = () => {};
  Deno.addSignalListener("SIGWINCH", nothing);
  Deno.removeSignalListener("SIGWINCH", nothing);
}
