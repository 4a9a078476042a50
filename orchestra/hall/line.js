/**
 * A WebSocket on which commands are sent and answered, as the Centrifuge protocol has it in JSON.
 *
 * What is said there is not its business, nor what to do when it has ended.
 */

/** How many milliseconds a line may take until it is of use. */
export const OPENING = 10_000;

/** By how many milliseconds a ping of the server, or the answer to ours, may be late. */
export const GRACE = 5_000;

/** The code of what is found at this end of a line: it is dead, or there is none. */
export const NO_LINE = 0;

/**
 * What a command is answered with, or what the server says unasked.
 *
 * @typedef {{id?: number, error?: {code: number, message?: string, temporary?: boolean},
 *   push?: any, [result: string]: any}} Reply
 */

/** @typedef {(error: CallError | null, result: any) => void} Done */

/**
 * What a line needs of its surroundings.
 *
 * @typedef {object} Tools
 * @property {new (url: string) => WebSocket} WebSocket
 * @property {(callback: () => void, milliseconds: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** A command that was not done, or of which nobody knows whether it was. */
export class CallError extends Error {
  /**
   * @param {number} code - of the protocol; 0 if there is no line, or no more
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
export class Line {
  /** @type {Tools} */
  #tools;
  /** @type {WebSocket} */
  #socket;
  /** @type {(push: any) => void} */
  #onpush;
  /** @type {(code: number, reason: string) => void} */
  #onend;
  /** @type {unknown} */
  #timer = null; // after which it is dead
  #silence = 0; // how many milliseconds of it there may be; 0 for any
  #isRelaxed = false;
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
    this.#tools = tools;
    this.#onpush = onpush;
    this.#onend = onend;
    const socket = (this.#socket = new tools.WebSocket(url));
    socket.onopen = onopen;
    socket.onmessage = ({ data }) => this.#read(data);
    socket.onclose = ({ code, reason }) => this.end(code, reason);
    this.hurry();
  }

  /**
   * Send a command.
   *
   * @param {string} name
   * @param {object} request
   * @param {Done} done - called with the answer, before anything that comes after that is read; or
   *   when the line has ended
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
  heed(seconds, areAnswered) {
    this.#silence = seconds ? 1000 * seconds + GRACE : 0;
    this.#answersPings = areAnswered;
  }

  /** End if it is not relaxed soon, whatever is heard. */
  hurry() {
    this.#isRelaxed = false;
    this.#dieAfter(OPENING);
  }

  /** It is of use: end only when nothing is heard any more. */
  relax() {
    this.#isRelaxed = true;
    this.#dieAfter(this.#silence);
  }

  /** It may be dead: end if the server does not say the contrary soon. */
  probe() {
    this.call("ping", {}, () => {});
    if (this.#isRelaxed) this.#dieAfter(GRACE);
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
    this.#dieAfter(0);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(); // which may take long where nobody answers
    for (const { done } of this.#calls.values()) done(new CallError(NO_LINE, why, true), null);
    this.#calls.clear();
  }

  /** @param {number} milliseconds - 0 for never */
  #dieAfter(milliseconds) {
    const dead = () => this.end(NO_LINE, "the server says nothing");
    this.#tools.clearTimeout(this.#timer);
    this.#timer = milliseconds ? this.#tools.setTimeout(dead, milliseconds) : null;
  }

  /** @param {object} command */
  #send(command) {
    this.#socket.send(JSON.stringify(command));
  }

  /** @param {unknown} data - of a message, which has a reply on each line */
  #read(data) {
    if (this.#isRelaxed) this.#dieAfter(this.#silence);
    for (const line of String(data).split("\n")) {
      if (this.isClosed) return; // by what came before
      if (!line) continue;
      const reply = parsed(line);
      if (!reply) return this.end(NO_LINE, "the server says what is not understood");
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
