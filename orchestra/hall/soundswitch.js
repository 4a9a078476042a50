/** Turns the sound on: browsers let a page sound only after somebody has touched it. */

import { byId } from "./dom.js";

/** @typedef {import("./sound.js").Sound} Sound */

export class SoundSwitch {
  #sound;
  #button = byId("sound", HTMLButtonElement);

  /** @param {Sound} sound */
  constructor(sound) {
    this.#sound = sound;
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
    byId("silent", HTMLElement).hidden = this.#sound.isOn;
    const isHeard = this.#sound.isOn && !this.#sound.muted;
    this.#button.setAttribute("aria-pressed", String(isHeard));
  }
}
