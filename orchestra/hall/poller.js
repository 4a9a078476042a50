/** Asks the server for its numbers, again and again. */

import { Backoff } from "./backoff.js";
import { figures, snapshot } from "./figures.js";
import { TIMERS } from "./timers.js";

/** @typedef {import("./figures.js").Figures} Figures */
/** @typedef {import("./figures.js").Snapshot} Snapshot */

/** How many milliseconds there are between two questions. */
const INTERVAL = 1000;

/** After how many milliseconds an answer is not waited for any more. */
const PATIENCE = 5000;

/**
 * @typedef {object} Handlers
 * @property {(figures: Figures) => void} onfigures - there are new ones
 * @property {(event: {reason: string, delay: number}) => void} onaway - the server is not reached,
 *   or cannot tell, and is asked again after so many milliseconds
 * @property {(event: {reason: string, takes: string | null}) => void} onrefused - it does not want
 *   to tell, and is not asked again unless start() is called; what it takes is the scheme of what
 *   would let one in, in lower case, if anything would
 */

/** Asks once a second, and less often while the server is away. */
export class Poller {
  /**
   * What lets one in, if it takes anything: headers of each request.
   *
   * @type {Record<string, string>}
   */
  headers = {};

  /** @type {string} */
  #url;
  /** @type {Handlers} */
  #handlers;
  /** @type {typeof fetch} */
  #fetch;
  #timers;
  #backoff;
  /** @type {Snapshot | null} */
  #before = null;
  /** @type {number | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #asking = null;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {Handlers} options.handlers - whom to tell
   * @param {typeof fetch} [options.fetch]
   * @param {() => number} [options.random] - a number from 0 up to 1
   * @param {import("./timers.js").Timers} [options.timers]
   */
  constructor({ url, handlers, random, timers = TIMERS, ...others }) {
    this.#url = url;
    this.#handlers = handlers;
    this.#fetch = others.fetch ?? ((...request) => fetch(...request));
    this.#timers = timers;
    this.#backoff = new Backoff(random);
  }

  /** Ask now, and go on. */
  start() {
    this.stop();
    this.#ask();
  }

  /** Ask no more. */
  stop() {
    this.#timers.clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = null;
  }

  async #ask() {
    const asking = (this.#asking = new AbortController());
    this.#timer = this.#timers.setTimeout(() => asking.abort(), PATIENCE);
    /** @type {() => void} */
    let outcome;
    try {
      outcome = await this.#answered(asking.signal);
    } catch {
      outcome = () => this.#away("The server is not reached.");
    }
    if (this.#asking !== asking) return; // it was stopped, or started anew
    this.#timers.clearTimeout(this.#timer);
    this.#asking = null;
    outcome();
  }

  /** @param {AbortSignal} signal @returns {Promise<() => void>} what to do then */
  async #answered(signal) {
    const { headers } = this;
    const answer = await this.#fetch(this.#url, { headers, signal, cache: "no-store" });
    if (answer.ok) {
      const told = snapshot(await answer.json());
      return told ? () => this.#told(told) : () => this.#away("The server tells no numbers.");
    }
    const reason = (await answer.text()).trim().slice(0, 500) || `status ${answer.status}`;
    // What is of the server or of a moment, and not of whoever asks.
    if (answer.status >= 500 || answer.status === 429) return () => this.#away(reason);
    const challenge = answer.headers.get("WWW-Authenticate");
    const takes = challenge && challenge.split(/[\s,]/, 1)[0].toLowerCase();
    return () => this.#handlers.onrefused({ reason, takes });
  }

  /** @param {Snapshot} told */
  #told(told) {
    this.#backoff.reset();
    this.#next(INTERVAL);
    const before = this.#before;
    this.#before = told;
    // Whoever asks at the same time as others may be told the same again.
    if (before?.server !== told.server || before.time !== told.time) {
      this.#handlers.onfigures(figures(before, told));
    }
  }

  /** @param {string} reason */
  #away(reason) {
    const delay = this.#backoff.next();
    this.#next(delay);
    this.#handlers.onaway({ reason, delay });
  }

  /** @param {number} milliseconds */
  #next(milliseconds) {
    this.#timer = this.#timers.setTimeout(() => this.#ask(), milliseconds);
  }
}
