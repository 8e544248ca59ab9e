-- name: load_agents -> Agent
-- The agents that a batch names, in lower case; :keys is a JSON array.
SELECT {columns} FROM agents
WHERE name_key IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_agent_ids -> Agent
-- The agents that a claim has taken.
SELECT {columns} FROM agents
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_candidates -> Agent
-- Whoever could take work. A main agent is always among them: it may hold more than it should when nobody else can.
SELECT {columns} FROM agents WHERE active AND (leases < capacity OR kind = 'main_agent') ORDER BY name_key;

-- name: insert_agent <- Agent
-- A new agent; its name is unique whatever the case.
INSERT INTO agents ({columns}, name_key) VALUES ({values}, lower(:name));

-- name: update_agent <- Agent
-- What an agent may change; never its name, which its leases carry.
UPDATE agents SET {changes but id, name, created_at} WHERE id = :id AND version = :expected;

-- name: claim_silent -> Agent
-- Take the agents whose beats were missed, as far as all that was heard is written and all answers are handled.
UPDATE agents SET version = version + 1
WHERE id IN (
    SELECT id FROM agents
    WHERE silent_at <= :heard_until AND silent_at <= :until AND beat_interval_us * :misses + :heard_since <= :heard_until
    ORDER BY silent_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, silent_at, {columns};

-- name: next_silent_at
-- When the monitor has to be awake.
SELECT silent_at FROM agents WHERE silent_at IS NOT NULL ORDER BY silent_at LIMIT 1;

-- name: quarantine_agents
-- Take an agent whose decision throws out of the monitor's column.
UPDATE agents SET silent_at = NULL, status_why = :reason, version = version + 1
WHERE id = :id AND version = :version AND silent_at IS NOT NULL
RETURNING name, version;

-- name: release_agents
-- Let the monitor look at the agent again, unless it has left: silence says nothing about it then.
UPDATE agents
SET silent_at = CASE
        WHEN joined_at IS NOT NULL AND beats = 'required' AND (left_at IS NULL OR dead_at IS NOT NULL) THEN CAST(:now AS BIGINT)
    END,
    version = version + 1
WHERE id = :id
RETURNING name, version;

-- name: list_agents -> Agent
-- The active agents that are no tombstones, or all, by name.
SELECT {columns} FROM agents WHERE (active AND hidden_at IS NULL) OR :all ORDER BY name_key;

-- name: active_names
-- Who is active and not revoked, by name: each of them has a door.
SELECT name FROM agents WHERE active AND revoked_at IS NULL ORDER BY name_key LIMIT :limit;

-- name: tally_agents -> Tally
-- How many active agents are in which status.
SELECT status AS name, count(*) AS count FROM agents WHERE active AND hidden_at IS NULL GROUP BY status ORDER BY status;

-- name: list_dead -> Agent
-- The dead who are not tombstones yet: somebody has to revive or replace them.
SELECT {columns} FROM agents
WHERE status IN ('dead', 'dead_failed_revive') AND active AND hidden_at IS NULL
ORDER BY status_since, id LIMIT 20;

-- name: insert_notice <- NoticeRow
-- What an agent is told without having asked.
INSERT INTO notices ({columns}) VALUES ({values});

-- name: agent_notices -> NoticeRow
-- The latest notices about what an agent still holds, or about nothing it could hold (0), oldest first; the
-- notices of ended leases are history.
SELECT {columns} FROM (
    SELECT n.id AS number, {n.columns} FROM notices n
    WHERE n.agent = (SELECT name FROM agents WHERE name_key = lower(:agent)) AND (n.assignment_id = 0 OR EXISTS (
        SELECT 1 FROM assignments a WHERE a.id = n.assignment_id AND a.ended_at IS NULL
    ))
    ORDER BY n.id DESC LIMIT 100
) AS latest
ORDER BY number;

-- name: main_agents
-- Whether there is a main agent already, whatever its name.
SELECT name FROM agents WHERE kind = 'main_agent';
