/** What the server counts: asked for once a second, and what follows from it. */

import { Backoff } from "./backoff.js";

/** How many milliseconds there are between two questions. */
export const INTERVAL = 1000;

/** After how many milliseconds an answer is not waited for any more. */
export const PATIENCE = 5000;

/**
 * A channel, as the server tells of it.
 *
 * @typedef {object} Busy
 * @property {string} channel
 * @property {number} subscribers
 * @property {number} published - in all
 * @property {number} retained_messages
 * @property {number} retained_bytes
 */

/**
 * What the server tells.
 *
 * @typedef {object} Snapshot
 * @property {string} server - which one it is; another one has begun to count anew
 * @property {number} time - when that was, in seconds of its clock
 * @property {{name: string, labels: Record<string, string>, value: number}[]} samples
 * @property {Busy[]} busiest
 */

/**
 * What the podium shows. What is counted is there as a rate; null is not known.
 *
 * @typedef {object} Figures
 * @property {number | null} connections
 * @property {number | null} subscribers
 * @property {number | null} messages - in a second
 * @property {number | null} deliveries - in a second
 * @property {number | null} deliveredBytes - in a second
 * @property {number | null} lagging
 * @property {number | null} full - connections
 * @property {number | null} held - publishers
 * @property {number | null} buffered - bytes
 * @property {number | null} bufferedLimit - bytes; 0 for none
 * @property {number | null} evicted - in all
 * @property {number | null} evictions - in a minute
 * @property {number | null} missed - messages, in all
 * @property {number | null} refused - requests, in all
 * @property {number | null} channels
 * @property {number | null} retained - messages
 * @property {number | null} retainedBytes
 * @property {(Busy & {messages: number | null})[]} busiest - messages in a second
 */

/**
 * @typedef {object} Handlers
 * @property {(figures: Figures) => void} onfigures - there are new ones
 * @property {(event: {reason: string, delay: number}) => void} onaway - the server is not reached,
 *   or cannot tell, and is asked again after so many milliseconds
 * @property {(event: {reason: string, takes: string | null}) => void} onrefused - it does not want
 *   to tell, and is not asked again unless start() is called; what it takes is the scheme of what
 *   would let one in, in lower case, if anything would
 */

/**
 * Make sure that an answer is what it should be.
 *
 * @param {any} told
 * @returns {Snapshot | null}
 */
export function snapshot(told) {
  const isOne =
    typeof told?.server === "string" &&
    typeof told.time === "number" &&
    Array.isArray(told.samples) &&
    Array.isArray(told.busiest);
  return isOne ? told : null;
}

/**
 * The sum of a metric over its labels.
 *
 * @param {Snapshot} told
 * @param {string} name
 * @returns {number | null} null if there is no such metric
 */
function total({ samples }, name) {
  const found = samples.filter((sample) => sample.name === name);
  return found.length ? found.reduce((sum, { value }) => sum + value, 0) : null;
}

/**
 * How fast something has grown. A counter that went back has begun anew, and tells nothing.
 *
 * @param {number | null | undefined} before
 * @param {number | null} now
 * @param {number} seconds - between the two
 * @returns {number | null} by how much in a second
 */
export function rate(before, now, seconds) {
  if (before === null || before === undefined || now === null) return null;
  return seconds > 0 && now >= before ? (now - before) / seconds : null;
}

/**
 * What follows from what the server tells, and has told before.
 *
 * @param {Snapshot | null} before
 * @param {Snapshot} now
 * @returns {Figures}
 */
export function figures(before, now) {
  const earlier = before && before.server === now.server ? before : null;
  const seconds = earlier ? now.time - earlier.time : 0;
  const value = (/** @type {string} */ name) => total(now, `orchestra_${name}`);
  const growth = (/** @type {string} */ name) =>
    rate(earlier && total(earlier, `orchestra_${name}`), value(name), seconds);
  const evictions = growth("evicted_readers_total");
  const published = new Map(earlier?.busiest.map((each) => [each.channel, each.published]));
  return {
    connections: value("connections"),
    subscribers: value("subscribers"),
    messages: growth("published_messages_total"),
    deliveries: growth("deliveries_total"),
    deliveredBytes: growth("delivered_bytes_total"),
    lagging: value("lagging_subscribers"),
    full: value("full_connections"),
    held: value("held_publishers"),
    buffered: value("buffered_bytes"),
    bufferedLimit: value("buffered_limit_bytes"),
    evicted: value("evicted_readers_total"),
    evictions: evictions === null ? null : 60 * evictions,
    missed: value("missed_messages_total"),
    // Without a label there is no sample before the first.
    refused: value("refused_requests_total") ?? 0,
    channels: value("channels"),
    retained: value("retained_messages"),
    retainedBytes: value("retained_bytes"),
    busiest: now.busiest.map((each) => ({
      ...each,
      messages: rate(published.get(each.channel), each.published, seconds),
    })),
  };
}

/** Asks the server once a second, and less often while it is away. */
export class Numbers {
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
  /** @type {(callback: () => void, milliseconds: number) => any} */
  #setTimeout;
  /** @type {(timer: any) => void} */
  #clearTimeout;
  #backoff;
  /** @type {Snapshot | null} */
  #before = null;
  #timer = null;
  /** @type {AbortController | null} */
  #asking = null;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {Handlers} options.handlers - whom to tell
   * @param {typeof fetch} [options.fetch]
   * @param {() => number} [options.random] - a number from 0 up to 1
   * @param {(callback: () => void, milliseconds: number) => any} [options.setTimeout]
   * @param {(timer: any) => void} [options.clearTimeout]
   */
  constructor({ url, handlers, random, ...others }) {
    this.#url = url;
    this.#handlers = handlers;
    this.#fetch = others.fetch ?? ((...request) => fetch(...request));
    this.#setTimeout = others.setTimeout ?? ((callback, ms) => setTimeout(callback, ms));
    this.#clearTimeout = others.clearTimeout ?? ((timer) => clearTimeout(timer));
    this.#backoff = new Backoff(random);
  }

  /** Ask now, and go on. */
  start() {
    this.stop();
    this.#ask();
  }

  /** Ask no more. */
  stop() {
    this.#clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = null;
  }

  async #ask() {
    const asking = (this.#asking = new AbortController());
    this.#timer = this.#setTimeout(() => asking.abort(), PATIENCE);
    /** @type {() => void} */
    let outcome;
    try {
      outcome = await this.#answered(asking.signal);
    } catch {
      outcome = () => this.#away("The server is not reached.");
    }
    if (this.#asking !== asking) return; // it was stopped, or started anew
    this.#clearTimeout(this.#timer);
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
    this.#timer = this.#setTimeout(() => this.#ask(), milliseconds);
  }
}
