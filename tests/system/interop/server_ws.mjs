// An echo server on npm's ws that also closes, pings and sends fragments on request.
// Arguments: the file of the ws package, the subprotocol to choose.

const [wsPath, subprotocol] = process.argv.slice(2);
const { WebSocketServer } = await import(wsPath);

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
});

server.on("listening", () => console.log(`port ${server.address().port}`));

server.on("connection", (ws) => {
  ws.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
  ws.on("pong", (payload) => ws.send(`pong ${payload}`));
  ws.on("message", (data, isBinary) => answer(ws, data, isBinary));
});

function answer(ws, data, isBinary) {
  const [verb, ...words] = isBinary ? [] : data.toString().split(" ");
  if (verb === "do:close") {
    ws.close(Number(words[0]), words[1]);
  } else if (verb === "do:ping") {
    ws.ping(words[0]);
  } else if (verb === "do:fragments") {
    words.forEach((part, index) => ws.send(part, { fin: index === words.length - 1 }));
  } else {
    ws.send(data, { binary: isBinary });
  }
}
