// Bun's own way to broadcast: all clients are subscribed to one topic. bun bun_publish.js PORT
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response("a WebSocket is needed here", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    open(client) {
      client.subscribe("main");
    },
    message(client, message) {
      server.publish("main", typeof message === "string" ? `Echo: ${message}` : message);
    },
  },
});
