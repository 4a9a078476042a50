/** What was played in the last seconds, moving by: a line for each note, in its seat's colour. */

import { DRUMS, LONGEST_NOTE, parseNote } from "./notes.js";
import { colourOf } from "./musicians.js";

/** How many seconds are seen. */
const SPAN = 8;

/** How many notes are kept at most. */
const MAX_NOTES = 1000;

const LOWEST = 36;
const HIGHEST = 96;

/**
 * How high a note is in the picture: 0 to 1, the drums below all others.
 *
 * @param {string} note
 * @returns {number}
 */
export function heightOf(note) {
  const drum = DRUMS.indexOf(note);
  if (drum >= 0) return (0.15 * drum) / DRUMS.length;
  const midi = Math.min(HIGHEST, Math.max(LOWEST, parseNote(note) ?? LOWEST));
  return 0.2 + (0.8 * (midi - LOWEST)) / (HIGHEST - LOWEST);
}

/** @typedef {{client: string, note: string, from: number, to: number}} Stroke */

export class Score {
  #canvas;
  /** @type {Stroke[]} */
  #strokes = [];
  #isDrawing = false;
  #isStill = matchMedia("(prefers-reduced-motion: reduce)");

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => number} now - local milliseconds
   */
  constructor(canvas, now) {
    this.#canvas = canvas;
    this.now = now;
  }

  /**
   * A note begins.
   *
   * @param {string} client
   * @param {string} note
   * @param {number} at - local milliseconds
   */
  on(client, note, at) {
    this.off(client, note, at);
    this.#strokes.push({ client, note, from: at, to: DRUMS.includes(note) ? at + 80 : at + LONGEST_NOTE });
    if (this.#strokes.length > MAX_NOTES) this.#strokes.shift();
    this.#begin();
  }

  /**
   * It ends.
   *
   * @param {string} client
   * @param {string} note
   * @param {number} at - local milliseconds
   */
  off(client, note, at) {
    for (const stroke of this.#strokes)
      if (stroke.to > at && stroke.client === client && stroke.note === note)
        stroke.to = Math.max(at, stroke.from + 60);
  }

  /**
   * All that somebody plays ends, or all that anybody does.
   *
   * @param {number} at
   * @param {string} [client]
   */
  end(at, client) {
    for (const stroke of this.#strokes)
      if (client === undefined || stroke.client === client) stroke.to = Math.min(stroke.to, at);
  }

  #begin() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    const draw = () => {
      this.#draw();
      this.#isDrawing = this.#strokes.length > 0;
      if (!this.#isDrawing) return;
      if (this.#isStill.matches) setTimeout(draw, 1000);
      else requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  #draw() {
    const canvas = this.#canvas;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (canvas.width !== Math.round(width) || canvas.height !== Math.round(height)) {
      canvas.width = Math.round(width);
      canvas.height = Math.round(height);
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, width, height);
    const now = this.now();
    const begin = now - SPAN * 1000;
    this.#strokes = this.#strokes.filter(({ from, to }) => to > begin);
    const colours = getComputedStyle(canvas);
    const thick = 3 * scale;
    context.lineCap = "round";
    context.lineWidth = thick;
    for (const { client, note, from, to } of this.#strokes) {
      const left = Math.max(0, ((from - begin) / (SPAN * 1000)) * width);
      const right = Math.min(width, ((Math.min(to, now) - begin) / (SPAN * 1000)) * width);
      if (right < left) continue;
      const y = height - thick - heightOf(note) * (height - 2 * thick);
      context.strokeStyle = colours.getPropertyValue(`--c${colourOf(client)}`);
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(Math.max(right, left + 1), y);
      context.stroke();
    }
  }
}
