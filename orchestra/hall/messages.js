/**
 * What pages say to each other in the channel.
 *
 * Anybody may publish anything there, so what is heard is believed only if it is what it should be,
 * and text is cut and cleaned. It stays untrusted all the same: no part of it is HTML.
 */

import { DRUMS, INSTRUMENTS, LOUD, noteName, parseNote } from "./notes.js";
import { validTempo } from "./tempo.js";

/** How many characters a name may have. */
export const LONGEST_NAME = 24;

/** How many characters text may have. */
export const LONGEST_TEXT = 500;

/** How many milliseconds ahead a note may be said: longer than any clock is wrong that is set. */
const AHEAD = 60_000;

/** @typedef {import("./tempo.js").Tempo} Tempo */

/**
 * A note begins, or ends. Its name is one of DRUMS, or as noteName() has it.
 *
 * @typedef {object} Played
 * @property {"on" | "off"} kind
 * @property {string} note
 * @property {string} instrument - one of INSTRUMENTS
 * @property {number} at - when, in milliseconds of the server's Unix time
 * @property {number} loud - from 0 to 1
 */

/**
 * Somebody says who they are. A tempo is the one that they follow, and who asks wants the others
 * to say who they are, too.
 *
 * @typedef {object} Seat
 * @property {"seat"} kind
 * @property {string} name
 * @property {string} instrument - one of INSTRUMENTS
 * @property {Tempo | null} tempo
 * @property {boolean} ask
 */

/**
 * @typedef {Played | Seat | {kind: "tempo", tempo: Tempo} | {kind: "text" | "other", text: string}}
 *   Message
 */

/**
 * Read a message. It fails for none.
 *
 * @param {unknown} data - what was published: any JSON
 * @param {number} [now] - in milliseconds of the server's Unix time. A note that is
 *   more than a minute later is not believed, nor a tempo that is set more than five seconds later
 * @returns {Message | null} null for what cannot be shown either
 */
export function parse(data, now = Infinity) {
  try {
    if (typeof data === "string") return { kind: "text", text: cleaned(data, LONGEST_TEXT) };
    const message = data && typeof data === "object" ? understood(data, now) : null;
    return message ?? other(data);
  } catch {
    return null; // it is no JSON, or nested too deeply
  }
}

/**
 * @param {Record<string, any>} data
 * @param {number} now
 * @returns {Message | null}
 */
function understood(data, now) {
  if ("on" in data || "off" in data) {
    const note = "on" in data ? played("on", data.on, data) : played("off", data.off, data);
    return note && note.at <= now + AHEAD ? note : null;
  }
  const tempo = validTempo(data.tempo, now);
  if ("seat" in data) {
    const { name, with: instrument } = data.seat ?? {};
    if (typeof name !== "string" || !INSTRUMENTS.includes(instrument)) return null;
    const ask = data.ask === true;
    return { kind: "seat", name: cleaned(name, LONGEST_NAME), instrument, tempo, ask };
  }
  return tempo && { kind: "tempo", tempo };
}

/**
 * @param {"on" | "off"} kind
 * @param {unknown} name
 * @param {Record<string, any>} data
 * @returns {Played | null}
 */
function played(kind, name, { with: instrument, at, loud = LOUD }) {
  const note = noteOf(instrument, name);
  if (note === null || !Number.isFinite(at) || !Number.isFinite(loud)) return null;
  return { kind, note, instrument, at, loud: Math.min(1, Math.max(0, loud)) };
}

/**
 * The name of a note as all write it, so that its end finds its beginning.
 *
 * @param {unknown} instrument
 * @param {unknown} name
 * @returns {string | null} null if the instrument has no such note
 */
function noteOf(instrument, name) {
  if (typeof instrument !== "string" || typeof name !== "string") return null;
  if (instrument === "drums") return DRUMS.includes(name) ? name : null;
  const midi = INSTRUMENTS.includes(instrument) ? parseNote(name) : null;
  return midi === null ? null : noteName(midi);
}

/** @param {any} data @returns {Message | null} */
function other(data) {
  const { b64 = null, ...rest } = data ?? {};
  if (typeof b64 === "string" && !Object.keys(rest).length) {
    const bytes = Math.floor((b64.replace(/=+$/, "").length * 3) / 4);
    return { kind: "other", text: bytes === 1 ? "1 byte" : `${bytes} bytes` };
  }
  const text = JSON.stringify(data);
  return text === undefined ? null : { kind: "other", text: cleaned(text, LONGEST_TEXT) };
}

/**
 * Text on a line of its own, without what would be seen elsewhere than where it is.
 *
 * @param {string} text
 * @param {number} longest - how many characters of it are kept
 * @returns {string}
 */
export function cleaned(text, longest) {
  const shown = text.replace(/[\p{Cs}\p{Bidi_Control}]|(?!\s)\p{Cc}/gu, "");
  const line = shown.replace(/\s+/gu, " ").trim();
  // A character has two units at the most, so that not all of a long text has to be taken apart.
  const characters = Array.from(line.slice(0, 2 * longest + 2));
  return characters.length > longest ? `${characters.slice(0, longest - 1).join("")}…` : line;
}

/**
 * A note begins.
 *
 * @param {string} note - one of DRUMS, or a note's name
 * @param {string} instrument - one of INSTRUMENTS
 * @param {number} at - when, in milliseconds of the server's Unix time
 * @param {number} loud - from 0 to 1
 */
export function on(note, instrument, at, loud) {
  return { on: note, with: instrument, at: rounded(at, 10), loud: rounded(loud, 100) };
}

/**
 * A note ends.
 *
 * @param {string} note - one of DRUMS, or a note's name
 * @param {string} instrument - one of INSTRUMENTS
 * @param {number} at - when, in milliseconds of the server's Unix time
 */
export function off(note, instrument, at) {
  return { off: note, with: instrument, at: rounded(at, 10) };
}

/**
 * Who somebody is.
 *
 * @param {string} name
 * @param {string} instrument - one of INSTRUMENTS
 * @param {Tempo | null} tempo - what they follow
 * @param {boolean} ask - whether the others are to say who they are
 */
export function seat(name, instrument, tempo = null, ask = false) {
  const who = { name: cleaned(name, LONGEST_NAME), with: instrument };
  return { seat: who, ...(tempo && { tempo }), ...(ask && { ask }) };
}

/**
 * All are to follow a tempo.
 *
 * @param {Tempo} tempo
 */
export function tempo(tempo) {
  return { tempo };
}

/**
 * Words, or a note of whoever knows nothing but that.
 *
 * @param {string} words
 */
export function text(words) {
  return cleaned(words, LONGEST_TEXT);
}

/** @param {number} value @param {number} parts - of one, up to which it is exact */
function rounded(value, parts) {
  return Math.round(value * parts) / parts;
}
