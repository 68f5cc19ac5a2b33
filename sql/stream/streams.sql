-- streams.sql: create, change, start and stop streams.
--
-- Each public function here is C's fluct_call_as_owner: it calls the function
-- of the same name with an underscore as the extension's owner, and that one
-- checks what fluct._caller() may do.  See src/pg/caller.c.

-- ----- create -----

CREATE OR REPLACE FUNCTION fluct.create_stream(
	name text, server text, topic text,
	target regclass DEFAULT NULL,
	mapping jsonb DEFAULT NULL,
	on_conflict text DEFAULT 'nothing',
	start_at text DEFAULT NULL,
	on_bad_message text DEFAULT 'dead_letter',
	on_data_loss text DEFAULT 'fail',
	max_dead_letters int DEFAULT 1000,
	error_window interval DEFAULT '1 hour',
	batch_size int DEFAULT 10000,
	batch_bytes bigint DEFAULT 8388608,
	batch_interval interval DEFAULT '100 ms',
	workers int DEFAULT 1,
	keep_raw boolean DEFAULT true,
	partitions int[] DEFAULT NULL,
	start boolean DEFAULT false,
	framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.create_stream(text, text, text, regclass, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], boolean, text, text) IS
'Declares a stream: a Kafka topic consumed into a table (default sales.orders) exactly once. topic: its name, several with commas between, or a pattern that begins with ^ (a regular expression of PostgreSQL): all topics that match it, also those that are made later, from their beginning; at most 1000. The caller becomes its owner, with whose rights it writes. It begins paused unless start is true. framing: registry skips the schema registry''s prefix before the JSON (byte 0 and 4 bytes of id, which is kafka.schema_id in a mapping). on_tombstone: a message without a value is only counted (ignore), or deletes the row with its key (delete), for which the target''s key columns come from kafka.key or kafka.key.$.field. Returns what to do next. Errors: duplicate_object, undefined_object (server), insufficient_privilege, invalid_parameter_value (names the column or option).';

CREATE OR REPLACE FUNCTION fluct._create_stream(
	name text, server text, topic text, target regclass, mapping jsonb, on_conflict text,
	start_at text, on_bad_message text, on_data_loss text, max_dead_letters int,
	error_window interval, batch_size int, batch_bytes bigint, batch_interval interval,
	workers int, keep_raw boolean, partitions int[], start boolean, framing text, on_tombstone text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	caller oid := fluct._caller();
	owner name := pg_get_userbyid(caller);
	whole jsonb;
BEGIN
	IF name IS NULL OR server IS NULL OR topic IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a stream needs a name, a server and a topic';
	END IF;
	PERFORM fluct._refuse_superuser(caller, 'a stream', 'A stream runs by itself, with the privileges of its owner.');
	PERFORM fluct._require_owner(owner, NULL, NULL);
	PERFORM fluct._claim_stream_name(name);
	topic := fluct._check_topic(topic);
	IF getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('streams need a database with the encoding UTF8, and this one has %s', getdatabaseencoding());
	END IF;
	IF target IS NULL OR keep_raw THEN
		PERFORM fluct._require_tables();
	END IF;
	target := coalesce(target, to_regclass('sales.orders'));
	whole := fluct._whole_mapping(target, mapping, caller);
	IF whole IS DISTINCT FROM mapping AND whole <> fluct._orders_mapping() THEN
		RAISE NOTICE 'mapping of stream "%": %', name, whole;
	END IF;
	PERFORM fluct._check_stream_options(on_conflict, on_bad_message, on_data_loss, max_dead_letters, error_window,
								 batch_size, batch_bytes, batch_interval, workers, partitions, framing, on_tombstone);
	PERFORM fluct._check_rights(caller, server, fluct._check_mapping(target, whole, on_conflict, caller, framing, on_tombstone), on_conflict, keep_raw,
		fluct._deletes(whole, on_tombstone));
	PERFORM fluct._check_start_topics(fluct._normal_start(start_at), topic);
	PERFORM fluct._continue_dropped_stream(name, topic, start_at);
	INSERT INTO fluct.streams (name, owner, owner_oid, system_identifier, database_oid, keyed, server, topic, target, mapping, on_conflict, start_at,
		on_bad_message, on_data_loss, max_dead_letters, error_window, batch_size, batch_bytes,
		batch_interval, workers, keep_raw, partitions, framing, on_tombstone)
	VALUES (name, owner, caller, (SELECT c.system_identifier::text FROM pg_control_system() c),
		(SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
		fluct._is_keyed(target, whole, on_conflict, caller, framing, on_tombstone),
		server, topic, fluct._qualified(target), fluct._with_schemas(target, whole), on_conflict, fluct._normal_start(start_at),
		on_bad_message, on_data_loss, max_dead_letters, error_window, batch_size, batch_bytes,
		batch_interval, workers, keep_raw, fluct._as_set(partitions), framing, on_tombstone);
	PERFORM fluct._take_back(name);
	DELETE FROM fluct.stream_states st WHERE st.stream = name;
	IF start THEN
		PERFORM fluct._start_stream(name);
		RETURN format('stream "%s" created and started; SELECT * FROM fluct.stat_streams; shows it', name);
	END IF;
	RETURN format('stream "%s" created; SELECT fluct.start_stream(%L); starts it', name, name);
END
$$;
COMMENT ON FUNCTION fluct._create_stream(text, text, text, regclass, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], boolean, text, text) IS
'create_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._claim_stream_name(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_name',
			MESSAGE = format('invalid stream name: "%s"', name),
			HINT = 'A name has 1 to 63 letters, digits, _ . or -.';
	END IF;
	-- wait for whoever creates or drops the same one
	PERFORM fluct._lock('stream', name);
	PERFORM FROM fluct.streams s WHERE s.name = _claim_stream_name.name FOR KEY SHARE;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
			MESSAGE = format('stream "%s" already exists', name),
			HINT = 'fluct.alter_stream() changes it, fluct.drop_stream() drops it.';
	END IF;
	PERFORM fluct._own_dropped_stream(name);
	DELETE FROM fluct.dropped_streams d WHERE d.name = _claim_stream_name.name;
END
$$;
COMMENT ON FUNCTION fluct._claim_stream_name(text) IS
'Locks the name of a new stream. Raises invalid_name, duplicate_object, or insufficient_privilege where a dropped stream of another role had it.';

CREATE OR REPLACE FUNCTION fluct._continue_dropped_stream(name text, topic text, start_at text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept record;
BEGIN
	SELECT count(*) AS partitions, count(*) FILTER (WHERE fluct._consumes(_continue_dropped_stream.topic, o.topic)) AS consumed INTO kept
	FROM fluct.stream_offsets o WHERE o.stream = name;
	IF kept.partitions > 0 AND (start_at IS NOT NULL OR kept.consumed = 0) THEN
		DELETE FROM fluct.stream_offsets o WHERE o.stream = name;
		DELETE FROM fluct.skipped_offsets k WHERE k.stream = name;
	ELSIF kept.partitions > 0 THEN
		RAISE NOTICE 'stream "%" continues where the dropped stream of that name left off', name
			USING HINT = 'Give start_at to begin elsewhere.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._continue_dropped_stream(text, text, text) IS
'Keeps the positions of the dropped stream of that name, with a NOTICE, or deletes them where start_at is given or none of them is of the topic.';

CREATE OR REPLACE FUNCTION fluct._as_set(numbers int[]) RETURNS int[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN numbers IS NOT NULL THEN ARRAY(SELECT DISTINCT n FROM unnest(numbers) n ORDER BY n) END $$;
COMMENT ON FUNCTION fluct._as_set(int[]) IS 'Each of the numbers once, in order.';

CREATE OR REPLACE FUNCTION fluct._qualified(rel regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%I.%I', n.nspname, c.relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = rel
$$;
COMMENT ON FUNCTION fluct._qualified(regclass) IS 'The name of a relation with its schema, quoted where needed.';

CREATE OR REPLACE FUNCTION fluct._say_idle_workers(name text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted int;
	n int;
BEGIN
	SELECT s.workers, count(*) INTO wanted, n
	  FROM fluct.streams s
	  JOIN fluct.stream_offsets o ON o.stream = s.name AND (s.partitions IS NULL OR o.partition = ANY (s.partitions))
	 WHERE s.name = _say_idle_workers.name
	 GROUP BY s.workers;
	IF n < wanted THEN
		RAISE NOTICE 'stream "%" has more workers than partitions', name
			USING DETAIL = format('A partition is read by one worker, so %s of %s have nothing to do.', wanted - n, wanted),
			      HINT = format('SELECT fluct.alter_stream(%L, workers => %s);', name, n);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._say_idle_workers(text) IS 'a NOTICE where the stream has more workers than partitions, as far as it has positions in them';

CREATE OR REPLACE FUNCTION fluct._check_stream_options(
	on_conflict text, on_bad_message text, on_data_loss text, max_dead_letters int,
	error_window interval, batch_size int, batch_bytes bigint, batch_interval interval,
	workers int, partitions int[], framing text, on_tombstone text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong text;
BEGIN
	-- NULL: not given
	PERFORM fluct._check_word('on_conflict', coalesce(on_conflict, 'nothing'), 'nothing', 'error', 'update');
	PERFORM fluct._check_word('on_bad_message', coalesce(on_bad_message, 'dead_letter'), 'dead_letter', 'fail');
	PERFORM fluct._check_word('on_data_loss', coalesce(on_data_loss, 'fail'), 'fail', 'skip');
	PERFORM fluct._check_word('framing', coalesce(framing, 'none'), 'none', 'registry');
	PERFORM fluct._check_word('on_tombstone', coalesce(on_tombstone, 'ignore'), 'ignore', 'delete');
	wrong := CASE
		WHEN max_dead_letters < 0 THEN 'max_dead_letters must be at least 0'
		WHEN error_window <= '0' THEN 'error_window must be longer than 0'
		WHEN batch_size NOT BETWEEN 1 AND 100000 THEN 'batch_size must be from 1 to 100000 messages'
		WHEN batch_bytes NOT BETWEEN 1024 AND 268435456 THEN 'batch_bytes must be from 1024 to 268435456 bytes'
		WHEN batch_interval NOT BETWEEN '0' AND '1 minute' THEN 'batch_interval must be from 0 to 1 minute'
		WHEN workers NOT BETWEEN 1 AND 64 THEN 'workers must be from 1 to 64'
		WHEN 0 > ANY (partitions) OR array_position(fluct._as_set(partitions), NULL) IS NOT NULL
			THEN 'partitions must be a list of numbers from 0, or NULL for all'
	END;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_stream_options(text, text, text, int, interval, int, bigint, interval, int, int[], text, text) IS
'Raises invalid_parameter_value, with the allowed values, for an option that is none; NULL is not checked.';

-- ----- start and stop -----

CREATE OR REPLACE FUNCTION fluct.start_stream(name text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.start_stream(text) IS
'Starts a stream, or resumes one that is paused or failed, where it left off. Returns its state. Errors: object_not_in_prerequisite_state with the postgresql.conf lines that are missing.';

CREATE OR REPLACE FUNCTION fluct._start_stream(name text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(name);
	role oid := fluct._stream_owner(s);
	here text := (SELECT c.system_identifier::text FROM pg_control_system() c);
	listed text := nullif(current_setting('fluct.database', true), '');
BEGIN
	IF NOT fluct._preloaded() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'streams run only when fluct is preloaded',
			DETAIL = 'fluct is not in shared_preload_libraries.',
			HINT = E'Put these lines in postgresql.conf and restart the server:\n' || fluct._preload_lines();
	END IF;
	IF NOT fluct._served() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the streams of database "%s" do not run', current_database()),
			DETAIL = CASE WHEN listed IS NULL THEN 'fluct.database is empty.'
						  ELSE format('fluct.database is "%s", and this database is not in that list.', listed) END,
			HINT = format('ALTER SYSTEM SET fluct.database = %L; SELECT pg_reload_conf();', fluct._database_list());
	END IF;
	UPDATE fluct.streams t SET enabled = true, pause_reason = NULL, starts = t.starts + 1,
		version = t.version + 1, changed_at = clock_timestamp(),
		owner = coalesce((SELECT r.rolname FROM pg_roles r WHERE r.oid = role), t.owner),
		owner_oid = coalesce(role, CASE WHEN t.system_identifier = here THEN t.owner_oid END),
		system_identifier = here,
		database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	WHERE t.name = s.name;
	PERFORM fluct._announce_change(format('stream "%s" was started by role "%s"', name, pg_get_userbyid(fluct._caller())));
	RETURN 'starting';
END
$$;
COMMENT ON FUNCTION fluct._start_stream(text) IS 'start_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct.pause_stream(name text, reason text DEFAULT NULL) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.pause_stream(text, text) IS
'Stops a stream after the batch that is being written; start_stream goes on there. Returns its state.';

CREATE OR REPLACE FUNCTION fluct._pause_stream(name text, reason text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(name);
BEGIN
	UPDATE fluct.streams t SET enabled = false, pause_reason = reason,
		version = t.version + 1, changed_at = clock_timestamp()
	WHERE t.name = s.name;
	PERFORM fluct._announce_event('state', name, 'paused', clock_timestamp());
	PERFORM fluct._announce_change(format('stream "%s" was paused by role "%s"', name, pg_get_userbyid(fluct._caller())), reason);
	RETURN 'paused';
END
$$;
COMMENT ON FUNCTION fluct._pause_stream(text, text) IS 'pause_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct.drop_stream(name text, forget boolean DEFAULT false) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.drop_stream(text, boolean) IS
'Drops a stream. Its targets, raw copy, dead letters and gaps stay, and so do its last offsets: a new stream of that name with start_at NULL goes on there. The name stays its owner''s. forget: all of these but the targets and the raw copy go, also those of a stream that was dropped before, and the name is free. Errors: undefined_object, insufficient_privilege, object_not_in_prerequisite_state where a partition is to be forgotten while it is handed over.';

CREATE OR REPLACE FUNCTION fluct._own_dropped_stream(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	d fluct.dropped_streams;
BEGIN
	SELECT * INTO d FROM fluct.dropped_streams k WHERE k.name = _own_dropped_stream.name;
	IF FOUND AND NOT coalesce(pg_has_role(fluct._caller(), fluct._owner_role(d.owner, d.owner_oid, d.system_identifier), 'MEMBER'),
							  (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = fluct._caller())) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('the name "%s" is that of a dropped stream of role "%s"', name, d.owner),
			DETAIL = 'Its offsets, dead letters and gaps are kept for that role.',
			HINT = format('As that role, SELECT fluct.drop_stream(%L, forget => true); frees the name.', name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._own_dropped_stream(text) IS
'Raises insufficient_privilege where the name is that of another role''s dropped stream.';

CREATE OR REPLACE FUNCTION fluct._drop_stream(name text, forget boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams;
BEGIN
	PERFORM fluct._lock('stream', name);
	IF forget AND EXISTS (SELECT FROM fluct.dropped_streams d WHERE d.name = _drop_stream.name) THEN
		PERFORM fluct._own_dropped_stream(name);
	ELSE
		s := fluct._own_stream(name);
	END IF;
	IF forget THEN
		PERFORM fluct._refuse_under_way(name);
	END IF;
	IF s.name IS NOT NULL THEN
		DELETE FROM fluct.dropped_streams d WHERE d.name = s.name;
		INSERT INTO fluct.dropped_streams (name, owner, owner_oid, system_identifier)
		VALUES (s.name, s.owner, s.owner_oid, s.system_identifier);
		INSERT INTO fluct.dropped_feeds AS d (stream, data_until)
		SELECT f.stream, f.data_until FROM fluct.freshness f
		WHERE f.stream = s.name AND f.data_until IS NOT NULL AND fluct._feeds_orders(s.target)
		ON CONFLICT (stream) DO UPDATE SET data_until = excluded.data_until;
		DELETE FROM fluct.streams t WHERE t.name = s.name;
		DELETE FROM fluct.stream_states t WHERE t.stream = s.name;
	END IF;
	IF forget THEN
		DELETE FROM fluct.stream_offsets t WHERE t.stream = name;
		DELETE FROM fluct.skipped_offsets t WHERE t.stream = name;
		DELETE FROM fluct.dead_letters t WHERE t.stream = name;
		DELETE FROM fluct.gaps t WHERE t.stream = name;
		DELETE FROM fluct.dropped_streams t WHERE t.name = _drop_stream.name;
	END IF;
	PERFORM fluct._announce_event('state', name, 'dropped', clock_timestamp());
	PERFORM fluct._announce_change(format('stream "%s" was dropped by role "%s"%s', name, pg_get_userbyid(fluct._caller()),
		CASE WHEN forget THEN ', with what it left' ELSE '' END));
END
$$;
COMMENT ON FUNCTION fluct._drop_stream(text, boolean) IS 'drop_stream, as the extension''s owner.';
