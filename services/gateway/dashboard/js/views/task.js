// A task: what happened and why, what happens next and when, and what can be done about it.

import { read, send } from "../api.js";
import {
  ack,
  answerDialog,
  approve,
  assignDialog,
  cancelTasks,
  held,
  now,
  snooze,
  snoozeDialog,
  taskDialog,
} from "../commands.js";
import { age, clock, fill, h, icon } from "../dom.js";
import { drop, known, need, soon } from "../store.js";
import {
  agentLink,
  badge,
  button,
  empty,
  fact,
  loading,
  mayChange,
  muted,
  panel,
  priority,
  status,
  taskLink,
  told,
  wordOf,
} from "../ui.js";

const HELD = new Set(["pending", "acknowledged", "waiting", "snoozed"]);
const PINGS = 3; // in a row that are told one by one

export function openTask(main, { id, say, go }) {
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
    if (await now("Todo is added", "Not added", "POST", `/tasks/${id}/todos`, { text: todo.value.trim() }, { task: id })) todo.value = "";
  });

  // What is drawn anew stands in boxes of its own: a field that somebody writes in, and a button under a finger, stay.
  const [top, about, happened, coming, planned, rest] = Array.from({ length: 6 }, () => h("div"));
  coming.className = "first";
  const split = h("div", { class: "split" }, h("div", {}, about, panel("What happened", mayChange() && remark, happened)),
    h("div", {}, coming, panel("Plan", planned, mayChange() && adding), rest));

  function plan({ phases, todos }) {
    const line = (one) => {
      const box = h("input", { type: "checkbox", checked: one.done, disabled: !mayChange(), "data-act": `todo-${one.id}` });
      box.addEventListener("change", () => now(box.checked ? "Todo is done" : "Todo is open", "Not changed", "PATCH", `/tasks/${id}/todos/${one.id}`, { done: box.checked }, { task: id }));
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
      else acts.push(button("Reopen", "reopen", () => now(`Task ${id} is open again`, "Not reopened", "POST", `/tasks/${id}/reopen`, {}, { task: id }), { kind: "primary" }));
    }
    return h("header", { class: "head" }, h("a", { href: "/tasks", class: "back" }, "‹ Tasks"),
      h("h1", {}, h("span", { class: "id" }, `#${id}`), " ", h("bdi", {}, task.title)),
      h("p", { class: "meta" }, held.has(id) ? badge(held.get(id), "bad") : status(task.status), priority(task.priority),
        task.agent && [h("span", {}, "with ", agentLink(task.agent)), isMain(task.agent) && badge("MAIN", "main")],
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

/** Everything that happened, newest first: who did it, why, and which command or message caused it. */
function timeline(detail) {
  const told = [];
  const facts = [...detail.facts];
  const of = ({ at, text }) => { // a change and its remark are of one transaction, and so of one instant
    const both = facts.findIndex((fact) => fact.at === at && text.toLowerCase().startsWith(fact.event));
    const place = both < 0 ? facts.findIndex((fact) => fact.at === at) : both;
    return place < 0 ? undefined : facts.splice(place, 1)[0];
  };
  for (const one of detail.comments) {
    const machine = one.author === "rollcall";
    const shape = machine ? SHAPES.find(([like]) => like.test(one.text))?.[1] ?? "offline" : "human";
    told.push({ at: one.at, shape, who: machine ? "" : one.author, text: one.text, fact: of(one) });
  }
  for (const fact of facts) told.push({ at: fact.at, shape: "offline", text: factOf(fact), fact });
  for (const step of detail.steps) {
    const taken = step.outcome !== "skipped";
    told.push({ at: step.at, shape: taken ? "escalations" : "offline", text: `Step ${step.step} (${step.kind}) ${step.outcome}${step.target ? `: ${step.target}` : ""}`, why: step.reason });
  }
  told.push(...pingsOf(detail));
  told.sort((a, b) => b.at.localeCompare(a.at));
  return h("ol", { class: "timeline" }, told.map((one) => h("li", { class: one.shape === "human" ? "person" : "" },
    icon(one.shape === "human" ? "ready" : one.shape),
    h("div", {}, one.who && h("b", {}, `${one.who} `), h("span", { dir: "auto" }, one.text), causeOf(one)),
    h("span", { class: "when" }, clock(one.at), " · ", age(one.at)))));
}

/** A line of its own for what brought it about: a reason, who did it, and under which command. */
function causeOf({ why, fact }) {
  const said = [why, fact && `by ${fact.actor}`, fact?.cause && `cause ${fact.cause.slice(0, 8)}`].filter(Boolean);
  return said.length > 0 && h("p", { class: "hint", title: fact?.cause, dir: "auto" }, said.join(" · "));
}

/** A change that nobody has remarked, in words. */
function factOf({ event, data = {} }) {
  const words = event.replaceAll("_", " ");
  const what = [data.name ?? data.text ?? data.title ?? data.why, data.status && wordOf(data.status)].filter(Boolean).join(", ");
  return words[0].toUpperCase() + words.slice(1) + (what && `: ${what}`);
}

function pingsOf(detail) {
  const by = new Map();
  for (const ping of detail.pings) by.set(ping.assignment_id, [...(by.get(ping.assignment_id) ?? []), ping]);
  const told = [];
  for (const pings of by.values()) {
    pings.sort((a, b) => a.attempt - b.attempt);
    const some = pings.length > PINGS * 2 ? [...pings.slice(0, PINGS), ...pings.slice(-PINGS)] : pings;
    for (const ping of some) {
      told.push({ at: ping.sent_at, shape: "bus", text: `Ping ${ping.attempt} to ${ping.agent}${ping.published_at ? "" : " (not yet on the bus)"}`, why: ping.attempt > 1 ? `asked ${ping.attempt - 1} ${ping.attempt > 2 ? "times" : "time"} before` : "an answer is owed" });
    }
    if (some.length < pings.length) told.push({ at: pings[PINGS].sent_at, shape: "bus", text: `… and ${pings.length - some.length} more pings to ${pings[0].agent}` });
  }
  return told;
}
