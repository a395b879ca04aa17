// The dashboard: listens to Weir and shows what it hears.
import { Charts, failed } from './charts.js';
import { attr, el, keyed, text } from './dom.js';
import { age, num, plural, secs, time } from './format.js';
import { Decisions, Log } from './journal.js';
import { get, listen } from './live.js';
import { showPools } from './pools.js';

const $ = (id) => document.getElementById(id);
const charts = new Charts($('charts'));
const decisions = new Decisions($('decisions'), $('no-decisions'));
const log = new Log($('log'), $('no-log'), $('log-kinds'));
let last = null; // the newest status

$('no-charts').hidden = Boolean(window.uPlot);

// What the charts show.
const view = { pool: '', span: 300 };
for (const [label, span] of [['1 min', 60], ['5 min', 300], ['15 min', 900]]) {
  const b = el('button', { type: 'button', 'aria-pressed': String(span === view.span) }, label);
  b.addEventListener('click', () => {
    for (const other of $('chart-span').children) attr(other, 'aria-pressed', String(other === b));
    view.span = span;
    charts.show(view.pool, view.span);
  });
  $('chart-span').append(b);
}
$('chart-pool').addEventListener('change', (e) => {
  view.pool = e.target.value;
  charts.show(view.pool, view.span);
});
charts.show(view.pool, view.span);

function showChoice(pools) {
  const select = $('chart-pool');
  const names = ['', ...pools.map((p) => p.name)];
  keyed(select, names, (n) => 'pool ' + n, (n) => el('option', { value: n }, n || 'All pools'));
  if (!names.includes(view.pool)) {
    view.pool = '';
    charts.show(view.pool, view.span);
  }
  select.value = view.pool;
}

function showTiles(s) {
  const pools = s.pools;
  const total = (f) => pools.reduce((a, p) => a + f(p), 0);
  const most = (f) => pools.reduce((a, p) => Math.max(a, f(p)), 0);
  const scaled = pools.filter((p) => p.scale);
  const seen = total((p) => p.totals.requests), bad = total((p) => failed(p.totals));
  const busy = most((p) => p.latency_s.p99) > 0;
  const slowest = pools.reduce((a, p) => (a && a.latency_s.p95 >= p.latency_s.p95 ? a : p), null);
  const of = pools.length > 1 ? ` in ${slowest?.name}` : '';
  const tiles = [
    ['Requests/s', num(total((p) => p.rates.requests_per_second)), `${num(seen)} since the start`],
    ['Failed', num(bad), seen ? `${num((100 * bad) / seen)} % of all` : 'none yet', bad > 0 && 'bad'],
    ['Latency p95', busy ? secs(most((p) => p.latency_s.p95)) : '–', busy ? `p99 ${secs(slowest.latency_s.p99)}${of}` : 'no traffic'],
    ['Waiting', num(total((p) => p.queue.depth)), busy ? `wait p95 ${secs(most((p) => p.wait_s.p95))}` : 'nobody waits', total((p) => p.queue.depth) > 0 && 'load'],
    ['In flight', num(total((p) => p.in_flight)), plural(s.listeners.reduce((a, l) => a + l.connections, 0), 'connection')],
  ];
  if (scaled.length) {
    const ready = scaled.reduce((a, p) => a + p.scale.ready, 0), want = scaled.reduce((a, p) => a + p.scale.desired, 0);
    const loading = scaled.reduce((a, p) => a + p.scale.loading, 0);
    tiles.push(['Instances', `${num(ready)} of ${num(want)}`, loading ? `${num(loading)} loading` : 'ready of desired', ready < want && 'load']);
  } else {
    const all = total((p) => p.targets.length), good = total((p) => p.targets.filter((t) => t.state === 'healthy').length);
    tiles.push(['Targets', `${num(good)} of ${num(all)}`, 'healthy', good < all && 'bad']);
  }
  keyed($('tiles'), tiles, (t) => t[0], (t) => el('div', { class: 'card tile' }, el('dt', {}, t[0]), el('dd'), el('small')), (e, [, v, more, kind]) => {
    text(e.children[1], v);
    text(e.children[2], more);
    attr(e, 'data-kind', kind || null);
  });
}

function showAbout(s) {
  const where = s.listeners.length ? ' on ' + s.listeners.map((l) => l.address).join(', ') : '';
  text($('about'), `${s.version}, up ${age((Date.parse(s.time) - Date.parse(s.started)) / 1000)}${where}`);
  const waiting = s.pools.reduce((a, p) => a + p.queue.depth, 0);
  const title = waiting ? `(${num(waiting)} waiting) Weir` : 'Weir';
  if (document.title !== title) document.title = title;
}

function link(state, words) {
  attr($('link'), 'data-state', state);
  text($('link-text'), words);
}

// What this page missed: before it was opened, or while the connection was lost.
async function catchUp() {
  try {
    const kept = ['spot,capacity,remedy,hook,refresh,alarm,notice', 'instance,target'].map((t) => get(`v1/journal?limit=300&type=${t}`));
    const [h, d, ...past] = await Promise.all([get('v1/history'), get('v1/decisions?changed=true&limit=60'), ...kept]);
    charts.load(h);
    decisions.add(...d.decisions);
    log.add(...past.flatMap((p) => p.events.reverse()), ...d.decisions.map((x) => ({ type: 'decision', time: x.time, pool: x.pool, text: x.why, data: x })));
  } catch (e) {
    console.warn('weir: the history did not come:', e.message);
  }
}

listen({
  up() {
    $('banner').hidden = true;
    document.body.classList.remove('stale');
    link('live', 'Live');
    catchUp();
  },
  down(hint) {
    const from = last ? ` What you see is from ${time(last.time)}.` : '';
    text($('banner'), hint || `No connection to Weir.${from} Trying again each second.`);
    $('banner').hidden = false;
    document.body.classList.add('stale');
    link('lost', 'Connection lost');
  },
  status(s) {
    showAbout(s);
    showTiles(s);
    showChoice(s.pools);
    charts.add(s, last);
    showPools($('pools'), s);
    last = s;
  },
  event(e) {
    if (e.type === 'decision' && e.data?.desired != null) decisions.add({ pool: e.pool, ...e.data });
    log.add(e);
  },
});
