// The whole life of an agent in JavaScript with the official NATS client and nothing of ours:
// it joins, beats, works, waits for a person, finishes and leaves.
//   rollcall agent add jason && node examples/js/life.js jason
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator } from "@nats-io/transport-node";

const root = "rollcall.v1";
const name = process.argv[2] ?? "jason";
let tasks = Number(process.argv[3] ?? 1); // after so many it goes home
const pause = Number(process.env.PAUSE_S ?? 1) * 1000;
const session = crypto.randomUUID(); // which run of the agent this is
const rest = () => new Promise((resolve) => setTimeout(resolve, pause));

const creds = process.env.NATS_CREDS; // written by `rollcall agent add`; an open bus asks for none
const bus = await connect({
  servers: process.env.NATS_URL,
  authenticator: creds && credsAuthenticator(readFileSync(creds)),
  inboxPrefix: `_INBOX_${name}`,
  name: `example/${name}`,
});

// Ask until it is answered: under one command id it is carried out once.
const say = async (verb, body = {}) => {
  const data = JSON.stringify({ session, command_id: crypto.randomUUID(), ...body });
  for (;;) {
    try {
      const reply = await bus.request(`${root}.cmd.agent.${name}.${verb}`, data, { timeout: 5000 });
      const status = Number(reply.headers?.get("Nats-Service-Error-Code") || 0);
      if (status !== 429 && status !== 503) {
        if (status) throw Object.assign(new Error(reply.string()), { refused: reply.json().code });
        return reply.json();
      }
    } catch (error) {
      if (error.refused) throw error;
    }
    await rest();
  }
};

const work = async (assignment) => {
  await say("ack", { assignment });
  await rest(); // here a real agent would work
  await say("progress", { assignment, note: "read the task" });
  await say("wait", { assignment, on: "human", who: "olga", reason: "green or blue?" });
  await rest(); // here it would ask her
  await say("resume", { assignment });
  await say("progress", { assignment, note: "painted it green" });
  await say("complete", { assignment, result: "it is green" });
};

const pings = bus.subscribe(`${root}.ping.${name}.*`);
const { leases } = await say("join", { interval_s: 1 });
let seq = 0;
const beating = setInterval(
  () => bus.publish(`${root}.hb.${name}`, JSON.stringify({ session, interval_s: 1, seq: ++seq })),
  1000,
);

// What was asked before it listened is among the leases that it still holds.
const owed = async function* () {
  yield* leases.filter((lease) => lease.ping).map((lease) => lease.ping);
  for await (const message of pings) yield message.json();
};
for await (const ping of owed()) {
  if (ping.kind !== "ping") continue; // withdrawn: nothing is owed any more
  try {
    await work(ping.assignment);
    tasks -= 1;
  } catch (error) {
    console.error(`assignment ${ping.assignment}: ${error.message}`); // taken from us
  }
  if (tasks <= 0) break;
}
clearInterval(beating);
await say("leave");
await bus.drain();
