-- views.sql: how the streams are doing, without asking a broker.

CREATE OR REPLACE FUNCTION fluct._live(
	OUT stream text, OUT worker int, OUT pid int, OUT state text, OUT reason text,
	OUT detail text, OUT since timestamptz, OUT held_at timestamptz,
	OUT lag bigint, OUT rate bigint)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_live';
COMMENT ON FUNCTION fluct._live() IS
'The stream workers of this database that run now, from shared memory. held_at: when the worker last knew that it had committed all that Kafka had; lag in messages, rate in messages a second over the last 10 s or more.';

CREATE OR REPLACE VIEW fluct.stat_partitions AS
SELECT o.stream, fluct._printable(o.topic) AS topic, o.partition, o.next_offset AS current_offset, o.log_end_offset,
	greatest(o.log_end_offset - o.next_offset, 0) AS lag,
	o.log_start_offset, o.last_commit, o.retention,
	least(o.retention, justify_hours(date_trunc('second', o.retention - (clock_timestamp() - greatest(o.last_message_time, o.held_until))))) AS headroom,
	o.filtered
FROM fluct.stream_offsets o
JOIN fluct.streams s ON s.name = o.stream AND fluct._consumes(s.topic, o.topic) AND (o.partition = ANY (s.partitions)) IS NOT FALSE
ORDER BY o.stream, o.topic, o.partition;
COMMENT ON VIEW fluct.stat_partitions IS
'Position of each stream in each partition that it consumes; the log''s ends as the stream last saw them.';
COMMENT ON COLUMN fluct.stat_partitions.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.stat_partitions.topic IS 'Kafka topic';
COMMENT ON COLUMN fluct.stat_partitions.partition IS 'Kafka partition';
COMMENT ON COLUMN fluct.stat_partitions.current_offset IS 'offset of the first message that is not yet committed here';
COMMENT ON COLUMN fluct.stat_partitions.log_end_offset IS 'offset that the next message will get, when last seen';
COMMENT ON COLUMN fluct.stat_partitions.lag IS 'messages in Kafka that are not committed here, when last seen (transaction markers count)';
COMMENT ON COLUMN fluct.stat_partitions.log_start_offset IS 'first offset that Kafka still held when last seen';
COMMENT ON COLUMN fluct.stat_partitions.last_commit IS 'time of the last batch with this partition';
COMMENT ON COLUMN fluct.stat_partitions.filtered IS 'messages that the mapping''s "where" does not mean';
COMMENT ON COLUMN fluct.stat_partitions.retention IS 'how long Kafka keeps messages (retention.ms), as the worker was last told; NULL = for ever, or not known';
COMMENT ON COLUMN fluct.stat_partitions.headroom IS 'how long it takes at least until Kafka deletes a message that is not committed here; below 0, it may have done so. By the time of the last message committed, or the last moment at which all was. A limit by size (retention.bytes) is not counted';

-- A stream's state: what people asked for comes first, then what a process
-- that runs says, then what one last said.  On a standby no process runs, and
-- what one last said was of the primary: it is not a state of this server.
CREATE OR REPLACE VIEW fluct._stream_state AS
SELECT s.name AS stream,
	CASE WHEN idle.true THEN 'paused'
		 WHEN failed.state IS NOT NULL THEN 'failed'
		 WHEN halted.reason IS NOT NULL THEN 'paused'
		 ELSE coalesce(dying.state, live.state, said.state, 'starting') END AS state,
	CASE WHEN away.true THEN 'restored_elsewhere'
		 WHEN idle.true THEN fluct._printable(s.pause_reason)
		 WHEN failed.state IS NOT NULL THEN failed.reason
		 WHEN halted.reason IS NOT NULL THEN halted.reason
		 WHEN dying.state IS NOT NULL THEN 'error'
		 WHEN blocked.by IS NOT NULL THEN 'waiting_for_lock'
		 WHEN live.state IS NOT NULL THEN live.reason
		 WHEN said.state IS NOT NULL THEN said.reason END AS reason,
	CASE WHEN away.true THEN 'last started in another cluster or database; start_stream goes on here'
		 WHEN idle.true THEN NULL
		 WHEN failed.state IS NOT NULL THEN failed.detail
		 WHEN halted.reason IS NOT NULL THEN halted.detail
		 WHEN dying.state IS NOT NULL THEN dying.detail
		 WHEN blocked.by IS NOT NULL THEN blocked.by
		 WHEN live.state IS NOT NULL THEN live.detail
		 ELSE said.detail END AS detail,
	CASE WHEN idle.true THEN s.changed_at
		 ELSE coalesce(failed.since, halted.since, dying.since, live.since, said.since, s.changed_at) END AS since,
	live.lag, live.rate, live.pids, live.held_at, failed.about
FROM fluct.streams s
CROSS JOIN LATERAL (
	SELECT s.starts > 0 AND (s.system_identifier, s.database_oid) IS DISTINCT FROM
		((SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c),
		 (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())) AS "true") away
LEFT JOIN LATERAL (
	-- a stream that would run, on a server that runs none: what keeps it longer
	SELECT h.reason, h.detail, h.since
	FROM (VALUES
		(1, current_setting('fluct.enabled', true) = 'off', 'switched_off', pg_conf_load_time(),
		 'fluct.enabled is off'),
		(2, pg_is_in_recovery(), 'in_recovery', pg_postmaster_start_time(),
		 'a standby, or not yet at its recovery target; goes on by itself when this server is promoted'),
		(3, fluct._launch_obstacle() IS NOT NULL, fluct._launch_obstacle(), pg_conf_load_time(),
		 CASE fluct._launch_obstacle() WHEN 'not_preloaded' THEN 'fluct is not in shared_preload_libraries'
			  ELSE format('fluct.database is "%s", and this database is not in that list',
						  current_setting('fluct.database', true)) END)
		) AS h(n, "true", reason, since, detail)
	WHERE h."true" ORDER BY h.n LIMIT 1) halted ON true
LEFT JOIN LATERAL (
	SELECT st.state, st.reason, st.detail, st.since, st.about
	FROM fluct.stream_states st
	WHERE st.stream = s.name AND st.starts = s.starts AND st.state = 'failed'
	ORDER BY st.since LIMIT 1) failed ON true
CROSS JOIN LATERAL (
	-- what a session's run_stream met counts until somebody changes the stream
	SELECT away.true OR NOT s.enabled AND (failed.since > s.changed_at) IS NOT TRUE AS "true") idle
LEFT JOIN LATERAL (
	-- the worker that is worst off speaks for the stream
	SELECT (array_agg(l.state ORDER BY l.state <> 'backing_off', l.state <> 'starting', l.reason))[1] AS state,
		(array_agg(l.reason ORDER BY l.state <> 'backing_off', l.state <> 'starting', l.reason))[1] AS reason,
		(array_agg(l.detail ORDER BY l.state <> 'backing_off', l.state <> 'starting', l.reason))[1] AS detail,
		max(l.since) AS since, sum(l.lag)::bigint AS lag, sum(l.rate)::bigint AS rate,
		array_agg(l.pid) FILTER (WHERE l.pid IS NOT NULL) AS pids,
		CASE WHEN count(l.held_at) = s.workers THEN min(l.held_at) END AS held_at
	FROM fluct._live() l WHERE l.stream = s.name HAVING count(*) > 0) live ON true
LEFT JOIN LATERAL (
	-- a worker that ends again and again, and could not say why
	SELECT 'backing_off' AS state, st.since,
		format('its worker has ended by itself %s times without storing a batch; the server''s log says why', st.failures) AS detail
	FROM fluct.stream_states st
	WHERE st.stream = s.name AND st.starts = s.starts AND st.state IN ('starting', 'running') AND st.reason IS NULL
		AND st.failures >= 4 AND st.next_start > clock_timestamp() AND st.since >= pg_postmaster_start_time()
		AND NOT EXISTS (SELECT FROM fluct._live() l WHERE l.stream = st.stream AND l.worker = st.worker)
	ORDER BY st.failures DESC LIMIT 1) dying ON true
LEFT JOIN LATERAL (
	SELECT 'blocked by ' || string_agg(DISTINCT CASE b.pid WHEN 0 THEN 'a prepared transaction' ELSE 'pid ' || b.pid END, ', ') AS by
	FROM unnest(live.pids) AS w(pid), unnest(pg_blocking_pids(w.pid)) AS b(pid)) blocked ON true
LEFT JOIN LATERAL (
	-- a start that waits for a lock says so, as a batch would
	SELECT CASE st.state WHEN 'running' THEN 'starting' ELSE st.state END AS state, st.reason, st.detail, st.since
	FROM fluct.stream_states st
	WHERE st.stream = s.name AND st.starts = s.starts AND (st.state <> 'running' OR st.reason = 'waiting_for_lock')
	ORDER BY st.since DESC LIMIT 1) said ON true;
COMMENT ON VIEW fluct._stream_state IS 'State of each stream, from what was asked for, what its workers say and what they last said.';

CREATE OR REPLACE VIEW fluct.freshness AS
SELECT v.stream, until.data_until,
	CASE WHEN until.data_until IS NOT NULL
		THEN greatest(date_trunc('second', clock_timestamp() - until.data_until), '0') END AS behind,
	v.state
FROM fluct._stream_state v
JOIN fluct.streams s ON s.name = v.stream
LEFT JOIN LATERAL (
	-- of the partitions that lag, or of all where that is not known; a worker looks
	-- at least every two seconds; without any partition nothing is missing
	SELECT CASE WHEN s.partitions = '{}' OR v.state = 'running' AND v.reason IS NULL AND v.lag = 0
			AND v.held_at > clock_timestamp() - interval '5 s' THEN clock_timestamp()
		ELSE greatest(v.held_at, coalesce(
			min(greatest(o.last_message_time, o.held_until)) FILTER (WHERE o.log_end_offset > o.next_offset),
			min(greatest(o.last_message_time, o.held_until)))) END AS data_until
	FROM fluct.stream_offsets o
	WHERE o.stream = v.stream AND fluct._consumes(s.topic, o.topic) AND (o.partition = ANY (s.partitions)) IS NOT FALSE
	) until ON true
ORDER BY v.stream;
COMMENT ON VIEW fluct.freshness IS
'Up to when each stream''s data is whole: the later of Kafka''s time of the messages up to which all are committed, and of the last moment at which the worker knew that all that Kafka had was committed.';
COMMENT ON COLUMN fluct.freshness.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.freshness.data_until IS 'every message up to this time is committed (of no partition all are); NULL if nothing is known';
COMMENT ON COLUMN fluct.freshness.behind IS 'how long ago that is';
COMMENT ON COLUMN fluct.freshness.state IS 'state of the stream';

CREATE OR REPLACE VIEW fluct.stat_streams AS
SELECT v.stream, v.state, v.reason,
	coalesce(v.lag, sums.lag) AS lag, f.behind,
	v.rate, sums.messages, sums.duplicates, sums.dead_letters,
	v.since, fluct._printable(v.detail) AS detail, sums.rows, sums.partitions, sums.last_commit,
	fluct._printable(errors.last_error) AS last_error, errors.last_error_at, sums.tombstones, sums.filtered,
	s.owner, s.server, fluct._printable(s.topic) AS topic, s.target, s.workers, v.pids
FROM fluct._stream_state v
JOIN fluct.streams s ON s.name = v.stream
JOIN fluct.freshness f ON f.stream = v.stream
CROSS JOIN LATERAL (
	SELECT (sum(greatest(o.log_end_offset - o.next_offset, 0)) FILTER (WHERE o.consumed))::bigint AS lag,
		coalesce(sum(o.messages), 0)::bigint AS messages,
		coalesce(sum(o.duplicates), 0)::bigint AS duplicates,
		coalesce(sum(o.dead_letters), 0)::bigint AS dead_letters,
		coalesce(sum(o.tombstones), 0)::bigint AS tombstones, coalesce(sum(o.filtered), 0)::bigint AS filtered,
		coalesce(sum(o.rows), 0)::bigint AS rows,
		count(*) FILTER (WHERE o.consumed) AS partitions, max(o.last_commit) AS last_commit
	FROM (SELECT p.*, fluct._consumes(s.topic, p.topic) AND (p.partition = ANY (s.partitions)) IS NOT FALSE AS consumed
		  FROM fluct.stream_offsets p WHERE p.stream = v.stream) o) sums
LEFT JOIN LATERAL (
	SELECT st.last_error, st.last_error_at FROM fluct.stream_states st
	WHERE st.stream = v.stream AND st.last_error IS NOT NULL
	ORDER BY st.last_error_at DESC LIMIT 1) errors ON true
ORDER BY v.stream;
COMMENT ON VIEW fluct.stat_streams IS
'One row a stream: how it is and what it has done. No broker is asked; lag is as the worker last saw it.';
COMMENT ON COLUMN fluct.stat_streams.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.stat_streams.state IS 'paused, starting, running, backing_off (tried again by itself) or failed (start_stream goes on)';
COMMENT ON COLUMN fluct.stat_streams.reason IS 'one word for why; the README lists them';
COMMENT ON COLUMN fluct.stat_streams.lag IS 'messages in Kafka that are not committed here';
COMMENT ON COLUMN fluct.stat_streams.behind IS 'age of the time up to which the data is whole';
COMMENT ON COLUMN fluct.stat_streams.rate IS 'messages committed a second, over the last 10 s or more';
COMMENT ON COLUMN fluct.stat_streams.messages IS 'messages committed';
COMMENT ON COLUMN fluct.stat_streams.duplicates IS 'messages whose key already existed, or that delete what is not there';
COMMENT ON COLUMN fluct.stat_streams.dead_letters IS 'messages that went to dead_letters, closed ones too';
COMMENT ON COLUMN fluct.stat_streams.since IS 'since when it is in this state';
COMMENT ON COLUMN fluct.stat_streams.detail IS 'the fact behind the reason';
COMMENT ON COLUMN fluct.stat_streams.rows IS 'rows stored in the targets, children too';
COMMENT ON COLUMN fluct.stat_streams.partitions IS 'partitions that it consumes';
COMMENT ON COLUMN fluct.stat_streams.tombstones IS 'messages without a value that deleted nothing';
COMMENT ON COLUMN fluct.stat_streams.filtered IS 'messages that the mapping''s "where" does not mean, not stored';
COMMENT ON COLUMN fluct.stat_streams.last_commit IS 'time of the last batch';
COMMENT ON COLUMN fluct.stat_streams.last_error IS 'message of the last error';
COMMENT ON COLUMN fluct.stat_streams.last_error_at IS 'time of the last error';
COMMENT ON COLUMN fluct.stat_streams.owner IS 'role that writes the targets';
COMMENT ON COLUMN fluct.stat_streams.server IS 'foreign server that holds the connection';
COMMENT ON COLUMN fluct.stat_streams.topic IS 'Kafka topic, several with commas between, or a pattern that begins with ^';
COMMENT ON COLUMN fluct.stat_streams.target IS 'table that the messages fill';
COMMENT ON COLUMN fluct.stat_streams.workers IS 'worker processes that divide the partitions';
COMMENT ON COLUMN fluct.stat_streams.pids IS 'process ids of those that run now';

CREATE OR REPLACE FUNCTION fluct._batches_kept(OUT committed_at timestamptz, OUT stream text, OUT worker int,
	OUT messages bigint, OUT rows bigint, OUT duplicates bigint, OUT dead_letters bigint, OUT bytes bigint, OUT ms bigint,
	OUT ended text, OUT partitions int, OUT offsets text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_batches_kept';
COMMENT ON FUNCTION fluct._batches_kept() IS
'The last batches of this database''s streams, from shared memory, the newest first.';

CREATE OR REPLACE FUNCTION fluct._batches() RETURNS TABLE (committed_at timestamptz, stream text, worker int,
	messages bigint, rows bigint, duplicates bigint, dead_letters bigint, bytes bigint, ms bigint, ended text, partitions int, offsets text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	IF NOT fluct._preloaded() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'batches are kept only when fluct is preloaded',
			DETAIL = 'fluct is not in shared_preload_libraries.',
			HINT = E'Put these lines in postgresql.conf and restart the server:\n' || fluct._preload_lines();
	END IF;
	RETURN QUERY SELECT * FROM fluct._batches_kept();
END
$$;
COMMENT ON FUNCTION fluct._batches() IS
'The rows of batches; raises object_not_in_prerequisite_state, with the postgresql.conf lines that are missing, where fluct is not preloaded.';

CREATE OR REPLACE VIEW fluct.batches AS SELECT * FROM fluct._batches();
COMMENT ON VIEW fluct.batches IS
'This database''s last thousand batches, of the last 4,096 of all databases, the newest first; empty after a start of the server. An error unless fluct is preloaded.';
COMMENT ON COLUMN fluct.batches.committed_at IS 'time of the commit';
COMMENT ON COLUMN fluct.batches.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.batches.worker IS 'number of its worker, from 0';
COMMENT ON COLUMN fluct.batches.messages IS 'messages';
COMMENT ON COLUMN fluct.batches.rows IS 'rows stored in the targets, children too';
COMMENT ON COLUMN fluct.batches.duplicates IS 'messages whose key already existed';
COMMENT ON COLUMN fluct.batches.dead_letters IS 'messages that went to dead_letters';
COMMENT ON COLUMN fluct.batches.bytes IS 'of the messages, with keys and headers';
COMMENT ON COLUMN fluct.batches.ms IS 'milliseconds from the beginning of the transaction to its commit';
COMMENT ON COLUMN fluct.batches.ended IS 'what ended it: batch_size, batch_bytes or batch_interval (as create_stream sets them; also that all of Kafka''s messages were in hand), row_bytes (the rows made of the messages came to 64 MB), markers (offsets without messages)';
COMMENT ON COLUMN fluct.batches.partitions IS 'partitions whose position moved';
COMMENT ON COLUMN fluct.batches.offsets IS 'of the first eight of these, {"partition": [from, to]} (text, may be cast to jsonb): offsets from <= offset < to; of a stream of several topics {"topic": {"partition": [from, to]}}, as far as they take 500 bytes';

CREATE OR REPLACE VIEW fluct.open_dead_letters AS
SELECT d.id, format('%s[%s]@%s', fluct._printable(d.topic), d.partition, d."offset") AS at,
	d.reason, fluct._printable(d.path) AS path, fluct._printable(d.detail) AS detail,
	-- 80 characters have at most 320 bytes
	left(fluct._printable(substr(d.value, 1, 320)), 80) AS message, d.created_at
FROM fluct.dead_letters d
WHERE d.status = 'open'
ORDER BY d.id;
COMMENT ON VIEW fluct.open_dead_letters IS
'Dead letters that nobody has retried or discarded, each with its place in Kafka and the message''s first 80 characters.';
COMMENT ON COLUMN fluct.open_dead_letters.id IS 'number, for retry_dead_letters and discard_dead_letters';
COMMENT ON COLUMN fluct.open_dead_letters.at IS 'topic[partition]@offset';
COMMENT ON COLUMN fluct.open_dead_letters.reason IS 'one word for why it was refused';
COMMENT ON COLUMN fluct.open_dead_letters.path IS 'where in the message';
COMMENT ON COLUMN fluct.open_dead_letters.detail IS 'what was found';
COMMENT ON COLUMN fluct.open_dead_letters.message IS E'first 80 characters; what is not safe to print is \\xNN or \\uNNNN';
COMMENT ON COLUMN fluct.open_dead_letters.created_at IS 'time of the refusal';

-- Whoever asks need not have the right to use the schema of each stream's target,
-- without which a name is an error.
CREATE OR REPLACE FUNCTION fluct._feeds_orders(target text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN coalesce(to_regclass(target) = to_regclass('sales.orders'), false); END $$;
COMMENT ON FUNCTION fluct._feeds_orders(text) IS 'whether the target of a stream is sales.orders';

-- The time up to which the orders are whole; the ranking warns by it.
-- In plpgsql, here as in ranking/: it keeps the plan, which takes longer than the
-- answer.
CREATE OR REPLACE FUNCTION fluct._data_until() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT min(f.data_until)
		FROM fluct.freshness f JOIN fluct.streams s ON s.name = f.stream
		WHERE (s.starts > 0 OR EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = s.name))
			AND fluct._feeds_orders(s.target));
END
$$;
COMMENT ON FUNCTION fluct._data_until() IS
'Time up to which all streams into sales.orders that have run are whole; NULL where there is none or nothing is known.';

CREATE OR REPLACE FUNCTION fluct._source_offsets() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
	SELECT jsonb_object_agg(u.stream, u.topics)
	FROM (SELECT t.stream, jsonb_object_agg(t.topic, t.positions) AS topics
	FROM (SELECT o.stream, o.topic, jsonb_object_agg(o.partition, o.next_offset) AS positions
		  FROM fluct.stream_offsets o JOIN fluct.streams s ON s.name = o.stream
		  WHERE fluct._feeds_orders(s.target) AND fluct._consumes(s.topic, o.topic)
			AND (o.partition = ANY (s.partitions)) IS NOT FALSE
		  GROUP BY o.stream, o.topic) t GROUP BY t.stream) u);
END
$$;
COMMENT ON FUNCTION fluct._source_offsets() IS
'Positions of the streams into sales.orders, {"stream": {"topic": {"partition": next offset}}}; NULL without streams.';
