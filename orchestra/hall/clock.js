/** What time it is at the server. */

/** For how long a sample counts, in milliseconds. */
const MEMORY = 120_000;
/** How far two clocks may drift apart: 50 µs in a second, which is what common quartz does. */
const DRIFT = 0.00005;

/**
 * One question for the time: what is known of the difference between the clocks.
 *
 * @typedef {{offset: number, error: number, at: number}} Sample
 */

/**
 * The server's time, estimated from answers to "what time is it?" as NTP does it: an answer was
 * given somewhere between the question and its receipt, so its offset is right to half of the
 * round trip, whatever the ways took. The sample that is surest counts. Asking is not its job.
 */
export class ServerClock {
  #now;
  /** @type {Sample[]} */
  #samples = [];
  /** @type {Sample | null} */
  #best = null;

  /** @param {() => number} now - the local time, in milliseconds */
  constructor(now = () => performance.timeOrigin + performance.now()) {
    this.#now = now;
  }

  /**
   * Take in an answer. One that cannot be is ignored.
   *
   * @param {number} sent - when it was asked for, in local milliseconds
   * @param {number} serverTime - the answer, in the server's milliseconds
   * @param {number} received - when it came, in local milliseconds
   */
  add(sent, serverTime, received) {
    const error = (received - sent) / 2;
    const fresh = { offset: serverTime - (sent + error), error, at: received };
    if (!Number.isFinite(fresh.offset) || error < 0) return;
    // One that contradicts the fresh one is from before either clock was set, or from before the
    // machine slept.
    this.#samples = this.#samples.filter((sample) => {
      const age = Math.abs(received - sample.at);
      const apart = Math.abs(sample.offset - fresh.offset);
      const possible = sample.error + fresh.error + age * DRIFT + 1;
      return age <= MEMORY && apart <= possible;
    });
    this.#samples.push(fresh);
    /** @param {Sample} sample */
    const unsure = (sample) => sample.error + (received - sample.at) * DRIFT;
    this.#best = this.#samples.reduce((a, b) => (unsure(b) <= unsure(a) ? b : a));
  }

  /** Whether there was an answer; until then the local time stands for the server's. */
  get isKnown() {
    return this.#best !== null;
  }

  /** How wrong the time may be at most, in milliseconds: half of the round trip. */
  get error() {
    return this.#best ? this.#best.error : Infinity;
  }

  /** The server's time, in milliseconds. */
  now() {
    return this.toServer(this.#now());
  }

  /**
   * @param {number} serverMs - a time of the server's clock
   * @returns {number} the same moment in local milliseconds
   */
  toLocal(serverMs) {
    return serverMs - (this.#best ? this.#best.offset : 0);
  }

  /**
   * @param {number} localMs - a local time
   * @returns {number} the same moment by the server's clock, in milliseconds
   */
  toServer(localMs) {
    return localMs + (this.#best ? this.#best.offset : 0);
  }
}
