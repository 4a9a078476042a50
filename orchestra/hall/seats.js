/** The stage: a seat for everyone who is there, which lights up when they play. */

import { byId, icon, make } from "./dom.js";
import { colourOf } from "./musicians.js";
import { DRUMS } from "./notes.js";

/** @typedef {import("./musicians.js").Musician} Musician */

/** How many seats are shown; more would not be seen. */
const MAX_SEATS = 60;

/** How long a drum is seen, and any other note that does not end, in milliseconds. */
const HIT = 150;
const LONGEST = 10_000;

const DEGREE = Math.PI / 180;

/**
 * Where seats are, in rows around the conductor, those in front first.
 * @param {number} count
 * @param {number} width of the stage, in pixels.
 * @param {number} height
 * @param {number} size of a seat.
 * @returns {[number, number][]} from the left and from the top.
 */
export function places(count, width, height, size) {
  const across = Math.min(width / 2 - size / 2, 2.1 * height);
  const rows = [];
  for (let row = 1, left = count; left > 0; row++) {
    const room = Math.max(3, Math.floor((2.6 * across * (0.4 + 0.2 * row)) / (size * 1.15)));
    rows.push(Math.min(room, left));
    left -= room;
  }
  // The last row is the longest; the others have what is then left to them, evenly.
  const found = /** @type {[number, number][]} */ ([]);
  rows.forEach((seats, row) => {
    const out = rows.length === 1 ? 0.8 : 0.5 + (0.5 * row) / (rows.length - 1);
    const spread = Math.min(150, 34 * (seats - 1)) * DEGREE;
    for (let seat = 0; seat < seats; seat++) {
      const turn = seats === 1 ? 0 : spread * (seat / (seats - 1) - 0.5);
      found.push([
        width / 2 + across * out * Math.sin(turn),
        height - 0.1 * height - 0.68 * height * out * Math.cos(turn),
      ]);
    }
  });
  return found;
}

export class Seats {
  #stage = byId("stage", HTMLElement);
  #list = byId("seats", HTMLOListElement);
  #count = byId("count", HTMLElement);
  /** @type {Map<string, HTMLLIElement>} */
  #items = new Map();
  /** What everybody is playing, and when that ends. @type {Map<string, Map<string, number>>} */
  #notes = new Map();

  constructor() {
    new ResizeObserver(() => this.#arrange()).observe(this.#stage);
  }

  /**
   * Show who is there.
   * @param {Map<string, Musician>} here
   */
  show(here) {
    for (const [client, item] of this.#items) {
      if (!here.has(client)) {
        item.remove();
        this.#items.delete(client);
        this.#notes.delete(client);
      }
    }
    for (const musician of here.values()) {
      const item = this.#items.get(musician.client);
      if (item) this.#fill(item, musician);
      else if (this.#items.size < MAX_SEATS) {
        const item = make("li");
        this.#items.set(musician.client, item);
        this.#fill(item, musician);
        this.#list.append(item);
      }
    }
    const more = here.size > this.#items.size ? `, ${this.#items.size} of them` : "";
    this.#count.textContent = here.size ? `${here.size}${more}` : "Nobody";
    this.#arrange();
  }

  /**
   * @param {HTMLLIElement} item
   * @param {Musician} musician
   */
  #fill(item, { client, name, instrument, isMe }) {
    const words = `${name}${isMe ? " (you)" : ""}`;
    const text = instrument ? `${words}, ${instrument}` : words;
    if (item.title === text) return;
    item.title = text;
    item.className = `c${colourOf(client)}${isMe ? " me" : ""}`;
    const place = make("span", "place");
    place.append(icon(instrument ?? "line"));
    const who = make("span", "who", isMe ? "you" : name);
    const unseen = make("span", "unseen", isMe ? `: ${text}` : instrument ? `, ${instrument}` : "");
    const note = make("span", "note");
    note.setAttribute("aria-hidden", "true");
    item.replaceChildren(place, who, unseen, note);
    this.#light(client);
  }

  #arrange() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const count = this.#items.size;
    const isSmall = count > 16 || (width < 480 && count > 9);
    this.#stage.classList.toggle("small", isSmall);
    const found = places(count, width, height, isSmall ? 46 : 74);
    let index = 0;
    for (const { style } of this.#items.values()) {
      const [left, top] = found[index++];
      style.left = `${left.toFixed(1)}px`;
      style.top = `${top.toFixed(1)}px`;
    }
  }

  /**
   * Somebody begins to play a note.
   * @param {string} client
   * @param {string} note
   */
  on(client, note) {
    if (!this.#items.has(client)) return;
    const notes = this.#notes.get(client) ?? new Map();
    clearTimeout(notes.get(note));
    notes.delete(note);
    notes.set(note, setTimeout(() => this.off(client, note), DRUMS.includes(note) ? HIT : LONGEST));
    this.#notes.set(client, notes);
    this.#light(client);
  }

  /**
   * It has ended.
   * @param {string} client
   * @param {string} note
   */
  off(client, note) {
    const notes = this.#notes.get(client);
    clearTimeout(notes?.get(note));
    notes?.delete(note);
    this.#light(client);
  }

  /** Nobody plays any more, as far as is known. */
  dark() {
    for (const notes of this.#notes.values()) for (const timer of notes.values()) clearTimeout(timer);
    this.#notes.clear();
    for (const client of this.#items.keys()) this.#light(client);
  }

  /** @param {string} client */
  #light(client) {
    const item = this.#items.get(client);
    if (!item) return;
    const notes = [...(this.#notes.get(client)?.keys() ?? [])];
    item.classList.toggle("playing", notes.length > 0);
    const shown = item.querySelector(".note");
    if (shown) shown.textContent = notes.at(-1) ?? "";
  }
}
