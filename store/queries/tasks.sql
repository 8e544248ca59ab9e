-- name: load_tasks -> Task
-- The tasks that a batch names; :keys is a JSON array.
SELECT {columns} FROM tasks
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_task_keys -> Task
-- The tasks that an import knows by its own keys.
SELECT {columns} FROM tasks
WHERE key IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: load_dependents
-- Which tasks wait for the named ones.
SELECT depends_on, task_id FROM task_dependencies
WHERE depends_on IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */)
ORDER BY depends_on, task_id;

-- name: load_dependencies
-- Which tasks the named ones wait for.
SELECT task_id, depends_on FROM task_dependencies
WHERE task_id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */)
ORDER BY task_id, depends_on;

-- name: insert_task <- Task
-- A new task.
INSERT INTO tasks ({columns}) VALUES ({values});

-- name: update_task <- Task
-- What a task may change in its life.
UPDATE tasks SET {changes but id, key, created_at} WHERE id = :id AND version = :expected;

-- name: insert_dependency
-- A task waits for another; saying so twice changes nothing.
INSERT INTO task_dependencies (task_id, depends_on) VALUES (:task_id, :depends_on) ON CONFLICT DO NOTHING;

-- name: insert_comment <- Comment
-- A remark on a task.
INSERT INTO comments ({columns}) VALUES ({values});

-- name: claim_assignable -> Task
-- Take the tasks that want an owner, in the order of assigning: priority, due date, age. Those that found nobody
-- are taken before their next try when :until is ahead of now.
UPDATE tasks SET version = version + 1
WHERE id IN (
    SELECT id FROM tasks WHERE assign_at <= :until
    ORDER BY priority, due_at IS NULL, due_at, created_at, id LIMIT :limit /*pg: FOR UPDATE SKIP LOCKED */
)
RETURNING id, priority, due_at, created_at, {columns};

-- name: next_assign_at
-- When the assigner has to be awake.
SELECT assign_at FROM tasks WHERE assign_at IS NOT NULL ORDER BY assign_at LIMIT 1;

-- name: quarantine_tasks
-- Take a task whose decision throws out of the assigner's column.
UPDATE tasks SET assign_at = NULL, status_why = :reason, version = version + 1
WHERE id = :id AND version = :version AND assign_at IS NOT NULL
RETURNING id, version;

-- name: release_tasks
-- Let the assigner look at the task again.
UPDATE tasks
SET assign_at = CASE WHEN status = 'todo' THEN CAST(:now AS BIGINT) END, version = version + 1
WHERE id = :id
RETURNING id, version;

-- name: list_tasks -> Task
-- A page of tasks; each branch has an index of its own and only one is ever open.
SELECT {columns} FROM tasks
WHERE CAST(:status AS TEXT) IS NULL AND CAST(:agent AS TEXT) IS NULL AND id > :after
UNION ALL
SELECT {columns} FROM tasks
WHERE CAST(:agent AS TEXT) IS NULL AND status = :status AND id > :after
UNION ALL
SELECT {columns} FROM tasks
WHERE agent = (SELECT name FROM agents WHERE name_key = lower(:agent)) AND id > :after
  AND (CAST(:status AS TEXT) IS NULL OR status = :status)
ORDER BY id LIMIT :limit;

-- name: task_comments -> Comment
-- What was said about a task, oldest first.
SELECT {columns} FROM comments WHERE task_id = :task_id ORDER BY id;

-- name: task_steps -> StepRow
-- What became of the policy's steps for a task.
SELECT {s.columns} FROM assignments a JOIN escalation_steps s ON s.assignment_id = a.id
WHERE a.task_id = :task_id
ORDER BY a.id, s.step;

-- name: task_dependencies
-- What a task waits for.
SELECT depends_on FROM task_dependencies WHERE task_id = :task_id ORDER BY depends_on;

-- name: tally_tasks -> Tally
-- How many tasks are in which status.
SELECT status AS name, count(*) AS count FROM tasks GROUP BY status ORDER BY status;
