// Elements, and nothing that could read markup: all text goes in as text.


const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("a", {class: "x", href: "/", onclick: f}, "text", child). */
export function h(tag, props, ...kids) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("aria-")) made.setAttribute(name, String(value));
    else if (value === false) continue;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...kids.flat(3).filter((kid) => kid !== null && kid !== undefined && kid !== false));
  return made;
}

/** A shape from the page's own set; a word stands beside it, so nobody has to be told of it. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", "i");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  made.append(use);
  return made;
}

/** Let a box hold these children and no others, and leave alone what is there already. */
export function fill(box, ...kids) {
  const wanted = kids.flat(3).filter((kid) => kid !== null && kid !== undefined && kid !== false);
  let at = box.firstChild;
  for (const kid of wanted) {
    const node = typeof kid === "object" ? kid : document.createTextNode(kid);
    if (node === at) at = at.nextSibling;
    else box.insertBefore(node, at);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

/** Rows that are kept by key: one is made anew only when what it shows is another record. */
export class Rows {
  constructor(build) {
    this.build = build;
    this.made = new Map();
  }

  /** Return the node of an item; `mark` is what else it depends on. */
  node(key, item, mark = "") {
    const known = this.made.get(key);
    if (known && known.item === item && known.mark === mark) return known.node;
    const node = this.build(item, key);
    if (known) refocus(known.node, node);
    this.made.set(key, { item, mark, node });
    return node;
  }

  /** Forget what is not among these keys. */
  keep(keys) {
    for (const key of this.made.keys()) if (!keys.has(key)) this.made.delete(key);
  }
}

/** Put a new node in an old one's place without losing the reader's. */
function refocus(old, made) {
  const held = document.activeElement;
  if (!old.isConnected) return;
  const inside = old.contains(held);
  const act = inside ? held.dataset.act : undefined;
  old.replaceWith(made);
  if (!inside) return;
  const again = act && made.querySelector(`[data-act="${act}"]`);
  (again || made.querySelector("a,button,[tabindex]") || made).focus({ preventScroll: true });
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];

/** A length of time in one unit. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [unit, length] of UNITS) if (whole >= 2 * length) return `${Math.floor(whole / length)} ${unit}`;
  return `${whole} s`;
}

let skew = 0; // how far this browser's clock is ahead of the house's, in ms

export function setSkew(ms) {
  skew = ms;
}

/** The time of the house, in ms. */
export function nowMs() {
  return Date.now() - skew;
}

function aged(node) {
  const at = Date.parse(node.dateTime);
  const away = (at - nowMs()) / 1000;
  const form = node.dataset.form;
  if (form === "in") return away >= 0 ? `in ${span(away)}` : `${span(-away)} ago`;
  return form === "ago" ? `${span(-away)} ago` : span(-away);
}

/** An instant as its age: "ago", "for" or "in"; the instant itself is what a pointer finds. */
export function age(at, form = "ago") {
  if (!at) return h("span", { class: "muted" }, "never");
  const node = h("time", { datetime: at, title: new Date(at).toLocaleString(), "data-form": form });
  node.textContent = aged(node);
  return node;
}

/** The hour of an instant. */
export function clock(at) {
  const when = new Date(at);
  const node = h("time", { datetime: at, title: when.toLocaleString() });
  node.textContent = when.toLocaleTimeString([], { hour12: false });
  return node;
}

/** Let the ages that are in sight go on. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-form]")) {
    const text = aged(node);
    if (node.textContent !== text) node.textContent = text;
  }
}
