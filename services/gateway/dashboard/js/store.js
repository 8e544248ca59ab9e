// What the page knows. Read once, then kept true: an event marks what it is about as stale, and what is stale
// is read again, together. Whoever draws is told once per frame what has changed.

import { pages, query, read, Stream } from "./api.js";
import { nowMs, setSkew } from "./dom.js";

const FLUSH_MS = 300;
const SLOW_MS = 1200; // lists that are read whole
const UNTOLD_MS = 14000; // lists without events
const TAIL_MAX = 2000;
const FEW = 6;
const PAGE = 500;
const HOUR_MS = 3600e3; // how long what has ended is still shown
const CHAINS = 50; // escalations that run, and as many that have ended
const LEASES = 9; // of a task, the newest, whose changes are read

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
  notifications: null, // those that are open
  notified: null, // the last ones
  sends: null, // messages to people, with the answers
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
  notifications: "/notifications?open=true&limit=500",
  notified: "/notifications?limit=200",
  sends: "/notifications/sent",
};
const TOLD = ["notifications", "notified", "sends"];
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

export function touch(...topics) {
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
  const about = [["task", id], ...detail.assignments.slice(0, LEASES).map((one) => ["assignment", one.id])];
  const facts = await Promise.all(about.map(([aggregate, of]) => read(`/audit${query({ aggregate, id: of, limit: PAGE })}`)));
  detail.facts = facts.flatMap((page) => page.items); // who did what, and which command caused it
  known.details.set(id, detail);
  known.tasks.set(id, same(known.tasks.get(id), detail.task));
  touch(`task:${id}`, "tasks");
}

async function loadList(topic) {
  readAt.set(topic, Date.now());
  const found = await read(LISTS[topic] + (topic === "escalations" ? query({ ended_since: new Date(nowMs() - HOUR_MS).toISOString(), limit: PAGE }) : ""));
  if (topic === "status") setSkew(Date.now() - Date.parse(found.at));
  if (topic === "attention") {
    const old = new Map(known.attention?.items.map((item) => [keyOf(item), item]));
    found.items = found.items.map((item) => same(old.get(keyOf(item)), item));
  }
  if (topic === "escalations") await chains(found);
  known[topic] = found;
  touch(topic);
}

/** Read the steps of escalations; those of one that has ended change no more. */
async function chains(found) {
  const old = new Map(known.escalations?.ended.map((one) => [one.escalation.id, one]));
  const whole = (items) => Promise.all(items.map((one) => old.get(one.id) ?? read(`/escalations/${one.id}`)));
  const ended = found.items.filter((one) => one.ended_at).sort((a, b) => b.ended_at.localeCompare(a.ended_at));
  found.ended = await whole(ended.slice(0, CHAINS));
  found.items = await whole(found.items.filter((one) => !one.ended_at).slice(0, CHAINS));
}

/** What tells one thing that needs somebody from another. */
export function keyOf(item) {
  return item.assignment ? `a${item.assignment}` : item.task ? `t${item.task}` : `d${item.agent}`;
}

/** Return the old record where the new one says the same: its row need not be drawn again. */
function same(old, made) {
  return old && JSON.stringify(old) === JSON.stringify(made) ? old : made;
}

/** Keep what has passed over the bus, for those who look at it. */
export function heardOf(event) {
  heardOf.count = (heardOf.count ?? 0) + 1;
  event.key = heardOf.count;
  known.tail.push(event);
  if (known.tail.length > TAIL_MAX) known.tail.splice(0, TAIL_MAX / 10);
  touch("tail");
}

/** Mark what an event is about. */
function take(event) {
  heardOf(event);
  const data = event.data ?? {};
  const task = event.aggregate === "task" ? Number(event.id) : data.task;
  if (task) stale.tasks.add(task);
  const agents = event.aggregate === "agent" ? [event.id] : [data.agent, data.to, data.holder];
  agents.filter(Boolean).forEach((name) => stale.agents.add(name));
  if (event.aggregate === "notification") TOLD.forEach((list) => stale.lists.add(list));
  if (event.aggregate === "machine") stale.lists.add("machines");
  if (event.aggregate === "policy") stale.lists.add("policies");
  for (const list of ["attention", "status", "escalations"]) stale.lists.add(list);
  if (event.event === "quarantined") stale.lists.add("letters");
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
      for (const list of ["status", "letters", "sends"]) { // they have no events
        if (Date.now() - (readAt.get(list) ?? 0) > UNTOLD_MS) stale.lists.add(list);
      }
      plan();
    },
  });
  stream.run();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) plan();
  });
  addEventListener("online", () => stream.hurry?.());
  addEventListener("offline", () => stream.cut?.abort());
  return open;
}

export function deaf() {
  stream?.stop();
}

/** How old the data is, in seconds. */
export function ageOfData() {
  return (Date.now() - known.asOf) / 1000;
}
