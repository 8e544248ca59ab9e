-- Schema, continued: who is let in.

-- Who is let in over HTTP. A token itself is kept nowhere: only what tells it from others.
CREATE TABLE tokens (
    name            TEXT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('agent', 'operator', 'admin', 'read_only')),
    agent           TEXT,
    prefix          TEXT NOT NULL,
    digest          /*sqlite: BLOB *//*pg: BYTEA */ NOT NULL,
    created_at      BIGINT NOT NULL, created_by TEXT NOT NULL,
    expires_at      BIGINT NOT NULL, revoked_at BIGINT, last_used_at BIGINT,
    name_key        TEXT PRIMARY KEY,
    CHECK ((role = 'agent') = (agent IS NOT NULL))
);

CREATE INDEX tokens_prefix ON tokens (prefix);

-- Who is let in on the bus: the public half of each key, and for how long it counts.
CREATE TABLE credentials (
    public_key      TEXT PRIMARY KEY,
    holder          TEXT NOT NULL CHECK (holder IN ('agent', 'machine', 'operator', 'admin', 'read_only')),
    name            TEXT NOT NULL,
    created_at      BIGINT NOT NULL, created_by TEXT NOT NULL,
    expires_at      BIGINT NOT NULL, ends_at BIGINT,
    name_key        TEXT NOT NULL
);

CREATE INDEX credentials_name ON credentials (holder, name_key);
CREATE INDEX credentials_ended ON credentials (ends_at) WHERE ends_at IS NOT NULL;
