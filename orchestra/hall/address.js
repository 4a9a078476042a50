/** What the page's own URL says, and where else the server is found. */

/** The channel of the server's root. */
const MAIN = "main";

/** Where the page is, wherever the server is mounted. */
const base = new URL(".", location.href);

/**
 * The URL of a WebSocket.
 *
 * @param {string} path - from where the page is
 * @returns {string}
 */
export function socketUrl(path) {
  const url = new URL(path, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * The path of a channel, from where the page is: that of no other channel, and on no other host.
 *
 * @param {string} channel
 * @returns {string}
 */
export function pathOf(channel) {
  if (channel === MAIN) return "";
  const parts = channel.split("/");
  const isPath = parts.every((part) => !["", ".", ".."].includes(part));
  return parts.map(encodeURIComponent).join(isPath ? "/" : "%2F");
}

/**
 * The URL of a channel, for whoever speaks HTTP.
 *
 * @param {string} channel
 * @returns {string}
 */
export function urlOf(channel) {
  return new URL(pathOf(channel), base).href;
}

/**
 * The channel that the fragment names.
 *
 * @returns {string}
 */
export function channel() {
  const name = location.hash.slice(1);
  try {
    return decodeURIComponent(name) || MAIN;
  } catch {
    return name; // it is not encoded
  }
}

/**
 * Go to the hall of another channel.
 *
 * @param {string} channel
 */
export function goTo(channel) {
  location.hash = encodeURIComponent(channel || MAIN);
}
