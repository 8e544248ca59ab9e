// An agent, whole: what is known of it, how old each fact is, and what an operator may say.

import { send } from "../api.js";
import { now } from "../commands.js";
import { age, fill, h } from "../dom.js";
import { known, onChange, soon } from "../store.js";
import { badge, button, dialog, fact, field, mayChange, muted, status, taskLink } from "../ui.js";

export const minutes = (us) => {
  const whole = Math.round(us / 60e6);
  return whole ? `${whole} min` : `${Math.round(us / 1e6)} s`;
};

/** The tasks that an agent holds, as far as they are read. */
function heldBy(name) {
  return [...known.tasks.values()].filter((task) => task.agent === name && task.status === "in_progress");
}

export function flags(agent) {
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
    agent.flags.length > 0 && fact("Offered nothing", flags(agent), agent.flagged_by && ` ${agent.flag_reason ?? ""} (${agent.flagged_by})`),
    fact("Holds", `${agent.leases} of ${agent.capacity}`, " ", heldBy(agent.name).slice(0, 8).map((task) => [" ", taskLink(task.id)])),
    fact("Capabilities", agent.capabilities.length ? agent.capabilities.map((word) => h("span", { class: "cap" }, word)) : "any"),
    fact("Timeout", minutes(agent.timeout_us)),
    fact("Last ack", agent.last_ack_at ? age(agent.last_ack_at) : "Never acknowledged"),
    fact("Last beat", beat),
    agent.machine && fact("Machine", agent.machine, agent.process ? ` · process ${agent.process}` : "", agent.pid ? ` (${agent.pid})` : "", agent.process_at ? [" · ", age(agent.process_at)] : ""),
    fact("Registered", age(agent.created_at)));
}

export function agentDialog(name) {
  const body = h("div", {});
  const draw = () => {
    const agent = known.agents.get(name);
    if (!agent) return fill(body, h("p", {}, `${name} is gone.`));
    const flagged = agent.flags.some((flag) => !["retired", "revoked"].includes(flag));
    return fill(body, agentFacts(agent), mayChange() && h("div", { class: "acts wrap" },
      flagged && button("Resume", "resume", () => now(`${name} goes on`, "Not resumed", "POST", `/agents/${name}/resume`, {}, { agent: name }), { kind: "primary" }),
      FLAGS.map(([verb, label]) => button(`${label} …`, verb, () => askAgent(agent, verb, label), { kind: verb === "retire" ? "danger quiet" : "" })),
      agent.machine && COMMANDS.map(([verb, label]) => button(`${label} …`, verb, () => askAgent(agent, verb, label)))));
  };
  const end = onChange((changed) => (changed.has("agents") || changed.has("tasks")) && draw());
  draw();
  const title = known.agents.get(name)?.kind === "main_agent" ? `${name} (main agent)` : name;
  return dialog(title, body, { wide: true }).finally(end);
}
