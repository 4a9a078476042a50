/** Plays many messages into a channel. */

import { TIMERS } from "./timers.js";

/** How many milliseconds there are between two times that it plays. */
const TICK = 40;

/** How many bytes may wait to be sent. */
const MAX_WAITING = 1024 * 1024;

/** After how many milliseconds of playing in a tick the page has its turn. */
const SLICE = 20;

/** How many messages are played between two looks at the clock. */
const BATCH = 100;

/** For how many milliseconds at the most it catches up: browsers hold up the timers of pages. */
const CATCH_UP = 1000;

/** Over how many milliseconds it is counted what goes out. */
const COUNTED = 2000;

/**
 * @typedef {object} State
 * @property {boolean} isPlaying
 * @property {number} played - messages in all that have gone out
 * @property {number} rate - how many go out in a second
 * @property {boolean} isHeldUp - whether more would go out if the connection took it
 * @property {string} ended - why it has ended; empty if it has not, or was stopped
 */

/** Plays over one WebSocket of the raw dialect, and hears nothing of it. */
export class Load {
  /** @type {(state: State) => void} */
  #onstate;
  #WebSocket;
  #now;
  #timers;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {number | undefined} */
  #timer;
  #rate = 0;
  #payload = "";
  #owed = 0; // messages that are due, with a fraction
  #last = 0; // when it has played
  #end = 0;
  #sent = 0;
  #isHeldUp = false;
  /** @type {{at: number, gone: number}[]} */
  #history = [];

  /**
   * @param {(state: State) => void} onstate - is told how it goes, several times a second
   * @param {object} [options]
   * @param {new (url: string, protocols: string[]) => WebSocket} [options.WebSocket]
   * @param {() => number} [options.now] - milliseconds
   * @param {import("./timers.js").Timers} [options.timers]
   */
  constructor(onstate, options = {}) {
    this.#onstate = onstate;
    this.#WebSocket = options.WebSocket ?? WebSocket;
    this.#now = options.now ?? (() => performance.now());
    this.#timers = options.timers ?? TIMERS;
  }

  /** Whether it plays, or is about to. */
  get isPlaying() {
    return this.#socket !== null;
  }

  /**
   * Play, instead of what is played already.
   *
   * @param {object} what
   * @param {string} what.url - of the channel, for a WebSocket
   * @param {string} [what.token] - what lets one in
   * @param {number} what.rate - messages in a second
   * @param {number} what.size - bytes of each
   * @param {number} what.seconds - after how many it stops
   */
  start({ url, token, rate, size, seconds }) {
    this.stop();
    this.#rate = rate;
    this.#payload = ".".repeat(size);
    this.#owed = this.#sent = 0;
    this.#isHeldUp = false;
    this.#history = [];
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new this.#WebSocket(url, token ? ["bearer", token] : []);
    } catch {
      this.#tell("the channel or the token cannot be sent");
      return;
    }
    this.#socket = socket;
    socket.onopen = () => {
      this.#last = this.#now();
      this.#end = this.#last + 1000 * seconds;
      this.#timer = this.#timers.setInterval(() => this.#tick(), TICK);
      this.#tell("");
    };
    socket.onclose = ({ code, reason }) => this.#finish(describe(code, reason));
    this.#tell("");
  }

  /** Play no more. */
  stop() {
    this.#finish("");
  }

  /** Play what is due. */
  #tick() {
    const socket = this.#socket;
    if (!socket) return;
    const now = this.#now();
    if (now >= this.#end) {
      this.#finish("the time is over");
      return;
    }
    const passed = Math.min(now - this.#last, CATCH_UP);
    this.#last = now;
    this.#owed += (this.#rate * passed) / 1000;
    this.#isHeldUp = !this.#play(socket, now + SLICE);
    // What could not be played in its time is left out: it would come all at once later.
    if (this.#isHeldUp) this.#owed = 0;
    this.#count(socket, now);
    this.#tell("");
  }

  /** @param {WebSocket} socket @param {number} until @returns {boolean} whether all was played */
  #play(socket, until) {
    while (this.#owed >= 1) {
      if (socket.bufferedAmount > MAX_WAITING || this.#now() > until) return false;
      const count = Math.min(Math.floor(this.#owed), BATCH);
      for (let played = 0; played < count; played += 1) socket.send(this.#payload);
      this.#owed -= count;
      this.#sent += count;
    }
    return true;
  }

  /** @param {WebSocket} socket @param {number} at */
  #count(socket, at) {
    const waiting = Math.ceil(socket.bufferedAmount / this.#payload.length);
    this.#history.push({ at, gone: Math.max(0, this.#sent - waiting) });
    while (this.#history[0].at < at - COUNTED) this.#history.shift();
  }

  /** @param {string} ended */
  #finish(ended) {
    const socket = this.#socket;
    if (!socket) return;
    this.#timers.clearInterval(this.#timer);
    this.#socket = socket.onopen = socket.onclose = null;
    socket.close();
    this.#tell(ended);
  }

  /** @param {string} ended */
  #tell(ended) {
    const isPlaying = this.isPlaying;
    const first = this.#history[0];
    const last = this.#history[this.#history.length - 1];
    const milliseconds = first ? last.at - first.at : 0;
    this.#onstate({
      isPlaying,
      played: last ? last.gone : 0,
      rate: isPlaying && milliseconds ? (1000 * (last.gone - first.gone)) / milliseconds : 0,
      isHeldUp: isPlaying && this.#isHeldUp,
      ended,
    });
  }
}

/**
 * @param {number} code - of a WebSocket that was closed
 * @param {string} reason
 */
function describe(code, reason) {
  // Browsers do not tell why a handshake was refused.
  if (code === 1006) return "the connection was refused, or lost";
  return `the server has closed the connection (${code}${reason && `: ${reason}`})`;
}
