// Needs you: who needs somebody, since when and why, and what can be done about it at once.

import { ack, answerDialog, approve, assignDialog, held, snooze, snoozeDialog } from "../commands.js";
import { age, fill, h } from "../dom.js";
import { keyOf, known } from "../store.js";
import { agentLink, button, Cursor, drawChips, empty, loading, mayChange, priority, status, taskLink, Windowed } from "../ui.js";
import { agentDialog } from "./agent.js";

const ABOUT = { // what each kind allows, the likeliest first
  human: ["answer", "approve", "reassign"],
  exhausted: ["ack", "snooze", "reassign"],
  silent: ["ack", "snooze", "reassign"],
  escalated: ["ack", "snooze", "reassign"],
  stalled: ["ack", "snooze", "reassign"],
  due: ["reassign"],
  unassigned: ["assign"],
  dead: ["agent"],
  unreachable: ["agent"],
  quarantined: ["letters"],
};
const HINTS = {
  ack: "I have it in hand: its clock begins anew (a)", snooze: "Ask again in 30 minutes (s)", answer: "Answer, and let it go on (e)",
  approve: "Say that it may go on (y)", reassign: "Give it to another agent (r)", assign: "Give it to an agent (r)",
  agent: "What is known of it, and what can be done (Enter)", letters: "To the dead letters",
};
const NAMES = { ack: "Ack", snooze: "Snooze 30 min", answer: "Answer …", approve: "Approve", reassign: "Reassign …", assign: "Assign …", agent: "Agent …", letters: "Dead letters" };

export function openNeeds(main, { words, address, go }) {
  let kind = words.kind ?? "";
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Kinds" });
  const list = new Windowed({ build, label: "Needs you" });
  const cursor = new Cursor(list);
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
      ? [taskLink(item.task, [h("span", { class: "id" }, `#${item.task}`), " ", h("bdi", {}, item.title)], { class: "title", "data-main": true, "data-act": "open" })]
      : [button(item.agent, "open", () => agentDialog(item.agent), { kind: "title link" })];
    const does = mayChange() || !item.task || item.kind === "quarantined" ? ABOUT[item.kind] ?? [] : [];
    return h("div", { class: "need" },
      h("div", { class: "what" }, status(item.kind === "dead" ? item.status : item.kind),
        h("span", { class: "since" }, age(item.since, "for")), item.task && item.agent && agentLink(item.agent)),
      h("div", { class: "text" }, h("div", { class: "row" }, title, item.task && item.priority < 2 && priority(item.priority)),
        h("p", { class: "why", title: item.why, dir: "auto" }, item.why)),
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
    cursor,
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
