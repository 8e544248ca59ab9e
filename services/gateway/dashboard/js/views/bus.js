// Bus: what passes over it as it does (facts, pings, answers to them), and what could not be handled.

import { Stream } from "../api.js";
import { now } from "../commands.js";
import { age, clock, fill, h } from "../dom.js";
import { heardOf, known, soon } from "../store.js";
import { button, Cursor, loading, mayChange, muted, Windowed } from "../ui.js";
import { copied } from "./health.js";

const SHOWN = 1000;
const LATER = new Set(["answer_by", "assignment", "description", "epoch", "incarnation", "sent_at"]); // told last

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

/** By when it happened: the two streams do not arrive in step. */
function laterFirst(a, b) {
  return a.at < b.at ? 1 : a.at > b.at ? -1 : b.key - a.key;
}

export function openBus(main, { words, address }) {
  const root = known.session.root;
  let filter = words.subject ?? "";
  let paused = null; // what is shown while it is
  const search = h("input", { type: "search", value: filter, placeholder: `${root}.>`, "aria-label": "Subject filter", spellcheck: "false" });
  const pause = h("button", { type: "button", "aria-pressed": "false", title: "Pause the tail (Space)", "data-act": "pause" }, "Pause");
  const copy = button("Copy as nats", "copy", () => copied(`nats sub '${pattern().replaceAll("'", "")}'`), { title: "The command that shows the same in a terminal" });
  const found = h("span", { class: "muted found", role: "status" });
  const letters = h("section", { class: "panel", id: "letters" });
  const detail = h("pre", { class: "detail", tabindex: "0", hidden: true, "aria-label": "Message" });
  const list = new Windowed({ build, label: "Messages" });
  const cursor = new Cursor(list);
  const quiet = h("p", { class: "muted pad" }, "Nothing has passed since this page was opened.");
  const box = h("div", {});
  const narrow = matchMedia("(max-width: 759px)");
  main.append(h("div", { class: "bar" }, h("h1", {}, "Bus"), search, pause, copy, found), detail, h("section", { class: "panel flush" }, box), letters);
  search.addEventListener("input", () => {
    filter = search.value.trim();
    address({ subject: filter });
    draw(new Set(["first"]));
  });
  pause.addEventListener("click", toggle);

  // Pings and answers are no changes: they have a stream of their own, for those who may act.
  const tap = new Stream({ event: (said) => said.subject && heardOf(said) }, "/bus");
  tap.run();

  function subject(event) {
    return event.subject ?? `${root}.evt.${event.aggregate}.${event.id}.${event.event}`;
  }

  function toggle() {
    paused = paused ? null : known.tail.slice();
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(Boolean(paused)));
    draw(new Set(["tail"]));
  }

  /** What is asked for, as a subject: words alone are the beginning of one. */
  function pattern() {
    if (!filter) return `${root}.>`;
    const tokens = (filter.startsWith(root) ? filter.slice(root.length) : filter).split(".").filter(Boolean);
    if (tokens.at(-1) !== ">" && tokens.length < (tokens[0] === "evt" ? 4 : 3)) tokens.push(">");
    return [root, ...tokens].join(".");
  }

  function build(event) {
    const said = Object.entries(event.data ?? {}).sort(([a], [b]) => LATER.has(a) - LATER.has(b)).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
    const [kind, ...rest] = subject(event).slice(root.length + 1).split(".");
    const actor = event.actor ?? (kind === "ack" ? `agent:${rest[0]}` : "rollcall");
    const made = h("div", { class: "event", tabindex: "-1" }, muted(clock(event.at)),
      h("span", { class: "subject", title: subject(event) }, h("b", { class: kind }, kind), `.${rest.join(".")}`),
      h("span", { class: "muted actor", title: actor }, actor), h("span", { class: "data", title: said, dir: "auto" }, said));
    made.addEventListener("click", () => show(event));
    return made;
  }

  function show(event) {
    detail.hidden = false;
    detail.textContent = `${subject(event)}\n${JSON.stringify(event, null, 2)}`;
  }

  function draw(changed) {
    if (changed.has("letters") || changed.has("first")) drawLetters();
    if (!changed.has("tail") && !changed.has("first")) return;
    const wanted = pattern();
    const all = paused ?? known.tail;
    const shown = filter ? all.filter((event) => matches(wanted, subject(event))) : all;
    const newest = shown.slice(-SHOWN).sort(laterFirst);
    const missed = paused ? (known.tail.at(-1)?.key ?? 0) - (paused.at(-1)?.key ?? 0) : 0;
    found.textContent = paused ? `paused, ${missed} newer` : `${shown.length} messages`;
    fill(box, newest.length ? list.box : quiet);
    if (newest.length) list.set(newest.map((event) => ({ key: event.key, item: event, height: narrow.matches ? 54 : 30 })));
  }

  function drawLetters() {
    const items = known.letters?.items;
    if (!items) return fill(letters, loading());
    return fill(letters, h("h2", {}, "Dead letters ", muted(items.length)),
      items.length ? h("ul", { class: "plain" }, items.map((one) => h("li", {},
        h("span", {}, h("code", {}, one.letter.subject || `${one.letter.stream} row ${one.letter.row}`), h("p", { dir: "auto" }, one.letter.reason), h("p", { class: "hint" }, `${one.letter.tries} tries, the last `, age(one.letter.at))),
        mayChange() && button("Replay", `replay-${one.seq}`, async () => { await now(`Dead letter ${one.seq} is tried again`, "Not tried again", "POST", `/dead-letters/${one.seq}/replay`, {}); soon({ list: "letters" }); }))))
        : h("p", { class: "muted" }, "None: everything could be handled."));
  }

  if (words.letters) requestAnimationFrame(() => letters.scrollIntoView());
  return {
    draw,
    cursor,
    address: (more) => { filter = more.subject ?? ""; search.value = filter; draw(new Set(["first"])); },
    destroy: () => { tap.stop(); list.destroy(); },
    key(key) {
      const item = cursor.item();
      if (key === "j" || key === "k") cursor.move(key === "j" ? 1 : -1);
      else if (key === "Escape") detail.hidden = true;
      else if (document.activeElement?.closest("button,a")) return false;
      else if (key === " ") toggle();
      else if (key === "Enter" && item) show(item);
      else return false;
      return true;
    },
  };
}
