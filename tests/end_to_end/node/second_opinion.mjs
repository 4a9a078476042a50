// second_opinion.mjs URL: scenes that clients of the "ws" package play, each in a channel of its
// own. They come as JSON on the standard input, one array of them:
//
//   channel  its name.
//   offers   what each client offers, in order of joining: the option perMessageDeflate of ws.
//   notes    what each client plays, one after the other:
//              fragments  of the message, in base64.
//              binary     whether it is binary data.
//              pings      whether a ping goes before each fragment but the first; they contain
//                         their numbers, from 1 on for each client.
//              compress   whether to compress it, where that was agreed.
//   close    how each client leaves: [], [code] or [code, reason]; or the payload of a close
//            frame that ws would not send by itself, in base64.
//
// Prints an array of what became of each scene: an array with an object for each of its clients.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import WebSocket, { Sender } from "ws";

const url = process.argv[2];

class Client {
  heard = [];
  pings = 0;
  pongs = [];

  async join(channel, perMessageDeflate) {
    this.socket = new WebSocket(url + channel, { perMessageDeflate });
    this.socket.on("message", (data, isBinary) => {
      const sha256 = createHash("sha256").update(data).digest("hex");
      this.heard.push({ binary: isBinary, size: data.length, sha256 });
      this.socket.emit("news");
    });
    this.socket.on("pong", (data) => {
      this.pongs.push(Number(data));
      this.socket.emit("news");
    });
    this.socket.on("error", (error) => (this.error = error.message));
    this.closed = new Promise((resolve) =>
      this.socket.on("close", (code, reason) => resolve([code, reason])),
    );
    await Promise.race([new Promise((resolve) => this.socket.on("open", resolve)), this.closed]);
    this.extensions = this.socket.extensions;
  }

  play({ fragments, binary, pings, compress }) {
    fragments.forEach((fragment, number) => {
      if (pings && number > 0) this.socket.ping(String(++this.pings));
      const fin = number === fragments.length - 1;
      this.socket.send(Buffer.from(fragment, "base64"), { fin, binary, compress });
    });
  }

  // Of pings that come faster than their answers can be sent, only the last is answered.
  async until(messages) {
    while (this.heard.length < messages || (this.pings && this.pongs.at(-1) !== this.pings))
      await once(this.socket, "news");
  }

  async leave(close) {
    if (typeof close === "string") {
      const options = { fin: true, opcode: 8, mask: true, readOnly: true, rsv1: false };
      for (const part of Sender.frame(Buffer.from(close, "base64"), options))
        this.socket._socket.write(part);
    } else {
      this.socket.close(...close);
    }
    const [code, reason] = await this.closed;
    this.code = code;
    this.reason = reason.toString();
  }

  report() {
    const { extensions, heard, pongs, code, reason, error } = this;
    return { extensions, heard, pongs, code, reason, error };
  }
}

async function play({ channel, offers, notes, close }) {
  const clients = [];
  for (const offer of offers) {
    const client = new Client();
    await client.join(channel, offer);
    clients.push(client);
  }
  const there = clients.filter((client) => client.socket.readyState === WebSocket.OPEN);
  let played = 0;
  for (const client of there) {
    for (const note of notes) client.play(note);
    played += notes.length;
    for (const listener of there) await listener.until(played);
  }
  for (const client of there) await client.leave(close);
  return clients.map((client) => client.report());
}

const outcomes = [];
for (const scene of JSON.parse(await text(process.stdin))) outcomes.push(await play(scene));
console.log(JSON.stringify(outcomes));
