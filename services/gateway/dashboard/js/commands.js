// What an operator does: sent once, undone where that is possible, and told when it went wrong.

import { newKey, send } from "./api.js";
import { h } from "./dom.js";
import { known, soon, touch } from "./store.js";
import { dialog, field, select, toast, told } from "./ui.js";

const UNDO_S = 10;

/** Do something at once, and say that it is `done`, or that it is `not` and why. */
export async function now(done, not, method, path, body, about = {}) {
  try {
    const value = await send(method, path, body);
    soon(about);
    toast(done);
    return value ?? {};
  } catch (error) {
    toast(`${not}: ${told(error)}`, { tone: "bad", ms: 9000 });
    soon(about);
    return null;
  }
}

/** Tasks that a command waits for, and what will become of them: they are shown as good as done. */
export const held = new Map();
const waiting = new Set();

/** Do something to tasks in ten seconds, unless it is undone. `each(id)` names method, path and body. */
export function later(label, mark, ids, each) {
  const job = { gone: false };
  ids.forEach((id) => held.set(id, mark));
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
  if (failed.length) toast(`Not done: ${failed.length} of ${ids.length} refused (${label}). ${failed[0]}`, { tone: "bad", ms: 12000 });
  else toast(`${label}: done`);
}

addEventListener("pagehide", () => {
  for (const job of [...waiting]) job.run(true);
});

function tasksOf(ids) {
  return ids.length === 1 ? `task ${ids[0]}` : `${ids.length} tasks`;
}

/** Give tasks to somebody else; "": whom Rollcall chooses. Their holders are told to stop, so it can be undone. */
function reassign(ids, agent) {
  later(`Give ${tasksOf(ids)} to ${agent || "somebody else"}`, `goes to ${agent || "somebody else"}`, ids,
    (id) => ({ method: "POST", path: `/tasks/${id}/assign`, body: agent ? { agent } : {} }));
}

export function cancelTasks(ids) {
  later(`Cancel ${tasksOf(ids)}`, "will be cancelled", ids, (id) => ({ method: "POST", path: `/tasks/${id}/cancel`, body: {} }));
}

export function ack(item) {
  return now(`Task ${item.task} is acked by you`, "Not acked", "POST", `/tasks/${item.task}/ack`, {}, { task: item.task, agent: item.agent });
}

export function snooze(item, minutes = 30) {
  return now(`${item.agent} is asked again in ${minutes} min`, "Not snoozed", "POST", `/tasks/${item.task}/snooze`, { minutes }, { task: item.task, agent: item.agent });
}

export function approve(item) {
  return answer(item, "Approved: go on.");
}

function answer(item, text) {
  return now(`${item.agent} is answered`, "Not answered", "POST", `/tasks/${item.task}/answer`, { text }, { task: item.task, agent: item.agent });
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
  const title = `${holder ? "Reassign" : "Assign"} ${tasksOf(ids)}`;
  return dialog(title, [
    holder && h("p", {}, `${holder} holds it now, and will be told to stop.`),
    field("Agent", agent, "Your word goes before presence, capability and capacity."),
  ], {
    action: holder ? "Reassign" : "Assign",
    done: async () => {
      if (holder || !one) reassign(ids, agent.value);
      else {
        const given = await send("POST", `/tasks/${ids[0]}/assign`, agent.value ? { agent: agent.value } : {});
        soon({ task: ids[0], agent: given.agent });
        toast(`Task ${ids[0]} is with ${given.agent}`);
      }
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
      if (agent.value && agent.value !== task?.agent) {
        if (task?.agent) reassign([id], agent.value);
        else await send("POST", `/tasks/${id}/assign`, { agent: agent.value });
      }
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
