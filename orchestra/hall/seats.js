/** The stage: a seat for everyone who is there, which lights up when they play. */

import { byId, icon, make } from "./dom.js";
import { oncePerFrame } from "./frame.js";
import { colourOf } from "./musicians.js";
import { DRUMS, LONGEST_NOTE } from "./notes.js";
import { places } from "./seating.js";

/** @typedef {import("./musicians.js").Musician} Musician */

/** How many seats are shown; more would not be seen. */
const MAX_SEATS = 60;

/** How many have large seats, on a stage that is wide and on one that is narrow, in pixels. */
const LARGE = 18;
const LARGE_IF_NARROW = 4;
const NARROW = 480;

/** How wide a large seat is, and a small one, in pixels. */
const SIZE = 74;
const SMALL = 46;

/** How long a drum is seen, in milliseconds. */
const HIT = 150;

export class Seats {
  #stage = byId("stage", HTMLElement);
  #list = byId("seats", HTMLOListElement);
  #count = byId("count", HTMLElement);
  /** @type {Map<string, HTMLLIElement>} */
  #items = new Map();
  /**
   * What everybody is playing, and when that ends.
   *
   * @type {Map<string, Map<string, number>>}
   */
  #notes = new Map();

  /**
   * Who is there.
   *
   * @type {Map<string, Musician>}
   */
  #here = new Map();
  #seat = oncePerFrame(() => this.#seatAll());

  constructor() {
    new ResizeObserver(() => this.#arrange()).observe(this.#stage);
  }

  /**
   * Show who is there.
   *
   * @param {Map<string, Musician>} here
   */
  show(here) {
    this.#here = here;
    this.#seat();
  }

  #seatAll() {
    const here = this.#here;
    for (const [client, item] of this.#items) {
      if (!here.has(client)) {
        item.remove();
        this.#items.delete(client);
      }
    }
    for (const client of this.#notes.keys()) {
      if (!here.has(client)) this.#notes.delete(client);
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
    const what = instrument ? `, ${instrument}` : "";
    const unseen = make("span", "unseen", isMe ? `: ${text}` : what);
    const note = make("span", "note");
    note.setAttribute("aria-hidden", "true");
    item.replaceChildren(place, who, unseen, note);
    this.#light(client);
  }

  #arrange() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const count = this.#items.size;
    const isSmall = count > LARGE || (width < NARROW && count > LARGE_IF_NARROW);
    this.#stage.classList.toggle("small", isSmall);
    const found = places(count, width, height, isSmall ? SMALL : SIZE);
    for (const [index, { style }] of [...this.#items.values()].entries()) {
      const [left, top] = found[index];
      style.left = `${left.toFixed(1)}px`;
      style.top = `${top.toFixed(1)}px`;
    }
  }

  /**
   * Somebody begins to play a note.
   *
   * @param {string} client
   * @param {string} note
   */
  on(client, note) {
    if (!this.#here.has(client)) return; // but perhaps not drawn yet
    const notes = this.#notes.get(client) ?? new Map();
    clearTimeout(notes.get(note));
    notes.delete(note);
    const length = DRUMS.includes(note) ? HIT : LONGEST_NOTE;
    notes.set(note, setTimeout(() => this.off(client, note), length));
    this.#notes.set(client, notes);
    this.#light(client);
  }

  /**
   * It has ended.
   *
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
    for (const notes of this.#notes.values()) {
      for (const timer of notes.values()) clearTimeout(timer);
    }
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
