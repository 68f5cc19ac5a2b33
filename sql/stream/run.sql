-- run.sql: procedures that work on a stream for a session, and commit.
--
-- They are C, see src/inquiry/run.c and src/replay/reprocess.c, and call the
-- functions here for what needs the rights of the extension's owner.

CREATE OR REPLACE FUNCTION fluct._begin_run(name text) RETURNS oid
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._begin_run(text) IS
'The role in whose session the stream is to run, if the caller may run it now. Errors: undefined_object, insufficient_privilege, object_not_in_prerequisite_state where it is started.';

CREATE OR REPLACE FUNCTION fluct.__begin_run(name text) RETURNS oid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
BEGIN
	IF s.enabled AND (s.system_identifier, s.database_oid) IS NOT DISTINCT FROM
		((SELECT c.system_identifier::text FROM pg_control_system() c),
		 (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" is started', name),
			DETAIL = 'Its own worker goes on with it.',
			HINT = format('SELECT fluct.pause_stream(%L); stops that one.', name);
	END IF;
	RETURN fluct._require_owner(s.owner, s.owner_oid, s.system_identifier);
END
$$;
COMMENT ON FUNCTION fluct.__begin_run(text) IS '_begin_run, as the extension''s owner.';

CREATE OR REPLACE PROCEDURE fluct.run_stream(name text, max_batches int DEFAULT NULL, until_caught_up boolean DEFAULT true)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_run_stream';
COMMENT ON PROCEDURE fluct.run_stream(text, int, boolean) IS
'Runs a stream that is not started while the session waits and watches: a background worker of its own consumes all partitions, exactly as a started stream, and progress comes as notices. Ends after max_batches batches, or when all that Kafka held at its start is committed unless until_caught_up is false, or when it is cancelled; what was committed stays. Needs no preload; fluct.enabled, fluct.database and fluct.max_workers do not matter. A stream restored from elsewhere runs, too, and stays marked as it was. Errors: object_not_in_prerequisite_state (it is started, or it fails: the reason, which stat_streams then shows, too), object_in_use (another session runs it), undefined_object, insufficient_privilege, active_sql_transaction, configuration_limit_exceeded.';

-- ----- the raw copy again -----

CREATE OR REPLACE FUNCTION fluct._reprocess(stream text, since timestamptz, until timestamptz,
	after_topic text, after_partition int, after_offset bigint, force boolean)
RETURNS TABLE (ingested_at timestamptz, topic text, partition int, "offset" bigint, outcome text, rows bigint,
	letter bigint, reason text, sqlstate text, path text, detail text, more boolean)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_reprocess';
COMMENT ON FUNCTION fluct._reprocess(text, timestamptz, timestamptz, text, int, bigint, boolean) IS
'Stores the next raw messages of a stream again, as its owner; says of each: stored, duplicate, refused or skipped, and which dead letter it was; and whether there may be more up to until.';

CREATE OR REPLACE FUNCTION fluct._reprocess_chunk(name text, since timestamptz, until timestamptz, force boolean, progress jsonb)
RETURNS jsonb
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._reprocess_chunk(text, timestamptz, timestamptz, boolean, jsonb) IS
'One chunk of reprocess_stream: takes what the last one returned, NULL at first; returns NULL at the end.';

-- A start waits for the chunk, and the next chunk sees it: newer messages that
-- are stored in between would be replaced by older ones.
CREATE OR REPLACE FUNCTION fluct._hold_at_rest(s fluct.streams) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM fluct.streams t WHERE t.name = s.name FOR SHARE;
	PERFORM fluct._require_rest(s.name, 'Messages of the raw copy could replace newer ones that it stores meanwhile.');
	IF NOT fluct._try_lock('run', s.name) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_in_use',
			MESSAGE = format('stream "%s" is being run by another session', s.name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._hold_at_rest(fluct.streams) IS
'Raises object_not_in_prerequisite_state, or object_in_use, where a worker stores messages of the stream, and lets none start until the end of the transaction.';

CREATE OR REPLACE FUNCTION fluct._begin_reprocess(s fluct.streams, since timestamptz, until timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	IF since >= until THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'since must be before until';
	END IF;
	RETURN jsonb_build_object('at', nullif(since, '-infinity'), 'until', least(until, clock_timestamp()),
		'span', 0.25, 'chunks', 0, 'messages', 0, 'rows', 0, 'duplicates', 0, 'refused', 0, 'skipped', 0,
		'opened', 0, 'said', clock_timestamp());
END
$$;
COMMENT ON FUNCTION fluct._begin_reprocess(fluct.streams, timestamptz, timestamptz) IS
'The progress of a reprocess_stream that has done nothing yet: counts, the place in time, and the window in which the next chunk is looked for.';

CREATE OR REPLACE FUNCTION fluct._store_chunk(s fluct.streams, place jsonb, window_end timestamptz, force boolean, OUT counts jsonb, OUT last jsonb)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH done AS MATERIALIZED (
		SELECT * FROM fluct._reprocess((s).name, (place ->> 'at')::timestamptz, window_end, place ->> 'topic',
			(place ->> 'partition')::int, (place ->> 'offset')::bigint, force)
	), closed AS (
		UPDATE fluct.dead_letters d SET status = 'retried', closed_at = clock_timestamp(),
			closed_by = pg_get_userbyid(fluct._caller())
		FROM done WHERE d.id = done.letter AND d.status = 'open'
			AND (done.outcome = 'stored' OR done.outcome = 'duplicate' AND (s).on_conflict <> 'error')
	), opened AS (
		-- what was stored once, and is refused now, has no row
		UPDATE fluct.dead_letters d SET status = 'open', closed_at = NULL, closed_by = NULL, reason = done.reason,
			sqlstate = done.sqlstate, path = nullif(done.path, ''), detail = done.detail
		FROM done WHERE d.id = done.letter AND done.outcome = 'refused'
	)
	SELECT jsonb_build_object('messages', count(*), 'rows', coalesce(sum(done.rows), 0),
			'duplicates', count(*) FILTER (WHERE done.outcome = 'duplicate'),
			'refused', count(*) FILTER (WHERE done.outcome = 'refused'),
			'skipped', count(*) FILTER (WHERE done.outcome = 'skipped'),
			'opened', count(*) FILTER (WHERE done.outcome = 'refused' AND d.status IS DISTINCT FROM 'open')),
		(SELECT jsonb_build_object('at', l.ingested_at, 'topic', l.topic, 'partition', l.partition, 'offset', l."offset", 'more', l.more)
		 FROM done l ORDER BY l.ingested_at DESC, l.topic DESC, l.partition DESC, l."offset" DESC LIMIT 1)
	FROM done LEFT JOIN fluct.dead_letters d ON d.id = done.letter
$$;
COMMENT ON FUNCTION fluct._store_chunk(fluct.streams, jsonb, timestamptz, boolean) IS
'Stores the raw messages after a place, up to window_end, closes the dead letters that are stored now, and opens those that are refused again; returns what became of them, and the last one''s place, NULL where there was none.';

CREATE OR REPLACE FUNCTION fluct._check_refused(s fluct.streams, progress jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	opened bigint := (progress ->> 'opened')::bigint;
BEGIN
	IF opened > s.max_dead_letters OR (opened >= 100 AND progress -> 'opened' = progress -> 'messages') THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s of %s messages were refused that are not dead letters yet', opened, progress ->> 'messages'),
			DETAIL = (SELECT format('The last one: %s at %s, %s.', d.reason, coalesce(d.path, '$'), d.detail)
					  FROM fluct.dead_letters d WHERE d.stream = s.name ORDER BY d.id DESC LIMIT 1),
			HINT = 'The chunk is rolled back, those before it are kept. Is the mapping right for messages of that time?';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_refused(fluct.streams, jsonb) IS
'Ends a reprocess_stream that makes more dead letters than max_dead_letters, or nothing but dead letters.';

-- A window of time is to hold one or two chunks: it grows while there is less in
-- it, and shrinks where there is more.  See src/replay/reprocess.c.
CREATE OR REPLACE FUNCTION fluct._next_window(progress jsonb, window_end timestamptz, last jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most_chunks CONSTANT int := 4;
	chunks int := (progress ->> 'chunks')::int + (last IS NOT NULL)::int;
	span numeric := (progress ->> 'span')::numeric;
BEGIN
	IF last IS NULL OR NOT (last ->> 'more')::boolean THEN
		span := least(100000000, span * CASE chunks WHEN 0 THEN 4 WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 0.5 END);
		RETURN progress - '{topic,partition,offset,window_end}'::text[] || jsonb_build_object('at', window_end, 'chunks', 0, 'span', span);
	END IF;
	IF chunks = most_chunks THEN
		span := greatest(0.001, span / most_chunks);
	END IF;
	IF chunks = most_chunks OR progress ->> 'at' IS NULL THEN
		window_end := least(window_end, (last ->> 'at')::timestamptz + make_interval(secs => span::float8));
		chunks := 0;
	END IF;
	RETURN progress || (last - 'more') || jsonb_build_object('window_end', window_end, 'chunks', chunks, 'span', span);
END
$$;
COMMENT ON FUNCTION fluct._next_window(jsonb, timestamptz, jsonb) IS
'The progress after a chunk of which `last` was the last message: where the next one is looked for.';

CREATE OR REPLACE FUNCTION fluct.__reprocess_chunk(name text, since timestamptz, until timestamptz, force boolean, progress jsonb)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
	p jsonb := coalesce(progress, fluct._begin_reprocess(s, since, until));
	at timestamptz := p ->> 'at';
	stop timestamptz := p ->> 'until';
	window_end timestamptz := coalesce((p ->> 'window_end')::timestamptz,
		least(stop, at + make_interval(secs => (p ->> 'span')::float8)));
	chunk record;
BEGIN
	PERFORM fluct._hold_at_rest(s);
	IF at >= stop THEN
		RAISE NOTICE '%', fluct._counts_of(s, p) ||
			CASE WHEN p ->> 'messages' = '0' AND NOT s.keep_raw THEN '; it keeps no raw copy (keep_raw)' ELSE '' END;
		RETURN NULL;
	END IF;
	SELECT * INTO chunk FROM fluct._store_chunk(s, p, window_end, coalesce(force, false));
	p := p || (SELECT jsonb_object_agg(c.key, c.value::bigint + (p ->> c.key)::bigint) FROM jsonb_each_text(chunk.counts) c);
	PERFORM fluct._check_refused(s, p);
	IF clock_timestamp() > (p ->> 'said')::timestamptz + interval '5 s' THEN
		RAISE NOTICE '%', fluct._counts_of(s, p);
		p := p || jsonb_build_object('said', clock_timestamp());
	END IF;
	RETURN fluct._next_window(p, window_end, chunk.last);
END
$$;
COMMENT ON FUNCTION fluct.__reprocess_chunk(text, timestamptz, timestamptz, boolean, jsonb) IS
'_reprocess_chunk, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._counts_of(s fluct.streams, progress jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('stream "%s" again: %s messages, %s rows, %s duplicates, %s refused, %s skipped',
		(s).name, progress ->> 'messages', progress ->> 'rows', progress ->> 'duplicates',
		progress ->> 'refused', progress ->> 'skipped')
$$;
COMMENT ON FUNCTION fluct._counts_of(fluct.streams, jsonb) IS 'The progress of reprocess_stream as a line for reading.';

CREATE OR REPLACE FUNCTION fluct._replaces_lines(stream text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (
		SELECT FROM fluct.streams s
		LEFT JOIN LATERAL jsonb_array_elements(s.mapping -> 'children') child ON true
		WHERE s.name = stream AND s.on_conflict = 'update'
			AND to_regclass('sales.order_lines') IN (to_regclass(s.target), to_regclass(child ->> 'target')))
$$;
COMMENT ON FUNCTION fluct._replaces_lines(text) IS 'Whether the stream replaces rows of sales.order_lines.';

CREATE OR REPLACE PROCEDURE fluct.reprocess_stream(name text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	force boolean DEFAULT false)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_reprocess_stream';
COMMENT ON PROCEDURE fluct.reprocess_stream(text, timestamptz, timestamptz, boolean) IS
'Stores the messages of sales.raw_messages of a stream again, as the stream would now, without Kafka: those with ingested_at in [since, until), NULL = from the first, to those of now. Chunks of at most 10,000 messages or 8 MB are committed one by one; if it is interrupted, call it again. Deletes nothing: a row whose key is there is a duplicate, or updated with on_conflict update; so fill a new column with update, or TRUNCATE the target first. A target without a unique key is refused unless force. A message that is refused now is a dead letter as before, or becomes an open one whatever on_bad_message says; an open one that is stored now becomes retried. A corrected dead letter is stored as corrected; tombstones and discarded dead letters are skipped; messages that were too_large have no raw copy. The stream must be paused or failed. Errors: object_not_in_prerequisite_state (it runs; no unique key; more than max_dead_letters, or nothing but refusals), undefined_object, insufficient_privilege, active_sql_transaction.';
