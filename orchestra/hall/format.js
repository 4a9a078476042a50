/** How numbers are written. */

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** What stands for a number that is not known. */
const UNKNOWN = "–";

/** @param {number | null} value @returns {string} `1,234`; below ten `1.5`, unless it is whole */
export function count(value) {
  if (value === null) return UNKNOWN;
  const isSmall = Math.abs(value) < 9.95 && !Number.isInteger(value);
  return (isSmall ? TENTHS : COUNT).format(value);
}

/** @param {number} value @returns {string} `1.2K`, for where there is little room */
export function short(value) {
  return SHORT.format(value);
}

/** @param {number | null} value - in milliseconds @returns {string} without the unit */
export function milliseconds(value) {
  if (value === null) return UNKNOWN;
  return (value < 99.95 ? TENTHS : COUNT).format(value);
}

/** @param {number | null} value @returns {string} with a unit: `12 B`, `1.5 KiB` */
export function bytes(value) {
  if (value === null) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${count(value)} ${units[unit]}`;
}
