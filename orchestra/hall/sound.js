/** All that is heard: who plays what where, and when. */

import { isPlayable, play } from "./instruments.js";
import { LONGEST_NOTE } from "./notes.js";
import { echo, prepare, struck } from "./samples.js";

/** @typedef {import("./instruments.js").Voice} Voice */
/** @typedef {{input: GainNode, panner: StereoPannerNode, voices: number}} Seat */
/** @typedef {{seat: string, key: string, voice: Voice}} Playing */

/** How many notes sound at a time, in all and of a seat. The oldest has to go. */
const VOICES = 48;
const VOICES_OF_A_SEAT = 8;
/** What is further ahead is not played, in seconds: a clock is wrong. */
const TOO_FAR = 10;
/** A click that would be later than this is not heard at all, in seconds. */
const TOO_LATE = 0.05;
/** How far from the middle a seat is at most, of 1. */
const WIDTH = 0.4;
/** How loud the hall's echo is. */
const ECHO = 0.9;
/** How loud a note is on the stage: many have to fit below the limiter. */
const NOTE = 0.4;
/** What the limiter is behind, in seconds: it looks ahead. */
const LIMITER = 0.006;
/** Clocks that differ more than this from what was known have been set, or were standing. */
const JUMP = 0.05;

/** @param {number} seconds - a time of the page, since its origin */
const pageTime = (seconds) => seconds - performance.timeOrigin / 1000;

/**
 * The sound of a hall with all who play in it. It decides nothing of what is to be played; it
 * bounds what it costs, whatever it is asked for.
 */
export class Sound {
  /** Called when it is on or off, also where the browser or a telephone call has stopped it. */
  onchange = () => {};
  /** @type {BaseAudioContext | null} */
  #context = null;
  /**
   * What all seats and the metronome go to.
   *
   * @type {GainNode | null}
   */
  #stage = null;
  /** @type {GainNode | null} */
  #master = null;
  /** @type {ConvolverNode | null} */
  #echo = null;
  /** @type {Map<string, Seat>} */
  #seats = new Map();
  /**
   * The oldest first.
   *
   * @type {Set<Playing>}
   */
  #voices = new Set();
  /**
   * What is not released yet, by seat, instrument and note.
   *
   * @type {Map<string, Playing>}
   */
  #held = new Map();
  #volume = 0.8;
  #muted = false;
  /** The context's time less the page's, in seconds, of what is heard at the same moment. */
  #offset = NaN;

  /** @param {BaseAudioContext} [context] - by default one is made when it is started */
  constructor(context) {
    if (context) this.#build(context);
  }

  /** Begin, which browsers allow after a gesture of the user. Or go on, after an interruption. */
  async start() {
    if (!this.#context) {
      // On an iPhone this is music, which is heard also when the phone does not ring.
      const session = /** @type {{audioSession?: {type: string}}} */ (navigator).audioSession;
      if (session) session.type = "playback";
      const context = new AudioContext({ latencyHint: "interactive" });
      context.onstatechange = () => this.onchange();
      this.#build(context);
      void prepare(context);
    }
    if (this.#context instanceof AudioContext) await this.#context.resume();
  }

  /** Whether what is played can be heard; before, nothing is kept for later. */
  get isOn() {
    if (!this.#context) return false;
    return !(this.#context instanceof AudioContext) || this.#context.state === "running";
  }

  /** From 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = Math.min(1, Math.max(0, value));
    this.#adjust();
  }

  get muted() {
    return this.#muted;
  }

  set muted(value) {
    this.#muted = value;
    this.#adjust();
  }

  /** How long it takes from the page to the ear, in milliseconds. */
  get latency() {
    return this.#context ? 1000 * (outputLatency(this.#context) + LIMITER) : 0;
  }

  /**
   * A note begins. If it sounds already, that one is released.
   *
   * @param {string} seat - whose it is
   * @param {string} instrument
   * @param {string} note
   * @param {number} at - when it is to be heard, in local milliseconds; what is past is now
   * @param {number} loud - 0 to 1
   */
  on(seat, instrument, note, at, loud) {
    if (!this.#context || !this.isOn || !isPlayable(instrument, note)) return;
    const now = this.#context.currentTime;
    const when = Math.max(now, this.#when(at));
    if (when > now + TOO_FAR) return;
    this.#release(keyOf(seat, instrument, note), when);
    this.#makeRoom(seat);
    const place = this.#seat(this.#context, seat);
    const level = Math.min(1, Math.max(0, loud)) || 0;
    const voice = play(this.#context, place.input, instrument, note, when, level);
    voice.release(when + LONGEST_NOTE / 1000);
    const playing = { seat, key: keyOf(seat, instrument, note), voice };
    this.#voices.add(playing);
    this.#held.set(playing.key, playing);
    place.voices += 1;
    void voice.ended.then(() => {
      this.#forget(playing);
      place.voices -= 1;
      if (place.voices > 0) return;
      place.input.disconnect();
      place.panner.disconnect();
      this.#seats.delete(seat);
    });
  }

  /**
   * A note ends; if there is none, nothing happens.
   *
   * @param {string} seat
   * @param {string} instrument
   * @param {string} note
   * @param {number} at - when it is to be released, in local milliseconds; what is past is now
   */
  off(seat, instrument, note, at) {
    this.#release(keyOf(seat, instrument, note), this.#when(at));
  }

  /**
   * All notes of a seat end: whoever sat there has left.
   *
   * @param {string} seat
   */
  silence(seat) {
    for (const playing of this.#voices) if (playing.seat === seat) this.#stop(playing);
  }

  /**
   * The metronome's click.
   *
   * @param {number} at - when it is to be heard, in local milliseconds
   * @param {boolean} accent - whether it is the first of a bar
   * @returns {() => void} takes it back, if it has not been heard yet
   */
  click(at, accent) {
    const when = this.#when(at);
    const context = this.#context;
    if (!context || !this.#stage || !this.isOn || when < context.currentTime - TOO_LATE) {
      return () => {};
    }
    const source = context.createBufferSource();
    source.buffer = struck(context, accent ? "accent" : "click");
    source.connect(this.#stage);
    source.onended = () => source.disconnect();
    source.start(Math.max(when, context.currentTime));
    return () => {
      if (when > context.currentTime) source.disconnect();
    };
  }

  /**
   * All seats go to the stage, and by the hall's echo; then to the limiter and the volume.
   *
   * @param {BaseAudioContext} context
   */
  #build(context) {
    const stage = context.createGain();
    const wet = context.createGain();
    const reverb = context.createConvolver();
    const limiter = context.createDynamicsCompressor();
    const master = context.createGain();
    stage.gain.value = NOTE;
    wet.gain.value = ECHO;
    reverb.buffer = echo(context);
    limiter.threshold.value = -9;
    limiter.knee.value = 6;
    limiter.ratio.value = 20;
    limiter.attack.value = 0.002;
    limiter.release.value = 0.2;
    reverb.connect(wet).connect(stage);
    stage.connect(limiter).connect(master).connect(context.destination);
    this.#context = context;
    this.#stage = stage;
    this.#master = master;
    this.#echo = reverb;
    master.gain.value = this.#level();
  }

  /** What the volume is as a gain; what is half as loud to the ear is a quarter or so. */
  #level() {
    return this.#muted ? 0 : this.#volume ** 2;
  }

  #adjust() {
    if (!this.#context || !this.#master) return;
    this.#master.gain.setTargetAtTime(this.#level(), this.#context.currentTime, 0.02);
  }

  /**
   * @param {BaseAudioContext} context
   * @param {string} name
   */
  #seat(context, name) {
    let seat = this.#seats.get(name);
    if (!seat) {
      const input = context.createGain();
      const panner = context.createStereoPanner();
      panner.pan.value = placeOf(name);
      input.connect(panner);
      if (this.#stage) panner.connect(this.#stage);
      if (this.#echo) panner.connect(this.#echo);
      this.#seats.set(name, (seat = { input, panner, voices: 0 }));
    }
    return seat;
  }

  /** @param {string} seat - that is to play one more */
  #makeRoom(seat) {
    const own = [...this.#voices].filter((playing) => playing.seat === seat);
    if (own.length >= VOICES_OF_A_SEAT) this.#stop(own[0]);
    const [oldest] = this.#voices;
    if (this.#voices.size >= VOICES) this.#stop(oldest);
  }

  /**
   * @param {string} key
   * @param {number} when
   */
  #release(key, when) {
    this.#held.get(key)?.voice.release(when);
    this.#held.delete(key);
  }

  /** @param {Playing} playing */
  #stop(playing) {
    playing.voice.stop(0);
    this.#forget(playing);
  }

  /** @param {Playing} playing */
  #forget(playing) {
    this.#voices.delete(playing);
    if (this.#held.get(playing.key) === playing) this.#held.delete(playing.key);
  }

  /**
   * The context's time of a local time: what is scheduled for it is heard then.
   *
   * @param {number} at - local milliseconds
   */
  #when(at) {
    if (!this.#context) return 0;
    const offset = offsetOf(this.#context);
    // It is measured with some jitter, and does not change but for the drift of a sound card.
    if (Math.abs(offset - this.#offset) < JUMP) this.#offset += (offset - this.#offset) / 8;
    else this.#offset = offset;
    const when = pageTime(at / 1000) + this.#offset - LIMITER;
    return Number.isNaN(when) ? this.#context.currentTime : when;
  }
}

/**
 * @param {string} seat
 * @param {string} instrument
 * @param {string} note
 */
const keyOf = (seat, instrument, note) => JSON.stringify([seat, instrument, note]);

/**
 * Where a seat is: the same for all who listen.
 *
 * @param {string} seat
 * @returns {number} left is below 0
 */
function placeOf(seat) {
  let hash = 2166136261;
  for (const unit of seat) hash = Math.imul(hash ^ (unit.codePointAt(0) ?? 0), 16777619);
  // Names that differ in their last letter only are to be far apart (MurmurHash3's last step).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (WIDTH * (hash ^ (hash >>> 16))) / 2 ** 31;
}

/**
 * @param {BaseAudioContext} context
 * @returns {number} seconds from the context's current time until it is heard
 */
function outputLatency(context) {
  if (!(context instanceof AudioContext)) return 0;
  // Safari knows only the latter.
  return context.outputLatency || context.baseLatency || 0;
}

/**
 * The context's time less the page's, in seconds, of what is heard at the same moment.
 *
 * @param {BaseAudioContext} context
 */
function offsetOf(context) {
  const now = performance.now() / 1000;
  const known = context.currentTime - outputLatency(context) - now;
  if (!(context instanceof AudioContext) || !context.getOutputTimestamp) return known;
  const { contextTime = 0, performanceTime = 0 } = context.getOutputTimestamp();
  // Browsers that do not know say zero, and some have told times of another clock.
  const told = contextTime - performanceTime / 1000;
  const isPlausible = contextTime > 0 && performanceTime > 0 && Math.abs(told - known) < 0.5;
  return isPlausible ? told : known;
}
