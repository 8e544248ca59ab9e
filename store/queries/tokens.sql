-- name: put_token <- TokenRow
-- A token as it is from now on; its name, role and digest stay.
INSERT INTO tokens ({columns}, name_key) VALUES ({values}, lower(:name))
ON CONFLICT (name_key) DO UPDATE SET revoked_at = excluded.revoked_at, last_used_at = excluded.last_used_at;

-- name: token_named -> TokenRow
-- The token of a name, whatever the case.
SELECT {columns} FROM tokens WHERE name_key = lower(:name);

-- name: token_found -> TokenRow
-- Those tokens that begin so: nearly always one.
SELECT {columns} FROM tokens WHERE prefix = :prefix LIMIT 8;

-- name: list_tokens -> TokenRow
-- A page of tokens by name: those that were not revoked, or all.
SELECT {columns} FROM tokens
WHERE name_key > lower(:after) AND (CAST(:all AS BOOLEAN) OR revoked_at IS NULL) ORDER BY name_key LIMIT :limit;

-- name: tokens_of_agent -> TokenRow
-- The tokens of an agent that were not revoked.
SELECT {columns} FROM tokens WHERE lower(agent) = lower(:agent) AND revoked_at IS NULL;

-- name: forget_tokens
-- Tokens, links and sessions that have let in nobody for long; the audit keeps that they were.
DELETE FROM tokens WHERE name_key IN (
    SELECT name_key FROM tokens WHERE expires_at < :before ORDER BY expires_at LIMIT :limit
);
