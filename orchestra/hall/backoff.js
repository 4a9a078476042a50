/** How long to wait before the next attempt: random, and longer the more have failed. */

/** The least that is waited, in milliseconds. */
const LEAST = 200;

/** The most that is waited, in milliseconds. */
const MOST = 20_000;

/**
 * Waits for attempts, with full jitter: those who were cut off together do not come back together,
 * and the more often they come in vain, the further they are apart.
 */
export class Backoff {
  /** @type {() => number} */
  #random;
  #failed = 0;

  /** @param {() => number} random - a number from 0 up to 1 */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /**
   * An attempt has failed.
   *
   * @returns {number} after how many milliseconds to make the next one
   */
  next() {
    this.#failed += 1;
    const longest = Math.min(MOST, LEAST * 2 ** this.#failed);
    return LEAST + this.#random() * (longest - LEAST);
  }

  /** An attempt has not failed: the next wait is a short one again. */
  reset() {
    this.#failed = 0;
  }
}
