/** What this browser remembers of its musician, if it remembers anything. */

const KEY = "orchestra";

const NAMES = [
  "Allegra",
  "Andante",
  "Brio",
  "Cantabile",
  "Capriccio",
  "Dolce",
  "Fermata",
  "Giocoso",
  "Largo",
  "Legato",
  "Presto",
  "Rubato",
  "Scherzo",
  "Sonata",
  "Tenuto",
  "Vivace",
];

/** @typedef {{name: string, instrument: string, volume: number}} Settings */

/**
 * @template Value
 * @param {readonly Value[]} values
 * @returns {Value}
 */
function anyOf(values) {
  return values[Math.floor(Math.random() * values.length)];
}

/**
 * What is remembered; for what is not, something to begin with.
 *
 * @param {readonly string[]} instruments
 * @returns {Settings}
 */
export function load(instruments) {
  /** @type {Record<string, unknown>} */
  let known = {};
  try {
    known = { ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    // It is not allowed to remember, or was changed by hand.
  }
  const { name, instrument, volume } = known;
  return {
    name: typeof name === "string" && name ? name : anyOf(NAMES),
    instrument:
      typeof instrument === "string" && instruments.includes(instrument)
        ? instrument
        : anyOf(instruments.filter((each) => each !== "drums")),
    volume: typeof volume === "number" && volume >= 0 && volume <= 1 ? volume : 0.8,
  };
}

/**
 * Remember.
 *
 * @param {Settings} settings
 */
export function save(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Then not.
  }
}
