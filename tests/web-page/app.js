// A Telegram app at a bridge page, stricter than any: whatever the page or its relay does that
// an app of today calls fatal is kept in `fatal`, and ends everything. The suite puts this
// before the page (with the page's own window), or into the page around its iframe.
'use strict';
const makeApp = (() => {
  const DATA = 2, CLOSE = 3, WINDOW = 4, PING = 5, PONG = 6, WELCOME = 0x11, BYE = 0x1f;
  // Kept, for cases change what the page has.
  const Big = BigInt, setTimeout = window.setTimeout.bind(window);
  const FIRST_CREDIT = 4 << 20, MAX_MESSAGE = 2 << 20, MAX_CHUNK = 64 << 10;

  function frame(type, stream, payload) {
    const bytes = new Uint8Array(8 + payload.length), view = new DataView(bytes.buffer);
    view.setUint32(0, type * 0x1000000 + stream);
    view.setUint32(4, payload.length);
    bytes.set(payload, 8);
    return bytes;
  }
  function number(value) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value);
    return bytes;
  }

  // What `out` needs: frames(array of frames), control(object).
  function makeApp(grants, credit) {
    const app = {
      fatal: [], states: [], traffic: { up: 0, down: 0 }, closedByPage: false, messages: 0, longest: 0,
      out: null, streams: new Map(), closed: new Set(), next: Math.floor(Math.random() * 0xf00000) + 1,
      isWelcome: false, waiting: new Set(),
    };
    app.changed = () => { for (const look of [...app.waiting]) look(); };
    app.fail = text => { app.fatal.push(text); app.changed(); };
    app.until = (what, condition, seconds) => new Promise((resolve, reject) => {
      const end = reason => {
        app.waiting.delete(look);
        clearTimeout(timer);
        if (reason) reject(Error(reason)); else resolve();
      };
      const look = () => {
        if (condition()) return end();
        if (app.fatal.length) return end(`fatal: ${app.fatal[0]}`);
        if (app.states.includes('failed') || app.closedByPage) return end(`over while waiting for ${what}`);
      };
      const timer = setTimeout(() => end(`no ${what} in ${seconds} s; states ${app.states}`), seconds * 1000);
      app.waiting.add(look);
      look();
    });
    app.send = (...frames) => app.out.frames(frames);
    app.hello = () => app.send(frame(0x10, 0, Uint8Array.of(1)));

    // ---- what comes of the page ----

    app.takeControl = message => {
      const keys = Object.keys(message).sort().join();
      const whole = value => Number.isSafeInteger(value) && value >= 0;
      if (app.over()) return app.fail(`${JSON.stringify(message)} after the end`);
      if (message.t === 'status' && keys === 'state,t' && ['connecting', 'reconnecting', 'connected', 'failed'].includes(message.state)) {
        if (message.state === 'connected' && !app.isWelcome) return app.fail('connected before WELCOME');
        app.states.push(message.state);
      } else if (message.t === 'close' && keys === 't') app.closedByPage = true;
      else if (message.t === 'traffic' && keys === 'down,t,up' && whole(message.up) && whole(message.down)) {
        if (!app.out.showsTraffic) return app.fail('traffic where nobody shows it');
        app.traffic.up += message.up;
        app.traffic.down += message.down;
      } else return app.fail(`control ${JSON.stringify(message)}`);
      app.changed();
    };
    app.over = () => app.closedByPage || app.states.includes('failed');

    app.takeFrames = buffer => {
      if (app.fatal.length) return;
      const bytes = new Uint8Array(buffer), view = new DataView(buffer);
      app.messages++;
      app.longest = Math.max(app.longest, bytes.length);
      if (app.over()) return app.fail('frames after the end');
      if (bytes.length === 0 || bytes.length > MAX_MESSAGE) return app.fail(`a message of ${bytes.length} bytes`);
      if (!app.isWelcome && bytes.length !== 8) return app.fail('the first message is not WELCOME alone');
      let at = 0, frames = 0;
      while (at < bytes.length) {
        if (bytes.length - at < 8) return app.fail('a cut header');
        const type = bytes[at], stream = view.getUint32(at) & 0xffffff, length = view.getUint32(at + 4);
        const end = at + 8 + length;
        if (end > bytes.length) return app.fail('a cut frame');
        if (++frames > 4096) return app.fail('too many frames');
        const wrong = app.takeFrame(type, stream, bytes.subarray(at + 8, end));
        if (wrong) return app.fail(`${wrong}: type ${type}, stream ${stream}, length ${length}`);
        at = end;
      }
      app.changed();
    };

    app.takeFrame = (type, id, payload) => {
      if (!app.isWelcome) {
        if (type !== WELCOME || id !== 0 || payload.length) return 'a frame before WELCOME';
        app.isWelcome = true;
        return;
      }
      if (type === PING && id === 0 && payload.length <= 64) return void app.send(frame(PONG, 0, payload));
      if (type === BYE) return 'BYE';
      if (![DATA, CLOSE, WINDOW].includes(type) || id === 0) return 'no such frame from a relay';
      const stream = app.streams.get(id);
      if (!stream && !app.closed.has(id)) return 'a stream that never was';
      if (type === CLOSE) {
        if (payload.length) return 'CLOSE with payload';
        if (stream) stream.gone();
      } else if (type === WINDOW) {
        const add = payload.length === 4 ? new DataView(payload.buffer, payload.byteOffset).getUint32(0) : 0;
        if (!add) return 'a bad WINDOW';
        if (!stream) return;
        stream.mayStillSend += add;
        if (stream.mayStillSend > 0xffffffff) return 'credit above 2^32';
        stream.push();
      } else {
        if (!payload.length || payload.length > 1 << 20) return 'DATA of no length that there is';
        if (!stream) return;
        stream.granted -= payload.length;
        if (stream.granted < 0) return 'DATA above credit';
        stream.take(payload.slice());
      }
    };

    // ---- streams ----

    app.open = async codec => {
      const id = app.next;
      app.next = app.next === 0xffffff ? 1 : app.next + 1;
      const stream = {
        id, mayStillSend: FIRST_CREDIT, granted: FIRST_CREDIT, ungranted: 0, holds: false,
        outgoing: [], incoming: [], coming: Promise.resolve(), got: 0, isClosed: false, tick: 0,
      };
      stream.push = () => {
        const frames = [];
        while (stream.outgoing.length && stream.mayStillSend && !stream.isClosed) {
          const first = stream.outgoing[0], length = Math.min(first.length, stream.mayStillSend, MAX_CHUNK);
          frames.push(frame(DATA, id, first.subarray(0, length)));
          stream.mayStillSend -= length;
          if (length === first.length) stream.outgoing.shift(); else stream.outgoing[0] = first.subarray(length);
        }
        if (frames.length) app.send(...frames);
      };
      stream.grant = () => {
        clearTimeout(stream.tick);
        stream.tick = 0;
        if (stream.holds || !stream.ungranted || stream.isClosed) return;
        app.send(frame(WINDOW, id, number(stream.ungranted)));
        stream.granted += stream.ungranted;
        stream.ungranted = 0;
      };
      stream.take = bytes => {
        stream.got += bytes.length;
        stream.ungranted += bytes.length;
        if (grants === 'each' || stream.ungranted >= 256 << 10) stream.grant();
        else if (!stream.tick) stream.tick = setTimeout(stream.grant, 20);
        stream.coming = stream.coming.then(() => codec.open(bytes)).then(clear => {
          stream.incoming.push(clear);
          app.changed();
        }).catch(error => app.fail(String(error)));
      };
      stream.gone = () => {
        stream.isClosed = true;
        app.streams.delete(id);
        app.closed.add(id);
        clearTimeout(stream.tick);
      };
      stream.close = () => {
        app.send(frame(CLOSE, id, new Uint8Array(0)));
        stream.gone();
      };
      stream.write = async clear => {
        stream.outgoing.push(await codec.seal(clear));
        stream.push();
      };
      const { header } = codec;
      app.streams.set(id, stream);
      app.send(frame(1, id, new Uint8Array(0)));
      if (header.length) { stream.outgoing.push(header); stream.push(); }
      return stream;
    };

    // Sends `total` bytes in packets that the other end sends back, and compares all of it.
    app.echo = async (codec, total, packetLength, seconds) => {
      const stream = await app.open(codec), window = 8 << 20;
      const sent = [];
      let written = 0, checked = 0;
      const check = () => {
        for (const clear of stream.incoming.splice(0)) {
          for (let at = 0; at < clear.length;) {
            const first = sent[0];
            if (!first) throw Error('more came back than was sent');
            const length = Math.min(clear.length - at, first.length);
            for (let i = 0; i < length; i++) if (clear[at + i] !== first[i]) throw Error(`byte ${checked + i} differs`);
            at += length;
            checked += length;
            if (length === first.length) sent.shift(); else sent[0] = first.subarray(length);
          }
        }
      };
      while (checked < total || written < total) {
        while (written < total && written - checked < window) {
          const length = Math.max(8, Math.min(packetLength, total - written)) & ~3;
          const packet = new Uint8Array(4 + length);
          new DataView(packet.buffer).setUint32(0, length, true);
          crypto.getRandomValues(packet.subarray(4, Math.min(packet.length, 65536)));
          packet.fill(0x45, 4, 12);
          sent.push(packet);
          await stream.write(packet);
          written += length;
        }
        await app.until('echo', () => stream.incoming.length || stream.isClosed, seconds);
        if (stream.isClosed) throw Error('the relay has closed the stream');
        check();
        if (!sent.length && written >= total) break;
      }
      return stream;
    };

    // A packet of the obfuscated intermediate transport, of `words` and zeros behind them.
    const packet = (words, length) => {
      const bytes = new Uint8Array(4 + length), view = new DataView(bytes.buffer);
      view.setUint32(0, length, true);
      words.forEach((word, i) => view.setUint32(4 + 4 * i, word, true));
      return bytes;
    };

    // The first that a client asks a DC: req_pq_multi with a nonce, which comes back in resPQ.
    app.resPq = async codec => {
      const stream = await app.open(codec), nonce = crypto.getRandomValues(new Uint32Array(4));
      await stream.write(packet([0, 0, 0, Math.floor(Date.now() / 1000), 20, 0xbe7e8ef1, ...nonce], 40));
      await app.until('resPQ', () => stream.incoming.length || stream.isClosed, 20);
      if (stream.isClosed) throw Error('the relay has closed the stream');
      const clear = stream.incoming[0], view = new DataView(clear.buffer, clear.byteOffset, clear.length);
      if (view.getUint32(24, true) !== 0x05162463) throw Error('no resPQ');
      nonce.forEach((word, i) => { if (view.getUint32(28 + 4 * i, true) !== word) throw Error('another nonce'); });
      return stream;
    };

    // Commands of the fake Telegram.
    const command = (opcode, a, b, length) => packet([0x454b4146, 0x2147542d, opcode, a, b], length);
    app.closedByDc = async codec => {
      const stream = await app.open(codec);
      await stream.write(command(4, 0, 0, 20));
      await app.until('CLOSE', () => stream.isClosed, 20);
      if (stream.got !== 24) throw Error(`${stream.got} bytes before CLOSE`);
    };
    // An echo after a while in which nothing else happens.
    app.later = async (codec, millis) => {
      const stream = await app.open(codec);
      await stream.write(command(2, millis, 0, 20));
      await app.until('a late answer', () => stream.got === 24, millis / 1000 + 5);
      stream.close();
    };
    app.download = async (codec, total) => {
      const stream = await app.open({ ...codec, open: async bytes => bytes.subarray(0, 0) });
      await stream.write(command(1, total, 60000, 20));
      await app.until('all', () => stream.got >= total || stream.isClosed, 100);
      if (stream.isClosed) throw Error('the relay has closed the stream');
      stream.close();
    };
    app.upload = async (codec, total) => {
      const stream = await app.open(codec), most = 4 << 20;
      for (let left = total; left > 0; left -= 60000) {
        await app.until('credit', () => stream.mayStillSend > most / 2, 30);
        await stream.write(command(7, 0, 0, 60000));
      }
      await app.until('all', () => stream.got >= Math.ceil(total / 60000) * 24, 100);
      stream.close();
    };
    return app;
  }

  // ---- what a stream's bytes are ----

  const plain = async () => ({ header: new Uint8Array(0), seal: async b => b, open: async b => b });

  // An obfuscated intermediate connection. AES-CTR by WebCrypto, which keeps no place in its
  // key stream: the counter is counted here, and a cut block is filled up in front.
  async function cipher(material, secret) {
    const both = new Uint8Array(32 + secret.length);
    both.set(material.subarray(0, 32));
    both.set(secret, 32);
    const raw = secret.length ? await crypto.subtle.digest('SHA-256', both) : both.buffer;
    const key = await crypto.subtle.importKey('raw', raw, 'AES-CTR', false, ['encrypt']);
    const start = Big('0x' + [...material.subarray(32)].map(b => b.toString(16).padStart(2, '0')).join(''));
    let at = 0;
    return async bytes => {
      const before = at % 16, padded = new Uint8Array(before + bytes.length);
      padded.set(bytes, before);
      const counter = new Uint8Array(16);
      let value = (start + Big((at - before) / 16)) & ((1n << 128n) - 1n);
      for (let i = 15; i >= 0; i--) { counter[i] = Number(value & 255n); value >>= 8n; }
      at += bytes.length;
      return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-CTR', counter, length: 128 }, key, padded)).subarray(before);
    };
  }
  async function obfuscated(secret, dc, tag) {
    const header = new Uint8Array(64);
    do crypto.getRandomValues(header); while (header[0] === 0xef || header[0] < 0x60 || !header[4] || header[0] === tag);
    header.fill(tag, 56, 60);
    header[60] = dc;
    header[61] = 0;
    const material = header.slice(8, 56);
    const seal = await cipher(material, secret), open = await cipher(material.slice().reverse(), secret);
    const sealed = header.slice();
    sealed.set((await seal(header)).subarray(56), 56);
    return { header: sealed, seal, open };
  }

  makeApp.codec = async what => what.secret === undefined ? plain()
    : obfuscated(Uint8Array.from(what.secret.match(/../g) || [], h => parseInt(h, 16)), 2, 0xee);

  // ---- the boundaries ----

  // A native window: `kind` is desktop, desktop-groups, android or android-base64.
  makeApp.native = (kind, nonce, path, grants) => {
    const app = makeApp(grants), calls = [], channel = new MessageChannel();
    const desktop = kind.startsWith('desktop'), limit = desktop ? 1572861 : MAX_MESSAGE;
    let handler = null, known = false, wrapped = false;

    function fromPage(message) {
      if (location.pathname !== path || location.search || location.hash) return app.fail(`a message from ${location.href}`);
      if (typeof message === 'string') {
        if (!known) {
          if (message !== JSON.stringify({ t: 'tproxy-android-init', v: 1, nonce })) return app.fail(`init ${message}`);
          if (typeof handler !== 'function') return app.fail('init before onmessage');
          known = true;
          if (kind === 'android-base64') wrap();
          return app.hello();
        }
        try { return app.takeControl(JSON.parse(message)); } catch (error) { return app.fail(`not JSON: ${message}`); }
      }
      if (Object.prototype.toString.call(message) !== '[object ArrayBuffer]') return app.fail('neither string nor ArrayBuffer');
      if (!known) return app.fail('frames before init');
      if (message.byteLength > limit) return app.fail(`a message of ${message.byteLength} bytes`);
      app.takeFrames(message.slice(0));
    }

    // One call at a time, as of another process.
    channel.port1.onmessage = () => {
      const data = calls.shift();
      let began = Date.now();
      try { handler(Object.freeze({ data })); } catch (error) { app.fail(`onmessage threw ${error}`); }
      if (Date.now() - began > 10000) app.fail('onmessage took 10 s');
    };
    function call(data) { calls.push(data); channel.port2.postMessage(0); }

    app.out = {
      showsTraffic: false,
      control: message => call(JSON.stringify(message)),
      frames: frames => {
        if (kind !== 'desktop-groups') return frames.forEach(one => call(one.buffer));
        let group = [], length = 0;
        const flush = () => {
          const all = new Uint8Array(length);
          let at = 0;
          for (const one of group) { all.set(one, at); at += one.length; }
          if (length) call(all.buffer);
          group = [];
          length = 0;
        };
        for (const one of frames) {
          if (length + one.length > 1 << 20 || group.length === 4096) flush();
          group.push(one);
          length += one.length;
        }
        flush();
      },
    };

    const native = {};
    Object.defineProperty(native, 'onmessage', {
      configurable: !desktop, enumerable: true, get: () => handler,
      set: value => { if (known) app.fail('onmessage set after init'); handler = value; },
    });
    native.postMessage = message => {
      if (wrapped && typeof message !== 'string') return app.fail('an ArrayBuffer at what takes base64');
      fromPage(message);
    };
    // A new app on an old WebView, whose bridge carries text: both are replaced once it knows the page.
    function wrap() {
      const text = native.postMessage, taker = handler;
      wrapped = true;
      native.postMessage = message => {
        if (typeof message === 'string') return text.call(native, message);
        if (message.byteLength > (1 << 20) + 8) return app.fail('a message above what base64 takes');
        let raw = '';
        const bytes = new Uint8Array(message);
        for (let at = 0; at < bytes.length; at += 32768) raw += String.fromCharCode.apply(null, bytes.subarray(at, at + 32768));
        const back = Uint8Array.from(atob(btoa(raw)), c => c.charCodeAt(0));
        fromPage(back.buffer);
      };
      handler = event => taker(event);
    }
    Object.defineProperty(window, 'TelegramWebProxy', {
      value: desktop ? Object.freeze(native) : native, writable: false, configurable: false,
    });
    return app;
  };

  // A browser's tab around the page's iframe.
  makeApp.browser = (iframe, origin, grants) => {
    const app = makeApp(grants), channel = new MessageChannel(), port = channel.port1;
    app.out = {
      showsTraffic: true,
      control: message => port.postMessage(message),
      frames: frames => frames.forEach(one => port.postMessage(one.buffer, [one.buffer])),
    };
    port.onmessage = event => {
      if (Object.prototype.toString.call(event.data) === '[object ArrayBuffer]') app.takeFrames(event.data);
      else if (event.data && typeof event.data === 'object') app.takeControl(event.data);
      else app.fail('neither object nor ArrayBuffer');
    };
    app.begin = () => {
      const other = () => new MessageChannel().port2;
      // None of these is the message that the page waits for.
      for (const [data, ports] of [
        [{ t: 'tproxy-init', v: 1 }, []], [{ t: 'tproxy-init', v: 2 }, [other()]], [{ t: 'tproxy-init', v: 1, x: 0 }, [other()]],
        ['tproxy-init', [other()]], [{ t: 'tproxy-init', v: 1 }, [other(), other()]], [null, [other()]],
      ]) iframe.contentWindow.postMessage(data, origin, ports);
      iframe.contentWindow.postMessage({ t: 'tproxy-init', v: 1 }, origin, [channel.port2]);
      app.hello();
    };
    return app;
  };

  // ---- what apps take away from a page ----

  makeApp.restrict = old => {
    const gone = ['Worker', 'SharedWorker', 'RTCPeerConnection', 'WebAssembly', 'XMLHttpRequest', 'EventSource', 'indexedDB', 'caches',
      'WebTransport', 'BroadcastChannel', 'Notification', 'FileReader', 'localStorage', 'sessionStorage'];
    // Chromium 60 has not got these either.
    if (old) {
      gone.push('AbortController', 'AbortSignal', 'BigInt', 'queueMicrotask', 'globalThis', 'structuredClone', 'TransformStream');
      delete Promise.prototype.finally;
      delete Promise.allSettled;
      delete Promise.any;
      for (const name of ['flat', 'flatMap', 'at']) delete Array.prototype[name];
      for (const name of ['matchAll', 'replaceAll', 'at', 'trimEnd', 'trimStart']) delete String.prototype[name];
      delete Object.fromEntries;
    }
    for (const name of gone) Object.defineProperty(window, name, { value: undefined, configurable: false });
    for (const name of ['cookie']) Object.defineProperty(document, name, { get() { throw Error('no cookies'); }, set() { throw Error('no cookies'); } });
    navigator.sendBeacon = undefined;
    // A page may be gone before its last request, which needs `keepalive`; others are too long for it.
    const real = window.fetch;
    window.fetch = (where, what) => {
      if (Boolean(what.keepalive) !== (what.method === 'DELETE')) throw Error('keepalive where it does not belong');
      return real(where, what);
    };
  };
  return makeApp;
})();
