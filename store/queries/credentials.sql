-- name: put_credential <- CredentialRow
-- A credential as it is from now on; only its end moves.
INSERT INTO credentials ({columns}, name_key) VALUES ({values}, lower(:name))
ON CONFLICT (public_key) DO UPDATE SET ends_at = excluded.ends_at;

-- name: credentials_of -> CredentialRow
-- All credentials of a holder, whatever the case of the name.
SELECT {columns} FROM credentials WHERE holder = :holder AND name_key = lower(:name);

-- name: people_named -> CredentialRow
-- The credentials of people under a name, whatever the case.
SELECT {columns} FROM credentials
WHERE holder IN ('operator', 'admin', 'read_only') AND name_key = lower(:name);

-- name: credential_keyed -> CredentialRow
-- The credential of a key.
SELECT {columns} FROM credentials WHERE public_key = :public_key;

-- name: ended_credentials -> CredentialRow
-- What would still be let in if the server were not told that it has ended.
SELECT {columns} FROM credentials WHERE ends_at <= :now AND expires_at > :now ORDER BY public_key;

-- name: list_credentials -> CredentialRow
-- A page of credentials, by whom they are of.
SELECT {columns} FROM credentials
WHERE (holder, name_key, public_key) > (:holder, lower(:name), :public_key)
ORDER BY holder, name_key, public_key LIMIT :limit;

-- name: forget_credentials
-- Keys that no server would let in any more, revoked or not.
DELETE FROM credentials WHERE public_key IN (
    SELECT public_key FROM credentials WHERE expires_at < :before ORDER BY expires_at LIMIT :limit
);
