// The page that asks what another policy would have done with the traffic that came.
import { attr, el, text } from './dom.js';
import { age, num, secs, fullTime } from './format.js';
import { get } from './live.js';
import { Spark } from './spark.js';

const $ = (id) => document.getElementById(id);
const SPANS = [['1 h', 3600], ['6 h', 6 * 3600], ['24 h', 24 * 3600], ['7 days', 7 * 24 * 3600]];
const POINTS = 300; // of a chart
const LINES = [['as configured', '--c1'], ['alternative', '--c2'], ['measured', '--ink3']];
const CHARTS = [
  { title: 'Instances', unit: 'loading and draining ones included', key: 'instances', show: num, stepped: true },
  { title: 'Wait', unit: 'longest; of what was measured, p95', key: 'wait_s', show: secs },
];

// Each row: its name, how to read it of a run, how to show it, and whether less is better (-1), more (1) or neither (0).
const ROWS = [
  ['Requests', (r) => r.requests, num, 0],
  ['Lost', (r) => r.lost, num, -1],
  ['Wait p50', (r) => r.wait_p50_s, secs, -1],
  ['Wait p95', (r) => r.wait_p95_s, secs, -1],
  ['Wait p99', (r) => r.wait_p99_s, secs, -1],
  ['Latency p95', (r) => r.latency_p95_s, secs, -1],
  ['Promise kept', (r) => 100 * r.kept, (v) => `${v.toFixed(2)} %`, 1],
  ['Instance-hours', (r) => r.instance_hours, (v) => v.toFixed(2), -1],
  ['Cost', (r) => r.cost, (v) => v.toFixed(2), -1],
  ['Most instances', (r) => r.peak_instances, num, 0],
  ['Changes of capacity', (r) => r.scale_events, num, 0],
  ['Cold starts', (r) => r.cold_starts, num, 0],
];

let span = SPANS[0][1], answer = null, running = null, before = '';

for (const [label, seconds] of SPANS) {
  const b = el('button', { type: 'button', 'aria-pressed': String(seconds === span) }, label);
  b.addEventListener('click', () => {
    span = seconds;
    for (const other of $('span').children) attr(other, 'aria-pressed', String(other === b));
  });
  $('span').append(b);
}

async function choose() {
  const s = await get('v1/status');
  const pools = s.pools.filter((p) => p.scale);
  for (const p of pools) $('pool').append(el('option', { value: p.name }, p.name));
  $('run').disabled = !pools.length;
  if (!pools.length) return wrong('No pool of this Weir scales, so there is no policy to change.');
  await configured();
}

// configured puts the policy as it is into the editor.
async function configured() {
  const now = await get('v1/whatif?' + new URLSearchParams({ pool: $('pool').value }));
  before = now.policy;
  $('policy').value = now.policy;
  wrong(now.why ?? '');
}

// wrong shows what is to be mended; the first line that a message names is selected.
function wrong(message) {
  text($('wrong'), message);
  $('wrong').hidden = !message;
  const line = /^policy:(\d+):/m.exec(message)?.[1];
  if (!line) return;
  const lines = $('policy').value.split('\n');
  const from = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
  $('policy').focus();
  $('policy').setSelectionRange(from, from + (lines[line - 1] ?? '').length);
}

async function ask() {
  running = new AbortController();
  text($('run'), 'Stop');
  $('progress').hidden = false;
  $('progress').value = 0;
  wrong('');
  try {
    const r = await fetch('v1/whatif', {
      method: 'POST', signal: running.signal, headers: { Accept: 'application/x-ndjson' },
      body: JSON.stringify({ pool: $('pool').value, from: new Date(Date.now() - span * 1000).toISOString(), policy: $('policy').value }),
    });
    if (!r.ok) return wrong((await r.json()).error.message);
    for await (const line of lines(r.body)) {
      if (line.progress != null) $('progress').value = line.progress;
      if (line.error) wrong(line.error);
      if (line.result) show(line.result);
    }
  } catch (e) {
    if (e.name !== 'AbortError') wrong(`No answer came from Weir: ${e.message}`);
  } finally {
    running = null;
    text($('run'), 'Run both');
    $('progress').hidden = true;
  }
}

// lines yields the objects of a body that has one on each line.
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? '')).split('\n');
    rest = parts.pop();
    for (const p of parts) if (p) yield JSON.parse(p);
    if (done) return;
  }
}

function show(a) {
  answer = a;
  $('answer').hidden = false;
  draw();
  const [one, other] = a.runs;
  $('rows').replaceChildren(...ROWS.map(([name, of, how, better]) => {
    const [kind, words] = difference(of(one), of(other), how, better);
    return el('tr', {}, el('th', { scope: 'row' }, name), el('td', { class: 'n' }, how(of(one))), el('td', { class: 'n' }, how(of(other))), el('td', { class: 'n', 'data-kind': kind }, words));
  }));
  const known = (Date.parse(a.to) - Date.parse(a.from) - a.gaps.reduce((s, g) => s + g.span / 1e6, 0)) / 1000;
  text($('about'), `Pool ${a.pool}, ${fullTime(a.from)} to ${fullTime(a.to)}, of which the history knows ${age(known)}. Promise: a wait of at most ${secs(a.promise_s)}. ${a.price ? `Price of an instance for an hour: ${num(a.price)}.` : 'Prices: by type and market.'}`);
  $('notes').replaceChildren(...a.notes.map((n) => el('li', {}, n)));
  $('charts').scrollIntoView({ block: 'nearest' });
}

// difference says by how much the other is more or less, and whether that is good.
function difference(one, other, how, better) {
  const d = other - one;
  if (how(one) === how(other)) return [null, 'same'];
  const sign = d > 0 ? '+' : '−';
  const kind = better && (d * better > 0 ? 'good' : 'bad');
  const part = one > 0 && how !== ROWS[6][2] ? ` (${sign}${num(Math.abs((100 * d) / one))} %)` : '';
  return [kind || null, sign + how(Math.abs(d)) + part];
}

// grid brings a curve to the moments of the chart: the largest value since the moment before, or the last one that is known.
function grid(curve, key, times) {
  if (!curve) return times.map(() => null);
  let i = 0, last = null;
  const end = curve.t.at(-1), step = times[1] - times[0];
  return times.map((t) => {
    const vs = [];
    for (; i < curve.t.length && curve.t[i] <= t; i++) vs.push(curve[key][i]);
    if (vs.length) last = vs.some((v) => v != null) ? Math.max(...vs.filter((v) => v != null)) : null;
    return t - step > end ? null : last;
  });
}

function draw() {
  const from = Date.parse(answer.from) / 1000, to = Date.parse(answer.to) / 1000;
  const times = Array.from({ length: POINTS + 1 }, (_, i) => from + (i * (to - from)) / POINTS);
  const shown = LINES.filter(([name]) => answer.curves.some((c) => c.policy === name));
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  $('charts').replaceChildren();
  for (const spec of CHARTS) {
    const columns = shown.map(([name]) => grid(answer.curves.find((c) => c.policy === name), spec.key, times));
    const legend = el('div', { class: 'legend' }, ...shown.map(([name, c], k) => {
      const key = el('i');
      key.style.setProperty('--key', `var(${c})`);
      const most = columns[k].reduce((m, v) => Math.max(m, v ?? 0), 0);
      return el('span', { class: 'key' }, key, `${name}, at most `, el('b', {}, spec.show(most)));
    }));
    const plot = el('div', { class: 'plot', role: 'img', 'aria-label': `${spec.title} over the time replayed; the highest values stand above` });
    $('charts').append(el('figure', { class: 'card chart' }, el('figcaption', {}, el('h3', {}, spec.title, ' ', el('small', {}, spec.unit)), legend), plot));
    const top = nice(columns.flat().reduce((m, v) => Math.max(m, v ?? 0), 0));
    if (!window.uPlot) {
      new Spark(plot, shown.map(([, c]) => ({ colour: c })), spec.stepped).draw(times, columns, from, to, top, spec.show);
      continue;
    }
    const axis = { stroke: colour('--ink3'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    new window.uPlot({
      width: Math.max(plot.clientWidth, 100), height: Math.max(plot.clientHeight, 100), legend: { show: false }, padding: [8, 18, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'whatif' } },
      scales: { x: { min: from, max: to }, y: { range: () => [0, top] } },
      axes: [{ ...axis, space: 80, size: 24, grid: { show: false }, values: (_, vs) => vs.map((t) => moment(t, to - from)) }, { ...axis, size: 58, values: (_, vs) => vs.map(spec.show) }],
      series: [{}, ...shown.map(([name, c]) => ({
        label: name, stroke: colour(c), width: name === 'measured' ? 1 : 1.75, dash: name === 'measured' ? [4, 3] : undefined, points: { show: false }, spanGaps: false,
        paths: spec.stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
      }))],
    }, [times, ...columns], plot);
  }
}

function moment(t, span) {
  const d = new Date(t * 1000);
  const two = (n) => String(n).padStart(2, '0');
  const clock = `${two(d.getHours())}:${two(d.getMinutes())}${span < 600 ? ':' + two(d.getSeconds()) : ''}`;
  return span > 86400 ? `${d.getMonth() + 1}/${d.getDate()} ${clock}` : clock;
}

function nice(max) {
  if (!(max > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(max));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((s) => s * unit).find((v) => v >= max * 1.02) ?? max * 1.1;
}

$('pool').addEventListener('change', () => configured().catch((e) => wrong(e.message)));
$('reset').addEventListener('click', () => { $('policy').value = before; wrong(''); });
$('ask').addEventListener('submit', (e) => {
  e.preventDefault();
  if (running) running.abort();
  else ask();
});
addEventListener('weir-theme', () => answer && draw());
addEventListener('resize', () => answer && draw());
addEventListener('pagehide', () => running?.abort());
choose().catch((e) => wrong(`Weir does not answer: ${e.message}`));
