// The little TOML that a policy is written in: tables [[steps]] with words for values.

const STEP_KEYS = ["kind", "capability", "who"];
export const STEP_KINDS = ["retry", "peer", "main", "notify"];

export function asToml(steps) {
  return steps.map((step) => ["[[steps]]", ...STEP_KEYS.filter((key) => step[key]).map((key) => `${key} = ${JSON.stringify(step[key])}`)].join("\n")).join("\n\n");
}

/** Return the steps, or throw with the line that is wrong. */
export function fromToml(text) {
  const steps = [];
  text.split("\n").forEach((line, place) => {
    const wrong = (why) => { throw new Error(`line ${place + 1}: ${why}`); };
    const said = line.trim();
    if (!said || said.startsWith("#")) return;
    if (/^\[\[\s*steps\s*\]\](\s*#.*)?$/.test(said)) return void steps.push({});
    const pair = /^(\w+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?$/.exec(said);
    if (!pair) wrong('a step is [[steps]], then lines such as kind = "peer"');
    if (!steps.length) wrong("[[steps]] comes first");
    if (!STEP_KEYS.includes(pair[1])) wrong(`${pair[1]} is none of ${STEP_KEYS.join(", ")}`);
    if (pair[1] in steps.at(-1)) wrong(`${pair[1]} is said twice`);
    steps.at(-1)[pair[1]] = pair[2] ?? pair[3];
    return undefined;
  });
  steps.forEach((step, place) => {
    if (!STEP_KINDS.includes(step.kind)) throw new Error(`step ${place + 1}: kind is one of ${STEP_KINDS.join(", ")}`);
  });
  return steps;
}
