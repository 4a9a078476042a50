/** How long it takes to hear what one plays: from this browser to the server, and back. */

import { Client } from "./client.js";
import { percentile } from "./percentile.js";

/** How many milliseconds there are between two probes. */
export const INTERVAL = 200;

/** How many milliseconds a round trip counts for. */
export const WINDOW = 30_000;

/** After how many milliseconds a probe does not come back any more. */
const LOST = 10_000;

/**
 * The round trips of the last {@link WINDOW}.
 *
 * It knows its own probes by a random name: others measure in the same channel.
 */
export class RoundTrips {
  #name;
  #number = 0;
  /** @type {Map<number, number>} */
  #sent = new Map();
  /** @type {{at: number, took: number}[]} */
  #measured = [];

  /** @param {string} name - that nobody else has */
  constructor(name) {
    this.#name = name;
  }

  /** @param {number} now - in milliseconds @returns {{probe: [string, number]}} what to send */
  sent(now) {
    this.#number += 1;
    this.#sent.set(this.#number, now);
    for (const [number, at] of this.#sent) {
      if (at > now - LOST) break;
      this.#sent.delete(number);
    }
    return { probe: [this.#name, this.#number] };
  }

  /** @param {unknown} data - what was heard, by whomever it is @param {number} now */
  heard(data, now) {
    const probe = /** @type {any} */ (data)?.probe;
    if (!Array.isArray(probe) || probe[0] !== this.#name) return;
    const at = this.#sent.get(probe[1]);
    if (at === undefined) return;
    this.#sent.delete(probe[1]);
    this.#measured.push({ at: now, took: now - at });
  }

  /** Those that have not come back will not. */
  forget() {
    this.#sent.clear();
  }

  /**
   * @param {number} now
   * @returns {{p50: number | null, p99: number | null}} in milliseconds; null if there are none
   */
  read(now) {
    this.#measured = this.#measured.filter(({ at }) => at > now - WINDOW);
    const took = this.#measured.map((each) => each.took);
    return { p50: percentile(took, 50), p99: percentile(took, 99) };
  }
}

/** Measures all the time, but not while the page is hidden: browsers hold up its timers then. */
export class Latency {
  /** @type {string} */
  #url;
  /** @type {(trouble: string | null) => void} */
  #ontrouble;
  #trips = new RoundTrips(crypto.getRandomValues(new Uint32Array(2)).join("-"));
  /** @type {Client | null} */
  #client = null;
  #isSubscribed = false;

  /**
   * @param {string} url - of the WebSocket
   * @param {(trouble: string | null) => void} ontrouble - is told why it cannot measure, and by
   *   null that it can
   */
  constructor(url, ontrouble) {
    this.#url = url;
    this.#ontrouble = ontrouble;
    setInterval(() => this.#probe(), INTERVAL);
  }

  /**
   * Measure in a channel from now on.
   *
   * @param {string} channel
   * @param {string | undefined} token
   */
  measure(channel, token) {
    this.stop();
    const client = new Client({
      url: this.#url,
      channel,
      token,
      handlers: {
        onsubscribed: () => {
          this.#isSubscribed = true;
          this.#ontrouble(null);
        },
        onpublication: ({ data }) => this.#trips.heard(data, performance.now()),
        oncut: ({ reason }) => this.#lost(reason || "the connection was lost"),
        onrefused: ({ reason }) => this.#lost(reason || "the server has closed the connection"),
      },
    });
    this.#client = client;
    client.connect();
  }

  /** Measure no more. */
  stop() {
    this.#client?.close();
    this.#client = null;
    this.#isSubscribed = false;
    this.#trips.forget();
  }

  /** @returns {{p50: number | null, p99: number | null}} of the last half minute */
  read() {
    return this.#trips.read(performance.now());
  }

  #probe() {
    if (!this.#isSubscribed || document.hidden) return;
    this.#client
      ?.publish(this.#trips.sent(performance.now()))
      .catch((/** @type {Error} */ error) => this.#ontrouble(error.message));
  }

  /** @param {string} why */
  #lost(why) {
    this.#isSubscribed = false;
    this.#trips.forget();
    this.#ontrouble(why);
  }
}
