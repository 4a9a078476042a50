/** Who is there, and who somebody was that has left. It shows nothing. */

import { cleaned, LONGEST_NAME } from "./messages.js";

/** @typedef {import("./client.js").Info} Info */
/** @typedef {{client: string, name: string, instrument: string | null, isMe: boolean}} Musician */

/** What somebody is called that has not said a name: a client that is no page like this. */
const NAMELESS = "plain line";

/** How many of those that have said a name are known. */
const MAX_KNOWN = 1000;

/** In how many colours they are shown. */
const COLOURS = 8;

/**
 * In which of the eight colours somebody is shown, the same in all pages.
 *
 * @param {string} client
 * @returns {number}
 */
export function colourOf(client) {
  let sum = 0;
  for (const letter of client) sum = (31 * sum + letter.charCodeAt(0)) >>> 0;
  return sum % COLOURS;
}

/**
 * The name that an application has given to somebody, if any.
 *
 * @param {Info | null} info
 * @returns {string}
 */
function givenName(info) {
  const { name } = /** @type {{name?: unknown}} */ (info?.conn_info ?? {});
  for (const given of [name, info?.user]) {
    const shown = typeof given === "string" ? cleaned(given, LONGEST_NAME) : "";
    if (shown) return shown;
  }
  return NAMELESS;
}

export class Musicians {
  /** @type {Map<string, Musician>} */
  here = new Map();
  /**
   * Whoever has said a name, also those who have left.
   *
   * @type {Map<string, Musician>}
   */
  #known = new Map();
  /**
   * All ids that this page has had.
   *
   * @type {Set<string>}
   */
  #mine = new Set();
  /**
   * Who has come, or else left, since it was asked who is there.
   *
   * @type {Map<string, {info: Info, isHere: boolean}> | null}
   */
  #moved = null;

  /**
   * It is asked who is there. The answer is set() later than it was given, so that who comes or
   * leaves until then does so after it.
   */
  ask() {
    this.#moved = new Map();
  }

  /**
   * These are there, and nobody else.
   *
   * @param {Iterable<Info>} infos
   */
  set(infos) {
    const moved = this.#moved?.values() ?? [];
    this.#moved = null;
    this.here.clear();
    for (const info of infos) this.join(info);
    for (const { info, isHere } of moved) {
      if (isHere) this.join(info);
      else this.leave(info);
    }
  }

  /**
   * This page has another id from now on.
   *
   * @param {string} client
   */
  addOwnId(client) {
    this.#mine.add(client);
  }

  /**
   * @param {string | undefined} client
   * @returns {boolean}
   */
  isMe(client) {
    return client !== undefined && this.#mine.has(client);
  }

  /**
   * Somebody has come.
   *
   * @param {Info} info
   * @returns {Musician}
   */
  join(info) {
    this.#moved?.set(info.client, { info, isHere: true });
    const musician = this.who(info);
    this.here.set(info.client, musician);
    return musician;
  }

  /**
   * Somebody has left.
   *
   * @param {Info} info
   * @returns {Musician}
   */
  leave(info) {
    this.#moved?.set(info.client, { info, isHere: false });
    const musician = this.who(info);
    this.here.delete(info.client);
    return musician;
  }

  /**
   * Somebody has said who they are.
   *
   * @param {Info} info
   * @param {string} said - their name
   * @param {string} instrument
   * @returns {boolean} whether that is new
   */
  introduce(info, said, instrument) {
    const name = said || NAMELESS;
    const before = this.#known.get(info.client);
    if (before?.name === name && before.instrument === instrument) return false;
    const musician = { client: info.client, name, instrument, isMe: this.isMe(info.client) };
    this.#known.delete(info.client);
    this.#known.set(info.client, musician);
    if (this.#known.size > MAX_KNOWN) {
      const [oldest] = this.#known.keys();
      this.#known.delete(oldest);
    }
    if (this.here.has(info.client)) this.here.set(info.client, musician);
    return true;
  }

  /**
   * Whether somebody has said a name.
   *
   * @param {string | undefined} client
   * @returns {boolean}
   */
  isKnown(client) {
    return client !== undefined && this.#known.has(client);
  }

  /**
   * Who somebody is, or was.
   *
   * @param {Info | null} info
   * @returns {Musician}
   */
  who(info) {
    const client = info?.client ?? "";
    return (
      this.#known.get(client) ?? {
        client,
        name: givenName(info),
        instrument: null,
        isMe: this.isMe(client),
      }
    );
  }
}
