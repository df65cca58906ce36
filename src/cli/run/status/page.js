'use strict';
// Everything that is shown goes in as text: names and lines of the log are of others.
const $ = id => document.getElementById(id), KEY = 'api-token', ns = 'http://www.w3.org/2000/svg';
let token = sessionStorage.getItem(KEY), past = null, turn = 0, isBusy = false;

const make = (tag, text, kind) => {
  const one = document.createElement(tag);
  if (text !== undefined && text !== null) one.textContent = text;
  if (kind) one.className = kind;
  return one;
};
const drawn = (tag, attributes, text) => {
  const one = document.createElementNS(ns, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  if (text !== undefined) one.textContent = text;
  return one;
};
const size = bytes => {
  let unit = 0;
  while (bytes >= 1000 && unit < 5) { bytes /= 1024; unit++; }
  return (unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][unit];
};
const age = s => s === null || s === undefined ? '–' : s < 120 ? s + ' s' : s < 7200 ? Math.floor(s / 60) + ' min'
  : s < 172800 ? Math.floor(s / 3600) + ' h' : Math.floor(s / 86400) + ' d';
const trip = micros => micros === null ? '–' : (micros / 1000).toFixed(micros < 10000 ? 1 : 0) + ' ms';

async function ask(target, options = {}) {
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = 'Bearer ' + token;
  const answer = await fetch(target, { ...options, headers, credentials: 'omit' });
  if (answer.ok) return options.method ? answer.text() : answer.json();
  let why = answer.statusText;
  try { why = (await answer.json()).detail || why; } catch { /* no words */ }
  throw Object.assign(new Error(why), { status: answer.status });
}

// columns: [name, cell of a row: text or an element, 1: a number, 2: a sentence]
const kinds = ['', 'n', 'w'];
function table(title, rows, columns, none) {
  const card = make('section'), wide = make('div', null, 'wide');
  card.append(make('h2', title));
  if (!rows.length) { card.append(make('p', none, 'dim')); return card; }
  const all = make('table', null, 'rows'), head = make('tr'), top = make('thead'), body = make('tbody');
  for (const [name, , kind] of columns) head.append(make('th', name, kinds[kind || 0]));
  for (const row of rows) {
    const line = make('tr');
    for (const [name, cell, kind] of columns) {
      const value = cell(row), one = make('td', value instanceof Node ? undefined : value, kinds[kind || 0]);
      if (value instanceof Node) one.append(value);
      one.dataset.name = name;
      line.append(one);
    }
    body.append(line);
  }
  top.append(head);
  all.append(top, body);
  wide.append(all);
  card.append(wide);
  return card;
}

function chart(svg, lines, each, words) {
  const wide = svg.clientWidth || 600, high = svg.clientHeight || 140, left = 4, floor = high - 18, roof = 30;
  const most = Math.max(1, ...lines.flatMap(line => line.values)), slots = 3600 / each - 1;
  svg.replaceChildren();
  svg.setAttribute('viewBox', `0 0 ${wide} ${high}`);
  const x = (place, count) => left + (wide - 2 * left) * (slots - (count - 1 - place)) / slots;
  const y = value => floor - (floor - roof) * value / most;
  for (const part of [0, .5, 1]) {
    const at = y(most * part);
    svg.append(drawn('line', { class: 'grid', x1: left, x2: wide - left, y1: at, y2: at }));
  }
  for (const [part, word, anchor] of [[0, '1 h ago', 'start'], [.5, '30 min', 'middle'], [1, 'now', 'end']])
    svg.append(drawn('text', { x: left + (wide - 2 * left) * part, y: high - 4, 'text-anchor': anchor }, word));
  svg.append(drawn('text', { x: left, y: 11 }, 'most ' + words(most)));
  lines.forEach(({ values, kind, name }, number) => {
    const points = values.map((value, place) => `${x(place, values.length).toFixed(1)},${y(value).toFixed(1)}`);
    if (points.length) svg.append(drawn('polyline', { class: kind, points: points.join(' ') }));
    if (name) svg.append(drawn('text', { class: 'k' + kind, x: wide - left, y: 11 + 13 * number, 'text-anchor': 'end' }, name));
  });
}

function charts() {
  if (!past) return;
  const { seconds_each: each, clients, bytes_up: up, bytes_down: down } = past;
  const rate = list => list.map(bytes => bytes / each), now = list => size((list.at(-1) || 0) / each) + '/s';
  chart($('clients'), [{ values: clients, kind: 'a' }], each, String);
  chart($('traffic'), [{ values: rate(down), kind: 'a', name: '↓ to clients ' + now(down) },
    { values: rate(up), kind: 'b', name: '↑ from clients ' + now(up) }], each, most => size(most) + '/s');
}

function numbers(figures) {
  const list = [], add = (value, what) => {
    const one = make('div');
    one.append(make('b', value), make('span', what));
    list.push(one);
  };
  const { clients, buffers, dcs, links } = figures;
  if (clients) {
    add(clients.now, `clients of at most ${clients.most}`);
    add(clients.today, 'clients came today (UTC)');
    add(size(clients.bytes_today), 'carried today');
    add(clients.strangers_at_site, 'strangers at the site');
  }
  add(dcs.reduce((sum, dc) => sum + dc.sessions, 0), 'sessions with Telegram');
  if (links) add(`${links.filter(link => link.state === 'up').length} of ${links.length}`, 'links up');
  add(size(buffers.used), `of ${size(buffers.total)} buffers in use`);
  if (figures.resident_bytes) add(size(figures.resident_bytes), 'of memory');
  $('numbers').replaceChildren(...list);
  $('about').textContent = `${figures.version}, role ${figures.role}, up for ${age(figures.up_seconds)}`;
}

const good = (is, text) => make('span', text, is ? 'good' : 'bad');
const limits = ({ state, bytes, limits: of }) => {
  const words = [];
  if (state !== 'open') words.push(state.replace('_', ' '));
  if (of.max_connections) words.push(`${of.max_connections} clients`);
  if (of.max_ips) words.push(`${of.max_ips} addresses`);
  if (of.expires) words.push('until ' + of.expires);
  if (of.quota) words.push(`${size(of.quota)} (${Math.round(100 * bytes / of.quota)} % used)`);
  if (of.rate) words.push(size(of.rate) + '/s');
  return words.join(', ') || '–';
};

function lists(figures, secrets, routes) {
  const cards = [], of = figures.limits_reached.concat(figures.turned_away);
  if (figures.errors) cards.push(table('Warnings and errors', figures.errors, [
    ['What, and what to do', one => good(one.level === 'info', one.line), 2], ['Times', one => one.count, 1], ['Last', one => age(one.seconds_ago) + ' ago', 1],
  ], 'None lately.'));
  if (of.length) cards.push(table('Turned away', of, [['Why', one => one.words, 2], ['Times', one => one.count, 1]]));
  if (secrets) cards.push(table('Users', secrets, [
    ['Name', one => one.name], ['Clients', one => one.clients, 1], ['Addresses', one => one.addresses, 1],
    ['Bytes', one => size(one.bytes), 1], ['Seen', one => one.clients ? 'now' : age(one.seen_seconds_ago), 1], ['Limits', limits],
    ['', one => { const show = make('button', 'Link'); show.onclick = () => ways(one.name); return show; }],
  ], 'There is no secret.'));
  cards.push(table('DCs', figures.dcs, [
    ['DC', one => one.dc], ['Sessions', one => one.sessions, 1],
    ['By', one => Object.entries(one.sessions_by_route).map(([by, count]) => `${count} ${by}`).join(', ') || '–'],
    ['Connections', one => one.connections, 1], ['Opened', one => one.opened, 1], ['Failed', one => one.failed, 1],
  ], 'No DC was used yet.'));
  if (routes && routes.length) cards.push(table('Routes', routes, [
    ['DC', one => one.dc], ['Route', one => one.route], ['State', one => good(one.state !== 'rests', one.state)], ['Why', one => one.why || '–'],
  ]));
  if (figures.links) cards.push(table('Links', figures.links, [
    ['Peer', one => one.peer || '–'], ['State', one => good(one.state === 'up', one.state)], ['Clients', one => one.clients, 1],
    ['Round trip', one => trip(one.round_trip_micros), 1], ['Age', one => age(one.age_seconds), 1], ['Fault', one => one.fault || '–'],
  ], 'There is no link.'));
  // Who is about to press a button keeps it.
  if (!$('lists').contains(document.activeElement)) $('lists').replaceChildren(...cards);
}

async function ways(name) {
  const list = [];
  try {
    const user = await ask('/v1/users/' + encodeURIComponent(name));
    for (const { tg, t_me } of user.links.concat(user.web_links)) {
      const [wide, path] = (await ask('/qr', { method: 'POST', body: tg })).split(/ (.*)/s);
      const code = drawn('svg', { viewBox: `0 0 ${wide} ${wide}`, role: 'img', 'aria-label': 'QR code' }), link = make('a', t_me);
      code.append(drawn('path', { d: path }));
      link.href = t_me;
      link.rel = 'noreferrer';
      list.push(code, link);
    }
    for (const warning of user.warnings) list.push(make('p', warning, 'bad'));
  } catch (error) {
    list.push(make('p', error.message, 'bad'));
  }
  $('whose').textContent = name;
  $('ways').replaceChildren(...list);
  $('shown').showModal();
}

function say(words) {
  $('note').hidden = !words;
  $('note').textContent = words || '';
}

function forget() {
  token = null;
  sessionStorage.removeItem(KEY);
  turn = 0;
}

async function look() {
  if (isBusy || document.hidden) return;
  isBusy = true;
  try {
    const figures = await ask(token ? '/v1/status' : '/v1/figures');
    const [secrets, routes] = token ? await Promise.all([ask('/v1/secrets'),
      figures.role === 'front' ? null : ask('/v1/routes')]) : [];
    if (turn++ % 4 === 0) { past = await ask('/v1/history'); charts(); }
    numbers(figures);
    lists(figures, secrets && secrets.secrets, routes && routes.routes);
    say('');
    $('unlock').hidden = !!token;
    $('lock').hidden = !token;
  } catch (error) {
    if (error.status === 401) {
      say(token ? error.message : '');
      forget();
      $('unlock').hidden = false;
      $('lock').hidden = true;
    } else say(error.status ? error.message : 'The proxy does not answer; this page tries on.');
  }
  isBusy = false;
}

$('unlock').onsubmit = event => {
  event.preventDefault();
  token = $('token').value.trim();
  sessionStorage.setItem(KEY, token);
  $('token').value = '';
  turn = 0;
  look();
};
$('lock').onclick = () => { forget(); $('lists').replaceChildren(); look(); };
$('close').onclick = () => $('shown').close();
addEventListener('resize', charts);
document.onvisibilitychange = look;
setInterval(look, 2500);
look();
