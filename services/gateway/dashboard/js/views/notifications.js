// Notifications: what people are told, since when, and what became of each message.

import { send } from "../api.js";
import { now } from "../commands.js";
import { age, fill, h, span } from "../dom.js";
import { known, soon } from "../store.js";
import { agentLink, button, drawChips, empty, loading, mayChange, muted, panel, status, taskLink, wordOf } from "../ui.js";

const WORDS = {
  human: "Waits for a human", draft: "Held back", due: "Overdue", told: "Told by a policy", unrecoverable: "Unrecoverable",
  unreachable: "Unreachable", brake: "Brake is on", alarm: "Alarm", flood: "Flood", channel: "Channel fails",
};

export function openNotifications(main, { words, address }) {
  let all = words.show ?? "";
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Which" });
  const list = h("div");
  const sends = h("div");
  let marked = null; // the list that was last marked as read
  main.append(h("div", { class: "bar" }, h("h1", {}, "Notifications"), chips,
    mayChange() && button("Send a test", "test", test, { kind: "end", title: "In each way in which people are told" })),
  h("div", { class: "split" }, h("section", { class: "panel" }, list), sends));

  async function test() {
    const found = await now("A test is sent", "Not sent", "POST", "/notifications/test", {});
    if (found) soon({ list: "sends" });
  }

  function line(one) {
    const shape = one.ended_at ? "done" : one.urgent ? "error" : "warning";
    const about = [one.task && [taskLink(one.task), " "], known.agents.has(one.subject) ? agentLink(one.subject) : one.subject];
    return h("li", {}, status(shape, WORDS[one.kind] ?? wordOf(one.kind)),
      h("div", {}, h("b", { dir: "auto" }, about), " ", h("span", { dir: "auto" }, one.why)),
      one.ended_at ? h("span", { class: "since" }, `lasted ${span((Date.parse(one.ended_at) - Date.parse(one.at)) / 1000)}, over `, age(one.ended_at)) : h("span", { class: "since" }, "for ", age(one.at, "for")));
  }

  function draw(changed) {
    if (!["notifications", "notified", "sends", "first"].some((one) => changed.has(one))) return undefined;
    drawSends();
    const open = known.notifications;
    if (!open || !known.notified) return fill(list, loading());
    const past = known.notified.items.filter((one) => !one.over);
    drawChips(chips, ["All"], { All: past.length }, open.open, all, (key) => {
      all = key;
      address({ show: key });
      draw(new Set(["first"]));
    }, "Open");
    const shown = all ? past : open.items.filter((one) => !one.over);
    if (open.unread && marked !== open && mayChange() && !document.hidden) send("POST", "/notifications/read", {}).then(() => soon({ list: "notifications" }), () => {});
    marked = open;
    return fill(list, shown.length ? h("ul", { class: "plain told" }, shown.map(line)) : empty("Nothing is open", "Whatever needs a person is told here once, and once more when it is over."));
  }

  function drawSends() {
    const items = known.sends?.items ?? [];
    fill(sends, panel("Sent", items.length ? h("ul", { class: "plain" }, items.map((one) => h("li", {},
      h("div", {}, status(one.ok ? "done" : "failed", one.way), " ", h("span", { dir: "auto" }, one.title), h("p", { class: "hint", dir: "auto" }, one.ok ? one.answer || "taken" : one.answer)), age(one.at))))
      : muted("Nothing yet.")));
  }

  return { draw, address: (more) => { all = more.show ?? ""; draw(new Set(["first"])); } };
}
