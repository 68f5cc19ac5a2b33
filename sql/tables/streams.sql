-- streams.sql: what the extension itself remembers about streams.
--
-- These tables are members of the extension, and their rows go into a dump.
-- Columns are only ever added, with defaults, so that old dumps restore.
-- People write `streams` (through functions); the stream workers and the
-- launcher write `stream_states` and `stream_offsets`.  Two tables, so that a
-- session that leaves a transaction open never holds a worker's batch up.

CREATE TABLE fluct.streams (
	name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
	owner text NOT NULL,
	server text NOT NULL,
	topic text NOT NULL CHECK (topic <> ''),
	target text NOT NULL,
	mapping jsonb NOT NULL,
	on_conflict text NOT NULL DEFAULT 'nothing'
		CHECK (on_conflict IN ('nothing', 'error', 'update')),
	start_at text,
	on_bad_message text NOT NULL DEFAULT 'dead_letter'
		CHECK (on_bad_message IN ('dead_letter', 'fail')),
	on_data_loss text NOT NULL DEFAULT 'fail'
		CHECK (on_data_loss IN ('fail', 'skip')),
	max_dead_letters int NOT NULL DEFAULT 1000 CHECK (max_dead_letters >= 0),
	error_window interval NOT NULL DEFAULT '1 hour'
		CHECK (error_window > '0'),
	batch_size int NOT NULL DEFAULT 10000
		CHECK (batch_size BETWEEN 1 AND 100000),
	batch_bytes bigint NOT NULL DEFAULT 8388608
		CHECK (batch_bytes BETWEEN 1024 AND 268435456),
	batch_interval interval NOT NULL DEFAULT '100 ms'
		CHECK (batch_interval BETWEEN '0' AND '1 minute'),
	workers int NOT NULL DEFAULT 1 CHECK (workers BETWEEN 1 AND 64),
	keep_raw boolean NOT NULL DEFAULT true,
	partitions int[],
	enabled boolean NOT NULL DEFAULT false,
	pause_reason text,
	starts int NOT NULL DEFAULT 0,
	version int NOT NULL DEFAULT 1,
	system_identifier text,
	database_oid oid,
	changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	owner_oid oid,
	keyed boolean NOT NULL DEFAULT false,
	framing text NOT NULL DEFAULT 'none' CHECK (framing IN ('none', 'registry')),
	on_tombstone text NOT NULL DEFAULT 'ignore' CHECK (on_tombstone IN ('ignore', 'delete'))
);
COMMENT ON TABLE fluct.streams IS
'A Kafka topic, or several, consumed into tables, a row each: what was asked for. Written by create_stream, alter_stream, start_stream, pause_stream and drop_stream only.';
COMMENT ON COLUMN fluct.streams.name IS 'name of the stream: letters, digits, _ . -, at most 63';
COMMENT ON COLUMN fluct.streams.owner IS 'role that writes the targets, by its name when the stream was created or last started; it, its members and superusers may change the stream';
COMMENT ON COLUMN fluct.streams.server IS 'foreign server of the wrapper fluct_kafka that holds the connection';
COMMENT ON COLUMN fluct.streams.topic IS 'Kafka topic, several with commas between, or a pattern that begins with ^';
COMMENT ON COLUMN fluct.streams.target IS 'qualified name of the table that the messages fill';
COMMENT ON COLUMN fluct.streams.mapping IS 'which field of a message becomes which column';
COMMENT ON COLUMN fluct.streams.on_conflict IS 'a row whose key already exists: nothing (counted as duplicate, its children too), error (dead letter), update';
COMMENT ON COLUMN fluct.streams.start_at IS 'where the first start begins: earliest, latest, a timestamp, a negative interval, or {"partition": offset}; NULL = earliest, or where a dropped stream of this name stood';
COMMENT ON COLUMN fluct.streams.on_bad_message IS 'a message that can never be stored: dead_letter (kept in dead_letters) or fail (the stream stops)';
COMMENT ON COLUMN fluct.streams.on_data_loss IS 'stored offset below the start of Kafka''s log: fail, or skip (the gap is a row in gaps)';
COMMENT ON COLUMN fluct.streams.max_dead_letters IS 'more dead letters than this within error_window fail the stream';
COMMENT ON COLUMN fluct.streams.error_window IS 'window of max_dead_letters';
COMMENT ON COLUMN fluct.streams.batch_size IS 'most messages in one transaction';
COMMENT ON COLUMN fluct.streams.batch_bytes IS 'most bytes of messages in one transaction';
COMMENT ON COLUMN fluct.streams.batch_interval IS 'longest wait of a message for its batch to fill, and shortest time between commits of a worker that has all that Kafka has';
COMMENT ON COLUMN fluct.streams.workers IS 'worker processes that divide the partitions';
COMMENT ON COLUMN fluct.streams.keep_raw IS 'whether each message is also kept as it came in sales.raw_messages';
COMMENT ON COLUMN fluct.streams.partitions IS 'Kafka partitions to consume, of each topic; NULL = all, new ones too; empty = none, until hand_over() gives it some';
COMMENT ON COLUMN fluct.streams.enabled IS 'whether it is to run';
COMMENT ON COLUMN fluct.streams.pause_reason IS 'the words given to pause_stream';
COMMENT ON COLUMN fluct.streams.starts IS 'how often start_stream was called; a failure counts until the next start';
COMMENT ON COLUMN fluct.streams.version IS 'raised by every change; a worker of an older version leaves';
COMMENT ON COLUMN fluct.streams.system_identifier IS 'cluster in which it was created or last started; it runs in no other';
COMMENT ON COLUMN fluct.streams.database_oid IS 'database in which it was created or last started; it runs in no other';
COMMENT ON COLUMN fluct.streams.owner_oid IS 'OID of the owner in the cluster of system_identifier, where it and not the name says who the owner is';
COMMENT ON COLUMN fluct.streams.keyed IS 'whether the target had a unique key, all mapped, when the mapping was set; without it the stream fails as key_missing';
COMMENT ON COLUMN fluct.streams.framing IS 'what stands before the JSON of a message: none, or registry (the schema registry''s prefix: byte 0 and 4 bytes of schema id)';
COMMENT ON COLUMN fluct.streams.on_tombstone IS 'a message without a value: ignore (only counted), or delete (the row with its key, and its rows in children)';
COMMENT ON COLUMN fluct.streams.changed_at IS 'time of the last change';
COMMENT ON COLUMN fluct.streams.created_at IS 'time of create_stream';

CREATE TABLE fluct.dropped_streams (
	name text PRIMARY KEY,
	owner text NOT NULL,
	owner_oid oid,
	system_identifier text,
	dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE fluct.dropped_streams IS
'Names of dropped streams whose offsets, dead letters and gaps are kept for the role that owned them. Written by drop_stream and create_stream only.';
COMMENT ON COLUMN fluct.dropped_streams.name IS 'name of the stream';
COMMENT ON COLUMN fluct.dropped_streams.owner IS 'role that owned it, by its name then';
COMMENT ON COLUMN fluct.dropped_streams.owner_oid IS 'OID of the owner in the cluster of system_identifier, where it and not the name says who the owner is';
COMMENT ON COLUMN fluct.dropped_streams.system_identifier IS 'cluster in which the stream was created or last started';
COMMENT ON COLUMN fluct.dropped_streams.dropped_at IS 'time of drop_stream';

CREATE TABLE fluct.stream_states (
	stream text NOT NULL,
	worker int NOT NULL DEFAULT 0,
	starts int NOT NULL DEFAULT 0,
	state text NOT NULL
		CHECK (state IN ('paused', 'starting', 'running', 'backing_off',
						 'failed')),
	reason text,
	detail text,
	since timestamptz NOT NULL DEFAULT clock_timestamp(),
	failures int NOT NULL DEFAULT 0,
	next_start timestamptz,
	last_error text,
	last_error_at timestamptz,
	about text[],
	PRIMARY KEY (stream, worker)
) WITH (fillfactor = 50);
COMMENT ON TABLE fluct.stream_states IS
'What the worker processes of each stream last said of themselves. stat_streams shows it to people.';
COMMENT ON COLUMN fluct.stream_states.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.stream_states.worker IS 'number of the worker, from 0';
COMMENT ON COLUMN fluct.stream_states.starts IS 'streams.starts when this was written; a row of an earlier start does not count';
COMMENT ON COLUMN fluct.stream_states.state IS 'starting, running, backing_off, failed or paused';
COMMENT ON COLUMN fluct.stream_states.reason IS 'one word for why';
COMMENT ON COLUMN fluct.stream_states.detail IS 'the fact behind the reason';
COMMENT ON COLUMN fluct.stream_states.since IS 'since when';
COMMENT ON COLUMN fluct.stream_states.failures IS 'starts since the last committed batch; counted before each start, so that a crash counts as well';
COMMENT ON COLUMN fluct.stream_states.next_start IS 'no start before this time';
COMMENT ON COLUMN fluct.stream_states.last_error IS 'message of the last error';
COMMENT ON COLUMN fluct.stream_states.last_error_at IS 'time of the last error';
COMMENT ON COLUMN fluct.stream_states.about IS 'what goes into the statement that fixes a failed stream, by reason: column_missing: column and table; message_too_large: partition, the offset after the message, and the topic where there are several; unknown_offset: the same with the end of the log';

CREATE TABLE fluct.stream_offsets (
	stream text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	next_offset bigint NOT NULL CHECK (next_offset >= 0),
	log_start_offset bigint,
	log_end_offset bigint,
	messages bigint NOT NULL DEFAULT 0,
	rows bigint NOT NULL DEFAULT 0,
	duplicates bigint NOT NULL DEFAULT 0,
	dead_letters bigint NOT NULL DEFAULT 0,
	tombstones bigint NOT NULL DEFAULT 0,
	last_message_time timestamptz,
	last_commit timestamptz,
	witness_offset bigint,
	witness_time bigint,
	witness_crc bigint,
	cluster_id text,
	epoch int NOT NULL DEFAULT 1,
	epoch_offset bigint NOT NULL DEFAULT 0,
	epoch_messages bigint NOT NULL DEFAULT 0,
	epoch_duplicates bigint NOT NULL DEFAULT 0,
	epoch_dead_letters bigint NOT NULL DEFAULT 0,
	epoch_tombstones bigint NOT NULL DEFAULT 0,
	stored_with text,
	held_until timestamptz,
	filtered bigint NOT NULL DEFAULT 0,
	epoch_filtered bigint NOT NULL DEFAULT 0,
	retention interval,
	PRIMARY KEY (stream, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE fluct.stream_offsets IS
'Position of each stream in each partition. Moves forward in the transaction that stores the rows, by compare-and-set; rows of a dropped stream stay, so that a new stream of that name can go on there.';
COMMENT ON COLUMN fluct.stream_offsets.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.stream_offsets.topic IS 'Kafka topic';
COMMENT ON COLUMN fluct.stream_offsets.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.stream_offsets.next_offset IS 'offset of the first message that is not yet committed here';
COMMENT ON COLUMN fluct.stream_offsets.log_start_offset IS 'first offset that Kafka still held when last seen';
COMMENT ON COLUMN fluct.stream_offsets.log_end_offset IS 'offset that the next message will get, when last seen';
COMMENT ON COLUMN fluct.stream_offsets.messages IS 'messages committed';
COMMENT ON COLUMN fluct.stream_offsets.rows IS 'rows stored in the targets, children too';
COMMENT ON COLUMN fluct.stream_offsets.duplicates IS 'messages whose key already existed, or that delete what is not there';
COMMENT ON COLUMN fluct.stream_offsets.dead_letters IS 'messages that went to dead_letters';
COMMENT ON COLUMN fluct.stream_offsets.tombstones IS 'messages without a value that deleted nothing';
COMMENT ON COLUMN fluct.stream_offsets.last_message_time IS 'Kafka''s time of the newest message committed';
COMMENT ON COLUMN fluct.stream_offsets.last_commit IS 'time of the last batch';
COMMENT ON COLUMN fluct.stream_offsets.witness_offset IS 'offset of the last message committed: a start reads it again, and another message there means another topic';
COMMENT ON COLUMN fluct.stream_offsets.witness_time IS 'Kafka''s time of that message, milliseconds since 1970; -1 = none';
COMMENT ON COLUMN fluct.stream_offsets.witness_crc IS 'CRC-32C of its key and value';
COMMENT ON COLUMN fluct.stream_offsets.cluster_id IS 'Kafka cluster of the position; NULL = not seen since the position was made or moved by seek_stream';
COMMENT ON COLUMN fluct.stream_offsets.epoch IS 'an epoch is a stretch in which the position only goes forward in one topic; reconcile_stream looks at the present one';
COMMENT ON COLUMN fluct.stream_offsets.epoch_offset IS 'position at which the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.epoch_messages IS 'messages when the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.epoch_duplicates IS 'duplicates when the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.epoch_dead_letters IS 'dead_letters when the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.epoch_tombstones IS 'tombstones when the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.stored_with IS 'hash of the mapping with which a message was stored last; NULL = none since the position began';
COMMENT ON COLUMN fluct.stream_offsets.retention IS 'how long Kafka keeps messages of the topic (retention.ms), as Kafka last answered; NULL = for ever, or not known';
COMMENT ON COLUMN fluct.stream_offsets.filtered IS 'messages that the mapping''s "where" does not mean';
COMMENT ON COLUMN fluct.stream_offsets.epoch_filtered IS 'filtered when the epoch began';
COMMENT ON COLUMN fluct.stream_offsets.held_until IS 'last time at which all that Kafka had in this partition was known to be committed here';

CREATE TABLE fluct.dead_letters (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	"offset" bigint NOT NULL,
	key bytea,
	headers jsonb,
	value bytea,
	message_time timestamptz,
	reason text NOT NULL,
	sqlstate text,
	detail text,
	path text,
	status text NOT NULL DEFAULT 'open'
		CHECK (status IN ('open', 'retried', 'discarded')),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	closed_at timestamptz,
	closed_by text,
	close_reason text,
	retried_value bytea
);
CREATE INDEX dead_letters_open_idx ON fluct.dead_letters (stream, created_at)
	WHERE status = 'open';
CREATE INDEX dead_letters_place_idx ON fluct.dead_letters (stream, topic, partition, "offset");
COMMENT ON TABLE fluct.dead_letters IS
'Messages that can never be stored as they are, with the reason. Written in the transaction that moves the offset past them.';
COMMENT ON COLUMN fluct.dead_letters.id IS 'number, for retry_dead_letters and discard_dead_letters';
COMMENT ON COLUMN fluct.dead_letters.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.dead_letters.topic IS 'Kafka topic';
COMMENT ON COLUMN fluct.dead_letters.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.dead_letters."offset" IS 'Kafka offset';
COMMENT ON COLUMN fluct.dead_letters.key IS 'key of the message, as it came';
COMMENT ON COLUMN fluct.dead_letters.headers IS 'headers of the message: an array of {"key", "value"}, value_base64 where it is not UTF-8';
COMMENT ON COLUMN fluct.dead_letters.value IS 'value of the message, as it came (the first 64 KB where the reason is too_large)';
COMMENT ON COLUMN fluct.dead_letters.message_time IS 'Kafka''s time of the message';
COMMENT ON COLUMN fluct.dead_letters.reason IS 'one word of a fixed list: empty_value, invalid_json, invalid_encoding, nul, not_an_object, duplicate_key, missing_field, null_field, wrong_type, not_finite, out_of_range, bad_timestamp, empty_key, too_long, too_deep, too_large, constraint, trigger';
COMMENT ON COLUMN fluct.dead_letters.sqlstate IS 'SQLSTATE of the refusal';
COMMENT ON COLUMN fluct.dead_letters.detail IS 'what was found';
COMMENT ON COLUMN fluct.dead_letters.path IS 'where in the message, such as $.order_lines[1].volume (elements from 0)';
COMMENT ON COLUMN fluct.dead_letters.status IS 'open, retried (stored later) or discarded';
COMMENT ON COLUMN fluct.dead_letters.created_at IS 'time of the refusal';
COMMENT ON COLUMN fluct.dead_letters.closed_at IS 'time of the retry that stored it, or of the discarding';
COMMENT ON COLUMN fluct.dead_letters.closed_by IS 'role that retried or discarded it';
COMMENT ON COLUMN fluct.dead_letters.close_reason IS 'the words given to discard_dead_letters';
COMMENT ON COLUMN fluct.dead_letters.retried_value IS 'corrected value that was stored in place of the original';

CREATE TABLE fluct.gaps (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	from_offset bigint NOT NULL,
	to_offset bigint NOT NULL,
	reason text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	epoch int NOT NULL DEFAULT 1,
	CHECK (from_offset < to_offset)
);
COMMENT ON TABLE fluct.gaps IS
'Intervals of offsets [from_offset, to_offset) that a stream went past without having them: Kafka had deleted them, or a person skipped them.';
COMMENT ON COLUMN fluct.gaps.id IS 'number';
COMMENT ON COLUMN fluct.gaps.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.gaps.topic IS 'Kafka topic';
COMMENT ON COLUMN fluct.gaps.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.gaps.from_offset IS 'first offset missed';
COMMENT ON COLUMN fluct.gaps.to_offset IS 'first offset after the gap';
COMMENT ON COLUMN fluct.gaps.reason IS 'data_loss (deleted in Kafka) or seek (by seek_stream)';
COMMENT ON COLUMN fluct.gaps.created_at IS 'time at which it was noticed';
COMMENT ON COLUMN fluct.gaps.epoch IS 'epoch of the partition''s position in stream_offsets then';

-- Why a multirange: see src/bookkeeping/skipped.c.
CREATE TABLE fluct.skipped_offsets (
	stream text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	epoch int NOT NULL,
	from_offset bigint NOT NULL,
	to_offset bigint NOT NULL,
	intervals int8multirange NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (stream, topic, partition, epoch, from_offset)
) WITH (fillfactor = 50);
COMMENT ON TABLE fluct.skipped_offsets IS
'Intervals of offsets at which Kafka delivered nothing: markers of transactions, aborted messages, what compaction took away. Written in the transaction that moves the offset past them; reconcile_stream looks there again.';
COMMENT ON COLUMN fluct.skipped_offsets.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.skipped_offsets.topic IS 'Kafka topic';
COMMENT ON COLUMN fluct.skipped_offsets.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.skipped_offsets.epoch IS 'epoch of the partition''s position in stream_offsets';
COMMENT ON COLUMN fluct.skipped_offsets.from_offset IS 'first offset of the first interval';
COMMENT ON COLUMN fluct.skipped_offsets.to_offset IS 'first offset after the last interval';
COMMENT ON COLUMN fluct.skipped_offsets.intervals IS 'the intervals, about a hundred at most';
COMMENT ON COLUMN fluct.skipped_offsets.created_at IS 'time of the first interval';

SELECT pg_catalog.pg_extension_config_dump('fluct.streams', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.dropped_streams', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.stream_states', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.stream_offsets', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.dead_letters_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.gaps', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.gaps_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.skipped_offsets', '');
