// Health: whether the house does its work, what is late, and the command that mends it.

import { age, fill, h } from "../dom.js";
import { known } from "../store.js";
import { badge, button, fact, loading, muted, panel, status, toast } from "../ui.js";

export function openHealth(main) {
  const body = h("div", {});
  main.append(h("div", { class: "bar" }, h("h1", {}, "Health")), body);

  function draw(changed) {
    if (!["status", "first"].some((one) => changed.has(one))) return;
    const said = known.status;
    if (!said) {
      fill(body, loading());
      return;
    }
    fill(body, findings(said), h("div", { class: "split even" }, services(said), lags(said)));
  }

  return { draw };
}

export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${text}`);
  } catch {
    toast(text, { ms: 12000 });
  }
}

function findings(said) {
  const alarms = said.alarms.map((one) => ({ severity: "error", name: one.name, detail: one.detail, fix: one.fix, since: one.since }));
  const named = new Set(alarms.map((one) => one.name));
  const all = [...alarms, ...said.findings.filter((one) => !named.has(one.name))];
  return panel(all.length ? "What is wrong" : "All is well",
    all.length ? h("ul", { class: "plain findings" }, all.map((one) => h("li", {}, status(one.severity),
      h("div", {}, h("b", {}, one.name), " ", h("span", { dir: "auto" }, one.detail), one.since && muted(" · ", age(one.since)),
        one.fix && h("div", { class: "fix" }, h("code", {}, one.fix), button("Copy", `copy-${one.name}`, () => copied(one.fix)))))))
      : h("p", { class: "muted" }, status("ok"), " Every service runs, and nothing is late."));
}

function services(said) {
  const rows = [...said.services].sort((a, b) => a.service.localeCompare(b.service));
  return panel("Services", h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Services" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Service", "Lag", "Waiting", "Last round", "Process"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((one) => h("tr", {}, h("th", { scope: "row" }, status((one.lag_s ?? 0) > 60 ? "error" : (one.lag_s ?? 0) > 2 ? "warning" : "ok", one.service)),
      h("td", {}, `${(one.lag_s ?? 0).toFixed(1)} s`), h("td", {}, String(one.waiting ?? 0)), h("td", {}, age(one.ticked_at)), h("td", { class: "muted" }, one.process)))))));
}

function lags(said) {
  const one = (name, value, bad = false) => fact(name, bad ? badge(value, "warn") : value);
  const tally = (counts) => Object.entries(counts).map(([name, count]) => h("span", { class: "tally" }, status(name), h("b", {}, String(count))));
  return panel("How it stands", h("dl", { class: "facts" },
    one("Tasks", tally(said.tasks)), one("Leases", tally(said.assignments)), one("Agents", tally(said.agents)),
    one("Pings late by", `${said.ping_lag_s.toFixed(1)} s`, said.ping_lag_s > 2), one("Deadlines late by", `${said.deadline_lag_s.toFixed(1)} s`, said.deadline_lag_s > 2),
    one("Outbox", `${said.outbox}, oldest ${said.outbox_oldest_s.toFixed(1)} s`, said.outbox_oldest_s > 15),
    one("Exhausted", String(said.exhausted), said.exhausted > 0), one("Quarantined", String(said.quarantined), said.quarantined > 0),
    one("Store", h("code", {}, said.incarnation)), one("As of", age(said.at))));
}
