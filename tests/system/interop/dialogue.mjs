// The dialogues of a JavaScript client, over the WebSocket interface that Node's ws and browsers
// share. Each entry of `steps` opens its own connection; `runSteps` returns name -> "ok" or what failed.

const DEADLINE_MILLISECONDS = 15000;
export const SUBPROTOCOL = "chat.v2";
const NON_ASCII = "Zażółć gęślą jaźń, 世界, 🌍";
const SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20];

export function check(condition, text) {
  if (!condition) throw new Error(text);
}

export class Peer {
  constructor(WebSocket, url, subprotocols = []) {
    this.socket = new WebSocket(url, subprotocols);
    this.socket.binaryType = "arraybuffer";
    this.received = [];
    this.waiting = [];
    this.socket.onmessage = ({ data }) => {
      const waiter = this.waiting.shift();
      if (waiter) waiter(data);
      else this.received.push(data);
    };
    this.closed = new Promise((resolve) => (this.socket.onclose = resolve));
    this.open = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = () => reject(new Error("the connection failed"));
    });
  }

  send(message) {
    this.socket.send(message);
  }

  receive() {
    if (this.received.length) return Promise.resolve(this.received.shift());
    const closed = this.closed.then(({ code }) => {
      throw new Error(`closed with ${code} instead of a message`);
    });
    return Promise.race([closed, new Promise((resolve) => this.waiting.push(resolve))]);
  }

  async leave() {
    this.socket.close(1000);
    const { code, wasClean } = await this.closed;
    check(code === 1000 && wasClean, `left with ${code}, clean: ${wasClean}`);
  }
}

async function expectEcho(peer, message) {
  peer.send(message);
  const answer = await peer.receive();
  if (typeof message === "string") {
    check(answer === message, `text of ${message.length} came back as ${answer.length}`);
  } else {
    const bytes = new Uint8Array(answer);
    check(bytes.length === message.length, `${message.length} bytes came back as ${bytes.length}`);
    check(bytes.every((byte, index) => byte === message[index]), "bytes came back changed");
  }
}

async function expectSubprotocol(connect, offered, chosen) {
  const peer = await connect(offered);
  check(peer.socket.protocol === chosen, `subprotocol is "${peer.socket.protocol}"`);
  await peer.leave();
}

export const steps = {
  async text(connect) {
    const peer = await connect();
    for (const size of SIZES) await expectEcho(peer, "The quick fox".repeat(90000).slice(0, size));
    await peer.leave();
  },

  async "non-ascii"(connect) {
    const peer = await connect();
    await expectEcho(peer, NON_ASCII);
    await expectEcho(peer, NON_ASCII.repeat(2000));
    await peer.leave();
  },

  async binary(connect) {
    const peer = await connect();
    for (const size of SIZES) await expectEcho(peer, Uint8Array.from({ length: size }, (_, i) => i));
    await peer.leave();
  },

  async order(connect) {
    const peer = await connect();
    const messages = Array.from({ length: 200 }, (_, index) => `message ${index} ${NON_ASCII}`);
    messages.forEach((message) => peer.send(message));
    for (const message of messages) {
      const answer = await peer.receive();
      check(answer === message, `"${answer}" instead of "${message}"`);
    }
    await peer.leave();
  },

  async "our-ping"(connect) {
    const peer = await connect();
    peer.send("do:ping hello");
    const answer = await peer.receive();
    check(answer === "pong hello", `"${answer}" instead of the pong`);
    await peer.leave();
  },

  "subprotocol-none": (connect) => expectSubprotocol(connect, [], ""),

  "subprotocol-known": (connect) => expectSubprotocol(connect, ["other", SUBPROTOCOL], SUBPROTOCOL),

  async "client-closes"(connect) {
    const peer = await connect();
    peer.socket.close(4001, "enough-ąę");
    const { code, wasClean } = await peer.closed;
    check(code === 4001 && wasClean, `closed with ${code}, clean: ${wasClean}`);
  },

  async "server-closes"(connect) {
    const peer = await connect();
    peer.send("do:close 4002 go-away-ąę");
    const { code, reason, wasClean } = await peer.closed;
    check(code === 4002 && reason === "go-away-ąę" && wasClean, `closed with ${code} ${reason}`);
  },
};

function withDeadline(promise) {
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error("deadline passed")), DEADLINE_MILLISECONDS),
  );
  return Promise.race([promise, late]);
}

export async function runSteps(WebSocket, url, more = {}) {
  const connect = async (subprotocols) => {
    const peer = new Peer(WebSocket, url, subprotocols);
    await peer.open;
    return peer;
  };
  const report = {};
  for (const [name, step] of Object.entries({ ...steps, ...more })) {
    report[name] = await withDeadline(step(connect)).then(() => "ok", (error) => error.message);
  }
  return report;
}
