-- name: insert_reminder <- Reminder
-- A new reminder.
INSERT INTO reminders ({columns}) VALUES ({values});

-- name: update_reminder <- Reminder
-- It has fired, or has ended.
UPDATE reminders SET {changes but id, text, agent, task_id, every_us, created_at, created_by}
WHERE id = :id AND version = :version - 1;

-- name: due_reminder -> DueReminder
-- A reminder by its number, and where its task stands.
SELECT {r.columns but task_status, holder, assignment_id}, t.status, t.agent, t.assignment_id
FROM reminders r LEFT JOIN tasks t ON t.id = r.task_id
WHERE r.id = :id;

-- name: claim_reminders -> Reminder
-- Take the reminders whose time has come.
UPDATE reminders SET version = version + 1
WHERE id IN (SELECT id FROM reminders WHERE due_at <= :now ORDER BY due_at LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */)
RETURNING id, due_at, {columns};

-- name: next_reminder_at
-- When the assigner has to be awake for a reminder.
SELECT due_at FROM reminders WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- name: quarantine_reminders
-- Take a reminder whose decision throws out of the assigner's column.
UPDATE reminders SET due_at = NULL, version = version + 1
WHERE id = :id AND version = :version AND due_at IS NOT NULL
RETURNING id, version;

-- name: release_reminders
-- Let the assigner look at the reminder again.
UPDATE reminders SET due_at = CASE WHEN ended_at IS NULL THEN CAST(:now AS BIGINT) END, version = version + 1
WHERE id = :id
RETURNING id, version;

-- name: count_reminders
-- How many reminders are still to come.
SELECT count(*) FROM reminders WHERE due_at IS NOT NULL;

-- name: task_reminders -> Reminder
-- The reminders about a task that are still to come.
SELECT {columns} FROM reminders WHERE task_id = :task_id AND ended_at IS NULL ORDER BY id;

-- name: list_reminders -> Reminder
-- A page of reminders: those still to come, or all. A time is never below 0.
SELECT {columns} FROM reminders
WHERE id > :after
  AND (CAST(:all AS BOOLEAN) OR id IN (SELECT r.id FROM reminders r WHERE r.due_at > -1))
  AND (CAST(:agent AS TEXT) IS NULL OR agent = (SELECT name FROM agents WHERE name_key = lower(:agent)))
  AND (CAST(:task AS BIGINT) IS NULL OR task_id = :task)
ORDER BY id LIMIT :limit;

-- name: forget_reminders
-- Reminders that ended long ago.
DELETE FROM reminders WHERE id IN (
    SELECT id FROM reminders WHERE ended_at < :before ORDER BY ended_at LIMIT :limit
);
