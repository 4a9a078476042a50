/** What is said in the hall, and who comes and goes. */

import { byId, make } from "./dom.js";
import { colourOf } from "./musicians.js";

/** How many lines are kept. */
const MAX_LINES = 200;

export class Programme {
  #log = byId("log", HTMLElement);

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
    const line = make("p");
    line.append(make("b", `c${colourOf(client)}`, name), ` ${text}`);
    this.#add(line);
  }

  /**
   * Something came from a client that is no page like this.
   *
   * @param {string} text
   */
  echo(text) {
    this.#add(make("p", "echo", `Echo: ${text}`));
  }

  /**
   * Something has happened.
   *
   * @param {string} text
   */
  tell(text) {
    this.#add(make("p", "event", text));
  }

  /** @param {HTMLParagraphElement} line */
  #add(line) {
    const log = this.#log;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line);
    while (log.childElementCount > MAX_LINES) log.firstElementChild?.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }
}
