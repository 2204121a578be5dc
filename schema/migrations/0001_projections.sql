-- Which schema holds a projection's rows, how far each schema has come, and what it had to leave.

CREATE TABLE imewe.projections (
    name text PRIMARY KEY,
    version integer NOT NULL,
    schema text NOT NULL UNIQUE
);
COMMENT ON TABLE imewe.projections IS 'The pointer: readers look here first, in their snapshot.';

CREATE TABLE imewe.positions (
    schema text PRIMARY KEY,
    position bigint NOT NULL
);
COMMENT ON TABLE imewe.positions IS
    'Moved in the transaction that writes the rows; the move fences a second runner.';

CREATE TABLE imewe.parked_keys (
    schema text NOT NULL REFERENCES imewe.positions ON DELETE CASCADE,
    key text NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    skipped bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (schema, key)
);
COMMENT ON TABLE imewe.parked_keys IS
    'Aggregates with an event that could not be folded: stale since position; later events of the aggregate are counted in skipped until the projection is rebuilt.';
