-- name: list_assignments -> Assignment
-- A page of assignments; only one branch is ever open. The open ones are found by the index that holds no
-- others: every task has a number above 0.
SELECT {columns} FROM assignments
WHERE CAST(:all AS BOOLEAN) AND id > :after
  AND (CAST(:agent AS TEXT) IS NULL OR agent = (SELECT name FROM agents WHERE name_key = lower(:agent)))
  AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (NOT CAST(:exhausted AS BOOLEAN) OR exhausted)
UNION ALL
SELECT {columns} FROM assignments
WHERE NOT CAST(:all AS BOOLEAN) AND CAST(:agent AS TEXT) IS NULL AND id > :after
  AND id IN (SELECT a.id FROM assignments a WHERE a.ended_at IS NULL AND a.task_id > 0)
  AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (NOT CAST(:exhausted AS BOOLEAN) OR exhausted)
UNION ALL
SELECT {columns} FROM assignments
WHERE NOT CAST(:all AS BOOLEAN) AND ended_at IS NULL AND id > :after
  AND agent = (SELECT name FROM agents WHERE name_key = lower(:agent))
  AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (NOT CAST(:exhausted AS BOOLEAN) OR exhausted)
ORDER BY id LIMIT :limit;

-- name: list_comments -> CommentLine
-- A page of comments, oldest first: of a task, or of all.
SELECT {columns} FROM comments WHERE CAST(:task_id AS BIGINT) IS NULL AND id > :after
UNION ALL
SELECT {columns} FROM comments WHERE task_id = :task_id AND id > :after
ORDER BY id LIMIT :limit;

-- name: list_notices -> NoticeLine
-- A page of notices, oldest first: to an agent, or to all.
SELECT {columns} FROM notices WHERE CAST(:agent AS TEXT) IS NULL AND id > :after
UNION ALL
SELECT {columns} FROM notices
WHERE agent = (SELECT name FROM agents WHERE name_key = lower(:agent)) AND id > :after
ORDER BY id LIMIT :limit;

-- name: list_escalations -> EscalationLine
-- A page of escalations: all, or those that run and those that ended since an instant.
SELECT {e.columns but title, agent, assignment_id}, t.title, t.agent, t.assignment_id
FROM escalations e JOIN tasks t ON t.id = e.task_id
WHERE CAST(:all AS BOOLEAN) AND e.id > :after
UNION ALL
SELECT {e.columns but title, agent, assignment_id}, t.title, t.agent, t.assignment_id
FROM escalations e JOIN tasks t ON t.id = e.task_id
WHERE NOT CAST(:all AS BOOLEAN) AND e.ended_at IS NULL AND e.id > :after
UNION ALL
SELECT {e.columns but title, agent, assignment_id}, t.title, t.agent, t.assignment_id
FROM escalations e JOIN tasks t ON t.id = e.task_id
WHERE NOT CAST(:all AS BOOLEAN) AND e.id > :after
    AND e.id IN (SELECT x.id FROM escalations x WHERE x.ended_at >= CAST(:ended_since AS BIGINT))
ORDER BY 1 LIMIT :limit;

-- name: escalation_numbered -> EscalationLine
-- An escalation by its number.
SELECT {e.columns but title, agent, assignment_id}, t.title, t.agent, t.assignment_id
FROM escalations e JOIN tasks t ON t.id = e.task_id
WHERE e.id = :id;

-- name: escalation_steps -> StepRow
-- What became of the steps of an escalation, in the order of its assignments.
SELECT {s.columns} FROM escalations e
JOIN assignments a ON a.task_id = e.task_id AND a.round = e.round
JOIN escalation_steps s ON s.assignment_id = a.id
WHERE e.id = :id
ORDER BY a.id, s.step;
