-- Each process says how its services are; and what is wrong with the house stands in one row each.
ALTER TABLE processes ADD COLUMN vitals_at BIGINT;
ALTER TABLE processes ADD COLUMN vitals /*sqlite: BLOB *//*pg: BYTEA */;

CREATE TABLE alarms (
    name            TEXT PRIMARY KEY,
    since           BIGINT NOT NULL,
    detail          TEXT NOT NULL,
    fix             TEXT NOT NULL
);
