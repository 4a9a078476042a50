/** What is played here: heard at once by whoever plays, and a moment later by all the others. */

import { off, on } from "./messages.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./clock.js").ServerClock} ServerClock */
/** @typedef {import("./sound.js").Sound} Sound */

/**
 * How many milliseconds after it was played a note is to sound elsewhere: most lines have brought
 * it there by then, so that a rhythm is the same for all.
 */
export const DELAY = 100;

/** Under which name one's own notes sound. */
const ME = "me";

export class Player {
  instrument = "piano";
  /**
   * With what each note is played that has not ended.
   *
   * @type {Map<string, string>}
   */
  #playing = new Map();

  /**
   * @param {{client: Client, clock: ServerClock, sound: Sound, now: () => number,
   *   onplay: (note: string, isOn: boolean) => void, onalone: (error: unknown) => void}} parts
   */
  constructor(parts) {
    this.parts = parts;
  }

  /**
   * Begin a note.
   *
   * @param {string} note
   * @param {number} loud - 0 to 1
   */
  on(note, loud) {
    const { sound, now, onplay } = this.parts;
    const at = now();
    this.#playing.set(note, this.instrument);
    sound.on(ME, this.instrument, note, at, loud);
    onplay(note, true);
    this.#publish(on(note, this.instrument, this.#elsewhere(at), loud));
  }

  /**
   * End it.
   *
   * @param {string} note
   */
  off(note) {
    const { sound, now, onplay } = this.parts;
    const instrument = this.#playing.get(note);
    if (instrument === undefined) return;
    this.#playing.delete(note);
    const at = now();
    onplay(note, false);
    if (instrument === "drums") return; // which end by themselves
    sound.off(ME, instrument, note, at);
    this.#publish(off(note, instrument, this.#elsewhere(at)));
  }

  /**
   * When it sounds elsewhere, in milliseconds of the server's time.
   *
   * @param {number} at - local milliseconds
   * @returns {number}
   */
  #elsewhere(at) {
    return this.parts.clock.toServer(at) + DELAY;
  }

  /** @param {object} message */
  #publish(message) {
    this.parts.client.publish(message).catch(this.parts.onalone);
  }
}
