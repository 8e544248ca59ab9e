// What every view is made of: how a status looks, badges, dialogs, toasts.

import { h, icon } from "./dom.js";
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
  silent: ["Silent", "suspect", "warn"],
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
