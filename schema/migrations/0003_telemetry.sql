-- What machines measure. Not a projection of the log: the stream keeps a day of it, this keeps the rest.
-- All times are Unix ms, as the bridges' clocks gave them.

CREATE SCHEMA telemetry;

CREATE TABLE telemetry.ingests (
    stream text PRIMARY KEY,
    sequence bigint NOT NULL
);
COMMENT ON TABLE telemetry.ingests IS
    'How far each stream (its name and when it was made) was taken in: moved in the transaction that writes the rows, so that nothing is taken twice; the move fences a second writer.';

CREATE TABLE telemetry.series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id uuid NOT NULL,
    channel text NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    last double precision,
    UNIQUE (node_id, channel)
) WITH (fillfactor = 70);
COMMENT ON TABLE telemetry.series IS
    'One channel of one machine, with its newest good reading; last is null before there was one.';

CREATE TABLE telemetry.chunks (
    node_id uuid NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    begun bigint NOT NULL,
    ended bigint NOT NULL,
    build_id text NOT NULL,
    series integer[] NOT NULL,
    columns bytea NOT NULL,
    PRIMARY KEY (node_id, epoch, seq, begun)
) PARTITION BY RANGE (begun);
ALTER TABLE telemetry.chunks ALTER COLUMN columns SET STORAGE EXTERNAL;
CREATE INDEX chunks_in_time ON telemetry.chunks (node_id, begun);
COMMENT ON TABLE telemetry.chunks IS
    'One message of readings; a partition for each day. columns: projections/telemetry/chunks.py.';

CREATE TABLE telemetry.seconds (
    series integer NOT NULL,
    at bigint NOT NULL,
    low double precision NOT NULL,
    high double precision NOT NULL,
    total double precision NOT NULL,
    number bigint NOT NULL,
    last double precision NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (series, at)
) PARTITION BY RANGE (at);
CREATE TABLE telemetry.minutes (LIKE telemetry.seconds INCLUDING ALL) PARTITION BY RANGE (at);
COMMENT ON TABLE telemetry.seconds IS 'Roll-ups of 1 s; a partition for each day.';
COMMENT ON TABLE telemetry.minutes IS 'Roll-ups of 1 min; a partition for each month.';

CREATE TABLE telemetry.heads (
    node_id uuid NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    ended bigint NOT NULL,
    PRIMARY KEY (node_id, epoch)
) WITH (fillfactor = 70);
COMMENT ON TABLE telemetry.heads IS
    'The highest number of each start of a bridge: what is above it is new, what is missing below it is a gap.';

CREATE TABLE telemetry.gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id uuid NOT NULL,
    epoch bigint NOT NULL,
    begun bigint NOT NULL,
    ended bigint NOT NULL,
    cause text NOT NULL CHECK (cause IN ('DROPPED', 'MISSING')),
    readings bigint,
    first_seq bigint,
    last_seq bigint
);
CREATE INDEX gaps_in_time ON telemetry.gaps (node_id, begun);
COMMENT ON TABLE telemetry.gaps IS
    'DROPPED: the bridge says how many readings it had to drop. MISSING: messages first_seq to last_seq never came; the row shrinks when one comes late.';

CREATE TABLE telemetry.refused (
    node_id text NOT NULL,
    fault text NOT NULL,
    number bigint NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    sequence bigint NOT NULL,
    detail text NOT NULL,
    sample bytea NOT NULL,
    PRIMARY KEY (node_id, fault)
);
COMMENT ON TABLE telemetry.refused IS
    'Messages that were none, counted by machine and fault, with the beginning of the last one.';

CREATE TABLE telemetry.cold (
    day bigint NOT NULL,
    part integer NOT NULL,
    path text NOT NULL,
    readings bigint NOT NULL,
    chunks bigint NOT NULL,
    bytes bigint NOT NULL,
    digest text NOT NULL,
    nodes uuid[] NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, part)
);
COMMENT ON TABLE telemetry.cold IS
    'Days of readings that were moved to Parquet files; a day has several parts when readings came after the first move. digest: ops/telemetry/digest.py, the same for the chunks and for the file.';
