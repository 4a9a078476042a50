/** The beats of the tempo that all share, for the ear and for the eye. */

import { beatsBetween, newer, takesOver } from "./tempo.js";
import { TIMERS } from "./timers.js";

/** @typedef {import("./tempo.js").Tempo} Tempo */
/**
 * @typedef {{at: number, index: number, takeBack: (() => void) | null, timer: number}} Scheduled
 */

/** How often it looks ahead, in milliseconds. */
const EVERY = 25;
/** How far it looks ahead, in milliseconds. */
const AHEAD = 100;
/** The same when the page is hidden, when browsers let timers run once a second only. */
const AHEAD_HIDDEN = 1500;

/**
 * What it needs of the browser: its timers, and whether the page is hidden.
 *
 * @typedef {import("./timers.js").Timers & {isHidden: () => boolean}} Browser
 */

/** @type {Browser} */
const BROWSER = { ...TIMERS, isHidden: () => document.hidden };

/**
 * Whether two beats are the same one, of the same tempo or of one that has it in common.
 *
 * @param {{at: number, index: number}} a
 * @param {{at: number, index: number}} b
 */
const isSame = (a, b) => Math.abs(a.at - b.at) < 1 && a.index === b.index;

/**
 * Timers are not exact, and the audio's clock is: so each beat is handed to the sound a little
 * ahead, for the moment that it is to be heard at.
 */
export class Metronome {
  /**
   * Called when a beat is heard, with its place in the bar, and when it is, in local milliseconds.
   *
   * @type {(index: number, at: number) => void}
   */
  onbeat = () => {};
  #sound;
  #clock;
  #timers;
  /** @type {Tempo | null} */
  #before = null;
  /** @type {Tempo | null} */
  #tempo = null;
  /** From when on `#tempo` holds, and not `#before`. */
  #takesOver = -Infinity;
  /** When the last beat was that was heard, by the server's clock. */
  #heard = -Infinity;
  /**
   * What is yet to be heard.
   *
   * @type {Scheduled[]}
   */
  #scheduled = [];
  /** @type {number | null} */
  #timer = null;
  #isAudible = true;

  /**
   * @param {{click: (at: number, accent: boolean) => () => void, latency?: number}} sound
   * @param {{now: () => number, toLocal: (serverMs: number) => number}} clock - the server's
   * @param {Browser} timers
   */
  constructor(sound, clock, timers = BROWSER) {
    this.#sound = sound;
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Whether it is heard; it can be seen in any case. */
  get isAudible() {
    return this.#isAudible;
  }

  set isAudible(value) {
    if (value === this.#isAudible) return;
    this.#isAudible = value;
    for (const beat of this.#scheduled) {
      beat.takeBack?.();
      beat.takeBack = value ? this.#click(beat) : null;
    }
  }

  /**
   * From now on it is this tempo's beats. Those that were scheduled and are none of them are taken
   * back.
   *
   * @param {Tempo | null} tempo - null is the same as to stop
   */
  follow(tempo) {
    if (!tempo) {
      this.stop();
      return;
    }
    const former = this.#tempo;
    if (former && newer(former, tempo) === former && newer(tempo, former) === tempo) return;
    // Of three in a row, the second has never been heard.
    const now = this.#clock.now();
    if (this.#takesOver <= now) this.#before = former;
    this.#tempo = tempo;
    this.#takesOver = takesOver(this.#before, tempo, now);
    this.#look();
    if (tempo.playing) {
      this.#timer ??= this.#timers.setInterval(() => this.#look(), EVERY);
    } else if (this.#timer !== null) {
      this.#timers.clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  /** No more beats; what was scheduled is taken back. */
  stop() {
    if (this.#timer !== null) this.#timers.clearInterval(this.#timer);
    this.#timer = null;
    for (const beat of this.#scheduled) this.#takeBack(beat);
    this.#scheduled = [];
    this.#before = this.#tempo = null;
    this.#takesOver = this.#heard = -Infinity;
  }

  /** Schedule what comes next, and take back what does not come after all. */
  #look() {
    const now = this.#clock.now();
    const ahead = (this.#timers.isHidden() ? AHEAD_HIDDEN : AHEAD) + (this.#sound.latency ?? 0);
    const last = this.#scheduled.at(-1)?.at ?? now;
    const wanted = this.#beats(now, Math.max(now + ahead, last + 1));
    this.#scheduled = this.#scheduled.filter((beat) => {
      const stays = beat.at <= now || wanted.some((other) => isSame(beat, other));
      if (!stays) this.#takeBack(beat);
      return stays;
    });
    for (const beat of wanted) {
      const isOver = Math.abs(beat.at - this.#heard) < 1;
      if (!isOver && !this.#scheduled.some((other) => isSame(beat, other))) this.#schedule(beat);
    }
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #beats(from, to) {
    if (!this.#tempo) return [];
    const change = this.#takesOver - 1;
    if (!this.#before || change <= from) return beatsBetween(this.#tempo, from, to);
    const old = beatsBetween(this.#before, from, Math.min(change, to));
    return [...old, ...beatsBetween(this.#tempo, change, to)];
  }

  /** @param {{at: number, index: number}} beat */
  #schedule({ at, index }) {
    const local = this.#clock.toLocal(at);
    /** @type {Scheduled} */
    const beat = { at, index, takeBack: null, timer: 0 };
    if (this.#isAudible) beat.takeBack = this.#click(beat);
    const wait = Math.max(0, at - this.#clock.now());
    beat.timer = this.#timers.setTimeout(() => {
      this.#scheduled = this.#scheduled.filter((other) => other !== beat);
      this.#heard = at;
      this.onbeat(index, local);
    }, wait);
    this.#scheduled.push(beat);
  }

  /** @param {Scheduled} beat */
  #click(beat) {
    return this.#sound.click(this.#clock.toLocal(beat.at), beat.index === 0);
  }

  /** @param {Scheduled} beat */
  #takeBack(beat) {
    beat.takeBack?.();
    this.#timers.clearTimeout(beat.timer);
  }
}
