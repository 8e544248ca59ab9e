-- name: insert_todo <- Todo
-- A new thing on a checklist.
INSERT INTO todos ({columns}) VALUES ({values});

-- name: update_todo <- Todo
-- What of a todo may change.
UPDATE todos SET {changes but id, task_id, created_at, created_by} WHERE id = :id AND version = :version - 1;

-- name: delete_todo <- Todo
-- It is no longer on the list; the history of its task keeps that it was.
DELETE FROM todos WHERE id = :id AND version = :version;

-- name: task_todos -> Todo
-- The checklist of a task, in its order.
SELECT {columns} FROM todos WHERE task_id = :task_id ORDER BY position;

-- name: assignment_todos -> Todo
-- The checklist of the task that an assignment is about.
SELECT {t.columns} FROM assignments a JOIN todos t ON t.task_id = a.task_id
WHERE a.id = :assignment_id
ORDER BY t.position;

-- name: insert_phase <- Phase
-- A new phase of a task.
INSERT INTO phases ({columns}) VALUES ({values});

-- name: update_phase <- Phase
-- What of a phase may change.
UPDATE phases SET {changes but id, task_id, created_at, created_by} WHERE id = :id AND version = :version - 1;

-- name: task_phases -> Phase
-- The phases of a task, in their order.
SELECT {columns} FROM phases WHERE task_id = :task_id ORDER BY position;

-- name: assignment_phases -> Phase
-- The phases of the task that an assignment is about.
SELECT {p.columns} FROM assignments a JOIN phases p ON p.task_id = a.task_id
WHERE a.id = :assignment_id
ORDER BY p.position;
