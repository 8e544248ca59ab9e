-- Schema, continued: the store and the processes themselves.

-- incarnation, answers_until, and the checksum of each migration.
CREATE TABLE meta (
    key             TEXT PRIMARY KEY,
    value           TEXT NOT NULL
);

CREATE TABLE processes (
    id              TEXT PRIMARY KEY,
    service         TEXT NOT NULL,
    started_at      BIGINT NOT NULL,
    alive_at        BIGINT NOT NULL,
    bus_ok_at       BIGINT,
    server          TEXT,
    vitals_at       BIGINT,
    vitals          /*sqlite: BLOB *//*pg: BYTEA */
);

CREATE INDEX processes_alive_at ON processes (alive_at);
CREATE INDEX processes_bus_ok_at ON processes (bus_ok_at);
CREATE INDEX processes_server ON processes (server);

CREATE TABLE holds (
    start_at        BIGINT PRIMARY KEY,
    end_at          BIGINT NOT NULL,
    CHECK (end_at > start_at)
);

-- What is wrong with the house itself, one row for each thing for as long as it is.
CREATE TABLE alarms (
    name            TEXT PRIMARY KEY,
    since           BIGINT NOT NULL,
    detail          TEXT NOT NULL,
    fix             TEXT NOT NULL
);
