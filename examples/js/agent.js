// An agent in JavaScript with the official NATS client; it knows nothing of Rollcall's code.
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator, headers } from "@nats-io/transport-node";

const root = "rollcall.v1";
const name = process.argv[2] ?? "js";
const session = crypto.randomUUID();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const creds = process.env.NATS_CREDS; // written by `rollcall agent add`; an open bus asks for none
const bus = await connect({
  servers: process.env.NATS_URL,
  authenticator: creds && credsAuthenticator(readFileSync(creds)),
  inboxPrefix: `_INBOX_${name}`,
  name: `example/${name}`,
});
const pings = bus.subscribe(`${root}.ping.${name}.*`);

const command = async (verb, body) => {
  const reply = await bus.request(`${root}.cmd.agent.${name}.${verb}`, JSON.stringify(body), { timeout: 5000 });
  const refused = reply.headers?.get("Nats-Service-Error-Code");
  if (refused) throw new Error(`${verb} was refused: ${reply.string()}`);
  return reply.json();
};

// Publish until it is stored: the same command id, and another message id for each try.
const answer = async (ping, kind, more = {}) => {
  const command_id = crypto.randomUUID();
  const body = JSON.stringify({ kind, incarnation: ping.incarnation, session, command_id, ...more });
  for (let attempt = 1; attempt < 10; attempt++) {
    const ids = headers();
    ids.set("Nats-Msg-Id", `${command_id}:${attempt}`);
    try {
      const reply = await bus.request(`${root}.ack.${name}.${ping.assignment}`, body, { timeout: 2000, headers: ids });
      if (reply.json().seq) return;
    } catch {
      await pause(200 * attempt);
    }
  }
  throw new Error(`the ${kind} for assignment ${ping.assignment} could not be stored`);
};

const work = async (ping) => {
  await answer(ping, "ack");
  await pause(1000);
  await answer(ping, "progress", { note: "half of it" });
  await pause(1000);
  await answer(ping, "complete", { result: "done in JavaScript" });
};

await command("join", { session, interval_s: 1, command_id: crypto.randomUUID() });
let seq = 0;
setInterval(() => bus.publish(`${root}.hb.${name}`, JSON.stringify({ session, interval_s: 1, seq: ++seq })), 1000);

const busy = new Set();
for await (const message of pings) {
  const ping = message.json();
  if (ping.kind !== "ping" || busy.has(ping.assignment)) continue; // withdrawn, or only asked again
  busy.add(ping.assignment);
  work(ping).finally(() => busy.delete(ping.assignment));
}
