-- positions.sql: where streams stand, moved and accounted for.
--
-- A batch moves a position forward (src/sink/sink.c).  Here a person moves it, and
-- asks whether every offset up to it is accounted for.  That question is
-- about an epoch: a stretch in which the position only goes forward in one
-- topic.  Going back begins a new one, and so does a topic that was recreated;
-- the totals in stat_streams go on over all of them.

-- An epoch whose gaps are kept is not used a second time.
CREATE OR REPLACE FUNCTION fluct._next_epoch(stream text, topic text, partition int) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(max(g.epoch), 0) + 1 FROM fluct.gaps g
	WHERE g.stream = _next_epoch.stream AND g.topic = _next_epoch.topic AND g.partition = _next_epoch.partition
$$;
COMMENT ON FUNCTION fluct._next_epoch(text, text, int) IS
'The epoch of a position that is made.';

CREATE OR REPLACE FUNCTION fluct._account(stream text)
RETURNS TABLE (topic text, partition int, epoch int, from_offset bigint, to_offset bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint, filtered bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT o.topic, o.partition, o.epoch, o.epoch_offset, o.next_offset,
		o.messages - o.epoch_messages - e.duplicates - e.dead_letters - e.tombstones - e.filtered,
		e.duplicates, e.dead_letters, e.tombstones,
		(SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint
		 FROM fluct.skipped_offsets k CROSS JOIN LATERAL unnest(k.intervals) r
		 WHERE k.stream = o.stream AND k.topic = o.topic AND k.partition = o.partition AND k.epoch = o.epoch),
		(SELECT coalesce(sum(g.to_offset - g.from_offset), 0)::bigint
		 FROM fluct.gaps g
		 WHERE g.stream = o.stream AND g.topic = o.topic AND g.partition = o.partition AND g.epoch = o.epoch),
		e.filtered
	FROM fluct.stream_offsets o
	JOIN fluct.streams s ON s.name = o.stream AND fluct._consumes(s.topic, o.topic)
	CROSS JOIN LATERAL (
		SELECT o.duplicates - o.epoch_duplicates AS duplicates,
			o.dead_letters - o.epoch_dead_letters AS dead_letters,
			o.tombstones - o.epoch_tombstones AS tombstones,
			o.filtered - o.epoch_filtered AS filtered) e
	WHERE o.stream = _account.stream
$$;
COMMENT ON FUNCTION fluct._account(text) IS
'What became of the offsets of each partition''s present epoch, as the tables say.';

CREATE OR REPLACE FUNCTION fluct.reconcile_stream(name text)
RETURNS TABLE (topic text, partition int, from_offset bigint, to_offset bigint, offsets bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint, filtered bigint, unexplained bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.reconcile_stream(text) IS
'Accounts for every offset of each partition''s present epoch [from_offset, to_offset): messages stored, duplicates, dead letters, tombstones, offsets at which Kafka delivered nothing (skipped), gaps, messages that the mapping''s "where" does not mean (filtered). It reads the skipped offsets in Kafka again; what is delivered there, or missing in the sum, is unexplained, and must be 0. The stream may run meanwhile. Errors: undefined_object, insufficient_privilege, object_not_in_prerequisite_state where the topic was recreated, fdw_unable_to_establish_connection, configuration_limit_exceeded without a free background worker.';

CREATE OR REPLACE FUNCTION fluct._reconcile_stream(name text)
RETURNS TABLE (topic text, partition int, from_offset bigint, to_offset bigint, offsets bigint, stored bigint, duplicates bigint,
	dead_letters bigint, tombstones bigint, skipped bigint, gaps bigint, filtered bigint, unexplained bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
BEGIN
	RETURN QUERY
		SELECT a.fields[13], a.fields[1]::int, a.fields[2]::bigint, a.fields[3]::bigint, a.fields[4]::bigint, a.fields[5]::bigint,
			   a.fields[6]::bigint, a.fields[7]::bigint, a.fields[8]::bigint, a.fields[9]::bigint,
			   a.fields[10]::bigint, a.fields[11]::bigint, a.fields[12]::bigint
		FROM fluct._ask(s.name, 'reconcile', 0, NULL) a ORDER BY a.number;
END
$$;
COMMENT ON FUNCTION fluct._reconcile_stream(text) IS 'reconcile_stream, as the extension''s owner.';

-- ----- seek -----

CREATE OR REPLACE FUNCTION fluct._require_rest(stream text, why text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text := (SELECT v.state FROM fluct._stream_state v WHERE v.stream = _require_rest.stream);
	deadline timestamptz := clock_timestamp() + interval '10 s';
	pids text;
BEGIN
	IF state NOT IN ('paused', 'failed') THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" is %s', stream, state),
			DETAIL = why,
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
COMMENT ON FUNCTION fluct._require_rest(text, text) IS
'Raises object_not_in_prerequisite_state unless the stream is paused or failed and none of its workers is left after 10 seconds. why: the detail where it is neither.';

-- What start_at names: {"partition": offset}, or {"topic": {"partition": offset}}.
CREATE OR REPLACE FUNCTION fluct._named_in(start_at text) RETURNS TABLE (topic text, partition text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.key END, coalesce(k.key, e.key)
	FROM jsonb_each(start_at::jsonb) e
	LEFT JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value ELSE '{}' END) AS k(key) ON true
	WHERE jsonb_typeof(e.value) <> 'object' OR k.key IS NOT NULL
$$;
COMMENT ON FUNCTION fluct._named_in(text) IS
'The partitions whose offsets a start_at names, each with its topic where that is named.';

CREATE OR REPLACE FUNCTION fluct._unknown_partition(stream text, start_at text, topics text[], partitions int[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH place AS (SELECT * FROM unnest(topics, partitions) AS t(topic, partition)),
	named AS (
		SELECT 'the stream consumes' AS who, NULL AS topic, p::text AS partition, s.topic AS consumed
		FROM fluct.streams s CROSS JOIN unnest(s.partitions) p WHERE s.name = stream
		UNION ALL
		SELECT 'start_at names', n.topic, n.partition, s.topic
		FROM fluct.streams s
		CROSS JOIN LATERAL (SELECT coalesce(_unknown_partition.start_at, CASE WHEN NOT EXISTS (
			SELECT FROM fluct.stream_offsets o WHERE o.stream = s.name) THEN s.start_at END) AS at) w
		CROSS JOIN LATERAL fluct._named_in(CASE WHEN w.at ~ '^\s*\{' THEN w.at ELSE '{}' END) n
		WHERE s.name = stream)
	SELECT format('%s partition %s', n.who, fluct._printable(n.partition))
		|| CASE WHEN n.topic IS NOT NULL THEN format(' of topic "%s", which has %s', fluct._printable(n.topic), h.count)
				WHEN fluct._is_many(n.consumed) THEN ', which none of its topics has'
				ELSE format(', but the topic has %s', h.count) END
	FROM named n
	CROSS JOIN LATERAL (SELECT count(*) FROM place p WHERE p.topic = coalesce(n.topic, p.topic)) h
	WHERE NOT EXISTS (SELECT FROM place p WHERE p.topic = coalesce(n.topic, p.topic) AND p.partition::text = n.partition)
	LIMIT 1
$$;
COMMENT ON FUNCTION fluct._unknown_partition(text, text, text[], int[]) IS
'What names a partition that none of the places is: the stream''s partitions, or where it begins, by start_at or, before its first start, its own. NULL if nothing does.';

-- Which places start_at, topic and partition mean, as indexes of the arrays.
CREATE OR REPLACE FUNCTION fluct._chosen_places(s fluct.streams, start_at text, only_topic text, only_partition int,
	topics text[], partitions int[])
RETURNS int[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	many boolean := fluct._is_many(s.topic);
	named boolean := start_at ~ '^\s*\{';
	wrong text;
	place record;
	at int;
	chosen int[] := '{}';
BEGIN
	IF named THEN
		SELECT CASE WHEN n.partition !~ '^(0|[1-9]\d{0,8})$' THEN format('start_at names partition "%s"', fluct._printable(n.partition))
				WHEN n.topic IS NULL AND many AND only_topic IS NULL THEN 'start_at names partitions, but no topic' END INTO wrong
		FROM fluct._named_in(start_at) n ORDER BY 1 NULLS LAST LIMIT 1;
		IF wrong IS NULL AND NOT EXISTS (SELECT FROM fluct._named_in(start_at) n WHERE only_partition IS NULL OR n.partition = only_partition::text) THEN
			wrong := format('start_at names no offset for partition %s', coalesce(only_partition::text, '0'));
		END IF;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
				HINT = 'Offsets by partition are written such as ''{"0": 42, "1": 7}'', of several topics as ''{"TOPIC": {"0": 42}}''.';
		END IF;
	END IF;
	FOR place IN
		SELECT DISTINCT coalesce(n.topic, only_topic, s.topic) AS topic, n.partition::int AS partition
		FROM fluct._named_in(CASE WHEN named THEN start_at ELSE '{}' END) n
		WHERE only_partition IS NULL OR n.partition = only_partition::text
		UNION ALL
		SELECT t.topic, only_partition FROM unnest(topics) AS t(topic)
		WHERE NOT named AND only_partition IS NOT NULL AND t.topic = coalesce(only_topic, t.topic) GROUP BY t.topic
		UNION ALL
		SELECT t.topic, t.partition FROM unnest(topics, partitions) AS t(topic, partition)
		WHERE NOT named AND only_partition IS NULL AND t.topic = coalesce(only_topic, t.topic)
			AND (s.partitions IS NULL OR t.partition = ANY (s.partitions))
	LOOP
		SELECT t.n INTO at FROM unnest(topics, partitions) WITH ORDINALITY AS t(topic, partition, n)
		WHERE t.topic = place.topic AND t.partition = place.partition AND place.topic = coalesce(only_topic, place.topic);
		IF FOUND THEN
			chosen := chosen || at;
		ELSIF place.topic <> ALL (topics) OR only_topic <> place.topic THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('stream "%s" does not consume topic "%s"', s.name, fluct._printable(place.topic));
		ELSIF NOT many OR only_topic IS NOT NULL OR named THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('topic "%s" has no partition %s', fluct._printable(place.topic), place.partition),
				DETAIL = (SELECT CASE count(*) WHEN 1 THEN 'It has one, partition 0.' ELSE format('It has %s, from 0 to %s.', count(*), count(*) - 1) END
						  FROM unnest(topics) AS t(topic) WHERE t.topic = place.topic);
		END IF;
	END LOOP;
	RETURN chosen;
END
$$;
COMMENT ON FUNCTION fluct._chosen_places(fluct.streams, text, text, int, text[], int[]) IS
'Which of the places (topic and partition) a call of seek_stream moves. Errors: invalid_parameter_value for one that is not there.';

CREATE OR REPLACE FUNCTION fluct._move_position(s fluct.streams, topic text, partition int, goes_to bigint, recreated boolean,
	log_start bigint, log_end bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o fluct.stream_offsets;
BEGIN
	IF goes_to IS NULL THEN
		DELETE FROM fluct.stream_offsets p
		WHERE p.stream = s.name AND p.topic = _move_position.topic AND p.partition = _move_position.partition;
		DELETE FROM fluct.skipped_offsets k
		WHERE k.stream = s.name AND k.topic = _move_position.topic AND k.partition = _move_position.partition;
		RETURN;
	END IF;
	SELECT * INTO o FROM fluct.stream_offsets p
	WHERE p.stream = s.name AND p.topic = _move_position.topic AND p.partition = _move_position.partition;
	IF NOT FOUND THEN
		INSERT INTO fluct.stream_offsets (stream, topic, partition, next_offset, epoch, epoch_offset, log_start_offset, log_end_offset)
		VALUES (s.name, topic, partition, goes_to, fluct._next_epoch(s.name, topic, partition), goes_to, log_start, log_end);
		RETURN;
	END IF;
	IF recreated OR goes_to < o.next_offset THEN
		UPDATE fluct.stream_offsets p SET epoch = greatest(p.epoch + 1, fluct._next_epoch(s.name, topic, partition)),
			epoch_offset = goes_to, epoch_messages = p.messages, epoch_duplicates = p.duplicates,
			epoch_dead_letters = p.dead_letters, epoch_tombstones = p.tombstones, epoch_filtered = p.filtered, stored_with = NULL
		WHERE p.stream = s.name AND p.topic = _move_position.topic AND p.partition = _move_position.partition;
		DELETE FROM fluct.skipped_offsets k
		WHERE k.stream = s.name AND k.topic = _move_position.topic AND k.partition = _move_position.partition;
	ELSIF goes_to > o.next_offset THEN
		INSERT INTO fluct.gaps (stream, topic, partition, from_offset, to_offset, reason, epoch)
		VALUES (s.name, topic, partition, o.next_offset, goes_to, 'seek', o.epoch);
	END IF;
	UPDATE fluct.stream_offsets p SET next_offset = goes_to, log_start_offset = log_start, log_end_offset = log_end,
		witness_offset = NULL, witness_time = NULL, witness_crc = NULL, cluster_id = NULL
	WHERE p.stream = s.name AND p.topic = _move_position.topic AND p.partition = _move_position.partition
		AND p.next_offset = o.next_offset;
END
$$;
COMMENT ON FUNCTION fluct._move_position(fluct.streams, text, int, bigint, boolean, bigint, bigint) IS
'Moves a position that the caller has locked, or makes it: with a gap behind it where it goes forward, in a new epoch where it goes back or the topic was recreated; NULL deletes it.';

CREATE OR REPLACE FUNCTION fluct.seek_stream(name text, start_at text, partition int DEFAULT NULL, dry_run boolean DEFAULT false,
	force boolean DEFAULT false, topic text DEFAULT NULL)
RETURNS TABLE (topic text, partition int, old_offset bigint, new_offset bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.seek_stream(text, text, int, boolean, boolean, text) IS
'Moves a stream that is paused or failed to where start_at says (earliest, latest, a timestamp, a negative interval, or {"partition": offset} and, of several topics, {"topic": {"partition": offset}}, which moves only those); partition, topic: only this one. dry_run only shows it. Going forward leaves a row in gaps; going back reads messages again, needs force, and begins a new epoch for reconcile_stream. old_offset is NULL where there was no position, new_offset where the topic has that partition no more. Errors: object_not_in_prerequisite_state, invalid_parameter_value for what Kafka''s log does not hold, undefined_object, insufficient_privilege, fdw_unable_to_establish_connection.';

CREATE OR REPLACE FUNCTION fluct._seek_stream(name text, start_at text, only_partition int, dry_run boolean, force boolean, only_topic text)
RETURNS TABLE (of_topic text, moved int, old_offset bigint, new_offset bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name);
	whence text := fluct._normal_start(start_at);
	topics text[];			-- these five by place
	partitions int[];
	begins bigint[];
	ends bigint[];
	targets bigint[];
	chosen int[];
	back text;
	all_gone boolean;
	recreated boolean;
	at int;
BEGIN
	IF whence IS NULL OR dry_run IS NULL OR force IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'only partition and topic may be NULL';
	END IF;
	PERFORM fluct._require_rest(name, 'Its position can be moved only while it is paused or failed.');
	SELECT array_agg(a.fields[5] ORDER BY a.number), array_agg(a.fields[1]::int ORDER BY a.number),
		array_agg(a.fields[2]::bigint ORDER BY a.number), array_agg(a.fields[3]::bigint ORDER BY a.number),
		array_agg(a.fields[4]::bigint ORDER BY a.number)
	INTO topics, partitions, begins, ends, targets FROM fluct._ask(name, 'seek', 0, whence) a;
	chosen := fluct._chosen_places(s, whence, only_topic, only_partition, topics, partitions);

	-- from here on nobody else makes or moves a position of the stream
	PERFORM fluct._lock('positions', name);
	PERFORM FROM fluct.stream_offsets o WHERE o.stream = name FOR UPDATE;
	IF NOT FOUND THEN
		IF only_partition IS NOT NULL OR only_topic IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('stream "%s" has no positions yet', name),
				HINT = format('SELECT fluct.alter_stream(%L, start_at => %L); says where all partitions begin, '
							  'with the offsets of some as ''{"0": 42}''.', name, start_at);
		END IF;
		chosen := ARRAY(SELECT generate_series(1, cardinality(targets)));
	END IF;
	PERFORM fluct._check_targets(chosen, fluct._labels(s.topic, topics, partitions), begins, ends, targets);
	IF only_topic <> ALL (topics) AND NOT EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = name AND o.topic = only_topic) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('stream "%s" does not consume topic "%s"', name, fluct._printable(only_topic));
	END IF;
	all_gone := only_partition IS NULL AND whence !~ '^\s*\{';
	SELECT string_agg(CASE WHEN fluct._is_many(s.topic) THEN format('%s of topic "%s"', m.partition, m.topic) ELSE m.partition::text END,
					  ', ' ORDER BY m.place IS NOT NULL, m.topic, m.partition) INTO back
	FROM fluct._moves(s, topics, partitions, targets, chosen, all_gone, only_topic) m
	WHERE m.place IS NULL OR m.new_offset < m.old_offset;
	IF back IS NOT NULL AND NOT force THEN
		PERFORM fluct._warn_of_going_back(s, start_at, only_topic, only_partition, back, dry_run);
	END IF;
	recreated := EXISTS (SELECT FROM fluct.stream_states st WHERE st.stream = name AND st.starts = s.starts
					AND st.state = 'failed' AND st.reason IN ('topic_changed', 'cluster_changed'));
	FOR of_topic, moved, old_offset, new_offset, at IN
		SELECT * FROM fluct._moves(s, topics, partitions, targets, chosen, all_gone, only_topic)
	LOOP
		IF NOT dry_run THEN
			PERFORM fluct._move_position(s, of_topic, moved, new_offset, recreated, begins[at], ends[at]);
		END IF;
		of_topic := fluct._printable(of_topic);
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._seek_stream(text, text, int, boolean, boolean, text) IS 'seek_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._moves(s fluct.streams, topics text[], partitions int[], targets bigint[], chosen int[],
	all_gone boolean, only_topic text)
RETURNS TABLE (topic text, partition int, old_offset bigint, new_offset bigint, place int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(t.topic, o.topic), coalesce(t.partition, o.partition), o.next_offset, targets[t.n], t.n::int
	FROM unnest(topics, partitions) WITH ORDINALITY AS t(topic, partition, n)
	FULL JOIN (SELECT p.topic, p.partition, p.next_offset FROM fluct.stream_offsets p
			   WHERE p.stream = s.name AND fluct._consumes(s.topic, p.topic)) o
		ON o.topic = t.topic AND o.partition = t.partition
	WHERE t.n = ANY (chosen) OR t.n IS NULL AND all_gone AND o.topic = coalesce(only_topic, o.topic)
	ORDER BY 1, 2
$$;
COMMENT ON FUNCTION fluct._moves(fluct.streams, text[], int[], bigint[], int[], boolean, text) IS
'What seek_stream moves: the chosen places, and with all_gone the positions in partitions that Kafka no longer has, whose place and new_offset are NULL.';

CREATE OR REPLACE FUNCTION fluct._labels(declared text, topics text[], partitions int[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(CASE WHEN fluct._is_many(declared) THEN format('topic "%s", partition %s', t.topic, t.partition)
						  ELSE format('partition %s', t.partition) END ORDER BY t.n)
	FROM unnest(topics, partitions) WITH ORDINALITY AS t(topic, partition, n)
$$;
COMMENT ON FUNCTION fluct._labels(text, text[], int[]) IS
'How messages call the places: by their partition, and by topic where the stream has several.';

CREATE OR REPLACE FUNCTION fluct._check_targets(chosen int[], labels text[], begins bigint[], ends bigint[], targets bigint[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p int;
BEGIN
	SELECT c INTO p FROM unnest(chosen) c WHERE targets[c] NOT BETWEEN begins[c] AND ends[c] ORDER BY c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s: Kafka''s log does not hold offset %s', labels[p], targets[p]),
			DETAIL = format('It begins at %s, and its next message will get offset %s.', begins[p], ends[p]);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_targets(int[], text[], bigint[], bigint[], bigint[]) IS
'Raises invalid_parameter_value for a new position outside of Kafka''s log; the arrays are by place, chosen has places.';

CREATE OR REPLACE FUNCTION fluct._warn_of_going_back(s fluct.streams, start_at text, topic text, partition int, back text, dry_run boolean)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	message text := format('stream "%s" would go back in partition %s', s.name, back);
	detail text := 'What is read again goes by on_conflict where the target has a unique key ('
		|| CASE s.on_conflict WHEN 'nothing' THEN 'a duplicate that is counted' WHEN 'update' THEN 'the row is written again'
							  ELSE 'a dead letter' END || '), and is stored twice where it has none.';
	hint text := format('SELECT * FROM fluct.seek_stream(%L, %L%s%s, force => true);', s.name, start_at,
						', partition => ' || partition, format(', topic => %L', topic));
BEGIN
	IF topic IS NULL THEN
		hint := replace(hint, ', topic => NULL', '');
	END IF;
	IF dry_run THEN
		RAISE NOTICE USING MESSAGE = message, DETAIL = detail, HINT = hint;
	ELSE
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = message, DETAIL = detail, HINT = hint;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._warn_of_going_back(fluct.streams, text, text, int, text, boolean) IS
'Raises what force is for; only as a notice for a dry run.';
