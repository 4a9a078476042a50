/** What can be played: the instruments, and the names of notes. */

/** The instruments. */
export const INSTRUMENTS = ["violin", "cello", "flute", "piano", "drums"];

/** The drums, each of which is a note of its own. */
export const DRUMS = ["kick", "snare", "hat", "cymbal", "tom", "clap"];

/** How loud a note is that does not say it, from 0 to 1. */
export const LOUD = 0.8;

/** After how long a note ends that nobody ends, in milliseconds: whoever plays it may be gone. */
export const LONGEST_NOTE = 10_000;

/**
 * The lowest and the highest note that the keyboard offers, as MIDI numbers.
 *
 * @type {Record<string, [number, number]>}
 */
export const RANGES = {
  violin: [55, 91],
  cello: [36, 72],
  flute: [60, 96],
  piano: [36, 96],
};

const NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
/** @type {Record<string, number>} */
const LETTERS = { c: 0, d: 2, e: 4, f: 5, g: 7, a: 9, b: 11 };
const NOTE = /^([a-g])([#♯b♭]?)(-1|[0-9])$/i;

/**
 * The MIDI number of a note's name, such as `C#4`, `db3` or `B♭-1`.
 *
 * @param {unknown} text - anything
 * @returns {number | null} 0..127; null if it is no note's name
 */
export function parseNote(text) {
  const parts = typeof text === "string" ? NOTE.exec(text) : null;
  if (!parts) return null;
  const [, letter, sign, octave] = parts;
  let midi = LETTERS[letter.toLowerCase()] + 12 * (Number(octave) + 1);
  if (sign === "#" || sign === "♯") midi += 1;
  else if (sign) midi -= 1;
  return midi >= 0 && midi <= 127 ? midi : null;
}

/**
 * The name of a note, with a sharp if there has to be a sign.
 *
 * @param {number} midi - 0..127
 * @returns {string} such as `C#4`
 */
export function noteName(midi) {
  return `${NAMES[midi % 12]}${Math.floor(midi / 12) - 1}`;
}

/**
 * How high a note is, in equal temperament.
 *
 * @param {number} midi
 * @returns {number} Hertz; A4, which is 69, has 440
 */
export function frequency(midi) {
  return 440 * 2 ** ((midi - 69) / 12);
}

/**
 * What a plain text plays: a note's name is for the piano, a drum's name for the drums.
 *
 * @param {string} text
 * @returns {{instrument: string, note: string} | null} null if it is just text
 */
export function soundOf(text) {
  const trimmed = text.trim();
  const midi = parseNote(trimmed);
  if (midi !== null) return { instrument: "piano", note: noteName(midi) };
  const drum = trimmed.toLowerCase();
  return DRUMS.includes(drum) ? { instrument: "drums", note: drum } : null;
}
