// The charts of the last minutes. Their numbers stand beside them as text, with and without uPlot.
import { el, text } from './dom.js';
import { num, secs, time } from './format.js';
import { Spark } from './spark.js';

const KEEP = 900; // points, one a second, as Weir keeps them
const sum = (vs) => vs.reduce((a, v) => (v == null ? a : (a ?? 0) + v), null);
const worst = (vs) => vs.reduce((a, v) => (v == null ? a : Math.max(a ?? 0, v)), null);

// Each line: the measure of /v1/history, its name, its colour variable, how pools add up, and whether it is filled.
// Of durations the worst pool's is shown, because quantiles do not add up.
const CHARTS = [
  { title: 'Requests', unit: 'per second', show: num, lines: [
    ['requests_per_second', 'requests', '--c1', sum, true], ['errors_per_second', 'failed', '--bad', sum]] },
  { title: 'Latency', unit: 'arrival to end', show: secs, worst: true, lines: [
    ['latency_p50_s', 'p50', '--s1', worst], ['latency_p95_s', 'p95', '--s2', worst], ['latency_p99_s', 'p99', '--s3', worst]] },
  { title: 'Queue', unit: 'requests', show: num, lines: [
    ['queue_depth', 'waiting', '--c2', sum, true], ['in_flight', 'in flight', '--c1', sum]],
    aside: ['wait_p95_s', 'wait p95', worst, secs] },
  { title: 'Capacity', unit: 'instances', show: num, stepped: true, scaled: true, lines: [
    ['ready', 'ready', '--good', sum, true], ['loading', 'loading', '--load', sum], ['desired', 'desired', '--ink2', sum]] },
];

/** Charts of history inside box. */
export class Charts {
  #times = [];
  #pools = new Map(); // name -> measure -> values, beside #times
  #pool = '';
  #span = 300;
  #figures = [];

  constructor(box) {
    for (const spec of CHARTS) {
      const values = spec.lines.map(([, name, colour]) => {
        const v = el('b', {}, '–');
        const key = el('i');
        key.style.setProperty('--key', `var(${colour})`);
        return { v, e: el('span', { class: 'key' }, key, name, ' ', v) };
      });
      const aside = spec.aside && el('b', {}, '–');
      const legend = el('div', { class: 'legend' }, ...values.map((x) => x.e));
      if (aside) legend.append(el('span', { class: 'key' }, spec.aside[1], ' ', aside));
      const plot = el('div', { class: 'plot', role: 'img', 'aria-label': `${spec.title} over the last minutes; the newest values stand above` });
      const unit = el('small', {}, spec.unit);
      const caption = el('figcaption', {}, el('h3', {}, spec.title, ' ', unit), legend);
      const figure = el('figure', { class: 'card chart' }, caption, plot);
      box.append(figure);
      this.#figures.push({ spec, figure, values: values.map((x) => x.v), aside, unit, plot, chart: null, spark: null });
    }
    if (window.uPlot) {
      addEventListener('weir-theme', () => this.#build());
      const o = new ResizeObserver(() => {
        for (const f of this.#figures) f.chart?.setSize({ width: f.plot.clientWidth, height: f.plot.clientHeight });
      });
      for (const f of this.#figures) o.observe(f.plot);
      this.#build();
    } else {
      for (const f of this.#figures) {
        f.spark = new Spark(f.plot, f.spec.lines.map(([, , colour, , fill]) => ({ colour, fill })), f.spec.stepped);
      }
    }
  }

  /** Takes the answer of /v1/history. */
  load(h) {
    if (!h.times.length) return; // Weir has just started: what was heard live is all there is
    this.#times = h.times;
    this.#pools = new Map(Object.entries(h.pools));
    this.#draw();
  }

  /** Adds one status. before is the one before it, for the rate of failures. */
  add(status, before) {
    const t = Date.parse(status.time) / 1000;
    const last = this.#times.at(-1);
    if (last != null && t - last < 0.5) return;
    this.#times.push(t);
    const n = this.#times.length;
    for (const p of status.pools) {
      let series = this.#pools.get(p.name);
      if (!series) this.#pools.set(p.name, (series = {}));
      const old = before?.pools.find((q) => q.name === p.name);
      for (const [name, v] of Object.entries(measures(p, old, t - (last ?? t)))) {
        const c = (series[name] ??= []);
        while (c.length < n - 1) c.push(null);
        c.push(v);
      }
    }
    const old = Math.max(0, n - KEEP);
    this.#times.splice(0, old);
    for (const series of this.#pools.values()) {
      for (const c of Object.values(series)) {
        while (c.length < n) c.push(null);
        c.splice(0, old);
      }
    }
    this.#draw();
  }

  show(pool, span) {
    this.#pool = pool;
    this.#span = span;
    this.#draw();
  }

  #column(name, how) {
    const all = [...this.#pools].filter(([p]) => !this.#pool || p === this.#pool).map(([, s]) => s[name] ?? []);
    return this.#times.map((_, i) => how(all.map((c) => c[i])));
  }

  #draw() {
    const to = this.#times.at(-1) ?? Date.now() / 1000;
    for (const f of this.#figures) {
      const columns = f.spec.lines.map(([name, , , how]) => this.#column(name, how));
      f.data = columns;
      f.figure.hidden = f.spec.scaled && !columns.some((c) => c.some((v) => v != null)); // pools of fixed targets have none
      this.#numbers(f, f.chart?.cursor.idx);
      const drawn = columns.map((c, k) => (f.spec.lines[k][1] === 'failed' && !c.some(Boolean) ? c.map(() => null) : c)); // no red line for nothing
      f.spark?.draw(this.#times, drawn, to - this.#span, to, nice(highest(this.#times, drawn, to - this.#span)), f.spec.show);
      f.chart?.batch(() => {
        f.chart.setData([this.#times, ...drawn], false);
        f.chart.setScale('x', { min: to - this.#span, max: to });
      });
    }
  }

  // The numbers at point i, where the cursor is, or the newest.
  #numbers(f, at) {
    const i = at ?? this.#times.length - 1;
    const unit = f.spec.worst && !this.#pool && this.#pools.size > 1 ? `${f.spec.unit}, worst pool` : f.spec.unit;
    text(f.unit, at == null ? unit : `at ${time(this.#times[at] * 1000)}`);
    f.values.forEach((v, k) => text(v, f.spec.show(f.data[k]?.[i])));
    if (f.aside) text(f.aside, f.spec.aside[3](this.#column(f.spec.aside[0], f.spec.aside[2])[i]));
  }

  #build() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    for (const f of this.#figures) {
      f.chart?.destroy();
      const axis = {
        stroke: colour('--ink3'), font: '11px system-ui, sans-serif',
        grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false },
      };
      f.chart = new window.uPlot({
        width: Math.max(f.plot.clientWidth, 100), height: Math.max(f.plot.clientHeight, 100),
        legend: { show: false }, padding: [8, 18, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'weir' }, points: { size: 7 } },
        scales: { y: { range: (_, min, max) => [0, nice(max)] } },
        axes: [
          { ...axis, space: 70, size: 24, grid: { show: false }, values: (_, vs) => vs.map(clock) },
          { ...axis, size: 54, space: 34, values: (_, vs) => vs.map((v) => f.spec.show(v)) },
        ],
        series: [{}, ...f.spec.lines.map(([, name, c, , fill]) => ({
          label: name, stroke: colour(c), width: 1.75, points: { show: false }, spanGaps: false,
          fill: fill ? colour(c) + '22' : undefined,
          paths: f.spec.stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
        }))],
        hooks: { setCursor: [(u) => this.#numbers(f, u.cursor.idx)] },
      }, [this.#times, ...f.spec.lines.map(() => this.#times.map(() => null))], f.plot);
    }
    this.#draw();
  }
}

function highest(times, columns, from) {
  return columns.reduce((top, c) => c.reduce((m, v, i) => (v != null && times[i] >= from ? Math.max(m, v) : m), top), 0);
}

// A quiet line lies at the bottom, not in the middle of an empty scale.
export function nice(max) {
  if (!(max > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(max * 1.05));
  for (const step of [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) if (step * unit >= max * 1.02) return step * unit;
  return max * 1.1;
}

function clock(t) {
  const d = new Date(t * 1000);
  const two = (n) => String(n).padStart(2, '0');
  return `${two(d.getHours())}:${two(d.getMinutes())}${d.getSeconds() ? ':' + two(d.getSeconds()) : ''}`;
}

export const failed = (t) => t.server_errors + t.broken + t.refused_queue_limit + t.refused_queue_timeout;

// What Weir itself writes to its history for this status.
function measures(p, before, span) {
  const known = p.latency_s.p99 > 0;
  const errors = before && span > 0 ? Math.max(0, failed(p.totals) - failed(before.totals)) / span : 0;
  return {
    requests_per_second: p.rates.requests_per_second, errors_per_second: errors,
    latency_p50_s: known ? p.latency_s.p50 : null, latency_p95_s: known ? p.latency_s.p95 : null,
    latency_p99_s: known ? p.latency_s.p99 : null, wait_p95_s: known ? p.wait_s.p95 : null,
    queue_depth: p.queue.depth, in_flight: p.in_flight, slots: p.slots,
    ready: p.scale?.ready ?? null, loading: p.scale?.loading ?? null, desired: p.scale?.desired ?? null,
  };
}
