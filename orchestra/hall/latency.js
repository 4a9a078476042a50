/** How long it takes to hear what one plays: from this browser to the server, and back. */

import { Client } from "./client.js";
import { percentile } from "./percentile.js";

/** How many milliseconds there are between two probes. */
const INTERVAL = 200;

/** How many milliseconds a round trip counts for. */
const WINDOW = 30_000;

/** How many messages of a channel are read in a second, at the most: a page has more to do. */
const MOST = 2000;

/** What a channel beside another one ends with. */
const BESIDE = "/latency";

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

  /** Begin anew. */
  reset() {
    this.forget();
    this.#measured = [];
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

/**
 * Counts messages, second by second.
 *
 * @param {number} most - how many there may be in a second
 * @returns {(now: number) => boolean} takes one at a time, in milliseconds; whether it is too many
 */
export function limit(most) {
  let began = -Infinity;
  let heard = 0;
  return (now) => {
    if (now - began >= 1000) {
      began = now;
      heard = 0;
    }
    heard += 1;
    return heard > most;
  };
}

/**
 * Measures all the time, but not while the page is hidden: browsers hold up its timers then.
 *
 * In a channel in which there is more than a page can read it would measure the page, which would
 * do nothing else any more. It goes on in a channel beside it then.
 */
export class Latency {
  /** @type {string} */
  #url;
  /** @type {(trouble: string) => void} */
  #ontrouble;
  #trips = new RoundTrips(crypto.getRandomValues(new Uint32Array(2)).join("-"));
  /** @type {Client | null} */
  #client = null;
  #isSubscribed = false;

  /**
   * @param {string} url - of the WebSocket
   * @param {(trouble: string) => void} ontrouble - is told why it cannot measure, or not in the
   *   channel; by nothing that it can
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
    this.#listen(channel, token, "", () => {
      const beside = channel + BESIDE;
      const trouble = `Measured in ${beside}: a page cannot read as much.`;
      this.#listen(beside, token, trouble, () => this.stop());
    });
  }

  /**
   * @param {string} channel
   * @param {string | undefined} token
   * @param {string} trouble - what is to be told when it measures
   * @param {() => void} onflood - is called when there is too much in the channel
   */
  #listen(channel, token, trouble, onflood) {
    this.stop();
    const isTooMuch = limit(MOST);
    const client = new Client({
      url: this.#url,
      channel,
      token,
      handlers: {
        onsubscribed: () => {
          this.#isSubscribed = true;
          this.#ontrouble(trouble);
        },
        onpublication: ({ data }) => {
          const now = performance.now();
          this.#trips.heard(data, now);
          if (isTooMuch(now)) onflood();
        },
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
    this.#trips.reset();
  }

  /** @returns {{p50: number | null, p99: number | null}} of the last half minute */
  read() {
    return this.#trips.read(performance.now());
  }

  #probe() {
    const client = this.#client;
    if (!client || !this.#isSubscribed || document.hidden) return;
    client.publish(this.#trips.sent(performance.now())).catch((/** @type {Error} */ error) => {
      if (client === this.#client) this.#ontrouble(`Not measured: ${error.message}.`);
    });
  }

  /** @param {string} why */
  #lost(why) {
    this.#isSubscribed = false;
    this.#trips.forget();
    this.#ontrouble(`Not measured: ${why}.`);
  }
}
