// What stands behind a pool's instances: those kept warm, and those that are being replaced.
import { attr, el, text } from './dom.js';
import { age, num, plural, secs, time } from './format.js';

const LOADING = ['pending', 'pending:wait', 'starting', 'warming'];
const BRIEFLY = 600; // seconds that a refresh which went well is still shown

/** A bar of parts of a whole: [name, value, colour variable, striped]. Its legend says the numbers. */
class Parts {
  constructor(label) {
    this.bar = el('div', { class: 'parts', role: 'img', 'aria-label': label });
    this.legend = el('div', { class: 'legend' });
  }

  show(parts, whole) {
    while (this.bar.children.length < parts.length) {
      this.bar.append(el('i'));
      this.legend.append(el('span', { class: 'key' }, el('i', { class: 'area' }), el('span'), ' ', el('b')));
    }
    parts.forEach(([name, value, colour, striped], i) => {
      const piece = this.bar.children[i], key = this.legend.children[i];
      piece.style.setProperty('--key', `var(${colour})`);
      piece.style.setProperty('width', `${whole ? (100 * Math.min(value, whole)) / whole : 0}%`);
      piece.classList.toggle('striped', Boolean(striped));
      key.firstElementChild.style.setProperty('--key', `var(${colour})`);
      key.firstElementChild.classList.toggle('striped', Boolean(striped));
      text(key.children[1], name);
      text(key.lastElementChild, num(value));
    });
  }
}

/** The warm pool: how many are prepared, of how many, and room for their boxes. */
export class Warm {
  constructor(pool) {
    this.state = el('small');
    this.count = el('span', { class: 'count' });
    this.parts = new Parts(`Instances of ${pool} that serve and that are prepared`);
    this.grid = el('div', { class: 'grid', role: 'group', 'aria-label': `Warm pool of ${pool}` });
    this.rule = el('p', { class: 'quiet' });
    this.e = el('section', { class: 'panel warm', hidden: true, 'aria-label': `Warm pool of ${pool}` },
      el('header', {}, el('h3', {}, 'Warm pool ', this.state), this.count), this.parts.bar, this.parts.legend, this.grid, this.rule);
  }

  show(p, spares) {
    const w = p.warm_pool;
    this.e.hidden = !w && !spares.length;
    if (this.e.hidden) return;
    this.grid.hidden = !spares.length;
    if (!w) {
      text(this.state, '');
      text(this.count, `${num(spares.length)} left`);
      text(this.rule, 'The pool keeps none any more; these are ended.');
      return;
    }
    text(this.state, w.state);
    text(this.count, `${num(w.prepared)} of ${num(w.wanted)} prepared`);
    const { ready, loading } = p.scale, serving = ready + loading;
    const room = Math.max(w.max_prepared, serving + w.prepared + w.preparing, serving + w.min);
    this.parts.show([['serving', ready, '--good'], ['loading', loading, '--load', true], ['prepared', w.prepared, '--warm'], ['preparing', w.preparing, '--warm', true]], room);
    const most = w.max_prepared > 0 ? `up to ${num(w.max_prepared)} together with those that serve` : 'no more';
    text(this.rule, `At least ${num(w.min)} at any capacity, ${most}.` + (w.reuse ? ' Scale-in sends instances back here.' : ''));
  }
}

/** The refresh under way, or the last one while it matters. */
export class Refresh {
  constructor(pool) {
    this.versions = el('small');
    this.phase = el('span', { class: 'badge' });
    this.bar = el('div', { class: 'parts', role: 'progressbar', 'aria-label': `Instance refresh of ${pool}`, 'aria-valuemin': '0', 'aria-valuemax': '100' }, el('i'), el('i'));
    this.done = el('b');
    this.since = el('span');
    this.cause = el('p', { 'data-kind': 'bad' });
    this.why = el('p', { class: 'quiet' });
    this.e = el('section', { class: 'panel refresh', hidden: true, 'aria-label': `Instance refresh of ${pool}` },
      el('header', {}, el('h3', {}, 'Instance refresh ', this.versions), this.phase), this.bar,
      el('p', { class: 'line' }, this.done, this.since), this.cause, this.why);
  }

  show(p, now) {
    const r = p.refresh, ended = r?.ended && Date.parse(r.ended);
    this.e.hidden = !r || (r.state === 'succeeded' && now - ended > BRIEFLY * 1000);
    if (this.e.hidden) return;
    const back = r.state === 'rolling_back' || r.state === 'rolled_back';
    const wanted = back ? r.from : r.to;
    const coming = ended ? 0 : (p.instances ?? []).filter((i) => !i.spare && i.version === wanted && LOADING.includes(i.state)).length;
    const [word, kind] = phase(r, coming, now);
    text(this.versions, r.from === r.to ? `version ${r.to}` : `version ${r.from} → ${r.to}`);
    text(this.phase, word);
    attr(this.phase, 'data-kind', kind);
    const of = Math.max(r.of, 1);
    const tone = r.state === 'failed' ? '--bad' : back || r.state === 'cancelled' ? '--away' : '--good';
    [[r.done, false], [Math.min(coming, of - r.done), true]].forEach(([n, striped], i) => {
      const piece = this.bar.children[i];
      piece.style.setProperty('width', `${(100 * Math.max(0, Math.min(n, of))) / of}%`);
      piece.style.setProperty('--key', `var(${striped ? '--load' : tone})`);
      piece.classList.toggle('striped', striped);
    });
    attr(this.bar, 'aria-valuenow', Math.round((100 * Math.min(r.done, of)) / of));
    text(this.done, `${num(r.done)} of ${num(r.of)} ${back ? `back at version ${r.from}` : 'replaced'}`);
    const begun = Date.parse(r.started);
    text(this.since, `begun ${time(r.started)}, ` + (ended ? `took ${age((ended - begun) / 1000)}` : `${age((now - begun) / 1000)} ago`));
    this.cause.hidden = !r.cause;
    text(this.cause, r.cause ? `${{ rolling_back: 'Rolls back', rolled_back: 'Rolled back' }[r.state] ?? 'Failed'}: ${r.cause}.` : '');
    const why = r.why.replace(/^rolls back: /, '');
    this.why.hidden = r.why === r.cause;
    text(this.why, why.charAt(0).toUpperCase() + why.slice(1));
  }
}

// What a refresh does now, in a few words.
function phase(r, coming, now) {
  const left = secs(Math.max(0, Math.round((Date.parse(r.until) - now) / 1000)));
  switch (r.state) {
    case 'checkpoint': return [`checkpoint ${r.reached} %, goes on in ${left}`, 'load'];
    case 'baking': return [`bake time, ${left} left`, 'load'];
    case 'rolling_back': return [coming ? `rolling back, launching ${num(coming)}` : 'rolling back', 'bad'];
    case 'rolled_back': return ['rolled back', 'bad'];
    case 'failed': return ['failed', 'bad'];
    case 'cancelled': return ['cancelled', 'idle'];
    case 'succeeded': return ['done', 'good'];
  }
  if (coming) return [`launching ${num(coming)}`, 'load'];
  return r.batch ? [`replacing ${plural(r.batch, 'instance')}`, 'load'] : ['waits for ready instances', 'load'];
}
