-- Schemas beside the one in use: candidates, the one before, and what is done to them.

ALTER TABLE imewe.positions ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN imewe.positions.epoch IS
    'Counts what was done past the runners (a switch, a retry): a runner that has not heard of it is fenced.';

ALTER TABLE imewe.projections ADD COLUMN refused integer;
COMMENT ON COLUMN imewe.projections.refused IS
    'The version that somebody rolled back from: it does not come again by itself.';

CREATE TABLE imewe.builds (
    schema text PRIMARY KEY REFERENCES imewe.positions ON DELETE CASCADE,
    name text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('BUILDING', 'BUILT', 'LIVE', 'PREVIOUS', 'FAILED')),
    unattended boolean NOT NULL,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    events bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT ''
);
COMMENT ON TABLE imewe.builds IS
    'Every schema of a projection. BUILDING: filled from the log, by the runner itself when unattended; BUILT: a candidate, kept up to date; PREVIOUS: kept up to date for a rollback.';
INSERT INTO imewe.builds (schema, name, version, state, unattended, started_by)
    SELECT schema, name, version, 'LIVE', true, 'service/projections' FROM imewe.projections;

CREATE TABLE imewe.operations (
    name text PRIMARY KEY,
    verb text NOT NULL,
    started_by text NOT NULL,
    state text NOT NULL CHECK (state IN ('RUNNING', 'DONE', 'FAILED')),
    phase text NOT NULL DEFAULT '',
    done bigint NOT NULL DEFAULT 0,
    goal bigint NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    result jsonb,
    error jsonb
);
COMMENT ON TABLE imewe.operations IS 'What is being done to each projection, or was done last.';

CREATE TABLE imewe.comparisons (
    name text PRIMARY KEY,
    live text NOT NULL,
    candidate text NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    tables jsonb NOT NULL
);
COMMENT ON TABLE imewe.comparisons IS
    'The last diff of each projection: counts by table, both schemas at one position.';

CREATE TABLE imewe.differences (
    name text NOT NULL REFERENCES imewe.comparisons ON DELETE CASCADE,
    of text NOT NULL,
    number bigint NOT NULL,
    key jsonb NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (name, of, number)
);
COMMENT ON TABLE imewe.differences IS
    'Rows that differ, by table in the order of their keys; the first of them, where there are many.';
