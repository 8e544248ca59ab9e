-- name: load_slots
-- Which of the slots hold a row already, so that its version goes on; :keys is a JSON array.
SELECT slot, id, version, assignment_id, attempt, subject, message_id FROM outbox
WHERE slot IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */)
/*pg: FOR UPDATE */;

-- name: insert_post <- Post
-- What the bus has to get.
INSERT INTO outbox ({columns}) VALUES ({values});

-- name: update_post <- Post
-- A slot's newer content; whoever confirms the older version deletes nothing.
UPDATE outbox SET {changes but id, slot} WHERE id = :id AND version = :expected;

-- name: delete_post <- Post
-- The bus has confirmed exactly this version.
DELETE FROM outbox WHERE id = :id AND version = :version;

-- name: unsent -> Post
-- What nobody has published in time, oldest first.
SELECT {columns} FROM outbox WHERE created_at < :older_than ORDER BY created_at, id LIMIT :limit;

-- name: standing_posts
-- The versions of posts that still stand; :keys is a JSON array of ids.
SELECT id, version FROM outbox
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);
