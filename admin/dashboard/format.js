// Numbers and times as people read them.

/** A count or a rate: at most three significant digits, thousands as k, M. */
export function num(v) {
  if (v == null || !isFinite(v)) return '–';
  const a = Math.abs(v);
  if (a >= 1e9) return digits(v / 1e9) + 'G';
  if (a >= 1e6) return digits(v / 1e6) + 'M';
  if (a >= 1e4) return digits(v / 1e3) + 'k';
  if (a >= 1000) return Math.round(v).toLocaleString('en');
  return digits(v);
}

function digits(v) {
  const a = Math.abs(v);
  if (a === 0) return '0';
  if (a >= 100 || Number.isInteger(v)) return String(Math.round(v));
  if (a >= 10) return strip(v.toFixed(1));
  if (a >= 0.005) return strip(v.toFixed(2));
  return '<0.01';
}

const strip = (s) => s.includes('.') ? s.replace(/\.?0+$/, '') : s;

/** A length of time in seconds: "3.1 ms", "1.2 s", "4 min 10 s". */
export function secs(v) {
  if (v == null || !isFinite(v)) return '–';
  if (v === 0) return '0 s';
  if (v < 0.001) return digits(v * 1e6) + ' µs';
  if (v < 0.9995) return digits(v * 1000) + ' ms';
  if (v < 60) return digits(v) + ' s';
  return age(v);
}

/** A longer time, in its two largest units: "3 h 12 min". */
export function age(v) {
  v = Math.max(0, Math.floor(v));
  const d = Math.floor(v / 86400), h = Math.floor(v / 3600) % 24, m = Math.floor(v / 60) % 60, s = v % 60;
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  if (m) return s && m < 10 ? `${m} min ${s} s` : `${m} min`;
  return `${s} s`;
}

export function bytes(v) {
  if (!v) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; v >= 1024 && i < units.length - 1; i++) v /= 1024;
  return `${v >= 100 ? Math.round(v) : strip(v.toFixed(1))} ${units[i]}`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** The time of day, in the reader's zone. */
export const time = (iso) => clock.format(new Date(iso));
export const fullTime = (iso) => full.format(new Date(iso));

/** The time of day, and before it the day when that is not today. */
export const when = (iso) => {
  const d = new Date(iso);
  return d.toDateString() === new Date().toDateString() ? time(iso) : `${d.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time(iso)}`;
};

export const plural = (n, noun) => `${num(n)} ${noun}${n === 1 ? '' : 's'}`;
