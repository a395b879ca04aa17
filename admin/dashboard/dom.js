// Small means to build the page and keep it up to date. Text only ever enters it as text, never as HTML.

/** el('div', {class: 'x', title: 'y'}, child, 'text') */
export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) {
    if (v === true) e.setAttribute(k, '');
    else if (v !== false && v != null) e.setAttribute(k, v);
  }
  e.append(...children);
  return e;
}

/** Sets text or an attribute only when it differs, so that selections and screen readers are left in peace. */
export function text(e, s) {
  if (e.textContent !== s) e.textContent = s;
}

export function attr(e, name, v) {
  if (v == null || v === false) e.removeAttribute(name);
  else if (e.getAttribute(name) !== String(v)) e.setAttribute(name, v === true ? '' : v);
}

/** Shows items in box in their order, keeping the element of each key, so that focus and what is open survive. */
export function keyed(box, items, keyOf, create, update) {
  const old = (box.keyed ??= new Map());
  const now = new Map();
  let before = box.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const e = old.get(key) ?? create(item);
    update?.(e, item);
    now.set(key, e);
    if (e === before) before = before.nextElementSibling;
    else box.insertBefore(e, before);
  }
  for (const [key, e] of old) if (!now.has(key)) e.remove();
  box.keyed = now;
}
