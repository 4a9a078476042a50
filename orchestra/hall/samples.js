/** Sounds that are computed sample by sample, once: what is struck, noise, and a hall's echo. */

import { frequency } from "./notes.js";

/** For how long the hall rings, in seconds. */
const RINGING = 1.6;
/** Piano notes that are this far apart are computed, and those between are played from them. */
const STEP = 3;
const LOWEST = 33;
const HIGHEST = 99;
/** The longest that a piano's string rings, in seconds. */
const LONGEST = 4;

/** @type {WeakMap<BaseAudioContext, Map<string, any>>} */
const made = new WeakMap();

/**
 * What is made only once for a context.
 *
 * @template T
 * @param {BaseAudioContext} context
 * @param {string} key
 * @param {() => T} make
 * @returns {T}
 */
export function once(context, key, make) {
  let all = made.get(context);
  if (!all) made.set(context, (all = new Map()));
  if (!all.has(key)) all.set(key, make());
  return all.get(key);
}

/**
 * Numbers that look random, and are the same each time.
 *
 * @param {number} seed
 * @returns {() => number} from -1 to 1
 */
function randomness(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/**
 * @param {BaseAudioContext} context
 * @param {...Float32Array} channels - samples
 */
function buffer(context, ...channels) {
  const { length } = channels[0];
  const made = context.createBuffer(channels.length, length, context.sampleRate);
  for (const [channel, samples] of channels.entries()) made.getChannelData(channel).set(samples);
  return made;
}

/** @typedef {"lowpass" | "highpass" | "bandpass"} Filter */

/**
 * Filter samples in place, by the biquad filters of the "Audio EQ Cookbook".
 *
 * @param {Float32Array} samples
 * @param {Filter} type
 * @param {number} at - Hertz, as a part of the sample rate
 * @param {number} q
 */
function filter(samples, type, at, q = 0.7) {
  const angle = 2 * Math.PI * Math.min(at, 0.45);
  const cos = Math.cos(angle);
  const alpha = Math.sin(angle) / (2 * q);
  const middle = { lowpass: 1 - cos, highpass: -1 - cos, bandpass: 0 }[type];
  const b0 = (type === "bandpass" ? alpha : Math.abs(middle) / 2) / (1 + alpha);
  const b1 = middle / (1 + alpha);
  const b2 = type === "bandpass" ? -b0 : b0;
  const a1 = (-2 * cos) / (1 + alpha);
  const a2 = (1 - alpha) / (1 + alpha);
  let x1 = 0;
  let x2 = 0;
  let y1 = 0;
  let y2 = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const x = samples[i];
    const y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2;
    x2 = x1;
    x1 = x;
    y2 = y1;
    y1 = y;
    samples[i] = y;
  }
  return samples;
}

/**
 * Add a sine that decays.
 *
 * @param {Float32Array} samples
 * @param {number} rate - samples a second
 * @param {number} hertz
 * @param {number} loud - how loud it is at first
 * @param {number} decay - seconds until it has lost 63 %
 */
function ring(samples, rate, hertz, loud, decay) {
  const step = (2 * Math.PI * hertz) / rate;
  const loss = Math.exp(-1 / (decay * rate));
  const cos = loss * Math.cos(step);
  const sin = loss * Math.sin(step);
  let re = loud;
  let im = 0;
  // What is 80 dB below the loudest is not heard any more.
  const end = Math.min(samples.length, Math.ceil((9.2 + Math.log(loud)) * decay * rate));
  for (let i = 0; i < end; i += 1) {
    samples[i] += im;
    const next = re * cos - im * sin;
    im = re * sin + im * cos;
    re = next;
  }
}

/**
 * Add a sine that falls, as a skin's does when it is struck.
 *
 * @param {Float32Array} samples
 * @param {number} rate - samples a second
 * @param {{from: number, to: number, fall: number, loud: number, decay: number}} sound - Hertz,
 *   and seconds
 */
function drop(samples, rate, { from, to, fall, loud, decay }) {
  let phase = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const t = i / rate;
    phase += (2 * Math.PI * (to + (from - to) * Math.exp(-t / fall))) / rate;
    samples[i] += loud * Math.exp(-t / decay) * Math.sin(phase);
  }
}

/**
 * Noise that decays.
 *
 * @param {number} length - samples
 * @param {number} rate - samples a second
 * @param {number} decay - seconds
 * @param {number[]} starts - seconds; the last burst decays, those before it are short
 */
function burst(length, rate, decay, starts = [0]) {
  const random = randomness(length);
  const samples = new Float32Array(length);
  for (let i = 0; i < length; i += 1) {
    let loud = 0;
    for (const start of starts) {
      const t = i / rate - start;
      const time = start === starts[starts.length - 1] ? decay : 0.004;
      if (t >= 0) loud = Math.max(loud, Math.exp(-t / time));
    }
    samples[i] = loud * random();
  }
  return samples;
}

/**
 * @param {Float32Array} samples - to which it is added
 * @param {Float32Array} others - as long, or shorter
 * @param {number} loud
 */
function mix(samples, others, loud) {
  for (let i = 0; i < others.length; i += 1) samples[i] += loud * others[i];
}

/**
 * Add noise that decays, of some frequencies.
 *
 * @param {Float32Array} samples
 * @param {number} rate - samples a second
 * @param {{decay: number, type: Filter, hertz: number, loud: number}} sound - seconds, and Hertz
 */
function hiss(samples, rate, { decay, type, hertz, loud }) {
  mix(samples, filter(burst(samples.length, rate, decay), type, hertz / rate), loud);
}

/**
 * Bring samples to a level, and let them begin and end without a click.
 *
 * @param {Float32Array} samples
 * @param {number} rate - samples a second
 * @param {number} level - the RMS that the loudest tenth of a second is to have
 */
function finish(samples, rate, level) {
  const window = Math.round(rate / 10);
  let most = 0;
  let sum = 0;
  for (let i = 0; i < samples.length; i += 1) {
    sum += samples[i] ** 2 - (i >= window ? samples[i - window] ** 2 : 0);
    most = Math.max(most, sum);
  }
  const gain = level / Math.sqrt(most / window);
  const [attack, end] = [0.0015 * rate, Math.min(samples.length / 4, 0.2 * rate)];
  for (let i = 0; i < samples.length; i += 1) {
    samples[i] *= gain * Math.min(1, i / attack, (samples.length - 1 - i) / end);
  }
  return samples;
}

/**
 * Several square waves that have nothing to do with each other: metal.
 *
 * @param {number} length - samples
 * @param {number} rate - samples a second
 */
function metal(length, rate) {
  const samples = new Float32Array(length);
  for (const hertz of [263, 400, 421, 474, 587, 845, 1013]) {
    for (let i = 0; i < length; i += 1) {
      samples[i] += ((i * hertz * 6.3) / rate) % 1 < 0.5 ? 0.15 : -0.15;
    }
  }
  return samples;
}

/**
 * @param {Float32Array} samples - changed in place
 * @param {number} rate - samples a second
 * @param {number} decay - seconds
 */
function decaying(samples, rate, decay) {
  for (let i = 0; i < samples.length; i += 1) samples[i] *= Math.exp(-i / (decay * rate));
  return samples;
}

/**
 * @typedef {object} Struck
 * @property {number} seconds - until nothing is heard any more
 * @property {number} level - the RMS of the loudest tenth of a second
 * @property {(samples: Float32Array, rate: number) => void} strike
 */

/** @type {Record<string, Struck>} */
const STRUCK = {
  kick: {
    seconds: 0.5,
    level: 0.3,
    strike(samples, rate) {
      drop(samples, rate, { from: 190, to: 50, fall: 0.028, loud: 1, decay: 0.13 });
      hiss(samples, rate, { decay: 0.003, type: "lowpass", hertz: 3000, loud: 0.5 });
    },
  },
  snare: {
    seconds: 0.4,
    level: 0.21,
    strike(samples, rate) {
      drop(samples, rate, { from: 260, to: 185, fall: 0.02, loud: 0.7, decay: 0.06 });
      ring(samples, rate, 331, 0.35, 0.04);
      hiss(samples, rate, { decay: 0.075, type: "highpass", hertz: 1300, loud: 0.8 });
    },
  },
  hat: {
    seconds: 0.2,
    level: 0.115,
    strike(samples, rate) {
      mix(samples, decaying(metal(samples.length, rate), rate, 0.035), 1);
      mix(samples, burst(samples.length, rate, 0.03), 0.6);
      filter(filter(samples, "highpass", 7500 / rate), "highpass", 7000 / rate);
    },
  },
  cymbal: {
    seconds: 2.2,
    level: 0.115,
    strike(samples, rate) {
      mix(samples, decaying(metal(samples.length, rate), rate, 0.45), 0.7);
      mix(samples, burst(samples.length, rate, 0.35), 0.5);
      hiss(samples, rate, { decay: 0.02, type: "bandpass", hertz: 3000, loud: 1 });
      filter(samples, "highpass", 3500 / rate);
    },
  },
  tom: {
    seconds: 0.7,
    level: 0.26,
    strike(samples, rate) {
      drop(samples, rate, { from: 210, to: 118, fall: 0.05, loud: 1, decay: 0.17 });
      ring(samples, rate, 196, 0.25, 0.07);
      hiss(samples, rate, { decay: 0.012, type: "lowpass", hertz: 1800, loud: 0.6 });
    },
  },
  clap: {
    seconds: 0.4,
    level: 0.14,
    strike(samples, rate) {
      const hands = burst(samples.length, rate, 0.07, [0, 0.011, 0.021]);
      mix(samples, filter(hands, "bandpass", 1350 / rate, 1.4), 1);
      filter(samples, "highpass", 500 / rate);
    },
  },
  click: {
    seconds: 0.1,
    level: 0.03,
    strike(samples, rate) {
      ring(samples, rate, 1180, 1, 0.014);
      ring(samples, rate, 1910, 0.5, 0.008);
    },
  },
  accent: {
    seconds: 0.12,
    level: 0.042,
    strike(samples, rate) {
      ring(samples, rate, 1770, 1, 0.016);
      ring(samples, rate, 2870, 0.5, 0.01);
    },
  },
};

/**
 * A drum, or the metronome's block of wood: `click` and `accent`.
 *
 * @param {BaseAudioContext} context
 * @param {string} name
 * @returns {AudioBuffer}
 */
export function struck(context, name) {
  return once(context, name, () => {
    const { seconds, level, strike } = STRUCK[name];
    const rate = context.sampleRate;
    const samples = new Float32Array(Math.ceil(seconds * rate));
    strike(samples, rate);
    return buffer(context, finish(samples, rate, level));
  });
}

/**
 * A piano's string near a note. Its partials are a little higher than a multiple of the first,
 * since it is stiff, and the higher they are, the sooner they die. Each has a part that dies soon,
 * and one, a little out of tune with it, that lasts: three strings that lose their common motion
 * first.
 *
 * @param {BaseAudioContext} context
 * @param {number} midi
 * @returns {{samples: AudioBuffer, rate: number}} at what rate it is played to have that note
 */
export function string(context, midi) {
  const nearest = Math.round((midi - LOWEST) / STEP) * STEP + LOWEST;
  const root = Math.min(HIGHEST, Math.max(LOWEST, nearest));
  const samples = once(context, `string ${root}`, () => {
    const rate = context.sampleRate;
    const hertz = frequency(root);
    const stiff = 0.00035 * 2 ** ((root - 60) / 14);
    const lasting = Math.min(3, Math.max(0.3, 2.2 * Math.sqrt(130 / hertz)));
    const seconds = Math.min(LONGEST, Math.max(0.8, 5 * lasting));
    const samples = new Float32Array(Math.ceil(seconds * rate));
    for (let n = 1; n <= 40; n += 1) {
      const partial = n * hertz * Math.sqrt((1 + stiff * n * n) / (1 + stiff));
      if (partial > 9000 && n > 1) break;
      // The hammer strikes at about an eighth of the string, and is soft.
      const struck = 0.15 + Math.abs(Math.sin((n * Math.PI) / 7.7));
      const loud = (struck * Math.exp(-partial / 3500)) / n ** 0.8;
      const decay = lasting / (1 + partial / 1100 + 0.1 * (n - 1));
      ring(samples, rate, partial, 0.72 * loud, 0.4 * decay);
      if (n <= 8) ring(samples, rate, partial * 1.0003, 0.28 * loud, 1.3 * decay);
    }
    const hammer = filter(burst(Math.ceil(rate / 15), rate, 0.006), "lowpass", 2600 / rate);
    mix(samples, hammer, 0.16);
    ring(samples, rate, 92, 0.12, 0.02);
    return buffer(context, finish(samples, rate, 0.2));
  });
  return { samples, rate: frequency(midi) / frequency(root) };
}

/**
 * Compute what is used most ahead of its use, in pieces, so that nothing waits for it.
 *
 * @param {BaseAudioContext} context
 */
export async function prepare(context) {
  const pieces = Object.keys(STRUCK).map((name) => () => void struck(context, name));
  const notes = [...Array(1 + (HIGHEST - LOWEST) / STEP).keys()].map((n) => LOWEST + n * STEP);
  notes.sort((a, b) => Math.abs(a - 66) - Math.abs(b - 66));
  pieces.push(...notes.map((midi) => () => void string(context, midi)));
  for (const piece of pieces) {
    piece();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Two seconds of noise.
 *
 * @param {BaseAudioContext} context
 * @returns {AudioBuffer}
 */
export function noise(context) {
  return once(context, "noise", () => {
    const random = randomness(1);
    return buffer(context, new Float32Array(2 * context.sampleRate).map(random));
  });
}

/**
 * The echo of a small hall: some early reflections, then a tail that gets darker.
 *
 * @param {BaseAudioContext} context
 * @returns {AudioBuffer} stereo
 */
export function echo(context) {
  return once(context, "echo", () => {
    const rate = context.sampleRate;
    const sides = [11, 12].map((seed, side) => {
      const random = randomness(seed);
      const samples = new Float32Array(Math.ceil(RINGING * rate));
      let dark = 0;
      const tail = 0.018 * rate;
      for (let i = Math.ceil(tail); i < samples.length; i += 1) {
        const t = (i - tail) / rate;
        dark += (0.08 + 0.55 * Math.exp(-t / 0.35)) * (random() - dark);
        const fadeIn = Math.min(1, t / 0.03);
        samples[i] = 0.5 * dark * fadeIn * Math.exp((-6.9 * t) / RINGING);
      }
      const reflections = side ? [13, 19, 31, 44, 57] : [11, 23, 29, 41, 61];
      for (const [number, ms] of reflections.entries()) {
        samples[Math.round((ms * rate) / 1000)] += (number % 2 ? -1.6 : 1.6) * 0.8 ** number;
      }
      // It ends in silence, not in the middle of a sound.
      const end = 0.1 * rate;
      return samples.map((sample, i) => sample * Math.min(1, (samples.length - 1 - i) / end));
    });
    return buffer(context, ...sides);
  });
}
