-- name: sequences
-- The last ids drawn; nobody else draws while this transaction holds the file. (PostgreSQL draws blocks instead.)
/*sqlite: SELECT name, seq FROM sqlite_sequence *//*pg: SELECT sequencename, last_value FROM pg_sequences */;

-- name: get_meta
-- What the store knows about itself.
SELECT key, value FROM meta;

-- name: life
-- What a look has to know about the store, in one row: when its latest change was, and what `get_meta` tells.
SELECT
    (SELECT at FROM audit ORDER BY seq DESC LIMIT 1),
    (SELECT value FROM meta WHERE key = 'incarnation'),
    (SELECT value FROM meta WHERE key = 'answers_until'),
    (SELECT value FROM meta WHERE key = 'frozen');

-- name: incarnation
-- Which life of the store this is.
SELECT value FROM meta WHERE key = 'incarnation';

-- name: set_meta
-- Write down something about the store itself.
INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: end_refill
-- The stream of events is whole again.
DELETE FROM meta WHERE key IN ('refill_after', 'refill_until');

-- name: load_commands -> CommandRow
-- The answers given before; :keys is a JSON array of [actor, command id].
SELECT {c.columns} FROM /*sqlite: json_each(:keys) AS t *//*pg: json_array_elements(:keys ::json) AS t (value) */
CROSS JOIN commands c WHERE c.actor = t.value ->> 0 AND c.command_id = t.value ->> 1;

-- name: insert_command <- CommandRow
-- The answer that a repeated command will get.
INSERT INTO commands ({columns}) VALUES ({values});

-- name: forget_commands
-- Answers that nobody asks for again.
DELETE FROM commands
WHERE (actor, command_id) IN (
    SELECT actor, command_id FROM commands WHERE created_at < :before ORDER BY created_at LIMIT :limit
);

-- name: insert_audit <- AuditRow
-- One change.
INSERT INTO audit ({columns}) VALUES ({values});

-- name: audit_page -> AuditRow
-- The event log from a number on: ROLLCALL_EVENTS is refilled from it.
SELECT {columns} FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: audit_about -> AuditRow
-- A page of the changes of one thing, of one kind of things, or of all; only one branch is ever open.
SELECT {columns} FROM audit
WHERE CAST(:id AS TEXT) IS NULL AND seq > :after
  AND (CAST(:aggregate AS TEXT) IS NULL OR aggregate = :aggregate)
UNION ALL
SELECT {columns} FROM audit WHERE aggregate = :aggregate AND aggregate_id = :id AND seq > :after
ORDER BY seq LIMIT :limit;

-- name: last_audit
-- The number of the latest change, and when it was.
SELECT seq, at FROM audit ORDER BY seq DESC LIMIT 1;

-- name: audit_of -> AuditRow
-- The history of one thing.
SELECT {columns} FROM audit
WHERE aggregate = :aggregate AND aggregate_id = :id AND seq > :after
ORDER BY seq LIMIT :limit;

-- name: forget_audit
-- The oldest changes, whatever is open: a log without gaps. It looks at no more rows than it may delete.
DELETE FROM audit
WHERE seq IN (
    SELECT seq FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT :limit) AS oldest WHERE at < :before
);

-- name: forget_notices
-- The oldest notices about leases that ended; it looks at no notice behind the first that is young.
DELETE FROM notices
WHERE id IN (
    SELECT n.id FROM notices n
    WHERE n.id < coalesce(
        (SELECT id FROM notices AS oldest WHERE at >= :before ORDER BY id LIMIT 1), 9223372036854775807
    )
      AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.id = n.assignment_id AND a.ended_at IS NULL)
    ORDER BY n.id LIMIT :limit
);

-- name: newest_stamps
-- When anybody last had a live bus, when anybody last lived, and whether somebody has seen this server before.
SELECT (SELECT max(bus_ok_at) FROM processes) AS bus_ok_at,
    (SELECT max(alive_at) FROM processes) AS alive_at,
    EXISTS (SELECT 1 FROM processes WHERE server = :server) AS same;

-- name: clamp_stamps
-- Stamps from before the clock stepped back: left in the future they would hide every outage until then.
UPDATE processes
SET alive_at = CASE WHEN alive_at > CAST(:now AS BIGINT) THEN CAST(:now AS BIGINT) ELSE alive_at END,
    bus_ok_at = CASE WHEN bus_ok_at > CAST(:now AS BIGINT) THEN CAST(:now AS BIGINT) ELSE bus_ok_at END
WHERE alive_at > :now;

-- name: forget_servers
-- A restored store knows no answer that was given since: nobody can be said to have had the time.
UPDATE processes SET server = NULL;

-- name: stamp_process
-- This process lives, and maybe has a live bus.
INSERT INTO processes (id, service, started_at, alive_at, bus_ok_at, server)
VALUES (:id, :service, :now, :now, :bus_ok_at, :server)
ON CONFLICT (id) DO UPDATE SET service = excluded.service, alive_at = excluded.alive_at,
    bus_ok_at = COALESCE(excluded.bus_ok_at, processes.bus_ok_at),
    server = COALESCE(excluded.server, processes.server);

-- name: note_vitals
-- How the services of a process are: also of one without a bus, whose stamp would say too much.
UPDATE processes SET vitals_at = :now, vitals = :vitals WHERE id = :id;

-- name: list_processes -> Process
-- Who runs.
SELECT {columns} FROM processes ORDER BY id;

-- name: due -> Due
-- The oldest instants that are still to be served: what is late, whoever should have done it.
SELECT (SELECT min(ping_at) FROM assignments WHERE ping_at IS NOT NULL) AS ping_at,
    (SELECT min(deadline_at) FROM assignments WHERE deadline_at IS NOT NULL) AS deadline_at,
    (SELECT min(created_at) FROM outbox) AS outbox_at;

-- name: list_alarms -> Alarm
-- What is wrong with the house, as somebody has said.
SELECT {columns} FROM alarms ORDER BY since, name;

-- name: raise_alarm <- Alarm
-- Something is wrong.
INSERT INTO alarms ({columns}) VALUES ({values});

-- name: end_alarm
-- It is mended.
DELETE FROM alarms WHERE name = :name;

-- name: forget_processes
-- Processes that are long gone; the newest stamp of all stays, for it tells the next one how long the bus was down.
DELETE FROM processes
WHERE id IN (
    SELECT id FROM processes
    WHERE alive_at < :before
      AND (bus_ok_at IS NULL OR bus_ok_at < (SELECT max(bus_ok_at) FROM processes))
    ORDER BY alive_at LIMIT :limit
);

-- name: insert_hold
-- A stretch in which nobody could answer; of two that begin together the longer one stands.
INSERT INTO holds (start_at, end_at) VALUES (:start_at, :end_at)
ON CONFLICT (start_at) DO UPDATE SET end_at = excluded.end_at WHERE excluded.end_at > holds.end_at;

-- name: list_holds -> Hold
-- The stretches that count against nobody.
SELECT {columns} FROM holds ORDER BY start_at;

-- name: forget_holds
-- Stretches that no clock remembers.
DELETE FROM holds WHERE start_at IN (SELECT start_at FROM holds WHERE end_at < :before ORDER BY start_at LIMIT :limit);
