/** The tempo, as it is shown and set. What it is to be, the hall decides: the last one counts. */

import { byId } from "./dom.js";
import { changed, started, stopped, tapped } from "./tempo.js";

/** @typedef {import("./tempo.js").Tempo} Tempo */

/** How long the slider may move before others are told, in milliseconds. */
const PATIENCE = 120;

/** How long a beat is seen, in milliseconds. */
const FLASH = 110;

/** After how long a tap is the first of others, in milliseconds. */
const LAST_TAP = 2500;

export class Conductor {
  #bpm = byId("bpm", HTMLOutputElement);
  #slider = byId("tempo", HTMLInputElement);
  #beat = byId("beat", HTMLButtonElement);
  #by = byId("tempo-by", HTMLElement);
  #stand = byId("stand", HTMLElement);
  #lamps = [...byId("beats", HTMLElement).children];
  /** @type {number | undefined} */
  #timer;
  /** @type {number[]} */
  #taps = [];

  /**
   * What everybody follows.
   *
   * @type {Tempo}
   */
  tempo = { bpm: 96, beat: 0, playing: false, set: 0 };

  /**
   * @param {() => number} now - milliseconds of the server's time
   * @param {(tempo: Tempo) => void} onset - somebody here has set another tempo
   */
  constructor(now, onset) {
    const set = (/** @type {number} */ bpm) =>
      onset(changed(this.tempo, bpm, now()));
    byId("slower", HTMLButtonElement).addEventListener("click", () => set(this.tempo.bpm - 4));
    byId("faster", HTMLButtonElement).addEventListener("click", () => set(this.tempo.bpm + 4));
    this.#slider.addEventListener("input", () => {
      this.#bpm.value = this.#slider.value;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        set(Number(this.#slider.value));
      }, PATIENCE);
    });
    this.#beat.addEventListener("click", () => {
      const { tempo } = this;
      onset(tempo.playing ? stopped(tempo, now()) : started(now(), tempo.bpm, tempo));
    });
    byId("tap", HTMLButtonElement).addEventListener("click", () => {
      const at = now();
      this.#taps = [...this.#taps.filter((tap) => at - tap < LAST_TAP), at].slice(-8);
      const bpm = tapped(this.#taps);
      if (bpm !== null) onset({ ...started(at, bpm, this.tempo), beat: at });
    });
  }

  /**
   * Show a tempo.
   *
   * @param {Tempo} tempo
   * @param {string} [by] - who has set it
   */
  show(tempo, by) {
    this.tempo = tempo;
    if (this.#timer === undefined) {
      this.#slider.value = String(tempo.bpm);
      this.#bpm.value = String(Math.round(tempo.bpm));
    }
    this.#beat.setAttribute("aria-pressed", String(tempo.playing));
    if (by) this.#by.textContent = `${by} has the baton. Anyone may take it.`;
  }

  /**
   * A beat, for the eye.
   *
   * @param {number} index - in its bar, from 0
   */
  beat(index) {
    for (const [each, lamp] of this.#lamps.entries()) lamp.classList.toggle("now", each === index);
    this.#stand.classList.add("beating");
    setTimeout(() => {
      this.#stand.classList.remove("beating");
      this.#lamps[index]?.classList.remove("now");
    }, FLASH);
  }
}
