/** How the line to the server is, and what became of what was missed. */

import { byId } from "./dom.js";

/** How long a notice stays, in milliseconds. */
const NOTICE = 10_000;

export class Status {
  #status = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #retry = byId("retry", HTMLButtonElement);
  #notice = byId("notice", HTMLElement);
  #token = byId("token-form", HTMLFormElement);
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #noticeTimer;

  /**
   * @param {{onretry: () => void, ontoken: (token: string) => void}} handlers
   */
  constructor({ onretry, ontoken }) {
    this.#retry.addEventListener("click", onretry);
    this.#token.addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("token", HTMLInputElement);
      this.#token.hidden = true;
      this.#say("");
      this.#show("connecting", "Tuning up …");
      ontoken(field.value.trim());
      field.value = "";
    });
  }

  /**
   * @param {"connecting" | "here" | "cut" | "refused"} state
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
   *
   * @param {number} delay - until then, in milliseconds
   */
  cut(delay) {
    this.#say("The line to the conductor is cut. What you play is heard by you alone.");
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
   * The server does not want this page.
   *
   * @param {string} reason
   * @param {boolean} wantsToken - whether it would, with a token or with another one
   */
  refused(reason, wantsToken) {
    this.#show("refused", "Not let in");
    this.#token.hidden = !wantsToken;
    this.#say(`The server says: ${reason}.`);
  }

  /**
   * Say something for a while, or with nothing take away what was said.
   *
   * @param {string} text
   */
  say(text) {
    this.#say(text);
    if (text) this.#noticeTimer = setTimeout(() => this.#say(""), NOTICE);
  }

  /** @param {string} text */
  #say(text) {
    clearTimeout(this.#noticeTimer);
    this.#notice.textContent = text;
  }
}
