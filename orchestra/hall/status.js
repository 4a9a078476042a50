/** How the line to the server is, and what became of what was missed. */

import { byId } from "./dom.js";

export class Status {
  #status = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #retry = byId("retry", HTMLButtonElement);
  #notice = byId("notice", HTMLElement);
  /** @type {number | undefined} */
  #timer;

  /** @param {() => void} onretry */
  constructor(onretry) {
    this.#retry.addEventListener("click", onretry);
  }

  /**
   * @param {"here" | "cut" | "connecting"} state
   * @param {string} text
   */
  #show(state, text) {
    clearInterval(this.#timer);
    if (this.#retry === document.activeElement && state !== "cut") this.#retry.blur();
    this.#retry.hidden = state !== "cut";
    this.#status.className = state;
    this.#text.textContent = text;
  }

  /** It stands. */
  here() {
    this.#show("here", "In the hall");
  }

  /**
   * It is cut, and will be tried again.
   * @param {number} delay until then, in milliseconds.
   */
  cut(delay) {
    this.#notice.textContent = "The line to the conductor is cut. What you play is heard by you alone.";
    const until = performance.now() + delay;
    const tell = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      this.#text.textContent = left > 0 ? `Cut off. Trying again in ${left} s` : "Trying again …";
      if (left <= 0) clearInterval(this.#timer);
    };
    this.#show("cut", "Cut off");
    tell();
    this.#timer = setInterval(tell, 1000);
  }

  /**
   * It ended for good.
   * @param {string} reason
   */
  refused(reason) {
    this.#show("cut", "Not let in");
    this.#notice.textContent = reason;
  }

  /**
   * Say something, or with nothing take it away.
   * @param {string} text
   */
  say(text) {
    this.#notice.textContent = text;
  }
}
