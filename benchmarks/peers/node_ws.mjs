// The original: each message goes to each open client, one by one. node node_ws.mjs PORT
import { WebSocket, WebSocketServer } from "ws";

const port = Number(process.argv[2]);
const server = new WebSocketServer({ host: "127.0.0.1", port, backlog: 4096, perMessageDeflate: false });

server.on("connection", (client) => {
  client.on("message", (message, isBinary) => {
    const note = isBinary ? message : `Echo: ${message}`;
    for (const each of server.clients) {
      if (each.readyState === WebSocket.OPEN) each.send(note);
    }
  });
});
