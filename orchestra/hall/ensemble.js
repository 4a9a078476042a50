/** What is played, by others and here: for the ear and for the eye, at its time. */

import { LOUD } from "./notes.js";

/** @typedef {import("./clock.js").ServerClock} ServerClock */
/** @typedef {import("./messages.js").Played} Played */
/** @typedef {import("./score.js").Score} Score */
/** @typedef {import("./seats.js").Seats} Seats */
/** @typedef {import("./sound.js").Sound} Sound */

/** By how much a note may be late and still be heard, in milliseconds. */
const LATE = 1000;

/** How far ahead a note may be, in milliseconds. */
const EARLY = 2000;

/** How long a note is that a plain line plays, in milliseconds. */
const PLAIN = 500;

/** How long a note is at least, in milliseconds: clocks that were set may say that it ends before. */
const SHORTEST = 60;

/** How many notes of one seat, and of all, are played in a second. Nobody could hear more. */
const NOTES_OF_A_SEAT = 40;
const NOTES = 200;

export class Ensemble {
  #parts;
  /**
   * When notes began that have not ended yet, in local milliseconds, by whose they are.
   *
   * @type {Map<string, Map<string, number>>}
   */
  #begun = new Map();
  /** How many notes there were in this second, by their seats and in all. */
  #played = new Map();
  #total = 0;
  #since = 0;

  /**
   * @param {{sound: Sound, seats: Seats, score: Score, clock: ServerClock, now: () => number}} parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * A note of somebody else begins or ends.
   *
   * @param {string} from - whose it is
   * @param {Played} played
   */
  hear(from, { kind, note, instrument, at, loud }) {
    const { clock, now, score } = this.#parts;
    const local = Math.min(clock.isKnown ? clock.toLocal(at) : now(), now() + EARLY);
    if (kind === "off") {
      this.#stop(from, instrument, note, local); // which is never too late
    } else if (this.#hasRoom(from)) {
      const isLate = now() - local > LATE;
      if (!isLate) this.#play(from, instrument, note, local, loud);
      // To be seen, since it was missed; too late to be heard.
      else this.#begins(from, note, local, () => score.on(from, note, local));
    }
  }

  /**
   * Somebody plays who knows nothing but the names of notes.
   *
   * @param {string} from
   * @param {{instrument: string, note: string}} sound
   */
  hearPlain(from, { instrument, note }) {
    if (!this.#hasRoom(from)) return;
    const at = this.#parts.now();
    this.#play(from, instrument, note, at, LOUD);
    this.#stop(from, instrument, note, at + PLAIN);
  }

  /**
   * A note begins to be seen.
   *
   * @param {string} from
   * @param {string} note
   * @param {number} at - local milliseconds
   */
  begin(from, note, at) {
    this.#parts.seats.on(from, note);
    this.#parts.score.on(from, note, at);
  }

  /**
   * It is seen no longer.
   *
   * @param {string} from
   * @param {string} note
   * @param {number} at - local milliseconds
   */
  end(from, note, at) {
    this.#parts.seats.off(from, note);
    this.#parts.score.off(from, note, at);
  }

  /**
   * Somebody has left: whatever they played ends.
   *
   * @param {string} from
   */
  leave(from) {
    this.#begun.delete(from);
    this.#parts.sound.silence(from);
    this.#parts.score.end(this.#parts.now(), from);
  }

  /**
   * Nothing is heard any more, and the end of what is played would not be either.
   *
   * @param {Iterable<string>} others - who is there
   */
  silence(others) {
    const { sound, seats, score, now } = this.#parts;
    for (const from of [...others, ...this.#begun.keys()]) sound.silence(from);
    this.#begun.clear();
    seats.dark();
    score.end(now());
  }

  /**
   * @param {string} from
   * @returns {boolean} whether one more note may be played in this second
   */
  #hasRoom(from) {
    const now = this.#parts.now();
    if (Math.abs(now - this.#since) >= 1000) {
      this.#since = now;
      this.#total = 0;
      this.#played.clear();
    }
    const played = (this.#played.get(from) ?? 0) + 1;
    this.#played.set(from, played);
    if (played > NOTES_OF_A_SEAT || this.#total >= NOTES) return false;
    this.#total += 1;
    return true;
  }

  /**
   * @param {string} from
   * @param {string} instrument
   * @param {string} note
   * @param {number} at - local milliseconds
   * @param {number} loud
   */
  #play(from, instrument, note, at, loud) {
    this.#parts.sound.on(from, instrument, note, at, loud);
    this.#begins(from, note, at, () => this.begin(from, note, at));
  }

  /**
   * @param {string} from
   * @param {string} instrument
   * @param {string} note
   * @param {number} at - local milliseconds
   */
  #stop(from, instrument, note, at) {
    const begun = this.#begun.get(from)?.get(note);
    const end = begun === undefined ? at : Math.max(at, begun + SHORTEST);
    this.#parts.sound.off(from, instrument, note, end);
    this.#then(end, () => {
      const notes = this.#begun.get(from);
      if (notes?.get(note) !== begun) return; // it has begun anew
      notes?.delete(note);
      if (!notes?.size) this.#begun.delete(from);
      this.end(from, note, end);
    });
  }

  /**
   * @param {string} from
   * @param {string} note
   * @param {number} at - local milliseconds
   * @param {() => void} show - unless all has ended before
   */
  #begins(from, note, at, show) {
    const notes = this.#begun.get(from) ?? new Map();
    this.#begun.set(from, notes.set(note, at));
    this.#then(at, () => {
      if (this.#begun.get(from)?.get(note) === at) show();
    });
  }

  /**
   * @param {number} at - local milliseconds; what is past is done at once
   * @param {() => void} callback
   */
  #then(at, callback) {
    const wait = at - this.#parts.now();
    if (wait > 0) setTimeout(callback, wait);
    else callback();
  }
}
