-- drift.sql: what messages have and the mapping does not, and the other way round.
--
-- Nothing is written down while a stream runs, so that it costs a stream
-- nothing: the newest thousand messages of the raw copy are looked at when
-- somebody asks.  The raw copy has offsets, nested fields and those of
-- children, which "extra" has not; a stream without one shows no drift.
--
-- A sample is users' data.  Who may read the raw copy sees it: the messages are
-- read with the rights of the caller.

CREATE OR REPLACE FUNCTION fluct._recent_messages(stream text, n int, newest timestamptz)
RETURNS TABLE (topic text, partition int, "offset" bigint, value bytea)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._recent_messages(text, int, timestamptz) IS
'The last n messages with a value that the raw copy has of a stream, the newest first. newest: the time of its last batch.';

-- By BRIN a minute costs little, and it is enough for a stream that is busy.
CREATE OR REPLACE FUNCTION fluct.__recent_messages(stream text, n int, newest timestamptz)
RETURNS TABLE (topic text, partition int, "offset" bigint, value bytea)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	since timestamptz;
BEGIN
	IF to_regclass('sales.raw_messages') IS NULL OR to_regclass('sales.orders') IS NULL THEN
		RETURN;
	END IF;
	PERFORM fluct._check_tables();
	FOREACH since IN ARRAY ARRAY[newest - interval '1 minute', newest - interval '1 hour', newest - interval '1 day', '-infinity'] LOOP
		EXIT WHEN n = (SELECT count(*) FROM (SELECT 1 FROM sales.raw_messages r
			WHERE r.stream = __recent_messages.stream AND r.ingested_at >= since AND r.value IS NOT NULL LIMIT n) AS enough);
	END LOOP;
	RETURN QUERY SELECT r.topic, r.partition, r."offset", r.value FROM sales.raw_messages r
		WHERE r.stream = __recent_messages.stream AND r.ingested_at >= coalesce(since, '-infinity') AND r.value IS NOT NULL
		ORDER BY r.ingested_at DESC, r.message_time DESC, r.topic, r.partition, r."offset" DESC LIMIT n;
END
$$;
COMMENT ON FUNCTION fluct.__recent_messages(text, int, timestamptz) IS '_recent_messages, with rights to read the raw copy';

CREATE OR REPLACE FUNCTION fluct._canonical_path(path text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '$' || coalesce(string_agg(CASE WHEN s.member IS NOT NULL THEN fluct._path_step(s.member)
										   WHEN s.element IS NOT NULL THEN '[*]' END, '' ORDER BY s.n), '')
	FROM fluct._path_steps(path) s
$$;
COMMENT ON FUNCTION fluct._canonical_path(text) IS 'a path as _shapes writes it: each element of an array is [*], and .* at the end is left out';

CREATE OR REPLACE FUNCTION fluct._mapped_rows(mapping jsonb)
RETURNS TABLE (place text[], target text, path text, is_single boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '{single}', NULL, mapping ->> 'rows', coalesce(mapping -> 'single' = 'true', false) WHERE mapping ? 'rows'
	UNION ALL
	SELECT ARRAY['children', (c.n - 1)::text, 'single'], c.child ->> 'target',
		CASE WHEN c.child ->> 'rows' LIKE '@%' THEN mapping ->> 'rows' || substr(c.child ->> 'rows', 2) ELSE c.child ->> 'rows' END,
		coalesce(c.child -> 'single' = 'true', false)
	FROM jsonb_array_elements(CASE jsonb_typeof(mapping -> 'children') WHEN 'array' THEN mapping -> 'children' ELSE '[]' END)
		WITH ORDINALITY c(child, n)
$$;
COMMENT ON FUNCTION fluct._mapped_rows(jsonb) IS
'the paths of rows that a mapping has, from the message''s root: where it would say "single", the child''s target, and whether it says so';

CREATE OR REPLACE FUNCTION fluct._mapped_paths(stream fluct.streams)
RETURNS TABLE (target text, rows_path text, "column" text, path text, written text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH part AS (
		SELECT stream.target, stream.mapping AS spec, stream.mapping ->> 'rows' AS rows_path
		UNION ALL
		SELECT c ->> 'target', c, CASE WHEN c ->> 'rows' LIKE '@%' THEN stream.mapping ->> 'rows' || substr(c ->> 'rows', 2) ELSE c ->> 'rows' END
		FROM jsonb_array_elements(CASE jsonb_typeof(stream.mapping -> 'children') WHEN 'array' THEN stream.mapping -> 'children' ELSE '[]' END) c
	), mapped AS (
		SELECT p.target, p.rows_path, c.key AS "column",
			CASE jsonb_typeof(c.value) WHEN 'string' THEN c.value #>> '{}' ELSE c.value ->> 'path' END AS written
		FROM part p CROSS JOIN LATERAL jsonb_each(p.spec -> 'columns') c
		UNION ALL
		-- members as rows are not taken apart
		SELECT p.target, NULL, NULL, left(p.rows_path, -2) FROM part p WHERE p.rows_path LIKE '%.*'
		UNION ALL
		SELECT stream.target, NULL, NULL, w.key
		FROM (VALUES (stream.mapping -> 'where'), (stream.mapping #> '{delete,where}'), (stream.mapping #> '{delete,columns}')) o(conditions)
		CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(o.conditions) WHEN 'object' THEN o.conditions ELSE '{}' END) w
	)
	SELECT m.target, fluct._canonical_path(m.rows_path), m."column", fluct._canonical_path(CASE left(m.written, 1) WHEN '$' THEN m.written
			WHEN '@' THEN m.rows_path || substr(m.written, 2)
			ELSE regexp_replace(m.rows_path, '^(.*\[\*\]).*\[\*\]$', '\1') || ltrim(m.written, '^') END), m.written
	FROM mapped m WHERE m.written ~ '^[$@^]' AND m.written !~ '^(@key|\^+#)$'
$$;
COMMENT ON FUNCTION fluct._mapped_paths(fluct.streams) IS
'the paths into the message that a mapping has, from its root; the column is NULL where a path serves a condition only';

-- A field is missing where the newest tenth of the messages no longer has it.
CREATE OR REPLACE FUNCTION fluct._drift_of(stream fluct.streams, documents jsonb[])
RETURNS TABLE (target text, path text, drift text, first_message int, messages bigint, type text, format text, sample jsonb,
	"column" text, written text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH mapped AS MATERIALIZED (
		SELECT * FROM fluct._mapped_paths(stream)
	), shape AS MATERIALIZED (
		SELECT * FROM fluct._shapes(documents)
	), fresh AS MATERIALIZED (
		SELECT s.* FROM shape s
		WHERE s.part IN ('column', 'rows') AND s.path <> '$' AND s.path = fluct._printable(s.path)
			AND NOT EXISTS (SELECT FROM mapped m WHERE m.path = s.path
				OR starts_with(s.path, m.path) AND substr(s.path, length(m.path) + 1, 1) IN ('.', '[')
				OR starts_with(m.path, s.path) AND substr(m.path, length(s.path) + 1, 1) IN ('.', '['))
	), fields AS (
		SELECT f.*, c.target, CASE WHEN c.target IS NULL THEN f.path ELSE '@' || substr(f.path, length(c.rows_path) + 1) END AS written
		FROM fresh f LEFT JOIN LATERAL (
			SELECT m.target, m.rows_path FROM mapped m WHERE starts_with(f.path, m.rows_path) ORDER BY length(m.rows_path) DESC LIMIT 1) c ON true
		WHERE NOT EXISTS (SELECT FROM fresh r WHERE r.part = 'rows' AND starts_with(f.path, r.path || '[*]'))
	), held AS (
		SELECT DISTINCT ON (m.target, m."column") m.target, m."column", m.path, m.written, s.last_message, s.types,
			s.path IS NOT NULL AND s.last_message > cardinality(documents) - greatest(1, cardinality(documents) / 10) AS is_there
		FROM mapped m LEFT JOIN shape s ON s.path = m.path
		WHERE m."column" IS NOT NULL AND (m.rows_path IS NULL OR EXISTS (SELECT FROM shape r WHERE r.path = m.rows_path))
			AND NOT EXISTS (SELECT FROM shape w WHERE w.part = 'column' AND w.path <> m.path AND starts_with(m.path, w.path))
	)
	SELECT coalesce(f.target, stream.target), f.path, 'new', f.first_message, f.messages, t.type, t.format, v.value -> 'sample',
		n.name || CASE WHEN EXISTS (SELECT FROM mapped m WHERE m.target = coalesce(f.target, stream.target) AND m."column" = n.name)
					   THEN '_2' ELSE '' END, f.written
	FROM fields f
	CROSS JOIN LATERAL fluct._type_of(CASE f.part WHEN 'rows' THEN '{object,[object]}' ELSE f.kinds END, f.path) t
	CROSS JOIN LATERAL (SELECT left(array_to_string(fluct._path_keys(f.written), '_'), 60)) n(name)
	LEFT JOIN LATERAL (SELECT e.value FROM jsonb_each(f.types) e ORDER BY e.key = 'null', (e.value ->> 'first')::int LIMIT 1) v ON true
	UNION ALL
	SELECT h.target, h.path, 'missing', coalesce(h.last_message, 0) + 1, cardinality(documents) - coalesce(h.last_message, 0),
		NULL, NULL, NULL, h."column", h.written
	FROM held h WHERE NOT h.is_there
	UNION ALL
	SELECT h.target, h.path, 'changed', (l.value ->> 'first')::int, (l.value ->> 'messages')::bigint,
		l.key, NULL, l.value -> 'sample', h."column", h.written
	FROM held h
	CROSS JOIN LATERAL (SELECT e.key, e.value FROM jsonb_each(h.types - 'null') e ORDER BY (e.value ->> 'first')::int DESC LIMIT 1) l
	WHERE (SELECT count(*) FROM jsonb_object_keys(h.types - 'null')) > 1
$$;
COMMENT ON FUNCTION fluct._drift_of(fluct.streams, jsonb[]) IS
'the differences between a mapping and documents, the oldest first: fields that nothing maps (new), that the newest tenth lacks (missing), that are of another JSON type than before (changed)';

-- Or one message that has an object or a string there would hide what all others have.
CREATE OR REPLACE FUNCTION fluct._with_array(document jsonb, steps text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type text := jsonb_typeof(document);
BEGIN
	IF cardinality(steps) = 0 OR document IS NULL THEN
		RETURN document;
	ELSIF steps[1] IS NOT NULL THEN
		RETURN CASE WHEN type = 'object' AND document ? steps[1]
			THEN jsonb_set(document, steps[:1], fluct._with_array(document -> steps[1], steps[2:])) ELSE document END;
	ELSIF type = 'object' THEN
		document := jsonb_build_array(document);
	ELSIF type <> 'array' THEN
		RETURN 'null';
	END IF;
	RETURN CASE WHEN cardinality(steps) = 1 THEN document
		ELSE (SELECT coalesce(jsonb_agg(fluct._with_array(e.value, steps[2:]) ORDER BY e.n), '[]')
			  FROM jsonb_array_elements(document) WITH ORDINALITY e(value, n)) END;
END
$$;
COMMENT ON FUNCTION fluct._with_array(jsonb, text[]) IS 'the document with arrays where these steps have NULL: an object becomes an array of one, anything else null';

CREATE OR REPLACE FUNCTION fluct._with_arrays(document jsonb, mapping jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	steps text[];
BEGIN
	FOR steps IN SELECT (SELECT array_agg(s.member ORDER BY s.n) FROM fluct._path_steps(r.path) s) FROM fluct._mapped_rows(mapping) r
		WHERE r.path ~ '\[\*\]$' AND r.path !~ '\[\d|\.\*'
	LOOP
		CONTINUE WHEN steps[1] IS NULL AND jsonb_typeof(document) = 'object' AND NOT coalesce(mapping -> 'single' = 'true', false);
		document := fluct._with_array(document, steps);
	END LOOP;
	RETURN document;
END
$$;
COMMENT ON FUNCTION fluct._with_arrays(jsonb, jsonb) IS 'the document with an array of one in place of an object, where the mapping has rows';

-- In jsonpath, which looks into an object for an element where there is no array.
CREATE OR REPLACE FUNCTION fluct._drift_of_rows(stream fluct.streams, documents jsonb[])
RETURNS TABLE (target text, path text, first_message int, messages bigint, type text, sample jsonb, place text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH list AS (
		SELECT r.place, coalesce(r.target, stream.target) AS target, l.up_to,
			(SELECT string_agg(CASE WHEN s.member IS NULL THEN '[*]' ELSE '.' || to_json(s.member) END, '' ORDER BY s.n)
			 FROM fluct._path_steps(l.up_to) s) AS steps
		FROM fluct._mapped_rows(stream.mapping) r
		CROSS JOIN LATERAL generate_series(1, (SELECT count(*) FROM regexp_matches(r.path, '\[\*\]', 'g'))::int) n
		CROSS JOIN LATERAL (SELECT substr(r.path, 1, regexp_instr(r.path, '\[\*\]', 1, n) - 1)) l(up_to)
		WHERE r.path ~ '\[\*\]$' AND r.path !~ '\[\d|\.\*' AND l.up_to <> '$'
			AND NOT EXISTS (SELECT FROM fluct._mapped_rows(stream.mapping) o WHERE o.is_single AND starts_with(o.path, l.up_to || '[*]'))
	), found AS (
		SELECT DISTINCT ON (l.up_to, l.place, d.n) l.up_to, l.place, l.target, d.n, jsonb_typeof(v.value) AS type, v.value
		FROM list l CROSS JOIN unnest(documents) WITH ORDINALITY d(document, n)
		CROSS JOIN LATERAL jsonb_path_query(d.document, ('$' || l.steps)::jsonpath, silent => true) v(value)
		WHERE jsonb_typeof(v.value) NOT IN ('array', 'null')
	)
	SELECT DISTINCT ON (f.up_to) f.target, fluct._canonical_path(f.up_to), f.n::int, count(*) OVER w, f.type, f.value, f.place
	FROM found f WINDOW w AS (PARTITION BY f.up_to, f.place) ORDER BY f.up_to, f.n, cardinality(f.place)
$$;
COMMENT ON FUNCTION fluct._drift_of_rows(fluct.streams, jsonb[]) IS
'where documents have something else than an array of rows: in how many, the first of them, its type and value, and the word of the mapping that would take an object';

CREATE OR REPLACE FUNCTION fluct._drift(stream text)
RETURNS TABLE (target text, path text, drift text, topic text, partition int, "offset" bigint, messages bigint, type text,
	format text, sample jsonb, "column" text, written text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s fluct.streams;
	documents jsonb[];
	arranged jsonb[];
	places jsonb[];
BEGIN
	SELECT * INTO s FROM fluct.streams t WHERE t.name = _drift.stream;
	SELECT array_agg(c.document ORDER BY r.n DESC), array_agg(d.document ORDER BY r.n DESC),
		array_agg(jsonb_build_array(r.topic, r.partition, r."offset") ORDER BY r.n DESC)
	INTO documents, arranged, places
	FROM fluct._recent_messages(s.name, 1000, (SELECT max(o.last_commit) FROM fluct.stream_offsets o WHERE o.stream = s.name))
		WITH ORDINALITY r(topic, partition, "offset", value, n)
	CROSS JOIN LATERAL (SELECT fluct._document(r.value, s.framing)) w(whole)
	CROSS JOIN LATERAL (SELECT CASE WHEN s.mapping ? 'envelope' THEN fluct._changed_row(w.whole) ELSE w.whole END) c(document)
	CROSS JOIN LATERAL (SELECT fluct._with_arrays(c.document, s.mapping)) d(document)
	WHERE jsonb_typeof(d.document) = CASE WHEN s.mapping ->> 'rows' LIKE '$[%' THEN 'array' ELSE 'object' END;
	RETURN QUERY SELECT d.target, d.path, d.drift, p.place ->> 0, (p.place ->> 1)::int, (p.place ->> 2)::bigint,
			d.messages, d.type, d.format, d.sample, d."column", d.written
		FROM (SELECT * FROM fluct._drift_of(s, arranged) UNION ALL
			  SELECT r.target, r.path, 'changed', r.first_message, r.messages, r.type, NULL, r.sample, NULL, r.place::text
			  FROM fluct._drift_of_rows(s, documents) r) d
		CROSS JOIN LATERAL (SELECT places[d.first_message]) p(place)
		WHERE documents IS NOT NULL
		ORDER BY d.drift <> 'missing', d.drift <> 'changed', d.target = s.target DESC, d.path;
END
$$;
COMMENT ON FUNCTION fluct._drift(text) IS 'the drift of one stream, of its last 1000 messages in the raw copy, which are read with the rights of the caller';

CREATE OR REPLACE VIEW fluct.schema_drift AS
SELECT s.name AS stream, d.target, d.path, d.drift, fluct._printable(d.topic) AS topic, d.partition, d."offset", d.messages, d.type,
	left(fluct._printable(d.sample::text), 80) AS sample,
	CASE d.drift
		WHEN 'new' THEN format('ALTER TABLE %s ADD COLUMN %I %s; SELECT fluct.map_column(%L, %L, %L%s%s);',
			d.target, d."column", d.type, s.name, d."column", d.written, ', format => ' || quote_literal(d.format), o.of_child)
		WHEN 'changed' THEN CASE
			WHEN d."column" IS NOT NULL THEN format('SELECT fluct.map_column(%L, %L, %L, format => %L%s);', s.name, d."column", d.written,
				CASE d.type WHEN 'boolean' THEN 'boolean' WHEN 'number' THEN 'number' ELSE 'text' END, o.of_child)
			WHEN d.type = 'object' THEN format('SELECT fluct.alter_stream(name, mapping => jsonb_set(mapping, %L, ''true''))'
				' FROM fluct.streams WHERE name = %L;', d.written, s.name) END
		WHEN 'missing' THEN format('SELECT fluct.unmap_column(%L, %L%s);', s.name, d."column", o.of_child)
	END AS statements
FROM fluct.streams s CROSS JOIN LATERAL fluct._drift(s.name) d
CROSS JOIN LATERAL (SELECT CASE WHEN d.target <> s.target THEN format(', target => %L', d.target) END) o(of_child);
COMMENT ON VIEW fluct.schema_drift IS
'Where the last 1000 messages of each stream, as sales.raw_messages has them, differ from its mapping. For those who may read that table. Costs up to some seconds a stream: give the stream in WHERE.';
COMMENT ON COLUMN fluct.schema_drift.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.schema_drift.target IS 'table that the field is or would be a column of';
COMMENT ON COLUMN fluct.schema_drift.path IS 'the field, from the root of the message; [*] = of an element';
COMMENT ON COLUMN fluct.schema_drift.drift IS 'new: nothing maps it; missing: it is mapped, and the newest tenth of the messages no longer has it; changed: it is mapped, and has another JSON type than before, or than rows need';
COMMENT ON COLUMN fluct.schema_drift.topic IS 'Kafka topic of the first message';
COMMENT ON COLUMN fluct.schema_drift.partition IS 'Kafka partition of that message';
COMMENT ON COLUMN fluct.schema_drift."offset" IS 'Kafka offset of the first message, of those looked at, with the field, without it, or with the other type';
COMMENT ON COLUMN fluct.schema_drift.messages IS 'how many of those looked at';
COMMENT ON COLUMN fluct.schema_drift.type IS 'new: the type for a column, guessed from all values; changed: the JSON type that came last';
COMMENT ON COLUMN fluct.schema_drift.sample IS E'the first 80 characters of the value there; what is not safe to print is \\xNN or \\uNNNN';
COMMENT ON COLUMN fluct.schema_drift.statements IS 'what to do, to be read first; apply_schema_drift() does it for a new field, and fills the rows that are there';

-- ----- apply -----

CREATE OR REPLACE FUNCTION fluct._as_value(value jsonb, type text, format text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	result text := value #>> '{}';
BEGIN
	IF value IS NULL OR jsonb_typeof(value) = 'null' OR type = 'jsonb' THEN
		RETURN result;
	ELSIF starts_with(format, 'epoch_') THEN
		result := timestamptz 'epoch' + pg_catalog.format('%s s', result::numeric
			/ CASE format WHEN 'epoch_s' THEN 1 WHEN 'epoch_ms' THEN 1e3 WHEN 'epoch_us' THEN 1e6 ELSE 1e9 END)::interval;
	ELSIF (type LIKE 'timestamp%' OR type = 'date') AND result !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
		RETURN NULL;
	ELSIF jsonb_typeof(value) = 'array' THEN
		result := ARRAY(SELECT jsonb_array_elements_text(value));
	END IF;
	EXECUTE pg_catalog.format('SELECT CAST($1 AS %s)', type) USING result INTO result;
	RETURN result;
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._as_value(jsonb, text, text) IS 'a value as text that the type accepts; NULL where it does not';

-- Only what a row holds NULL for: again, or after the worker, it finds the rest.
CREATE OR REPLACE FUNCTION fluct._fill_from_extra(target regclass, extra text, "column" text, type text, format text, keys text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	filled bigint;
BEGIN
	-- MATERIALIZED, or the value would be made twice
	EXECUTE pg_catalog.format('WITH known AS MATERIALIZED (SELECT tableoid, ctid AS place, fluct._as_value(%3$I::jsonb #> $1, $2, $3) AS value FROM %1$s'
		'  WHERE %2$I IS NULL AND %3$I::jsonb #> $1 IS NOT NULL)'
		' UPDATE %1$s t SET %2$I = CAST(known.value AS %4$s)%5$s FROM known'
		' WHERE t.ctid = known.place AND t.tableoid = known.tableoid AND known.value IS NOT NULL',
		target, "column", extra, type, CASE WHEN cardinality(keys) = 1
			-- as a row that the stream stores with the column has it
			THEN pg_catalog.format(CASE WHEN (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = target AND a.attname = extra)
				THEN ', %1$I = (%1$I::jsonb - %2$L)::%3$s' ELSE ', %1$I = nullif(%1$I::jsonb - %2$L, ''{}'')::%3$s' END, extra, keys[1],
				(SELECT format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid = target AND a.attname = extra)) END)
	USING keys, type, format;
	GET DIAGNOSTICS filled = ROW_COUNT;
	RETURN filled;
END
$$;
COMMENT ON FUNCTION fluct._fill_from_extra(regclass, text, text, text, text, text[]) IS 'moves a field of extra into its column, in the rows where that is NULL; returns how many';

-- A row's last message is found by the key, compared as text.
CREATE OR REPLACE FUNCTION fluct._fill_from_raw(s fluct.streams, "column" text, type text, format text, keys text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	target regclass := s.target;
	named text;
	numbered text;
	joined text;
	lacking boolean;
	filled bigint;
BEGIN
	SELECT string_agg(CASE WHEN p.path LIKE 'kafka.%' THEN quote_ident(substr(p.path, 7)) || '::text'
			ELSE pg_catalog.format('document #>> %L', fluct._path_keys(p.path)) END || ' AS k' || k.n, ', ' ORDER BY k.n),
		string_agg('k' || k.n, ', ' ORDER BY k.n),
		string_agg(pg_catalog.format('t.%I::text = r.k%s', a.attname, k.n), ' AND ' ORDER BY k.n),
		bool_or(p.path IS NULL OR NOT (p.path ~ '^\$' OR p.path IN ('kafka.topic', 'kafka.partition', 'kafka.offset')))
	INTO named, numbered, joined, lacking
	FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
	CROSS JOIN LATERAL (SELECT coalesce(s.mapping #>> ARRAY['columns', a.attname, 'path'], s.mapping #>> ARRAY['columns', a.attname::text])) p(path)
	WHERE i.indrelid = target AND i.indisprimary;
	IF named IS NULL OR lacking OR NOT s.keep_raw OR s.mapping ? 'rows' OR s.mapping ? 'envelope' OR fluct._is_routed(target) THEN
		RETURN NULL;
	END IF;
	PERFORM fluct._require_tables();
	EXECUTE pg_catalog.format('UPDATE %1$s t SET %2$I = CAST(r.value AS %3$s)'
		' FROM (SELECT DISTINCT ON (%4$s) *, fluct._as_value(document #> $1, $2, $3) AS value'
		'  FROM (SELECT %5$s, document, ingested_at, "offset" FROM sales.raw_messages m CROSS JOIN LATERAL fluct._document(m.value, $4) d(document)'
		'   WHERE m.stream = $5) known ORDER BY %4$s, ingested_at DESC, "offset" DESC) r'
		' WHERE %6$s AND t.%2$I IS NULL AND r.value IS NOT NULL',
		target, "column", type, numbered, named, joined)
	USING keys, type, format, s.framing, s.name;
	GET DIAGNOSTICS filled = ROW_COUNT;
	RETURN filled;
END
$$;
COMMENT ON FUNCTION fluct._fill_from_raw(fluct.streams, text, text, text, text[]) IS
'fills a column of the target from the raw copy, in the rows where it is NULL; returns how many, or NULL where rows cannot be found by a primary key that is mapped, or another extension routes the table';

-- Before anything of the table is run, be it to read it.
CREATE OR REPLACE FUNCTION fluct._require_own_table(target regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._refuse_superuser_writer(r.oid, target) FROM pg_roles r WHERE r.rolname = current_user;
	IF NOT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = target) THEN
		RAISE EXCEPTION 'must be owner of table %', target USING ERRCODE = 'insufficient_privilege';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._require_own_table(regclass) IS 'raises insufficient_privilege where the table is not the caller''s, or a superuser would run what others planted on it';

-- Of the first thousand rows that have the field, which need not be the newest.
CREATE OR REPLACE FUNCTION fluct._drift_in_extra(s fluct.streams, path text)
RETURNS TABLE (target text, "column" text, written text, type text, format text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	documents jsonb[];
	field text := (fluct._path_keys(path))[1];
BEGIN
	IF s.mapping ? 'extra' AND field IS NOT NULL AND NOT fluct._is_routed(fluct._find_target(s.name, s.target)) THEN
		PERFORM fluct._require_own_table(fluct._find_target(s.name, s.target));
		EXECUTE pg_catalog.format('SELECT array_agg(jsonb_build_object($1, found)) FROM'
			' (SELECT %2$I::jsonb -> $1 AS found FROM %1$s WHERE %2$I::jsonb ? $1 LIMIT 1000) rows', s.target, s.mapping ->> 'extra')
		INTO documents USING field;
	END IF;
	RETURN QUERY SELECT d.target, d."column", d.written, d.type, d.format FROM fluct._drift_of(s, documents) d
		WHERE documents IS NOT NULL AND d.path = fluct._canonical_path(_drift_in_extra.path) AND d.drift = 'new';
END
$$;
COMMENT ON FUNCTION fluct._drift_in_extra(fluct.streams, text) IS 'a field that nothing maps, as rows of the target have it in extra, with the rights of the caller';

-- One that was applied before has no type: it is to fill what is left.
CREATE OR REPLACE FUNCTION fluct._field_to_apply(s fluct.streams, path text)
RETURNS TABLE (target text, "column" text, written text, type text, format text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT d.target, d."column", d.written, d.type, d.format FROM fluct._drift(s.name) d
		WHERE d.path = fluct._canonical_path(_field_to_apply.path) AND d.drift = 'new';
	IF NOT FOUND THEN
		RETURN QUERY SELECT * FROM fluct._drift_in_extra(s, _field_to_apply.path);
	END IF;
	IF NOT FOUND THEN
		RETURN QUERY SELECT m.target, m."column", m.written, NULL, NULL FROM fluct._mapped_paths(s) m
			WHERE m.path = fluct._canonical_path(_field_to_apply.path) AND m."column" IS NOT NULL LIMIT 1;
	END IF;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('stream "%s" has no new field "%s"', s.name, _field_to_apply.path),
			HINT = CASE WHEN s.keep_raw THEN format('SELECT path, type, sample FROM fluct.schema_drift WHERE stream = %L; lists them.', s.name)
				ELSE 'They are looked for in "extra" and in the raw copy, which this stream does not keep: '
					 'add the column by hand, and map it with fluct.map_column().' END;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._field_to_apply(fluct.streams, text) IS 'the field of apply_schema_drift: new, in the raw copy or in extra, or mapped already';

CREATE OR REPLACE FUNCTION fluct.apply_schema_drift(stream text, path text, "column" text DEFAULT NULL, type text DEFAULT NULL) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.apply_schema_drift(text, text, text, text) IS
'Adds a column for a new field of schema_drift, maps it from the next batch on, and fills the rows that are there: from extra, or else from the raw copy by the primary key. path as schema_drift shows it; without a raw copy any that extra has; column and type NULL: as there. In one transaction, which holds the table: the stream waits for it. Called again it fills what is NULL still. With the rights of the caller, on a table of its own. Returns how many rows it filled; values that the type does not take are left where they are. Errors: undefined_object, insufficient_privilege.';

CREATE OR REPLACE FUNCTION fluct._apply_schema_drift(stream text, path text, "column" text, type text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams;
	d record;
	extra text;
	filled bigint;
	from_raw bigint;
	keys text[] := fluct._path_keys(path);
BEGIN
	SELECT * INTO s FROM fluct.streams t WHERE t.name = stream;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = pg_catalog.format('stream %s does not exist', coalesce('"' || stream || '"', 'NULL')),
			HINT = fluct._did_you_mean(stream, ARRAY(SELECT t.name FROM fluct.streams t), 'SELECT stream, state FROM fluct.stat_streams; lists all.');
	END IF;
	SELECT f.* INTO d FROM fluct._field_to_apply(s, path) f;
	"column" := CASE WHEN d.type IS NULL THEN d."column" ELSE coalesce("column", d."column") END;
	IF type IS DISTINCT FROM d.type AND type IS NOT NULL THEN
		d.format := CASE type WHEN 'text' THEN 'text' END;
	END IF;
	PERFORM fluct._require_own_table(d.target::regclass);
	-- locks the table: the worker's next batch waits, and then has the new mapping
	EXECUTE pg_catalog.format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS %I %s', d.target, "column", coalesce(type, d.type, 'text'));
	type := (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = d.target::regclass AND a.attname = "column");
	IF d.type IS NOT NULL THEN
		PERFORM fluct.map_column(stream, "column", d.written, d.format, NULL, d.target::regclass);
	ELSE
		d.format := CASE WHEN d.target = s.target THEN s.mapping #>> ARRAY['columns', "column", 'format'] END;
	END IF;
	extra := CASE WHEN d.target = s.target AND NOT fluct._is_routed(fluct._find_target(s.name, s.target)) THEN s.mapping ->> 'extra' END;
	filled := CASE WHEN extra IS NOT NULL THEN fluct._fill_from_extra(d.target, extra, "column", type, d.format, keys) END;
	IF d.target = s.target AND (extra IS NULL OR cardinality(keys) > 1) THEN
		from_raw := fluct._fill_from_raw(s, "column", type, d.format, keys);
		filled := coalesce(filled + from_raw, filled, from_raw);
	END IF;
	IF filled IS NULL OR from_raw IS NULL AND filled = 0 AND cardinality(keys) > 1 THEN
		RAISE NOTICE 'the rows that are in % keep NULL in column "%"', d.target, "column"
			USING HINT = pg_catalog.format(CASE WHEN s.keep_raw THEN
				'CALL fluct.reprocess_stream(%L); under on_conflict update stores all that the raw copy has again.'
				ELSE 'The stream keeps no raw copy. Under on_conflict update, '
					 'fluct.seek_stream(%L, ''earliest'', force => true) while it is paused has what Kafka still holds stored again.' END, stream);
	END IF;
	RETURN coalesce(filled, 0);
END
$$;
COMMENT ON FUNCTION fluct._apply_schema_drift(text, text, text, text) IS 'apply_schema_drift, without a context';
