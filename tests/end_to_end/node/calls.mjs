// What an SDK is answered by calls.tac, and what it hears there, as JSON.
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const centrifuge = new Centrifuge(process.argv[2], { websocket: WebSocket });
const applause = centrifuge.newSubscription("applause");
const heard = new Promise((resolve) => applause.on("publication", ({ data }) => resolve(data)));
applause.subscribe();
centrifuge.connect();
await applause.ready();
const { data: tempo } = await centrifuge.rpc("tempo", "presto");
const { code, message } = await centrifuge.rpc("tempo", "rubato").catch((error) => error);
await centrifuge.send("bravo");
console.log(JSON.stringify({ tempo, refused: { code, message }, heard: await heard }));
centrifuge.disconnect();
