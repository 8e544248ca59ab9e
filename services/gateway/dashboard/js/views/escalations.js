// Escalations that run, and the policies behind them: written as a form or as TOML, tried before they are saved.

import { inquire, send } from "../api.js";
import { age, fill, h } from "../dom.js";
import { known, soon } from "../store.js";
import { asToml, fromToml, STEP_KINDS } from "../toml.js";
import { badge, button, field, loading, mayRule, muted, select, status, taskLink, toast, told } from "../ui.js";

const STEP_ABOUT = {
  retry: "the same agent, once more", peer: "another agent that is able", main: "the main agent", notify: "somebody is told; the task stays",
};
const PREVIEW_MAX = 50;

export function openEscalations(main, { words, address }) {
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
    const { items, ended } = known.escalations ?? { items: [], ended: [] };
    fill(running, h("h2", {}, "Running ", muted(String(items.length))),
      items.length ? h("ul", { class: "plain" }, items.map(escalation)) : h("p", { class: "muted" }, "No escalation runs: everybody has answered."),
      ended.length > 0 && [h("h2", {}, "Ended in the last hour ", muted(String(ended.length))), h("ul", { class: "plain" }, ended.map(escalation))]);
  }

  function escalation({ escalation: one, steps: told }) {
    const chain = one.steps.map((step, place) => {
      const was = told.findLast((each) => each.step === place + 1);
      const tone = was?.outcome === "taken" ? "work" : was ? "warn" : "off";
      return h("li", {}, badge(`${place + 1} ${step.kind}`, tone), was
        ? h("div", {}, `${was.outcome}${was.target ? `: ${was.target}` : ""} · `, age(was.at), h("p", { class: "hint", dir: "auto" }, was.reason)) : muted("not yet"));
    });
    return h("li", {}, h("div", {}, taskLink(one.task_id, [h("span", { class: "id" }, `#${one.task_id} `), h("b", { dir: "auto" }, one.title)]), one.ended_at ? endOf(one, told) : muted(` with ${one.agent ?? "nobody"}, by its copy of ${one.policy}, begun `, age(one.started_at)),
      h("ol", { class: "chain" }, chain)));
  }

  /** How it ended, when, and who had it then: whom its last step gave it to. */
  function endOf(one, told) {
    const last = told.findLast((step) => step.outcome === "taken" && step.kind !== "notify");
    const good = one.end_reason === "completed";
    return [" ", status(good ? "completed" : "offline", good ? "Completed" : "Ended"),
      muted(last && ` ${good ? "by" : "while with"} ${last.target}`, !good && h("span", { dir: "auto" }, `: ${one.end_reason}`), " ", age(one.ended_at))];
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
    const kind = select(STEP_KINDS, step.kind, { "aria-label": `Kind of step ${place + 1}`, title: STEP_ABOUT[step.kind], disabled: off });
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
    return h("li", {}, kind, ["peer", "notify"].includes(step.kind) ? word : muted(STEP_ABOUT[step.kind]), !off && h("span", { class: "moves" },
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
