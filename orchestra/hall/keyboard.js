/** The keys that are played: by pointers, by touch, by the computer's keys, by a screen reader. */

import { make } from "./dom.js";
import { DRUMS, LOUD, RANGES, noteName } from "./notes.js";

/** The computer's keys, by where they are, for the notes from the first key on. */
const CODES = [
  ...["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU"],
  ...["KeyJ", "KeyK", "KeyO", "KeyL", "KeyP", "Semicolon", "Quote"],
];
const DRUM_CODES = ["KeyA", "KeyS", "KeyD", "KeyF", "KeyG", "KeyH"];
const LOWER = "KeyZ";
const HIGHER = "KeyX";

/**
 * With which note the keys of an instrument begin at first.
 *
 * @type {Record<string, number>}
 */
const FIRST = { violin: 60, cello: 48, flute: 72, piano: 60 };

const WHITE = new Set([0, 2, 4, 5, 7, 9, 11]);

/** How wide a white key is at the least, in pixels. */
const KEY_WIDTH = 30;

/** How wide a black one is, so that it can be touched (WCAG 2.2, success criterion 2.5.8). */
const SMALLEST = 24;

/** What a pointer plays that is between the keys. */
const NONE = "";

/** How long a note is that a screen reader plays, in milliseconds. */
const SHORT = 400;

/**
 * What is written on a key that a code stands for.
 *
 * @param {string | undefined} code
 * @returns {string}
 */
function label(code) {
  if (code === "Semicolon") return ";";
  if (code === "Quote") return "'";
  return code?.replace("Key", "") ?? "";
}

/**
 * A note's name for those who hear it read.
 *
 * @param {string} note
 * @returns {string}
 */
function spoken(note) {
  return note.replace("#", " sharp ");
}

/**
 * Whether what is typed is meant for something else.
 *
 * @param {KeyboardEvent} event
 * @returns {boolean}
 */
function isTyping({ target, ctrlKey, metaKey, altKey, isComposing }) {
  const isField =
    target instanceof HTMLInputElement && !["radio", "checkbox", "range"].includes(target.type);
  return isField || ctrlKey || metaKey || altKey || isComposing;
}

/** The keys of one instrument. What is pressed is told of; to play it is not their business. */
export class Keyboard {
  #root;
  #handlers;
  #instrument = "piano";
  #first = FIRST.piano;
  /** @type {Map<string, HTMLButtonElement>} */
  #keys = new Map();
  /**
   * What is held down by what: a pointer, or a key of the computer.
   *
   * @type {Map<string, string>}
   */
  #held = new Map();

  /**
   * @param {HTMLElement} root
   * @param {{on: (note: string, loud: number) => void, off: (note: string) => void}} handlers
   */
  constructor(root, handlers) {
    this.#root = root;
    this.#handlers = handlers;
    root.addEventListener("pointerdown", (event) => this.#point(event));
    root.addEventListener("pointermove", (event) => {
      if (this.#held.has(`pointer ${event.pointerId}`)) this.#point(event);
    });
    for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) {
      root.addEventListener(kind, (event) => this.#release(`pointer ${event.pointerId}`));
    }
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("keydown", (event) => this.#keydown(event));
    document.addEventListener("keyup", (event) => this.#release(event.code));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => this.releaseAll());
    new ResizeObserver(() => this.#draw()).observe(root);
  }

  /**
   * Show the keys of an instrument.
   *
   * @param {string} instrument
   */
  show(instrument) {
    this.releaseAll();
    this.#instrument = instrument;
    this.#root.classList.toggle("drums", instrument === "drums");
    this.#first = FIRST[instrument] ?? this.#first;
    this.#draw();
  }

  /**
   * Move the keys by octaves.
   *
   * @param {number} octaves
   */
  shift(octaves) {
    if (this.#instrument === "drums") return;
    const [lowest, highest] = RANGES[this.#instrument];
    const first = this.#first + 12 * octaves;
    if (first < 12 * Math.floor(lowest / 12) || first > highest - 12) return;
    this.releaseAll();
    this.#first = first;
    this.#draw();
  }

  #draw() {
    const notes = this.#instrument === "drums" ? [...DRUMS] : this.#notes();
    if (notes.join() === [...this.#keys.keys()].join()) return;
    this.releaseAll();
    const hadFocus = this.#root.contains(document.activeElement);
    this.#keys.clear();
    const whites = notes.filter((note) => !note.includes("#")).length;
    let before = 0;
    const codes = this.#instrument === "drums" ? DRUM_CODES : CODES;
    for (const [index, note] of notes.entries()) {
      const isBlack = note.includes("#");
      const kind = this.#instrument === "drums" ? "pad" : isBlack ? "black" : "white";
      const key = make("button", kind);
      key.type = "button";
      key.tabIndex = index ? -1 : 0;
      key.setAttribute("aria-label", spoken(note));
      key.append(this.#hint(key, codes[index]));
      if (kind === "pad" || (note.startsWith("C") && !isBlack)) key.append(make("span", "", note));
      if (isBlack) {
        key.style.left = `${(100 * before) / whites}%`;
        key.style.width = `max(${SMALLEST}px, ${62 / whites}%)`;
      } else {
        before += 1;
      }
      key.dataset.note = note;
      this.#keys.set(note, key);
    }
    this.#root.replaceChildren(...this.#keys.values());
    if (hadFocus) this.#keys.get(notes[0])?.focus();
  }

  /**
   * Which of the computer's keys plays a key: to be seen, and no part of what it is called.
   *
   * @param {HTMLElement} key
   * @param {string | undefined} code
   */
  #hint(key, code) {
    const hint = make("kbd");
    if (code) hint.dataset.key = label(code);
    if (code) key.setAttribute("aria-keyshortcuts", label(code));
    return hint;
  }

  #notes() {
    const whites = Math.min(15, Math.max(7, Math.floor(this.#root.clientWidth / KEY_WIDTH)));
    const highest = RANGES[this.#instrument][1];
    const notes = [];
    for (let note = this.#first, found = 0; found < whites && note <= highest; note += 1) {
      notes.push(noteName(note));
      if (WHITE.has(note % 12)) found += 1;
    }
    // Not to end with a black key, half of which would be outside.
    while (notes.at(-1)?.includes("#")) notes.pop();
    return notes;
  }

  /**
   * Something goes down on a key, unless it has it down already.
   *
   * @param {string} what
   * @param {string} note
   * @param {number} loud
   */
  #press(what, note, loud) {
    if (this.#held.get(what) === note) return;
    this.#release(what);
    const isPlayed = [...this.#held.values()].includes(note);
    this.#held.set(what, note);
    if (isPlayed || note === NONE) return;
    this.#keys.get(note)?.classList.add("down");
    this.#handlers.on(note, loud);
  }

  /** @param {string} what */
  #release(what) {
    const note = this.#held.get(what);
    if (note === undefined) return;
    this.#held.delete(what);
    if (note === NONE || [...this.#held.values()].includes(note)) return;
    this.#keys.get(note)?.classList.remove("down");
    this.#handlers.off(note);
  }

  /** Let go of all keys. */
  releaseAll() {
    for (const what of [...this.#held.keys()]) this.#release(what);
  }

  /** @param {PointerEvent} event */
  #point(event) {
    if (event.button > 0) return;
    const what = `pointer ${event.pointerId}`;
    const key = document.elementFromPoint(event.clientX, event.clientY)?.closest("button");
    const note = key instanceof HTMLElement ? key.dataset.note : undefined;
    if (key && note !== undefined && this.#keys.get(note) === key) {
      const { top, height } = key.getBoundingClientRect();
      this.#press(what, note, 0.5 + 0.5 * Math.min(1, (event.clientY - top) / height));
      // What slides over the edge is still to be heard of when it is lifted.
      if (event.type === "pointerdown") this.#root.setPointerCapture(event.pointerId);
    } else if (event.type === "pointermove") {
      // It is over no key, and may come back.
      this.#press(what, NONE, 0);
    }
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const key = /** @type {Element} */ (event.target).closest("button");
    const note = key?.dataset.note;
    if (event.detail > 0 || note === undefined) return; // a pointer's, which has played it
    this.#press("click", note, LOUD);
    setTimeout(() => this.#release("click"), SHORT);
  }

  /** @param {KeyboardEvent} event */
  #keydown(event) {
    if (isTyping(event)) return;
    const key = /** @type {HTMLElement} */ (event.target);
    const note = key.dataset?.note;
    if (note !== undefined && [" ", "Enter"].includes(event.key)) {
      event.preventDefault();
      if (!event.repeat) this.#press(event.code, note, LOUD);
    } else if (note !== undefined && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      this.#move(key, event.key === "ArrowLeft" ? -1 : 1);
    } else if (!event.repeat) {
      const codes = this.#instrument === "drums" ? DRUM_CODES : CODES;
      const played = [...this.#keys.keys()][codes.indexOf(event.code)];
      if (played !== undefined) this.#press(event.code, played, LOUD);
      else if (event.code === LOWER) this.shift(-1);
      else if (event.code === HIGHER) this.shift(1);
    }
  }

  /**
   * Move the focus to the next key.
   *
   * @param {HTMLElement} from
   * @param {number} step
   */
  #move(from, step) {
    const keys = [...this.#keys.values()];
    const to = keys[keys.findIndex((key) => key === from) + step];
    if (!to) return;
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
