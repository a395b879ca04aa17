// The stream of events: one connection that comes back by itself, and says when it is gone.

const QUIET = 4000; // milliseconds without a status, which comes each second, after which the stream counts as lost

/** The types of events. */
export const KINDS = ['spot', 'capacity', 'remedy', 'hook', 'refresh', 'alarm', 'decision', 'instance', 'target', 'notice'];

/**
 * Listens to /v1/events. on.status and on.event get what arrived; on.up is called when the stream is there,
 * with true when it was there before; on.down when it is lost, with what a person can do about it or ''.
 */
export function listen(on) {
  let source, watchdog, up = false, before = false;

  function lost(hint = '') {
    if (up || !before) on.down(hint);
    up = false;
  }

  function alive() {
    clearTimeout(watchdog);
    watchdog = setTimeout(again, QUIET);
    if (up) return;
    up = true;
    on.up(before);
    before = true;
  }

  async function again() {
    source.close();
    clearTimeout(watchdog);
    lost();
    try {
      const r = await fetch('v1/version', { signal: AbortSignal.timeout(QUIET) });
      if (r.status === 401) on.down('Weir asks for its token: open this page once with ?token=… at the end of its address.');
      else if (r.status === 403) on.down('Weir does not answer under this address without a token: use 127.0.0.1 or localhost.');
    } catch { /* still away */ }
    watchdog = setTimeout(connect, 1000);
  }

  function connect() {
    clearTimeout(watchdog);
    source = new EventSource('v1/events?backlog=200');
    watchdog = setTimeout(again, QUIET);
    source.onerror = again;
    source.addEventListener('status', (e) => { alive(); on.status(JSON.parse(e.data)); });
    for (const type of KINDS) {
      source.addEventListener(type, (e) => on.event({ ...JSON.parse(e.data), id: e.lastEventId }));
    }
  }

  connect();
}

export async function get(path) {
  const r = await fetch(path, { signal: AbortSignal.timeout(10000) });
  if (!r.ok) throw new Error(`${path} answered ${r.status}`);
  return r.json();
}
