/** The concert hall: brings its parts together. */

import * as address from "./address.js";
import { CallError, Client } from "./client.js";
import { ServerClock } from "./clock.js";
import { Conductor } from "./conductor.js";
import { NO_CONNECTION } from "./connection.js";
import { keep, known, tokenOf } from "./credentials.js";
import { Desk } from "./desk.js";
import { byId } from "./dom.js";
import { Door } from "./door.js";
import { Ensemble } from "./ensemble.js";
import * as messages from "./messages.js";
import { Metronome } from "./metronome.js";
import { Musicians } from "./musicians.js";
import { soundOf } from "./notes.js";
import { Player } from "./player.js";
import { Programme } from "./programme.js";
import { Score } from "./score.js";
import { Seats } from "./seats.js";
import { Sound } from "./sound.js";
import { SoundSwitch } from "./soundswitch.js";
import { Status } from "./status.js";
import { newer } from "./tempo.js";
import { Timekeeper } from "./timekeeper.js";

/** @typedef {import("./client.js").Info} Info */
/** @typedef {import("./client.js").Publication} Publication */
/** @typedef {import("./messages.js").Message} Message */
/** @typedef {import("./messages.js").Seat} Seat */
/** @typedef {import("./tempo.js").Tempo} Tempo */

/** How many messages of the past a page looks at that is new. */
const PAST = 200;

/** How many milliseconds somebody may take to say who they are before they are a plain line. */
const SHY = 1000;

/** How many there may be for each to answer somebody who asks who they are. */
const MANY = 50;

/** Within how long they answer, and how long it is to the next answer, in milliseconds. */
const ANSWER = 1000;
const REST = 5000;

/** How much longer that is for each who is there, as all of them hear it. */
const REST_EACH = 100;

/** The protocol's codes of what one may not do, and those of them that a token would change. */
const NOT_ALLOWED = 103;
const WANTS_TOKEN = [101, NOT_ALLOWED, 109, 3500];

const now = () => performance.timeOrigin + performance.now();

const channel = address.channel();
const musicians = new Musicians();
const clock = new ServerClock(now);
const sound = new Sound();
const seats = new Seats();
const score = new Score(byId("score", HTMLCanvasElement), now);
const ensemble = new Ensemble({ sound, seats, score, clock, now });
const programme = new Programme(say);
const door = new Door((text) => programme.tell(text));
const conductor = new Conductor(() => clock.now(), setTempo);
const metronome = new Metronome(sound, clock);
const status = new Status({
  onretry: () => client.retry(),
  ontoken(secret) {
    keep({ kind: "token", secret });
    client.token = secret;
    client.connect();
  },
});

const client = new Client({
  url: address.socketUrl("connection/websocket"),
  channel,
  token: tokenOf(known()),
  handlers: {
    onopen,
    onsubscribed,
    onpublication,
    onjoin,
    onleave,
    oncut,
    onrefused,
  },
});

const timekeeper = new Timekeeper({
  client,
  clock,
  now,
  onknown(error) {
    const known = error < 1 ? "a" : Math.ceil(error);
    byId("clock", HTMLElement).textContent = `The server’s clock is known to ${known} ms.`;
  },
});

/** The id of this page, which is another one after each cut. */
let me = "";

const player = new Player({
  client,
  clock,
  sound,
  now,
  onplay(note, isOn) {
    if (isOn) ensemble.begin(me, note, now());
    else ensemble.end(me, note, now());
  },
  onalone({ code, message }) {
    status.say(
      code === NOT_ALLOWED
        ? "You may only listen in this hall: what you play is heard by you alone."
        : `Not all that you play is heard by the others: ${message}.`,
    );
  },
});

const desk = new Desk(player, sound, () => introduce(false));

/* The line. */

/** @param {{client: string}} event */
function onopen({ client }) {
  me = client;
  musicians.addOwnId(client);
  void timekeeper.begin();
}

/**
 * The page is in the channel, for the first time or again.
 *
 * @param {{recovered: boolean, wasRecovering: boolean, missed: number}} how
 */
async function onsubscribed({ recovered, wasRecovering, missed }) {
  status.here();
  status.say(wasRecovering ? welcome(recovered, missed) : "");
  if (!recovered) {
    // Whoever was away for too long may not know what others are called by now.
    firstHeard = Infinity;
    await remember();
  }
  musicians.ask();
  try {
    musicians.set((await client.presence()).values());
  } catch (error) {
    if (error instanceof CallError && error.code === NO_CONNECTION) return;
    // Not everybody may know who is there.
    musicians.set([{ client: me }]);
  }
  seats.show(musicians.here);
  introduce(true);
}

/**
 * What somebody is told who comes back.
 *
 * @param {boolean} recovered
 * @param {number} missed
 * @returns {string}
 */
function welcome(recovered, missed) {
  const back = "Back in the hall.";
  if (!recovered) {
    const why = "you were away for too long, or the server was started anew";
    return `${back} What was played meanwhile cannot be recovered: ${why}.`;
  }
  if (!missed) return `${back} Nothing was missed.`;
  return `${back} What was missed is here now: ${missed} message${missed === 1 ? "" : "s"}.`;
}

/** @param {{delay: number}} event */
function oncut({ delay }) {
  status.cut(delay);
  ensemble.silence(musicians.here.keys());
}

/** @param {{code: number, reason: string}} event */
function onrefused({ code, reason }) {
  status.refused(reason, WANTS_TOKEN.includes(code));
  ensemble.silence(musicians.here.keys());
}

/** The offset of the first message that came by itself; what is before that is the past. */
let firstHeard = Infinity;

/** What was said before this page came. */
async function remember() {
  /** @type {Publication[]} */
  let past = [];
  try {
    past = await client.history(PAST);
  } catch {
    // Not everybody may know the past.
  }
  for (const { data, info, offset } of past) {
    if (offset >= firstHeard) break;
    const message = messages.parse(data, clock.now());
    if (!message || message.kind === "on" || message.kind === "off") continue;
    understand(message, info, true);
  }
}

/* What is heard. */

/** @param {Publication & {recovered: boolean}} publication */
function onpublication({ data, info, offset, recovered }) {
  firstHeard = Math.min(firstHeard, offset);
  const message = messages.parse(data, clock.now());
  if (message) understand(message, info, recovered);
}

/**
 * @param {Message} message
 * @param {Info | null} info - who has sent it
 * @param {boolean} isPast
 */
function understand(message, info, isPast) {
  const from = info?.client ?? "";
  switch (message.kind) {
    case "on":
    case "off":
      if (!musicians.isMe(from)) ensemble.hear(from, message);
      break;
    case "seat":
      if (info) seated(info, message, isPast);
      break;
    case "tempo":
      hearTempo(message.tempo, musicians.who(info).name);
      break;
    default: {
      if (musicians.isKnown(from)) programme.say(from, musicians.who(info).name, message.text);
      else programme.echo(message.text);
      const plain = isPast || message.kind === "other" ? null : soundOf(message.text);
      if (plain) ensemble.hearPlain(from, plain);
    }
  }
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether others have heard it
 */
async function say(text) {
  try {
    await client.publish(messages.text(text));
    return true;
  } catch {
    const why = "there is no line to the conductor, or you may only listen";
    status.say(`That could not be said: ${why}.`);
    return false;
  }
}

/* Who is there. */

/** @param {Info} info */
function onjoin(info) {
  musicians.join(info);
  seats.show(musicians.here);
  setTimeout(() => {
    if (musicians.here.has(info.client) && !musicians.isKnown(info.client)) {
      door.come(`A new musician has joined the orchestra (${musicians.who(info).name}).`);
    }
  }, SHY);
}

/** @param {Info} info */
function onleave(info) {
  const { name } = musicians.leave(info);
  door.leave(
    musicians.isKnown(info.client) ? `${name} has left.` : `A musician has left (${name}).`,
  );
  ensemble.leave(info.client);
  seats.show(musicians.here);
}

/**
 * Somebody has said who they are.
 *
 * @param {Info} info
 * @param {Seat} seat
 * @param {boolean} isPast
 */
function seated(info, { name, instrument, tempo, ask }, isPast) {
  const isMe = musicians.isMe(info.client);
  if (musicians.introduce(info, name, instrument)) {
    seats.show(musicians.here);
    if (ask && !isPast && !isMe) door.come(`${name} has joined the orchestra (${instrument}).`);
  }
  if (tempo) hearTempo(tempo);
  if (ask && !isPast && !isMe) answer();
}

/**
 * Say who is here.
 *
 * @param {boolean} ask - whether the others are to say it as well
 */
function introduce(ask) {
  clearTimeout(answering);
  answering = undefined;
  answered = now();
  const { name, instrument } = desk.mine;
  const tempo = conductor.tempo.set ? conductor.tempo : null;
  client.publish(messages.seat(name, instrument, tempo, ask)).catch(() => {});
}

/** @type {number | undefined} */
let answering;
let answered = 0;

/** Tell somebody who has come: not all in the same moment, and none if there are too many. */
function answer() {
  if (musicians.here.size > MANY || answering !== undefined) return;
  const rest = Math.max(0, answered + REST + REST_EACH * musicians.here.size - now());
  answering = setTimeout(() => introduce(false), rest + ANSWER * Math.random());
}

/* The tempo. */

metronome.onbeat = (/** @type {number} */ index) => conductor.beat(index);

/** @param {Tempo} tempo */
function setTempo(tempo) {
  follow(tempo, desk.mine.name);
  client.publish(messages.tempo(tempo)).catch(() => {});
}

/**
 * @param {Tempo} tempo
 * @param {string} [by]
 */
function hearTempo(tempo, by) {
  if (newer(conductor.tempo, tempo) !== conductor.tempo) follow(tempo, by);
}

/**
 * @param {Tempo} tempo
 * @param {string} [by]
 */
function follow(tempo, by) {
  conductor.show(tempo, by);
  metronome.follow(tempo);
}

const click = byId("click", HTMLInputElement);
click.addEventListener("change", () => (metronome.isAudible = click.checked));

/* Where it is. */

const where = byId("channel", HTMLInputElement);
where.value = channel;
byId("where", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  address.goTo(where.value.trim());
});
addEventListener("hashchange", () => location.reload());

byId("plain", HTMLElement).textContent =
  `curl -H 'Content-Type: text/plain' -d 'C#4' '${address.urlOf(channel)}'`;

new SoundSwitch(sound);
client.connect();
