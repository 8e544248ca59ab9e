-- name: holding -> Holding
-- Every condition that holds now and that people want to know of. Its key stays while it turns into a worse kind of
-- itself; since when it holds is what `attention_*` says of it.
SELECT lease.kind || ':' || lease.ref AS key, lease.kind AS kind, lease.task_id AS task_id, lease.agent AS subject,
    lease.why AS why, lease.asked AS asked,
    COALESCE(
        (SELECT n.at FROM notifications n
            WHERE n.key = lease.kind || ':' || lease.ref AND NOT n.over AND n.ended_at IS NULL), -- known already
        (SELECT max(e.at) FROM audit e WHERE e.aggregate = 'assignment'
            AND e.aggregate_id = CAST(lease.id AS TEXT) AND e.event = lease.event),
        lease.assigned_at
    ) AS since
FROM (
    SELECT 'exhausted' AS kind, task_id AS ref, 'exhausted' AS event, id, task_id, agent, '' AS why,
        attempt - answered_attempt AS asked, assigned_at
    FROM assignments WHERE exhausted AND ended_at IS NULL
    UNION ALL
    SELECT 'quarantined', task_id, 'quarantined', id, task_id, agent, quarantined, 0, assigned_at
    FROM assignments WHERE quarantined IS NOT NULL AND ended_at IS NULL
    UNION ALL
    SELECT 'human', id, 'waiting', id, task_id, agent, COALESCE(wait_reason, wait_who, ''), 0, assigned_at
    FROM assignments WHERE wait_kind = 'human' AND status = 'waiting'
) AS lease
UNION ALL
SELECT 'unowned:' || id, 'unassigned', id, '', status_why, 0, COALESCE(unassigned_since, created_at)
FROM tasks /*sqlite: INDEXED BY tasks_alarmed */ WHERE alarmed AND status = 'todo'
UNION ALL
SELECT 'unowned:' || id, 'draft', id, '', status_why, 0, created_at
FROM tasks /*sqlite: INDEXED BY tasks_held_back */
WHERE status = 'todo' AND assign_at IS NULL AND blockers = 0 AND NOT alarmed
UNION ALL
SELECT 'due:' || id, 'due', id, COALESCE(agent, ''), '', 0, COALESCE(due_at, updated_at)
FROM tasks /*sqlite: INDEXED BY tasks_late */ WHERE due_noticed AND status IN ('todo', 'in_progress')
UNION ALL
SELECT 'unreachable:' || name, 'unreachable', NULL, name, '', 0, unreachable_since
FROM agents WHERE unreachable_since IS NOT NULL AND hidden_at IS NULL AND active
UNION ALL
SELECT 'told:' || a.id || ':' || s.step, 'told', e.task_id, s.target, 'a step of the policy turns to ' || s.target, 0, s.at
FROM escalations e
CROSS JOIN assignments a -- in this order: of what is over there is much more
CROSS JOIN escalation_steps s
WHERE e.ended_at IS NULL AND e.taken <> 0 AND e.steps LIKE '%notify%' AND a.task_id = e.task_id AND a.round = e.round AND s.assignment_id = a.id
    AND s.kind = 'notify' AND s.outcome = 'taken'
    AND NOT EXISTS (SELECT 1 FROM agents g WHERE g.name_key = lower(s.target))
UNION ALL
SELECT 'dead:' || name, CASE WHEN status = 'dead_failed_revive' THEN 'unrecoverable' ELSE 'dead' END, NULL, name,
    COALESCE(dead_why, status_why), 0, status_since
FROM agents /*sqlite: INDEXED BY agents_dead */
WHERE status IN ('dead', 'dead_failed_revive') AND hidden_at IS NULL AND active
UNION ALL
SELECT 'brake:' || id, 'brake', NULL, scope, '', 0, began_at FROM brakes WHERE ended_at IS NULL
UNION ALL
SELECT 'alarm:' || name, 'alarm', NULL, name, detail, 0, since FROM alarms
UNION ALL
SELECT 'flood:' || name_key, 'flood', NULL, max(name), max(reason), 0, min(at) FROM intake
WHERE outcome = 'capped' AND at > :recent AND id > (SELECT COALESCE(max(id), 0) - 5000 FROM intake)
GROUP BY name_key
UNION ALL
SELECT 'channel:' || way, 'channel', NULL, way, why, 0, CAST(:now AS BIGINT) FROM notify_ways
WHERE tries >= 3 AND next_at > :tried; -- what nobody tries any more was taken out of the configuration

-- name: failing_ways -> NotificationRow
-- The ways in which people cannot be told now.
SELECT {columns} FROM notifications WHERE kind = 'channel' AND NOT over AND ended_at IS NULL ORDER BY id;

-- name: open_notifications -> NotificationRow
-- The conditions that people were told of and that are not over.
SELECT {columns} FROM notifications WHERE NOT over AND ended_at IS NULL;

-- name: insert_notification <- NotificationRow
-- Something began, or is over.
INSERT INTO notifications ({columns}) VALUES ({values});

-- name: end_notification <- NotificationRow
-- The condition is over.
UPDATE notifications SET ended_at = :ended_at WHERE id = :id;

-- name: news_of -> NotificationRow
-- What people were not told in this way yet: what holds still, and the end of what they were told of.
SELECT {n.columns} FROM notifications n
WHERE n.id > COALESCE((SELECT told FROM notify_ways WHERE way = :way), 0)
    AND ((NOT n.over AND n.ended_at IS NULL)
        OR (n.over AND n.of <= COALESCE((SELECT told FROM notify_ways WHERE way = :way), 0)))
ORDER BY n.id LIMIT :limit;

-- name: list_notifications -> NotificationRow
-- A page of what people were told, newest first; after 0 it begins.
SELECT {columns} FROM notifications
WHERE (CAST(:after AS BIGINT) = 0 OR id < :after) AND (NOT :open OR (NOT over AND ended_at IS NULL))
ORDER BY id DESC LIMIT :limit;

-- name: tally_notifications -> NotificationTally
-- The list at a glance, for one reader.
SELECT COALESCE((SELECT max(id) FROM notifications), 0) AS newest,
    (SELECT count(*) FROM notifications WHERE NOT over AND ended_at IS NULL) AS open,
    (SELECT count(*) FROM notifications WHERE NOT over AND ended_at IS NULL AND id > COALESCE(
        (SELECT seen FROM notify_readers WHERE name_key = lower(:name)), 0)) AS unread;

-- name: put_reader <- ReaderRow
-- Somebody has read so far.
INSERT INTO notify_readers ({columns}, name_key) VALUES ({values}, lower(:name))
ON CONFLICT (name_key) DO UPDATE SET seen = excluded.seen;

-- name: notify_way -> WayRow
-- How far people were told in this way.
SELECT {columns} FROM notify_ways WHERE way = :way;

-- name: put_way <- WayRow
-- How far people are told in this way by now.
INSERT INTO notify_ways ({columns}) VALUES ({values})
ON CONFLICT (way) DO UPDATE SET told = excluded.told, sent = excluded.sent, leased_until = excluded.leased_until,
    next_at = excluded.next_at, tries = excluded.tries, why = excluded.why;

-- name: insert_send <- SendRow
-- A message was sent, or could not be.
INSERT INTO notify_sends ({columns}) VALUES ({values});

-- name: list_sends -> SendRow
-- What was sent last, newest first.
SELECT {columns} FROM notify_sends ORDER BY id DESC LIMIT :limit;

-- name: forget_notifications
-- The oldest that are over; it looks at no more rows than it may delete.
DELETE FROM notifications
WHERE id IN (
    SELECT id FROM (SELECT id, ended_at FROM notifications ORDER BY id LIMIT :limit) AS oldest
    WHERE ended_at < :before
);

-- name: forget_sends
-- The oldest messages.
DELETE FROM notify_sends
WHERE id IN (
    SELECT id FROM (SELECT id, at FROM notify_sends ORDER BY id LIMIT :limit) AS oldest WHERE at < :before
);
