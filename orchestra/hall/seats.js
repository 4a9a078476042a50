/** The stage: a seat for everyone who is there, which lights up when they play. */

import { byId, icon, make } from "./dom.js";
import { colourOf } from "./musicians.js";
import { DRUMS, LONGEST_NOTE } from "./notes.js";

/** @typedef {import("./musicians.js").Musician} Musician */

/** How many seats are shown; more would not be seen. */
const MAX_SEATS = 60;

/** How long a drum is seen, in milliseconds. */
const HIT = 150;

const DEGREE = Math.PI / 180;

/** How far to each side a row of seats reaches, in degrees. */
const REACH = 80;

/** How much room the conductor takes, in pixels from the bottom. */
const STAND = 28;

/**
 * Where seats are, in rows around the conductor, those in front first.
 *
 * @param {number} count
 * @param {number} width - of the stage, in pixels
 * @param {number} height
 * @param {number} size - of a seat
 * @returns {[number, number][]} of the middle of each, from the left and from the top
 */
export function places(count, width, height, size) {
  const [across, up] = [width / 2 - size / 2, height - STAND - size * 0.6];
  const step = (size * 0.95) / up;
  const most = Math.max(1, Math.floor((1 - 0.25) / step) + 1);
  /**
   * How far out each row is, and how many have room in it.
   *
   * @type {{out: number, room: number}[]}
   */
  const rows = [];
  for (let out = 1, room = 0; room < count && rows.length < most; out -= step) {
    const length = 2 * REACH * DEGREE * out * Math.hypot(across, up) * Math.SQRT1_2;
    rows.unshift({ out, room: Math.max(1, Math.floor(length / (size * 1.05))) });
    room += rows[0].room;
  }
  const found = /** @type {[number, number][]} */ ([]);
  let rooms = rows.reduce((sum, { room }) => sum + room, 0);
  for (const { out, room } of rows) {
    const seats = Math.round(((count - found.length) * room) / rooms);
    rooms -= room;
    const spread = Math.min(2 * REACH, (2 * REACH * 1.2 * seats) / room) * DEGREE;
    for (let seat = 0; seat < seats; seat++) {
      const turn = seats === 1 ? 0 : spread * (seat / (seats - 1) - 0.5);
      found.push([
        width / 2 + across * out * Math.sin(turn),
        height - STAND - up * out * Math.cos(turn),
      ]);
    }
  }
  return found;
}

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

  constructor() {
    new ResizeObserver(() => this.#arrange()).observe(this.#stage);
  }

  /**
   * Show who is there.
   *
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
    const isSmall = count > 18 || (width < 480 && count > 4);
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
   *
   * @param {string} client
   * @param {string} note
   */
  on(client, note) {
    if (!this.#items.has(client)) return;
    const notes = this.#notes.get(client) ?? new Map();
    clearTimeout(notes.get(note));
    notes.delete(note);
    notes.set(note, setTimeout(() => this.off(client, note), DRUMS.includes(note) ? HIT : LONGEST_NOTE));
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
