-- name: insert_ping <- PingRow
-- One ping of the history; an attempt is made once.
INSERT INTO pings ({columns}) VALUES ({values});

-- name: ping_published
-- The bus has it.
UPDATE pings SET published_at = :now
WHERE assignment_id = :assignment_id AND attempt = :attempt AND published_at IS NULL;

-- name: published_pings
-- Which of the pings the bus was known to have; :keys is a JSON array of [assignment, attempt].
SELECT p.assignment_id, p.attempt
FROM /*sqlite: json_each(:keys) AS t *//*pg: json_array_elements(:keys ::json) AS t (value) */
CROSS JOIN pings p
WHERE p.assignment_id = /*sqlite: t.value ->> 0 *//*pg: (t.value ->> 0)::bigint */
  AND p.attempt = /*sqlite: t.value ->> 1 *//*pg: (t.value ->> 1)::bigint */ AND p.published_at IS NOT NULL;

-- name: task_pings -> PingRow
-- The newest pings of a task, whoever held it.
SELECT {p.columns} FROM assignments a JOIN pings p ON p.assignment_id = a.id
WHERE a.task_id = :task_id ORDER BY p.sent_at DESC, p.attempt DESC LIMIT 100;

-- name: assignment_pings -> PingRow
-- The pings of a lease, oldest first.
SELECT {columns} FROM pings WHERE assignment_id = :assignment_id ORDER BY attempt;

-- name: forget_pings
-- Old pings of leases that ended, a piece at a time.
DELETE FROM pings
WHERE (assignment_id, attempt) IN (
    SELECT p.assignment_id, p.attempt FROM pings p
    WHERE p.sent_at < :before AND NOT EXISTS (
        SELECT 1 FROM assignments a WHERE a.id = p.assignment_id AND a.ended_at IS NULL
    )
    ORDER BY p.sent_at LIMIT :limit
);

-- name: repeat_unsent_pings
-- After a restore: whoever's ping still waits for the bus is pinged anew, under the new incarnation.
UPDATE assignments SET ping_at = :now, version = version + 1
WHERE id IN (SELECT assignment_id FROM outbox WHERE stream = 'PINGS' AND attempt IS NOT NULL)
  AND ended_at IS NULL AND pings_enabled AND status IN ('pending', 'acknowledged');

-- name: forget_unsent_pings
-- After a restore: what names the old incarnation would be answered in vain.
DELETE FROM outbox WHERE stream = 'PINGS';

-- name: forget_answers_until
-- After a restore: the answers on this bus are not those that were handled.
DELETE FROM meta WHERE key = 'answers_until';
