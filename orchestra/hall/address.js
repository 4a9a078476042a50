/** What the page's own URL says, and where else the server is found. */

/** The channel of the server's root. */
export const MAIN = "main";

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
 * The path of a channel, from where the page is.
 *
 * @param {string} channel
 * @returns {string}
 */
export function pathOf(channel) {
  return channel === MAIN ? "" : channel.split("/").map(encodeURIComponent).join("/");
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
