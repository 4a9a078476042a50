/** What is played here: heard at once by whoever plays, and a moment later by all the others. */

import { CallError } from "./client.js";
import { NO_CONNECTION } from "./connection.js";
import { off, on } from "./messages.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./clock.js").ServerClock} ServerClock */
/** @typedef {import("./sound.js").Sound} Sound */

/**
 * How many milliseconds after it was played a note is to sound elsewhere: most lines have brought
 * it there by then, so that a rhythm is the same for all.
 */
const DELAY = 100;

/** How often it is tried to say that a note has ended, and how many milliseconds later again. */
const TRIES = 5;
const AGAIN = 500;

/** Under which name one's own notes sound. */
const ME = "me";

export class Player {
  instrument = "piano";
  #parts;
  /**
   * With what each note is played that has not ended.
   *
   * @type {Map<string, string>}
   */
  #playing = new Map();
  /**
   * What was said last of each note.
   *
   * @type {Map<string, object>}
   */
  #said = new Map();

  /**
   * @param {{client: Client, clock: ServerClock, sound: Sound, now: () => number,
   *   onplay: (note: string, isOn: boolean) => void, onalone: (error: CallError) => void}} parts -
   *   onplay: a note has begun or ended; onalone: the others do not hear that
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Begin a note.
   *
   * @param {string} note
   * @param {number} loud - 0 to 1
   */
  on(note, loud) {
    const { sound, now, onplay } = this.#parts;
    const at = now();
    this.#playing.set(note, this.instrument);
    sound.on(ME, this.instrument, note, at, loud);
    onplay(note, true);
    void this.#say(note, on(note, this.instrument, this.#elsewhere(at), loud), 1);
  }

  /**
   * End it.
   *
   * @param {string} note
   */
  off(note) {
    const { sound, now, onplay } = this.#parts;
    const instrument = this.#playing.get(note);
    if (instrument === undefined) return;
    this.#playing.delete(note);
    const at = now();
    onplay(note, false);
    if (instrument === "drums") return; // which end by themselves
    sound.off(ME, instrument, note, at);
    void this.#say(note, off(note, instrument, this.#elsewhere(at)), TRIES);
  }

  /**
   * When it sounds elsewhere, in milliseconds of the server's time.
   *
   * @param {number} at - local milliseconds
   * @returns {number}
   */
  #elsewhere(at) {
    return this.#parts.clock.toServer(at) + DELAY;
  }

  /**
   * @param {string} note
   * @param {object} message - that it begins or ends
   * @param {number} tries - how many, unless there is something else to be said of the note
   */
  async #say(note, message, tries) {
    const { client, onalone } = this.#parts;
    this.#said.set(note, message);
    for (let left = tries; left > 0 && this.#said.get(note) === message; left -= 1) {
      try {
        await client.publish(message);
        return;
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        // With the line, all that was played here has ended elsewhere.
        if (error.code === NO_CONNECTION) return;
        onalone(error);
        if (!error.temporary) return;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}
