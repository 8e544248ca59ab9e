-- name: attention_assignments -> AttentionRow
-- The open leases that need somebody, the most pressing first, and since when: as the audit has it, for the row
-- does not keep it.
SELECT chosen.kind, chosen.task_id, chosen.title, chosen.priority, chosen.assignment_id, chosen.agent, chosen.status,
    COALESCE(
        (SELECT max(e.at) FROM audit e WHERE e.aggregate = 'assignment'
            AND e.aggregate_id = CAST(chosen.assignment_id AS TEXT) AND e.event = chosen.event),
        (SELECT min(p.sent_at) FROM pings p
            WHERE p.assignment_id = chosen.assignment_id AND p.attempt > chosen.answered_attempt),
        chosen.assigned_at
    ) AS since,
    chosen.why, chosen.attempt - chosen.answered_attempt AS asked
FROM (
    SELECT flagged.*, t.title, t.priority
    FROM (
        SELECT task_id, id AS assignment_id, agent, status, assigned_at, attempt, answered_attempt,
            CASE
                WHEN quarantined IS NOT NULL THEN 'quarantined'
                WHEN exhausted THEN 'exhausted'
                WHEN wait_kind = 'human' THEN 'human'
                WHEN stalled THEN 'stalled'
                WHEN attempt - answered_attempt > 1 THEN 'silent'
                ELSE 'escalated'
            END AS kind,
            CASE
                WHEN quarantined IS NOT NULL THEN 'quarantined'
                WHEN exhausted THEN 'exhausted'
                WHEN wait_kind = 'human' THEN 'waiting'
                WHEN stalled THEN 'stalled'
                ELSE ''
            END AS event,
            CASE
                WHEN quarantined IS NOT NULL THEN quarantined
                WHEN wait_kind = 'human' THEN COALESCE(wait_reason, wait_who)
                ELSE note
            END AS why
        FROM assignments
        WHERE ended_at IS NULL AND (
            quarantined IS NOT NULL OR exhausted OR stalled OR (status = 'waiting' AND wait_kind = 'human')
            OR (status = 'pending' AND (
                attempt - answered_attempt > 1 OR (level > 0 AND answered_attempt = 0)
            ))
        )
    ) AS flagged
    JOIN tasks t ON t.id = flagged.task_id
    ORDER BY
        CASE flagged.kind
            WHEN 'human' THEN 0 WHEN 'exhausted' THEN 1 WHEN 'quarantined' THEN 2 WHEN 'silent' THEN 3
            WHEN 'escalated' THEN 4 ELSE 5
        END,
        t.priority, flagged.assignment_id
    LIMIT :limit
) AS chosen;

-- name: attention_tasks -> AttentionRow
-- The tasks that have waited for an owner for too long.
SELECT 'unassigned' AS kind, id AS task_id, title, priority, assignment_id, agent, status,
    COALESCE(unassigned_since, created_at) AS since, status_why AS why, 0 AS asked
FROM tasks WHERE status = 'todo' AND alarmed ORDER BY id LIMIT :limit;

-- name: attention_due -> AttentionRow
-- The tasks whose due date has passed.
SELECT 'due' AS kind, id AS task_id, title, priority, assignment_id, agent, status,
    COALESCE(due_at, updated_at) AS since, NULL AS why, 0 AS asked
FROM tasks /*sqlite: INDEXED BY tasks_late */
WHERE due_noticed AND status IN ('todo', 'in_progress') ORDER BY id LIMIT :limit;

-- name: attention_agents -> Agent
-- The dead who are not tombstones yet, and whom no ping reaches: somebody has to revive, mend or replace them.
SELECT {columns} FROM agents
WHERE (status IN ('dead', 'dead_failed_revive') OR unreachable_since IS NOT NULL) AND active AND hidden_at IS NULL
ORDER BY status_since, id LIMIT :limit;
