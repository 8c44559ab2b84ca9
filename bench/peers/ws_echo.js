// npm's ws on Node, without compression. Argument: the directory of the package.
const { WebSocketServer } = require(process.argv[2]);

const options = { host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false };
const server = new WebSocketServer({ ...options, clientTracking: false });
server.on("connection", (ws) => {
  ws.on("error", () => ws.terminate());
  ws.on("message", (message, isBinary) => ws.send(message, { binary: isBinary }));
});
server.on("listening", () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
