// One card for each pool: how large it should be and is, its instances with their slots, its targets, why it is as it is.
import { failed } from './charts.js';
import { attr, el, keyed, text } from './dom.js';
import { Refresh, Warm } from './capacity.js';
import { Forecast } from './forecast.js';
import { age, bytes, num, plural, secs, time } from './format.js';

const LOADING = ['pending', 'pending:wait', 'starting', 'warming'];
const PIPS = 16; // slots shown one by one; more become a bar

/** Shows the pools of a status in box. */
export function showPools(box, status) {
  const now = Date.parse(status.time);
  if (!status.pools.length) {
    keyed(box, ['none'], (k) => k, () => el('p', { class: 'card quiet' }, 'No pools: the file has none. Add one under pools: and reload.'));
    return;
  }
  keyed(box, status.pools, (p) => 'pool ' + p.name, card, (e, p) => e.update(p, now));
}

function card(p) {
  const fact = el('p', { class: 'quiet' });
  const badge = el('span', { class: 'badge', hidden: true });
  const numbers = el('dl', { class: 'numbers' });
  const grid = el('div', { class: 'grid', role: 'group', 'aria-label': `Instances of ${p.name}` });
  const detail = el('div', { class: 'detail', hidden: true });
  const empty = el('p', { class: 'quiet' });
  const targets = el('tbody');
  const table = el('table', { class: 'targets' },
    el('caption', { class: 'hide' }, `Targets of ${p.name}`),
    el('thead', {}, el('tr', {}, ...['target', 'state', 'in flight', 'requests', 'failed'].map((h, i) => el('th', { scope: 'col', class: i > 1 && 'n' }, h)))),
    targets);
  const notes = el('div', { class: 'notes' });
  const refresh = new Refresh(p.name), warm = new Warm(p.name), forecast = new Forecast(p.name);
  const id = 'pool-' + p.name;
  const e = el('article', { class: 'card pool-card', 'aria-labelledby': id },
    el('header', {}, el('h2', { id }, p.name), badge, fact), numbers, refresh.e, grid, empty, warm.e, detail, table, forecast.e, notes);
  let open = null;

  for (const boxes of [grid, warm.grid]) {
    boxes.addEventListener('click', (event) => {
      const id = event.target.closest('button')?.dataset.id;
      if (!id) return;
      open = open === id ? null : id;
      e.update(e.pool, e.now);
    });
  }

  e.update = (p, now) => {
    e.pool = p;
    e.now = now;
    const slots = p.concurrency ? `${plural(p.concurrency, 'slot')} each` : 'no limit of slots';
    text(fact, `${p.balance.replaceAll('_', ' ')}, ${slots}`);
    const [word, kind] = condition(p);
    badge.hidden = !word;
    text(badge, word);
    attr(badge, 'data-kind', kind);
    showNumbers(numbers, p);

    const instances = p.instances ?? [];
    const own = new Set(instances.map((i) => i.id));
    const fixed = p.targets.filter((t) => !own.has(t.id));
    const spares = instances.filter((i) => i.spare), serving = instances.filter((i) => !i.spare);
    for (const [boxes, list] of [[grid, serving], [warm.grid, spares]]) {
      boxes.classList.toggle('dense', list.length > 24);
      keyed(boxes, list, (i) => i.id, box, (b, i) => showBox(b, i, now, i.id === open, p.warm_pool));
    }
    grid.hidden = !serving.length;
    warm.show(p, spares);
    refresh.show(p, now);
    forecast.show(p);
    const shown = instances.find((i) => i.id === open);
    detail.hidden = !shown;
    if (shown) showDetail(detail, p.name, shown, now);
    keyed(targets, fixed, (t) => t.id, row, (r, t) => showRow(r, t, now));
    table.hidden = !fixed.length;
    empty.hidden = serving.length + fixed.length > 0;
    text(empty, p.scale
      ? 'No instance runs. The first request that comes is held while one is launched.'
      : 'No targets: every request is refused. Add some under targets: and reload.');
    keyed(notes, notesOf(p, now), (n) => n.key, () => el('p'), (x, n) => { text(x, n.text); attr(x, 'data-kind', n.kind); });
  };
  return e;
}

// The one thing to know about a pool, when there is one.
function condition(p) {
  if (p.failed_open) return ['no healthy target, trying all', 'bad'];
  if (p.launches_blocked) return ['launches fail', 'bad'];
  const out = p.targets.filter((t) => t.state === 'unhealthy' || t.state === 'ejected').length;
  if (out) return [`${plural(out, 'target')} out`, 'bad'];
  if (p.scale && p.scale.ready < p.scale.desired) return [p.queue.depth ? 'growing, requests wait' : 'growing', 'load'];
  if (p.queue.depth) return ['requests wait', 'load'];
  if (p.scale && !p.scale.desired) return ['at zero', 'idle'];
  return healthy(p) ? ['serving', 'good'] : ['', 'idle'];
}

const healthy = (p) => p.targets.filter((t) => t.state === 'healthy').length;

function showNumbers(box, p) {
  const items = [], s = p.scale, bad = failed(p.totals), known = p.latency_s.p99 > 0;
  if (s) {
    items.push(['ready', `${num(s.ready)} of ${num(s.desired)}`, s.loading ? `${num(s.loading)} loading` : `${num(s.min)} to ${num(s.max)}`]);
  } else {
    items.push(['healthy', `${num(healthy(p))} of ${num(p.targets.length)}`, 'fixed']);
  }
  items.push(['in flight', num(p.in_flight), p.slots ? `of ${plural(p.slots, 'slot')}` : 'no limit'],
    ['waiting', num(p.queue.depth), p.queue.depth ? `oldest ${secs(p.queue.oldest_wait_s)}` : `limit ${num(p.queue.limit)}`],
    ['wait p95', known ? secs(p.wait_s.p95) : '–', known ? `p99 ${secs(p.wait_s.p99)}` : ''],
    ['latency p95', known ? secs(p.latency_s.p95) : '–', known ? `p99 ${secs(p.latency_s.p99)}` : ''],
    ['requests/s', num(p.rates.requests_per_second), bad ? `${num(bad)} failed` : `${num(p.totals.requests)} in all`]);
  keyed(box, items, (i) => i[0], (i) => el('div', {}, el('dt', {}, i[0]), el('dd'), el('small')), (e, [, v, more]) => {
    text(e.children[1], v);
    text(e.children[2], more ?? '');
  });
}

function box(i) {
  return el('button', { type: 'button', class: 'inst', 'data-id': i.id },
    el('span', { class: 'name' }, i.id.split('-').at(-1)), el('span', { class: 'slots' }), el('span', { class: 'state' }));
}

function showBox(b, i, now, open, rest) {
  const [, slots, state] = b.children;
  const loading = LOADING.includes(i.state), idle = i.state === 'warm';
  attr(b, 'data-state', i.state);
  attr(b, 'aria-expanded', String(open));
  attr(b, 'title', `${i.id}: ${i.state}${i.protected ? ', protected from scale-in' : ''}${i.why ? ', ' + i.why : ''}`);
  attr(b, 'aria-label', `${i.id}, ${i.state}, ${plural(i.in_flight, 'request')} in flight` + (loading && i.eta_s ? `, ready in about ${secs(i.eta_s)}` : ''));
  const pips = !loading && !idle && i.slots > 0 && i.slots <= PIPS ? i.slots : 0;
  text(state, idle ? rest?.state ?? 'warm' : loading && i.eta_s ? `${i.state} ${secs(Math.ceil(i.eta_s))}` : pips || loading ? i.state : `${i.state}, ${num(i.in_flight)}${i.slots ? '/' + num(i.slots) : ''}`);
  while (slots.children.length > pips) slots.lastElementChild.remove();
  while (slots.children.length < pips) slots.append(el('i'));
  for (let k = 0; k < pips; k++) slots.children[k].classList.toggle('on', k < i.in_flight);
  slots.hidden = idle;
  slots.classList.toggle('meter', !pips);
  let part = i.slots ? i.in_flight / i.slots : Math.min(1, i.in_flight / 16);
  if (loading) {
    const gone = i.launched ? (now - Date.parse(i.launched)) / 1000 : 0;
    part = i.eta_s ? gone / (gone + i.eta_s) : 0.04;
  }
  slots.style.setProperty('--part', Math.min(1, Math.max(0, part)).toFixed(3));
}

function showDetail(box, pool, i, now) {
  const since = (iso) => age((now - Date.parse(iso)) / 1000);
  const facts = [
    ['instance', i.id], ['state', `${i.state} for ${since(i.since)}`], ['reason', i.why], ['address', i.address], ['handle', i.ref],
    ['age', i.launched && since(i.launched)], ['ready in about', i.eta_s && secs(i.eta_s)],
    ['in flight', i.slots ? `${i.in_flight} of ${plural(i.slots, 'slot')}` : String(i.in_flight)],
    ['processor', i.cpu_percent != null && `${num(i.cpu_percent)} % of one core`], ['memory', i.memory_bytes && bytes(i.memory_bytes)],
    ['scale-in', i.protected && 'protected'],
    ['waits for', i.hooks && i.hooks.filter((h) => !h.result).map((h) => `hook ${h.hook} until ${new Date(h.until).toLocaleTimeString()}`).join(', ')],
    ['adopted', i.adopted && 'launched by an earlier Weir'],
  ].filter(([, v]) => v);
  if (!box.firstElementChild) box.append(el('dl'), el('p', {}, el('a', { target: '_blank' }, 'The end of its log')));
  attr(box.querySelector('a'), 'href', `v1/pools/${encodeURIComponent(pool)}/instances/${encodeURIComponent(i.id)}/logs?lines=500`);
  keyed(box.firstElementChild, facts, (f) => f[0], (f) => el('div', {}, el('dt', {}, f[0]), el('dd')), (e, f) => text(e.lastElementChild, f[1]));
}

function row() {
  return el('tr', {}, el('th', { scope: 'row' }), el('td', {}, el('span', { class: 'dot' }), el('span', { class: 'word' }), el('small')),
    el('td', { class: 'n' }), el('td', { class: 'n' }), el('td', { class: 'n' }));
}

function showRow(r, t, now) {
  const [name, state, flight, requests, failures] = r.children;
  text(name, t.address === t.id ? t.id : `${t.id} (${t.address})`);
  attr(r, 'data-state', t.state);
  text(state.children[1], t.state);
  text(state.children[2], `for ${age((now - Date.parse(t.since)) / 1000)}` + (t.reason && t.state !== 'healthy' ? `: ${t.reason}` : ''));
  text(flight, t.slots ? `${num(t.in_flight)} of ${num(t.slots)}` : num(t.in_flight));
  text(requests, num(t.requests));
  text(failures, num(t.failures));
}

function notesOf(p, now) {
  const notes = [];
  const b = p.launches_blocked;
  if (b) notes.push({ key: 'blocked', kind: 'bad', text: `No launch for ${secs(Math.max(0, (Date.parse(b.until) - now) / 1000))}: ${b.why}` });
  const m = p.scale?.manual;
  if (m) notes.push({ key: 'manual', kind: 'load', text: `Set by hand to ${m.desired}, ${m.until ? 'until ' + time(m.until) : 'until it is taken back'}.` });
  const c = p.cost;
  if (c) {
    const less = c.month_on_demand > 0 ? Math.round((100 * c.saved) / c.month_on_demand) : 0;
    notes.push({ key: 'cost', text: `Costs ${num(c.per_hour)} an hour. Today ${num(c.today)}, this month ${num(c.month)}${less ? `, ${less} % less than on demand` : ''}; by its end ${num(c.projected)}.` });
  }
  const d = p.last_decision;
  if (d) notes.push({ key: 'why', text: d.why.charAt(0).toUpperCase() + d.why.slice(1) });
  return notes;
}

