/**
 * A client for one channel, by the Centrifuge protocol: JSON on a WebSocket.
 *
 * It comes back by itself when it is cut off, and hears what it has missed meanwhile. What the
 * messages mean is not its business. The protocol, and what this server makes of it, is explained
 * in Orchestra's documentation: docs/protocol.rst.
 */

import { Backoff } from "./backoff.js";

/** How many milliseconds it may take to connect, or to subscribe. */
const OPENING = 10_000;

/** By how many milliseconds a ping of the server, or the answer to ours, may be late. */
const GRACE = 5_000;

/** The code of what the client itself has found: the line is dead, or there is none. */
const NO_LINE = 0;

/** The code of WebSockets that are left with their page (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;

/**
 * Somebody in the channel.
 *
 * @typedef {object} Info
 * @property {string} client - its id, which nobody else has
 * @property {string} [user] - who it is, if the server knows that
 * @property {unknown} [conn_info] - what else is known of it
 */

/**
 * A message of the channel.
 *
 * @typedef {object} Publication
 * @property {unknown} data - any JSON
 * @property {Info | null} info - who has published it; null if that was no client
 * @property {number} offset - its number in the channel
 */

/**
 * What happens. Those that are not given are not called.
 *
 * @typedef {object} Handlers
 * @property {(event: {client: string}) => void} [onopen] - it is connected, with this id
 * @property {(event: {recovered: boolean, wasRecovering: boolean, missed: number}) => void}
 *   [onsubscribed] - it hears the channel; whether it has heard it before (wasRecovering), and if
 *   so, whether all that it has missed comes now (recovered), and how many messages that is
 * @property {(event: Publication & {recovered: boolean}) => void} [onpublication] - a message; and
 *   whether it is one of those that were missed
 * @property {(info: Info) => void} [onjoin] - somebody has come; the client itself is told of, too
 * @property {(info: Info) => void} [onleave] - somebody has left
 * @property {(event: {code: number, reason: string, delay: number}) => void} [oncut] - it is cut
 *   off, or could not connect, and tries again after so many milliseconds; the code is that of the
 *   WebSocket or of the error, or 0
 * @property {(event: {code: number, reason: string}) => void} [onrefused] - the server does not want
 *   it. It does not try again, unless connect() is called
 */

/**
 * What a command is answered with, or what the server says unasked.
 *
 * @typedef {{id?: number, error?: {code: number, message?: string, temporary?: boolean},
 *   push?: any, [result: string]: any}} Reply
 */

/** @typedef {(error: CallError | null, result: any) => void} Done */

/** A command that was not done, or of which nobody knows whether it was. */
export class CallError extends Error {
  /**
   * @param {number} code - of the protocol; 0 if the client is not connected, or no more
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

/** Comes back by itself, unless it is refused or closed. */
export class Client {
  /**
   * What lets it in, where that needs a token. It may be set for the next connect().
   *
   * @type {string | undefined}
   */
  token;

  /** @type {string} */
  #url;
  /** @type {string} */
  #channel;
  /** @type {Handlers} */
  #handlers;
  /** @type {(url: string) => WebSocket} */
  #dial;
  /** @type {(callback: () => void, milliseconds: number) => unknown} */
  #setTimeout;
  /** @type {(timer: any) => void} */
  #clearTimeout;
  #backoff;

  /** What it does: "idle", "waiting" to try again, "opening", "open", or "away" with its page. */
  #state = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  #isConnected = false;
  /** @type {unknown} */
  #timer = null; // of the next attempt, or of what has to be heard until then
  /** After how many milliseconds of silence the line is dead; 0 for never. */
  #patience = 0;
  #answersPings = false;
  #lastId = 0;
  /** @type {Map<number, {name: string, done: Done}>} */
  #calls = new Map();

  #hasHeard = false; // the channel, on an earlier line
  /** @type {{epoch: string, offset: number} | null} */
  #position = null; // up to where it has heard the channel, if it may come back there
  #missedUpTo = 0; // the offset of the last message that it has missed

  /**
   * @param {object} options
   * @param {string} options.url - of the WebSocket
   * @param {string} options.channel - its name
   * @param {string} [options.token] - what lets it in
   * @param {Handlers} [options.handlers] - whom to tell what happens
   * @param {new (url: string) => WebSocket} [options.WebSocket]
   * @param {() => number} [options.random] - a number from 0 up to 1
   * @param {(callback: () => void, milliseconds: number) => unknown} [options.setTimeout]
   * @param {(timer: any) => void} [options.clearTimeout]
   */
  constructor({ url, channel, token, handlers = {}, random, ...others }) {
    this.#url = url;
    this.#channel = channel;
    this.token = token;
    this.#handlers = handlers;
    const Socket = others.WebSocket ?? WebSocket;
    this.#dial = (url) => new Socket(url);
    this.#setTimeout = others.setTimeout ?? ((callback, ms) => setTimeout(callback, ms));
    this.#clearTimeout = others.clearTimeout ?? ((timer) => clearTimeout(timer));
    this.#backoff = new Backoff(random);
  }

  /** Connect and subscribe, unless it does already. */
  connect() {
    if (this.#state === "idle") {
      addEventListener("online", this.#look);
      addEventListener("pageshow", this.#look);
      addEventListener("pagehide", this.#hide);
      document.addEventListener("visibilitychange", this.#look);
      this.#open();
    }
  }

  /** End for good, and tell nobody. */
  close() {
    removeEventListener("online", this.#look);
    removeEventListener("pageshow", this.#look);
    removeEventListener("pagehide", this.#hide);
    document.removeEventListener("visibilitychange", this.#look);
    this.#drop("idle", "the client was closed");
  }

  /** Try now, if it waits before it tries again. */
  retry() {
    if (this.#state === "waiting") this.#open();
  }

  /**
   * @param {unknown} data - any JSON
   * @returns {Promise<void>} when the server has it; it fails with a CallError
   */
  async publish(data) {
    await this.#ask("publish", { channel: this.#channel, data });
  }

  /** @returns {Promise<Map<string, Info>>} who hears the channel, by their clients' ids */
  async presence() {
    const { presence = {} } = await this.#ask("presence", { channel: this.#channel });
    return new Map(Object.entries(presence));
  }

  /**
   * @param {number} limit - how many
   * @returns {Promise<Publication[]>} the last messages, the oldest first
   */
  async history(limit) {
    const request = { channel: this.#channel, limit, reverse: true };
    const { publications = [] } = await this.#ask("history", request);
    return publications.map(publication).reverse();
  }

  /**
   * @param {string} method - what to call
   * @param {unknown} [data] - any JSON
   * @returns {Promise<any>} what it answers
   */
  async rpc(method, data) {
    return (await this.#ask("rpc", { method, data })).data;
  }

  // The line.

  #open() {
    const socket = this.#dial(this.#url);
    this.#drop("opening", "the client connects anew");
    this.#socket = socket;
    socket.onopen = () => this.#greet();
    socket.onmessage = ({ data }) => this.#read(data);
    socket.onclose = ({ code, reason }) => this.#ended(code, reason);
    this.#hurry();
  }

  // Nothing more is heard of the line that there is.
  /** @param {string} state @param {string} why */
  #drop(state, why) {
    this.#state = state;
    this.#wait(0);
    this.#isConnected = false;
    this.#patience = 0;
    const socket = this.#socket;
    if (socket) {
      this.#socket = socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { done } of calls) done(new CallError(NO_LINE, why, true), null);
  }

  /** @param {number} code @param {string} reason */
  #cut(code, reason) {
    this.#drop("waiting", "the line was cut");
    const delay = this.#backoff.next();
    this.#wait(delay, () => this.#open());
    this.#tell("oncut", { code, reason, delay });
  }

  /** @param {number} code @param {string} reason */
  #refuse(code, reason) {
    this.#drop("idle", "the client was refused");
    this.#tell("onrefused", { code, reason });
  }

  // The server has closed the line, or it has broken.
  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    if (isFinal(code)) this.#refuse(code, reason);
    else this.#cut(code, reason);
  }

  /** @param {CallError} error */
  #failed({ code, message, temporary }) {
    if (code === NO_LINE) return; // the line has failed, and not the command
    if (temporary) this.#cut(code, message);
    else this.#refuse(code, message);
  }

  /** @param {number} milliseconds @param {() => void} [callback] */
  #wait(milliseconds, callback = () => this.#cut(NO_LINE, "the server says nothing")) {
    this.#clearTimeout(this.#timer);
    this.#timer = milliseconds ? this.#setTimeout(callback, milliseconds) : null;
  }

  // Until it is subscribed there is one deadline, whatever is heard.
  #hurry() {
    this.#patience = 0;
    this.#wait(OPENING);
  }

  // Something has happened to the network or the page: the wait may be over, or the line dead.
  /** @param {Event} event */
  #look = (event) => {
    if (event.type === "visibilitychange" && document.visibilityState === "hidden") return;
    if (this.#state === "waiting" || this.#state === "away") this.#open();
    else if (this.#state === "open") {
      this.#call("ping", {}, () => {});
      if (this.#patience) this.#wait(GRACE);
    }
  };

  // Browsers keep pages only without an open line, and others should know at once who leaves.
  #hide = () => {
    if (this.#state === "idle") return;
    this.#drop("away", "the page was left");
    this.#tell("oncut", { code: GOING_AWAY, reason: "the page was left", delay: 0 });
  };

  // What is said.

  /** @param {object[]} messages */
  #send(...messages) {
    this.#socket?.send(messages.map((message) => JSON.stringify(message)).join("\n"));
  }

  /** @param {string} name @param {object} request @param {Done} done */
  #call(name, request, done) {
    this.#lastId += 1;
    this.#calls.set(this.#lastId, { name, done });
    this.#send({ id: this.#lastId, [name]: request });
  }

  /** @param {string} name @param {object} request @returns {Promise<any>} */
  #ask(name, request) {
    return new Promise((resolve, reject) => {
      if (!this.#isConnected) reject(new CallError(NO_LINE, "not connected", true));
      else this.#call(name, request, (error, result) => (error ? reject(error) : resolve(result)));
    });
  }

  #greet() {
    const { token } = this;
    // The server may have it hear the channel without being asked.
    const subs = this.#position && { [this.#channel]: { recover: true, ...this.#position } };
    const request = { name: "hall", ...(token && { token }), ...(subs && { subs }) };
    this.#call("connect", request, (error, result) => {
      if (error) return this.#failed(error);
      this.#isConnected = true;
      this.#answersPings = result.pong ?? false;
      const silence = result.ping ? 1000 * result.ping + GRACE : 0;
      this.#tell("onopen", { client: result.client });
      if (!this.#isConnected) return;
      const given = result.subs?.[this.#channel];
      if (given) this.#subscribed(given, silence, 0);
      else this.#subscribe(silence);
    });
  }

  /** @param {number} silence - after how many milliseconds of it the line is dead */
  #subscribe(silence) {
    const channel = this.#channel;
    const request = { channel, recoverable: true, join_leave: true };
    let end = 0;
    if (this.#position) {
      // The reply to a recovery says where it begins; this, up to where all of it was missed.
      this.#call("history", { channel }, (_, result) => (end = result?.offset ?? 0));
      Object.assign(request, { recover: true, ...this.#position });
    }
    this.#call("subscribe", request, (error, result) => {
      if (error) this.#failed(error);
      else this.#subscribed(result, silence, end);
    });
  }

  // What is heard.

  /** @param {unknown} data */
  #read(data) {
    const socket = this.#socket;
    if (this.#patience) this.#wait(this.#patience);
    for (const line of String(data).split("\n")) {
      if (!line) continue;
      try {
        this.#heard(JSON.parse(line));
      } catch {
        this.#cut(NO_LINE, "the server says what is not understood");
      }
      if (this.#socket !== socket) return;
    }
  }

  /** @param {Reply} reply */
  #heard({ id, error, push, ...results }) {
    const call = this.#calls.get(id ?? 0);
    if (call) {
      this.#calls.delete(id ?? 0);
      const { code, message = "", temporary = false } = error ?? { code: 0 };
      call.done(error ? new CallError(code, message, temporary) : null, results[call.name] ?? {});
    } else if (push) {
      this.#pushed(push);
    } else if (!id && this.#answersPings) {
      this.#send({});
    }
  }

  /** @param {any} push */
  #pushed({ channel, pub, join, leave, unsubscribe, disconnect }) {
    if (disconnect) this.#ended(disconnect.code, disconnect.reason);
    if (channel !== this.#channel) return;
    if (pub) this.#publication(pub);
    else if (join) this.#tell("onjoin", join.info);
    else if (leave) this.#tell("onleave", leave.info);
    else if (unsubscribe?.code < 2500) this.#refuse(unsubscribe.code, unsubscribe.reason);
    else if (unsubscribe) {
      const silence = this.#patience;
      this.#hurry();
      this.#subscribe(silence);
    }
  }

  /**
   * @param {any} result - where it begins to hear the channel
   * @param {number} silence - after how many milliseconds of it the line is dead
   * @param {number} end - where the channel ended then, if that is known
   */
  #subscribed(result, silence, end) {
    const socket = this.#socket;
    const { epoch = "", offset = 0, publications = [], recovered = false } = result;
    this.#state = "open";
    this.#backoff.reset();
    this.#patience = silence;
    this.#wait(silence);
    this.#position = result.recoverable ? { epoch, offset } : null;
    this.#missedUpTo = recovered ? Math.max(end, offset + publications.length) : 0;
    const missed = recovered ? this.#missedUpTo - offset : 0;
    const wasRecovering = this.#hasHeard;
    this.#hasHeard = true;
    this.#tell("onsubscribed", { recovered, wasRecovering, missed });
    for (const missing of publications) {
      if (this.#socket !== socket) return; // whoever was told has closed it
      this.#publication(missing);
    }
  }

  /** @param {any} pub */
  #publication(pub) {
    const message = publication(pub);
    if (this.#position) this.#position.offset = message.offset;
    const recovered = message.offset <= this.#missedUpTo;
    this.#tell("onpublication", { ...message, recovered });
  }

  // One that fails is heard of, and the others go on.
  /**
   * @template {keyof Handlers} Name
   * @param {Name} name
   * @param {Parameters<NonNullable<Handlers[Name]>>[0]} event
   */
  #tell(name, event) {
    try {
      /** @type {((event: any) => void) | undefined} */ (this.#handlers[name])?.(event);
    } catch (error) {
      reportError(error);
    }
  }
}

/**
 * Whether to come back is in vain, after a WebSocket was closed with a code.
 *
 * @param {number} code
 */
function isFinal(code) {
  const isForGood = (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
  return isForGood || code === 1009; // which is for too much at once: it would happen again
}

/** @param {any} pub @returns {Publication} */
function publication({ data = null, info = null, offset = 0 }) {
  return { data, info, offset };
}
