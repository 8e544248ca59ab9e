// Bus: facts as they are published, and what could not be handled.

import { now } from "../commands.js";
import { age, clock, fill, h } from "../dom.js";
import { known, soon } from "../store.js";
import { button, mayChange, muted, Windowed } from "../ui.js";
import { copied } from "./health.js";

const SHOWN = 1000;

/** Match a subject as NATS does: * is one token, > is all that follow. */
function matches(pattern, subject) {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (let place = 0; place < wanted.length; place += 1) {
    if (wanted[place] === ">") return tokens.length > place;
    if (place >= tokens.length || (wanted[place] !== "*" && wanted[place] !== tokens[place])) return false;
  }
  return wanted.length === tokens.length;
}

export function openBus(main, { words, address }) {
  const root = known.session.root;
  let filter = words.subject ?? "";
  let paused = null; // what is shown while it is
  const search = h("input", { type: "search", value: filter, placeholder: `${root}.evt.>`, "aria-label": "Subject filter", spellcheck: "false" });
  const pause = h("button", { type: "button", "aria-pressed": "false", title: "Pause the tail (Space)", "data-act": "pause" }, "Pause");
  const copy = button("Copy as nats", "copy", () => copied(`nats sub '${pattern().replaceAll("'", "")}'`), { title: "The command that shows the same in a terminal" });
  const found = h("span", { class: "muted found", role: "status" });
  const letters = h("section", { class: "panel", id: "letters" });
  const detail = h("pre", { class: "detail", tabindex: "0", hidden: true, "aria-label": "Event" });
  const list = new Windowed({ build, label: "Events" });
  const quiet = h("p", { class: "muted pad" }, "Nothing was published since this page was opened.");
  const box = h("div", {});
  const narrow = matchMedia("(max-width: 759px)");
  main.append(h("div", { class: "bar" }, h("h1", {}, "Bus"), search, pause, copy, found), detail, h("section", { class: "panel flush" }, box), letters);
  search.addEventListener("input", () => {
    filter = search.value.trim();
    address({ subject: filter });
    draw(new Set(["first"]));
  });
  pause.addEventListener("click", toggle);

  function subject(event) {
    return `${root}.evt.${event.aggregate}.${event.id}.${event.event}`;
  }

  function toggle() {
    paused = paused ? null : known.tail.slice();
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(Boolean(paused)));
    draw(new Set(["tail"]));
  }

  function pattern() {
    if (!filter) return `${root}.evt.>`;
    return filter.startsWith(root) ? filter : /[.*>]/.test(filter) ? `${root}.evt.${filter}` : `${root}.evt.${filter}.>`;
  }


  function build(event) {
    const said = Object.entries(event.data ?? {}).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
    const made = h("div", { class: "event" }, muted(clock(event.at)),
      h("span", { class: "subject", title: subject(event) }, h("b", {}, event.aggregate), `.${event.id}.`, h("b", {}, event.event)),
      h("span", { class: "muted actor", title: event.actor }, event.actor), h("span", { class: "data", title: said, dir: "auto" }, said));
    made.addEventListener("click", () => {
      detail.hidden = false;
      detail.textContent = `${subject(event)}\n${JSON.stringify(event, null, 2)}`;
    });
    return made;
  }

  function draw(changed) {
    if (changed.has("letters") || changed.has("first")) drawLetters();
    if (!changed.has("tail") && !changed.has("first")) return;
    const wanted = pattern();
    const all = paused ?? known.tail;
    const shown = filter ? all.filter((event) => matches(wanted, subject(event))) : all;
    const newest = shown.slice(-SHOWN).reverse();
    const missed = paused ? known.tail.length - paused.length : 0;
    found.textContent = paused && missed > 0 ? `paused, ${missed} newer` : `${shown.length} events`;
    fill(box, newest.length ? list.box : quiet);
    if (newest.length) list.set(newest.map((event) => ({ key: `${event.incarnation}:${event.seq}`, item: event, height: narrow.matches ? 54 : 30 })));
  }

  function drawLetters() {
    const items = known.letters?.items ?? [];
    fill(letters, h("h2", {}, "Dead letters ", muted(String(items.length))),
      items.length ? h("ul", { class: "plain" }, items.map((one) => h("li", {},
        h("span", {}, h("code", {}, one.letter.subject || `${one.letter.stream} row ${one.letter.row}`), h("p", { class: "why", dir: "auto" }, one.letter.reason)),
        muted(`${one.letter.tries} tries · `, age(one.letter.at)),
        mayChange() && button("Replay", `replay-${one.seq}`, async () => { await now(`Dead letter ${one.seq} is tried again`, "POST", `/dead-letters/${one.seq}/replay`, {}); soon({ list: "letters" }); }))))
        : h("p", { class: "muted" }, "None: everything could be handled."));
  }

  if (words.letters) requestAnimationFrame(() => letters.scrollIntoView());
  return {
    draw,
    address: (more) => { filter = more.subject ?? ""; search.value = filter; draw(new Set(["first"])); },
    destroy: () => list.destroy(),
    key(key) {
      if (key !== " " || document.activeElement?.closest("button,a")) return false;
      toggle();
      return true;
    },
  };
}
