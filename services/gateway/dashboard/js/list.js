// A long list of which only what is in sight is in the page.

import { Rows, h } from "./dom.js";

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
    if (!node.isConnected) this.box.append(node);
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
    const place = this.lines.findIndex((line) => line.key === key);
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
  constructor(list, { open, change = () => {} }) {
    this.list = list;
    this.open = open;
    this.change = change;
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
    this.key = key;
    const node = this.list.reveal(key);
    (node?.querySelector("[data-main]") ?? node)?.focus({ preventScroll: true });
    this.change(key);
  }

  /** What the keys are about: where the focus is, else where it last was. */
  item() {
    const held = document.activeElement?.closest?.(".line")?.dataset.key;
    const line = this.list.lines.find((one) => String(one.key) === (held ?? String(this.key)));
    return line && !line.still ? line.item : null;
  }
}
