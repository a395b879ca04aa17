// What was decided and what happened, the newest first.
import { el, keyed } from './dom.js';
import { fullTime, plural, time } from './format.js';

const DECISIONS = 60, EVENTS = 120;

/** The decisions that changed a pool's capacity, with the arithmetic of each policy on demand. */
export class Decisions {
  #all = [];
  #box;
  #none;

  constructor(box, none) {
    this.#box = box;
    this.#none = none;
  }

  add(...ds) {
    const known = new Set(this.#all.map(key));
    this.#all.push(...ds.filter((d) => d.desired !== d.previous && !known.has(key(d))));
    this.#all.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
    this.#all.length = Math.min(this.#all.length, DECISIONS);
    keyed(this.#box, this.#all, key, decision);
    this.#none.hidden = this.#all.length > 0;
  }
}

// Weir writes times with as many digits as they have; as numbers they compare.
const key = (d) => `${d.pool} ${Date.parse(d.time)} ${d.previous} ${d.desired}`;

function decision(d) {
  const up = d.desired > d.previous;
  const step = el('span', { class: 'step', 'data-way': up ? 'up' : 'down' },
    el('span', { class: 'hide' }, up ? 'grow from ' : 'shrink from '), String(d.previous),
    el('span', { 'aria-hidden': 'true' }, up ? ' ↗ ' : ' ↘ '), el('span', { class: 'hide' }, ' to '), String(d.desired));
  const why = d.why.replace(/^(out|in) from \d+ to \d+: /, ''); // the step says it
  const head = el('summary', {}, el('time', { datetime: d.time, title: fullTime(d.time) }, time(d.time)),
    el('span', { class: 'pool' }, d.pool ?? ''), step, el('span', { class: 'why' }, why));
  const rows = (d.proposals ?? []).map((p) => el('tr', {},
    el('th', { scope: 'row' }, p.policy), el('td', { class: 'n' }, p.abstain ? '–' : String(p.desired)), el('td', {}, p.why)));
  const more = rows.length
    ? el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'policy'), el('th', { scope: 'col', class: 'n' }, 'asks for'), el('th', { scope: 'col' }, 'because'))), el('tbody', {}, ...rows))
    : el('p', { class: 'quiet' }, 'No policy took part.');
  const details = el('details', {}, head, more);
  if (d.bound) details.append(el('p', { class: 'quiet' }, `Bound by ${d.bound}.`));
  return el('li', {}, details);
}

/** Everything that happened. */
export class Log {
  #all = [];
  #seen = new Set();
  #box;
  #none;

  constructor(box, none) {
    this.#box = box;
    this.#none = none;
  }

  add(e) {
    if (this.#seen.has(e.id)) return;
    this.#seen.add(e.id);
    this.#all.unshift(e);
    for (const old of this.#all.splice(EVENTS)) this.#seen.delete(old.id);
    keyed(this.#box, this.#all, (x) => x.id, line);
    this.#none.hidden = true;
  }
}

function line(e) {
  const d = e.type === 'decision' && e.data;
  const what = d ? `${d.previous} → ${plural(d.desired, 'instance')}` : e.text; // why stands among the decisions
  return el('li', { 'data-type': e.type },
    el('time', { datetime: e.time, title: fullTime(e.time) }, time(e.time)),
    el('span', { class: 'tag' }, e.type), el('span', { class: 'pool' }, e.pool ?? 'Weir'),
    el('span', { class: 'why' }, e.subject ? el('b', {}, e.subject) : '', ' ', what));
}
