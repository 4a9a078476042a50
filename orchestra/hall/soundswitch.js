/** Turns the sound on: browsers let a page sound only after somebody has touched it. */

import { byId } from "./dom.js";

/** @typedef {import("./sound.js").Sound} Sound */

export class SoundSwitch {
  #sound;
  #button = byId("sound", HTMLButtonElement);

  /** @param {Sound} sound */
  constructor(sound) {
    this.#sound = sound;
    sound.onchange = () => this.#show();
    for (const gesture of ["pointerdown", "keydown"]) {
      // It goes on like that, too, after the browser or a telephone call has stopped it.
      const start = (/** @type {Event} */ { target }) => {
        if (!sound.isOn && target !== this.#button) void this.#start();
      };
      addEventListener(gesture, start, true);
    }
    this.#button.addEventListener("click", () => {
      sound.muted = sound.isOn && !sound.muted;
      void this.#start();
    });
  }

  async #start() {
    await this.#sound.start();
    this.#show();
  }

  #show() {
    const { isOn, muted } = this.#sound;
    byId("silent", HTMLElement).hidden = isOn;
    this.#button.setAttribute("aria-pressed", String(isOn && !muted));
  }
}
