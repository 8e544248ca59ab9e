// The page: who looks at it, which view it shows, and what stands around all of them.

import { heard, newKey, read, Refused, send } from "./api.js";
import { fill, h, icon, span, tick } from "./dom.js";
import { ageOfData, deaf, known, listen, need, onChange } from "./store.js";
import { button, dialog, toast } from "./ui.js";
import { openBus } from "./views/bus.js";
import { openEscalations } from "./views/escalations.js";
import { openFleet } from "./views/fleet.js";
import { openHealth } from "./views/health.js";
import { openNeeds } from "./views/needs.js";
import { openNotifications } from "./views/notifications.js";
import { openTask } from "./views/task.js";
import { openTasks } from "./views/tasks.js";

const VIEWS = [
  ["needs", "/", "Needs you", { needs: ["attention", "agents"], open: openNeeds }],
  ["fleet", "/fleet", "Fleet", { needs: ["agents", "tasks", "machines"], open: openFleet }],
  ["tasks", "/tasks", "Tasks", { needs: ["tasks", "agents", "policies"], open: openTasks }],
  ["escalations", "/escalations", "Escalations", { needs: ["policies", "tasks", "escalations"], open: openEscalations }],
  ["bus", "/bus", "Bus", { needs: ["letters"], open: openBus }],
  ["health", "/health", "Health", { needs: ["status"], open: openHealth }],
  ["notifications", "/notifications", "Notifications", { needs: ["notified", "sends"], open: openNotifications }],
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

/** Go to a place in here; who comes back stands where they stood. */
function go(path, { replace = false } = {}) {
  const at = document.activeElement;
  if (!replace) history.replaceState({ line: at.closest(".line")?.dataset.key, href: at.getAttribute("href") }, "");
  if (path !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", path);
  show();
}

function back({ line, href }) {
  const cursor = line && current.at.cursor;
  if (cursor) cursor.to(line);
  if (href && !shell.main.contains(document.activeElement)) shell.main.querySelector(`[href="${CSS.escape(href)}"]`)?.focus();
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
  need("attention", "notifications", ...view.needs);
  current.at = view.open(shell.main, { id, words, address, go, say });
  current.at.draw?.(new Set(["first"]));
}

// ---- what stands around the views

function frame() {
  const links = VIEWS.map(([name, path, label]) => h("a", { href: path, "data-view": name }, icon(name), h("span", {}, label)));
  const counts = ["needs", "notifications"].map((name) => {
    const count = h("span", { class: "count", hidden: true });
    links[VIEWS.findIndex(([view]) => view === name)].append(count);
    return count;
  });
  const bell = links.pop();
  bell.className = "bell square";
  bell.querySelector("span").className = "hidden";
  const state = h("span", { class: "live" }, icon("offline"), h("span", {}, "Connecting"));
  const who = h("span", { class: "who" });
  const banner = h("div", { class: "banner", role: "alert", hidden: true });
  const main = h("main", { id: "main", tabindex: "-1" });
  const home = h("a", { class: "brand", href: "/" }, h("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), "Rollcall");
  fill(app,
    h("header", { class: "top" }, home, state,
      h("div", { class: "tools" }, who, bell,
        button("◐", "theme", nextTheme, { kind: "ghost square", title: "Light or dark" }),
        button("?", "help", help, { kind: "ghost square", title: "Keys (?)" }))),
    h("nav", { class: "rail", "aria-label": "Views" }, links), banner, main);
  app.querySelector("[data-act=theme]").setAttribute("aria-label", "Light or dark");
  app.querySelector("[data-act=help]").setAttribute("aria-label", "Keys");
  shell = { links: [...links, bell], state, who, banner, main, counts };
  shell.who.textContent = known.session.role === "read_only" ? `${known.session.name} · may look` : known.session.name;
}

function surround(changed) {
  [known.attention?.items.length, known.notifications?.open].forEach((many, place) => {
    shell.counts[place].hidden = !many;
    shell.counts[place].textContent = many > 99 ? "99+" : many;
  });
  shell.counts[1].classList.toggle("read", !known.notifications?.unread);
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
  ["g then n f t e b h i", "go to a view"], ["?", "these keys"], ["Esc", "leave a field or a dialog"],
];
const PLACES = { n: "/", f: "/fleet", t: "/tasks", e: "/escalations", b: "/bus", h: "/health", i: "/notifications" };

function help() {
  if (document.querySelector("dialog")) return;
  dialog("Keys", h("dl", { class: "keys" }, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    { extra: button("Log out", "leave", leave, { kind: "quiet" }) });
}

/** Move over the lines of lists that have no keys of their own. */
function walk(key) {
  if (key !== "j" && key !== "k") return false;
  const lines = [...shell.main.querySelectorAll(".plain > li")].filter((line) => line.querySelector("a,button,input"));
  const at = lines.findIndex((line) => line.contains(document.activeElement));
  lines[Math.max(0, Math.min(lines.length - 1, at + (key === "j" ? 1 : at < 0 ? 1 : -1)))]?.querySelector("a,button,input").focus();
  return true;
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
  } else if (!current?.at?.key?.(key) && !walk(key)) return undefined;
  event.preventDefault();
  return undefined;
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", ({ state: at }) => {
  if (!shell) return;
  show();
  if (at) back(at);
});

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
