// session.mjs URL: two clients of the "ws" package join, one plays, one leaves with a code.
// Prints what each of them heard, and how the connection ended, as one line of JSON.
import { once } from "node:events";
import WebSocket from "ws";

const url = process.argv[2];
const notes = ["hello", Buffer.from([0, 255]), "", "x".repeat(1024 * 1024)];

async function join() {
  const client = new WebSocket(url);
  client.heard = [];
  client.on("message", (data, isBinary) => {
    client.heard.push(isBinary ? { binary: data.toString("hex") } : digest(data.toString()));
    if (client.heard.length === notes.length) client.emit("all");
  });
  await once(client, "open");
  return client;
}

function digest(text) {
  return text.length < 100 ? text : { start: text.slice(0, 10), length: text.length };
}

const [alice, bob] = [await join(), await join()];
const heard = Promise.all([once(alice, "all"), once(bob, "all")]);
for (const note of notes) alice.send(note);
await heard;
alice.ping();
await once(alice, "pong");
alice.close(3000, "enough");
const [code, reason] = await once(alice, "close");
bob.terminate();
console.log(
  JSON.stringify({ alice: alice.heard, bob: bob.heard, code, reason: reason.toString() }),
);
