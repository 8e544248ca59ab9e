-- name: newest_rulebook -> RulebookRow
-- The rules that count.
SELECT {columns} FROM rulebooks ORDER BY version DESC LIMIT 1;

-- name: rulebook_of -> RulebookRow
-- The rules as they were.
SELECT {columns} FROM rulebooks WHERE version = :version;

-- name: insert_rulebook <- RulebookRow
-- The rules from now on.
INSERT INTO rulebooks ({columns}) VALUES ({values});

-- name: insert_intake <- IntakeRow
-- What was said.
INSERT INTO intake ({columns}, name_key) VALUES ({values}, lower(:name));

-- name: intake_pace -> IntakePace
-- When the oldest of so many was that may come in a minute or an hour; nothing, while there were fewer.
SELECT (SELECT at FROM intake WHERE name_key = lower(:name) ORDER BY id DESC LIMIT 1 OFFSET :said) AS said_at,
    (SELECT at FROM intake WHERE name_key = lower(:name) AND task_id IS NOT NULL
        ORDER BY id DESC LIMIT 1 OFFSET :made) AS made_at,
    (SELECT at FROM intake WHERE task_id IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET :made_by_all) AS made_by_all_at,
    (SELECT at FROM intake WHERE name_key = lower(:name) AND outcome = 'capped' ORDER BY id DESC LIMIT 1) AS capped_at;

-- name: intake_made -> MadeRow
-- The open tasks that were made of the same thing, or of what this sender said, newest first.
SELECT i.id, i.at, i.same, i.task_id, i.name_key = lower(:name) AS own
FROM (
    SELECT * FROM (
        SELECT id FROM intake WHERE same IN (:text, :sender, :channel) AND outcome = 'created'
        ORDER BY id DESC LIMIT 200
    ) AS same
    UNION
    SELECT * FROM (
        SELECT id FROM intake WHERE name_key = lower(:name) AND task_id IS NOT NULL AND outcome = 'created'
        ORDER BY id DESC LIMIT 200
    ) AS own
) AS found
JOIN intake i ON i.id = found.id JOIN tasks t ON t.id = i.task_id
WHERE t.status IN ('todo', 'in_progress')
ORDER BY i.id DESC LIMIT 50;

-- name: list_intake -> IntakeRow
-- A page of what was said, newest first; only one branch is ever open.
SELECT * FROM (
    SELECT {columns} FROM intake
    WHERE CAST(:outcome AS TEXT) IS NULL AND (:after = 0 OR id < :after)
    ORDER BY id DESC LIMIT :limit
) AS every
UNION ALL
SELECT * FROM (
    SELECT {columns} FROM intake
    WHERE outcome = :outcome AND (:after = 0 OR id < :after)
    ORDER BY id DESC LIMIT :limit
) AS some;

-- name: forget_intake
-- The oldest of what was said; it looks at no more rows than it may delete.
DELETE FROM intake
WHERE id IN (
    SELECT id FROM (SELECT id, at FROM intake ORDER BY id LIMIT :limit) AS oldest WHERE at < :before
);
