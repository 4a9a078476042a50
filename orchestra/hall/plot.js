/** A moving plot of lines on a canvas. */

import { short } from "./format.js";

/** How many milliseconds the right end is behind: a line is drawn on before its next point. */
const BEHIND = 1200;

/** How many pixels there are above and below the lines. */
const MARGIN = 4;

/**
 * A line.
 *
 * @typedef {object} Line
 * @property {string} colour - the custom property of CSS that has it
 * @property {boolean} [isDashed]
 */

/**
 * Where things are, in pixels of CSS.
 *
 * @typedef {object} Scale
 * @property {number} width
 * @property {number} top - the value at its upper end
 * @property {(time: number) => number} x
 * @property {(value: number) => number} y
 */

/**
 * The end of a scale: 1, 2 or 5 times a power of ten.
 *
 * @param {number} highest - what has to be below it, with some room for the end's own label
 * @returns {number} at least 1
 */
export function scaleEnd(highest) {
  const needed = 1.2 * highest;
  if (!(needed > 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(needed));
  return power * ([1, 2, 5].find((times) => times * power >= needed) ?? 10);
}

/**
 * Draws what is added to it, and moves on. Beside the canvas there must be the same in words:
 * those who do not see it are told nothing of it.
 */
export class Plot {
  /** @type {HTMLCanvasElement} */
  #canvas;
  /** @type {CanvasRenderingContext2D} */
  #context;
  /** @type {Line[]} */
  #lines;
  /** @type {number} */
  #span;
  /** @type {() => number} */
  #now;
  /** @type {{time: number, values: (number | null)[]}[]} */
  #points = [];
  #isStill;
  #frame = 0;
  #drawnAt = -1; // in pixels of the device that it has moved
  /** @type {{colours: string[], grid: string, text: string} | null} */
  #style = null;

  /**
   * @param {HTMLCanvasElement} canvas - whose size CSS gives
   * @param {Line[]} lines
   * @param {object} [options]
   * @param {number} [options.span] - how many milliseconds it shows
   * @param {() => number} [options.now] - milliseconds
   */
  constructor(canvas, lines, { span = 120_000, now = () => performance.now() } = {}) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#lines = lines;
    this.#span = span;
    this.#now = now;
    canvas.setAttribute("aria-hidden", "true");
    this.#isStill = matchMedia("(prefers-reduced-motion: reduce)");
    this.#isStill.addEventListener("change", () => this.#restart());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#restyle());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#restart();
  }

  /**
   * Go on with what was measured now.
   *
   * @param {(number | null)[]} values - one for each line; null leaves a gap
   */
  add(values) {
    const time = this.#now();
    this.#points.push({ time, values });
    // One more than is seen, so that the line begins at the edge.
    const first = this.#points.findIndex((point) => point.time >= time - this.#span - BEHIND);
    this.#points.splice(0, first - 1);
    if (this.#isStill.matches) this.draw();
  }

  /** Draw it as it is now. */
  draw() {
    const ratio = devicePixelRatio;
    const width = this.#canvas.width / ratio;
    const height = this.#canvas.height / ratio;
    // With nothing that moves there is nothing to be behind of.
    const end = this.#now() - (this.#isStill.matches ? 0 : BEHIND);
    const top = scaleEnd(this.#highest());
    /** @type {Scale} */
    const scale = {
      width,
      top,
      x: (time) => width * (1 - (end - time) / this.#span),
      y: (value) => height - MARGIN - (value / top) * (height - 2 * MARGIN),
    };
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#context.clearRect(0, 0, width, height);
    this.#drawGrid(scale);
    for (const [index, line] of this.#lines.entries()) this.#drawLine(scale, line, index);
    this.#drawLabel(scale);
  }

  /** @param {Scale} scale */
  #drawGrid({ width, top, y }) {
    const context = this.#context;
    context.strokeStyle = this.#styles().grid;
    context.lineWidth = 1;
    context.setLineDash([]);
    context.beginPath();
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(y(part * top)) + 0.5;
      context.moveTo(0, at);
      context.lineTo(width, at);
    }
    context.stroke();
  }

  /** @param {Scale} scale @param {Line} line @param {number} index - of it and its values */
  #drawLine({ x, y }, { isDashed }, index) {
    const context = this.#context;
    context.strokeStyle = this.#styles().colours[index];
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.setLineDash(isDashed ? [4, 3] : []);
    context.beginPath();
    let isDown = false;
    for (const { time, values } of this.#points) {
      const value = values[index];
      if (value === null) {
        isDown = false;
      } else if (isDown) {
        context.lineTo(x(time), y(value));
      } else {
        context.moveTo(x(time), y(value));
        isDown = true;
      }
    }
    context.stroke();
  }

  /** @param {Scale} scale */
  #drawLabel({ top }) {
    const context = this.#context;
    context.fillStyle = this.#styles().text;
    context.font = `11px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = "top";
    context.fillText(short(top), 0, MARGIN + 3);
  }

  #highest() {
    const values = this.#points.flatMap((point) => point.values);
    return values.reduce((/** @type {number} */ most, value) => Math.max(most, value ?? 0), 0);
  }

  #styles() {
    if (!this.#style) {
      const style = getComputedStyle(this.#canvas);
      const colour = (/** @type {string} */ name) =>
        style.getPropertyValue(name).trim() || style.color;
      this.#style = {
        colours: this.#lines.map((line) => colour(line.colour)),
        grid: colour("--line"),
        text: colour("--faint"),
      };
    }
    return this.#style;
  }

  #restyle() {
    this.#style = null;
    this.draw();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.draw();
  }

  #restart() {
    cancelAnimationFrame(this.#frame);
    if (this.#isStill.matches) this.draw();
    else this.#move();
  }

  #move() {
    this.#frame = requestAnimationFrame(() => this.#move());
    // A pixel takes it a while, and it looks no different before.
    const moved = Math.floor((this.#now() * this.#canvas.width) / this.#span);
    if (moved === this.#drawnAt) return;
    this.#drawnAt = moved;
    this.draw();
  }
}
