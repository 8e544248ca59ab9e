// What the views are made of: talking to the gateway, what is known, elements, lists, and what an operator does.

// ---- Talking to the gateway: requests that may be sent again, and the stream of changes.

const API = "/api/v1";
const TRIES = 4;
const AGAIN = new Set([429, 502, 503, 504]);

/** A refusal, as the house words it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `refused (${status})`);
    this.status = status;
    this.code = problem.code ?? "";
    this.fields = problem.fields ?? {};
  }
}

export const heard = { signedOut: () => {} };

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function once(method, path, body, key, keepalive) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(API + path, { method, headers, body: sent, keepalive, cache: "no-store" });
  if (answer.ok) return { value: await answer.json(), again: 0 };
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) heard.signedOut();
  const wait = Number(answer.headers.get("retry-after")) || 1;
  return { error: new Refused(answer.status, problem), again: AGAIN.has(answer.status) ? wait : 0 };
}

async function ask(method, path, body, key, keepalive = false) {
  for (let tried = 1; ; tried += 1) {
    let found;
    try {
      found = await once(method, path, body, key, keepalive);
    } catch (error) {
      found = { error: new Refused(0, { detail: "Rollcall cannot be reached" }), again: 2 ** (tried - 1) };
    }
    if (!found.error) return found.value;
    if (!found.again || tried >= TRIES || keepalive) throw found.error;
    await pause(Math.min(found.again, 8) * 1000);
  }
}

export function read(path) {
  return ask("GET", path);
}

/** A question that does not fit into an address. */
export function inquire(path, body) {
  return ask("POST", path, body);
}

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send a command; however often it is sent, it is done once. */
export function send(method, path, body, { key = newKey(), keepalive = false } = {}) {
  return ask(method, path, body ?? {}, key, keepalive);
}

function query(words) {
  const given = Object.entries(words).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Read a page after the other; `take` sees each as it comes. */
async function pages(path, words, take) {
  for (let after = 0; after !== null; ) {
    const page = await read(path + query({ ...words, after, limit: 500 }));
    take(page.items);
    after = page.next;
  }
}

/** Server-sent events by hand: an EventSource hides why it ends, and hears only names that it knows. */
class Stream {
  constructor({ event, state, alive, resync }) {
    Object.assign(this, { event, state, alive, resync });
    this.last = "";
    this.stopped = false;
  }

  async run() {
    for (let tries = 0; !this.stopped; tries += 1) {
      try {
        await this.listen(() => { tries = 0; });
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return heard.signedOut();
        if (error instanceof Refused && error.status === 422) this.last = ""; // an id of another life
      }
      if (this.stopped) return undefined;
      this.state(false);
      await this.rest(Math.min(1000 * 2 ** tries, 8000) * (0.75 + Math.random() / 2));
    }
    return undefined;
  }

  rest(ms) {
    return new Promise((done) => {
      this.hurry = done;
      setTimeout(done, ms);
    });
  }

  async listen(connected) {
    this.cut = new AbortController();
    const headers = { accept: "text/event-stream" };
    if (this.last) headers["last-event-id"] = this.last;
    const answer = await fetch(`${API}/events`, { headers, signal: this.cut.signal, cache: "no-store" });
    if (!answer.ok) throw new Refused(answer.status, {});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    connected();
    this.state(true);
    if (this.opened && !this.last) this.resync(); // nothing was heard before: what was missed cannot be told
    this.opened = true;
    let rest = "";
    for (;;) {
      const quiet = setTimeout(() => this.cut.abort(), 40000); // the house speaks every 15 s
      const { value, done } = await reader.read().finally(() => clearTimeout(quiet));
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      parts.forEach((part) => this.take(part));
      this.alive();
    }
  }

  take(part) {
    let name = "";
    let data = "";
    for (const line of part.split("\n")) {
      if (line.startsWith("id: ")) this.last = line.slice(4);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (name === "resync") this.resync();
    else if (name) this.event(JSON.parse(data));
  }

  stop() {
    this.stopped = true;
    this.cut?.abort();
  }
}

// ---- Elements, and nothing that could read markup: all text goes in as text.

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
class Rows {
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

function setSkew(ms) {
  skew = ms;
}

function nowMs() {
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

// ---- What the page knows. Read once, then kept true: an event marks what it is about as stale, and what is stale
// is read again, together. Whoever draws is told once per frame what has changed.

const FLUSH_MS = 300;
const SLOW_MS = 1200; // lists that are read whole
const TAIL_MAX = 2000;
const FEW = 6;
const PAGE = 500;

export const known = {
  session: null,
  agents: new Map(), // by name
  tasks: new Map(), // by id
  details: new Map(), // of tasks, by id
  attention: null,
  status: null,
  machines: null,
  policies: null,
  letters: null,
  escalations: null,
  tail: [], // the newest events, oldest first
  live: false,
  asOf: Date.now(), // when the stream last said that it lives
  loading: new Set(),
};

const LISTS = {
  attention: "/attention",
  status: "/status",
  machines: "/machines",
  policies: "/policies",
  letters: "/dead-letters",
  escalations: "/escalations",
};
const wanted = new Set(); // what has been read, and is kept true
const stale = { agents: new Set(), tasks: new Set(), details: new Set(), lists: new Set() };
const readAt = new Map(); // when a list was last asked for
const listeners = new Set();
let changed = new Set();
let framed = false;
let flushing = 0;

/** Call `draw` with the names of what has changed, once per frame. */
export function onChange(draw) {
  listeners.add(draw);
  return () => listeners.delete(draw);
}

function touch(...topics) {
  topics.forEach((topic) => changed.add(topic));
  if (framed) return;
  framed = true;
  requestAnimationFrame(() => {
    framed = false;
    const told = changed;
    changed = new Set();
    listeners.forEach((draw) => draw(told));
  });
}

/** Read what is not known yet; from then on it is kept true. */
export function need(...topics) {
  for (const topic of topics) {
    if (!wanted.has(topic)) {
      wanted.add(topic);
      load(topic);
    }
  }
}

/** Be no longer interested in what one view alone shows. */
export function drop(topic) {
  wanted.delete(topic);
}

async function load(topic) {
  known.loading.add(topic);
  touch(topic);
  try {
    if (topic === "agents") await loadAgents();
    else if (topic === "tasks") await loadTasks();
    else if (topic.startsWith("task:")) await loadDetail(Number(topic.slice(5)));
    else await loadList(topic);
  } catch (error) {
    if (topic.startsWith("task:")) known.details.set(Number(topic.slice(5)), { error });
    console.info(`${topic}: ${error.message}`);
  } finally {
    known.loading.delete(topic);
    touch(topic);
  }
}

async function loadAgents() {
  const { items } = await read("/agents");
  const old = known.agents;
  known.agents = new Map(items.map((agent) => [agent.name, same(old.get(agent.name), agent)]));
  touch("agents");
}

async function loadTasks() {
  const found = new Map();
  for (const status of ["in_progress", "todo", "failed", "done", "cancelled"]) {
    await pages("/tasks", { status }, (items) => {
      for (const task of items) {
        const kept = same(known.tasks.get(task.id), task);
        found.set(task.id, kept);
        known.tasks.set(task.id, kept);
      }
      touch("tasks");
    });
  }
}

async function loadDetail(id) {
  const detail = await read(`/tasks/${id}`);
  known.details.set(id, detail);
  known.tasks.set(id, same(known.tasks.get(id), detail.task));
  touch(`task:${id}`, "tasks");
}

async function loadList(topic) {
  readAt.set(topic, Date.now());
  const found = await read(LISTS[topic]);
  if (topic === "status") setSkew(Date.now() - Date.parse(found.at));
  if (topic === "attention") {
    const old = new Map(known.attention?.items.map((item) => [keyOf(item), item]));
    found.items = found.items.map((item) => same(old.get(keyOf(item)), item));
  }
  if (topic === "escalations") found.items = await Promise.all(found.items.slice(0, 50).map((one) => read(`/escalations/${one.id}`)));
  known[topic] = found;
  touch(topic);
}

/** What tells one thing that needs somebody from another. */
export function keyOf(item) {
  return item.assignment ? `a${item.assignment}` : item.task ? `t${item.task}` : `d${item.agent}`;
}

/** Return the old record where the new one says the same: its row need not be drawn again. */
function same(old, made) {
  return old && JSON.stringify(old) === JSON.stringify(made) ? old : made;
}

/** Mark what an event is about. */
function take(event) {
  known.tail.push(event);
  if (known.tail.length > TAIL_MAX) known.tail.splice(0, TAIL_MAX / 10);
  const data = event.data ?? {};
  const task = event.aggregate === "task" ? Number(event.id) : data.task;
  if (task) stale.tasks.add(task);
  const agents = event.aggregate === "agent" ? [event.id] : [data.agent, data.to, data.holder];
  agents.filter(Boolean).forEach((name) => stale.agents.add(name));
  if (event.aggregate === "machine") stale.lists.add("machines");
  if (event.aggregate === "policy") stale.lists.add("policies");
  for (const list of ["attention", "status", "escalations"]) stale.lists.add(list);
  if (event.event === "quarantined") stale.lists.add("letters");
  touch("tail");
  plan();
}

function plan() {
  if (!flushing && !document.hidden) flushing = setTimeout(flush, FLUSH_MS);
}

async function flush() {
  const work = [];
  const agents = [...stale.agents];
  const tasks = [...stale.tasks];
  stale.agents.clear();
  stale.tasks.clear();
  if (wanted.has("agents") && agents.length) work.push(refreshAgents(agents));
  for (const id of tasks) if (wanted.has(`task:${id}`)) work.push(loadDetail(id));
  if (wanted.has("tasks") && tasks.length) work.push(refreshTasks(tasks));
  for (const list of [...stale.lists]) {
    if (!wanted.has(list)) stale.lists.delete(list);
    else if (Date.now() - (readAt.get(list) ?? 0) > SLOW_MS) {
      stale.lists.delete(list);
      work.push(loadList(list));
    }
  }
  await Promise.allSettled(work);
  flushing = 0;
  if (stale.lists.size || stale.agents.size || stale.tasks.size) plan();
}

async function refreshAgents(names) {
  if (names.length > FEW) return loadAgents();
  await Promise.all(names.map(async (name) => {
    try {
      const { agent } = await read(`/agents/${encodeURIComponent(name)}`);
      if (agent.active && !agent.hidden_at) known.agents.set(agent.name, same(known.agents.get(agent.name), agent));
      else known.agents.delete(agent.name);
    } catch (error) {
      if (error.status !== 404) throw error;
      known.agents.delete(name);
    }
  }));
  return touch("agents");
}

/** Read tasks again, neighbours in one request. */
async function refreshTasks(ids) {
  ids.sort((a, b) => a - b);
  const asked = [];
  while (ids.length) {
    const first = ids[0];
    const run = ids.filter((id) => id < first + PAGE);
    ids.splice(0, run.length);
    const limit = run.at(-1) - first + 1;
    asked.push(read(`/tasks${query({ after: first - 1, limit })}`));
  }
  for (const { items } of await Promise.all(asked)) {
    for (const task of items) known.tasks.set(task.id, same(known.tasks.get(task.id), task));
  }
  touch("tasks");
}

/** Read everything anew that anybody wants. */
function reload() {
  for (const topic of wanted) load(topic);
}

/** Read again what a command has just changed, without waiting for its event. */
export function soon({ task, agent, list } = {}) {
  if (task) stale.tasks.add(task);
  if (agent) stale.agents.add(agent);
  if (list) stale.lists.add(list);
  stale.lists.add("attention");
  plan();
}

let stream = null;
let dropped = false;

/** Hear of changes; resolves when whatever is read from now on cannot miss one. */
export function listen() {
  let opened;
  const open = new Promise((done) => { opened = done; });
  stream = new Stream({
    event: take,
    resync: reload,
    state(live) {
      opened();
      if (known.live === live) return;
      known.live = live;
      if (live) known.asOf = Date.now();
      if (live && dropped) reload(); // what was read meanwhile may have failed
      dropped = !live;
      touch("live");
    },
    alive() {
      known.asOf = Date.now();
      for (const list of ["status", "letters"]) stale.lists.add(list); // they have no events
      plan();
    },
  });
  stream.run();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) plan();
  });
  addEventListener("online", () => stream.hurry?.());
  return open;
}

export function deaf() {
  stream?.stop();
}

/** How old the data is, in seconds. */
export function ageOfData() {
  return (Date.now() - known.asOf) / 1000;
}

// ---- What every view is made of: how a status looks, badges, dialogs, toasts.

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

/** What can be filtered by, and how many there are of each: buttons that stay while nothing of it changes. */
export function drawChips(box, keys, counts, all, chosen, choose) {
  const print = JSON.stringify([keys, counts, all, chosen]);
  if (box.dataset.print === print) return;
  box.dataset.print = print;
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const chip = (key, label, count) => {
    const made = button([label, h("b", {}, count)], key, () => choose(key), { kind: "chip" });
    made.setAttribute("aria-pressed", chosen === key);
    return made;
  };
  fill(box, chip("", "All", all), keys.map((key) => chip(key, wordOf(key), counts[key] ?? 0)));
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

// ---- What an operator does: sent once, undone where that is possible, and told when it went wrong.

const UNDO_S = 10;

/** Do something at once, and say so. */
export async function now(label, method, path, body, about = {}) {
  try {
    const value = await send(method, path, body);
    soon(about);
    toast(label);
    return value ?? {};
  } catch (error) {
    toast(`${label}: ${told(error)}`, { tone: "bad", ms: 9000 });
    soon(about);
    return null;
  }
}

/** Tasks that a command waits for: they are shown as good as done. */
export const held = new Map();
const waiting = new Set();

/** Do something to tasks in ten seconds, unless it is undone. `each(id)` names method, path and body. */
export function later(label, ids, each) {
  const job = { ids, gone: false };
  ids.forEach((id) => held.set(id, label));
  touch("tasks", "attention");
  const note = toast("", { action: "Undo", run: () => end(job), ms: UNDO_S * 1000 + 500 });
  let left = UNDO_S;
  const count = () => note.say(`${label} in ${left} s`);
  count();
  job.timer = setInterval(() => {
    left -= 1;
    if (left > 0) return count();
    note.close();
    return run();
  }, 1000);
  const end = () => {
    clearInterval(job.timer);
    waiting.delete(job);
    ids.forEach((id) => held.delete(id));
    touch("tasks", "attention");
  };
  const keys = new Map(ids.map((id) => [id, newKey()]));
  const run = (keepalive = false) => {
    if (job.gone) return undefined;
    job.gone = true;
    clearInterval(job.timer);
    waiting.delete(job);
    return carryOut(label, ids, each, keys, keepalive);
  };
  job.run = run;
  waiting.add(job);
}

async function carryOut(label, ids, each, keys, keepalive) {
  const failed = [];
  const left = [...ids];
  const worker = async () => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      const { method, path, body } = each(id);
      try {
        await send(method, path, body, { key: keys.get(id), keepalive });
      } catch (error) {
        failed.push(`#${id}: ${told(error)}`);
      }
      held.delete(id);
      soon({ task: id });
    }
  };
  await Promise.all(keepalive ? ids.map(worker) : Array.from({ length: 6 }, worker));
  touch("tasks", "attention");
  if (failed.length) toast(`${label}: ${failed.length} of ${ids.length} refused. ${failed[0]}`, { tone: "bad", ms: 12000 });
  else toast(`${label}: done`);
}

addEventListener("pagehide", () => {
  for (const job of [...waiting]) job.run(true);
});

export function cancelTasks(ids) {
  later(ids.length === 1 ? `Cancel task ${ids[0]}` : `Cancel ${ids.length} tasks`, ids,
    (id) => ({ method: "POST", path: `/tasks/${id}/cancel`, body: {} }));
}

export function ack(item) {
  return now(`Task ${item.task} is acked by you`, "POST", `/tasks/${item.task}/ack`, {}, { task: item.task, agent: item.agent });
}

export function snooze(item, minutes = 30) {
  return now(`${item.agent} is asked again in ${minutes} min`, "POST", `/tasks/${item.task}/snooze`, { minutes }, { task: item.task, agent: item.agent });
}

export function approve(item) {
  return answer(item, "Approved: go on.");
}

export function answer(item, text) {
  return now(`${item.agent} is answered`, "POST", `/tasks/${item.task}/answer`, { text }, { task: item.task, agent: item.agent });
}

export function answerDialog(item) {
  const text = h("textarea", { rows: 4, required: true, maxlength: 2000 });
  return dialog(`Answer ${item.agent}`, [
    h("p", { class: "quote" }, item.why),
    field("Your answer", text, "It is told to the agent, which goes on; it stands on the task under your name."),
  ], {
    action: "Answer",
    done: async () => {
      if (!text.value.trim()) throw new Error("Say something first");
      await send("POST", `/tasks/${item.task}/answer`, { text: text.value.trim() });
      soon({ task: item.task, agent: item.agent });
      toast(`${item.agent} is answered`);
      return true;
    },
  });
}

export function snoozeDialog(item) {
  const minutes = select([["15", "15 minutes"], ["30", "30 minutes"], ["60", "1 hour"], ["120", "2 hours"], ["240", "4 hours"], ["480", "8 hours"]], "30");
  return dialog(`Snooze task ${item.task}`, field("In", minutes, `Its clock rests until then, and ${item.agent} is asked again.`), {
    action: "Snooze",
    done: async () => {
      await send("POST", `/tasks/${item.task}/snooze`, { minutes: Number(minutes.value) });
      soon({ task: item.task, agent: item.agent });
      toast(`${item.agent} is asked again in ${minutes.value} min`);
      return true;
    },
  });
}

/** Who can take work, the free ones first; the main agent is marked. */
function agentOptions({ capabilities = [], none = "Let Rollcall choose" } = {}) {
  const fits = (agent) => capabilities.every((word) => agent.capabilities.includes(word));
  const free = (agent) => agent.leases < agent.capacity && !agent.flags.length && agent.status !== "dead";
  const rank = (agent) => (fits(agent) ? 0 : 2) + (free(agent) ? 0 : 1);
  const agents = [...known.agents.values()].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  return [["", none], ...agents.map((agent) => {
    const main = agent.kind === "main_agent" ? " · MAIN" : "";
    const lacks = fits(agent) ? "" : " · lacks a capability";
    return [agent.name, `${agent.name} · ${agent.status} · ${agent.leases}/${agent.capacity}${main}${lacks}`];
  })];
}

export function assignDialog(ids, { holder = null, capabilities = [] } = {}) {
  const agent = select(agentOptions({ capabilities }), "");
  const one = ids.length === 1;
  const title = one ? `${holder ? "Reassign" : "Assign"} task ${ids[0]}` : `Assign ${ids.length} tasks`;
  return dialog(title, [
    holder && h("p", {}, `${holder} holds it now, and will be told to stop.`),
    field("Agent", agent, "Your word goes before presence, capability and capacity."),
  ], {
    action: holder ? "Reassign" : "Assign",
    done: async () => {
      const body = agent.value ? { agent: agent.value } : {};
      for (const id of ids) {
        const given = await send("POST", `/tasks/${id}/assign`, body);
        soon({ task: id, agent: given.agent });
        if (one) toast(`Task ${id} is with ${given.agent}`);
      }
      if (!one) toast(`${ids.length} tasks assigned`);
      if (holder) soon({ agent: holder });
      return true;
    },
  });
}

/** A task to write or to change (P26: with the agent who shall have it). */
export function taskDialog(task = null) {
  const input = (value, props = {}) => h("input", { type: "text", value: value ?? "", ...props });
  const title = input(task?.title, { required: true, maxlength: 200 });
  const description = h("textarea", { rows: 5, maxlength: 10000, value: task?.description ?? "" });
  const level = select(["P0", "P1", "P2", "P3"], `P${task?.priority ?? 2}`);
  const due = input(task?.due_at ? local(task.due_at) : "", { type: "datetime-local" });
  const agent = select(agentOptions({ capabilities: task?.capabilities ?? [], none: task ? "As it is" : "Let Rollcall choose" }), task?.agent ?? "");
  const able = input("", { placeholder: "python, review" });
  const policy = select((known.policies?.items ?? [{ name: "default" }]).map((one) => one.name), task?.policy ?? "default");
  const pair = (...fields) => h("div", { class: "pair" }, fields);
  const body = [
    field("Title", title),
    field("Description", description, "What the agent is told."),
    pair(field("Priority", level), field("Due", due)),
    pair(field("Agent", agent), field("Policy", policy)),
    task ? null : field("Capabilities", able, "What its holder must be able to do, with commas between."),
  ];
  return dialog(task ? `Edit task ${task.id}` : "New task", body, {
    action: task ? "Save" : "Create",
    wide: true,
    done: async () => {
      const said = { title: title.value.trim(), description: description.value, priority: level.value, policy: policy.value };
      if (due.value || task?.due_at) said.due_at = due.value ? new Date(due.value).toISOString() : null;
      if (!task) {
        said.capabilities = able.value.split(",").map((word) => word.trim()).filter(Boolean);
        if (!said.due_at) delete said.due_at;
      }
      if (task) said.expected_version = task.version; // what somebody else has changed meanwhile is not undone
      const made = task ? await send("PATCH", `/tasks/${task.id}`, said) : await send("POST", "/tasks", said);
      const id = task?.id ?? made.task;
      if (agent.value && agent.value !== task?.agent) await send("POST", `/tasks/${id}/assign`, { agent: agent.value });
      soon({ task: id, agent: agent.value });
      toast(task ? `Task ${id} is changed` : `Task ${id} is created`);
      return id;
    },
  });
}

function local(at) {
  const when = new Date(at);
  return new Date(when - when.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
