-- suggest.sql: a table and a mapping for a topic, from a sample of its messages.
--
-- A producer chooses the names of fields.  Those with characters that are not
-- printed as they are become no column; extra keeps them.

CREATE OR REPLACE FUNCTION fluct._sample(server text, topic text, count int, owner oid)
RETURNS TABLE (number int, fields text[])
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_sample';
COMMENT ON FUNCTION fluct._sample(text, text, int, oid) IS
'Lets a background worker read the newest messages of a topic: topic, whether a schema registry''s prefix stands before the JSON, the JSON as text, the key; errors as _ask().';

-- A topic of arrays has records, one of changes rows; else a message is a record,
-- or its payload, where Kafka Connect wrote the schema beside it.
CREATE OR REPLACE FUNCTION fluct._form_of(documents jsonb[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN bool_and(jsonb_typeof(d) = 'array') THEN 'records'
				WHEN bool_and(jsonb_typeof(d) = 'array' OR d ? '__deleted' OR e.envelope ?& '{op,after}') THEN 'changes'
				WHEN bool_and(d ?& '{schema,payload}' AND d - '{schema,payload}'::text[] = '{}') THEN 'payloads'
				ELSE 'messages' END
	FROM unnest(documents) d CROSS JOIN LATERAL (SELECT CASE WHEN d ? 'payload' THEN d -> 'payload' ELSE d END) e(envelope)
$$;
COMMENT ON FUNCTION fluct._form_of(jsonb[]) IS 'what documents are: records (arrays of objects), changes (as Debezium writes them), payloads (beside their schemas) or messages';

CREATE OR REPLACE FUNCTION fluct._rows_of(documents jsonb[], form text) RETURNS jsonb[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE form
		WHEN 'records' THEN ARRAY(SELECT e FROM unnest(documents) d CROSS JOIN LATERAL jsonb_array_elements(d) e
								   WHERE jsonb_typeof(e) = 'object' LIMIT 10000)
		WHEN 'messages' THEN documents
		ELSE ARRAY(SELECT r FROM unnest(documents) d CROSS JOIN LATERAL fluct._changed_row(d) r WHERE jsonb_typeof(r) = 'object') END
$$;
COMMENT ON FUNCTION fluct._rows_of(jsonb[], text) IS 'the objects in documents of that form that each become a row';

-- Lines of a target, as the rows of a table: rows_path is NULL for the parent.
CREATE OR REPLACE FUNCTION fluct._suggest_columns(documents jsonb[])
RETURNS TABLE (rows_path text, path text, name text, type text, format text, is_unique boolean, is_always boolean, first_message int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH leaf AS (
		SELECT r.rows_path, CASE WHEN r.rows_path IS NULL THEN s.path ELSE '@' || substr(s.path, length(r.rows_path) + 1) END AS path,
			t.type, t.format, s.is_unique, s.messages = cardinality(documents) AS is_always, s.first_message
		FROM fluct._shapes(documents) s CROSS JOIN LATERAL fluct._type_of(s.kinds, s.path) t
		CROSS JOIN LATERAL (SELECT substring(s.path FROM '^.*\[\*\]')) r(rows_path)
		WHERE s.part = 'column' AND s.path <> '$' AND s.path = fluct._printable(s.path) AND s.path !~ '\[""\]|\\u00'
	), named AS (
		SELECT l.*, coalesce(nullif(left(array_to_string(fluct._path_keys(l.path), '_'), 50), ''), 'value') AS name
		FROM leaf l
	), numbered AS (
		SELECT n.*, row_number() OVER (PARTITION BY n.rows_path, n.name ORDER BY length(n.path), n.path COLLATE "C") AS nth
		FROM named n
	)
	SELECT n.rows_path, n.path,
		n.name || CASE WHEN n.nth > 1 OR n.name IN ('extra', 'line_number', 'kafka_topic', 'kafka_partition', 'kafka_offset') THEN '_' || n.nth ELSE '' END,
		n.type, n.format, n.is_unique, n.is_always, n.first_message
	FROM numbered n
$$;
COMMENT ON FUNCTION fluct._suggest_columns(jsonb[]) IS
'the columns for these documents: of the message (rows_path NULL) and of each array of objects';

-- Of changes it is what Kafka's keys have.
CREATE OR REPLACE FUNCTION fluct._suggest_key(columns jsonb, many boolean, form text, keys text[])
RETURNS TABLE (path text, name text, type text, format text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH candidate AS (
		SELECT c.* FROM jsonb_to_recordset(columns) c(rows_path text, path text, name text, type text, format text, is_unique boolean, is_always boolean)
		WHERE c.rows_path IS NULL AND c.is_always
	), one AS (
		(SELECT c.path, c.name, c.type, c.format, 1 AS n FROM candidate c
		 WHERE form <> 'changes' AND c.is_unique AND c.type IN ('bigint', 'text', 'uuid')
			AND (c.name ~* '^(id|_id|uuid|guid|key)$' OR c.name ~ '(_id|Id|ID|_uuid|Uuid|_guid|_key|Key|_number|Number|_no|No)$')
		 ORDER BY cardinality(fluct._path_keys(c.path)), c.name ~* '^(id|_id|uuid|guid|key)$' DESC, c.name ~ '(_id|Id|ID)$' DESC, c.path LIMIT 1)
		UNION ALL
		SELECT c.path, c.name, c.type, c.format, k.n FROM unnest(keys) WITH ORDINALITY k(key, n) JOIN candidate c ON c.path = '$' || fluct._path_step(k.key)
		WHERE form = 'changes'
	)
	SELECT o.path, o.name, o.type, o.format FROM one o
	UNION ALL
	SELECT p.path, p.name, p.type, NULL
	FROM (VALUES (1, 'kafka.topic', 'kafka_topic', 'text'), (2, 'kafka.partition', 'kafka_partition', 'int'),
				 (3, 'kafka.offset', 'kafka_offset', 'bigint'), (4, '#', 'record_number', 'int')) p(n, path, name, type)
	WHERE NOT EXISTS (SELECT FROM one) AND form <> 'changes' AND (many OR p.n > 1) AND (form = 'records' OR p.n < 4)
$$;
COMMENT ON FUNCTION fluct._suggest_key(jsonb, boolean, text, text[]) IS
'the key of a record among these columns: a field that no two share and that is named like an id, or else its place in Kafka; of changes the columns of these names, or none';

CREATE OR REPLACE FUNCTION fluct._free_table(wanted text, caller oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%I.%I', s.schema, t.name)
	FROM (SELECT CASE WHEN has_schema_privilege(caller, n.oid, 'CREATE') THEN 'sales' ELSE 'public' END AS schema
		  FROM (VALUES (1)) one LEFT JOIN pg_namespace n ON n.nspname = 'sales') s,
		(SELECT CASE WHEN i = 1 THEN wanted ELSE wanted || '_' || i END, i FROM generate_series(1, 1000) i) t(name, i)
	WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = s.schema AND c.relname = t.name)
	ORDER BY t.i LIMIT 1
$$;
COMMENT ON FUNCTION fluct._free_table(text, oid) IS 'a table''s name that is not taken, in sales where the role can create tables there, else in public';

CREATE OR REPLACE FUNCTION fluct._free_stream(topic text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.name
	FROM generate_series(1, 1000) i
	CROSS JOIN LATERAL (SELECT left(regexp_replace(topic, '[^A-Za-z0-9_.-]+', '_', 'g'), 60) || CASE WHEN i = 1 THEN '' ELSE '_' || i END) n(name)
	WHERE NOT EXISTS (SELECT FROM fluct.streams s WHERE s.name = n.name)
	ORDER BY i LIMIT 1
$$;
COMMENT ON FUNCTION fluct._free_stream(text) IS 'a name for a stream of this topic that no stream has';

-- The key comes first, in each child too, and then the number of the row, and of
-- the one that holds it.  In a mapping with "rows" a record is @, and from
-- its children as many ^ as there are rows between.
CREATE OR REPLACE FUNCTION fluct._suggest_targets(columns jsonb, key jsonb, base text, form text)
RETURNS TABLE (rows_path text, columns jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH suggested AS (
		SELECT * FROM jsonb_to_recordset(columns) c(rows_path text, path text, name text, type text, format text, first_message int)
	), target AS (
		SELECT NULL AS rows_path UNION SELECT s.rows_path FROM suggested s
	), wanted AS (
		SELECT s.rows_path, CASE WHEN s.rows_path IS NULL AND form = 'records' THEN '@' || substr(s.path, 2) ELSE s.path END,
			s.name, s.type, s.format, s.first_message AS place
		FROM suggested s
		WHERE s.rows_path IS NOT NULL OR NOT EXISTS (SELECT FROM jsonb_array_elements(key) k WHERE k ->> 'path' = s.path)
		UNION ALL
		SELECT t.rows_path, '#', 'line_number', 'int', NULL, -1 FROM target t WHERE t.rows_path IS NOT NULL
		UNION ALL
		SELECT t.rows_path, '^#', (fluct._path_keys(o.rows_path))[cardinality(fluct._path_keys(o.rows_path)) - 1] || '_line_number', 'int', NULL, -1
		FROM target t CROSS JOIN LATERAL (SELECT substring(left(t.rows_path, -3) FROM '^.*\[\*\]')) o(rows_path) WHERE o.rows_path IS NOT NULL
		UNION ALL
		SELECT t.rows_path, CASE WHEN form <> 'records' OR k.path LIKE 'kafka.%' THEN k.path
				WHEN t.rows_path IS NULL THEN replace(k.path, '$', '@')
				ELSE repeat('^', regexp_count(t.rows_path, '\[\*\]')) || ltrim(k.path, '$') END,
			CASE WHEN t.rows_path IS NOT NULL AND length(k.name) <= 4 THEN base || '_' || k.name ELSE k.name END, k.type, k.format, -2
		FROM target t, jsonb_to_recordset(key) k(path text, name text, type text, format text)
	), numbered AS (
		SELECT w.*, row_number() OVER (PARTITION BY w.rows_path, w.name ORDER BY w.place, w.path COLLATE "C") AS nth FROM wanted w
	)
	SELECT n.rows_path, jsonb_agg(jsonb_build_object('path', n.path, 'type', n.type, 'format', n.format,
		'name', n.name || CASE WHEN n.nth > 1 THEN '_' || n.nth ELSE '' END) ORDER BY n.place, n.path COLLATE "C")
	FROM numbered n GROUP BY n.rows_path ORDER BY n.rows_path COLLATE "C" NULLS FIRST
$$;
COMMENT ON FUNCTION fluct._suggest_targets(jsonb, jsonb, text, text) IS 'the tables for these columns, the message''s own first, with the columns of each';

CREATE OR REPLACE FUNCTION fluct._suggest_statements(columns jsonb, key jsonb, form text, stream text, server text, topic text,
	framing text, caller oid)
RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
DECLARE
	base text := coalesce(nullif(btrim(left(lower(regexp_replace(split_part(topic, ',', 1), '[^A-Za-z0-9]+', '_', 'g')), 40), '_'), ''), 'messages');
	parent text := fluct._free_table(base, caller);
	target text;
	paths text;
	mapping text;
	children text[];
	t record;
BEGIN
	FOR t IN SELECT * FROM fluct._suggest_targets(columns, key, base, form) LOOP
		target := CASE WHEN t.rows_path IS NULL THEN parent
					   ELSE fluct._free_table(left(base || '_' || array_to_string(array_remove(fluct._path_keys(t.rows_path), '*'), '_'), 60), caller) END;
		RETURN NEXT format(E'CREATE TABLE %s (\n    %s%s);', target,
			(SELECT string_agg(format('%I %s', c.name, c.type), E',\n    ') FROM jsonb_to_recordset(t.columns) c(name text, type text)),
			CASE WHEN t.rows_path IS NULL THEN format(E',\n    extra jsonb,\n    PRIMARY KEY (%s)',
				(SELECT string_agg(quote_ident(k.name), ', ') FROM jsonb_to_recordset(key) k(name text))) END);
		SELECT string_agg(format('%s: %s', to_json(c.name), CASE WHEN c.format IS NULL THEN to_json(c.path)::text
				ELSE format('{"path": %s, "format": "%s"}', to_json(c.path), c.format) END), E',\n        ') INTO paths
		FROM jsonb_to_recordset(t.columns) c(name text, path text, format text);
		IF t.rows_path IS NULL THEN
			mapping := format(E'{%s"columns": {\n        %s},\n    "extra": "extra"',
				CASE form WHEN 'records' THEN '"rows": "$[*]", ' WHEN 'messages' THEN '' ELSE '"envelope": "debezium", ' END, paths);
		ELSE
			children := children || format(E'{"target": %s, "rows": %s, "required": false, "columns": {\n        %s}}', to_json(target),
				to_json(CASE WHEN form = 'records' THEN '@' || substr(t.rows_path, 2) ELSE t.rows_path END), paths);
		END IF;
	END LOOP;
	RETURN NEXT format('SELECT fluct.create_stream(%L, server => %L, topic => %L, target => %L%s, mapping => %L);',
		stream, server, topic, parent,
		CASE WHEN form IN ('changes', 'payloads') THEN ', on_conflict => ''update''' ELSE '' END
		|| CASE framing WHEN 'none' THEN '' ELSE format(', framing => %L', framing) END,
		concat(mapping, E',\n    "children": [\n    ' || array_to_string(children, E',\n    ') || ']', '}'));
END
$$;
COMMENT ON FUNCTION fluct._suggest_statements(jsonb, jsonb, text, text, text, text, text, oid) IS 'CREATE TABLE for each target, and the call of create_stream';

CREATE OR REPLACE FUNCTION fluct.suggest_mapping(server text, topic text, n int DEFAULT 1000) RETURNS SETOF text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.suggest_mapping(text, text, int) IS
'Reads the newest n messages (1 to 10000) of a topic and returns the statements that store it: CREATE TABLE for the messages and for each array of objects in them, and create_stream with the mapping. A row a statement, after comments on what was seen. Stores nothing and moves nothing. Errors: undefined_object, insufficient_privilege, invalid_parameter_value, no_data_found for a topic without messages that are JSON objects, configuration_limit_exceeded without a free background worker, fdw_unable_to_establish_connection.';

CREATE OR REPLACE FUNCTION fluct._suggest_mapping(server text, topic text, n int) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
DECLARE
	caller oid := fluct._caller();
	seen record;
	form text;
	remarks text;
	statement text;
	columns jsonb;
	key jsonb;
BEGIN
	IF server IS NULL OR topic IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a server and a topic must be given';
	ELSIF n IS NULL OR n NOT BETWEEN 1 AND 10000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n is from 1 to 10000 messages';
	END IF;
	PERFORM fluct._refuse_superuser(caller, 'a stream', 'A stream runs by itself, with the privileges of its owner.');
	PERFORM fluct._require_owner(pg_get_userbyid(caller), NULL, NULL);
	topic := fluct._check_topic(topic);
	PERFORM fluct._check_rights(caller, server, '{}', 'nothing', false, false);
	SELECT count(*) AS messages, coalesce(bool_and(s.fields[2] = 't'), false) AS framed,
		array_agg(d.document) FILTER (WHERE jsonb_typeof(d.document) = 'object' OR jsonb_typeof(d.document -> 0) = 'object') AS documents,
		(array_agg(k.key) FILTER (WHERE jsonb_typeof(k.key) = 'object'))[1] AS key INTO seen
	FROM fluct._sample(server, topic, n, caller) s CROSS JOIN LATERAL fluct._document(convert_to(s.fields[3], 'UTF8'), 'none') d(document)
	LEFT JOIN LATERAL (SELECT fluct._changed_row(fluct._document(convert_to(s.fields[4], 'UTF8'), 'none'))) k(key) ON true;
	form := fluct._form_of(seen.documents);
	IF form <> 'records' THEN
		seen.documents := ARRAY(SELECT d FROM unnest(seen.documents) d WHERE jsonb_typeof(d) = 'object');
	END IF;
	IF coalesce(seen.documents, '{}') = '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found',
			MESSAGE = CASE seen.messages WHEN 0 THEN format('topic "%s" holds no messages', topic)
						   ELSE format('of %s messages of topic "%s" none is a JSON object', seen.messages, topic) END;
	END IF;
	SELECT jsonb_agg(to_jsonb(c)) INTO columns FROM fluct._suggest_columns(fluct._rows_of(seen.documents, form)) c;
	SELECT jsonb_agg(to_jsonb(k)) INTO key
	FROM fluct._suggest_key(columns, fluct._is_many(topic), form, ARRAY(SELECT jsonb_object_keys(seen.key))) k;
	IF key IS NULL THEN
		remarks := E'-- these look like changes of rows, as Debezium writes them, and Kafka''s keys do not have the key of the rows: '
			'each change is stored.\n-- For the rows themselves, make a table with their key, and pass '
			'mapping => ''{"envelope": "debezium"}'', on_conflict => ''update''';
		form := 'messages';
		SELECT jsonb_agg(to_jsonb(c)) INTO columns FROM fluct._suggest_columns(seen.documents) c;
		-- an id is that of a row, which changes again
		SELECT jsonb_agg(to_jsonb(k)) INTO key FROM fluct._suggest_key('[]', fluct._is_many(topic), form, NULL) k;
	END IF;
	remarks := concat_ws(E'\n', format('-- from %s messages of topic %s', cardinality(seen.documents), topic),
		CASE WHEN seen.messages > cardinality(seen.documents)
			 THEN format('-- %s more are not JSON objects: tombstones, or dead letters to be', seen.messages - cardinality(seen.documents)) END,
		remarks,
		CASE form WHEN 'changes'
			 THEN '-- these look like changes of rows, as Debezium writes them: the target becomes the table that they are of'
			 WHEN 'payloads' THEN '-- these have the schema beside the payload: the paths are those of the payload' END,
		CASE WHEN remarks IS NULL AND key -> 0 ->> 'path' LIKE 'kafka.%'
			 THEN '-- no field is an id that differs in each message: the key is the message''s place in Kafka' END);
	FOR statement IN
		SELECT s FROM fluct._suggest_statements(columns, key, form, fluct._free_stream(topic), server, topic,
			CASE WHEN seen.framed THEN 'registry' ELSE 'none' END, caller) s
	LOOP
		RETURN NEXT concat_ws(E'\n', remarks, statement);
		remarks := NULL;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._suggest_mapping(text, text, int) IS 'suggest_mapping, as the extension''s owner.';
