-- name: doubt <- Doubt
-- A ping was replaced before the bus was known to have it, or came after what replaced it: asked for from the start.
INSERT INTO doubts ({columns}) VALUES ({values})
ON CONFLICT (assignment_id, attempt) DO UPDATE SET ask_at = excluded.ask_at, asked = 0;

-- name: due_doubts -> Doubt
-- What the mailbox has to be asked about, longest due first; what still waits to be sent will follow it anyway.
SELECT {d.columns} FROM doubts d
WHERE d.ask_at <= :now AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.slot = 'ping:' || d.assignment_id)
ORDER BY d.ask_at LIMIT :limit;

-- name: standing_doubts
-- Which doubts nobody has settled or raised again meanwhile; :keys is a JSON array of [assignment, attempt, ask_at].
SELECT d.assignment_id, d.attempt
FROM /*sqlite: json_each(:keys) AS t *//*pg: json_array_elements(:keys ::json) AS t (value) */
CROSS JOIN doubts d
WHERE d.assignment_id = /*sqlite: t.value ->> 0 *//*pg: (t.value ->> 0)::bigint */
  AND d.attempt = /*sqlite: t.value ->> 1 *//*pg: (t.value ->> 1)::bigint */
  AND d.ask_at = /*sqlite: t.value ->> 2 *//*pg: (t.value ->> 2)::bigint */
/*pg: FOR UPDATE OF d */;

-- name: end_doubt
-- The answer of the mailbox was the last one. It is, once the bus is known to have the ping: it takes none twice.
DELETE FROM doubts
WHERE assignment_id = :assignment_id AND attempt = :attempt AND (
    :last OR EXISTS (
        SELECT 1 FROM pings p
        WHERE p.assignment_id = :assignment_id AND p.attempt = :attempt AND p.published_at IS NOT NULL
    )
);

-- name: ask_again
-- The ping may still be on its way.
UPDATE doubts SET ask_at = :ask_at, asked = asked + 1 WHERE assignment_id = :assignment_id AND attempt = :attempt;
