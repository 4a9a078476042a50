/** The browser's timers, in whose place there may be others: tests turn theirs by hand. */

/**
 * @typedef {object} Timers
 * @property {(callback: () => void, milliseconds: number) => number} setTimeout
 * @property {(timer: number | undefined) => void} clearTimeout
 * @property {(callback: () => void, milliseconds: number) => number} setInterval
 * @property {(timer: number | undefined) => void} clearInterval
 */

/**
 * Those of the browser.
 *
 * @type {Timers}
 */
export const TIMERS = {
  setTimeout: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  clearTimeout: (timer) => window.clearTimeout(timer),
  setInterval: (callback, milliseconds) => window.setInterval(callback, milliseconds),
  clearInterval: (timer) => window.clearInterval(timer),
};
