/**
 * A WebSocket on which commands are sent and answered, as the Centrifuge protocol has it in JSON.
 *
 * What is said there is not its business, nor what to do when it has ended.
 */

/** How many milliseconds a connection may take until it is of use. */
const OPENING = 10_000;

/** By how many milliseconds a ping of the server, or the answer to ours, may be late. */
const GRACE = 5_000;

/** The code of what is found at this end of a connection: it is dead, or there is none. */
export const NO_CONNECTION = 0;

/**
 * What a command is answered with, or what the server says unasked.
 *
 * @typedef {{id?: number, error?: {code: number, message?: string, temporary?: boolean},
 *   push?: any, [result: string]: any}} Reply
 */

/** @typedef {import("./timers.js").Timers} Timers */
/** @typedef {(error: CallError | null, result: any) => void} Done */

/**
 * What a connection needs of its surroundings.
 *
 * @typedef {object} Tools
 * @property {new (url: string) => WebSocket} WebSocket
 * @property {Timers} timers
 */

/** A command that was not done, or of which nobody knows whether it was. */
export class CallError extends Error {
  /**
   * @param {number} code - of the protocol; 0 if there is no connection, or no more
   * @param {string} message - why, for people
   * @param {boolean} temporary - whether to try again makes sense
   */
  constructor(code, message, temporary = false) {
    super(message);
    this.name = "CallError";
    this.code = code;
    this.temporary = temporary;
  }
}

/** It is there once, and does not come back. */
export class Connection {
  /** @type {Timers} */
  #timers;
  /** @type {WebSocket} */
  #socket;
  /** @type {(push: any) => void} */
  #onpush;
  /** @type {(code: number, reason: string) => void} */
  #onend;
  /** @type {number | undefined} */
  #timer; // after which it is dead
  #silence = 0; // how many milliseconds of it there may be; 0 for any
  #hasDeadline = true;
  #answersPings = false;
  #lastId = 0;
  /** @type {Map<number, {name: string, done: Done}>} */
  #calls = new Map();

  /** Whether it has ended. */
  isClosed = false;

  /**
   * @param {string} url
   * @param {Tools} tools
   * @param {object} events
   * @param {() => void} events.onopen - commands can be sent
   * @param {(push: any) => void} events.onpush - the server says something unasked
   * @param {(code: number, reason: string) => void} events.onend - it has ended, but not by
   *   close()
   */
  constructor(url, tools, { onopen, onpush, onend }) {
    this.#timers = tools.timers;
    this.#onpush = onpush;
    this.#onend = onend;
    const socket = (this.#socket = new tools.WebSocket(url));
    socket.onopen = onopen;
    socket.onmessage = ({ data }) => this.#read(data);
    socket.onclose = ({ code, reason }) => this.end(code, reason);
    this.setDeadline();
  }

  /**
   * Send a command.
   *
   * @param {string} name
   * @param {object} request
   * @param {Done} done - called with the answer, before anything that comes after that is read; or
   *   when the connection has ended
   */
  call(name, request, done) {
    this.#lastId += 1;
    this.#calls.set(this.#lastId, { name, done });
    this.#send({ id: this.#lastId, [name]: request });
  }

  /**
   * Know by the server's pings that it is there.
   *
   * @param {number} seconds - how many there are between them; 0 for no pings
   * @param {boolean} areAnswered - whether the server needs that
   */
  expectPings(seconds, areAnswered) {
    this.#silence = seconds ? 1000 * seconds + GRACE : 0;
    this.#answersPings = areAnswered;
  }

  /** End soon, whatever is heard, unless the deadline is cleared before. */
  setDeadline() {
    this.#hasDeadline = true;
    this.#endAfter(OPENING);
  }

  /** It is of use: end only when nothing is heard any more. */
  clearDeadline() {
    this.#hasDeadline = false;
    this.#endAfter(this.#silence);
  }

  /** It may be dead: end if the server does not say the contrary soon. */
  probe() {
    this.call("ping", {}, () => {});
    if (!this.#hasDeadline) this.#endAfter(GRACE);
  }

  /**
   * It has ended.
   *
   * @param {number} code
   * @param {string} reason
   */
  end(code, reason) {
    this.close("the line was cut");
    this.#onend(code, reason);
  }

  /**
   * Hear nothing more of it, and tell nobody but those who wait for answers.
   *
   * @param {string} why - there are none
   */
  close(why) {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#endAfter(0);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(); // which may take long where nobody answers
    const error = new CallError(NO_CONNECTION, why, true);
    for (const { done } of this.#calls.values()) done(error, null);
    this.#calls.clear();
  }

  /** @param {number} milliseconds - 0 for never */
  #endAfter(milliseconds) {
    const dead = () => this.end(NO_CONNECTION, "the server says nothing");
    this.#timers.clearTimeout(this.#timer);
    this.#timer = milliseconds ? this.#timers.setTimeout(dead, milliseconds) : undefined;
  }

  /** @param {object} command */
  #send(command) {
    this.#socket.send(JSON.stringify(command));
  }

  /** @param {unknown} data - of a message, which has a reply on each line */
  #read(data) {
    if (!this.#hasDeadline) this.#endAfter(this.#silence);
    for (const line of String(data).split("\n")) {
      if (this.isClosed) return; // by what came before
      if (!line) continue;
      const reply = parsed(line);
      if (!reply) return this.end(NO_CONNECTION, "the server says what is not understood");
      this.#heard(reply);
    }
  }

  /** @param {Reply} reply */
  #heard({ id = 0, error, push, ...results }) {
    const call = this.#calls.get(id);
    if (call) {
      this.#calls.delete(id);
      if (!error) call.done(null, results[call.name] ?? {});
      else call.done(new CallError(error.code, error.message ?? "", error.temporary), null);
    } else if (push) {
      this.#onpush(push);
    } else if (!id && this.#answersPings) {
      this.#send({});
    }
  }
}

/** @param {string} line @returns {Reply | null} null if it is none */
function parsed(line) {
  try {
    const reply = JSON.parse(line);
    return typeof reply === "object" ? reply : null;
  } catch {
    return null;
  }
}
