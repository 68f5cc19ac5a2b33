-- positions.sql: where streams stand, moved and accounted for.
--
-- A batch moves a position forward (src/sink/sink.c).  Here a person moves it, and
-- asks whether every offset up to it is accounted for.  That question is
-- about an epoch: a stretch in which the position only goes forward in one
-- topic.  Going back begins a new one, and so does a topic that was recreated;
-- the totals in stat_streams go on over all of them.

-- An epoch whose gaps are kept is not used a second time.
CREATE OR REPLACE FUNCTION fluct._next_epoch(stream text, partition int) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(max(g.epoch), 0) + 1 FROM fluct.gaps g
	WHERE g.stream = _next_epoch.stream AND g.partition = _next_epoch.partition
$$;
COMMENT ON FUNCTION fluct._next_epoch(text, int) IS
'The epoch of a position that is made.';

CREATE OR REPLACE FUNCTION fluct._account(stream text)
RETURNS TABLE (partition int, epoch int, from_offset bigint, to_offset bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT o.partition, o.epoch, o.epoch_offset, o.next_offset,
		o.messages - o.epoch_messages - e.duplicates - e.dead_letters - e.tombstones,
		e.duplicates, e.dead_letters, e.tombstones,
		(SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint
		 FROM fluct.skipped_offsets k CROSS JOIN LATERAL unnest(k.intervals) r
		 WHERE k.stream = o.stream AND k.partition = o.partition AND k.epoch = o.epoch),
		(SELECT coalesce(sum(g.to_offset - g.from_offset), 0)::bigint
		 FROM fluct.gaps g
		 WHERE g.stream = o.stream AND g.partition = o.partition AND g.epoch = o.epoch)
	FROM fluct.stream_offsets o
	CROSS JOIN LATERAL (
		SELECT o.duplicates - o.epoch_duplicates AS duplicates,
			o.dead_letters - o.epoch_dead_letters AS dead_letters,
			o.tombstones - o.epoch_tombstones AS tombstones) e
	WHERE o.stream = _account.stream
$$;
COMMENT ON FUNCTION fluct._account(text) IS
'What became of the offsets of each partition''s present epoch, as the tables say.';

CREATE OR REPLACE FUNCTION fluct.reconcile_stream(name text)
RETURNS TABLE (partition int, from_offset bigint, to_offset bigint, offsets bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint, unexplained bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.reconcile_stream(text) IS
'Accounts for every offset of each partition''s present epoch [from_offset, to_offset): messages stored, duplicates, dead letters, tombstones, offsets at which Kafka delivered nothing (skipped), gaps. It reads the skipped offsets in Kafka again; what is delivered there, or missing in the sum, is unexplained, and must be 0. The stream may run meanwhile. Errors: undefined_object, insufficient_privilege, object_not_in_prerequisite_state where the topic was recreated, fdw_unable_to_establish_connection, configuration_limit_exceeded without a free background worker.';

CREATE OR REPLACE FUNCTION fluct._reconcile_stream(name text)
RETURNS TABLE (partition int, from_offset bigint, to_offset bigint, offsets bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint, unexplained bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
BEGIN
	RETURN QUERY
		SELECT a.fields[1]::int, a.fields[2]::bigint, a.fields[3]::bigint, a.fields[4]::bigint, a.fields[5]::bigint,
			   a.fields[6]::bigint, a.fields[7]::bigint, a.fields[8]::bigint, a.fields[9]::bigint,
			   a.fields[10]::bigint, a.fields[11]::bigint
		FROM fluct._ask(s.name, 'reconcile', 0, NULL) a ORDER BY a.number;
END
$$;
COMMENT ON FUNCTION fluct._reconcile_stream(text) IS 'reconcile_stream, as the extension''s owner.';

-- ----- seek -----

CREATE OR REPLACE FUNCTION fluct._require_rest(stream text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text := (SELECT v.state FROM fluct._stream_state v WHERE v.stream = _require_rest.stream);
	deadline timestamptz := clock_timestamp() + interval '5 s';
	pids text;
BEGIN
	IF state NOT IN ('paused', 'failed') THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" is %s', stream, state),
			DETAIL = 'Its position can be moved only while it is paused or failed.',
			HINT = format('SELECT fluct.pause_stream(%L);', stream);
	END IF;
	LOOP
		SELECT string_agg(l.pid::text, ', ') INTO pids
		FROM fluct._live() l WHERE l.stream = _require_rest.stream AND l.pid > 0;
		EXIT WHEN pids IS NULL;
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('a worker of stream "%s" is still there: process %s', stream, pids),
				DETAIL = 'It may be writing a batch, or its stream is paused in a transaction that has not committed.',
				HINT = format('SELECT fluct.pause_stream(%L); in a transaction of its own, and then again.', stream);
		END IF;
		PERFORM fluct._await_progress(100);
	END LOOP;
	PERFORM fluct._await_progress(0);
END
$$;
COMMENT ON FUNCTION fluct._require_rest(text) IS
'Raises object_not_in_prerequisite_state unless the stream is paused or failed and none of its workers is left after 5 seconds.';

-- Which partitions start_at and partition mean, of a topic that has n.
CREATE OR REPLACE FUNCTION fluct._chosen_partitions(s fluct.streams, start_at text, partition int, n int) RETURNS int[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	named text[];
	chosen int[];
	wrong text;
BEGIN
	IF start_at ~ '^\s*\{' THEN
		named := ARRAY(SELECT k FROM jsonb_object_keys(start_at::jsonb) k);
		SELECT format('start_at names partition "%s"', k) INTO wrong FROM unnest(named) k WHERE k !~ '^(0|[1-9]\d{0,8})$' LIMIT 1;
		IF wrong IS NULL AND (named = '{}' OR partition::text <> ALL (named)) THEN
			wrong := format('start_at names no offset for partition %s', coalesce(partition::text, '0'));
		END IF;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
				HINT = 'Offsets by partition are written such as ''{"0": 42, "1": 7}''.';
		END IF;
	END IF;
	chosen := CASE WHEN partition IS NOT NULL THEN ARRAY[partition]
				   WHEN named IS NOT NULL THEN named::int[]
				   ELSE ARRAY(SELECT i FROM generate_series(0, n - 1) i
							  WHERE s.partitions IS NULL OR i = ANY (s.partitions)) END;
	SELECT format('topic "%s" has no partition %s', s.topic, c) INTO wrong FROM unnest(chosen) c WHERE c NOT BETWEEN 0 AND n - 1 LIMIT 1;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
			DETAIL = CASE n WHEN 1 THEN 'It has one, partition 0.' ELSE format('It has %s, from 0 to %s.', n, n - 1) END;
	END IF;
	RETURN chosen;
END
$$;
COMMENT ON FUNCTION fluct._chosen_partitions(fluct.streams, text, int, int) IS
'The partitions that a call of seek_stream moves. Errors: invalid_parameter_value for one that is not there.';

CREATE OR REPLACE FUNCTION fluct._move_position(s fluct.streams, partition int, goes_to bigint, anew boolean,
	log_start bigint, log_end bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o fluct.stream_offsets;
BEGIN
	SELECT * INTO o FROM fluct.stream_offsets p WHERE p.stream = s.name AND p.partition = _move_position.partition;
	IF NOT FOUND THEN
		INSERT INTO fluct.stream_offsets (stream, topic, partition, next_offset, epoch, epoch_offset, log_start_offset, log_end_offset)
		VALUES (s.name, s.topic, partition, goes_to, fluct._next_epoch(s.name, partition), goes_to, log_start, log_end);
		RETURN;
	END IF;
	IF anew OR goes_to < o.next_offset THEN
		UPDATE fluct.stream_offsets p SET epoch = greatest(p.epoch + 1, fluct._next_epoch(s.name, partition)),
			epoch_offset = goes_to, epoch_messages = p.messages, epoch_duplicates = p.duplicates,
			epoch_dead_letters = p.dead_letters, epoch_tombstones = p.tombstones, stored_with = NULL
		WHERE p.stream = s.name AND p.partition = _move_position.partition;
		DELETE FROM fluct.skipped_offsets k WHERE k.stream = s.name AND k.partition = _move_position.partition;
	ELSIF goes_to > o.next_offset THEN
		INSERT INTO fluct.gaps (stream, topic, partition, from_offset, to_offset, reason, epoch)
		VALUES (s.name, s.topic, partition, o.next_offset, goes_to, 'seek', o.epoch);
	END IF;
	UPDATE fluct.stream_offsets p SET next_offset = goes_to, log_start_offset = log_start, log_end_offset = log_end,
		witness_offset = NULL, witness_time = NULL, witness_crc = NULL, cluster_id = NULL
	WHERE p.stream = s.name AND p.partition = _move_position.partition AND p.next_offset = o.next_offset;
END
$$;
COMMENT ON FUNCTION fluct._move_position(fluct.streams, int, bigint, boolean, bigint, bigint) IS
'Moves a position that the caller has locked, or makes it: with a gap behind it where it goes forward, in a new epoch where it goes back or the topic is another one (anew).';

CREATE OR REPLACE FUNCTION fluct.seek_stream(name text, start_at text, partition int DEFAULT NULL, dry_run boolean DEFAULT false,
	force boolean DEFAULT false)
RETURNS TABLE (partition int, old_offset bigint, new_offset bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.seek_stream(text, text, int, boolean, boolean) IS
'Moves a stream that is paused or failed to where start_at says (earliest, latest, a timestamp, a negative interval, or {"partition": offset}, which moves only those); partition: only this one. dry_run only shows it. Going forward leaves a row in gaps; going back reads messages again, needs force, and begins a new epoch for reconcile_stream. old_offset is NULL where there was no position, new_offset where the topic has that partition no more. Errors: object_not_in_prerequisite_state, invalid_parameter_value for what Kafka''s log does not hold, undefined_object, insufficient_privilege, fdw_unable_to_establish_connection.';

CREATE OR REPLACE FUNCTION fluct._seek_stream(name text, start_at text, only_partition int, dry_run boolean, force boolean)
RETURNS TABLE (moved int, old_offset bigint, new_offset bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name);
	whence text := fluct._normal_start(start_at);
	begins bigint[];		-- by partition and 1
	ends bigint[];
	targets bigint[];
	chosen int[];
	gone int[];
	back int[];
	is_new boolean;
	anew boolean;
BEGIN
	IF whence IS NULL OR dry_run IS NULL OR force IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'only partition may be NULL';
	END IF;
	PERFORM fluct._require_rest(name);
	SELECT array_agg(a.fields[2]::bigint ORDER BY a.number), array_agg(a.fields[3]::bigint ORDER BY a.number),
		array_agg(a.fields[4]::bigint ORDER BY a.number)
	INTO begins, ends, targets FROM fluct._ask(name, 'seek', 0, whence) a;
	chosen := fluct._chosen_partitions(s, whence, only_partition, cardinality(targets));

	-- from here on nobody else makes or moves a position of the stream
	PERFORM fluct._lock('positions', name);
	PERFORM FROM fluct.stream_offsets o WHERE o.stream = name FOR UPDATE;
	is_new := NOT FOUND;
	IF is_new AND only_partition IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" has no positions yet', name),
			HINT = format('SELECT fluct.alter_stream(%L, start_at => %L); says where all partitions begin, with the offsets of some as ''{"0": 42}''.', name, start_at);
	END IF;
	IF is_new THEN
		chosen := ARRAY(SELECT generate_series(0, cardinality(targets) - 1));
	END IF;
	PERFORM fluct._check_targets(chosen, begins, ends, targets);
	gone := ARRAY(SELECT o.partition FROM fluct.stream_offsets o
				  WHERE o.stream = name AND o.partition >= cardinality(targets)
					AND only_partition IS NULL AND whence !~ '^\s*\{');
	back := gone || ARRAY(SELECT o.partition FROM fluct.stream_offsets o
				  WHERE o.stream = name AND o.partition = ANY (chosen) AND targets[o.partition + 1] < o.next_offset);
	IF back <> '{}' AND NOT force THEN
		PERFORM fluct._warn_of_going_back(s, start_at, only_partition, back, dry_run);
	END IF;
	anew := EXISTS (SELECT FROM fluct.stream_states st WHERE st.stream = name AND st.starts = s.starts
					AND st.state = 'failed' AND st.reason IN ('topic_changed', 'cluster_changed'));
	FOR moved, old_offset, new_offset IN
		SELECT c.partition, o.next_offset, targets[c.partition + 1]
		FROM unnest(chosen || gone) AS c(partition)
		LEFT JOIN fluct.stream_offsets o ON o.stream = name AND o.partition = c.partition
		ORDER BY 1
	LOOP
		IF NOT dry_run AND new_offset IS NULL THEN
			DELETE FROM fluct.stream_offsets o WHERE o.stream = name AND o.partition = moved;
			DELETE FROM fluct.skipped_offsets k WHERE k.stream = name AND k.partition = moved;
		ELSIF NOT dry_run THEN
			PERFORM fluct._move_position(s, moved, new_offset, anew, begins[moved + 1], ends[moved + 1]);
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._seek_stream(text, text, int, boolean, boolean) IS 'seek_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._check_targets(chosen int[], begins bigint[], ends bigint[], targets bigint[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p int;
BEGIN
	SELECT c INTO p FROM unnest(chosen) c WHERE targets[c + 1] NOT BETWEEN begins[c + 1] AND ends[c + 1] ORDER BY c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('partition %s: Kafka''s log does not hold offset %s', p, targets[p + 1]),
			DETAIL = format('It begins at %s, and its next message will get offset %s.', begins[p + 1], ends[p + 1]);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_targets(int[], bigint[], bigint[], bigint[]) IS
'Raises invalid_parameter_value for a new position outside of Kafka''s log; the arrays are by partition.';

CREATE OR REPLACE FUNCTION fluct._warn_of_going_back(s fluct.streams, start_at text, partition int, back int[], dry_run boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	message text := format('stream "%s" would go back in partition %s', s.name, array_to_string(back, ', '));
	detail text := 'What is read again goes by on_conflict where the target has a unique key ('
		|| CASE s.on_conflict WHEN 'nothing' THEN 'a duplicate that is counted' WHEN 'update' THEN 'the row is written again'
							  ELSE 'a dead letter' END || '), and is stored twice where it has none.';
	hint text := format('SELECT * FROM fluct.seek_stream(%L, %L%s, force => true);', s.name, start_at,
						', partition => ' || partition);
BEGIN
	IF dry_run THEN
		RAISE NOTICE USING MESSAGE = message, DETAIL = detail, HINT = hint;
	ELSE
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = message, DETAIL = detail, HINT = hint;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._warn_of_going_back(fluct.streams, text, int, int[], boolean) IS
'Raises what force is for; only as a notice for a dry run.';
