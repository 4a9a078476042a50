// token.mjs URL TOKEN: joins with a token, sent as a page must send it and as a server can, and
// without one. Prints how each of them went, as one line of JSON.
import { once } from "node:events";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const ways = {
  subprotocol: [["bearer", token], {}],
  header: [[], { headers: { Authorization: `Bearer ${token}` } }],
  none: [[], {}],
};

async function join(protocols, options) {
  const client = new WebSocket(url, protocols, options);
  const refused = once(client, "unexpected-response").then(async ([, response]) => {
    const body = [];
    for await (const piece of response) body.push(piece);
    return [response.statusCode, Buffer.concat(body).toString()];
  });
  const opened = once(client, "open").then(async () => {
    client.send("hello");
    const [note] = await once(client, "message");
    client.close();
    return [client.protocol, note.toString()];
  });
  return Promise.race([refused, opened]);
}

const went = {};
for (const [way, [protocols, options]] of Object.entries(ways)) {
  went[way] = await join(protocols, options);
}
console.log(JSON.stringify(went));
process.exit();
