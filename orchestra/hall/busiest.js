/** The table of the channels with the most subscribers. */

import { make, write } from "./dom.js";
import { bytes, count } from "./format.js";

/** @typedef {import("./figures.js").Figures["busiest"][number]} Row */

/** How many characters of a channel's name are shown. */
const LONGEST = 80;

/**
 * Show channels in place of those that are shown.
 *
 * @param {HTMLTableSectionElement} body - of the table
 * @param {readonly Row[]} channels
 */
export function showBusiest(body, channels) {
  while (body.rows.length > channels.length) body.deleteRow(-1);
  for (const [index, channel] of channels.entries()) {
    const row = body.rows[index] ?? newRow(body);
    const texts = [
      count(channel.subscribers),
      count(channel.messages),
      count(channel.retained_messages),
      bytes(channel.retained_bytes),
    ];
    const [name, ...numbers] = row.cells;
    const shown = /** @type {Element} */ (name.firstElementChild);
    write(shown, cut(channel.channel));
    for (const [place, cell] of numbers.entries()) write(cell, texts[place]);
  }
}

/** @param {HTMLTableSectionElement} body */
function newRow(body) {
  const row = body.insertRow();
  const name = make("th");
  name.scope = "row";
  // Anybody may call a channel anything, also in a script that runs the other way.
  name.append(make("bdi"));
  row.append(name);
  for (let cell = 0; cell < 4; cell += 1) row.insertCell();
  return row;
}

/** @param {string} name */
function cut(name) {
  const characters = [...name];
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST).join("")}…` : name;
}
