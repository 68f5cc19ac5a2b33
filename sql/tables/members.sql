-- members.sql: the servers that hold the other partitions of a topic.

CREATE TYPE fluct._member_spend AS (
	industry text,
	starts timestamptz,
	orders bigint,
	amount numeric,
	windows int[]
);
COMMENT ON TYPE fluct._member_spend IS
'orders and their sum of an industry in a window, which its start names; windows: those windows of the baseline, by number from 1, that have orders (NULL in a row of one window)';

CREATE TYPE fluct._answer AS (
	member text,
	missing text,
	shortfall fluct._shortfall,
	oldest timestamptz,
	newest timestamptz,
	offsets jsonb,
	spend fluct._member_spend[],
	links bigint
);
COMMENT ON TYPE fluct._answer IS
'what a member has for a ranking: the sums, whether data is missing there, its oldest and newest order, the positions of its streams, the digest of the customers'' industries; missing: why there is no answer, and all else is NULL';

CREATE TABLE fluct.members (
	name text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 63),
	server text NOT NULL UNIQUE,
	added_by text NOT NULL,
	added timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT pg_catalog.pg_extension_config_dump('fluct.members', '');
COMMENT ON TABLE fluct.members IS
'The servers that hold the orders together, each those of its partitions of the topic. Where there are any, the rankings ask all of them and add up their sums. Written by add_member() and remove_member().';
COMMENT ON COLUMN fluct.members.name IS 'name of the member';
COMMENT ON COLUMN fluct.members.server IS 'foreign server of postgres_fdw that says where it is';
COMMENT ON COLUMN fluct.members.added_by IS 'the role that added it';
COMMENT ON COLUMN fluct.members.added IS 'when';

CREATE TABLE fluct.handovers (
	id uuid DEFAULT gen_random_uuid(),
	stream text,
	partition int NOT NULL,
	to_member text,
	positions jsonb NOT NULL,
	begun_by text NOT NULL,
	begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	taken_at timestamptz,
	PRIMARY KEY (id, stream)
);
CREATE INDEX handovers_partition_idx ON fluct.handovers (stream, partition, begun_at);
SELECT pg_catalog.pg_extension_config_dump('fluct.handovers', '');
COMMENT ON TABLE fluct.handovers IS
'Partitions that went from this member to another by hand_over(), or came from another. Written by hand_over() only; kept, since the id of a hand-over is how a second attempt is known.';
COMMENT ON COLUMN fluct.handovers.id IS 'the same at both members';
COMMENT ON COLUMN fluct.handovers.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.handovers.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.handovers.to_member IS 'the member that it goes to; NULL = it came to this one';
COMMENT ON COLUMN fluct.handovers.positions IS 'the position in each topic, as in stream_offsets';
COMMENT ON COLUMN fluct.handovers.begun_by IS 'role that called hand_over(), or whose rights the other member had here';
COMMENT ON COLUMN fluct.handovers.begun_at IS 'when the partition was given away, or came';
COMMENT ON COLUMN fluct.handovers.taken_at IS 'when the other member was known to have it; NULL = not yet';
