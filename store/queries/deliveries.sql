-- name: webhook_endpoints
-- Which agents are told over HTTP, by name as Python orders them: the pinger looks them up for each ping.
SELECT name, endpoint_url FROM agents WHERE endpoint_url IS NOT NULL ORDER BY name /*pg: COLLATE "C" */;

-- name: insert_delivery <- Delivery
-- A ping that has to be sent over HTTP.
INSERT INTO deliveries ({columns}) VALUES ({values});

-- name: update_delivery <- Delivery
-- What became of it.
UPDATE deliveries SET {changes but id, assignment_id, attempt, agent, incarnation, sent_at}
WHERE id = :id AND version = :version - 1;

-- name: claim_deliveries -> Delivery
-- Take what is due, of each agent the one that is due longest, and none while another is on its way there.
UPDATE deliveries SET version = version + 1
WHERE id IN (
    SELECT d.id FROM deliveries d
    WHERE d.next_at <= :now AND NOT EXISTS (
        SELECT 1 FROM deliveries o
        WHERE o.agent = d.agent AND o.next_at IS NOT NULL
          AND (o.leased_until > :now OR (o.next_at, o.id) < (d.next_at, d.id))
    )
    ORDER BY d.next_at LIMIT :limit /*pg: FOR UPDATE OF d SKIP LOCKED */
)
RETURNING id, next_at, {columns};

-- name: next_delivery_at
-- When the courier has to be awake.
SELECT next_at FROM deliveries WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1;

-- name: due_delivery -> DueDelivery
-- A delivery with all that it says.
SELECT {d.columns but task_id, title, accept_us, lease, newest, answered, beats, present_url, key, previous, previous_until},
    a.task_id, t.title, a.accept_us, a.status AS lease, a.attempt AS newest, a.answered_attempt AS answered,
    g.beats, g.endpoint_url AS present_url, k.key, k.previous, k.previous_until
FROM deliveries d
JOIN assignments a ON a.id = d.assignment_id
JOIN tasks t ON t.id = a.task_id
JOIN agents g ON g.name = d.agent
LEFT JOIN webhook_keys k ON k.agent = d.agent
WHERE d.id = :id;

-- name: failed_tries
-- How often in a row the pings of a lease could not be delivered, but for the try that is being judged.
SELECT COALESCE(sum(tries), 0) - 1 FROM deliveries
WHERE assignment_id = :assignment AND attempt > COALESCE(
    (SELECT max(attempt) FROM deliveries WHERE assignment_id = :assignment AND delivered_at IS NOT NULL), 0
);

-- name: list_deliveries -> Delivery
-- A page of deliveries, newest first; after 0 it begins.
SELECT {columns} FROM deliveries
WHERE (CAST(:after AS BIGINT) = 0 OR id < :after)
  AND (CAST(:agent AS TEXT) IS NULL OR lower(agent) = lower(:agent))
  AND (CAST(:assignment AS BIGINT) IS NULL OR assignment_id = :assignment)
  AND (CAST(:state AS TEXT) IS NULL OR state = :state)
ORDER BY id DESC LIMIT :limit;

-- name: quarantine_deliveries
-- Take a delivery whose decision throws out of the due ones, unless it changed since it was claimed.
UPDATE deliveries SET next_at = NULL, quarantined = :reason, version = version + 1
WHERE id = :id AND version = :version AND next_at IS NOT NULL
RETURNING id, version;

-- name: release_deliveries
-- Try a quarantined delivery again.
UPDATE deliveries SET next_at = :now, quarantined = NULL, version = version + 1
WHERE id = :id AND quarantined IS NOT NULL
RETURNING id, version;

-- name: forget_deliveries
-- Old deliveries that are over, a piece at a time.
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE sent_at < :before AND next_at IS NULL ORDER BY sent_at LIMIT :limit
);

-- name: put_webhook_keys <- WebhookKeys
-- With what an agent's pings are signed from now on.
INSERT INTO webhook_keys ({columns}) VALUES ({values})
ON CONFLICT (agent) DO UPDATE SET key = excluded.key, previous = excluded.previous,
    previous_until = excluded.previous_until, rotated_at = excluded.rotated_at,
    rotated_by = excluded.rotated_by, version = excluded.version
WHERE webhook_keys.version = excluded.version - 1;

-- name: webhook_keys_of -> WebhookKeys
-- The keys of an agent, whatever the case of its name.
SELECT {k.columns} FROM agents g JOIN webhook_keys k ON k.agent = g.name WHERE g.name_key = lower(:agent);
