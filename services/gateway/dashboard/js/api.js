// Talking to the gateway: requests that may be sent again, and the stream of changes.


const API = "/api/v1";
const TRIES = 4;
const QUIET_MS = 11000; // the house speaks every 5 s
const AGAIN = new Set([429, 502, 503, 504]);

/** A refusal, as the house words it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `refused (${status})`);
    this.status = status;
    this.code = problem.code ?? "";
    this.fields = problem.fields ?? {};
  }
}

export const heard = { signedOut: () => {} };

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function once(method, path, body, key, keepalive) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(API + path, { method, headers, body: sent, keepalive, cache: "no-store" });
  if (answer.ok) return { value: await answer.json(), again: 0 };
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) heard.signedOut();
  const wait = Number(answer.headers.get("retry-after")) || 1;
  return { error: new Refused(answer.status, problem), again: AGAIN.has(answer.status) ? wait : 0 };
}

async function ask(method, path, body, key, keepalive = false) {
  for (let tried = 1; ; tried += 1) {
    let found;
    try {
      found = await once(method, path, body, key, keepalive);
    } catch (error) {
      found = { error: new Refused(0, { detail: "Rollcall cannot be reached" }), again: 2 ** (tried - 1) };
    }
    if (!found.error) return found.value;
    if (!found.again || tried >= TRIES || keepalive) throw found.error;
    await pause(Math.min(found.again, 8) * 1000);
  }
}

export function read(path) {
  return ask("GET", path);
}

/** A question that does not fit into an address. */
export function inquire(path, body) {
  return ask("POST", path, body);
}

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send a command; however often it is sent, it is done once. */
export function send(method, path, body, { key = newKey(), keepalive = false } = {}) {
  return ask(method, path, body ?? {}, key, keepalive);
}

export function query(words) {
  const given = Object.entries(words).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Read a page after the other; `take` sees each as it comes. */
export async function pages(path, words, take) {
  for (let after = 0; after !== null; ) {
    const page = await read(path + query({ ...words, after, limit: 500 }));
    take(page.items);
    after = page.next;
  }
}

/** Server-sent events by hand: an EventSource hides why it ends, and hears only names that it knows. */
export class Stream {
  constructor({ event, state = () => {}, alive = () => {}, resync = () => {} }, path = "/events") {
    Object.assign(this, { event, state, alive, resync, path });
    this.last = "";
    this.stopped = false;
  }

  async run() {
    for (let tries = 0; !this.stopped; tries += 1) {
      try {
        await this.listen(() => { tries = 0; });
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return heard.signedOut();
        if (error instanceof Refused && error.status === 422) this.last = ""; // an id of another life
      }
      if (this.stopped) return undefined;
      this.state(false);
      await this.rest(Math.min(1000 * 2 ** tries, 8000) * (0.75 + Math.random() / 2));
    }
    return undefined;
  }

  rest(ms) {
    return new Promise((done) => {
      this.hurry = done;
      setTimeout(done, ms);
    });
  }

  async listen(connected) {
    this.cut = new AbortController();
    const headers = { accept: "text/event-stream" };
    if (this.last) headers["last-event-id"] = this.last;
    const answer = await fetch(API + this.path, { headers, signal: this.cut.signal, cache: "no-store" });
    if (!answer.ok) throw new Refused(answer.status, {});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    connected();
    this.state(true);
    if (this.opened && !this.last) this.resync(); // nothing was heard before: what was missed cannot be told
    this.opened = true;
    let rest = "";
    for (;;) {
      const quiet = setTimeout(() => this.cut.abort(), QUIET_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(quiet));
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      parts.forEach((part) => this.take(part));
      this.alive();
    }
  }

  take(part) {
    let name = "";
    let data = "";
    for (const line of part.split("\n")) {
      if (line.startsWith("id: ")) this.last = line.slice(4);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (name === "resync") this.resync();
    else if (name) this.event(JSON.parse(data));
  }

  stop() {
    this.stopped = true;
    this.cut?.abort();
  }
}
