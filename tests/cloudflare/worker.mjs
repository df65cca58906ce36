// config/cloudflare/worker.js in a stub of the Workers' runtime. Prints "N passed, M failed".
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const KEY = "a-long-key";
const DC = "149.154.167.51";
const PATIENCE = 5000;

// What connect() is to do, and what it was asked for.
let connecting, asked;

class Dc {
  constructor({ refuses = false, stuck = false } = {}) {
    this.got = [];
    this.isClosed = false;
    this.opened = refuses ? Promise.reject(new Error("refused")) : Promise.resolve({});
    this.opened.catch(() => {});
    this.readable = new ReadableStream({ start: (controller) => { this.says = controller; } });
    this.writable = new WritableStream({
      write: (bytes) => {
        assert(bytes instanceof Uint8Array);
        this.got.push(...bytes);
        return stuck ? new Promise(() => {}) : undefined;
      },
    });
  }
  async close() {
    this.isClosed = true;
    try { this.says.close(); } catch { /* It is. */ }
  }
}

// One end, as far as the script sees it; `told` is what the proxy would get.
class Socket extends EventTarget {
  told = [];
  closed = null;
  accept() { this.accepted = true; }
  send(data) {
    assert(this.accepted && this.closed === null);
    assert(data instanceof Uint8Array && data.byteLength <= 65536 && data.byteLength > 0);
    assert.equal(data.buffer.byteLength, data.byteLength, "a copy of its own");
    this.told.push(data);
  }
  close(code) {
    if (this.closed !== null) throw new TypeError("closed");
    this.closed = code;
  }
  says(data) { this.dispatchEvent(Object.assign(new Event("message"), { data })); }
  leaves(code) { this.dispatchEvent(Object.assign(new Event("close"), { code })); }
}

let pair;
globalThis.WebSocketPair = class { constructor() { pair = { 0: new Socket(), 1: new Socket() }; return pair; } };
globalThis.Response = class {
  constructor(body, { status, webSocket } = {}) { Object.assign(this, { body, status, webSocket }); }
};
globalThis.connectOfTest = (to) => {
  asked = to;
  if (connecting === "throws") throw new TypeError("proxy request failed");
  return connecting;
};

const file = new URL("../../config/cloudflare/worker.js", import.meta.url);
const IMPORT = 'import { connect } from "cloudflare:sockets";';
const text = await readFile(file, "utf8");
assert(text.includes(IMPORT));
const script = text.replace(IMPORT, "const connect = globalThis.connectOfTest;");
const { default: worker } = await import(`data:text/javascript,${encodeURIComponent(script)}`);

function visit(query, { upgrade = "websocket", path = "/apiws", env = { KEY } } = {}) {
  asked = pair = undefined;
  const headers = upgrade === null ? {} : { Upgrade: upgrade };
  const request = new Request(`https://w.example${path}?${query}`, { headers });
  return worker.fetch(request, env);
}

async function until(what, condition) {
  for (const end = Date.now() + PATIENCE; !condition(); await new Promise(setImmediate))
    assert(Date.now() < end, what);
}

// A tunnel that is open.
async function tunnel(dc = new Dc()) {
  connecting = dc;
  const answer = await visit(`dst=${DC}&dc=2&key=${KEY}`);
  assert.equal(answer.status, 101);
  assert.equal(answer.webSocket, pair[0]);
  return { dc, server: pair[1] };
}

const tests = {
  async "only a WebSocket with the key and an address of Telegram's is served"() {
    connecting = new Dc();
    const good = `dst=${DC}&dc=2&key=${KEY}`;
    for (const [status, query, options] of [
      [404, good, { path: "/" }],
      [404, good, { path: "/apiws/" }],
      [426, good, { upgrade: null }],
      [426, good, { upgrade: "h2c" }],
      [403, `dst=${DC}&dc=2`, {}],
      [403, `dst=${DC}&dc=2&key=`, {}],
      [403, `dst=${DC}&dc=2&key=a-long-kez`, {}],
      [403, `dst=${DC}&dc=2&key=${KEY}x`, {}],
      [403, `dst=${DC}&dc=2&key=`, { env: { KEY: "" } }],
      [403, `dst=${DC}&dc=2`, { env: {} }],
      [400, `dc=2&key=${KEY}`, {}],
    ]) {
      const answer = await visit(query, options);
      assert.equal(answer.status, status, query);
      assert.equal(asked, undefined, "nobody is connected to");
    }
    const answer = await visit(good, { upgrade: "WebSocket" });
    assert.equal(answer.status, 101);
    assert.deepEqual(asked, { hostname: DC, port: 443 });
  },

  async "every DC is in the list and nobody else"() {
    for (const address of [
      "149.154.175.50", "149.154.167.51", "149.154.175.100", "149.154.167.91", "149.154.171.5",
      "91.105.192.100", "149.154.160.0", "149.154.175.255", "91.108.4.0", "91.108.23.255",
      "149.154.175.10", "149.154.167.40", "149.154.175.117", "91.108.59.255", "95.161.79.255",
    ]) {
      connecting = new Dc();
      assert.equal((await visit(`dst=${address}&dc=2&key=${KEY}`)).status, 101, address);
    }
    for (const address of [
      "149.154.159.255", "149.154.176.0", "91.108.3.255", "91.108.24.0", "91.105.194.0",
      "127.0.0.1", "10.0.0.1", "0.0.0.0", "255.255.255.255", "149.154.167", "149.154.167.51.1",
      "149.154.167.051", "149.154.167.256", "149.154.167.-1", "149.154.167.5e1", "0x959aa733",
      "2509940531", "149.154.167.51:80", " 149.154.167.51", "149.154.167.51.example.com",
      "[2001:67c:4e8:f002::a]", "",
    ]) {
      const answer = await visit(`dst=${encodeURIComponent(address)}&dc=2&key=${KEY}`);
      assert.equal(answer.status, 400, address);
      assert.equal(asked, undefined, address);
    }
  },

  async "who cannot be reached is told of before the 101"() {
    for (const dc of [new Dc({ refuses: true }), "throws"]) {
      connecting = dc;
      const answer = await visit(`dst=${DC}&dc=2&key=${KEY}`);
      assert.equal(answer.status, 502);
      assert.equal(pair, undefined);
    }
  },

  async "bytes go both ways as they are"() {
    const { dc, server } = await tunnel();
    assert.equal(server.binaryType, "arraybuffer");
    for (const chunk of [[1, 2, 3], [4], []]) server.says(Uint8Array.from(chunk).buffer);
    server.says("\u00e9");
    await until("its bytes", () => dc.got.length === 6);
    assert.deepEqual(dc.got, [1, 2, 3, 4, 0xc3, 0xa9]);
    const long = Uint8Array.from({ length: 200_000 }, (_, at) => at);
    dc.says.enqueue(Uint8Array.of(9));
    dc.says.enqueue(long);
    await until("the answer", () => server.told.length === 5);
    assert.deepEqual(Buffer.concat(server.told), Buffer.from([9, ...long]));
    assert.equal(server.closed, null);
  },

  async "either end closes the other"() {
    let { dc, server } = await tunnel();
    dc.says.enqueue(Uint8Array.of(1));
    dc.says.close();
    await until("its end", () => server.closed === 1000 && dc.isClosed);
    assert.equal(server.told.length, 1);
    ({ dc, server } = await tunnel());
    dc.says.error(new Error("reset"));
    await until("its end", () => server.closed === 1011);
    for (const code of [1000, 1001, 1005, 1006, 4000]) {
      ({ dc, server } = await tunnel());
      server.leaves(code);
      await until("its end", () => dc.isClosed && server.closed === 1000);
    }
  },

  async "what a DC does not take has a bound"() {
    const { dc, server } = await tunnel(new Dc({ stuck: true }));
    const chunk = new Uint8Array(64 << 10).buffer;
    let said = 0;
    for (; server.closed === null && said < 1000; said += 1) server.says(chunk);
    assert.equal(server.closed, 1009);
    assert.equal(said, 129);
    await until("its end", () => dc.isClosed);
  },
};

let [passed, failed] = [0, 0];
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    passed += 1;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${error.message}`);
  }
}
console.log(`worker: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
