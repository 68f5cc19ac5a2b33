-- streams.sql: create, change, start and stop streams.
--
-- Each public function here is C's fluct_call_as_owner: it calls the function
-- of the same name with an underscore as the extension's owner, and that one
-- checks what fluct._caller() may do.  See src/pg/caller.c.

CREATE OR REPLACE FUNCTION fluct._check_mapping(target regclass, mapping jsonb, on_conflict text, owner oid, framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS text[]
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_check_mapping';
COMMENT ON FUNCTION fluct._check_mapping(regclass, jsonb, text, oid, text, text) IS
'Compiles a mapping and returns the names of the tables that it fills; an error names the table and column at fault.';

CREATE OR REPLACE FUNCTION fluct._is_keyed(target regclass, mapping jsonb, on_conflict text, owner oid, framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_is_keyed';
COMMENT ON FUNCTION fluct._is_keyed(regclass, jsonb, text, oid, text, text) IS
'Whether the target has a unique key whose columns are all mapped, so that on_conflict can tell a message that was stored before.';

CREATE OR REPLACE FUNCTION fluct._owner_role(name text, role oid, system_identifier text) RETURNS oid
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_owner_role';
COMMENT ON FUNCTION fluct._owner_role(text, oid, text) IS
'The role that a stored owner is: by its OID in the cluster of that system identifier, by its name in any other or without an OID; NULL when there is none.';

CREATE OR REPLACE FUNCTION fluct._require_owner(name text, role oid, system_identifier text) RETURNS oid
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_require_owner';
COMMENT ON FUNCTION fluct._require_owner(text, oid, text) IS
'The role that a stored owner is, if something may run for it by itself. Errors: insufficient_privilege where it is gone, is a superuser, or lacks LOGIN or CONNECT, with the statement that gives it.';

CREATE OR REPLACE FUNCTION fluct._stream_owner(stream fluct.streams) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._owner_role(stream.owner, stream.owner_oid, stream.system_identifier)
$$;
COMMENT ON FUNCTION fluct._stream_owner(fluct.streams) IS
'The role that owns the stream; NULL when it is gone.';

CREATE OR REPLACE FUNCTION fluct._derive_mapping(target regclass, owner oid, envelope boolean DEFAULT false, rows boolean DEFAULT false) RETURNS jsonb
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_derive_mapping';
COMMENT ON FUNCTION fluct._derive_mapping(regclass, oid, boolean, boolean) IS
'The mapping that takes each column of a table from the top-level field of the same name; a jsonb column "extra" takes the rest. envelope: in the formats that Debezium has by default. rows: from the record.';

CREATE OR REPLACE FUNCTION fluct._orders_mapping() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb '{
		"columns": {"order_id": "$.order_id", "customer_id": "$.customer_id",
					"amount": "$.amount", "ordered_at": "$.timestamp"},
		"extra": "extra",
		"children": [{"target": "sales.order_lines", "rows": "$.order_lines[*]",
			"columns": {"order_id": "$.order_id", "ordered_at": "$.timestamp",
						"line_number": "#", "product_id": "@.product_id",
						"volume": "@.volume", "price": "@.price"}}]}'
$$;
COMMENT ON FUNCTION fluct._orders_mapping() IS
'The mapping that a stream into sales.orders has by default.';

CREATE OR REPLACE FUNCTION fluct._whole_mapping(target regclass, mapping jsonb, owner oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN mapping IS NULL AND target = to_regclass('sales.orders') THEN fluct._orders_mapping()
				WHEN mapping IS NULL THEN fluct._derive_mapping(target, owner)
				WHEN mapping ? 'columns' OR NOT mapping ?| '{absent,delete,envelope,rows,version,where}' THEN mapping
				WHEN target = to_regclass('sales.orders') AND NOT mapping ?| '{envelope,rows}' THEN fluct._orders_mapping() || mapping
				ELSE fluct._derive_mapping(target, owner, mapping ? 'envelope', mapping ? 'rows') || mapping END
$$;
COMMENT ON FUNCTION fluct._whole_mapping(regclass, jsonb, oid) IS
'A mapping with the columns that it has by default: those of orders, or each from the field of its name.';

CREATE OR REPLACE FUNCTION fluct._start_of(start_at text, topic text, partition int, OUT at bigint, OUT exact boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	exact := false;
	IF start_at IS NULL OR start_at = 'earliest' THEN
		at := -2;
	ELSIF start_at = 'latest' THEN
		at := -1;
	ELSIF start_at ~ '^\s*\{' THEN
		at := CASE WHEN jsonb_typeof(start_at::jsonb -> topic) = 'object' THEN (start_at::jsonb -> topic ->> partition::text)::bigint
				   WHEN jsonb_typeof(start_at::jsonb -> partition::text) IS DISTINCT FROM 'object'
				   THEN (start_at::jsonb ->> partition::text)::bigint END;
		exact := at IS NOT NULL;
		at := coalesce(at, -2);
		IF exact AND at < 0 OR start_at::jsonb = '{}' OR jsonb_path_exists(start_at::jsonb, '$.** ? (@ == null)') THEN
			RAISE invalid_parameter_value;
		END IF;
	ELSIF start_at ~ '^\s*-' THEN
		at := greatest(0, 1000 * extract(epoch FROM clock_timestamp() + start_at::interval))::bigint;
	ELSE
		at := greatest(0, ceil(1000 * extract(epoch FROM start_at::timestamptz)))::bigint;
	END IF;
EXCEPTION WHEN data_exception OR feature_not_supported THEN
	RAISE EXCEPTION USING
		ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('invalid start_at: "%s"', start_at),
		HINT = fluct._did_you_mean(start_at, '{earliest,latest}', 'It is earliest, latest, a timestamp, a negative interval such as ''-7 days'', or offsets by partition such as ''{"0": 42}'', of several topics ''{"TOPIC": {"0": 42}}''.');
END
$$;
COMMENT ON FUNCTION fluct._start_of(text, text, int) IS
'Where start_at begins in a partition of a topic: milliseconds since 1970, -1 for the end, -2 for the beginning, or, where exact, an offset.';

-- A timestamp means the same in every session once its zone is written out.
CREATE OR REPLACE FUNCTION fluct._normal_start(start_at text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	PERFORM fluct._start_of(start_at, '', 0);
	IF start_at ~ '^\s*\{' THEN
		PERFORM fluct._start_of(start_at, coalesce(n.topic, ''), n.partition::int)
		FROM fluct._named_in(start_at) n WHERE n.partition ~ '^(0|[1-9]\d{0,8})$';
	END IF;
	IF start_at IS NULL OR start_at IN ('earliest', 'latest') OR start_at ~ '^\s*[-{]' THEN
		RETURN start_at;
	END IF;
	RETURN to_char(start_at::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
END
$$;
COMMENT ON FUNCTION fluct._normal_start(text) IS
'start_at, checked, and a timestamp written in UTC.';

CREATE OR REPLACE FUNCTION fluct._check_rights(caller oid, server text, targets text[], on_conflict text, keep_raw boolean, deletes boolean)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	role name := pg_get_userbyid(caller);
	target text;
	needed text[];
	need text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_foreign_server s
				   JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
				   WHERE s.srvname = server AND w.fdwname = 'fluct_kafka') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('server "%s" of the wrapper fluct_kafka does not exist', server),
			HINT = fluct._did_you_mean(server, ARRAY(
				SELECT s.srvname::text FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE w.fdwname = 'fluct_kafka'),
				format('CREATE SERVER %I FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers ''host:9092'');', server));
	END IF;
	IF NOT has_server_privilege(caller, server, 'USAGE') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" cannot use server "%s"', role, server),
			HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', server, role);
	END IF;
	PERFORM fluct._check_server_owner(server, caller);
	FOR i IN 1 .. cardinality(targets) + keep_raw::int LOOP
		target := coalesce(targets[i], 'sales.raw_messages');
		needed := CASE WHEN deletes AND i = 1 THEN '{INSERT,SELECT,UPDATE,DELETE}'
					   WHEN on_conflict = 'update' AND i = 1 THEN '{INSERT,SELECT,UPDATE}'
					   WHEN on_conflict = 'update' AND i <= cardinality(targets) THEN '{INSERT,SELECT,DELETE}'
					   WHEN on_conflict = 'nothing' AND i = 1 THEN '{INSERT,SELECT}'
					   ELSE '{INSERT}' END;
		FOREACH need IN ARRAY needed LOOP
			IF NOT (CASE WHEN need = 'DELETE' THEN has_table_privilege(caller, target, need)
						 ELSE has_any_column_privilege(caller, target, need) END) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'insufficient_privilege',
					MESSAGE = format('role "%s" lacks %s on %s', role, need, target),
					DETAIL = 'A stream writes with the rights of the role that creates it.',
					HINT = format('GRANT %s ON %s TO %I;', array_to_string(needed, ', '), target, role);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._check_rights(oid, text, text[], text, boolean, boolean) IS
'Raises insufficient_privilege where the role lacks a right that a stream of its needs, with the GRANT that gives it.';

CREATE OR REPLACE FUNCTION fluct._deletes(mapping jsonb, on_tombstone text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT mapping ?| '{delete,envelope}' OR on_tombstone = 'delete'
$$;
COMMENT ON FUNCTION fluct._deletes(jsonb, text) IS 'Whether messages of a stream may delete rows of its target.';

-- ----- topics -----

CREATE OR REPLACE FUNCTION fluct._consumes(declared text, topic text) RETURNS boolean
LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_consumes';
COMMENT ON FUNCTION fluct._consumes(text, text) IS
'Whether a stream with this topic, list or pattern consumes that topic. Topics whose names begin with two underscores match only a pattern that begins with ^__.';

CREATE OR REPLACE FUNCTION fluct._is_many(declared text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT declared LIKE '^%' OR declared LIKE '%,%'
$$;
COMMENT ON FUNCTION fluct._is_many(text) IS 'Whether a stream''s topic is a list or a pattern.';

CREATE OR REPLACE FUNCTION fluct._check_topic(topic text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
DECLARE
	names text[];
	wrong text;
	why text;
BEGIN
	IF topic ~ '^\s*\^' THEN
		IF length(topic) > 1000 OR topic ~ '[^ -~]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
				MESSAGE = format('invalid pattern of topics: "%s"', fluct._printable(left(topic, 250))),
				DETAIL = 'A pattern has at most 1000 characters, all of them printable ASCII.';
		ELSIF topic ~ '\\[1-9]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
				MESSAGE = format('invalid pattern of topics: "%s"', topic),
				DETAIL = 'It refers back to what a group matched.';
		END IF;
		topic := btrim(topic);
		PERFORM '' ~ topic;
		RETURN topic;
	END IF;
	names := regexp_split_to_array(btrim(topic), '\s*,\s*');
	SELECT n INTO wrong FROM unnest(names) WITH ORDINALITY AS t(n, i)
	WHERE n !~ '^[A-Za-z0-9._-]{1,249}$' OR n IN ('.', '..') ORDER BY i LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_name',
			MESSAGE = format('invalid topic name: "%s"', fluct._printable(left(wrong, 250))),
			HINT = 'In Kafka a topic has 1 to 249 letters, digits, ".", "_" or "-" in its name. Several are written with commas between, or as a pattern that begins with ^, such as ''^orders-'': a regular expression of PostgreSQL (those of POSIX are among them).';
	END IF;
	SELECT n INTO wrong FROM unnest(names) n GROUP BY n HAVING count(*) > 1 LIMIT 1;
	IF FOUND OR cardinality(names) > 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN wrong IS NULL THEN format('a stream consumes at most 1000 topics, not %s', cardinality(names))
						   ELSE format('topic "%s" is duplicated', wrong) END;
	END IF;
	RETURN array_to_string(names, ',');
EXCEPTION WHEN invalid_regular_expression THEN
	GET STACKED DIAGNOSTICS wrong = MESSAGE_TEXT, why = PG_EXCEPTION_DETAIL;
	RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
		MESSAGE = CASE WHEN why = '' THEN format('invalid pattern of topics: "%s"', fluct._printable(topic)) ELSE wrong END,
		DETAIL = CASE WHEN why = '' THEN upper(left(wrong, 1)) || substr(wrong, 2) || '.' ELSE why END,
		HINT = format('A pattern is a regular expression of PostgreSQL (those of POSIX are among them): SELECT ''NAME'' ~ %L; tries it.', topic);
END
$$;
COMMENT ON FUNCTION fluct._check_topic(text) IS
'A topic, a list of them without blanks, or a pattern, as a stream stores it. Errors: invalid_name, invalid_regular_expression, invalid_parameter_value where one is duplicated.';

-- Offsets by partition need a topic where there are several, and one that is there.
CREATE OR REPLACE FUNCTION fluct._check_start_topics(start_at text, topic text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	wrong text;
BEGIN
	IF start_at !~ '^\s*\{' THEN
		RETURN;
	END IF;
	SELECT CASE WHEN n.partition !~ '^(0|[1-9]\d{0,8})$' THEN format('start_at names partition "%s"', fluct._printable(n.partition))
				WHEN n.topic IS NULL THEN 'start_at names partitions, but no topic'
				ELSE format('start_at names topic "%s", which the stream does not consume', fluct._printable(n.topic)) END INTO wrong
	FROM fluct._named_in(start_at) n
	WHERE n.partition !~ '^(0|[1-9]\d{0,8})$' OR CASE WHEN n.topic IS NULL THEN fluct._is_many(_check_start_topics.topic)
			   ELSE NOT fluct._consumes(_check_start_topics.topic, n.topic) END LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
			HINT = 'Offsets by partition are written such as ''{"0": 42, "1": 7}'', of several topics as ''{"TOPIC": {"0": 42}}''.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_start_topics(text, text) IS
'Raises invalid_parameter_value where start_at names offsets of a topic that the stream does not consume, or of none though it has several, or a partition that is not a number.';

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
	kept record;
BEGIN
	IF name IS NULL OR server IS NULL OR topic IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a stream needs a name, a server and a topic';
	END IF;
	PERFORM fluct._refuse_superuser(caller, 'a stream', 'A stream runs by itself, with the privileges of its owner.');
	PERFORM fluct._require_owner(owner, NULL, NULL);
	IF name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_name',
			MESSAGE = format('invalid stream name: "%s"', name),
			HINT = 'A name has 1 to 63 letters, digits, _ . or -.';
	END IF;
	topic := fluct._check_topic(topic);
	-- who creates the same one at the same time, or drops it, is waited for
	PERFORM fluct._lock('stream', name);
	PERFORM FROM fluct.streams s WHERE s.name = _create_stream.name FOR KEY SHARE;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
			MESSAGE = format('stream "%s" already exists', name),
			HINT = 'fluct.alter_stream() changes it, fluct.drop_stream() drops it.';
	END IF;
	PERFORM fluct._own_dropped_stream(name);
	DELETE FROM fluct.dropped_streams d WHERE d.name = _create_stream.name;
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
	SELECT count(*) AS partitions, count(*) FILTER (WHERE fluct._consumes(topic, o.topic)) AS consumed INTO kept
	FROM fluct.stream_offsets o WHERE o.stream = name;
	IF kept.partitions > 0 AND (start_at IS NOT NULL OR kept.consumed = 0) THEN
		DELETE FROM fluct.stream_offsets o WHERE o.stream = name;
		DELETE FROM fluct.skipped_offsets k WHERE k.stream = name;
	ELSIF kept.partitions > 0 THEN
		RAISE NOTICE 'stream "%" continues where the dropped stream of that name left off', name
			USING HINT = 'Give start_at to begin elsewhere.';
	END IF;
	INSERT INTO fluct.streams (name, owner, owner_oid, system_identifier, database_oid, keyed, server, topic, target, mapping, on_conflict, start_at,
		on_bad_message, on_data_loss, max_dead_letters, error_window, batch_size, batch_bytes,
		batch_interval, workers, keep_raw, partitions, framing, on_tombstone)
	VALUES (name, owner, caller, (SELECT c.system_identifier::text FROM pg_control_system() c),
		(SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
		fluct._is_keyed(target, whole, on_conflict, caller, framing, on_tombstone), server, topic, fluct._qualified(target), whole, on_conflict, fluct._normal_start(start_at),
		on_bad_message, on_data_loss, max_dead_letters, error_window, batch_size, batch_bytes,
		batch_interval, workers, keep_raw, fluct._as_set(partitions), framing, on_tombstone);
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
	-- NULL: as it is
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

-- ----- the caller's stream -----

CREATE OR REPLACE FUNCTION fluct._stream_hint(name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN count(*) = 0 THEN 'SELECT fluct.create_stream(...) makes one.'
			ELSE fluct._did_you_mean(_stream_hint.name, array_agg(s.name), 'SELECT stream, state FROM fluct.stat_streams; lists all.') END
  FROM fluct.streams s
$$;
COMMENT ON FUNCTION fluct._stream_hint(text) IS 'the hint for a stream that does not exist';

CREATE OR REPLACE FUNCTION fluct._own_stream(name text, lock boolean DEFAULT true) RETURNS fluct.streams
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stream fluct.streams;
	caller oid := fluct._caller();
BEGIN
	IF lock THEN
		PERFORM FROM fluct.streams s WHERE s.name = _own_stream.name FOR UPDATE;
	END IF;
	SELECT * INTO stream FROM fluct.streams s WHERE s.name = _own_stream.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('stream %s does not exist', coalesce('"' || name || '"', 'NULL')), HINT = fluct._stream_hint(name);
	END IF;
	IF (SELECT rolsuper FROM pg_roles WHERE oid = caller) THEN
		RETURN stream;
	END IF;
	IF NOT coalesce(pg_has_role(caller, fluct._stream_owner(stream), 'MEMBER'), false) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('stream "%s" belongs to role "%s"', name, stream.owner);
	END IF;
	RETURN stream;
END
$$;
COMMENT ON FUNCTION fluct._own_stream(text, boolean) IS
'The stream, locked unless lock is false, if the caller is its owner, a member of its owner, or a superuser. Errors: undefined_object, insufficient_privilege.';

-- ----- alter -----

CREATE OR REPLACE FUNCTION fluct.alter_stream(
	name text,
	server text DEFAULT NULL,
	mapping jsonb DEFAULT NULL,
	on_conflict text DEFAULT NULL,
	start_at text DEFAULT NULL,
	on_bad_message text DEFAULT NULL,
	on_data_loss text DEFAULT NULL,
	max_dead_letters int DEFAULT NULL,
	error_window interval DEFAULT NULL,
	batch_size int DEFAULT NULL,
	batch_bytes bigint DEFAULT NULL,
	batch_interval interval DEFAULT NULL,
	workers int DEFAULT NULL,
	keep_raw boolean DEFAULT NULL,
	partitions int[] DEFAULT NULL,
	topic text DEFAULT NULL,
	framing text DEFAULT NULL,
	on_tombstone text DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.alter_stream(text, text, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], text, text, text) IS
'Changes a stream; what is not given stays. topic: a topic that is added begins at its beginning; one that is left out keeps its position, where it continues if it is added again. A running stream takes the change up at its next batch by itself. start_at only before the first start. Errors: as create_stream.';

CREATE OR REPLACE FUNCTION fluct._alter_stream(
	name text, server text, mapping jsonb, on_conflict text, start_at text, on_bad_message text,
	on_data_loss text, max_dead_letters int, error_window interval, batch_size int,
	batch_bytes bigint, batch_interval interval, workers int, keep_raw boolean, partitions int[], topic text, framing text, on_tombstone text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name);
	owner oid := fluct._require_owner(s.owner, s.owner_oid, s.system_identifier);
BEGIN
	IF start_at IS NOT NULL AND EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = name) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" has a position already', name),
			HINT = format('SELECT * FROM fluct.seek_stream(%L, %L);', name, start_at);
	END IF;
	mapping := CASE WHEN mapping IS NOT NULL THEN fluct._whole_mapping(s.target::regclass, mapping, owner) END;
	PERFORM fluct._check_stream_options(on_conflict, on_bad_message, on_data_loss, max_dead_letters, error_window,
								 batch_size, batch_bytes, batch_interval, workers, partitions, framing, on_tombstone);
	topic := fluct._check_topic(topic);
	PERFORM fluct._check_start_topics(coalesce(fluct._normal_start(start_at), s.start_at), coalesce(topic, s.topic))
	WHERE start_at IS NOT NULL OR NOT EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = name);
	PERFORM fluct._check_rights(owner, coalesce(server, s.server),
		fluct._check_mapping(s.target::regclass, coalesce(mapping, s.mapping), coalesce(on_conflict, s.on_conflict), owner, coalesce(framing, s.framing),
			coalesce(on_tombstone, s.on_tombstone)),
		coalesce(on_conflict, s.on_conflict), coalesce(keep_raw, s.keep_raw),
		fluct._deletes(coalesce(mapping, s.mapping), coalesce(on_tombstone, s.on_tombstone)));
	UPDATE fluct.streams t SET
		server = coalesce(server, t.server),
		topic = coalesce(topic, t.topic),
		mapping = coalesce(mapping, t.mapping),
		on_conflict = coalesce(on_conflict, t.on_conflict),
		keyed = fluct._is_keyed(s.target::regclass, coalesce(mapping, s.mapping), coalesce(on_conflict, s.on_conflict), owner, coalesce(framing, s.framing),
			coalesce(on_tombstone, s.on_tombstone)),
		start_at = coalesce(fluct._normal_start(start_at), t.start_at),
		on_bad_message = coalesce(on_bad_message, t.on_bad_message),
		on_data_loss = coalesce(on_data_loss, t.on_data_loss),
		max_dead_letters = coalesce(max_dead_letters, t.max_dead_letters),
		error_window = coalesce(error_window, t.error_window),
		batch_size = coalesce(batch_size, t.batch_size),
		batch_bytes = coalesce(batch_bytes, t.batch_bytes),
		batch_interval = coalesce(batch_interval, t.batch_interval),
		workers = coalesce(workers, t.workers),
		keep_raw = coalesce(keep_raw, t.keep_raw),
		partitions = coalesce(fluct._as_set(partitions), t.partitions),
		framing = coalesce(framing, t.framing),
		on_tombstone = coalesce(on_tombstone, t.on_tombstone),
		version = t.version + 1,
		changed_at = clock_timestamp()
	WHERE t.name = s.name;
	PERFORM fluct._announce_change(
		format('stream "%s" was altered by role "%s"', name, pg_get_userbyid(fluct._caller())),
		'It has another ' || nullif(concat_ws(', ',
			CASE WHEN server <> s.server THEN 'server' END,
			CASE WHEN topic <> s.topic THEN 'topic' END,
			CASE WHEN mapping <> s.mapping THEN 'mapping' END,
			CASE WHEN on_conflict <> s.on_conflict THEN 'on_conflict' END,
			CASE WHEN start_at IS NOT NULL THEN 'start_at' END,
			CASE WHEN on_bad_message <> s.on_bad_message THEN 'on_bad_message' END,
			CASE WHEN on_data_loss <> s.on_data_loss THEN 'on_data_loss' END,
			CASE WHEN max_dead_letters <> s.max_dead_letters THEN 'max_dead_letters' END,
			CASE WHEN error_window <> s.error_window THEN 'error_window' END,
			CASE WHEN batch_size <> s.batch_size THEN 'batch_size' END,
			CASE WHEN batch_bytes <> s.batch_bytes THEN 'batch_bytes' END,
			CASE WHEN batch_interval <> s.batch_interval THEN 'batch_interval' END,
			CASE WHEN workers <> s.workers THEN 'workers' END,
			CASE WHEN keep_raw <> s.keep_raw THEN 'keep_raw' END,
			CASE WHEN framing <> s.framing THEN 'framing' END,
			CASE WHEN on_tombstone <> s.on_tombstone THEN 'on_tombstone' END,
			CASE WHEN partitions IS NOT NULL AND partitions IS DISTINCT FROM s.partitions THEN 'partitions' END), '') || '.');
	PERFORM fluct._say_idle_workers(s.name) WHERE workers > s.workers OR partitions IS NOT NULL;
END
$$;
COMMENT ON FUNCTION fluct._alter_stream(text, text, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], text, text, text) IS
'alter_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._place_in_mapping(stream fluct.streams, target regclass) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	child int;
BEGIN
	IF target IS NULL OR target = to_regclass(stream.target) THEN
		RETURN '{columns}';
	END IF;
	SELECT c.n - 1 INTO child
	FROM jsonb_array_elements(stream.mapping -> 'children') WITH ORDINALITY AS c(value, n)
	WHERE to_regclass(c.value ->> 'target') = target;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('%s is not a target of stream "%s"', target, stream.name);
	END IF;
	RETURN ARRAY['children', child::text, 'columns'];
END
$$;
COMMENT ON FUNCTION fluct._place_in_mapping(fluct.streams, regclass) IS
'The path of a target''s columns in the stream''s mapping.';

CREATE OR REPLACE FUNCTION fluct.map_column(stream text, "column" text, path text, format text DEFAULT NULL,
	required boolean DEFAULT NULL, target regclass DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.map_column(text, text, text, text, boolean, regclass) IS
'Fills one column more (or from another path) from the next batch on, such as map_column(''orders'', ''channel'', ''$.channel''). format: one of those of a mapping, such as epoch_ms, number or text. target: the child table, if the column is of one. Errors: undefined_column, invalid_parameter_value.';

CREATE OR REPLACE FUNCTION fluct._map_column(stream text, "column" text, path text, format text, required boolean, target regclass)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(stream);
	spec jsonb := to_jsonb(path);
	relation regclass := coalesce(target, to_regclass(s.target));
	near text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = relation AND a.attname = "column" AND a.attnum > 0 AND NOT a.attisdropped) THEN
		SELECT fluct._nearest_word("column", array_agg(a.attname::text)) INTO near
		FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
		IF near IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_column',
				MESSAGE = format('mapping: table %s has no column "%s"', fluct._qualified(relation), "column"),
				HINT = format('Did you mean "%s"? Otherwise add the column first.', near);
		END IF;
	END IF;
	IF format IS NOT NULL OR required IS NOT NULL THEN
		spec := jsonb_strip_nulls(jsonb_build_object('path', path, 'format', format, 'required', required));
	END IF;
	PERFORM fluct._alter_stream(stream, NULL,
		jsonb_set(s.mapping, fluct._place_in_mapping(s, target) || "column", spec),
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION fluct._map_column(text, text, text, text, boolean, regclass) IS
'map_column, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct.unmap_column(stream text, "column" text, target regclass DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.unmap_column(text, text, regclass) IS
'Takes a column out of the mapping, so that it can be dropped; also the one that "extra" names. Errors: undefined_column where it is not mapped.';

CREATE OR REPLACE FUNCTION fluct._unmap_column(stream text, "column" text, target regclass)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct.streams := fluct._own_stream(stream);
	columns text[] := fluct._place_in_mapping(s, target);
	place text[] := columns || "column";
	extra text[] := trim_array(columns, 1) || 'extra'::text;
BEGIN
	IF s.mapping #>> extra = "column" THEN
		place := extra;
	ELSIF s.mapping #> place IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column',
			MESSAGE = format('stream "%s" maps nothing to column "%s"', stream, "column"),
			HINT = coalesce((SELECT format('Did you mean "%s"?', n.near)
							 FROM fluct._nearest_word("column", ARRAY(SELECT jsonb_object_keys(s.mapping #> columns))) n(near)
							 WHERE n.near IS NOT NULL),
							 format('SELECT mapping FROM fluct.streams WHERE name = %L;', stream));
	END IF;
	PERFORM fluct._alter_stream(stream, NULL, s.mapping #- place,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION fluct._unmap_column(text, text, regclass) IS
'unmap_column, as the extension''s owner.';

-- ----- start and stop -----

CREATE OR REPLACE FUNCTION fluct._database_list() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(', ', nullif(current_setting('fluct.database', true), ''),
					 CASE WHEN NOT fluct._served() THEN quote_ident(current_database()) END)
$$;
COMMENT ON FUNCTION fluct._database_list() IS
'fluct.database with this database in it.';

-- pg_cron's jobs are processes of that kind only where it is told so.
CREATE OR REPLACE FUNCTION fluct._workers_needed() RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT (current_setting('max_logical_replication_workers')::int > 0)::int
		+ cardinality(regexp_split_to_array(fluct._database_list(), ','))
		+ coalesce(current_setting('fluct.max_workers', true)::int, 4)
		+ 2 + 2
		+ CASE WHEN current_setting('shared_preload_libraries') ~ '\mpg_cron\M'
			THEN 1 + CASE WHEN current_setting('cron.use_background_workers', true)::boolean
				THEN greatest(1, (SELECT count(*) FROM fluct.reports) + (SELECT count(*) FROM fluct.inboxes)) ELSE 0 END
			ELSE 0 END::int
$$;
COMMENT ON FUNCTION fluct._workers_needed() IS
'How many of max_worker_processes a server with this database''s streams can use at once: for logical replication 1, a launcher for each database, fluct.max_workers, 2 for calls that query Kafka, 2 that make partitions, and pg_cron''s; those of parallel queries come on top.';

CREATE OR REPLACE FUNCTION fluct._preload_lines() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT concat_ws(E'\n',
		format('shared_preload_libraries = ''%s''',
			replace(concat_ws(',', nullif(current_setting('shared_preload_libraries'), ''), 'fluct'), '''', '''''')),
		format('fluct.database = ''%s''', replace(fluct._database_list(), '''', '''''')),
		CASE WHEN fluct._workers_needed() > current_setting('max_worker_processes')::int
			THEN format('max_worker_processes = %s', fluct._workers_needed()) END)
$$;
COMMENT ON FUNCTION fluct._preload_lines() IS
'The lines of postgresql.conf that streams of this database need, with what is set there now.';

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
'Drops a stream. Its targets, raw copy, dead letters and gaps stay, and so do its last offsets: a new stream of that name with start_at NULL goes on there. The name stays its owner''s. forget: all of these but the targets and the raw copy go, also those of a stream that was dropped before, and the name is free. Errors: undefined_object, insufficient_privilege.';

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
		DELETE FROM fluct.dropped_streams d WHERE d.name = s.name;
		INSERT INTO fluct.dropped_streams (name, owner, owner_oid, system_identifier)
		VALUES (s.name, s.owner, s.owner_oid, s.system_identifier);
		INSERT INTO fluct.dropped_feeds AS d (stream, data_until)
		SELECT f.stream, f.data_until FROM fluct.freshness f
		WHERE f.stream = s.name AND f.data_until IS NOT NULL AND to_regclass(s.target) = to_regclass('sales.orders')
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

-- ----- wait -----

CREATE OR REPLACE FUNCTION fluct._sync(stream text, worker int) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_sync';
COMMENT ON FUNCTION fluct._sync(text, int) IS
'Asks a stream worker to note where Kafka''s log ends now; returns a ticket for _sync_done, NULL while it does not run.';

CREATE OR REPLACE FUNCTION fluct._sync_done(stream text, worker int, ticket bigint) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_sync_done';
COMMENT ON FUNCTION fluct._sync_done(text, int, bigint) IS
'Whether all that Kafka held when the ticket was drawn is committed; NULL when that worker is gone.';

CREATE OR REPLACE FUNCTION fluct._await_progress(ms int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_await_progress';
COMMENT ON FUNCTION fluct._await_progress(int) IS
'Sleeps until a stream worker has news, at most ms milliseconds; for a loop that looks first, and ends with a call of 0.';

CREATE OR REPLACE FUNCTION fluct.wait_for_stream(name text, timeout interval DEFAULT '1 minute') RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.wait_for_stream(text, interval) IS
'Waits until all that Kafka held at the call is committed: true; false at the timeout. What an open transaction holds back is not waited for. Errors: object_not_in_prerequisite_state at once if the stream is paused or failed. Call it outside of the transaction that starts the stream.';

CREATE OR REPLACE FUNCTION fluct._wait_for_stream(name text, timeout interval) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + timeout;
	tickets bigint[];
	s record;
	waiting boolean;
BEGIN
	LOOP
		SELECT v.state, v.reason, fluct._printable(v.detail) AS detail, v.about, v.pids, t.workers INTO s
		FROM fluct._stream_state v JOIN fluct.streams t ON t.name = v.stream
		WHERE v.stream = _wait_for_stream.name;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('stream %s does not exist', coalesce('"' || name || '"', 'NULL')), HINT = fluct._stream_hint(name);
		END IF;
		IF s.state IN ('paused', 'failed') THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('stream "%s" is %s%s', name, s.state, ': ' || s.reason),
				DETAIL = coalesce(s.detail, 'Nothing is read until it is started.'),
				HINT = coalesce(CASE WHEN s.reason IS NOT NULL THEN fluct._remedy(name, s.reason, s.about, s.pids) END,
								format('SELECT fluct.start_stream(%L);', name));
		END IF;
		waiting := false;
		FOR i IN 0 .. s.workers - 1 LOOP
			IF tickets[i] = -1 THEN
				CONTINUE;
			END IF;
			IF tickets[i] IS NULL THEN
				tickets[i] := fluct._sync(name, i);
			ELSE
				-- -1: done; NULL, of a worker that is gone: asked again
				tickets[i] := CASE fluct._sync_done(name, i, tickets[i])
					WHEN true THEN -1 WHEN false THEN tickets[i] END;
			END IF;
			waiting := waiting OR tickets[i] IS DISTINCT FROM -1;
		END LOOP;
		IF NOT waiting OR clock_timestamp() >= deadline THEN
			PERFORM fluct._await_progress(0);
			RETURN NOT waiting;
		END IF;
		PERFORM fluct._await_progress(least(100, greatest(1, 1000 * extract(epoch FROM deadline - clock_timestamp())))::int);
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._wait_for_stream(text, interval) IS 'wait_for_stream, as the extension''s owner.';
