// What every view is made of: how a status looks, badges, dialogs, toasts.

import { fill, h, icon, Rows } from "./dom.js";
import { known } from "./store.js";

// The words of people, the shape, and the colour of each status: never one of them alone.
const STATUS = {
  ready: ["Ready", "ready", "good"],
  busy: ["Busy", "busy", "warn"],
  working: ["Working", "working", "work"],
  waiting: ["Waiting", "waiting", "warn"],
  stalled: ["Stalled", "suspect", "warn"],
  suspect: ["Suspect", "suspect", "warn"],
  restarting: ["Restarting", "restarting", "work"],
  offline: ["Offline", "offline", "off"],
  dead: ["Dead", "dead", "bad"],
  dead_failed_revive: ["Dead (unrecoverable)", "dead", "bad"],
  todo: ["To do", "todo", "off"],
  in_progress: ["In progress", "working", "work"],
  done: ["Done", "done", "good"],
  failed: ["Failed", "dead", "bad"],
  cancelled: ["Cancelled", "offline", "off"],
  pending: ["Pending", "busy", "warn"],
  acknowledged: ["Acknowledged", "working", "work"],
  snoozed: ["Snoozed", "waiting", "off"],
  completed: ["Completed", "done", "good"],
  human: ["Waits for you", "waiting", "accent"],
  exhausted: ["Exhausted", "dead", "bad"],
  quarantined: ["Quarantined", "dead", "bad"],
  unreachable: ["Unreachable", "suspect", "bad"],
  silent: ["Silent", "suspect", "warn"],
  escalated: ["Escalated", "escalations", "warn"],
  due: ["Overdue", "suspect", "warn"],
  unassigned: ["Unassigned", "todo", "warn"],
  ok: ["OK", "done", "good"],
  warning: ["Warning", "suspect", "warn"],
  error: ["Error", "dead", "bad"],
};

export const ORDER = [
  "dead_failed_revive", "dead", "suspect", "stalled", "restarting", "waiting", "busy", "working", "ready", "offline",
];

export function wordOf(status) {
  return STATUS[status]?.[0] ?? status;
}

export function status(name, label = wordOf(name)) {
  const [, shape, tone] = STATUS[name] ?? [name, "offline", "off"];
  return h("span", { class: `status t-${tone}` }, icon(shape), h("span", {}, label));
}

export function toneOf(name) {
  return STATUS[name]?.[2] ?? "off";
}

export function badge(text, tone = "off", title) {
  return h("span", { class: `badge t-${tone}`, title }, text);
}

export function priority(number) {
  return badge(`P${number}`, number === 0 ? "bad" : number === 1 ? "warn" : "off", "priority");
}

export function button(label, act, run, { kind = "", title, disabled } = {}) {
  const made = h("button", { type: "button", class: kind, title, disabled, "data-act": act }, label);
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    run(made);
  });
  return made;
}

export function mayChange() {
  return known.session && known.session.role !== "read_only";
}

export function mayRule() {
  return known.session?.role === "admin";
}

export function taskLink(id, text = `#${id}`, props = {}) {
  return h("a", { href: `/tasks/${id}`, ...props }, text);
}

/** To an agent, wherever one is named. */
export function agentLink(name) {
  return h("a", { href: `/fleet?agent=${encodeURIComponent(name)}`, class: "ell agent", title: name }, name);
}

/** What can be filtered by, and how many there are of each: buttons that stay while nothing of it changes. */
export function drawChips(box, keys, counts, all, chosen, choose, first = "All") {
  const print = JSON.stringify([keys, counts, all, chosen]);
  if (box.dataset.print === print) return;
  box.dataset.print = print;
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const chip = (key, label, count) => {
    const made = button([label, h("b", {}, count)], key, () => choose(key), { kind: "chip" });
    made.setAttribute("aria-pressed", chosen === key);
    return made;
  };
  fill(box, chip("", first, all), keys.map((key) => chip(key, wordOf(key), counts[key] ?? 0)));
  if (focused !== null) box.querySelector(`[data-act="${focused}"]`)?.focus();
}

/** Something said under its breath. */
export function muted(...kids) {
  return h("span", { class: "muted" }, kids);
}

/** A part of a page under its heading. */
export function panel(title, ...kids) {
  return h("section", { class: "panel" }, h("h2", {}, title), kids);
}

/** A name and what stands for it, in a list of facts. */
export function fact(name, ...value) {
  return [h("dt", {}, name), h("dd", {}, value)];
}

export function empty(title, text) {
  return h("div", { class: "empty" }, icon("done"), h("h2", {}, title), h("p", {}, text));
}

export function loading() {
  return h("div", { class: "empty", role: "status" }, h("p", {}, "Reading …"));
}

/** A field with its label above it, and what is wrong with it below. */
export function field(label, control, hint = "") {
  const id = `f${(field.count = (field.count ?? 0) + 1)}`;
  control.id = id;
  const said = h("p", { class: "hint", id: `${id}-hint` }, hint);
  control.setAttribute("aria-describedby", said.id);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, said);
}

export function select(options, value, props = {}) {
  const made = h("select", props);
  for (const one of options) {
    const [key, label] = Array.isArray(one) ? one : [one, one];
    made.append(h("option", { value: key, selected: key === value }, label));
  }
  return made;
}

/** A dialog that asks for something; resolves with what `done` returns, or null when it is left. */
export function dialog(title, body, { action, danger = false, done, wide = false, extra = [] }) {
  return new Promise((resolve) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const box = h("dialog", { class: wide ? "wide" : "", "aria-label": title });
    const close = (value) => {
      box.close();
      box.remove();
      resolve(value);
    };
    const form = h("form", { method: "dialog" },
      h("header", {}, h("h2", {}, title), button("✕", "close", () => close(null), { kind: "ghost square", title: "Close (Esc)" })),
      h("div", { class: "body" }, body, wrong),
      h("footer", {}, extra, button(action ? "Cancel" : "Close", "cancel", () => close(null)),
        action && h("button", { type: "submit", class: danger ? "danger" : "primary" }, action)));
    form.querySelector("header button").setAttribute("aria-label", "Close");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!action) return close(null);
      const submit = form.querySelector("[type=submit]");
      submit.disabled = true;
      wrong.textContent = "";
      try {
        const value = done ? await done() : true;
        if (value !== undefined) close(value);
      } catch (error) {
        wrong.textContent = told(error);
      }
      submit.disabled = false;
      return undefined;
    });
    box.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    box.append(form);
    document.body.append(box);
    box.showModal();
    (box.querySelector(".body :is(input,select,textarea):not([disabled])") ?? box.querySelector("footer button"))?.focus();
  });
}

/** A refusal in words, with every field that it names. */
export function told(error) {
  const fields = Object.entries(error.fields ?? {}).map(([name, why]) => `${name}: ${why}`);
  return [error.message, ...fields].join(" · ");
}

/** Say something for a while; an action may stand beside it. */
export function toast(text, { tone = "", action, run, ms = 5000 } = {}) {
  const words = h("span", {}, text);
  const made = h("div", { class: `toast ${tone}` }, words);
  const close = () => made.remove();
  if (action) made.append(button(action, "undo", () => { close(); run(); }, { kind: "quiet" }));
  document.getElementById("toasts").append(made);
  const timer = setTimeout(close, ms);
  return {
    say: (more) => { words.textContent = more; },
    close: () => { clearTimeout(timer); close(); },
  };
}

// ---- A long list of which only what is in sight is in the page.

const MORE_PX = 400; // beyond the edges, so that scrolling shows no gaps

/** Lines of known heights in a box that scrolls with the page, or by itself. */
export class Windowed {
  /**
   * `build(item, key)` makes a line. `label` names the list to those who do not see it.
   * `scroller`: what scrolls; the window if none is given.
   */
  constructor({ build, label, role = "list", itemRole = "listitem", scroller = null }) {
    this.rows = new Rows((item, key) => {
      const node = build(item, key);
      node.classList.add("line");
      node.dataset.key = key;
      if (itemRole && !node.hasAttribute("role")) node.setAttribute("role", itemRole);
      return node;
    });
    this.itemRole = itemRole;
    this.box = h("div", { class: "window", role, "aria-label": label });
    this.scroller = scroller;
    this.lines = [];
    this.tops = [0];
    this.shown = new Map();
    this.queued = false;
    this.onScroll = () => this.later();
    (scroller ?? window).addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onScroll);
  }

  destroy() {
    (this.scroller ?? window).removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onScroll);
  }

  later() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.draw();
    });
  }

  /** Show these lines: [{key, item, height, mark}]. */
  set(lines) {
    this.lines = lines;
    this.tops = [0];
    for (const line of lines) this.tops.push(this.tops.at(-1) + line.height);
    this.box.style.height = `${this.tops.at(-1)}px`;
    this.rows.keep(new Set(lines.map((line) => line.key)));
    this.draw();
  }

  draw() {
    if (!this.box.isConnected) return;
    const seen = this.box.getBoundingClientRect();
    const frame = this.scroller?.getBoundingClientRect();
    const from = (frame?.top ?? 0) - seen.top - MORE_PX;
    const to = (frame?.bottom ?? innerHeight) - seen.top + MORE_PX;
    const held = document.activeElement?.closest?.(".line")?.dataset.key;
    const before = this.shown;
    this.shown = new Map();
    for (let place = this.find(from); place < this.lines.length && this.tops[place] < to; place += 1) {
      this.place(place);
    }
    if (held !== undefined && before.has(held) && !this.shown.has(held)) {
      const place = this.lines.findIndex((line) => String(line.key) === held);
      if (place >= 0) this.place(place); // who holds the focus stays, wherever it is scrolled to
    }
    for (const [key, node] of before) if (this.shown.get(key) !== node) node.remove();
    let next = this.box.firstChild; // in the page as before the eye: Tab and screen readers go by that
    for (const node of this.shown.values()) {
      if (node === next) next = next.nextSibling;
      else if (!node.isConnected || !node.contains(document.activeElement)) this.box.insertBefore(node, next);
    }
  }

  place(place) {
    const line = this.lines[place];
    const node = this.rows.node(line.key, line.item, line.mark);
    const top = `${this.tops[place]}px`;
    if (node.style.top !== top) node.style.top = top;
    if (node.style.height !== `${line.height}px`) node.style.height = `${line.height}px`;
    if (this.itemRole === "listitem") {
      node.setAttribute("aria-setsize", this.lines.length);
      node.setAttribute("aria-posinset", place + 1);
    }
    this.shown.set(String(line.key), node);
  }

  find(y) {
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] < y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Bring a line into sight, and return its node. */
  reveal(key) {
    const place = this.lines.findIndex((line) => String(line.key) === String(key));
    if (place < 0) return null;
    const top = this.tops[place] + this.box.getBoundingClientRect().top;
    const height = this.lines[place].height;
    const frame = this.scroller?.getBoundingClientRect();
    const upper = frame ? frame.top : 72;
    const lower = frame ? frame.bottom : innerHeight - 72;
    const by = top < upper ? top - upper : top + height > lower ? top + height - lower : 0;
    if (by) (this.scroller ?? window).scrollBy({ top: by, behavior: "instant" });
    this.draw();
    return this.shown.get(String(key)) ?? null;
  }
}

/** One line among many that keys move over: the same in every list. */
export class Cursor {
  constructor(list) {
    this.list = list;
    this.key = null;
  }

  keys() {
    return this.list.lines.filter((line) => line.item && !line.still).map((line) => line.key);
  }

  move(by) {
    const keys = this.keys();
    if (!keys.length) return;
    const at = keys.indexOf(this.key);
    this.to(keys[Math.max(0, Math.min(keys.length - 1, at < 0 ? 0 : at + by))]);
  }

  to(key) {
    this.key = this.list.lines.find((line) => String(line.key) === String(key))?.key;
    const node = this.list.reveal(key);
    (node?.querySelector("[data-main]") ?? node)?.focus({ preventScroll: true });
  }

  /** What the keys are about: where the focus is, else where it last was. */
  item() {
    const held = document.activeElement?.closest?.(".line")?.dataset.key;
    const line = this.list.lines.find((one) => String(one.key) === (held ?? String(this.key)));
    return line && !line.still ? line.item : null;
  }
}
