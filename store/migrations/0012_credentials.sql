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
