// The page: its views, and what stands around all of them.

import {
  Cursor, ORDER, Refused, Windowed, ack, age, ageOfData, answer, answerDialog, approve, assignDialog, badge, button,
  cancelTasks, clock, deaf, dialog, drawChips, drop, empty, fact, field, fill, h, heard, held, icon, inquire, keyOf,
  known, later, listen, loading, mayChange, mayRule, muted, need, newKey, now, onChange, panel, priority, read,
  select, send, snooze, snoozeDialog, soon, span, status, taskDialog, taskLink, tick, toast, told, toneOf, wordOf,
} from "./core.js";


// ---- Needs you: who needs somebody, since when and why, and what can be done about it at once.

const ABOUT = { // what each kind allows, the likeliest first
  human: ["answer", "approve", "reassign"],
  exhausted: ["ack", "snooze", "reassign"],
  silent: ["ack", "snooze", "reassign"],
  stalled: ["ack", "snooze", "reassign"],
  unassigned: ["assign"],
  dead: ["agent"],
  quarantined: ["letters"],
};
const HINTS = {
  ack: "I have it in hand: its clock begins anew (a)", snooze: "Ask again in 30 minutes (s)", answer: "Answer, and let it go on (e)",
  approve: "Say that it may go on (y)", reassign: "Give it to another agent (r)", assign: "Give it to an agent (r)",
  agent: "What is known of it, and what can be done (Enter)", letters: "To the dead letters",
};
const NAMES = { ack: "Ack", snooze: "Snooze 30 min", answer: "Answer …", approve: "Approve", reassign: "Reassign …", assign: "Assign …", agent: "Agent …", letters: "Dead letters" };

function openNeeds(main, { words, address, go }) {
  let kind = words.kind ?? "";
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Kinds" });
  const list = new Windowed({ build, label: "Needs you" });
  const cursor = new Cursor(list, { open: openItem });
  const body = h("div", {});
  const heading = h("h1", {}, "Needs you");
  main.append(h("div", { class: "bar" }, heading, chips), body);
  const wide = matchMedia("(min-width: 760px)");
  const again = () => draw(new Set(["first"]));
  wide.addEventListener("change", again);

  const acts = {
    ack, approve, answer: answerDialog,
    snooze: (item) => snooze(item, 30),
    reassign: (item) => assignDialog([item.task], { holder: item.agent }),
    assign: (item) => assignDialog([item.task]),
    agent: (item) => agentDialog(item.agent),
    letters: () => go("/bus?letters=1"),
  };

  function openItem(item) {
    if (item.task) go(`/tasks/${item.task}`);
    else agentDialog(item.agent);
  }

  function build(item) {
    const title = item.task
      ? [taskLink(item.task, [h("span", { class: "id" }, `#${item.task}`), " ", item.title], { class: "title", "data-main": true, "data-act": "open", dir: "auto" })]
      : [button(item.agent, "open", () => agentDialog(item.agent), { kind: "title link" })];
    const does = mayChange() || item.kind === "dead" || item.kind === "quarantined" ? ABOUT[item.kind] ?? [] : [];
    return h("div", { class: "need" },
      h("div", { class: "what" }, status(item.kind === "dead" ? item.status : item.kind), h("span", { class: "since" }, age(item.since, "for"))),
      h("div", { class: "text" }, h("div", { class: "head" }, title, item.task && item.priority < 2 && priority(item.priority)),
        h("p", { class: "why", title: item.why, dir: "auto" }, item.why),
        item.task && item.agent && h("p", { class: "holder" }, "with ", h("a", { href: `/fleet?agent=${encodeURIComponent(item.agent)}` }, item.agent))),
      h("div", { class: "acts" }, does.map((name, place) =>
        button(NAMES[name], name, () => acts[name](item), { kind: place === 0 ? "tonal" : "", title: HINTS[name] }))));
  }

  function draw(changed) {
    if (!["attention", "first"].some((topic) => changed.has(topic))) return;
    if (!known.attention) return fill(body, loading());
    const items = known.attention.items.filter((item) => !held.has(item.task));
    const counts = {};
    for (const item of items) counts[item.kind] = (counts[item.kind] ?? 0) + 1;
    drawChips(chips, Object.keys(ABOUT).filter((key) => counts[key] || key === kind), counts, items.length, kind, (key) => {
      kind = key;
      address({ kind });
      again();
    });
    const shown = items.filter((item) => !kind || item.kind === kind);
    if (!shown.length) return fill(body, empty("Nobody needs you", "Whoever waits, falls silent or dies shows up here at once."));
    fill(body, list.box);
    list.set(shown.map((item) => {
      return { key: keyOf(item), item, height: wide.matches ? 84 : 156 };
    }));
    return undefined;
  }

  return {
    draw,
    address: (more) => { kind = more.kind ?? ""; again(); },
    destroy: () => { list.destroy(); wide.removeEventListener("change", again); },
    key(key) {
      if (key === "j" || key === "k") return cursor.move(key === "j" ? 1 : -1) || true;
      const item = cursor.item();
      if (!item) return false;
      const name = { a: "ack", s: "snooze", S: "later", e: "answer", y: "approve", r: item.kind === "unassigned" ? "assign" : "reassign" }[key];
      if (key === "Enter" && !document.activeElement?.closest("button,a")) openItem(item);
      else if (!name || !mayChange()) return false;
      else if (name === "later" && item.assignment) snoozeDialog(item);
      else if (ABOUT[item.kind]?.includes(name)) acts[name](item);
      else return false;
      return true;
    },
  };
}

// ---- An agent, whole: what is known of it, how old each fact is, and what an operator may say.

const minutes = (us) => {
  const whole = Math.round(us / 60e6);
  return whole ? `${whole} min` : `${Math.round(us / 1e6)} s`;
};

/** The tasks that an agent holds, as far as they are read. */
function heldBy(name) {
  return [...known.tasks.values()].filter((task) => task.agent === name && task.status === "in_progress");
}

function flags(agent) {
  const tones = { quarantined: "bad", retired: "off" };
  return agent.flags.map((flag) => badge(flag, tones[flag] ?? "warn", agent.flag_reason ?? ""));
}

const FLAGS = [["pause", "Pause"], ["drain", "Drain"], ["quarantine", "Quarantine"], ["retire", "Retire"]];
const COMMANDS = [["start", "Start"], ["restart", "Restart"], ["stop", "Stop"]];

function askAgent(agent, verb, label) {
  const reason = h("input", { type: "text", maxlength: 2000, required: true });
  return dialog(`${label} ${agent.name}`, field("Reason", reason, "It stands in the record under your name."), {
    action: label,
    danger: verb === "retire" || verb === "stop",
    done: async () => {
      if (!reason.value.trim()) throw new Error("Say why");
      await send("POST", `/agents/${agent.name}/${verb}`, { reason: reason.value.trim() });
      soon({ agent: agent.name });
      return true;
    },
  });
}

function agentFacts(agent) {
  const beat = agent.beats === "none" ? "sends none" : agent.beat_at ? [age(agent.beat_at), `, every ${agent.beat_interval_us / 1e6} s`] : "never";
  return h("dl", { class: "facts" },
    fact("Status", status(agent.status), muted(" for ", age(agent.status_since, "for"))),
    fact("Why", h("span", { dir: "auto" }, agent.status_why)),
    agent.flags.length > 0 && fact("Operators", flags(agent), ` ${agent.flag_reason ?? ""} (${agent.flagged_by ?? "?"})`),
    fact("Holds", `${agent.leases} of ${agent.capacity}`, " ", heldBy(agent.name).slice(0, 8).map((task) => [" ", taskLink(task.id)])),
    fact("Capabilities", agent.capabilities.length ? agent.capabilities.map((word) => h("span", { class: "cap" }, word)) : "any"),
    fact("Timeout", minutes(agent.timeout_us)),
    fact("Last ack", agent.last_ack_at ? age(agent.last_ack_at) : "Never acknowledged"),
    fact("Last beat", beat),
    agent.machine && fact("Machine", agent.machine, agent.process ? ` · process ${agent.process}` : "", agent.pid ? ` (${agent.pid})` : "", agent.process_at ? [" · ", age(agent.process_at)] : ""),
    fact("Registered", age(agent.created_at)));
}

function agentDialog(name) {
  const body = h("div", {});
  const draw = () => {
    const agent = known.agents.get(name);
    if (!agent) return fill(body, h("p", {}, `${name} is gone.`));
    const flagged = agent.flags.some((flag) => flag !== "retired");
    return fill(body, agentFacts(agent), mayChange() && h("div", { class: "acts wrap" },
      flagged && button("Resume", "resume", () => now(`${name} goes on`, "POST", `/agents/${name}/resume`, {}, { agent: name }), { kind: "primary" }),
      FLAGS.map(([verb, label]) => button(`${label} …`, verb, () => askAgent(agent, verb, label), { kind: verb === "retire" ? "danger quiet" : "" })),
      agent.machine && COMMANDS.map(([verb, label]) => button(`${label} …`, verb, () => askAgent(agent, verb, label)))));
  };
  const end = onChange((changed) => (changed.has("agents") || changed.has("tasks")) && draw());
  draw();
  const title = known.agents.get(name)?.kind === "main_agent" ? `${name} (main agent)` : name;
  return dialog(title, body, { wide: true }).finally(end);
}

// ---- Fleet: a card for each agent, grouped by status; machines beside them.

const CARD = 158;
const GROUP = 44;
const GAP = 12;
const GROUPS = [ // by status, the most pressing first
  ["In trouble", ["dead_failed_revive", "dead", "suspect", "stalled"]],
  ["At work", ["restarting", "waiting", "busy", "working"]],
  ["Ready", ["ready"]],
  ["Offline", ["offline"]],
];

function openFleet(main, { words, address }) {
  let text = words.q ?? "";
  let only = words.status ?? "";
  const search = h("input", { type: "search", value: text, placeholder: "Name, capability, machine", "aria-label": "Search agents" });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Statuses" });
  const machines = h("div", { class: "machines" });
  const body = h("div", {});
  const list = new Windowed({ build: line, label: "Agents", role: "presentation", itemRole: "" });
  let columns = 1;
  let cardAt = null; // the card that the keys are about
  main.append(h("div", { class: "bar" }, h("h1", {}, "Fleet"), search, chips,
    mayChange() && button("Freeze …", "freeze", freeze, { kind: "quiet", title: "Offer nothing new to anybody" })), machines, body);
  search.addEventListener("input", () => {
    text = search.value;
    address({ q: text });
    draw(new Set(["first"]));
  });

  function line(item) {
    if (!item.agents) return h("h2", { class: "group" }, item);
    const made = h("div", { class: "cards" }, item.agents.map(card));
    made.style.setProperty("--columns", columns);
    return made;
  }

  function card(agent) {
    const tasks = byAgent.get(agent.name) ?? [];
    const main = agent.kind === "main_agent";
    const holds = tasks.length ? tasks.slice(0, 3).map((task, place) => [place ? ", " : "", taskLink(task.id, `Task #${task.id}`, { title: task.title })]) : muted(agent.leases ? `${agent.leases} tasks` : "No task");
    const silent = ["suspect", "dead", "dead_failed_revive", "restarting"].includes(agent.status);
    const beat = agent.beats === "none" ? "no beats" : silent && agent.beat_at ? ["beat ", age(agent.beat_at)] : agent.status === "offline" ? "not here" : `beats every ${span(agent.beat_interval_us / 1e6)}`;
    const shown = agent.capabilities.slice(0, 4);
    return h("article", { class: `card t-${toneOf(agent.status)}`, "aria-label": `${agent.name}, ${wordOf(agent.status)}`, "data-agent": agent.name },
      h("div", { class: "row" }, status(agent.status), h("span", { class: "since" }, age(agent.status_since, "for"))),
      h("div", { class: "row" }, button(agent.name, `agent-${agent.name}`, () => agentDialog(agent.name), { kind: "title link", title: agent.name }),
        h("span", { class: "badges" }, main && badge("MAIN", "main"), flags(agent))),
      h("p", { class: "why", title: agent.status_why, dir: "auto" }, agent.status_why),
      h("div", { class: "row small" }, h("span", { class: "ell" }, holds, tasks.length > 3 ? ` +${tasks.length - 3}` : ""), muted(`${agent.leases}/${agent.capacity}`)),
      h("div", { class: "caps" }, shown.map((word) => h("span", { class: "cap" }, word)), agent.capabilities.length > 4 && h("span", { class: "cap" }, `+${agent.capabilities.length - 4}`), !shown.length && h("span", { class: "muted small" }, "any capability")),
      h("div", { class: "row small muted" }, h("span", {}, `timeout ${minutes(agent.timeout_us)}`), h("span", {}, agent.last_ack_at ? ["ack ", age(agent.last_ack_at)] : "Never acknowledged"), h("span", {}, beat)));
  }

  let byAgent = new Map();
  function draw(changed) {
    if (!["agents", "tasks", "machines", "status", "first", "resize"].some((topic) => changed.has(topic))) return;
    drawMachines();
    if (!known.agents.size && known.loading.has("agents")) return fill(body, loading());
    byAgent = new Map();
    for (const task of known.tasks.values()) {
      if (task.status === "in_progress" && task.agent) byAgent.set(task.agent, [...(byAgent.get(task.agent) ?? []), task]);
    }
    const wanted = text.trim().toLowerCase();
    const groups = new Map();
    const counts = {};
    for (const agent of known.agents.values()) {
      counts[agent.status] = (counts[agent.status] ?? 0) + 1;
      if (only && agent.status !== only) continue;
      if (wanted && ![agent.name, agent.machine ?? "", ...agent.capabilities, ...agent.flags].some((word) => word.toLowerCase().includes(wanted))) continue;
      groups.set(agent.status, [...(groups.get(agent.status) ?? []), agent]);
    }
    drawChips(chips, ORDER.filter((name) => counts[name] || name === only), counts, known.agents.size, only, (key) => {
      only = key;
      address({ status: key });
      draw(new Set(["first"]));
    });
    if (!groups.size) return fill(body, empty(known.agents.size ? "No agent is like that" : "No agents yet", known.agents.size ? "Try fewer letters." : "Register one: rollcall agent add NAME"));
    fill(body, list.box);
    const width = body.clientWidth;
    columns = width < 620 ? 1 : width < 980 ? 2 : width < 1500 ? 3 : 4;
    const lines = [];
    for (const [name, statuses] of GROUPS) {
      const agents = statuses.flatMap((one) => (groups.get(one) ?? []).sort((a, b) => a.name.localeCompare(b.name)));
      if (!agents.length) continue;
      lines.push({ key: `g-${name}`, item: `${name} · ${agents.length}`, height: GROUP, still: true });
      for (let at = 0; at < agents.length; at += columns) {
        const some = agents.slice(at, at + columns);
        lines.push({ key: `${name}-${at}`, item: kept(`${name}-${at}`, some), height: CARD + GAP, mark: columns });
      }
    }
    list.set(lines);
    return undefined;
  }

  // Lines are the same as before while the cards in them are.
  const before = new Map();
  function kept(key, agents) {
    const held = agents.map((agent) => byAgent.get(agent.name)?.map((task) => task.id).join() ?? "").join(";");
    const old = before.get(key);
    if (old && old.held === held && old.agents.length === agents.length && old.agents.every((agent, at) => agent === agents[at])) return old;
    const made = { agents, held };
    before.set(key, made);
    return made;
  }

  function drawMachines() {
    const items = known.machines?.items ?? [];
    fill(machines, items.map((one) => h("span", { class: "machine" }, status(one.connected ? "ready" : one.left_at ? "offline" : "dead", one.name),
      muted(one.connected ? "heard " : "silent ", age(one.beat_at)))));
    machines.hidden = !items.length;
  }

  function freeze() {
    const reason = h("input", { type: "text", maxlength: 2000 });
    return dialog("Freeze the fleet", [h("p", {}, "Nothing new is offered to anybody; answers are still taken."), field("Reason", reason)], {
      action: "Freeze",
      danger: true,
      extra: button("Thaw", "thaw", () => send("POST", "/fleet/thaw", {}).then(() => document.querySelector("dialog [data-act=cancel]").click()), { kind: "quiet" }),
      done: async () => send("POST", "/fleet/freeze", { reason: reason.value }),
    });
  }

  const resized = () => draw(new Set(["resize"]));
  addEventListener("resize", resized);
  if (words.agent) {
    const name = words.agent;
    address({ agent: "" });
    queueMicrotask(() => known.agents.has(name) && agentDialog(name));
  }

  function step(by) {
    const cards = [...list.lines].filter((one) => one.item.agents).flatMap((one) => one.item.agents.map((agent) => [agent.name, one.key]));
    if (!cards.length) return;
    const held = document.activeElement?.closest?.("[data-agent]")?.dataset.agent ?? cardAt;
    const at = cards.findIndex(([name]) => name === held);
    const [name, key] = cards[Math.max(0, Math.min(cards.length - 1, at < 0 ? 0 : at + by))];
    cardAt = name;
    list.reveal(key)?.querySelector(`[data-agent="${CSS.escape(name)}"] .title`)?.focus({ preventScroll: true });
  }

  return {
    draw,
    address: (more) => { text = more.q ?? ""; only = more.status ?? ""; search.value = text; draw(new Set(["first"])); },
    destroy: () => { list.destroy(); removeEventListener("resize", resized); },
    key(key) {
      if (key === "j" || key === "k") return step(key === "j" ? 1 : -1) || true;
      return false;
    },
  };
}

// ---- Tasks: a list, or columns by status; filters that stand in the address; many at once.

const STATUSES = ["todo", "in_progress", "done", "failed", "cancelled"];
const OPEN = new Set(["todo", "in_progress"]);
const SORTS = [["", "Newest"], ["oldest", "Oldest"], ["priority", "Priority"], ["due", "Due date"], ["changed", "Last change"]];
const ORDERS = {
  "": (a, b) => b.id - a.id,
  oldest: (a, b) => a.id - b.id,
  priority: (a, b) => a.priority - b.priority || a.id - b.id,
  due: (a, b) => (a.due_at ?? "9").localeCompare(b.due_at ?? "9") || a.id - b.id,
  changed: (a, b) => b.updated_at.localeCompare(a.updated_at) || b.id - a.id,
};

function openTasks(main, { words, address, go }) {
  let filter = { q: "", status: "", agent: "", priority: "", sort: "", as: "", ...words };
  const chosen = new Set();
  const search = h("input", { type: "search", placeholder: "Title, number, key, project", "aria-label": "Search tasks" });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Statuses" });
  const agent = h("select", { "aria-label": "Agent" });
  const level = select([["", "Any priority"], "0", "1", "2", "3"].map((one) => (one === "" || Array.isArray(one) ? one : [one, `P${one}`])), "", { "aria-label": "Priority" });
  const sort = select(SORTS, "", { "aria-label": "Order" });
  const layout = h("button", { type: "button", "data-act": "layout" });
  const bulk = h("div", { class: "bulk", role: "region", "aria-label": "Chosen tasks", hidden: true });
  const body = h("div", {});
  const found = h("span", { class: "muted found", role: "status" });
  const narrow = matchMedia("(max-width: 759px)");
  const list = new Windowed({ build: row, label: "Tasks" });
  const cursor = new Cursor(list, { open: (item) => go(`/tasks/${item.id}`) });
  let columns = null;
  const heading = h("div", { class: "bar" }, h("h1", {}, "Tasks"), search,
    mayChange() && button("New task", "new", create, { kind: "primary", title: "New task (n)" }));
  main.append(heading, h("div", { class: "bar filters" }, chips, h("span", { class: "selects" }, agent, level, sort, layout), found), body, bulk);

  function set(more) {
    filter = { ...filter, ...more };
    address(filter);
    draw(new Set(["first"]));
  }
  search.addEventListener("input", () => set({ q: search.value }));
  agent.addEventListener("change", () => set({ agent: agent.value }));
  level.addEventListener("change", () => set({ priority: level.value }));
  sort.addEventListener("change", () => set({ sort: sort.value }));
  layout.addEventListener("click", () => set({ as: filter.as ? "" : "columns" }));

  async function create() {
    const id = await taskDialog();
    if (id) go(`/tasks/${id}`);
  }

  function choose(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    drawBulk();
  }

  function row(task) {
    const wait = held.get(task.id);
    const box = mayChange() && h("input", { type: "checkbox", checked: chosen.has(task.id), "aria-label": `Choose task ${task.id}`, "data-act": "choose" });
    if (box) box.addEventListener("change", () => choose(task.id, box.checked));
    return h("div", { class: `task ${wait ? "gone" : ""}` }, box && h("span", { class: "pick" }, box),
      h("span", { class: "name" }, h("span", { class: "id" }, `#${task.id}`), taskLink(task.id, task.title, { "data-main": true, "data-act": "open", title: task.title, dir: "auto" })),
      h("span", { class: "state" }, wait ? badge("will be cancelled", "bad") : status(task.status)),
      h("span", { class: "prio" }, priority(task.priority)),
      h("span", { class: "who", title: task.agent ?? task.status_why }, task.agent ?? muted(task.blockers ? `waits for ${task.blockers}` : OPEN.has(task.status) ? "nobody" : "")),
      h("span", { class: "when" }, task.due_at && OPEN.has(task.status) ? ["due ", age(task.due_at, "in")] : age(task.updated_at)));
  }

  function tile(task) {
    return h("div", {}, h("div", { class: `tile ${held.has(task.id) ? "gone" : ""}` },
      h("div", { class: "row" }, h("span", { class: "id" }, `#${task.id}`), priority(task.priority)),
      taskLink(task.id, task.title, { class: "two", "data-act": "open", title: task.title, dir: "auto" }),
      h("div", { class: "row small muted" }, h("span", { class: "ell" }, task.agent ?? (OPEN.has(task.status) ? "nobody" : "")), age(task.updated_at))));
  }

  function matching() {
    const text = filter.q.trim().toLowerCase();
    const rest = [...known.tasks.values()].filter((task) =>
      (!filter.agent || task.agent === filter.agent) && (!filter.priority || String(task.priority) === filter.priority)
      && (!text || task.title.toLowerCase().includes(text) || `#${task.id}`.includes(text) || (task.key ?? "").toLowerCase().includes(text) || task.project.toLowerCase().includes(text)));
    const counts = {};
    for (const task of rest) counts[task.status] = (counts[task.status] ?? 0) + 1;
    const shown = filter.status ? rest.filter((task) => task.status === filter.status) : rest;
    return { shown: shown.sort(ORDERS[filter.sort] ?? ORDERS[""]), counts, all: rest.length };
  }

  function draw(changed) {
    if (!["tasks", "agents", "first"].some((topic) => changed.has(topic))) return;
    const { shown, counts, all } = matching();
    controls(counts, all);
    if (!known.tasks.size && known.loading.has("tasks")) return fill(body, loading());
    if (!known.tasks.size) return fill(body, empty("No tasks yet", "Create one here, or: rollcall task add TITLE"));
    if (!all) return fill(body, empty("No task is like that", "Take a filter away."));
    found.textContent = known.loading.has("tasks") ? `${shown.length} so far` : `${shown.length} of ${known.tasks.size}`;
    if (filter.as) drawColumns(shown);
    else {
      columns?.forEach((one) => one.list.destroy());
      columns = null;
      fill(body, shown.length ? list.box : empty("No task is like that", "Take a filter away."));
      if (shown.length) list.set(shown.map((task) => ({ key: task.id, item: task, height: narrow.matches ? 72 : 48, mark: `${held.get(task.id) ?? ""}${chosen.has(task.id)}` })));
    }
    drawBulk();
    return undefined;
  }

  function drawColumns(shown) {
    if (!columns) {
      columns = STATUSES.map((name) => {
        const scroller = h("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": wordOf(name) });
        const one = { name, scroller, list: new Windowed({ build: tile, label: wordOf(name), scroller }), head: h("h2", { class: "group" }) };
        scroller.append(one.list.box);
        one.node = h("section", { class: "column" }, one.head, scroller);
        return one;
      });
    }
    const visible = columns.filter((one) => !filter.status || one.name === filter.status);
    fill(body, body.querySelector(".columns") ?? h("div", { class: "columns" }));
    fill(body.firstChild, visible.map((one) => one.node));
    for (const one of visible) {
      const mine = shown.filter((task) => task.status === one.name);
      fill(one.head, status(one.name), muted(String(mine.length)));
      one.list.set(mine.map((task) => ({ key: task.id, item: task, height: 112, mark: held.get(task.id) ?? "" })));
    }
  }

  function controls(counts, all) {
    if (document.activeElement !== search) search.value = filter.q;
    level.value = filter.priority;
    sort.value = filter.sort;
    layout.textContent = filter.as ? "As a list" : "As columns";
    const names = ["", ...[...known.agents.keys()].sort()];
    if (agent.dataset.print !== names.join()) {
      agent.dataset.print = names.join();
      fill(agent, names.map((name) => h("option", { value: name }, name || "Any agent")));
    }
    agent.value = filter.agent;
    drawChips(chips, STATUSES, counts, all, filter.status, (status) => set({ status }));
  }

  function drawBulk() {
    for (const id of chosen) if (!known.tasks.has(id) || held.has(id)) chosen.delete(id);
    bulk.hidden = !chosen.size;
    if (!chosen.size) return;
    const ids = [...chosen];
    const openIds = ids.filter((id) => OPEN.has(known.tasks.get(id).status));
    const done = () => { chosen.clear(); draw(new Set(["first"])); };
    const levels = select([["", "Priority …"], "P0", "P1", "P2", "P3"], "", { "aria-label": "Priority of the chosen" });
    levels.addEventListener("change", () => {
      const value = levels.value;
      later(`Set ${openIds.length} to ${value}`, openIds, (id) => ({ method: "PATCH", path: `/tasks/${id}`, body: { priority: value } }));
      done();
    });
    fill(bulk, h("b", {}, `${ids.length} chosen`),
      button("Assign …", "assign", async () => { if (await assignDialog(openIds)) done(); }, { disabled: !openIds.length }),
      levels,
      button("Cancel tasks", "cancel", () => { cancelTasks(openIds); done(); }, { kind: "danger", disabled: !openIds.length }),
      button("All shown", "all", () => { matching().shown.forEach((task) => chosen.add(task.id)); draw(new Set(["first"])); }, { kind: "quiet" }),
      button("None", "none", done, { kind: "quiet" }));
  }

  const again = () => draw(new Set(["first"]));
  narrow.addEventListener("change", again);
  return {
    draw,
    address: (more) => { filter = { q: "", status: "", agent: "", priority: "", sort: "", as: "", ...more }; again(); },
    destroy: () => { list.destroy(); columns?.forEach((one) => one.list.destroy()); narrow.removeEventListener("change", again); },
    key(key) {
      if (key === "j" || key === "k") return cursor.move(key === "j" ? 1 : -1) || true;
      if (key === "n" && mayChange()) return create() && true;
      const item = cursor.item();
      if (!item) return false;
      if (key === "x" && mayChange()) { choose(item.id, !chosen.has(item.id)); draw(new Set(["first"])); }
      else if (key === "Enter" && document.activeElement?.tagName !== "A" && document.activeElement?.tagName !== "BUTTON") go(`/tasks/${item.id}`);
      else if (key === "c" && mayChange() && OPEN.has(item.status)) cancelTasks([item.id]);
      else if (key === "r" && mayChange() && OPEN.has(item.status)) assignDialog([item.id], { holder: item.agent, capabilities: item.capabilities });
      else return false;
      return true;
    },
  };
}

// ---- A task: what happened and why, what happens next and when, and what can be done about it.

const HELD = new Set(["pending", "acknowledged", "waiting", "snoozed"]);
const PINGS = 3; // in a row that are told one by one

function openTask(main, { id, say, go }) {
  const topic = `task:${id}`;
  const body = h("div", { class: "page" });
  main.append(body);
  need(topic);
  let course = null;
  let asked = "";

  const text = h("textarea", { rows: 2, maxlength: 2000, "aria-label": "Comment", placeholder: "Remark something" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const remark = h("form", { class: "remark" }, text, h("button", { type: "submit" }, "Comment"), wrong);
  remark.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text.value.trim()) return text.focus();
    try {
      await send("POST", `/tasks/${id}/comments`, { text: text.value.trim() });
      text.value = "";
      wrong.textContent = "";
      soon({ task: id });
    } catch (error) {
      wrong.textContent = told(error);
    }
    return undefined;
  });

  const todo = h("input", { type: "text", maxlength: 500, required: true, "aria-label": "New todo", placeholder: "What is to be done" });
  const adding = h("form", { class: "remark" }, todo, h("button", { type: "submit" }, "Add todo"));
  adding.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await now("Todo is added", "POST", `/tasks/${id}/todos`, { text: todo.value.trim() }, { task: id })) todo.value = "";
  });

  // What is drawn anew stands in boxes of its own: a field that somebody writes in, and a button under a finger, stay.
  const [top, about, happened, coming, planned, rest] = Array.from({ length: 6 }, () => h("div"));
  coming.className = "first";
  const split = h("div", { class: "split" }, h("div", {}, about, panel("What happened", mayChange() && remark, happened)),
    h("div", {}, coming, panel("Plan", planned, mayChange() && adding), rest));

  function plan({ phases, todos }) {
    const line = (one) => {
      const box = h("input", { type: "checkbox", checked: one.done, disabled: !mayChange(), "data-act": `todo-${one.id}` });
      box.addEventListener("change", () => now(box.checked ? "Todo is done" : "Todo is open", "PATCH", `/tasks/${id}/todos/${one.id}`, { done: box.checked }, { task: id }));
      return h("li", {}, h("label", {}, box, " ", h("span", { dir: "auto" }, one.text)), one.required && muted("required"));
    };
    const list = (phase) => h("ul", { class: "plain" }, todos.filter((one) => one.phase_id === phase).map(line));
    return [phases.map((phase) => [
      h("h3", { class: "row" }, h("span", { dir: "auto" }, phase.name), status(phase.status, phase.status === "skipped" ? "Skipped" : undefined)), list(phase.id)]),
    list(null)];
  }

  function remindersOf({ reminders }) {
    return reminders.length > 0 && panel("Reminders", h("ul", { class: "plain" }, reminders.map((one) =>
      h("li", {}, h("span", { dir: "auto" }, one.text, one.agent && ` (to ${one.agent})`), age(one.due_at, "in")))));
  }

  async function rehearse(detail) {
    const print = `${detail.task.status}/${detail.assignments[0]?.id}/${detail.assignments[0]?.status}/${detail.task.policy}`;
    if (asked === print) return;
    asked = print;
    course = null;
    if (!["todo", "in_progress"].includes(detail.task.status)) return;
    try {
      course = (await read(`/tasks/${id}/rehearsal`)).course;
    } catch (error) {
      course = [];
    }
    draw(new Set([topic]));
  }

  function draw(changed) {
    if (![topic, "first", "attention", "tasks"].some((one) => changed.has(one))) return undefined;
    const detail = known.details.get(id);
    if (!detail) return fill(body, loading());
    if (detail.error) return fill(body, empty(`Task ${id} cannot be shown`, told(detail.error)));
    const { task } = detail;
    const row = detail.assignments.find((one) => HELD.has(one.status));
    say(`#${id} ${task.title}`);
    rehearse(detail);
    const focus = body.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    fill(body, top, split);
    fill(top, head(task, row));
    fill(about, task.description && panel("Description", h("p", { class: "long", dir: "auto" }, task.description)));
    fill(happened, timeline(detail));
    fill(coming, next(task, row));
    fill(planned, plan(detail));
    fill(rest, remindersOf(detail), facts(detail, row), extras(detail));
    if (focus) body.querySelector(`[data-act="${focus}"]`)?.focus({ preventScroll: true });
    return undefined;
  }

  function head(task, row) {
    const openTask = ["todo", "in_progress"].includes(task.status);
    const item = row && { task: id, assignment: row.id, agent: row.agent, why: row.wait_reason ?? "", title: task.title };
    const acts = [];
    if (mayChange() && !held.has(id)) {
      if (row?.status === "waiting") acts.push(button("Answer …", "answer", () => answerDialog(item), { kind: "primary" }), button("Approve", "approve", () => approve(item)));
      if (row && row.status !== "waiting" && row.status !== "snoozed") acts.push(button("Ack", "ack", () => ack(item), { title: "I have it in hand: its clock begins anew" }), button("Snooze …", "snooze", () => snoozeDialog(item)));
      if (openTask) acts.push(button(task.agent ? "Reassign …" : "Assign …", "assign", () => assignDialog([id], { holder: task.agent, capabilities: task.capabilities }), { kind: task.agent ? "" : "primary" }));
      acts.push(button("Edit …", "edit", () => taskDialog(task)));
      if (openTask) acts.push(button("Cancel task", "cancel", () => cancelTasks([id]), { kind: "danger quiet" }));
      else acts.push(button("Reopen", "reopen", () => now(`Task ${id} is open again`, "POST", `/tasks/${id}/reopen`, {}, { task: id }), { kind: "primary" }));
    }
    return h("header", { class: "head" }, h("a", { href: "/tasks", class: "back" }, "‹ Tasks"),
      h("h1", { dir: "auto" }, h("span", { class: "id" }, `#${id}`), " ", task.title),
      h("p", { class: "meta" }, held.has(id) ? badge("will be cancelled", "bad") : status(task.status), priority(task.priority),
        task.agent && [h("span", {}, "with ", h("a", { href: `/fleet?agent=${encodeURIComponent(task.agent)}` }, task.agent)), isMain(task.agent) && badge("MAIN", "main")],
        row && status(row.status), row?.exhausted && status("exhausted"), row?.stalled && status("stalled"), row?.quarantined && status("quarantined"),
        task.due_at && h("span", {}, "due ", age(task.due_at, "in"))),
      acts.length > 0 && h("div", { class: "acts wrap" }, acts));
  }

  function next(task, row) {
    const lines = [];
    const at = (when, ...what) => when && lines.push([when, what]);
    if (row) {
      at(row.ping_at, `Ping ${row.attempt + 1} to ${row.agent}`);
      at(row.accept_by, "The ack is due");
      at(row.warn_by, "Counts as stalled without progress");
      at(row.progress_by, "Progress is due");
      at(row.snooze_until, `${row.agent} is asked again`);
      at(row.resume_at, `${row.agent} goes on by itself`);
      at(row.wait_until, "The wait has lasted too long");
    }
    lines.sort((a, b) => a[0].localeCompare(b[0]));
    const idle = task.status === "todo" ? (task.status_why || "Waits for an owner") : row ? "Nothing is due" : "Nothing: it has ended";
    return h("section", { class: "panel next" }, h("h2", {}, "What happens next"),
      lines.length ? h("ol", { class: "plain" }, lines.map(([when, what]) => h("li", {}, h("span", {}, what), age(when, "in")))) : h("p", { class: "muted", dir: "auto" }, idle),
      course?.length > 0 && [h("h3", {}, "If everybody stays silent"), h("ol", { class: "course" }, course.map((step) =>
        h("li", {}, h("b", {}, step.what), step.target && ` → ${step.target}`, muted(` ${step.reason}`))))]);
  }

  function facts(detail, row) {
    const { task } = detail;
    return panel("Facts", h("dl", { class: "facts" },
      fact("Why", h("span", { dir: "auto" }, task.status_why)),
      task.key && fact("Key", task.key), task.project && fact("Project", task.project),
      fact("Capabilities", task.capabilities.length ? task.capabilities.map((word) => h("span", { class: "cap" }, word)) : "any"),
      fact("Policy", h("a", { href: `/escalations?policy=${encodeURIComponent(task.policy)}` }, task.policy)),
      fact("Last ping", age(task.last_ping_at)), fact("Last ack", task.last_ack_at ? age(task.last_ack_at) : "Never acknowledged"),
      row && fact("Pings", `${row.attempt} sent, ${row.answered_attempt} answered`),
      row && row.note && fact("Progress", h("span", { dir: "auto" }, row.note)),
      row && row.wait_kind && fact("Waits on", [row.wait_kind, row.wait_who && ` (${row.wait_who})`, row.wait_reason && h("p", { class: "quote", dir: "auto" }, row.wait_reason)]),
      detail.depends_on.length > 0 && fact("Depends on", detail.depends_on.map((other) => [taskLink(other), " "])),
      fact("Round", `${task.round}, owner ${task.epoch}`), fact("Created", age(task.created_at))));
  }

  function extras(detail) {
    return detail.assignments.length > 1 && panel("Who has had it",
      h("ol", { class: "plain" }, detail.assignments.map((one) => h("li", {}, h("span", {}, one.agent, " ", status(one.status, one.end_reason ?? undefined)), age(one.assigned_at)))));
  }

  draw(new Set(["first"]));
  return {
    draw,
    destroy: () => drop(topic),
    key(key) {
      const detail = known.details.get(id);
      if (!detail?.task || !mayChange()) return false;
      const act = { a: "ack", s: "snooze", e: "answer", y: "approve", r: "assign", c: "cancel" }[key];
      const found = act && body.querySelector(`header [data-act="${act}"]`);
      if (key === "Backspace") go("/tasks");
      else if (!found) return false;
      else found.click();
      return true;
    },
  };
}

function isMain(name) {
  return known.agents.get(name)?.kind === "main_agent";
}

const SHAPES = [
  [/^Assigned|^Offered|reassigned/i, "busy"], [/^Escalated|^Told/, "escalations"], [/^Exhausted/, "dead"], [/^acknowledged|^progressed|goes on/, "working"],
  [/waits on|snooze|asked again/i, "waiting"], [/^completed/, "done"], [/^failed|^declined|^Cancelled|^timed/i, "dead"],
];

/** Everything that happened, newest first: remarks, pings, steps that were skipped. */
function timeline(detail) {
  const told = [];
  for (const one of detail.comments) {
    const machine = one.author === "rollcall";
    const shape = SHAPES.find(([like]) => like.test(one.text))?.[1] ?? (machine ? "offline" : "ready");
    told.push({ at: one.at, shape: machine ? shape : "human", who: machine ? "" : one.author, text: one.text });
  }
  for (const step of detail.steps) {
    const [shape, word] = step.outcome === "skipped" ? ["offline", "skipped"] : ["escalations", "taken"];
    told.push({ at: step.at, shape, who: "", text: `Step ${step.step} (${step.kind}) ${word}${step.target ? `: ${step.target}` : ""} · ${step.reason}` });
  }
  told.push(...pingsOf(detail));
  told.sort((a, b) => b.at.localeCompare(a.at));
  return h("ol", { class: "timeline" }, told.map((one) => h("li", { class: one.shape === "human" ? "person" : "" },
    icon(one.shape === "human" ? "ready" : one.shape), h("div", {}, one.who && h("b", {}, `${one.who} `), h("span", { dir: "auto" }, one.text)),
    h("span", { class: "when" }, clock(one.at), " · ", age(one.at)))));
}

function pingsOf(detail) {
  const by = new Map();
  for (const ping of detail.pings) by.set(ping.assignment_id, [...(by.get(ping.assignment_id) ?? []), ping]);
  const told = [];
  for (const pings of by.values()) {
    pings.sort((a, b) => a.attempt - b.attempt);
    const some = pings.length > PINGS * 2 ? [...pings.slice(0, PINGS), ...pings.slice(-PINGS)] : pings;
    for (const ping of some) {
      told.push({ at: ping.sent_at, shape: "bus", who: "", text: `Ping ${ping.attempt} to ${ping.agent}${ping.published_at ? "" : " (not yet on the bus)"}` });
    }
    if (some.length < pings.length) told.push({ at: pings[PINGS].sent_at, shape: "bus", who: "", text: `… and ${pings.length - some.length} more pings to ${pings[0].agent}` });
  }
  return told;
}

// ---- The little TOML that a policy is written in: tables [[steps]] with words for values.

const STEP_KEYS = ["kind", "capability", "who"];
const STEP_KINDS = ["retry", "peer", "main", "notify"];

function asToml(steps) {
  return steps.map((step) => ["[[steps]]", ...STEP_KEYS.filter((key) => step[key]).map((key) => `${key} = ${JSON.stringify(step[key])}`)].join("\n")).join("\n\n");
}

/** Return the steps, or throw with the line that is wrong. */
function fromToml(text) {
  const steps = [];
  text.split("\n").forEach((line, place) => {
    const wrong = (why) => { throw new Error(`line ${place + 1}: ${why}`); };
    const said = line.trim();
    if (!said || said.startsWith("#")) return;
    if (/^\[\[\s*steps\s*\]\](\s*#.*)?$/.test(said)) return void steps.push({});
    const pair = /^(\w+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?$/.exec(said);
    if (!pair) wrong('a step is [[steps]], then lines such as kind = "peer"');
    if (!steps.length) wrong("[[steps]] comes first");
    if (!STEP_KEYS.includes(pair[1])) wrong(`${pair[1]} is none of ${STEP_KEYS.join(", ")}`);
    if (pair[1] in steps.at(-1)) wrong(`${pair[1]} is said twice`);
    steps.at(-1)[pair[1]] = pair[2] ?? pair[3];
    return undefined;
  });
  steps.forEach((step, place) => {
    if (!STEP_KINDS.includes(step.kind)) throw new Error(`step ${place + 1}: kind is one of ${STEP_KINDS.join(", ")}`);
  });
  return steps;
}

// ---- Escalations that run, and the policies behind them: written as a form or as TOML, tried before they are saved.

const STEP_ABOUT = {
  retry: "the same agent, once more", peer: "another agent that is able", main: "the main agent", notify: "somebody is told; the task stays",
};
const PREVIEW_MAX = 50;

function openEscalations(main, { words, address }) {
  let chosen = words.policy ?? "";
  const running = h("section", { class: "panel" });
  const policies = h("section", { class: "panel" });
  const editor = h("section", { class: "panel editor" });
  main.append(h("div", { class: "bar" }, h("h1", {}, "Escalations and policies")), running, h("div", { class: "split even" }, policies, editor));
  let draft = null; // { name, steps, from, form: "form" | "toml", text }

  function draw(changed) {
    if (["escalations", "first"].some((one) => changed.has(one))) drawRunning();
    if (!["policies", "first"].some((one) => changed.has(one))) return;
    const items = known.policies?.items;
    if (!items) {
      fill(policies, loading());
      return;
    }
    fill(policies, h("h2", {}, "Policies"), items.length ? h("ul", { class: "plain" }, items.map(line)) : h("p", { class: "muted" }, "None is written down: silence goes to the main agent."),
      mayRule() && button("New policy …", "new", () => edit({ name: "", steps: [{ kind: "main" }], updated_at: null })));
    const found = items.find((one) => one.name === chosen) ?? items[0];
    if (!draft && found) edit(found, { quiet: true });
    else if (!draft) fill(editor);
  }

  function line(policy) {
    const made = button(policy.name, `policy-${policy.name}`, () => edit(policy), { kind: "link" });
    made.setAttribute("aria-current", String(policy.name === chosen));
    return h("li", {}, h("span", {}, made, muted(` ${policy.steps.map((step) => step.kind).join(" → ") || "no steps"}`)), age(policy.updated_at));
  }

  function drawRunning() {
    const items = known.escalations?.items ?? [];
    fill(running, h("h2", {}, "Running ", muted(String(items.length))),
      items.length ? h("ul", { class: "plain" }, items.map(escalation)) : h("p", { class: "muted" }, "No escalation runs: everybody has answered."));
  }

  function escalation({ escalation: one, steps: told }) {
    const chain = one.steps.map((step, place) => {
      const was = told.findLast((each) => each.step === place + 1);
      const tone = was?.outcome === "taken" ? "work" : was ? "warn" : "off";
      return h("li", {}, badge(`${place + 1} ${step.kind}`, tone), h("span", { dir: "auto" }, was ? ` ${was.outcome}${was.target ? `: ${was.target}` : ""} · ${was.reason}` : muted(" not yet")));
    });
    return h("li", {}, h("div", {}, taskLink(one.task_id), " ", h("b", { dir: "auto" }, one.title), muted(` with ${one.agent ?? "nobody"}, by its copy of ${one.policy}`),
      h("ol", { class: "chain" }, chain)), age(one.started_at));
  }

  function edit(policy, { quiet = false } = {}) {
    chosen = policy.name;
    if (!quiet) address({ policy: chosen });
    draft = { name: policy.name, from: policy, steps: policy.steps.map((step) => ({ ...step })), form: "form", text: "" };
    drawEditor();
    if (!quiet) draw(new Set(["policies"]));
  }

  function drawEditor() {
    const fresh = draft.from.updated_at === null;
    const name = h("input", { type: "text", value: draft.name, maxlength: 63, disabled: !fresh || !mayRule() });
    name.addEventListener("input", () => { draft.name = name.value.trim(); });
    const wrong = h("p", { class: "wrong", role: "alert" });
    const seen = h("div", { class: "preview" });
    const area = h("textarea", { rows: 12, spellcheck: "false", class: "code", "aria-label": "Policy as TOML", value: draft.text, readonly: !mayRule() });
    area.addEventListener("input", () => { draft.text = area.value; });
    const rows = h("ol", { class: "steps-form" }, draft.steps.map((step, place) => stepRow(step, place)));
    const current = () => (draft.form === "toml" ? fromToml(draft.text) : draft.steps.map(clean));
    const tab = (form, label) => {
      const made = h("button", { type: "button", class: "chip", "aria-pressed": draft.form === form, "data-act": form }, label);
      made.addEventListener("click", () => {
        try {
          if (form === draft.form) return;
          const steps = current();
          Object.assign(draft, { form, steps, text: asToml(steps) });
          drawEditor();
          editor.querySelector(`[data-act=${form}]`).focus();
        } catch (error) {
          wrong.textContent = told(error);
        }
      });
      return made;
    };
    fill(editor, h("h2", {}, fresh ? "New policy" : ["Policy ", h("span", { dir: "auto" }, draft.name)]),
      fresh && field("Name", name), h("div", { class: "chips", role: "group", "aria-label": "Written as" }, tab("form", "Form"), tab("toml", "TOML")),
      draft.form === "toml" ? area : [rows, !draft.steps.length && h("p", { class: "muted" }, "No step: the holder is pinged again, and then it is flagged.")],
      wrong,
      h("div", { class: "acts wrap" },
        mayRule() && draft.form === "form" && button("Add step", "add", () => { draft.steps.push({ kind: "main" }); drawEditor(); }),
        button("Preview", "preview", () => preview(current, wrong, seen)),
        mayRule() && button("Save", "save", () => save(current, wrong), { kind: "primary" })),
      mayRule() ? null : h("p", { class: "muted" }, "Policies are changed by an admin."),
      seen);
  }

  function stepRow(step, place) {
    const off = !mayRule();
    const kind = select(STEP_KINDS.map((one) => [one, `${one}: ${STEP_ABOUT[one]}`]), step.kind, { "aria-label": `Kind of step ${place + 1}`, disabled: off });
    const word = h("input", { type: "text", maxlength: 63, disabled: off, value: (step.kind === "peer" ? step.capability : step.who) ?? "",
      "aria-label": step.kind === "peer" ? `Capability of step ${place + 1}` : `Who is told at step ${place + 1}`, placeholder: step.kind === "peer" ? "what the task needs" : "the main agent" });
    kind.addEventListener("change", () => { draft.steps[place] = { kind: kind.value }; drawEditor(); });
    word.addEventListener("input", () => { step[step.kind === "peer" ? "capability" : "who"] = word.value.trim(); });
    const move = (by) => () => {
      const [taken] = draft.steps.splice(place, 1);
      if (by) draft.steps.splice(Math.max(0, place + by), 0, taken);
      drawEditor();
    };
    const small = (label, act, title, run) => {
      const made = button(label, `${act}-${place}`, run, { kind: "ghost square", title });
      made.setAttribute("aria-label", `${title} ${place + 1}`);
      return made;
    };
    return h("li", {}, kind, ["peer", "notify"].includes(step.kind) && word, !off && h("span", { class: "moves" },
      small("↑", "up", "Move up step", move(-1)), small("↓", "down", "Move down step", move(1)), small("✕", "gone", "Take away step", move(0))));
  }

  async function preview(current, wrong, seen) {
    wrong.textContent = "";
    const tasks = [...known.tasks.values()].filter((task) => task.policy === draft.name && ["in_progress", "todo"].includes(task.status)).map((task) => task.id).slice(0, PREVIEW_MAX);
    if (!tasks.length) return fill(seen, h("p", { class: "muted" }, "No open task follows this policy: nothing would change now."));
    try {
      const { items } = await inquire(`/policies/${encodeURIComponent(draft.name)}/preview`, { steps: current(), tasks });
      const told1 = (course) => course.map((step) => `${step.what}${step.target ? ` → ${step.target}` : ""}`).join(", then ") || "nothing";
      const differ = items.filter((one) => JSON.stringify(one.before) !== JSON.stringify(one.after));
      return fill(seen, h("h3", {}, `What would change now: ${differ.length} of ${items.length} open`),
        h("p", { class: "muted" }, "An escalation that runs keeps the copy it began with."),
        h("ul", { class: "plain diff" }, differ.slice(0, 20).map((one) => h("li", {}, taskLink(one.task), h("del", {}, told1(one.before)), h("ins", {}, told1(one.after))))));
    } catch (error) {
      wrong.textContent = told(error);
      return undefined;
    }
  }

  async function save(current, wrong) {
    wrong.textContent = "";
    try {
      if (!draft.name) throw new Error("A policy has a name");
      const saved = await send("PUT", `/policies/${encodeURIComponent(draft.name)}`, { steps: current(), expected_version: draft.from.version ?? 0 });
      toast(`Policy ${saved.name} is saved`);
      soon({ list: "policies" });
      edit(saved);
    } catch (error) {
      wrong.textContent = told(error);
    }
  }

  function clean(step) {
    return Object.fromEntries(Object.entries(step).filter(([, value]) => value));
  }

  return { draw, address: (more) => { if (more.policy) { chosen = more.policy; draft = null; draw(new Set(["first"])); } } };
}

// ---- Bus: facts as they are published, and what could not be handled.

const SHOWN = 1000;

/** Match a subject as NATS does: * is one token, > is all that follow. */
function matches(pattern, subject) {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (let place = 0; place < wanted.length; place += 1) {
    if (wanted[place] === ">") return tokens.length > place;
    if (place >= tokens.length || (wanted[place] !== "*" && wanted[place] !== tokens[place])) return false;
  }
  return wanted.length === tokens.length;
}

function openBus(main, { words, address }) {
  const root = known.session.root;
  let filter = words.subject ?? "";
  let paused = null; // what is shown while it is
  const search = h("input", { type: "search", value: filter, placeholder: `${root}.evt.>`, "aria-label": "Subject filter", spellcheck: "false" });
  const pause = h("button", { type: "button", "aria-pressed": "false", title: "Pause the tail (Space)", "data-act": "pause" }, "Pause");
  const copy = button("Copy as nats", "copy", () => copied(`nats sub '${pattern().replaceAll("'", "")}'`), { title: "The command that shows the same in a terminal" });
  const found = h("span", { class: "muted found", role: "status" });
  const letters = h("section", { class: "panel", id: "letters" });
  const detail = h("pre", { class: "detail", tabindex: "0", hidden: true, "aria-label": "Event" });
  const list = new Windowed({ build, label: "Events" });
  const quiet = h("p", { class: "muted pad" }, "Nothing was published since this page was opened.");
  const box = h("div", {});
  const narrow = matchMedia("(max-width: 759px)");
  main.append(h("div", { class: "bar" }, h("h1", {}, "Bus"), search, pause, copy, found), detail, h("section", { class: "panel flush" }, box), letters);
  search.addEventListener("input", () => {
    filter = search.value.trim();
    address({ subject: filter });
    draw(new Set(["first"]));
  });
  pause.addEventListener("click", toggle);

  function subject(event) {
    return `${root}.evt.${event.aggregate}.${event.id}.${event.event}`;
  }

  function toggle() {
    paused = paused ? null : known.tail.slice();
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(Boolean(paused)));
    draw(new Set(["tail"]));
  }

  function pattern() {
    if (!filter) return `${root}.evt.>`;
    return filter.startsWith(root) ? filter : /[.*>]/.test(filter) ? `${root}.evt.${filter}` : `${root}.evt.${filter}.>`;
  }


  function build(event) {
    const said = Object.entries(event.data ?? {}).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
    const made = h("div", { class: "event" }, muted(clock(event.at)),
      h("span", { class: "subject", title: subject(event) }, h("b", {}, event.aggregate), `.${event.id}.`, h("b", {}, event.event)),
      h("span", { class: "muted actor", title: event.actor }, event.actor), h("span", { class: "data", title: said, dir: "auto" }, said));
    made.addEventListener("click", () => {
      detail.hidden = false;
      detail.textContent = `${subject(event)}\n${JSON.stringify(event, null, 2)}`;
    });
    return made;
  }

  function draw(changed) {
    if (changed.has("letters") || changed.has("first")) drawLetters();
    if (!changed.has("tail") && !changed.has("first")) return;
    const wanted = pattern();
    const all = paused ?? known.tail;
    const shown = filter ? all.filter((event) => matches(wanted, subject(event))) : all;
    const newest = shown.slice(-SHOWN).reverse();
    const missed = paused ? known.tail.length - paused.length : 0;
    found.textContent = paused && missed > 0 ? `paused, ${missed} newer` : `${shown.length} events`;
    fill(box, newest.length ? list.box : quiet);
    if (newest.length) list.set(newest.map((event) => ({ key: `${event.incarnation}:${event.seq}`, item: event, height: narrow.matches ? 54 : 30 })));
  }

  function drawLetters() {
    const items = known.letters?.items ?? [];
    fill(letters, h("h2", {}, "Dead letters ", muted(String(items.length))),
      items.length ? h("ul", { class: "plain" }, items.map((one) => h("li", {},
        h("span", {}, h("code", {}, one.letter.subject || `${one.letter.stream} row ${one.letter.row}`), h("p", { class: "why", dir: "auto" }, one.letter.reason)),
        muted(`${one.letter.tries} tries · `, age(one.letter.at)),
        mayChange() && button("Replay", `replay-${one.seq}`, async () => { await now(`Dead letter ${one.seq} is tried again`, "POST", `/dead-letters/${one.seq}/replay`, {}); soon({ list: "letters" }); }))))
        : h("p", { class: "muted" }, "None: everything could be handled."));
  }

  if (words.letters) requestAnimationFrame(() => letters.scrollIntoView());
  return {
    draw,
    address: (more) => { filter = more.subject ?? ""; search.value = filter; draw(new Set(["first"])); },
    destroy: () => list.destroy(),
    key(key) {
      if (key !== " " || document.activeElement?.closest("button,a")) return false;
      toggle();
      return true;
    },
  };
}

// ---- Health: whether the house does its work, what is late, and the command that mends it.

function openHealth(main) {
  const body = h("div", {});
  main.append(h("div", { class: "bar" }, h("h1", {}, "Health")), body);

  function draw(changed) {
    if (!["status", "first"].some((one) => changed.has(one))) return;
    const said = known.status;
    if (!said) {
      fill(body, loading());
      return;
    }
    fill(body, findings(said), h("div", { class: "split even" }, services(said), lags(said)));
  }

  return { draw };
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${text}`);
  } catch {
    toast(text, { ms: 12000 });
  }
}

function findings(said) {
  const alarms = said.alarms.map((one) => ({ severity: "error", name: one.name, detail: one.detail, fix: one.fix, since: one.since }));
  const named = new Set(alarms.map((one) => one.name));
  const all = [...alarms, ...said.findings.filter((one) => !named.has(one.name))];
  return panel(all.length ? "What is wrong" : "All is well",
    all.length ? h("ul", { class: "plain findings" }, all.map((one) => h("li", {}, status(one.severity),
      h("div", {}, h("b", {}, one.name), " ", h("span", { dir: "auto" }, one.detail), one.since && muted(" · ", age(one.since)),
        one.fix && h("div", { class: "fix" }, h("code", {}, one.fix), button("Copy", `copy-${one.name}`, () => copied(one.fix), { kind: "quiet" }))))))
      : h("p", { class: "muted" }, status("ok"), " Every service runs, and nothing is late."));
}

function services(said) {
  const rows = [...said.services].sort((a, b) => a.service.localeCompare(b.service));
  return panel("Services", h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Services" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Service", "Lag", "Waiting", "Last round", "Process"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((one) => h("tr", {}, h("th", { scope: "row" }, status((one.lag_s ?? 0) > 60 ? "error" : (one.lag_s ?? 0) > 2 ? "warning" : "ok", one.service)),
      h("td", {}, `${(one.lag_s ?? 0).toFixed(1)} s`), h("td", {}, String(one.waiting ?? 0)), h("td", {}, age(one.ticked_at)), h("td", { class: "muted" }, one.process)))))));
}

function lags(said) {
  const one = (name, value, bad = false) => fact(name, bad ? badge(value, "warn") : value);
  const tally = (counts) => Object.entries(counts).map(([name, count]) => h("span", { class: "tally" }, status(name), h("b", {}, String(count))));
  return panel("How it stands", h("dl", { class: "facts" },
    one("Tasks", tally(said.tasks)), one("Leases", tally(said.assignments)), one("Agents", tally(said.agents)),
    one("Pings late by", `${said.ping_lag_s.toFixed(1)} s`, said.ping_lag_s > 2), one("Deadlines late by", `${said.deadline_lag_s.toFixed(1)} s`, said.deadline_lag_s > 2),
    one("Outbox", `${said.outbox}, oldest ${said.outbox_oldest_s.toFixed(1)} s`, said.outbox_oldest_s > 15),
    one("Exhausted", String(said.exhausted), said.exhausted > 0), one("Quarantined", String(said.quarantined), said.quarantined > 0),
    one("Store", h("code", {}, said.incarnation)), one("As of", age(said.at))));
}

// ---- The page: who looks at it, which view it shows, and what stands around all of them.

const VIEWS = [
  ["needs", "/", "Needs you", { needs: ["attention", "agents"], open: openNeeds }],
  ["fleet", "/fleet", "Fleet", { needs: ["agents", "tasks", "machines"], open: openFleet }],
  ["tasks", "/tasks", "Tasks", { needs: ["tasks", "agents", "policies"], open: openTasks }],
  ["escalations", "/escalations", "Escalations", { needs: ["policies", "tasks", "escalations"], open: openEscalations }],
  ["bus", "/bus", "Bus", { needs: ["letters"], open: openBus }],
  ["health", "/health", "Health", { needs: ["status"], open: openHealth }],
];
const TASK = { needs: ["agents", "policies"], open: openTask };
const STALE_S = 3; // without the stream, before anybody is told

const app = document.getElementById("app");
let shell = null;
let current = null;

// ---- theme

function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

function nextTheme() {
  const names = ["auto", "light", "dark"];
  const name = names[(names.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % 3];
  theme(name);
  toast(`Theme: ${name}`, { ms: 1500 });
}

theme(localStorage.getItem("theme") ?? "auto");

// ---- where we are

/** Go to a place in here. */
function go(path, { replace = false } = {}) {
  if (path !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", path);
  show();
}

function found() {
  const id = /^\/tasks\/(\d+)$/.exec(location.pathname)?.[1];
  if (id) return ["tasks", Number(id), TASK];
  const view = VIEWS.find(([, path]) => path === location.pathname) ?? VIEWS[0];
  return [view[0], null, view[3]];
}

function show() {
  const [name, id, view] = found();
  for (const link of shell.links) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const words = Object.fromEntries(new URLSearchParams(location.search));
  if (current && current.view === view && current.id === id && current.at) {
    current.at.address?.(words);
    return;
  }
  current?.at?.destroy?.();
  fill(shell.main);
  scrollTo(0, 0);
  const say = (title) => { document.title = `${title} · Rollcall`; };
  say(id ? `Task ${id}` : VIEWS.find(([key]) => key === name)[2]);
  const address = (more) => {
    const all = { ...Object.fromEntries(new URLSearchParams(location.search)), ...more };
    const said = Object.entries(all).filter(([, value]) => value);
    history.replaceState(null, "", location.pathname + (said.length ? `?${new URLSearchParams(said)}` : ""));
  };
  current = { view, id, at: null };
  need("attention", ...(view.needs ?? []));
  current.at = view.open(shell.main, { id, words, address, go, say });
  current.at.draw?.(new Set(["first"]));
}

// ---- what stands around the views

function frame() {
  const links = VIEWS.map(([name, path, label]) =>
    h("a", { href: path, "data-view": name }, icon(name), h("span", { class: "label" }, label),
      name === "needs" && h("span", { class: "count", hidden: true })));
  const state = h("span", { class: "live" }, icon("offline"), h("span", {}, "Connecting"));
  const who = h("span", { class: "who" });
  const banner = h("div", { class: "banner", role: "alert", hidden: true });
  const main = h("main", { id: "main", tabindex: "-1" });
  const home = h("a", { class: "brand", href: "/" }, h("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), "Rollcall");
  fill(app,
    h("header", { class: "top" }, home, state,
      h("div", { class: "tools" }, who,
        button("◐", "theme", nextTheme, { kind: "ghost square", title: "Light or dark" }),
        button("?", "help", help, { kind: "ghost square", title: "Keys (?)" }))),
    h("nav", { class: "rail", "aria-label": "Views" }, links), banner, main);
  app.querySelector("[data-act=theme]").setAttribute("aria-label", "Light or dark");
  app.querySelector("[data-act=help]").setAttribute("aria-label", "Keys");
  shell = { links, state, who, banner, main, count: links[0].querySelector(".count") };
  shell.who.textContent = known.session.role === "read_only" ? `${known.session.name} · may look` : known.session.name;
}

function surround(changed) {
  if (changed.has("attention") || changed.has("first")) {
    const many = known.attention?.items.length ?? 0;
    shell.count.hidden = !many;
    shell.count.textContent = many > 99 ? "99+" : String(many);
  }
  if (changed.has("live") || changed.has("first")) state();
}

function state() {
  if (!shell) return;
  const old = ageOfData();
  const lost = !known.live && old > STALE_S;
  fill(shell.state, icon(known.live ? "ready" : "suspect"), h("span", {}, known.live ? "Live" : "Reconnecting"));
  shell.state.className = `live ${known.live ? "t-good" : "t-warn"}`;
  shell.banner.hidden = !lost;
  if (lost) shell.banner.textContent = `The stream of changes is lost: what you see is ${span(old)} old. Trying again …`;
}

// ---- keys

const KEYS = [
  ["/", "search"], ["j / k", "next, previous"], ["Enter", "open"], ["x", "select (tasks)"], ["n", "new task"],
  ["a", "ack: I have it in hand"], ["s", "snooze: ask again later"], ["e", "answer"], ["y", "approve"],
  ["r", "assign or reassign"], ["c", "cancel"], ["Space", "pause the tail (bus)"],
  ["g then n f t e b h", "go to a view"], ["?", "these keys"], ["Esc", "leave a field or a dialog"],
];
const PLACES = { n: "/", f: "/fleet", t: "/tasks", e: "/escalations", b: "/bus", h: "/health" };

function help() {
  if (document.querySelector("dialog")) return;
  dialog("Keys", h("dl", { class: "keys" }, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    { extra: button("Log out", "leave", leave, { kind: "quiet" }) });
}

let going = false;
addEventListener("keydown", (event) => {
  const field = event.target.closest?.("input,select,textarea");
  if (event.key === "Escape" && field && !event.target.closest("dialog")) return event.target.blur();
  if (!shell || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return undefined;
  if (field && field.type !== "checkbox") return undefined;
  const key = event.key;
  if (going) {
    going = false;
    if (PLACES[key]) {
      event.preventDefault();
      return go(PLACES[key]);
    }
  }
  if (key === "g") going = true;
  else if (key === "?") help();
  else if (key === "/") {
    const search = document.querySelector("[type=search]");
    if (!search) return undefined;
    search.focus();
    search.select();
  } else if (!current?.at?.key?.(key, event)) return undefined;
  event.preventDefault();
  return undefined;
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", () => shell && show());

// ---- coming and going

function door(text) {
  deaf();
  current?.at?.destroy?.();
  current = shell = null;
  document.title = "Rollcall";
  fill(app, h("main", { class: "door", id: "main" }, h("img", { src: "/icon.svg", alt: "", width: 48, height: 48 }),
    h("h1", {}, "Rollcall"), h("p", {}, text),
    h("p", { class: "muted" }, "Ask for a link where Rollcall runs:"), h("pre", { tabindex: "0" }, "rollcall dashboard")));
}

async function leave() {
  await send("DELETE", "/session").catch(() => undefined);
  document.querySelectorAll("dialog").forEach((box) => box.remove());
  door("You have logged out.");
}

async function enter() {
  const code = location.hash.slice(1);
  history.replaceState(null, "", "/");
  if (!code) return door("This page needs a link with a code in it.");
  try {
    await send("POST", "/session", { code }, { key: newKey() });
  } catch (error) {
    return door(error instanceof Refused ? error.message : "That did not work.");
  }
  return start();
}

async function start() {
  heard.signedOut = () => shell && door("Your session has ended.");
  try {
    known.session = await read("/session");
  } catch (error) {
    return door(error.status === 401 ? "Nobody is logged in here." : error.message);
  }
  frame();
  onChange((changed) => {
    if (!shell) return;
    surround(changed);
    current?.at?.draw?.(changed);
  });
  await listen();
  need("attention", "agents", "status");
  setInterval(() => { tick(); state(); }, 1000);
  surround(new Set(["first"]));
  return show();
}

if (location.pathname === "/login") enter();
else start();
