// Fleet: a card for each agent, grouped by status; machines beside them.

import { send } from "../api.js";
import { age, fill, h, span } from "../dom.js";
import { known } from "../store.js";
import {
  badge,
  button,
  dialog,
  drawChips,
  empty,
  field,
  loading,
  mayChange,
  muted,
  ORDER,
  status,
  taskLink,
  toneOf,
  Windowed,
  wordOf,
} from "../ui.js";
import { agentDialog, flags, minutes } from "./agent.js";

const CARD = 168;
const GROUP = 44;
const GAP = 12;
const GROUPS = [ // by status, the most pressing first
  ["In trouble", ["dead_failed_revive", "dead", "suspect", "stalled"]],
  ["At work", ["restarting", "waiting", "busy", "working"]],
  ["Ready", ["ready"]],
  ["Offline", ["offline"]],
];

export function openFleet(main, { words, address }) {
  let text = words.q ?? "";
  let only = words.status ?? "";
  const search = h("input", { type: "search", value: text, placeholder: "Name, capability, machine", "aria-label": "Search agents" });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Statuses" });
  const machines = h("div", { class: "machines" });
  const body = h("div", {});
  const list = new Windowed({ build: line, label: "Agents", role: "presentation", itemRole: "" });
  let columns = 1;
  let cardAt = null; // the card that the keys are about
  main.append(h("div", { class: "bar" }, h("h1", {}, "Fleet"), search,
    mayChange() && button("Freeze …", "freeze", freeze, { kind: "end", title: "Offer nothing new to anybody" })),
  h("div", { class: "bar" }, chips, machines), body);
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
    const holds = tasks.length ? taskLink(tasks[0].id, [`Task #${tasks[0].id} `, h("bdi", {}, tasks[0].title)], { title: tasks[0].title, class: "ell" }) : muted(agent.leases ? `${agent.leases} tasks` : "No task");
    const silent = ["suspect", "dead", "dead_failed_revive", "restarting"].includes(agent.status);
    const beat = agent.beats === "none" ? "no beats" : silent && agent.beat_at ? ["beat ", age(agent.beat_at)] : agent.status === "offline" ? "not here" : `beats every ${span(agent.beat_interval_us / 1e6)}`;
    const shown = agent.capabilities.slice(0, 4);
    return h("article", { class: `card t-${toneOf(agent.status)}`, "aria-label": `${agent.name}, ${wordOf(agent.status)}`, "data-agent": agent.name },
      h("div", { class: "row" }, status(agent.status), h("span", { class: "since" }, age(agent.status_since, "for"))),
      h("div", { class: "row" }, button(agent.name, `agent-${agent.name}`, () => agentDialog(agent.name), { kind: "title link", title: agent.name }),
        h("span", { class: "badges" }, main && badge("MAIN", "main"), flags(agent))),
      h("p", { class: "why", title: agent.status_why, dir: "auto" }, agent.status_why),
      h("div", { class: "row small" }, holds, muted(tasks.length > 1 ? `+${tasks.length - 1} · ` : "", `${agent.leases}/${agent.capacity}`)),
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
