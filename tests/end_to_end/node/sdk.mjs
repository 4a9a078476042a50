// sdk.mjs: clients of the "centrifuge" package, which do what they are told on the standard input,
// one object of JSON a line:
//
//   id       what the answer has as well.
//   client   the name of a client.
//   channel  the name of a channel, for what is done with a subscription to it.
//   do       "new" makes a client (url, options) or a subscription (options); anything else is the
//            name of one of its methods, or of what it has.
//   args     the arguments.
//
// In the options of a client: binary, to speak protobuf; compress, to offer compression; tokens,
// which getToken gives one after the other, and null in the place of one that it cannot give. In
// those of a subscription: tokens; state, to have getState, which takes the newest position.
//
// Prints one object of JSON a line: {id, result}, {id, error}, or, of whatever happens,
// {client, channel, event, context}.
import { createInterface } from "node:readline";
import { Centrifuge, UnauthorizedError } from "centrifuge";
import { Centrifuge as BinaryCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";

const clients = {};
const EVENTS = [
  "connecting",
  "connected",
  "disconnected",
  "subscribing",
  "subscribed",
  "unsubscribed",
  "publication",
  "join",
  "leave",
  "message",
  "error",
];

class PlainWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}

// Protobuf has bytes where JSON has a value. That is what is told of them, or else their base64.
function plain(key, value) {
  if (value instanceof Map) return Object.fromEntries(value);
  if (!(value instanceof Uint8Array || value?.type === "Buffer")) return value;
  const bytes = Buffer.from(value.data ?? value);
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return { bytes: bytes.toString("base64") };
  }
}

function print(line) {
  console.log(JSON.stringify(line, plain));
}

function tell(emitter, client, channel) {
  for (const event of EVENTS)
    emitter.on(event, (context) => print({ client, channel, event, context }));
}

function giver(tokens, client, channel) {
  return async () => {
    print({ client, channel, event: "token", context: {} });
    const token = tokens.length > 1 ? tokens.shift() : tokens[0];
    if (token === null) throw new UnauthorizedError();
    return token;
  };
}

function prepared({ tokens, state, ...options }, client, channel) {
  if (tokens) options.getToken = giver(tokens, client, channel);
  if (state)
    options.getState = async () => {
      print({ client, channel, event: "state", context: {} });
      const { offset, epoch } = await clients[client].history(channel, { limit: 0 });
      return { offset, epoch };
    };
  return options;
}

function make({ client, channel, args }) {
  if (channel) {
    const [options] = args;
    tell(clients[client].newSubscription(channel, prepared(options, client, channel)), client, channel);
    return;
  }
  const [url, { binary, compress, ...options }] = args;
  const kind = binary ? BinaryCentrifuge : Centrifuge;
  clients[client] = new kind(url, {
    websocket: compress ? WebSocket : PlainWebSocket,
    eventsource: EventSource,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...prepared(options, client),
  });
  clients[client].binary = binary;
  tell(clients[client], client);
}

async function perform(order) {
  if (order.do === "new") return make(order);
  const client = clients[order.client];
  const one = order.channel ? client.getSubscription(order.channel) : client;
  if (!(order.do in one)) throw new Error(`there is no ${order.do}`);
  if (typeof one[order.do] !== "function") return one[order.do];
  const encode = (data) => (client.binary ? Buffer.from(JSON.stringify(data)) : data);
  const data = { publish: order.channel ? 0 : 1, rpc: 1, send: 0 }[order.do];
  const args = order.args.map((argument, place) => (place === data ? encode(argument) : argument));
  const result = await one[order.do](...args);
  return result === one ? undefined : result;
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  perform(order).then(
    (result) => print({ id: order.id, result: result ?? null }),
    (error) => print({ id: order.id, error: { code: error.code, message: error.message } }),
  );
}
process.exit();
