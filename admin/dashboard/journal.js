// What was decided and what happened, the newest first.
import { attr, el, keyed, text } from './dom.js';
import { fullTime, plural, when } from './format.js';
import { KINDS } from './live.js';

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
  const head = el('summary', {}, el('time', { datetime: d.time, title: fullTime(d.time) }, when(d.time)),
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

/** Everything that happened, of the kinds that are wanted. Of each kind as many are kept, so that a frequent one pushes out no other. */
export class Log {
  #kinds = new Map(); // kind -> its events, the newest first
  #seen = new Set();
  #wanted = new Set(); // none: all
  #box;
  #none;
  #choice;
  #due = 0;

  constructor(box, none, choice) {
    this.#box = box;
    this.#none = none;
    this.#choice = choice;
    choice.addEventListener('click', (event) => {
      const kind = event.target.closest('button')?.dataset.kind;
      if (kind == null) return;
      if (!kind) this.#wanted.clear();
      else if (!this.#wanted.delete(kind)) this.#wanted.add(kind);
      this.#show();
    });
  }

  add(...es) {
    for (const e of es) {
      if (e.type === 'decision') e.id = key({ pool: e.pool, ...e.data }); // it may come from the decisions, too
      if (this.#seen.has(e.id)) continue;
      this.#seen.add(e.id);
      e.at = Date.parse(e.time);
      const own = this.#kinds.get(e.type) ?? this.#kinds.set(e.type, []).get(e.type);
      const i = own.findIndex((x) => x.at <= e.at);
      own.splice(i < 0 ? own.length : i, 0, e);
      for (const old of own.splice(EVENTS)) if (old.at < e.at) this.#seen.delete(old.id);
    }
    this.#due ||= requestAnimationFrame(() => { // many may come at once
      this.#due = 0;
      this.#show();
    });
  }

  #show() {
    const names = KINDS.filter((k) => this.#kinds.has(k)), all = !this.#wanted.size;
    const shown = [...this.#kinds].flatMap(([k, es]) => (all || this.#wanted.has(k) ? es : [])).sort((a, b) => b.at - a.at).slice(0, EVENTS);
    keyed(this.#box, shown, (x) => x.id, line);
    keyed(this.#choice, names.length > 1 ? ['', ...names] : [], (k) => 'kind ' + k,
      (k) => el('button', { type: 'button', class: 'chip', 'data-kind': k }, k || 'all', ' ', el('small')),
      (b, k) => {
        attr(b, 'aria-pressed', String(k ? this.#wanted.has(k) : all));
        text(b.lastElementChild, k ? String(this.#kinds.get(k).length) : '');
      });
    this.#none.hidden = shown.length > 0;
    text(this.#none, all ? 'Nothing has happened since Weir started.' : 'Nothing of this kind is kept.');
  }
}

function line(e) {
  const d = e.type === 'decision' && e.data;
  const what = d ? `${d.previous} → ${plural(d.desired, 'instance')}` : e.text; // why stands among the decisions
  return el('li', { 'data-type': e.type },
    el('time', { datetime: e.time, title: fullTime(e.time) }, when(e.time)),
    el('span', { class: 'tag' }, e.type), el('span', { class: 'pool' }, e.pool ?? 'Weir'),
    el('span', { class: 'why' }, e.subject ? el('b', {}, e.subject) : '', ' ', what));
}
