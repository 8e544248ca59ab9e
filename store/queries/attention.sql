-- name: attention_assignments -> AttentionRow
-- The open leases that need somebody, and since when: as the audit has it, for the row does not keep it.
SELECT flagged.kind, flagged.task_id, t.title, t.priority, flagged.assignment_id, flagged.agent, flagged.status,
    COALESCE(
        (SELECT max(e.at) FROM audit e WHERE e.aggregate = 'assignment'
            AND e.aggregate_id = CAST(flagged.assignment_id AS TEXT) AND e.event = flagged.event),
        (SELECT min(p.sent_at) FROM pings p
            WHERE p.assignment_id = flagged.assignment_id AND p.attempt > flagged.answered_attempt),
        flagged.assigned_at
    ) AS since,
    flagged.why, flagged.attempt - flagged.answered_attempt AS asked
FROM (
    SELECT task_id, id AS assignment_id, agent, status, assigned_at, attempt, answered_attempt,
        CASE
            WHEN quarantined IS NOT NULL THEN 'quarantined'
            WHEN exhausted THEN 'exhausted'
            WHEN wait_kind = 'human' THEN 'human'
            WHEN stalled THEN 'stalled'
            ELSE 'silent'
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
        OR (status = 'pending' AND attempt - answered_attempt > 1)
    )
) AS flagged
JOIN tasks t ON t.id = flagged.task_id
ORDER BY t.priority, flagged.assignment_id LIMIT :limit;

-- name: attention_tasks -> AttentionRow
-- The tasks that have waited for an owner for too long.
SELECT 'unassigned' AS kind, id AS task_id, title, priority, assignment_id, agent, status,
    COALESCE(unassigned_since, created_at) AS since, status_why AS why, 0 AS asked
FROM tasks WHERE status = 'todo' AND alarmed ORDER BY id LIMIT :limit;
