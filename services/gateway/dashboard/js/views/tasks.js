// Tasks: a list, or columns by status; filters that stand in the address; many at once.

import { assignDialog, cancelTasks, held, later, taskDialog } from "../commands.js";
import { age, fill, h } from "../dom.js";
import { known } from "../store.js";
import {
  badge,
  button,
  Cursor,
  drawChips,
  empty,
  loading,
  mayChange,
  muted,
  priority,
  select,
  status,
  taskLink,
  Windowed,
  wordOf,
} from "../ui.js";

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

export function openTasks(main, { words, address, go }) {
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
  const cursor = new Cursor(list);
  let columns = null;
  main.append(h("div", { class: "bar" }, h("h1", {}, "Tasks"), found, search, h("span", { class: "acts end" }, layout,
    mayChange() && button("New task", "new", create, { kind: "primary", title: "New task (n)" }))),
  h("div", { class: "bar" }, chips, h("span", { class: "selects" }, agent, level, sort)), body, bulk);

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
      h("span", { class: "state" }, wait ? badge(wait, "bad") : status(task.status)),
      h("span", { class: "prio" }, priority(task.priority)),
      h("span", { class: "who", title: task.agent ?? task.status_why }, task.agent ?? muted(task.blockers ? `blocked by ${task.blockers}` : OPEN.has(task.status) ? "nobody" : "")),
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
    found.textContent = known.loading.has("tasks") ? `${shown.length} so far` : shown.length < known.tasks.size ? `${shown.length} of ${known.tasks.size}` : `${shown.length}`;
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
    const top = visible[0].scroller.getBoundingClientRect().top + scrollY;
    body.style.setProperty("--from", `${top}px`);
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
      later(`Set ${openIds.length} to ${value}`, `becomes ${value}`, openIds, (id) => ({ method: "PATCH", path: `/tasks/${id}`, body: { priority: value } }));
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
    cursor,
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
