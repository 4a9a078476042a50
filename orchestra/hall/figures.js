/** What follows from what the server counts. */

/**
 * A channel, as the server tells of it.
 *
 * @typedef {object} Busy
 * @property {string} channel
 * @property {number} subscribers
 * @property {number} published - in all
 * @property {number} retained_messages
 * @property {number} retained_bytes
 */

/**
 * What the server tells.
 *
 * @typedef {object} Snapshot
 * @property {string} server - which one it is; another one has begun to count anew
 * @property {number} time - when that was, in seconds of its clock
 * @property {{name: string, labels: Record<string, string>, value: number}[]} samples
 * @property {Busy[]} busiest
 */

/**
 * What the podium shows. What is counted is there as a rate; null is not known.
 *
 * @typedef {object} Figures
 * @property {number | null} connections
 * @property {number | null} subscribers
 * @property {number | null} messages - in a second
 * @property {number | null} deliveries - in a second
 * @property {number | null} deliveredBytes - in a second
 * @property {number | null} lagging
 * @property {number | null} full - connections
 * @property {number | null} held - publishers
 * @property {number | null} buffered - bytes
 * @property {number | null} bufferedLimit - bytes; 0 for none
 * @property {number | null} evicted - in all
 * @property {number | null} evictions - in a minute
 * @property {number | null} missed - messages, in all
 * @property {number | null} refused - requests, in all
 * @property {number | null} channels
 * @property {number | null} retained - messages
 * @property {number | null} retainedBytes
 * @property {(Busy & {messages: number | null})[]} busiest - messages in a second
 */

/**
 * Make sure that an answer is what it should be.
 *
 * @param {any} told
 * @returns {Snapshot | null}
 */
export function snapshot(told) {
  const isOne =
    typeof told?.server === "string" &&
    typeof told.time === "number" &&
    Array.isArray(told.samples) &&
    Array.isArray(told.busiest);
  return isOne ? told : null;
}

/**
 * The sum of a metric over its labels.
 *
 * @param {Snapshot} told
 * @param {string} name
 * @returns {number | null} null if there is no such metric
 */
function total({ samples }, name) {
  const found = samples.filter((sample) => sample.name === name);
  return found.length ? found.reduce((sum, { value }) => sum + value, 0) : null;
}

/**
 * How fast something has grown. A counter that went back has begun anew, and tells nothing.
 *
 * @param {number | null | undefined} before
 * @param {number | null} now
 * @param {number} seconds - between the two
 * @returns {number | null} by how much in a second
 */
function rate(before, now, seconds) {
  if (before === null || before === undefined || now === null) return null;
  return seconds > 0 && now >= before ? (now - before) / seconds : null;
}

/**
 * What follows from what the server tells, and has told before.
 *
 * @param {Snapshot | null} before
 * @param {Snapshot} now
 * @returns {Figures}
 */
export function figures(before, now) {
  const earlier = before && before.server === now.server ? before : null;
  const seconds = earlier ? now.time - earlier.time : 0;
  const value = (/** @type {string} */ name) => total(now, `orchestra_${name}`);
  const growth = (/** @type {string} */ name) =>
    rate(earlier && total(earlier, `orchestra_${name}`), value(name), seconds);
  const evictions = growth("evicted_readers_total");
  const published = new Map(earlier?.busiest.map((each) => [each.channel, each.published]));
  return {
    connections: value("connections"),
    subscribers: value("subscribers"),
    messages: growth("published_messages_total"),
    deliveries: growth("deliveries_total"),
    deliveredBytes: growth("delivered_bytes_total"),
    lagging: value("lagging_subscribers"),
    full: value("full_connections"),
    held: value("held_publishers"),
    buffered: value("buffered_bytes"),
    bufferedLimit: value("buffered_limit_bytes"),
    evicted: value("evicted_readers_total"),
    evictions: evictions === null ? null : 60 * evictions,
    missed: value("missed_messages_total"),
    // Without a label there is no sample before the first.
    refused: value("refused_requests_total") ?? 0,
    channels: value("channels"),
    retained: value("retained_messages"),
    retainedBytes: value("retained_bytes"),
    busiest: now.busiest.map((each) => ({
      ...each,
      messages: rate(published.get(each.channel), each.published, seconds),
    })),
  };
}
