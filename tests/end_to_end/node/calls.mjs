// What a client calls and sends, by the SDK: what it is answered and what it hears, as JSON.
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const centrifuge = new Centrifuge(process.argv[2], { websocket: WebSocket });
const applause = centrifuge.newSubscription("applause");
const heard = new Promise((resolve) => applause.on("publication", (context) => resolve(context.data)));
applause.subscribe();
centrifuge.connect();
await applause.ready();
const { data } = await centrifuge.rpc("tempo", "presto");
const refused = await centrifuge.rpc("tempo", ["rubato"]).catch((error) => error);
await centrifuge.send("bravo");
console.log(JSON.stringify({ data, refused, heard: await heard }));
centrifuge.disconnect();
