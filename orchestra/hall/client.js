/**
 * A client for one channel, by the Centrifuge protocol: JSON on a WebSocket.
 *
 * It comes back by itself when it is cut off, and hears what it has missed meanwhile. What the
 * messages mean is not its business. The protocol, and what this server makes of it, is explained
 * in Orchestra's documentation: docs/protocol.rst.
 */

import { Backoff } from "./backoff.js";
import { CallError, Connection, NO_CONNECTION } from "./connection.js";
import { TIMERS } from "./timers.js";

export { CallError };

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
 * @property {(event: {code: number, reason: string}) => void} [onrefused] - the server does not
 *   want it. It does not try again, unless connect() is called
 */

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
  /** @type {import("./connection.js").Tools} */
  #tools;
  #backoff;

  /** "idle", "waiting" to try again, "busy" with a connection, or "away" with its page. */
  #state = "idle";
  /** @type {Connection | null} */
  #connection = null;
  #isConnected = false;
  /** @type {number | undefined} */
  #timer; // of the next attempt
  /** @type {AbortController | null} */
  #listening = null; // to what happens to the page

  #hasHeard = false; // the channel, at some time
  /** @type {{epoch: string, offset: number} | null} */
  #position = null; // up to where it has heard the channel, if it may come back there
  #missedUpTo = -1; // the offset of the last message that it has missed, if any

  /**
   * @param {object} options
   * @param {string} options.url - of the WebSocket
   * @param {string} options.channel - its name
   * @param {string} [options.token] - what lets it in
   * @param {Handlers} [options.handlers] - whom to tell what happens
   * @param {() => number} [options.random] - a number from 0 up to 1
   * @param {new (url: string) => WebSocket} [options.WebSocket]
   * @param {import("./timers.js").Timers} [options.timers]
   */
  constructor({ url, channel, token, handlers = {}, random, ...tools }) {
    this.#url = url;
    this.#channel = channel;
    this.token = token;
    this.#handlers = handlers;
    this.#backoff = new Backoff(random);
    this.#tools = { WebSocket, timers: TIMERS, ...tools };
  }

  /** Connect and subscribe, unless it does already. */
  connect() {
    if (this.#state !== "idle") return;
    this.#open();
    const { signal } = (this.#listening = new AbortController());
    addEventListener("online", this.#look, { signal });
    addEventListener("pageshow", this.#look, { signal });
    addEventListener("pagehide", this.#hide, { signal });
    document.addEventListener("visibilitychange", this.#look, { signal });
  }

  /** End for good, and tell nobody. */
  close() {
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

  /** @param {string} name @param {object} request @returns {Promise<any>} */
  #ask(name, request) {
    return new Promise((resolve, reject) => {
      if (!this.#connection || !this.#isConnected) {
        throw new CallError(NO_CONNECTION, "not connected", true);
      }
      this.#connection.call(name, request, (error, result) => {
        if (error) reject(error);
        else resolve(result);
      });
    });
  }

  // How connections come and go.

  #open() {
    this.#drop("busy", "the client connects anew");
    const connection = new Connection(this.#url, this.#tools, {
      onopen: () => this.#greet(connection),
      onpush: (push) => this.#pushed(connection, push),
      onend: (code, reason) => this.#ended(code, reason),
    });
    this.#connection = connection;
  }

  /** @param {string} state - what it does from now on @param {string} why */
  #drop(state, why) {
    this.#state = state;
    this.#isConnected = false;
    this.#tools.timers.clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.close(why);
    if (state === "idle") this.#listening?.abort();
  }

  /**
   * The server has closed the connection, or it has broken.
   *
   * @param {number} code
   * @param {string} reason
   */
  #ended(code, reason) {
    if (isFinal(code)) this.#refuse(code, reason);
    else this.#cut(code, reason);
  }

  /** @param {number} code @param {string} reason */
  #cut(code, reason) {
    this.#drop("waiting", "the line was cut");
    const delay = this.#backoff.next();
    this.#timer = this.#tools.timers.setTimeout(() => this.#open(), delay);
    this.#tell("oncut", { code, reason, delay });
  }

  /** @param {number} code @param {string} reason */
  #refuse(code, reason) {
    this.#drop("idle", "the client was refused");
    this.#tell("onrefused", { code, reason });
  }

  /** @param {CallError} error - of a command without which the connection is of no use */
  #failed({ code, message, temporary }) {
    if (code === NO_CONNECTION) return; // it is the connection that has failed
    if (temporary) this.#cut(code, message);
    else this.#refuse(code, message);
  }

  /**
   * Something has happened to the network or the page: the wait may be over, or the connection
   * dead.
   *
   * @param {Event} event
   */
  #look = (event) => {
    if (event.type === "visibilitychange" && document.visibilityState === "hidden") return;
    if (!this.#connection) this.#open();
    else if (this.#isConnected) this.#connection.probe();
  };

  /** Browsers keep no page with a connection, and the others should know at once who leaves. */
  #hide = () => {
    this.#drop("away", "the page was left");
    this.#tell("oncut", { code: GOING_AWAY, reason: "the page was left", delay: 0 });
  };

  // What is said.

  /** @param {Connection} connection */
  #greet(connection) {
    const { token } = this;
    // The server may have it hear the channel without being asked.
    const subs = this.#position && { [this.#channel]: { recover: true, ...this.#position } };
    const request = { name: "hall", ...(token && { token }), ...(subs && { subs }) };
    connection.call("connect", request, (error, result) => {
      if (error) return this.#failed(error);
      this.#isConnected = true;
      connection.expectPings(result.ping ?? 0, result.pong ?? false);
      this.#tell("onopen", { client: result.client });
      const given = result.subs?.[this.#channel];
      if (connection.isClosed) return; // by whoever was told
      if (given) this.#subscribed(connection, given, 0);
      else this.#subscribe(connection);
    });
  }

  /** @param {Connection} connection */
  #subscribe(connection) {
    const channel = this.#channel;
    const request = { channel, recoverable: true, join_leave: true };
    let end = 0;
    if (this.#position) {
      // The reply to a recovery says where it begins; this, up to where all of it was missed.
      connection.call("history", { channel }, (_, result) => (end = result?.offset ?? 0));
      Object.assign(request, { recover: true, ...this.#position });
    }
    connection.call("subscribe", request, (error, result) => {
      if (error) this.#failed(error);
      else this.#subscribed(connection, result, end);
    });
  }

  // What is heard.

  /** @param {Connection} connection @param {any} push */
  #pushed(connection, { channel, pub, join, leave, unsubscribe, disconnect }) {
    if (disconnect) return connection.end(disconnect.code, disconnect.reason);
    if (channel !== this.#channel) return;
    if (pub) this.#publication(pub);
    else if (join) this.#tell("onjoin", join.info);
    else if (leave) this.#tell("onleave", leave.info);
    else if (unsubscribe?.code < 2500) this.#refuse(unsubscribe.code, unsubscribe.reason);
    else if (unsubscribe) {
      connection.setDeadline();
      this.#subscribe(connection);
    }
  }

  /**
   * @param {Connection} connection
   * @param {any} result - where it begins to hear the channel
   * @param {number} end - where the channel ended then, if that is known
   */
  #subscribed(connection, result, end) {
    const { epoch = "", offset = 0, publications = [], recovered = false } = result;
    connection.clearDeadline();
    this.#backoff.reset();
    this.#position = result.recoverable ? { epoch, offset } : null;
    this.#missedUpTo = recovered ? Math.max(end, offset + publications.length) : -1;
    const missed = recovered ? this.#missedUpTo - offset : 0;
    const wasRecovering = this.#hasHeard;
    this.#hasHeard = true;
    this.#tell("onsubscribed", { recovered, wasRecovering, missed });
    for (const missing of publications) {
      if (connection.isClosed) return; // by whoever was told
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

  /**
   * One that fails is heard of, and the others go on.
   *
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
