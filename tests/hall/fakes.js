/** What the hall's modules need of a browser, as the tests want it. */

/** Timers, and a clock that the test turns. */
export class Timers {
  /** In milliseconds. */
  now = 0;
  /** All that are still to come, by their ids: when, and again every so many milliseconds, if any. */
  pending = new Map();
  #made = 0;

  setTimeout = (callback, milliseconds) => this.#add(callback, milliseconds, 0);
  setInterval = (callback, milliseconds) => this.#add(callback, milliseconds, milliseconds);
  clearTimeout = (timer) => void this.pending.delete(timer);
  clearInterval = this.clearTimeout;

  /** How many milliseconds it takes until each of them comes. */
  get waits() {
    return [...this.pending.values()].map(({ at }) => at - this.now);
  }

  /** Let time go by: each comes when it is due. */
  advance(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      const [timer, next] = [...this.pending].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!next || next.at > end) break;
      this.now = Math.max(this.now, next.at);
      this.#run(timer, next);
    }
    this.now = end;
  }

  /** Let time go by while timers are held up: those that were due come once, at the end. */
  jump(milliseconds) {
    this.now += milliseconds;
    for (const [timer, one] of [...this.pending]) {
      if (one.at <= this.now && this.pending.has(timer)) {
        if (one.every) one.at = this.now; // the next is as far away as ever
        this.#run(timer, one);
      }
    }
  }

  #add(callback, milliseconds, every) {
    this.#made += 1;
    this.pending.set(this.#made, { callback, at: this.now + milliseconds, every });
    return this.#made;
  }

  #run(timer, one) {
    if (one.every) one.at += one.every;
    else this.pending.delete(timer);
    one.callback();
  }
}

/** All that were made, in their order. */
export const sockets = [];

/** A WebSocket without another end: what that does is what the test calls. */
export class Socket {
  /** The texts that were sent. */
  sent = [];
  bufferedAmount = 0;
  isOpen = false;
  isClosed = false;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    sockets.push(this);
  }

  send(text) {
    this.sent.push(text);
  }

  close() {
    this.isClosed = true;
  }

  // What the other end does.

  open() {
    this.isOpen = true;
    this.onopen();
  }

  hear(data) {
    this.onmessage?.({ data });
  }

  end(code, reason = "") {
    this.onclose?.({ code, reason });
  }
}
