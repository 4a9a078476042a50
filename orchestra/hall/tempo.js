/**
 * A tempo that is shared: which beats there are, and how it changes. All times are the server's
 * milliseconds, and nothing here knows what time it is.
 */

/**
 * `beat` is the time of one beat that is the first of a bar of four, `set` when this was decided.
 *
 * @typedef {{bpm: number, beat: number, playing: boolean, set: number}} Tempo
 */

export const SLOWEST = 30;
export const FASTEST = 240;
const BAR = 4;
/** The most beats that are told at once. */
const MOST = 100;
/** How long after it is started the first beat comes, so that all have heard of it. */
const LEAD = 200;
/** The last moment that a date can have. */
const LAST = 8.64e15;
/**
 * How far ahead a tempo may be set, so that nobody decides for all the future. Pages know the
 * server's time better than that.
 */
const AHEAD = 5000;

/** @param {unknown} value */
const isTime = (value) => typeof value === "number" && value >= 0 && value <= LAST;

/** @param {number} bpm */
const within = (bpm) => Math.min(FASTEST, Math.max(SLOWEST, bpm));

/**
 * A tempo that somebody has sent.
 *
 * @param {unknown} value - anything
 * @param {number} now - what is set more than five seconds later than this, is no tempo
 * @returns {Tempo | null} null if it is none
 */
export function validTempo(value, now = Infinity) {
  if (typeof value !== "object" || value === null) return null;
  const { bpm, beat, playing, set } = /** @type {Tempo} */ (value);
  if (typeof bpm !== "number" || !(bpm >= SLOWEST && bpm <= FASTEST)) return null;
  if (!isTime(beat) || !isTime(set) || set > now + AHEAD) return null;
  return typeof playing === "boolean" ? { bpm, beat, playing, set } : null;
}

/**
 * The beats from a moment on and before another, no more than 100.
 *
 * @param {Tempo} tempo
 * @param {number} from - this moment included
 * @param {number} to - this moment not included
 * @returns {{at: number, index: number}[]} when they are, and which of the bar: 0 is the first
 */
export function beatsBetween(tempo, from, to) {
  const period = 60_000 / tempo.bpm;
  /** @type {{at: number, index: number}[]} */
  const beats = [];
  // What is divided and multiplied again is not quite what it was, so it begins one earlier.
  let number = Math.floor((from - tempo.beat) / period) - 1;
  if (!tempo.playing || !Number.isSafeInteger(number)) return beats;
  for (; beats.length < MOST; number += 1) {
    const at = tempo.beat + number * period;
    if (!(at < to)) break;
    if (at >= from) beats.push({ at, index: ((number % BAR) + BAR) % BAR });
  }
  return beats;
}

/**
 * @param {Tempo} tempo
 * @param {number} now
 * @returns {{at: number, index: number}} the beat that is next
 */
function nextBeat(tempo, now) {
  const [beat] = beatsBetween({ ...tempo, playing: true }, now, Infinity);
  return beat ?? { at: now, index: 0 };
}

/**
 * Another tempo, which takes over with the next beat of the present one: that beat is when it would
 * have been, and the same one of the bar.
 *
 * @param {Tempo} tempo - the present one
 * @param {number} bpm - beats a minute, which are brought within 30 to 240
 * @param {number} now
 * @returns {Tempo}
 */
export function changed(tempo, bpm, now) {
  const set = Math.max(now, tempo.set + 1);
  const next = nextBeat(tempo, now);
  const fresh = within(bpm);
  return { ...tempo, bpm: fresh, beat: next.at - (next.index * 60_000) / fresh, set };
}

/**
 * From when on a tempo holds that follows upon another: it has a beat in common with the former, if
 * it was changed in phase.
 *
 * @param {Tempo | null} before - the former
 * @param {Tempo} tempo
 * @param {number} now
 * @returns {number} when it takes over; -Infinity is at once
 */
export function takesOver(before, tempo, now) {
  if (!before?.playing || !tempo.playing || tempo.bpm === before.bpm) return -Infinity;
  // It may be set ahead, to come after one that is; but it was decided before now.
  const next = nextBeat(before, Math.min(tempo.set, now));
  const [beat] = beatsBetween(tempo, next.at - 1, next.at + 1);
  return beat && beat.index === next.index ? next.at : -Infinity;
}

/**
 * A tempo that begins in a moment.
 *
 * @param {number} now
 * @param {number} bpm - beats a minute, which are brought within 30 to 240
 * @param {Tempo | null} before - what it comes instead of, if there was something
 * @returns {Tempo}
 */
export function started(now, bpm, before = null) {
  const set = before ? Math.max(now, before.set + 1) : now;
  return { bpm: within(bpm), beat: now + LEAD, playing: true, set };
}

/**
 * The same tempo, without beats.
 *
 * @param {Tempo} tempo
 * @param {number} now
 * @returns {Tempo}
 */
export function stopped(tempo, now) {
  return { ...tempo, playing: false, set: Math.max(now, tempo.set + 1) };
}

/**
 * The one of two that counts: what was decided last. All pages find the same one, also when both
 * were decided at the same time.
 *
 * @template {Tempo | null} T
 * @param {T} a - the one that counts if they are equal
 * @param {T} b
 * @returns {T}
 */
export function newer(a, b) {
  if (!a || !b) return a ? a : b;
  /** @type {("set" | "beat" | "bpm" | "playing")[]} */
  const keys = ["set", "beat", "bpm", "playing"];
  for (const key of keys) if (a[key] !== b[key]) return a[key] > b[key] ? a : b;
  return a;
}

/**
 * The tempo at which somebody taps.
 *
 * @param {number[]} times - when, in milliseconds, the earliest first; a pause begins anew
 * @returns {number | null} whole beats a minute; null if it cannot be told, yet
 */
export function tapped(times) {
  /** @type {number[]} */
  const gaps = [];
  for (let i = times.length - 1; i > 0 && gaps.length < 8; i -= 1) {
    const gap = times[i] - times[i - 1];
    if (!(gap <= 60_000 / SLOWEST)) break;
    gaps.push(gap);
  }
  if (gaps.length < 2) return null;
  // The middle of them, so that one tap too many or too few does not count.
  gaps.sort((a, b) => a - b);
  const middle = gaps.length / 2;
  const gap = (gaps[Math.floor(middle)] + gaps[Math.ceil(middle) - 1]) / 2;
  const bpm = Math.round(60_000 / gap);
  return bpm >= SLOWEST && bpm <= FASTEST ? bpm : null;
}
