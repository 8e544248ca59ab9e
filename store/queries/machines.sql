-- name: load_machines -> Machine
-- The machines that a batch names, in lower case; :keys is a JSON array.
SELECT {columns} FROM machines
WHERE name_key IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_machine_ids -> Machine
-- The machines that a claim has taken.
SELECT {columns} FROM machines
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: insert_machine <- Machine
-- A machine that joined for the first time; its name is unique whatever the case.
INSERT INTO machines ({columns}, name_key) VALUES ({values}, lower(:name));

-- name: update_machine <- Machine
-- What a machine may change; never its name, which its agents carry.
UPDATE machines SET {changes but id, name} WHERE id = :id AND version = :expected;

-- name: list_machines -> Machine
-- The machines by name.
SELECT {columns} FROM machines ORDER BY name_key;

-- name: machine_agents -> Agent
-- The agents that a machine's daemon speaks for.
SELECT {columns} FROM agents WHERE machine = :machine ORDER BY name_key;

-- name: claim_silent_machines -> Machine
-- Take the machines whose beats were missed, as far as all that was heard is written.
UPDATE machines SET version = version + 1
WHERE id IN (
    SELECT id FROM machines
    WHERE silent_at <= :heard_until AND beat_interval_us * :misses + :heard_since <= :heard_until
    ORDER BY silent_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, silent_at, {columns};

-- name: next_silent_machine_at
-- When the monitor has to be awake for a machine.
SELECT silent_at FROM machines WHERE silent_at IS NOT NULL ORDER BY silent_at LIMIT 1;

-- name: quarantine_machines
-- Take a machine whose decision throws out of the monitor's column.
UPDATE machines SET silent_at = NULL, version = version + 1
WHERE id = :id AND version = :version AND silent_at IS NOT NULL
RETURNING name, version;

-- name: release_machines
-- Let the monitor look at the machine again.
UPDATE machines
SET silent_at = CASE WHEN left_at IS NULL THEN CAST(:now AS BIGINT) END, version = version + 1
WHERE id = :id
RETURNING name, version;

-- name: load_brakes -> Brake
-- The brakes that are on: few, or none.
SELECT {columns} FROM brakes WHERE ended_at IS NULL ORDER BY scope;

-- name: insert_brake <- Brake
-- A brake is put on; a scope has one at most.
INSERT INTO brakes ({columns}) VALUES ({values});

-- name: update_brake <- Brake
-- What becomes of a brake.
UPDATE brakes SET {changes but id, scope} WHERE id = :id AND version = :expected;

-- name: claim_brakes -> Brake
-- Take the brakes that have to be looked at: may they end, or let one more go?
UPDATE brakes SET version = version + 1
WHERE id IN (SELECT id FROM brakes WHERE look_at <= :now ORDER BY look_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */)
RETURNING id, look_at, {columns};

-- name: next_brake_at
-- When the monitor has to be awake for a brake.
SELECT look_at FROM brakes WHERE look_at IS NOT NULL ORDER BY look_at LIMIT 1;

-- name: quarantine_brakes
-- Take a brake whose decision throws out of the monitor's column.
UPDATE brakes SET look_at = NULL, version = version + 1
WHERE id = :id AND version = :version AND look_at IS NOT NULL
RETURNING id, version;

-- name: release_brakes
-- Let the monitor look at the brake again.
UPDATE brakes SET look_at = CASE WHEN ended_at IS NULL THEN CAST(:now AS BIGINT) END, version = version + 1
WHERE id = :id
RETURNING id, version;

-- name: brake_members
-- How many living agents are expected to beat, by machine: what the silent are counted among.
SELECT machine, count(*) FROM agents
WHERE active AND beats = 'required' AND joined_at IS NOT NULL AND left_at IS NULL AND dead_at IS NULL
GROUP BY machine;

-- name: brake_silent
-- Who is silent since which second, by machine, and whether it died of it after :since; nobody for whom a daemon speaks,
-- and nobody on whom no decision comes any more, because its own throws.
SELECT a.machine, a.suspect_at / 1000000 AS second, a.dead_at IS NOT NULL AS dead, count(*)
FROM agents a LEFT JOIN machines m ON m.name = a.machine
WHERE a.suspect_at IS NOT NULL
  AND (a.dead_at IS NULL AND a.silent_at IS NOT NULL OR a.dead_at IS NOT NULL AND a.suspect_at >= :since)
  AND NOT COALESCE(a.process = 'running' AND m.connected, FALSE)
GROUP BY a.machine, second, dead;
