/** One's own desk: which instrument, what name, how loud; and the keys that are played. */

import { byId } from "./dom.js";
import { Keyboard } from "./keyboard.js";
import { INSTRUMENTS } from "./notes.js";
import * as settings from "./settings.js";

/** @typedef {import("./player.js").Player} Player */
/** @typedef {import("./sound.js").Sound} Sound */

export class Desk {
  /** What was chosen. */
  mine = settings.load(INSTRUMENTS);
  #player;
  #keyboard;
  #shifts = [byId("lower", HTMLButtonElement), byId("higher", HTMLButtonElement)];

  /**
   * @param {Player} player - is played
   * @param {Sound} sound
   * @param {() => void} onchange - somebody has another name or instrument
   */
  constructor(player, sound, onchange) {
    this.#player = player;
    this.#keyboard = new Keyboard(byId("keyboard", HTMLElement), {
      on: (note, loud) => player.on(note, loud),
      off: (note) => player.off(note),
    });
    for (const [index, shift] of this.#shifts.entries())
      shift.addEventListener("click", () => this.#keyboard.shift(index ? 1 : -1));
    const change = () => {
      settings.save(this.mine);
      onchange();
    };
    this.#instrument(change);
    this.#name(change);
    this.#volume(sound);
    byId("seat-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  }

  /** @param {() => void} change */
  #instrument(change) {
    for (const radio of document.querySelectorAll("[name=instrument]")) {
      if (!(radio instanceof HTMLInputElement)) continue;
      radio.checked = radio.value === this.mine.instrument;
      radio.addEventListener("change", () => {
        this.mine.instrument = radio.value;
        this.#take();
        change();
      });
    }
    this.#take();
  }

  /** Take the instrument that was chosen. */
  #take() {
    const { instrument } = this.mine;
    const isDrums = instrument === "drums";
    this.#keyboard.show(instrument); // which lets go of what was held on the former
    this.#player.instrument = instrument;
    for (const shift of this.#shifts) shift.hidden = isDrums;
    byId("hint", HTMLElement).textContent = isDrums
      ? "Play with the keys A to H."
      : "Play with the keys A to ’, the black ones above them. Z and X change the octave.";
  }

  /** @param {() => void} change */
  #name(change) {
    const field = byId("name", HTMLInputElement);
    field.value = this.mine.name;
    field.addEventListener("change", () => {
      this.mine.name = field.value.trim() || this.mine.name;
      field.value = this.mine.name;
      change();
    });
  }

  /** @param {Sound} sound */
  #volume(sound) {
    const slider = byId("volume", HTMLInputElement);
    slider.value = String(100 * this.mine.volume);
    sound.volume = this.mine.volume;
    slider.addEventListener("input", () => {
      this.mine.volume = Number(slider.value) / 100;
      sound.volume = this.mine.volume;
      settings.save(this.mine);
    });
  }
}
