// An agent, whole: what is known of it, how old each fact is, and what an operator may say.

import { send } from "../api.js";
import { age, fill, h } from "../dom.js";
import { now } from "../commands.js";
import { known, onChange, soon } from "../store.js";
import { badge, button, dialog, field, mayChange, status, taskLink } from "../ui.js";

export const minutes = (us) => {
  const whole = Math.round(us / 60e6);
  return whole ? `${whole} min` : `${Math.round(us / 1e6)} s`;
};

/** The tasks that an agent holds, as far as they are read. */
export function heldBy(name) {
  return [...known.tasks.values()].filter((task) => task.agent === name && task.status === "in_progress");
}

export function flags(agent) {
  const tones = { quarantined: "bad", retired: "off" };
  return agent.flags.map((flag) => badge(flag, tones[flag] ?? "warn", agent.flag_reason ?? ""));
}

const FLAGS = [["pause", "Pause"], ["drain", "Drain"], ["quarantine", "Quarantine"], ["retire", "Retire"]];
const ORDERS = [["start", "Start"], ["restart", "Restart"], ["stop", "Stop"]];

function ask(agent, verb, label) {
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

function facts(agent) {
  const row = (name, ...value) => [h("dt", {}, name), h("dd", {}, value)];
  const beat = agent.beats === "none" ? "sends none" : agent.beat_at ? [age(agent.beat_at), `, every ${agent.beat_interval_us / 1e6} s`] : "never";
  return h("dl", { class: "facts" },
    row("Status", status(agent.status), h("span", { class: "muted" }, " for ", age(agent.status_since, "for"))),
    row("Why", h("span", { dir: "auto" }, agent.status_why)),
    agent.flags.length > 0 && row("Operators", flags(agent), ` ${agent.flag_reason ?? ""} (${agent.flagged_by ?? "?"})`),
    row("Holds", `${agent.leases} of ${agent.capacity}`, " ", heldBy(agent.name).slice(0, 8).map((task) => [" ", taskLink(task.id)])),
    row("Capabilities", agent.capabilities.length ? agent.capabilities.map((word) => h("span", { class: "cap" }, word)) : "any"),
    row("Timeout", minutes(agent.timeout_us)),
    row("Last ack", agent.last_ack_at ? age(agent.last_ack_at) : "Never acknowledged"),
    row("Last beat", beat),
    agent.machine && row("Machine", agent.machine, agent.process ? ` · process ${agent.process}` : "", agent.pid ? ` (${agent.pid})` : "", agent.process_at ? [" · ", age(agent.process_at)] : ""),
    row("Registered", age(agent.created_at)));
}

export function agentDialog(name) {
  const body = h("div", {});
  const draw = () => {
    const agent = known.agents.get(name);
    if (!agent) return fill(body, h("p", {}, `${name} is gone.`));
    const flagged = agent.flags.some((flag) => flag !== "retired");
    return fill(body, facts(agent), mayChange() && h("div", { class: "acts wrap" },
      flagged && button("Resume", "resume", () => now(`${name} goes on`, "POST", `/agents/${name}/resume`, {}, { agent: name }), { kind: "primary" }),
      FLAGS.map(([verb, label]) => button(`${label} …`, verb, () => ask(agent, verb, label), { kind: verb === "retire" ? "danger quiet" : "" })),
      agent.machine && ORDERS.map(([verb, label]) => button(`${label} …`, verb, () => ask(agent, verb, label)))));
  };
  const end = onChange((changed) => (changed.has("agents") || changed.has("tasks")) && draw());
  draw();
  const title = known.agents.get(name)?.kind === "main_agent" ? `${name} (main agent)` : name;
  return dialog(title, body, { wide: true }).finally(end);
}
