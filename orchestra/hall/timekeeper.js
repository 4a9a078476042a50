/** Asks the server what time it is: a few times at once, and now and then. */

import { CallError } from "./client.js";
import { NO_CONNECTION } from "./connection.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./clock.js").ServerClock} ServerClock */

/** The method that answers. */
const METHOD = "orchestra.time";

/** How often it is asked at first, and how long there is between that, in milliseconds. */
const AT_FIRST = 6;
const SOON = 100;

/** How long there is between later ones, in milliseconds. */
const LATER = 10_000;

export class Timekeeper {
  #parts;
  #turn = 0;

  /**
   * @param {{client: Client, clock: ServerClock, now: () => number,
   *   onknown: (error: number) => void}} parts - onknown: the clock may be wrong by so many
   *   milliseconds
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Begin, on a new line. It ends with that. */
  async begin() {
    const { client, clock, now, onknown } = this.#parts;
    this.#turn += 1;
    const turn = this.#turn;
    for (let count = 0; turn === this.#turn; count += 1) {
      const sent = now();
      try {
        const time = (await client.rpc(METHOD))?.time;
        if (Number.isFinite(time)) {
          clock.add(sent, time, now());
          onknown(clock.error);
        }
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        if (error.code === NO_CONNECTION) return;
        // Another time, it may answer.
      }
      await new Promise((resolve) => setTimeout(resolve, count < AT_FIRST ? SOON : LATER));
    }
  }
}
