/** The instruments: what a note of each sounds like. */

import { DRUMS, frequency, INSTRUMENTS, parseNote } from "./notes.js";
import { noise, once, string, struck } from "./samples.js";

/**
 * A note that sounds. `release` lets it die away as the instrument does, `stop` ends it at once,
 * but without a click; both may be called again to end it earlier. Times are the context's
 * seconds.
 *
 * @typedef {{release: (when: number) => void, stop: (when: number) => void,
 *   ended: Promise<void>}} Voice
 */

/** How fast a note that is stopped dies away: seconds until it has lost 63 %. */
const STOP = 0.005;

/** A fade is over after this many times as long, 69 dB below. */
const SILENT = 8;

/** A note sounds for so long at least, in seconds, or it would be a click. */
const SHORTEST = 0.05;

/**
 * What differs between instruments that are bowed or blown.
 *
 * @typedef {object} Sustained
 * @property {(hertz: number) => number} level - which is about as loud to the ear in all ranges
 * @property {number} attack - seconds
 * @property {number} release - seconds until it has lost 63 %
 * @property {number} scoop - cents that it begins below the note
 * @property {{hertz: number, cents: number, tremolo: number, delay: number}} vibrato
 * @property {(n: number) => number} partial - how loud the n-th is
 * @property {(hertz: number, loud: number) => number} bright - up to where there is sound, in
 *   Hertz
 * @property {{at: (hertz: number) => number, q: number, attack: number, level: number}} noise
 * @property {[number, number, number][]} body - what resounds: Hertz, Q and decibels
 */

/** @type {Record<string, Sustained>} */
const SUSTAINED = {
  violin: {
    level: () => 0.31,
    attack: 0.07,
    release: 0.05,
    scoop: 22,
    vibrato: { hertz: 5.5, cents: 12, tremolo: 0.06, delay: 0.25 },
    partial: (n) => (0.75 + 0.25 * Math.cos(n * 2.3)) / n ** 0.95,
    bright: (hertz, loud) => 1500 + 2.5 * hertz + 4500 * loud,
    noise: { at: (hertz) => 1800 + hertz, q: 0.7, attack: 0.05, level: 0.012 },
    body: [
      [280, 3, 5],
      [460, 3, 5],
      [700, 2.5, 2],
      [1300, 2, -4],
      [2500, 1.6, 7],
    ],
  },
  cello: {
    level: (hertz) => 0.42 * (110 / hertz) ** 0.15,
    attack: 0.1,
    release: 0.08,
    scoop: 16,
    vibrato: { hertz: 4.9, cents: 11, tremolo: 0.05, delay: 0.32 },
    partial: (n) => (0.8 + 0.2 * Math.cos(n * 1.7)) / n ** 1.1,
    bright: (hertz, loud) => 350 + 2 * hertz + 1500 * loud,
    noise: { at: (hertz) => 700 + hertz, q: 0.8, attack: 0.05, level: 0.012 },
    body: [
      [105, 3, 4],
      [185, 3, 5],
      [350, 2.5, 3],
      [600, 2, -3],
      [1100, 2, 3],
    ],
  },
  flute: {
    level: (hertz) => 0.29 * (440 / hertz) ** 0.3,
    attack: 0.055,
    release: 0.04,
    scoop: 8,
    vibrato: { hertz: 5, cents: 5, tremolo: 0.12, delay: 0.3 },
    partial: (n) => [0, 1, 0.34, 0.16, 0.05, 0.025, 0.012][n] ?? 0,
    bright: (hertz, loud) => 1.5 * hertz + 2500 * loud,
    noise: { at: (hertz) => 1.5 * hertz, q: 1.2, attack: 0.11, level: 0.05 },
    body: [[900, 1, 2]],
  },
};

/**
 * Whether an instrument has such a note.
 *
 * @param {string} instrument
 * @param {string} note
 * @returns {boolean}
 */
export function isPlayable(instrument, note) {
  if (instrument === "drums") return DRUMS.includes(note);
  return INSTRUMENTS.includes(instrument) && parseNote(note) !== null;
}

/**
 * Play a note.
 *
 * @param {BaseAudioContext} context
 * @param {AudioNode} output - where the sound goes to
 * @param {string} instrument - one that has this note
 * @param {string} note - its name, or a drum's
 * @param {number} when - in the context's seconds; what is past is now
 * @param {number} loud - 0 to 1
 * @returns {Voice}
 */
export function play(context, output, instrument, note, when, loud) {
  const start = Math.max(when, context.currentTime);
  if (instrument === "drums") return drum(context, output, note, start, loud);
  const midi = parseNote(note) ?? 0;
  if (instrument === "piano") return piano(context, output, midi, start, loud);
  return sustained(context, output, instrument, midi, start, loud);
}

/**
 * @param {BaseAudioContext} context
 * @param {number} gain
 */
function amplifier(context, gain) {
  const node = context.createGain();
  node.gain.value = gain;
  return node;
}

/**
 * @param {BaseAudioContext} context
 * @param {BiquadFilterType} type
 * @param {number} hertz
 * @param {number} q
 * @param {number} decibels
 */
function biquad(context, type, hertz, q, decibels = 0) {
  const node = context.createBiquadFilter();
  node.type = type;
  node.frequency.value = Math.min(hertz, 0.45 * context.sampleRate);
  node.Q.value = q;
  node.gain.value = decibels;
  return node;
}

/**
 * What ends a note, and tidies up after it.
 *
 * @param {BaseAudioContext} context
 * @param {GainNode} fade - the last of the nodes
 * @param {AudioScheduledSourceNode[]} sources - the first ends with the note
 * @param {AudioNode[]} nodes - the others
 * @param {number} start - when it begins
 * @param {number} decay - how fast it dies away when it is released; 0 if it does not heed that
 * @returns {Voice}
 */
function voice(context, fade, sources, nodes, start, decay) {
  let end = Infinity;
  /**
   * @param {number} when
   * @param {number} decay
   */
  const fadeOut = (when, decay) => {
    const at = Math.max(when, context.currentTime);
    const silent = at + SILENT * decay;
    if (silent >= end) return;
    end = silent;
    fade.gain.setTargetAtTime(0, at, decay);
    for (const source of sources) source.stop(end);
  };
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => {
    sources[0].onended = () => {
      for (const node of [...sources, ...nodes, fade]) node.disconnect();
      resolve();
    };
  });
  for (const source of sources) source.start(start);
  return {
    release(when) {
      if (decay) fadeOut(Math.max(when, start + SHORTEST), decay);
    },
    stop: (when) => fadeOut(when, STOP),
    ended,
  };
}

/**
 * @param {BaseAudioContext} context
 * @param {AudioNode} output
 * @param {string} name
 * @param {number} start
 * @param {number} loud
 */
function drum(context, output, name, start, loud) {
  const source = context.createBufferSource();
  source.buffer = struck(context, name);
  const fade = amplifier(context, loud ** 1.3);
  source.connect(fade).connect(output);
  return voice(context, fade, [source], [], start, 0);
}

/**
 * @param {BaseAudioContext} context
 * @param {AudioNode} output
 * @param {number} midi
 * @param {number} start
 * @param {number} loud
 */
function piano(context, output, midi, start, loud) {
  const { samples, rate } = string(context, midi);
  const source = context.createBufferSource();
  source.buffer = samples;
  source.playbackRate.value = rate;
  // The harder it is struck, the brighter it is.
  const hammer = biquad(context, "lowpass", 500 + 2 * frequency(midi) + 9000 * loud ** 2, 0.5);
  const fade = amplifier(context, loud ** 1.3);
  source.connect(hammer).connect(fade).connect(output);
  // The highest strings have no dampers.
  const decay = midi > 90 ? 0.25 : 0.06 + 0.0012 * Math.max(0, 60 - midi);
  return voice(context, fade, [source], [hammer], start, decay);
}

/** @type {WeakMap<AudioNode, Map<string, AudioNode>>} */
const bodies = new WeakMap();

/**
 * What resounds with all the notes of an instrument that go to the same output.
 *
 * @param {BaseAudioContext} context
 * @param {AudioNode} output
 * @param {string} instrument
 */
function body(context, output, instrument) {
  let all = bodies.get(output);
  if (!all) bodies.set(output, (all = new Map()));
  let first = all.get(instrument);
  if (!first) {
    const filters = SUSTAINED[instrument].body.map(([hertz, q, decibels]) =>
      biquad(context, "peaking", hertz, q, decibels),
    );
    filters.reduceRight((next, filter) => (filter.connect(next), filter), output);
    all.set(instrument, (first = filters[0]));
  }
  return first;
}

/**
 * @param {BaseAudioContext} context
 * @param {string} instrument
 */
function wave(context, instrument) {
  return once(context, `wave ${instrument}`, () => {
    const partials = Float32Array.from({ length: 48 }, (_, n) =>
      n ? SUSTAINED[instrument].partial(n) : 0,
    );
    return context.createPeriodicWave(new Float32Array(48), partials);
  });
}

/**
 * @param {BaseAudioContext} context
 * @param {AudioNode} output
 * @param {string} instrument
 * @param {number} midi
 * @param {number} start
 * @param {number} loud
 */
function sustained(context, output, instrument, midi, start, loud) {
  const sound = SUSTAINED[instrument];
  const hertz = frequency(midi);
  const level = sound.level(hertz) * loud ** 1.3;
  const settled = start + sound.attack;

  const tone = context.createOscillator();
  tone.setPeriodicWave(wave(context, instrument));
  tone.frequency.value = hertz;
  // Once for each 128 samples is often enough, and costs a phone much less.
  tone.detune.automationRate = "k-rate";
  tone.detune.setValueAtTime(-sound.scoop, start);
  tone.detune.linearRampToValueAtTime(0, settled);
  const limit = Math.min(0.45 * context.sampleRate, sound.bright(hertz, loud));
  const bright = biquad(context, "lowpass", limit, 0.6);
  bright.frequency.automationRate = "k-rate";
  bright.frequency.setValueAtTime(Math.min(limit, 2 * hertz), start);
  bright.frequency.linearRampToValueAtTime(limit, start + 1.5 * sound.attack);
  // The sound is there after the attack, and grows a little more.
  const swell = amplifier(context, 0);
  swell.gain.setValueAtTime(0, start);
  swell.gain.linearRampToValueAtTime(0.85 * level, settled);
  swell.gain.linearRampToValueAtTime(level, settled + 0.4);

  const air = context.createBufferSource();
  air.buffer = noise(context);
  air.loop = true;
  const band = biquad(context, "bandpass", sound.noise.at(hertz), sound.noise.q);
  const breath = amplifier(context, 0);
  breath.gain.setValueAtTime(0, start);
  breath.gain.linearRampToValueAtTime(level * sound.noise.attack, start + sound.attack / 2);
  breath.gain.setTargetAtTime(level * sound.noise.level, start + sound.attack / 2, sound.attack);

  const vibrato = context.createOscillator();
  // No two players are in step.
  vibrato.frequency.value = sound.vibrato.hertz * (0.96 + 0.08 * Math.random());
  const depth = amplifier(context, 0);
  depth.gain.setValueAtTime(0, start + sound.vibrato.delay);
  depth.gain.linearRampToValueAtTime(sound.vibrato.cents, start + sound.vibrato.delay + 0.35);
  const tremolo = amplifier(context, (level * sound.vibrato.tremolo) / sound.vibrato.cents);
  vibrato.connect(depth).connect(tone.detune);
  depth.connect(tremolo).connect(swell.gain);

  const fade = amplifier(context, 1);
  tone.connect(bright).connect(swell).connect(fade);
  air.connect(band).connect(breath).connect(fade);
  fade.connect(body(context, output, instrument));
  const nodes = [bright, swell, band, breath, depth, tremolo];
  return voice(context, fade, [tone, air, vibrato], nodes, start, sound.release);
}
