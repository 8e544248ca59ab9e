-- name: load_assignments -> Assignment
-- The leases that a batch names; :keys is a JSON array.
SELECT {columns} FROM assignments
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_leases -> Assignment
-- The open leases of the named agents (lower case); for whoever joins or asks what it owes.
SELECT {a.columns} FROM assignments a
WHERE a.ended_at IS NULL AND a.agent IN (
    SELECT name FROM agents
    WHERE name_key IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */)
)
ORDER BY a.id;

-- name: load_excluded
-- Who gave a task up or lost it, by task and round (records.NOT_AGAIN): nobody gets it back in that round.
SELECT task_id, round, agent FROM assignments
WHERE task_id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */)
  AND end_reason IN ('declined', 'released', 'failed', 'timed_out', 'lost', 'unreachable');

-- name: insert_assignment <- Assignment
-- A new lease; the schema refuses a second open one of the same task.
INSERT INTO assignments ({columns}) VALUES ({values});

-- name: update_assignment <- Assignment
-- What a lease may change in its life: all but its task and its agent.
UPDATE assignments SET {changes but id, task_id, agent} WHERE id = :id AND version = :expected;

-- name: claim_pings -> Assignment
-- Take the pings that are due; the version keeps any other claimer off what this transaction decides.
-- Whoever is paused, or waits for a human, is left in peace: what is due goes out once that is over.
UPDATE assignments SET version = version + 1
WHERE id IN (
    SELECT id FROM assignments
    WHERE ping_at <= :now AND agent NOT IN (SELECT name FROM agents WHERE asking > 0 OR paused)
    ORDER BY ping_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, ping_at, {columns};

-- name: next_ping_at
-- When the pinger has to be awake.
SELECT ping_at FROM assignments
WHERE ping_at IS NOT NULL AND agent NOT IN (SELECT name FROM agents WHERE asking > 0 OR paused)
ORDER BY ping_at LIMIT 1;

-- name: mark_restates
-- The word that was sent last is not the newest: the pinger has to say it again, unless it would say the same.
-- :attempt is that of a ping, else 0; :status and :end_reason are those of a withdrawal, else empty.
UPDATE assignments SET restate_at = :now, version = version + 1
WHERE id = :assignment_id AND NOT CASE
    WHEN attempt > answered_attempt AND status IN ('pending', 'acknowledged') THEN attempt = :attempt
    ELSE status = :status AND COALESCE(end_reason, '') = :end_reason
END;

-- name: claim_restates -> Assignment
-- Take the leases whose newest word has to be said again.
UPDATE assignments SET version = version + 1
WHERE id IN (
    SELECT id FROM assignments WHERE restate_at <= :now ORDER BY restate_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, restate_at, {columns};

-- name: next_restate_at
-- When the pinger has to say something again.
SELECT restate_at FROM assignments WHERE restate_at IS NOT NULL ORDER BY restate_at LIMIT 1;

-- name: claim_deadlines -> Assignment
-- Take the deadlines that are missed, most overdue first. An answer may still be on its way until :until, so only
-- what waits for no answer is taken past it.
UPDATE assignments SET version = version + 1
WHERE id IN (
    SELECT id FROM assignments
    WHERE deadline_at <= :now AND (deadline_at <= :until OR status IN ('waiting', 'snoozed'))
    ORDER BY deadline_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, deadline_at, {columns};

-- name: next_deadline_at
-- When the escalator has to be awake; it may be held back until answers are handled.
SELECT deadline_at FROM assignments WHERE deadline_at IS NOT NULL ORDER BY deadline_at LIMIT 1;

-- name: quarantine_assignments
-- Take a row whose decision throws out of its due columns, so that it stops nobody;
-- not one that changed since it was claimed, nor one that somebody else took out.
UPDATE assignments
SET ping_at = NULL, deadline_at = NULL, restate_at = NULL, quarantined = :reason, version = version + 1
WHERE id = :id AND version = :version
  AND (ping_at IS NOT NULL OR deadline_at IS NOT NULL OR restate_at IS NOT NULL)
RETURNING id, version;

-- name: release_assignments
-- Let both clocks of a quarantined row strike now: the decisions set them anew.
UPDATE assignments
SET quarantined = NULL,
    deadline_at = CASE WHEN ended_at IS NULL THEN CAST(:now AS BIGINT) END,
    ping_at = CASE WHEN ended_at IS NULL AND pings_enabled AND status IN ('pending', 'acknowledged')
        THEN CAST(:now AS BIGINT) END,
    version = version + 1
WHERE id = :id AND quarantined IS NOT NULL
RETURNING id, version;

-- name: task_assignments -> Assignment
-- Who has had a task, newest first.
SELECT {columns} FROM assignments WHERE task_id = :task_id ORDER BY id DESC;

-- name: agent_assignments -> Assignment
-- What an agent holds.
SELECT {columns} FROM assignments WHERE agent = :agent AND ended_at IS NULL ORDER BY id;

-- name: open_assignments -> Assignment
-- Every open lease, a page at a time: ROLLCALL_PINGS is refilled from them.
SELECT {columns} FROM assignments WHERE id > :after AND ended_at IS NULL ORDER BY id LIMIT :limit;

-- name: tally_assignments -> Tally
-- How many open leases are in which status.
SELECT status AS name, count(*) AS count FROM assignments WHERE ended_at IS NULL GROUP BY status ORDER BY status;

-- name: figures -> Figures
-- What somebody has to look at, and how far behind we are.
SELECT (SELECT count(*) FROM assignments WHERE exhausted AND ended_at IS NULL) AS exhausted,
    (SELECT count(*) FROM assignments WHERE quarantined IS NOT NULL AND ended_at IS NULL) AS quarantined,
    (SELECT count(*) FROM outbox) AS outbox,
    (SELECT min(created_at) FROM outbox) AS outbox_at,
    (SELECT min(ping_at) FROM assignments
        WHERE ping_at IS NOT NULL AND agent NOT IN (SELECT name FROM agents WHERE asking > 0 OR paused)
    ) AS ping_at,
    (SELECT min(deadline_at) FROM assignments WHERE deadline_at IS NOT NULL) AS deadline_at;

-- name: task_history -> Assignment
-- A page of who has had a task, newest first; after 0 it begins.
SELECT {columns} FROM assignments
WHERE task_id = :task_id AND (CAST(:after AS BIGINT) = 0 OR id < :after) ORDER BY id DESC LIMIT :limit;
