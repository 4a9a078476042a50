/** What is said in the hall, and who comes and goes. */

import { byId, make } from "./dom.js";
import { oncePerFrame } from "./frame.js";
import { colourOf } from "./musicians.js";

/** How many lines are kept. */
const MAX_LINES = 200;

/** How near to its end the programme is read by whoever wants to see what comes, in pixels. */
const NEAR = 40;

export class Programme {
  #log = byId("log", HTMLElement);
  /**
   * What is yet to be shown: how to make each line.
   *
   * @type {(() => HTMLParagraphElement)[]}
   */
  #lines = [];
  #show = oncePerFrame(() => this.#append());

  /**
   * @param {(text: string) => Promise<boolean>} onsay - whether it could be said
   */
  constructor(onsay) {
    const field = byId("say", HTMLInputElement);
    byId("say-form", HTMLFormElement).addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (!text) return;
      field.value = "";
      if (!(await onsay(text)) && !field.value) field.value = text; // to be said again
    });
  }

  /**
   * Somebody says something.
   *
   * @param {string} client
   * @param {string} name
   * @param {string} text
   */
  say(client, name, text) {
    this.#add(() => {
      const line = make("p");
      line.append(make("b", `c${colourOf(client)}`, name), ` ${text}`);
      return line;
    });
  }

  /**
   * Something came from a client that is no page like this.
   *
   * @param {string} text
   */
  echo(text) {
    this.#add(() => make("p", "echo", `Echo: ${text}`));
  }

  /**
   * Something has happened.
   *
   * @param {string} text
   */
  tell(text) {
    this.#add(() => make("p", "event", text));
  }

  /** @param {() => HTMLParagraphElement} line */
  #add(line) {
    this.#lines.push(line);
    // A page that is hidden has no frames.
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
    this.#show();
  }

  #append() {
    const log = this.#log;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
    const lines = this.#lines.splice(0).map((make) => make());
    while (log.childElementCount > MAX_LINES - lines.length) log.firstElementChild?.remove();
    log.append(...lines);
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }
}
