/** The podium: what the server does, as it does it. This puts the page's parts together. */

import { pathOf, socketUrl } from "./address.js";
import { showBusiest } from "./busiest.js";
import { headersOf, keep, known, tokenOf } from "./credentials.js";
import { byId, write } from "./dom.js";
import { bytes, count, milliseconds } from "./format.js";
import { Latency } from "./latency.js";
import { Load } from "./load.js";
import { Plot } from "./plot.js";
import { Poller } from "./poller.js";

/** @typedef {import("./credentials.js").Credential} Credential */
/** @typedef {import("./figures.js").Figures} Figures */
/** @typedef {{p50: number | null, p99: number | null}} Percentiles */

/** @param {string} id @param {string} text */
function show(id, text) {
  write(byId(id, HTMLElement), text);
}

const MAIN = { colour: "--brass" };
const SECOND = { colour: "--ink", isDashed: true };
const BAD = { colour: "--bad", isDashed: true };

/** @typedef {(figures: Figures, latency: Percentiles) => (number | null)[]} Values */

/**
 * What is plotted: by the canvas, its lines and their values.
 *
 * @type {[string, import("./plot.js").Line[], Values][]}
 */
const PLOTTED = [
  ["messages", [MAIN], (figures) => [figures.messages]],
  ["deliveries", [MAIN], (figures) => [figures.deliveries]],
  ["latency", [MAIN, SECOND], (_, latency) => [latency.p50, latency.p99]],
  ["connections", [MAIN], (figures) => [figures.connections]],
  ["readers", [MAIN, BAD], (figures) => [figures.lagging, figures.evictions]],
  ["channels", [MAIN], (figures) => [figures.channels]],
];

/**
 * What is written, by the element.
 *
 * @type {Record<string, (figures: Figures) => string>}
 */
const WRITTEN = {
  "messages-now": (figures) => count(figures.messages),
  "deliveries-now": (figures) => count(figures.deliveries),
  "delivered-now": (figures) => bytes(figures.deliveredBytes),
  "connections-now": (figures) => count(figures.connections),
  "subscribers-now": (figures) => count(figures.subscribers),
  "lagging-now": (figures) => count(figures.lagging),
  "evictions-now": (figures) => count(figures.evictions),
  "evicted-now": (figures) => count(figures.evicted),
  "channels-now": (figures) => count(figures.channels),
  "retained-now": (figures) => count(figures.retained),
  "retained-bytes-now": (figures) => bytes(figures.retainedBytes),
  "full-now": (figures) => count(figures.full),
  "held-now": (figures) => count(figures.held),
  "buffered-now": (figures) => bytes(figures.buffered),
  "buffered-limit": (figures) =>
    figures.bufferedLimit ? `of ${bytes(figures.bufferedLimit)}` : "without a limit",
  "missed-now": (figures) => count(figures.missed),
  "refused-now": (figures) => count(figures.refused),
};

const plots = PLOTTED.map(([id, lines]) => new Plot(byId(id, HTMLCanvasElement), lines));
const rows = byId("busiest", HTMLTableSectionElement);
const secretForm = byId("credential", HTMLFormElement);
const loadForm = byId("load", HTMLFormElement);
const channel = byId("channel", HTMLInputElement);

/** @type {Credential | null} */
let credential = known();

// The numbers.

/** @param {string} text - nothing, if all is well */
function announce(text) {
  show("banner-text", text);
  byId("banner", HTMLElement).hidden = !text;
  document.body.classList.toggle("is-stale", Boolean(text));
}

const poller = new Poller({
  url: "podium/numbers",
  handlers: {
    onfigures(figures) {
      announce("");
      secretForm.hidden = true;
      const latency = meter.read();
      for (const [index, [, , values]] of PLOTTED.entries()) {
        plots[index].add(values(figures, latency));
      }
      for (const [id, text] of Object.entries(WRITTEN)) show(id, text(figures));
      show("p50-now", milliseconds(latency.p50));
      show("p99-now", milliseconds(latency.p99));
      showBusiest(rows, figures.busiest);
      byId("no-channels", HTMLElement).hidden = figures.busiest.length > 0;
    },
    onaway({ reason, delay }) {
      announce(`${reason} Trying again in ${Math.ceil(delay / 1000)} s.`);
      byId("retry", HTMLButtonElement).hidden = false;
    },
    onrefused({ reason, takes }) {
      announce(`The server refuses to tell: ${reason}`);
      byId("retry", HTMLButtonElement).hidden = takes !== null;
      if (takes === null) return;
      const kind = credential?.kind ?? (takes === "apikey" ? "key" : "token");
      byId(`is-${kind}`, HTMLInputElement).checked = true;
      if (secretForm.hidden) {
        secretForm.hidden = false;
        byId("secret", HTMLInputElement).focus();
      }
    },
  },
});

byId("retry", HTMLButtonElement).addEventListener("click", () => poller.start());

secretForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("secret", HTMLInputElement);
  const kind = byId("is-key", HTMLInputElement).checked ? "key" : "token";
  credential = { kind, secret: field.value.trim() };
  field.value = "";
  keep(credential);
  begin();
});

// The latency.

const meter = new Latency(socketUrl("connection/websocket"), (trouble) =>
  show("latency-trouble", trouble),
);
const measures = byId("measures", HTMLInputElement);

function measure() {
  meter.stop();
  show("latency-trouble", "");
  if (!measures.checked || !channel.checkValidity()) return;
  meter.measure(channel.value, tokenOf(credential));
}

measures.addEventListener("change", measure);
channel.addEventListener("change", measure);

// The load.

/** @param {string} id @returns {number} */
function amount(id) {
  return byId(id, HTMLInputElement).valueAsNumber;
}

const load = new Load(({ isPlaying, played, rate, isHeldUp, ended }) => {
  byId("stop", HTMLButtonElement).disabled = !isPlaying;
  show("load-rate", count(rate));
  show("load-played", count(played));
  show("load-held", isHeldUp ? "This is as many as the browser or the connection takes." : "");
  show("load-ended", ended && `Stopped: ${ended}.`);
});

loadForm.addEventListener("submit", (event) => {
  event.preventDefault();
  load.start({
    url: socketUrl(`${pathOf(channel.value)}?echo=0`),
    token: tokenOf(credential),
    rate: amount("rate"),
    size: amount("size"),
    seconds: amount("seconds"),
  });
  measure();
});

byId("stop", HTMLButtonElement).addEventListener("click", () => load.stop());
addEventListener("pagehide", () => load.stop());

function begin() {
  poller.headers = headersOf(credential);
  poller.start();
  measure();
}

begin();
