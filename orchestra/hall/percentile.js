/** Percentiles of what was measured. */

/**
 * A percentile by nearest rank: the least of the values that so many percent of all do not exceed.
 *
 * @param {readonly number[]} values - in any order
 * @param {number} percent - above 0, up to 100
 * @returns {number | null} null if there are no values
 */
export function percentile(values, percent) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.max(rank, 1) - 1];
}
