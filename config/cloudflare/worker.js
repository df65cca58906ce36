// smol-mtproxy's route `worker`: a tunnel from the proxy to Telegram's DCs, and to nowhere
// else. Its secret KEY is a long random text; doc/cloudflare.md has the steps.
import { connect } from "cloudflare:sockets";

// Telegram's networks: an address, and how many bits all of one have in common.
const NETWORKS = [
  ["91.105.192.0", 23], ["91.108.4.0", 22], ["91.108.8.0", 21], ["91.108.16.0", 21],
  ["91.108.56.0", 22], ["95.161.64.0", 20], ["149.154.160.0", 20], ["185.76.151.0", 24],
];
// Bytes of a message to the proxy.
const MAX_CHUNK = 65536;
// Bytes from the proxy that the DC has not taken.
const MAX_WAITING = 8 << 20;

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname !== "/apiws") return refusal(404, "not found");
    if (request.headers.get("Upgrade")?.toLowerCase() !== "websocket")
      return refusal(426, "a WebSocket is wanted");
    if (!env.KEY || !(await isSame(url.searchParams.get("key") ?? "", env.KEY)))
      return refusal(403, "another key");
    const address = url.searchParams.get("dst") ?? "";
    if (!isTelegrams(address)) return refusal(400, "not an address of Telegram's");
    let dc;
    try {
      dc = connect({ hostname: address, port: 443 });
      await dc.opened;
    } catch {
      return refusal(502, "not reached");
    }
    const [client, server] = Object.values(new WebSocketPair());
    server.binaryType = "arraybuffer";
    server.accept();
    up(server, dc);
    down(server, dc);
    return new Response(null, { status: 101, webSocket: client });
  },
};

// What the proxy sends goes to the DC, in its order. Nothing keeps a WebSocket here from
// sending more than the DC takes, so too much of that ends the tunnel.
function up(server, dc) {
  const writer = dc.writable.getWriter();
  let waiting = 0;
  const end = (code) => {
    close(server, code);
    dc.close().catch(() => {});
  };
  server.addEventListener("message", ({ data }) => {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
    waiting += bytes.length;
    if (waiting > MAX_WAITING) return end(1009);
    writer.write(bytes).then(() => { waiting -= bytes.length; }, () => end(1011));
  });
  server.addEventListener("close", () => end(1000));
  server.addEventListener("error", () => end(1011));
}

// What the DC sends goes to the proxy, a chunk a message, and the next is read then.
async function down(server, dc) {
  let code = 1000;
  try {
    const reader = dc.readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let at = 0; at < value.length; at += MAX_CHUNK)
        server.send(value.slice(at, at + MAX_CHUNK));
    }
  } catch {
    code = 1011;
  }
  close(server, code);
  dc.close().catch(() => {});
}

function close(server, code) {
  try {
    server.close(code);
  } catch {
    // It is closed.
  }
}

function refusal(status, text) {
  return new Response(`${text}\n`, { status });
}

// Takes as long whichever letters are wrong: hashes of one length are compared.
async function isSame(given, wanted) {
  const hash = async (text) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [a, b] = [await hash(given), await hash(wanted)];
  return a.reduce((differs, byte, at) => differs | (byte ^ b[at]), 0) === 0;
}

function isTelegrams(address) {
  const number = asNumber(address);
  const isIn = ([first, bits]) => number >>> (32 - bits) === asNumber(first) >>> (32 - bits);
  return number !== null && NETWORKS.some(isIn);
}

// null: not four numbers of 0 to 255, in their only form.
function asNumber(address) {
  const parts = address.split(".");
  const isByte = (part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256;
  if (parts.length !== 4 || !parts.every(isByte)) return null;
  return parts.reduce((number, part) => number * 256 + Number(part), 0);
}
