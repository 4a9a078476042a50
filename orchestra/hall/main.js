/** The concert hall: brings its parts together. */

import { CallError, Client } from "./client.js";
import { ServerClock } from "./clock.js";
import { Conductor } from "./conductor.js";
import { byId } from "./dom.js";
import { Keyboard } from "./keyboard.js";
import * as messages from "./messages.js";
import { Metronome } from "./metronome.js";
import { Musicians } from "./musicians.js";
import { INSTRUMENTS, soundOf } from "./notes.js";
import { Player } from "./player.js";
import { Programme } from "./programme.js";
import { Score } from "./score.js";
import { Seats } from "./seats.js";
import * as settings from "./settings.js";
import { Sound } from "./sound.js";
import { Status } from "./status.js";
import { newer } from "./tempo.js";

/** @typedef {import("./client.js").Info} Info */
/** @typedef {import("./client.js").Publication} Publication */
/** @typedef {import("./messages.js").Message} Message */
/** @typedef {import("./tempo.js").Tempo} Tempo */

/** How many messages of the past a page looks at that is new. */
const PAST = 200;

/** By how much a note may be late and still be played, in milliseconds. */
const LATE = 1000;

/** How far ahead a note may be that somebody else has played, in milliseconds. */
const EARLY = 2000;

/** How long a note is that a plain line plays, in milliseconds. */
const PLAIN = 500;

/** How many there may be for each to answer somebody who asks who they are. */
const MANY = 50;

/** How long a notice stays, in milliseconds. */
const NOTICE = 10_000;

/** The protocol's code of what one may not do. */
const NOT_ALLOWED = 103;

const now = () => performance.timeOrigin + performance.now();

const channel = decodeURIComponent(location.hash.slice(1)) || "main";
const mine = settings.load(INSTRUMENTS);
const musicians = new Musicians();
const clock = new ServerClock(now);
const sound = new Sound();
const seats = new Seats();
const score = new Score(byId("score", HTMLCanvasElement), now);
const status = new Status(() => client.retry());
const programme = new Programme(say);
const conductor = new Conductor(() => clock.now(), setTempo);
const metronome = new Metronome(sound, clock);
metronome.onbeat = (/** @type {number} */ index) => conductor.beat(index);

const client = new Client({
  url: websocketUrl(),
  channel,
  token: new URLSearchParams(location.search).get("token") ?? undefined,
  handlers: {
    onopen({ client }) {
      musicians.becomes(client);
      me = client;
      void synchronize();
    },
    onsubscribed: (how) => void enter(how),
    onpublication: heard,
    onjoin(info) {
      musicians.join(info);
      seats.show(musicians.here);
      // Pages say who they are at once. Whoever does not has a plain line.
      setTimeout(() => {
        if (!musicians.isKnown(info.client) && musicians.here.has(info.client))
          programme.tell(`A new musician has joined (${musicians.who(info).name}).`);
      }, 1000);
    },
    onleave(info) {
      programme.tell(`${musicians.leave(info).name} has left.`);
      sound.silence(info.client);
      score.end(now(), info.client);
      seats.show(musicians.here);
    },
    oncut({ delay }) {
      status.cut(delay);
      seats.dark();
      score.end(now());
      for (const other of musicians.here.keys()) sound.silence(other);
    },
    onrefused({ reason }) {
      status.refused(`The server says: ${reason}.`);
      askForToken(reason);
    },
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
    if (isOn) begin(me, note, now());
    else end(me, note, now());
  },
  onalone(error) {
    // Where the line is cut the page says so already.
    if (error instanceof CallError && error.code === NOT_ALLOWED)
      notice("You may only listen in this hall: what you play is heard by you alone.");
  },
});

const keyboard = new Keyboard(byId("keyboard", HTMLElement), {
  on: (note, loud) => player.on(note, loud),
  off: (note) => player.off(note),
});

/** @returns {string} */
function websocketUrl() {
  const url = new URL("connection/websocket", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/* The line. */

let isNew = true;
/** The offset of the first message that came by itself; what is before that is the past. */
let firstHeard = Infinity;

/**
 * The page is in the channel, for the first time or again.
 * @param {{recovered: boolean, wasRecovering: boolean, missed: number}} how
 */
async function enter({ recovered, wasRecovering, missed }) {
  status.here();
  if (!wasRecovering) notice("");
  else if (!recovered)
    notice("Back in the hall. What was played meanwhile is gone: the way back was too long, or the server is a new one.");
  else if (missed) notice(`Back in the hall. ${missed} messages that were missed are here now.`);
  else notice("Back in the hall. Nothing was missed.");
  if (isNew) {
    isNew = false;
    await remember();
  }
  try {
    musicians.set((await client.presence()).values());
  } catch {
    // Not everybody may know who is there.
    musicians.join({ client: me });
  }
  seats.show(musicians.here);
  introduce(true);
}

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
    if (message && message.kind !== "on" && message.kind !== "off") handle(message, info, true);
  }
}

/** Learn the server's time: a few times at once, and now and then. */
let synchronizing = 0;
async function synchronize() {
  const turn = ++synchronizing;
  for (let count = 0; turn === synchronizing; count++) {
    const sent = now();
    try {
      const { time } = /** @type {{time: number}} */ (await client.rpc("orchestra.time", null));
      clock.add(sent, time, now());
    } catch {
      return; // the line is cut
    }
    byId("clock", HTMLElement).textContent =
      `The server’s clock is known to ${clock.error < 1 ? "a" : Math.ceil(clock.error)} ms.`;
    await new Promise((resolve) => setTimeout(resolve, count < 6 ? 100 : 10_000));
  }
}

/** @type {number | undefined} */
let noticeTimer;

/** @param {string} text */
function notice(text) {
  status.say(text);
  clearTimeout(noticeTimer);
  if (text) noticeTimer = setTimeout(() => status.say(""), NOTICE);
}

/** @param {string} reason */
function askForToken(reason) {
  const form = byId("token-form", HTMLFormElement);
  form.hidden = false;
  byId("token-reason", HTMLElement).textContent = reason;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = new URL(location.href);
    url.searchParams.set("token", byId("token", HTMLInputElement).value);
    location.replace(url);
  });
}

/* What is heard. */

/** @param {Publication & {recovered: boolean}} publication */
function heard({ data, info, offset, recovered }) {
  firstHeard = Math.min(firstHeard, offset);
  const message = messages.parse(data, clock.now());
  if (message) handle(message, info, recovered);
}

/**
 * @param {Message} message
 * @param {Info | null} info who has sent it.
 * @param {boolean} isPast
 */
function handle(message, info, isPast) {
  const from = info?.client ?? "";
  switch (message.kind) {
    case "on":
    case "off":
      if (!musicians.isMe(from)) follow(from, message);
      break;
    case "seat":
      if (!info) break;
      if (musicians.introduce(info, message.name, message.instrument) && !isPast)
        arrived(info, message);
      if (message.tempo) hearTempo(message.tempo, undefined);
      if (message.ask && !isPast && !musicians.isMe(from)) answer();
      break;
    case "tempo":
      hearTempo(message.tempo, musicians.who(info).name);
      break;
    default: {
      if (musicians.isKnown(from)) programme.say(from, musicians.who(info).name, message.text);
      else programme.echo(message.text);
      const plain = isPast || message.kind !== "text" ? null : soundOf(message.text);
      if (plain) {
        const at = now();
        play(from, plain.instrument, plain.note, at, 0.8);
        stop(from, plain.instrument, plain.note, at + PLAIN);
      }
    }
  }
}

/**
 * A note of somebody else.
 * @param {string} from
 * @param {Message & {kind: "on" | "off"}} message
 */
function follow(from, { kind, note, instrument, at, loud }) {
  const local = Math.min(clock.isKnown ? clock.toLocal(at) : now(), now() + EARLY);
  if (now() - local > LATE) {
    // To be seen, since it was missed; too late to be heard.
    if (kind === "on") score.on(from, note, local);
    else score.off(from, note, local);
  } else if (kind === "on") play(from, instrument, note, local, loud);
  else stop(from, instrument, note, local);
}

/**
 * @param {string} from
 * @param {string} instrument
 * @param {string} note
 * @param {number} at
 * @param {number} loud
 */
function play(from, instrument, note, at, loud) {
  sound.on(from, instrument, note, at, loud);
  setTimeout(() => begin(from, note, at), at - now());
}

/**
 * @param {string} from
 * @param {string} instrument
 * @param {string} note
 * @param {number} at
 */
function stop(from, instrument, note, at) {
  sound.off(from, instrument, note, at);
  setTimeout(() => end(from, note, at), at - now());
}

/**
 * A note is seen.
 * @param {string} from
 * @param {string} note
 * @param {number} at
 */
function begin(from, note, at) {
  seats.on(from, note);
  score.on(from, note, at);
}

/**
 * @param {string} from
 * @param {string} note
 * @param {number} at
 */
function end(from, note, at) {
  seats.off(from, note);
  score.off(from, note, at);
}

/* Who is there. */

/**
 * Somebody has said who they are, or has changed that.
 * @param {Info} info
 * @param {{name: string, instrument: string, ask: boolean}} seat
 */
function arrived(info, { name, instrument, ask }) {
  seats.show(musicians.here);
  if (musicians.isMe(info.client)) return;
  if (ask) programme.tell(`${name} has joined the orchestra (${instrument}).`);
}

/**
 * Say who is here.
 * @param {boolean} ask whether the others are to say it as well.
 */
function introduce(ask) {
  clearTimeout(answering);
  answering = undefined;
  const tempo = conductor.tempo.set ? conductor.tempo : null;
  client.publish(messages.seat(mine.name, mine.instrument, tempo, ask)).catch(() => {});
}

/** @type {number | undefined} */
let answering;

/** Tell somebody who has come; not all in the same moment, and not if there are too many. */
function answer() {
  if (musicians.here.size > MANY || answering !== undefined) return;
  answering = setTimeout(() => introduce(false), 1000 * Math.random());
}

/* The tempo. */

/** @param {Tempo} tempo */
function setTempo(tempo) {
  follows(tempo, mine.name);
  client.publish(messages.tempo(tempo)).catch(() => {});
}

/**
 * @param {Tempo} tempo
 * @param {string | undefined} by
 */
function hearTempo(tempo, by) {
  if (newer(conductor.tempo, tempo) !== conductor.tempo) follows(tempo, by);
}

/**
 * @param {Tempo} tempo
 * @param {string | undefined} by
 */
function follows(tempo, by) {
  conductor.show(tempo, by);
  metronome.follow(tempo);
}

/* What is said and set here. */

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function say(text) {
  try {
    await client.publish(text);
    return true;
  } catch {
    notice("That could not be said: there is no line to the conductor, or you may only listen.");
    return false;
  }
}

const shifts = [byId("lower", HTMLButtonElement), byId("higher", HTMLButtonElement)];
for (const [index, shift] of shifts.entries())
  shift.addEventListener("click", () => keyboard.shift(index ? 1 : -1));

function chooseInstrument() {
  player.instrument = mine.instrument;
  keyboard.show(mine.instrument);
  for (const shift of shifts) shift.hidden = mine.instrument === "drums";
  byId("hint", HTMLElement).textContent =
    mine.instrument === "drums"
      ? "Play with the keys A to H."
      : "Play with the keys A to ’, the black ones above them. Z and X change the octave.";
}

function changed() {
  settings.save(mine);
  introduce(false);
}

for (const radio of document.querySelectorAll("[name=instrument]")) {
  if (!(radio instanceof HTMLInputElement)) continue;
  radio.checked = radio.value === mine.instrument;
  radio.addEventListener("change", () => {
    mine.instrument = radio.value;
    chooseInstrument();
    changed();
  });
}

const nameField = byId("name", HTMLInputElement);
nameField.value = mine.name;
nameField.addEventListener("change", () => {
  mine.name = nameField.value.trim() || mine.name;
  nameField.value = mine.name;
  changed();
});
byId("seat-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());

const volume = byId("volume", HTMLInputElement);
volume.value = String(100 * mine.volume);
sound.volume = mine.volume;
volume.addEventListener("input", () => {
  mine.volume = Number(volume.value) / 100;
  sound.volume = mine.volume;
  settings.save(mine);
});

const click = byId("click", HTMLInputElement);
click.addEventListener("change", () => (metronome.isAudible = click.checked));

const where = byId("channel", HTMLInputElement);
where.value = channel;
byId("where", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent(where.value.trim() || "main");
});
addEventListener("hashchange", () => location.reload());

const path = channel === "main" ? "" : encodeURIComponent(channel).replaceAll("%2F", "/");
byId("plain", HTMLElement).textContent =
  `curl -H 'Content-Type: text/plain' -d 'C#4' ${new URL(path, document.baseURI)}`;

/* Browsers let a page sound only after somebody has touched it. */

const soundButton = byId("sound", HTMLButtonElement);

/** @param {boolean} isOn */
function showSound(isOn) {
  soundButton.setAttribute("aria-pressed", String(isOn));
}

/** Begin, or go on after the browser or a call has stopped it. */
async function startSound() {
  await sound.start();
  byId("silent", HTMLElement).hidden = sound.isOn;
  showSound(sound.isOn && !sound.muted);
}

for (const gesture of ["pointerdown", "keydown"])
  addEventListener(
    gesture,
    ({ target }) => {
      if (!sound.isOn && target !== soundButton) void startSound();
    },
    true,
  );

soundButton.addEventListener("click", () => {
  sound.muted = sound.isOn && !sound.muted;
  void startSound();
});

chooseInstrument();
client.connect();
