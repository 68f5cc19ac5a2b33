-- alter.sql: change a stream, or one column of its mapping.

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
	altered fluct.streams;
	owner oid := fluct._require_owner(s.owner, s.owner_oid, s.system_identifier);
	target regclass := fluct._find_target(s.name, s.target);
BEGIN
	IF start_at IS NOT NULL AND EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = name) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" has a position already', name),
			HINT = format('SELECT * FROM fluct.seek_stream(%L, %L);', name, start_at);
	END IF;
	mapping := CASE WHEN mapping IS NOT NULL THEN fluct._whole_mapping(target, mapping, owner) END;
	PERFORM fluct._check_stream_options(on_conflict, on_bad_message, on_data_loss, max_dead_letters, error_window,
								 batch_size, batch_bytes, batch_interval, workers, partitions, framing, on_tombstone);
	topic := fluct._check_topic(topic);
	PERFORM fluct._check_start_topics(coalesce(fluct._normal_start(start_at), s.start_at), coalesce(topic, s.topic))
	WHERE start_at IS NOT NULL OR NOT EXISTS (SELECT FROM fluct.stream_offsets o WHERE o.stream = name);
	PERFORM fluct._check_rights(owner, coalesce(server, s.server),
		fluct._check_mapping(target, coalesce(mapping, s.mapping), coalesce(on_conflict, s.on_conflict), owner, coalesce(framing, s.framing),
			coalesce(on_tombstone, s.on_tombstone)),
		coalesce(on_conflict, s.on_conflict), coalesce(keep_raw, s.keep_raw),
		fluct._deletes(coalesce(mapping, s.mapping), coalesce(on_tombstone, s.on_tombstone)));
	UPDATE fluct.streams t SET
		server = coalesce(server, t.server),
		topic = coalesce(topic, t.topic),
		mapping = coalesce(fluct._with_schemas(target, mapping), t.mapping),
		on_conflict = coalesce(on_conflict, t.on_conflict),
		keyed = fluct._is_keyed(target, coalesce(mapping, s.mapping), coalesce(on_conflict, s.on_conflict), owner, coalesce(framing, s.framing),
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
	WHERE t.name = s.name RETURNING t.* INTO altered;
	PERFORM fluct._announce_change(
		format('stream "%s" was altered by role "%s"', name, pg_get_userbyid(fluct._caller())),
		'It has another ' || fluct._changed_options(s, altered) || '.');
	PERFORM fluct._take_back(s.name);
	PERFORM fluct._say_idle_workers(s.name) WHERE workers > s.workers OR partitions IS NOT NULL;
END
$$;
COMMENT ON FUNCTION fluct._alter_stream(text, text, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], text, text, text) IS
'alter_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._changed_options(before fluct.streams, after fluct.streams) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(a.key, ', ' ORDER BY a.place)
	FROM json_each(to_json(after)) WITH ORDINALITY a(key, value, place)
	WHERE a.key NOT IN ('keyed', 'version', 'changed_at') AND a.value::jsonb <> to_jsonb(before) -> a.key
$$;
COMMENT ON FUNCTION fluct._changed_options(fluct.streams, fluct.streams) IS
'The names of the options in which two versions of a stream differ; NULL if there are none.';

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
	place text[] := fluct._place_in_mapping(s, target) || "column";
	spec jsonb := to_jsonb(path);
	relation regclass := coalesce(target, to_regclass(s.target));
	other text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = relation AND a.attname = "column" AND a.attnum > 0 AND NOT a.attisdropped) THEN
		SELECT format('It is a column of %s: pass target => %L.', r.name, r.name) INTO other
		FROM jsonb_array_elements(s.mapping -> 'children') c
		CROSS JOIN LATERAL (SELECT fluct._qualified(to_regclass(c.value ->> 'target'))) r(name)
		JOIN pg_attribute a ON a.attrelid = to_regclass(c.value ->> 'target') AND a.attname = "column" AND a.attnum > 0 AND NOT a.attisdropped LIMIT 1;
		IF NOT FOUND THEN
			SELECT format('Did you mean "%s"? Otherwise add the column first.', n.near) INTO other
			FROM fluct._nearest_word("column", ARRAY(SELECT a.attname::text FROM pg_attribute a
													 WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped)) n(near)
			WHERE n.near IS NOT NULL;
		END IF;
		IF other IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_column',
				MESSAGE = format('mapping: table %s has no column "%s"', fluct._qualified(relation), "column"), HINT = other;
		END IF;
	END IF;
	IF format IS NOT NULL OR required IS NOT NULL THEN
		spec := jsonb_strip_nulls(jsonb_build_object('path', path, 'format', format, 'required', required));
	END IF;
	PERFORM fluct._alter_stream(stream, NULL,
		jsonb_set(s.mapping, place, spec),
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
