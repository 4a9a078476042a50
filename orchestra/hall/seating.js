/** Where the seats of a stage are: in rows around the conductor. */

const DEGREE = Math.PI / 180;

/** How far to each side a row of seats reaches, as an angle at the conductor. */
const REACH = 80 * DEGREE;

/** How much room the conductor takes, in pixels from the bottom. */
const STAND = 28;

/** How far out the nearest row may be, if the outermost is at 1. */
const NEAREST = 0.25;

/** By how many of its sizes a seat's middle is below the stage's edge. */
const BELOW = 0.6;

/** How far it is from row to row, and from seat to seat in a row, in sizes of a seat. */
const ROW = 0.95;
const GAP = 1.05;

/** How much further apart seats are where a row is not full. */
const LOOSE = 1.2;

/**
 * Where each seat is, those in front first.
 *
 * @param {number} count
 * @param {number} width - of the stage, in pixels
 * @param {number} height
 * @param {number} size - of a seat
 * @returns {[number, number][]} of the middle of each, from the left and from the top
 */
export function places(count, width, height, size) {
  const across = width / 2 - size / 2;
  const up = height - STAND - size * BELOW;
  /** @type {[number, number][]} */
  const found = [];
  const rows = rowsFor(count, across, up, size);
  let rooms = rows.reduce((sum, { room }) => sum + room, 0);
  for (const { out, room } of rows) {
    const seats = Math.round(((count - found.length) * room) / rooms);
    rooms -= room;
    const spread = 2 * REACH * Math.min(1, (LOOSE * seats) / room);
    for (let seat = 0; seat < seats; seat += 1) {
      const turn = seats === 1 ? 0 : spread * (seat / (seats - 1) - 0.5);
      const left = width / 2 + across * out * Math.sin(turn);
      const top = height - STAND - up * out * Math.cos(turn);
      found.push([left, top]);
    }
  }
  return found;
}

/**
 * The rows, from the nearest to the outermost: how far out each is, and for how many it has room.
 *
 * @param {number} count - of seats
 * @param {number} across - how far the outermost reaches to each side, in pixels
 * @param {number} up - how far it reaches up
 * @param {number} size
 * @returns {{out: number, room: number}[]}
 */
function rowsFor(count, across, up, size) {
  const step = (size * ROW) / up;
  const most = Math.max(1, Math.floor((1 - NEAREST) / step) + 1);
  const rows = [];
  for (let out = 1, room = 0; room < count && rows.length < most; out -= step) {
    const length = 2 * REACH * out * Math.hypot(across, up) * Math.SQRT1_2;
    rows.unshift({ out, room: Math.max(1, Math.floor(length / (size * GAP))) });
    room += rows[0].room;
  }
  return rows;
}
