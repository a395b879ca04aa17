// What a predict policy expects, against what came: one panel in a pool's card, drawn by uPlot or plainly without.
import { el, text, attr } from './dom.js';
import { age, num, plural, secs, time } from './format.js';
import { get } from './live.js';
import { nice } from './charts.js';
import { Spark } from './spark.js';

const LINES = [['measured', '--c1'], ['expected', '--c2'], ['band', '--band']];

/** The panel of one pool. show(status) keeps it up to date; it hides itself where nothing is forecast. */
export class Forecast {
  #pool;
  #asked = 0;
  #whole = true; // a season to both sides, or a quarter of it
  #f = null;
  #columns = null;
  #chart = null;
  #spark = null;

  constructor(pool) {
    this.#pool = pool;
    this.unit = el('small');
    this.badge = el('span', { class: 'badge' });
    this.spans = el('div', { class: 'choice small', role: 'group', 'aria-label': 'Time shown' });
    this.values = LINES.map(() => el('b', {}, '–'));
    this.names = LINES.map(([name]) => el('span', {}, name));
    this.keys = el('div', { class: 'legend' }, ...LINES.map(([, colour], i) => {
      const key = el('i', { class: i === 2 && 'area' });
      key.style.setProperty('--key', `var(${colour})`);
      return el('span', { class: 'key' }, key, this.names[i], ' ', this.values[i]);
    }));
    this.plot = el('div', { class: 'plot', role: 'img', 'aria-label': `Forecast and measured values of ${pool}; the values for now stand above` });
    this.facts = el('dl', { class: 'facts' });
    this.e = el('section', { class: 'panel forecast', hidden: true, 'aria-label': `Forecast of ${pool}` },
      el('header', {}, el('h3', {}, 'Forecast ', this.unit), this.badge, this.spans), this.keys, this.plot, this.facts);
    new ResizeObserver(() => this.#chart?.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight })).observe(this.plot);
    addEventListener('weir-theme', () => { if (this.#chart) this.#build(); });
  }

  show(p) {
    this.e.hidden = !p.forecast;
    if (!p.forecast) return;
    const pause = Math.min(60, Math.max(2, (this.#f?.step_s ?? 10) / 2)) * 1000;
    if (Date.now() - this.#asked < pause) return;
    this.#asked = Date.now();
    this.#ask();
  }

  async #ask() {
    try {
      this.#f = await get(`v1/pools/${encodeURIComponent(this.#pool)}/forecast`);
      this.#draw();
    } catch (e) {
      console.warn('weir: the forecast did not come:', e.message);
    }
  }

  #draw() {
    const f = this.#f;
    text(this.unit, f.metric.replace(/^query:/, '').replaceAll('_', ' '));
    this.#say(f);
    this.#columns = columnsOf(f);
    const some = this.#columns[0].length > 1;
    this.plot.hidden = this.keys.hidden = !some;
    this.spans.hidden = !f.steps?.length;
    if (!some) return;
    if (!this.spans.firstElementChild) this.#choices(f.season_s);
    if (!this.#chart && !this.#spark) this.#build();
    this.#fill();
  }

  #choices(season) {
    for (const whole of [false, true]) {
      const b = el('button', { type: 'button', 'aria-pressed': String(whole === this.#whole) }, '± ' + age(season / (whole ? 1 : 4)).replace(/ 0 \w+$/, ''));
      b.addEventListener('click', () => {
        this.#whole = whole;
        for (const other of this.spans.children) attr(other, 'aria-pressed', String(other === b));
        this.#fill();
      });
      this.spans.append(b);
    }
  }

  #say(f) {
    const [word, kind] = standing(f);
    text(this.badge, word);
    attr(this.badge, 'data-kind', kind);
    const q = f.quantiles ?? [];
    text(this.names[2], q.length ? `${percent(q[0])} to ${percent(q.at(-1))} %` : 'band');
    const lines = [];
    if (f.why) lines.push([f.steps?.length ? 'No newer forecast' : 'No forecast yet', f.why]);
    const a = f.accuracy;
    if (a?.tried) lines.push(['Off by', `${percent(a.wape)} % (WAPE) ${secs(f.lead_s)} ahead, over ${plural(a.tried, 'forecast')}; reacting is off by ${percent(a.reactive_wape)} %`]);
    else if (f.steps?.length) lines.push(['Off by', 'not known before there are forecasts to compare']);
    if (a?.live_tried) lines.push(['Live', `off by ${percent(a.live_wape)} % over ${plural(a.live_tried, 'step')} since Weir started`]);
    if (f.models?.length) lines.push(['Made of', f.models.map((m) => `${m.name.replaceAll('_', ' ')} ${percent(m.weight)} %`).join(', ') + `, at ${time(f.made)}`]);
    if (f.policy) lines.push(['Policy', f.policy.why]);
    this.facts.replaceChildren(...lines.map(([name, what]) => el('div', {}, el('dt', {}, name), el('dd', {}, what))));
  }

  // What is shown: a season to both sides of now, or a quarter, and no more than there is.
  #range() {
    const [times] = this.#columns, now = Date.now() / 1000, f = this.#f;
    const span = (f.season_s || 86400) / (this.#whole ? 1 : 4);
    return { now, from: Math.max(times[0], now - span), to: f.steps?.length ? Math.min(times.at(-1), now + span) : Math.max(now, times.at(-1)) };
  }

  #fill() {
    const [times, ...columns] = this.#columns, { now, from, to } = this.#range();
    let top = 0;
    times.forEach((t, i) => { if (t >= from && t <= to) for (const c of columns) top = Math.max(top, c[i] ?? 0); });
    this.#spark?.draw(times.filter((t) => t <= to), columns.map((c) => c.filter((_, i) => times[i] <= to)), from, to, nice(top), num);
    this.mark?.style.setProperty('left', `${(100 * (now - from)) / (to - from)}%`);
    this.#chart?.batch(() => {
      this.top = nice(top);
      this.#chart.setData(this.#columns, false);
      this.#chart.setScale('x', { min: from, max: to });
      this.#chart.setScale('y', { min: 0, max: this.top });
    });
    this.#numbers();
  }

  // The numbers at the cursor, or for now: the newest that was measured, and what is expected.
  #numbers(at) {
    const [times, low, high, median, actual] = this.#columns;
    let i = at;
    if (i == null) {
      const now = Date.now() / 1000;
      i = times.findLastIndex((t) => t <= now);
    }
    const measured = at == null ? actual.findLast((v) => v != null) : actual[i];
    text(this.values[0], num(measured));
    text(this.values[1], num(median[i]));
    text(this.values[2], low[i] == null ? '–' : `${num(low[i])} to ${num(high[i])}`);
    if (at == null) text(this.unit, this.#f.metric.replace(/^query:/, '').replaceAll('_', ' '));
    else text(this.unit, 'at ' + clock(times[at], this.#f.step_s));
  }

  #build() {
    if (!window.uPlot) {
      this.#spark = new Spark(this.plot, [{ colour: '--band' }, { colour: '--band' }, { colour: '--c2' }, { colour: '--c1' }]);
      this.plot.append(this.mark = el('i', { class: 'now' }));
      return;
    }
    this.#chart?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour('--ink3'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    const edge = { stroke: 'transparent', width: 0, points: { show: false } };
    this.#chart = new window.uPlot({
      width: Math.max(this.plot.clientWidth, 100), height: Math.max(this.plot.clientHeight, 100),
      legend: { show: false }, padding: [18, 28, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { auto: false }, y: { auto: false, range: () => [0, this.top ?? 1] } },
      axes: [
        { ...axis, space: 64, size: 24, grid: { show: false }, values: (u, vs, _, __, step) => vs.map((v) => clock(v, step)) },
        { ...axis, size: 46, space: 30, values: (_, vs) => vs.map(num) },
      ],
      bands: [{ series: [2, 1], fill: colour('--band') }],
      series: [{},
        { label: 'low', ...edge }, { label: 'high', ...edge },
        { label: 'expected', stroke: colour('--c2'), width: 1.5, dash: [5, 3], points: { show: false } },
        { label: 'measured', stroke: colour('--c1'), width: 1.75, points: { show: false } }],
      hooks: { setCursor: [(u) => this.#columns && this.#numbers(u.cursor.idx)], draw: [(u) => drawNow(u, colour('--ink3'))] },
    }, this.#columns, this.plot);
    this.#fill();
  }
}

// A quiet line where the past ends.
function drawNow(u, colour) {
  const x = Math.round(u.valToPos(Date.now() / 1000, 'x', true)), { left, top, width, height } = u.bbox, ctx = u.ctx;
  if (x < left || x > left + width) return;
  const px = window.devicePixelRatio || 1;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = px;
  ctx.setLineDash([2 * px, 3 * px]);
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  ctx.font = `${11 * px}px system-ui, sans-serif`;
  ctx.textAlign = x > left + width - 24 * px ? 'right' : 'center';
  ctx.fillText('now', x, top - 6 * px);
  ctx.restore();
}

// One column of times, and beside it both edges of the band, the median, and what was measured, in the order of drawing; null where there is nothing.
function columnsOf(f) {
  const rows = new Map(), seconds = (iso) => Date.parse(iso) / 1000;
  const row = (t) => rows.get(t) ?? (rows.set(t, [null, null, null, null]), rows.get(t));
  const q = f.quantiles ?? [], middle = q.reduce((best, v, i) => (Math.abs(v - 0.5) < Math.abs(q[best] - 0.5) ? i : best), 0);
  for (const s of f.steps ?? []) row(seconds(s.time)).splice(0, 3, s.values[0], s.values.at(-1), s.values[middle]);
  for (const s of f.said ?? []) if (seconds(s.time) < Date.now() / 1000) row(seconds(s.time)).splice(0, 3, s.values[0], s.values.at(-1), s.values[middle]);
  for (const a of f.actual ?? []) row(seconds(a.time))[3] = a.value;
  const times = [...rows.keys()].sort((a, b) => a - b);
  return [times, ...[0, 1, 2, 3].map((k) => times.map((t) => rows.get(t)[k]))];
}

// Whether the forecast acts, in a word.
function standing(f) {
  if (!f.steps?.length) return ['no forecast yet', 'idle'];
  if (f.policy?.demoted) return ['demoted: reacting does better', 'bad'];
  if (f.policy?.mode === 'forecast_only') return ['forecast only', 'idle'];
  return f.policy ? ['acts', 'good'] : ['not asked yet', 'idle'];
}

const percent = (v) => num(Math.round(v * 1000) / 10);

function clock(t, step) {
  const d = new Date(t * 1000), two = (n) => String(n).padStart(2, '0');
  if (!d.getHours() && !d.getMinutes() && !d.getSeconds()) return d.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric' });
  return `${two(d.getHours())}:${two(d.getMinutes())}${step < 60 ? ':' + two(d.getSeconds()) : ''}`;
}
