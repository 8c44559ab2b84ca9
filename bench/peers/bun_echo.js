// Bun's own server (uWebSockets inside), without compression.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 16 * 1024 * 1024,
    backpressureLimit: 16 * 1024 * 1024,
    message(ws, message) {
      ws.send(message);
    },
  },
});
console.log(`listening on ws://127.0.0.1:${server.port}/`);
