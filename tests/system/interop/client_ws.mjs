// The dialogues with npm's ws, and two more that a browser has no way to begin.
// Arguments: the file of the ws package, the URL. Prints the report as one line of JSON.

import { check, runSteps } from "./dialogue.mjs";

const [wsPath, url] = process.argv.slice(2);
const { WebSocket } = await import(wsPath);

const more = {
  async fragments(connect) {
    const peer = await connect();
    const parts = ["Zażółć ", "", "gęślą ", "jaźń"];
    parts.forEach((part, index) => peer.socket.send(part, { fin: index === parts.length - 1 }));
    const answer = await peer.receive();
    check(answer === parts.join(""), `fragments came back as "${answer}"`);
    await peer.leave();
  },

  async ping(connect) {
    const peer = await connect();
    const pong = new Promise((resolve) => peer.socket.once("pong", resolve));
    peer.socket.ping("are you there?");
    const payload = await pong;
    check(payload.toString() === "are you there?", `pong with "${payload}"`);
    await peer.leave();
  },
};

console.log(JSON.stringify(await runSteps(WebSocket, url, more)));
process.exit();
