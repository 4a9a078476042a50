/** Asks the server what time it is: a few times at once, and now and then. */

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
   * @param {{client: Client, clock: ServerClock, now: () => number, onknown: (error: number) => void}}
   *   parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Begin, on a new line. It ends with that. */
  async begin() {
    const { client, clock, now, onknown } = this.#parts;
    const turn = ++this.#turn;
    for (let count = 0; turn === this.#turn; count++) {
      const sent = now();
      try {
        clock.add(sent, (await client.rpc(METHOD)).time, now());
      } catch {
        return; // the line is cut
      }
      onknown(clock.error);
      await new Promise((resolve) => setTimeout(resolve, count < AT_FIRST ? SOON : LATER));
    }
  }
}
