/** The table of the channels with the most subscribers. */

import { bytes, count } from "./format.js";

/** @typedef {import("./numbers.js").Figures["busiest"][number]} Row */

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
  channels.forEach((channel, index) => {
    const row = body.rows[index] ?? newRow(body);
    const texts = [
      channel.subscribers,
      channel.messages,
      channel.retained_messages,
    ].map(count);
    const [name, ...numbers] = row.cells;
    const shown = /** @type {Element} */ (name.firstElementChild);
    write(shown, cut(channel.channel));
    numbers.forEach((cell, place) => write(cell, texts[place] ?? bytes(channel.retained_bytes)));
  });
}

/** @param {HTMLTableSectionElement} body */
function newRow(body) {
  const row = body.insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  // Anybody may call a channel anything, also in a script that runs the other way.
  name.append(document.createElement("bdi"));
  row.append(name);
  for (let cell = 0; cell < 4; cell += 1) row.insertCell();
  return row;
}

// What is the same is left alone, so that it can be marked and copied.
/** @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} name */
function cut(name) {
  const characters = [...name];
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST).join("")}…` : name;
}
