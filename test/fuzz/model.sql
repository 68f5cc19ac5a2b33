-- What must become of a message, in SQL and slowly: for t/mapping_whole.t.
--
-- PostgreSQL's json reads the message, its input functions read the values, and
-- each message is an INSERT of its own; nothing of fluct's code is used.  Where
-- the contract (README, mappings) is stricter than PostgreSQL, its rule stands
-- here a second time.  A message's first fault counts: of the whole message,
-- then of the paths that step into what has no members, then of the parent's
-- columns in the order of the mapping, then of each child's rows.
CREATE SCHEMA model;

-- A column of a mapping, and how its table takes it.
CREATE TYPE model.col AS (name text, path text, steps text[], format text,
	required boolean, fallback json, type text, base text, class text,
	nullable boolean, default_expr text, key boolean, extra boolean, nulls text[]);

-- The first target's rows_path is that of "rows" at the top of the mapping; NULL without it.
CREATE TABLE model.targets (stream text, n int, rel regclass, expected regclass,
	rows_path text, rows_steps text[], optional boolean, single boolean, columns model.col[], PRIMARY KEY (stream, n));
-- What else a mapping says; deleted is the key of messages that delete.
CREATE TABLE model.words (stream text PRIMARY KEY, wanted jsonb, deleting jsonb, deleted model.col, envelope boolean,
	version text, keep boolean);
-- What becomes of one record.
CREATE TYPE model.record AS (parent text, absent text[], children text[], kept int[], id text, deletes boolean);
CREATE TABLE model.verdicts (stream text, "offset" bigint, reason text, path text,
	others text[], PRIMARY KEY (stream, "offset"));

-- `$.a["odd key"]` as {a,odd key}
CREATE FUNCTION model.steps(path text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(array_agg(coalesce(m[1], m[2])), '{}')
	  FROM regexp_matches(regexp_replace(path, '\[\*\]$', ''), '\.([a-z_0-9]+)|\["([^"]+)"\]', 'g') m
$$;

CREATE FUNCTION model.shown(step text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN step ~ '^[A-Za-z_][A-Za-z_0-9]*$' THEN '.' || step ELSE '["' || step || '"]' END
$$;

CREATE FUNCTION model.class(type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN type IN ('text', 'character varying', 'character') THEN 'text'
		WHEN type IN ('smallint', 'integer', 'bigint') THEN 'integer'
		WHEN type IN ('real', 'double precision') THEN 'float'
		WHEN type LIKE '%[]' THEN 'array'
		WHEN type LIKE 'timestamp %' THEN 'timestamp' ELSE type END
$$;

CREATE FUNCTION model.columns(rel regclass, object jsonb, key text[]) RETURNS model.col[]
LANGUAGE plpgsql AS $$
DECLARE
	item	record;
	att		record;
	result	model.col[] := '{}';
	c		model.col;
BEGIN
	FOR item IN
		SELECT e.key, CASE jsonb_typeof(e.value) WHEN 'string' THEN jsonb_build_object('path', e.value) ELSE e.value END AS spec,
			   false AS extra
		  FROM jsonb_each(object->'columns') WITH ORDINALITY e
		UNION ALL SELECT object->>'extra', '{"path": "extra"}', true WHERE object ? 'extra'
	LOOP
		SELECT format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, t.typnotnull, pg_get_expr(d.adbin, d.adrelid) AS expr,
			   CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END::regtype::text AS base,
			   pg_get_expr(t.typdefaultbin, 0) AS domain_expr
		  INTO STRICT att
		  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		 WHERE a.attrelid = rel AND a.attname = item.key;
		c := NULL;
		c.name := item.key;
		c.extra := item.extra;
		c.path := item.spec->>'path';
		c.steps := model.steps(c.path);
		c.format := item.spec->>'format';
		c.fallback := (item.spec->'default')::json;
		c.type := att.type;
		c.base := att.base;
		c.class := model.class(c.base);
		c.nullable := NOT (att.attnotnull OR att.typnotnull);
		c.default_expr := coalesce(att.expr, att.domain_expr);
		c.required := coalesce((item.spec->>'required')::boolean,
			NOT c.nullable AND c.default_expr IS NULL AND NOT item.spec ? 'default');
		c.key := item.key = ANY (key);
		c.nulls := ARRAY(SELECT jsonb_array_elements_text(item.spec->'null'));
		IF c.path = 'kafka.timestamp' AND c.class = 'timestamp' THEN c.format := 'epoch_ms'; END IF;
		IF c.path = 'kafka.key' AND c.class IN ('integer', 'float', 'numeric') THEN c.format := 'text'; END IF;
		result := result || c;
	END LOOP;
	RETURN result;
END $$;

-- Takes a stream's mapping, and makes the tables of what is expected.
CREATE FUNCTION model.prepare(stream text, target text, mapping jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	objects jsonb[] := mapping || ARRAY(SELECT c FROM jsonb_array_elements(mapping->'children') c);
	key		text[];
	t		text;
	id		model.col;
BEGIN
	SELECT array_agg(attname) INTO key FROM pg_index i JOIN pg_attribute a ON attrelid = indrelid AND attnum = ANY (indkey)
	 WHERE indrelid = target::regclass AND indisprimary;
	FOR n IN 1 .. cardinality(objects) LOOP
		t := coalesce(objects[n]->>'target', target);
		EXECUTE format('CREATE TABLE expected_%s (LIKE %I INCLUDING ALL)', t, t);
		INSERT INTO model.targets VALUES (stream, n - 1, t::regclass, ('expected_' || t)::regclass, objects[n]->>'rows',
			model.steps(objects[n]->>'rows'), NOT coalesce((objects[n]->>'required')::boolean, true), coalesce((objects[n]->>'single')::boolean, false),
			model.columns(t::regclass, objects[n], CASE n WHEN 1 THEN key ELSE '{}' END));
	END LOOP;
	IF mapping ?| '{delete,envelope}' THEN
		-- what a message that deletes does not say is no default
		id := (model.columns(target::regclass, jsonb_build_object('columns', jsonb_build_object('id',
			coalesce(mapping #> '{delete,columns,id}', mapping #> '{columns,id}'))), key))[1];
		id.required := true;
		id.fallback := NULL;
		id.default_expr := NULL;
	END IF;
	INSERT INTO model.words VALUES (stream, mapping->'where', mapping #> '{delete,where}', id, mapping ? 'envelope',
		mapping->>'version', mapping ? 'absent');
END $$;

-- ----- the whole message -----

-- Whether nothing in it is repeated, too deep or NUL.
CREATE FUNCTION model.check_value(j json, depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	item	record;
	reason	text;
	ignored text;
BEGIN
	IF json_typeof(j) IN ('object', 'array') AND depth >= 64 THEN
		RETURN 'too_deep';
	ELSIF json_typeof(j) = 'object' THEN
		IF (SELECT count(*) <> count(DISTINCT k COLLATE "C") FROM json_object_keys(j) k) THEN RETURN 'duplicate_key'; END IF;
		FOR item IN SELECT * FROM json_each(j) LOOP
			reason := coalesce(reason, model.check_value(item.value, depth + 1));
		END LOOP;
	ELSIF json_typeof(j) = 'array' THEN
		FOR item IN SELECT * FROM json_array_elements(j) LOOP
			reason := coalesce(reason, model.check_value(item.value, depth + 1));
		END LOOP;
	ELSE
		ignored := j #>> '{}';
	END IF;
	RETURN reason;
EXCEPTION
	WHEN untranslatable_character THEN RETURN 'nul';
	WHEN invalid_text_representation THEN RETURN 'invalid_json';
END $$;

-- Whether it has a fault of JSON before its first byte that is no UTF-8.
CREATE FUNCTION model.is_invalid_before(value bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	beginning	text;
	ending		text;
	said		text;
BEGIN
	FOR n IN REVERSE length(value) - 1 .. 0 LOOP
		BEGIN
			beginning := convert_from(substr(value, 1, n), 'UTF8');
			EXIT;
		EXCEPTION WHEN character_not_in_repertoire THEN
		END;
	END LOOP;
	-- in a string or outside it may only have ended too soon
	FOREACH ending IN ARRAY ARRAY['', '"'] LOOP
		BEGIN
			PERFORM (beginning || ending)::json;
			RETURN false;
		EXCEPTION WHEN invalid_text_representation THEN
			GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
			IF said = 'The input string ended unexpectedly.' THEN RETURN false; END IF;
		END;
	END LOOP;
	RETURN true;
END $$;

-- Whether it has another fault before the one for which it is no JSON: the
-- longest beginning that could go on is completed, and read.
CREATE FUNCTION model.fault_before(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	beginning	text;
	ending		text;
	open		text;
	said		text;
BEGIN
	FOR n IN REVERSE length(value) .. 0 LOOP
		beginning := left(value, n);
		BEGIN
			PERFORM beginning::json;
			EXIT;
		EXCEPTION WHEN invalid_text_representation THEN
			GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
			EXIT WHEN said = 'The input string ended unexpectedly.';
		END;
	END LOOP;
	open := regexp_replace(regexp_replace(beginning, '"([^"\\]|\\.)*"', '', 'g'), '[^][{}]', '', 'g');
	WHILE open ~ '\{\}|\[\]' LOOP
		open := regexp_replace(open, '\{\}|\[\]', '', 'g');
	END LOOP;
	open := translate(reverse(open), '{[', '}]');
	FOREACH ending IN ARRAY ARRAY['', '0', ':0', '"~":0'] LOOP
		BEGIN
			RETURN model.check_value((beginning || ending || open)::json, 0);
		EXCEPTION WHEN invalid_text_representation THEN
		END;
	END LOOP;
	RETURN NULL;
END $$;

CREATE FUNCTION model.read(value bytea, OUT reason text, OUT j json) LANGUAGE plpgsql AS $$
BEGIN
	IF length(value) = 0 THEN
		reason := 'empty_value';
	ELSIF position('\x00'::bytea IN value) > 0 THEN
		reason := 'nul';
	ELSE
		j := convert_from(value, 'UTF8')::json;
		reason := coalesce(model.check_value(j, 0),
			CASE WHEN json_typeof(j) <> 'object' THEN 'not_an_object' END);
	END IF;
EXCEPTION
	WHEN character_not_in_repertoire THEN
		reason := CASE WHEN model.is_invalid_before(value) THEN 'invalid_json' ELSE 'invalid_encoding' END;
	WHEN invalid_text_representation THEN reason := coalesce(model.fault_before(convert_from(value, 'UTF8')), 'invalid_json');
END $$;

-- Whether it is an envelope: an "op" beside an object that is one of its three.
CREATE FUNCTION model.is_change(j json) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(json_typeof(j->'op') = 'string'
		AND 'object' IN (coalesce(json_typeof(j->'source'), ''), coalesce(json_typeof(j->'before'), ''), json_typeof(j->'after')), false)
$$;

-- The row in an envelope, which may lie in a payload; other payloads have at most a schema beside them.
CREATE FUNCTION model.open(INOUT j json, OUT deletes boolean, OUT outcome text, OUT path text) LANGUAGE plpgsql AS $$
DECLARE
	place	text := '$';
	op		text;
	image	json;
BEGIN
	deletes := false;
	IF json_typeof(j->'payload') = 'object' AND NOT model.is_change(j) AND (model.is_change(j->'payload')
		OR (SELECT bool_and(k IN ('payload', 'schema')) FROM json_object_keys(j) k)) THEN
		j := j->'payload';
		place := '$.payload';
	END IF;
	IF model.is_change(j) THEN
		op := j->>'op';
		deletes := op = 'd';
		image := j->(CASE WHEN deletes THEN 'before' ELSE 'after' END);
		IF op = 'm' THEN
			outcome := 'filtered';
		ELSIF op NOT IN ('c', 'r', 'u', 'd') THEN
			outcome := 'wrong_type';
			path := place || '.op';
		ELSIF image IS NULL OR json_typeof(image) = 'null' THEN
			outcome := CASE WHEN deletes THEN NULL WHEN image IS NULL THEN 'missing_field' ELSE 'null_field' END;
			path := place || '.after';
			image := '{}';
		ELSIF json_typeof(image) <> 'object' THEN
			outcome := 'wrong_type';
			path := place || CASE WHEN deletes THEN '.before' ELSE '.after' END;
		END IF;
		j := image;
	END IF;
	deletes := deletes OR coalesce(json_typeof(j) = 'object' AND json_typeof(j->'__deleted') IN ('string', 'boolean') AND j->>'__deleted' = 'true', false);
END $$;

-- ----- paths -----

-- A single object is an array of one.
CREATE FUNCTION model.elements(j json) RETURNS json LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE json_typeof(j) WHEN 'array' THEN j ELSE json_build_array(j) END
$$;

CREATE FUNCTION model.pick(j json, steps text[]) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	FOR i IN 1 .. cardinality(steps) LOOP
		IF j IS NULL OR json_typeof(j) <> 'object' THEN RETURN NULL; END IF;
		SELECT value INTO j FROM json_each(j) WHERE key = steps[i];
	END LOOP;
	RETURN j;
END $$;

-- Whether a message is one that these conditions mean; of a row that is gone, only Kafka's are asked.
CREATE FUNCTION model.holds(conditions jsonb, j json, m record, kafka_only boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	item	record;
	value	jsonb;
BEGIN
	FOR item IN SELECT key AS path, CASE jsonb_typeof(c.value) WHEN 'array' THEN c.value ELSE jsonb_build_array(c.value) END AS list
		  FROM jsonb_each(conditions) c
	LOOP
		CONTINUE WHEN kafka_only AND item.path LIKE '$%';
		BEGIN
			value := CASE item.path WHEN 'kafka.key' THEN to_jsonb(convert_from(m.key, 'UTF8'))
				WHEN 'kafka.headers.h' THEN '"v"' ELSE model.pick(j, model.steps(item.path))::jsonb END;
		EXCEPTION WHEN numeric_value_out_of_range THEN
			value := '[]';
		END;
		IF NOT EXISTS (SELECT FROM jsonb_array_elements(item.list) e(wanted) WHERE e.wanted = coalesce(value, 'null')) THEN
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END $$;

-- The paths into the message (sheet 0), its records (-1), or the rows of a child.
CREATE FUNCTION model.paths(sheet int, t model.targets[], w model.words) RETURNS SETOF text[] LANGUAGE sql AS $$
	SELECT c.steps FROM unnest(t) x, unnest(x.columns || CASE WHEN x.n = 0 AND (w.deleted).path IS NOT NULL THEN ARRAY[w.deleted] END) c
	 WHERE CASE WHEN sheet = 0 THEN c.path LIKE '$%' WHEN sheet = -1 THEN c.path LIKE '^%' OR (c.path LIKE '@%' AND x.n = 0)
		ELSE c.path LIKE '@%' AND x.n = sheet END
	UNION ALL SELECT x.rows_steps FROM unnest(t) x
	 WHERE CASE sheet WHEN 0 THEN x.rows_path LIKE '$%' WHEN -1 THEN x.rows_path LIKE '@%' ELSE false END
	UNION ALL SELECT model.steps(k) FROM jsonb_object_keys(coalesce(w.wanted, '{}') || coalesce(w.deleting, '{}')) k
	 WHERE sheet = 0 AND k LIKE '$%'
	UNION ALL SELECT '{__deleted}' WHERE sheet = 0 AND w.envelope
$$;

-- The first place where a path goes on into what has no members.
CREATE FUNCTION model.misstep(j json, shown text, done text[], sheet int, t model.targets[], w model.words) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	depth	int := cardinality(done);
	beyond	boolean := (SELECT coalesce(bool_or(cardinality(p) > depth AND p[:depth] = done), false) FROM model.paths(sheet, t, w) s(p));
	rows	model.targets;
	item	record;
	found	text;
BEGIN
	SELECT * INTO rows FROM unnest(t) x WHERE depth > 0 AND x.rows_steps = done
		AND CASE sheet WHEN 0 THEN x.rows_path LIKE '$%' WHEN -1 THEN x.rows_path LIKE '@%' ELSE false END;
	IF rows.n IS NOT NULL AND (json_typeof(j) = 'array' OR (json_typeof(j) = 'object' AND rows.single)) THEN
		FOR item IN SELECT * FROM json_array_elements(model.elements(j)) WITH ORDINALITY LOOP
			found := model.misstep(item.value, shown || CASE json_typeof(j) WHEN 'array' THEN '[' || item.ordinality - 1 || ']' ELSE '' END, '{}', CASE rows.n WHEN 0 THEN -1 ELSE rows.n END, t, w);
			EXIT WHEN found IS NOT NULL;
		END LOOP;
	ELSIF json_typeof(j) = 'object' AND beyond THEN
		FOR item IN SELECT * FROM json_each(j) LOOP
			found := model.misstep(item.value, shown || model.shown(item.key), done || item.key, sheet, t, w);
			EXIT WHEN found IS NOT NULL;
		END LOOP;
	ELSIF beyond AND depth > 0 AND json_typeof(j) NOT IN ('object', 'null') THEN
		found := shown;
	END IF;
	RETURN found;
END $$;

-- ----- values -----

-- How a statement fails; NULL if it does not.  What it did is undone.
CREATE FUNCTION model.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE SQLSTATE 'UNDO0';
EXCEPTION WHEN OTHERS THEN
	RETURN nullif(SQLSTATE, 'UNDO0');
END $$;

CREATE FUNCTION model.is_input(value text, type text, OUT state text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT %L::%s', value, type);
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
END $$;

CREATE FUNCTION model.is_long(number text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN length(translate(number::numeric::text, '-.', '')) > 1000;
EXCEPTION WHEN numeric_value_out_of_range OR invalid_text_representation THEN
	RETURN true;
END $$;

CREATE FUNCTION model.has_long(j json) RETURNS boolean LANGUAGE sql AS $$
	SELECT CASE json_typeof(j)
		WHEN 'number' THEN model.is_long(j::text)
		WHEN 'object' THEN (SELECT coalesce(bool_or(model.has_long(value)), false) FROM json_each(j))
		WHEN 'array' THEN (SELECT coalesce(bool_or(model.has_long(value)), false) FROM json_array_elements(j))
		ELSE false END
$$;

CREATE FUNCTION model.number(c model.col, value text, kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
BEGIN
	IF c.format = 'text' THEN
		IF kind <> 'string' THEN RETURN 'wrong_type'; END IF;
		IF value ~* '^nan$|^[-+]?inf' THEN RETURN 'not_finite'; END IF;
		IF value !~ '^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$' THEN RETURN 'wrong_type'; END IF;
	ELSIF kind <> 'number' THEN
		RETURN 'wrong_type';
	END IF;
	IF c.class = 'float' THEN
		RETURN CASE WHEN model.is_input(value, c.base) IS NOT NULL THEN 'out_of_range' END;
	ELSIF model.is_long(value) THEN
		RETURN 'out_of_range';
	ELSIF c.class = 'integer' THEN
		IF value::numeric <> trunc(value::numeric) THEN RETURN 'wrong_type'; END IF;
		RETURN CASE WHEN model.is_input(trunc(value::numeric)::text, c.base) IS NOT NULL THEN 'out_of_range' END;
	END IF;
	RETURN NULL;
END $$;

-- A time as PostgreSQL reads it, in *value.
CREATE FUNCTION model.time(c model.col, kind text, INOUT value text, OUT reason text) LANGUAGE plpgsql AS $$
DECLARE
	usecs numeric;
BEGIN
	IF c.class = 'date' THEN
		reason := CASE WHEN kind <> 'string' THEN 'wrong_type'
			WHEN value !~ '^\d{4}-\d\d-\d\d$' OR model.is_input(value, 'date') IS NOT NULL THEN 'bad_timestamp' END;
	ELSIF coalesce(c.format, 'iso8601') = 'iso8601' THEN
		reason := CASE WHEN kind <> 'string' THEN 'wrong_type'
			WHEN value !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[-+]\d\d(:?\d\d)?)?$'
				OR model.is_input(value, 'timestamptz') IS NOT NULL THEN 'bad_timestamp' END;
		-- a timestamp without time zone is the one in UTC
		IF reason IS NULL THEN value := (value::timestamptz AT TIME ZONE 'UTC')::text || CASE c.base WHEN 'timestamp with time zone' THEN '+00' ELSE '' END; END IF;
	-- a number, also in quotes
	ELSIF kind = 'string' AND value ~* '^nan$|^[-+]?inf' THEN
		reason := 'not_finite';
	ELSIF kind <> 'number' AND NOT (kind = 'string' AND value ~ '^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$') THEN
		reason := 'wrong_type';
	ELSE
		usecs := CASE WHEN model.is_long(value) THEN 1e30 ELSE round(value::numeric * CASE c.format WHEN 'epoch_s' THEN 1000000 ELSE 1000 END) END;
		IF usecs < extract(epoch FROM timestamptz '1900-01-01 00:00+00') * 1000000
			OR usecs >= extract(epoch FROM timestamptz '10000-01-01 00:00+00') * 1000000 THEN
			reason := 'bad_timestamp';
		ELSE
			value := (timestamp '1970-01-01' + usecs * interval '1 us')::text || CASE c.base WHEN 'timestamp with time zone' THEN '+00' ELSE '' END;
		END IF;
	END IF;
END $$;

-- What an element may be: as in a column of its type, or a number or boolean in quotes.
CREATE FUNCTION model.element(c model.col, j json, OUT value text, OUT reason text) LANGUAGE plpgsql AS $$
DECLARE
	element	model.col := c;
BEGIN
	element.base := left(c.base, -2);
	element.class := model.class(element.base);
	element.format := NULL;
	element.key := false;
	value := j #>> '{}';
	IF element.class IN ('integer', 'numeric', 'float') AND json_typeof(j) = 'string' THEN
		reason := CASE WHEN value ~* '^nan$|^[-+]?inf' THEN 'not_finite'
			WHEN value !~ '^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$' THEN 'wrong_type'
			WHEN element.class = 'numeric' AND model.is_long(value) THEN 'out_of_range' END;
	ELSIF element.class <> 'boolean' OR json_typeof(j) <> 'string' THEN
		-- what is too large for a smaller integer, the table refuses
		element.base := CASE element.class WHEN 'integer' THEN 'bigint' ELSE element.base END;
		SELECT l.value, l.reason INTO value, reason FROM model.literal(element, j) l;
	END IF;
END $$;

CREATE FUNCTION model.array_text(c model.col, j json, OUT value text, OUT reason text) LANGUAGE plpgsql AS $$
DECLARE
	item	record;
	one		record;
	parts	text[] := '{}';
BEGIN
	FOR item IN SELECT e, json_typeof(e) AS kind FROM json_array_elements(j) e LOOP
		CASE item.kind
			WHEN 'array' THEN one := model.array_text(c, item.e);
			WHEN 'object' THEN SELECT NULL::text AS value, 'wrong_type' AS reason INTO one;
			WHEN 'null' THEN SELECT 'NULL' AS value, NULL::text AS reason INTO one;
			ELSE one := model.element(c, item.e);
		END CASE;
		IF one.reason IS NOT NULL THEN reason := one.reason; RETURN; END IF;
		parts := parts || CASE WHEN item.kind IN ('array', 'null') THEN one.value
			ELSE '"' || replace(replace(one.value, '\', '\\'), '"', '\"') || '"' END;
	END LOOP;
	value := '{' || array_to_string(parts, ',') || '}';
END $$;

-- A value's literal for INSERT, or why it is refused before that.
CREATE FUNCTION model.literal(c model.col, j json, OUT value text, OUT reason text) LANGUAGE plpgsql AS $$
DECLARE
	kind	text := json_typeof(j);
BEGIN
	value := j #>> '{}';
	CASE
		WHEN c.class IN ('json', 'jsonb') THEN
			value := j::text;
			IF c.class = 'jsonb' AND model.has_long(j) THEN reason := 'out_of_range'; END IF;
		WHEN c.class IN ('integer', 'numeric', 'float') THEN
			reason := model.number(c, value, kind);
			IF reason IS NULL AND c.class = 'integer' THEN value := trunc(value::numeric)::text; END IF;
			-- as a numeric, -0 is 0
			IF c.class = 'float' AND value ~ '^-0(\.0+)?$' THEN value := '0'; END IF;
		WHEN c.class = 'boolean' THEN
			reason := CASE WHEN kind <> 'boolean' THEN 'wrong_type' END;
		WHEN c.class IN ('timestamp', 'date') THEN
			SELECT t.value, t.reason INTO value, reason FROM model.time(c, kind, value) t;
		WHEN c.class = 'array' AND kind = 'array' THEN
			SELECT a.value, a.reason INTO value, reason FROM model.array_text(c, j) a;
		WHEN kind <> 'string' THEN
			reason := 'wrong_type';
		WHEN c.class = 'array' AND c.base LIKE 'timestamp %' THEN
			reason := CASE WHEN value ~* '^[^0-9{[(]|[{[(, ]+[a-z]' AND 'empty' NOT LIKE value || '%' THEN 'bad_timestamp' END;
		WHEN c.class IN ('uuid', 'bytea') THEN
			reason := CASE WHEN model.is_input(value, c.class) IS NOT NULL THEN 'wrong_type' END;
			IF c.class = 'bytea' AND reason IS NULL AND c.key AND value::bytea = '' THEN reason := 'empty_key'; END IF;
		WHEN c.class = 'time without time zone' THEN
			-- of brackets its input function tells
			reason := CASE WHEN value !~ '^([\d{[(]|$)' THEN 'bad_timestamp' END;
		ELSE
			NULL;
	END CASE;
	IF reason IS NULL AND c.class = 'text' AND c.key AND value = '' THEN reason := 'empty_key'; END IF;
END $$;

-- One field of a row: its expression in INSERT ... VALUES.
CREATE FUNCTION model.field(c model.col, j json, OUT expr text, OUT reason text) LANGUAGE plpgsql AS $$
DECLARE
	is_null boolean := j IS NOT NULL AND (json_typeof(j) = 'null' OR (json_typeof(j) = 'string' AND j #>> '{}' = ANY (c.nulls)));
	value	text;
BEGIN
	IF j IS NULL OR is_null THEN
		IF c.required OR ((is_null OR json_typeof(c.fallback) = 'null' OR c.default_expr IS NULL AND c.fallback IS NULL) AND NOT c.nullable) THEN
			reason := CASE WHEN is_null THEN 'null_field' ELSE 'missing_field' END;
			RETURN;
		ELSIF is_null OR json_typeof(c.fallback) = 'null' THEN
			expr := 'NULL';
			RETURN;
		ELSIF c.fallback IS NULL THEN
			expr := coalesce(c.default_expr, 'NULL');
			RETURN;
		END IF;
		j := c.fallback;
	END IF;
	SELECT l.value, l.reason INTO value, reason FROM model.literal(c, j) l;
	expr := quote_literal(value);
END $$;

-- What nothing maps, of the message or of an element.
CREATE FUNCTION model.extra(c model.col, j json, taken text[]) RETURNS record LANGUAGE plpgsql AS $$
DECLARE
	found	text;
BEGIN
	IF json_typeof(j) = 'object' THEN
		SELECT '{' || string_agg(to_json(key) || ':' || value, ',') || '}' INTO found
		  FROM json_each(j) WHERE key <> ALL (taken);
	END IF;
	IF found IS NULL THEN
		RETURN (coalesce(c.default_expr, CASE WHEN c.nullable THEN 'NULL' ELSE '''{}''' END), NULL::text);
	ELSIF c.class = 'jsonb' AND model.has_long(found::json) THEN
		RETURN (NULL::text, 'out_of_range'::text);
	END IF;
	RETURN (quote_literal(found), NULL::text);
END $$;

CREATE FUNCTION model.kafka(c model.col, m record) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE c.path
		WHEN 'kafka.key' THEN CASE WHEN c.class = 'bytea' THEN to_json(m.key::text) ELSE to_json(convert_from(m.key, 'UTF8')) END
		WHEN 'kafka.topic' THEN to_json(m.topic)
		WHEN 'kafka.headers' THEN m.headers::json
		WHEN 'kafka.timestamp' THEN to_json((extract(epoch FROM m.message_time) * 1000)::bigint)
		WHEN 'kafka.offset' THEN to_json(m."offset")
		ELSE to_json(m.partition) END;
END $$;

-- ----- rows -----

-- The expressions of one row, or reason and path; absent are its columns that the message does not have.
CREATE FUNCTION model.row(t model.targets, j json, rec json, rec_path text, element json, element_path text, n bigint, m record, shared boolean,
	taken text[], OUT exprs text[], OUT casts text[], OUT absent text[], OUT reason text, OUT path text) LANGUAGE plpgsql AS $$
DECLARE
	c		model.col;
	f		record;
	value	json;
BEGIN
	exprs := '{}';
	casts := '{}';
	absent := '{}';
	FOREACH c IN ARRAY t.columns LOOP
		CONTINUE WHEN shared <> (c.path NOT LIKE '@%' AND c.path NOT LIKE '^%' AND c.path <> '#' AND NOT c.extra);
		path := CASE WHEN c.extra THEN element_path
			WHEN c.path LIKE '@%' THEN element_path || substr(c.path, 2)
			WHEN c.path LIKE '^%' THEN rec_path || substr(c.path, 2)
			ELSE c.path END;
		IF c.extra THEN
			SELECT * INTO f FROM model.extra(c, element, taken) AS (expr text, reason text);
			value := CASE WHEN json_typeof(element) = 'object' AND EXISTS (SELECT FROM json_object_keys(element) k WHERE k <> ALL (taken)) THEN element END;
		ELSE
			value := CASE WHEN c.path LIKE 'kafka.%' THEN model.kafka(c, m)
				WHEN c.path = '#' THEN to_json(n)
				WHEN c.path LIKE '@%' THEN model.pick(element, c.steps)
				WHEN c.path LIKE '^%' THEN model.pick(rec, c.steps) ELSE model.pick(j, c.steps) END;
			-- Kafka's numbers and texts, whatever the column
			IF (c.path LIKE 'kafka.%' OR c.path = '#') AND json_typeof(value) = 'number' AND c.class IN ('text', 'citext') THEN
				value := to_json(value::text);
			END IF;
			f := model.field(c, value);
			IF c.path = 'kafka.timestamp' AND f.reason = 'bad_timestamp' THEN f.reason := 'out_of_range'; END IF;
		END IF;
		IF f.reason IS NOT NULL THEN
			reason := f.reason;
			RETURN;
		END IF;
		IF value IS NULL THEN absent := absent || c.name; END IF;
		exprs := exprs || format('%I=%s', c.name, f.expr);
		-- an assignment: a cast would cut what is too long
		casts := casts || format('DO $do$ DECLARE v %s := %s; BEGIN END $do$', c.type, f.expr);
		-- its input function looks at the length before the digits
		IF c.base = 'bit varying' THEN
			casts := casts || format('SELECT varbit_in((%s)::text::cstring, 0, %s)', f.expr, substring(c.type FROM '\d+'));
		END IF;
	END LOOP;
	path := NULL;
END $$;

CREATE FUNCTION model.insert(rel regclass, exprs text[]) RETURNS text LANGUAGE sql AS $$
	SELECT format('INSERT INTO %s (%s) VALUES (%s)', rel, string_agg(split_part(e, '=', 1), ', ' ORDER BY n),
		string_agg(substr(e, position('=' IN e) + 1), ', ' ORDER BY n))
	  FROM unnest(exprs) WITH ORDINALITY x(e, n)
$$;

-- Where the rows are, or reason: absent, null, or another type than an array.
CREATE FUNCTION model.rows_of(t model.targets, j json, OUT rows json, OUT reason text) LANGUAGE plpgsql AS $$
BEGIN
	rows := model.pick(j, t.rows_steps);
	reason := CASE WHEN rows IS NULL OR json_typeof(rows) = 'null' THEN CASE WHEN t.optional THEN NULL WHEN rows IS NULL THEN 'missing_field' ELSE 'null_field' END
		WHEN json_typeof(rows) <> 'array' AND NOT (t.single AND json_typeof(rows) = 'object') THEN 'wrong_type' END;
	rows := CASE WHEN reason IS NULL AND json_typeof(rows) IN ('array', 'object') THEN model.elements(rows) ELSE '[]' END;
END $$;

-- Whether an element must be an object and is not.
CREATE FUNCTION model.is_bare(t model.targets, element json) RETURNS boolean LANGUAGE sql AS $$
	SELECT json_typeof(element) <> 'object' AND EXISTS (SELECT FROM unnest(t.columns) c WHERE c.path LIKE '@_%')
$$;

-- The statements of one record, its children's in order.
CREATE FUNCTION model.record(t model.targets[], w model.words, j json, rec json, rec_path text, rec_n bigint, m record,
	OUT made model.record, OUT casts text[], OUT reason text, OUT path text) LANGUAGE plpgsql AS $$
DECLARE
	x		model.targets;
	r		record;
	found	record;
	shared	text[];
	item	record;
	part	boolean;
	base	text;
	taken	text[] := ARRAY(SELECT p[1] FROM model.paths(CASE WHEN t[1].rows_path IS NULL THEN 0 ELSE -1 END, t, w) p WHERE cardinality(p) > 0);
BEGIN
	made.children := '{}';
	made.kept := '{}';
	casts := '{}';
	IF model.is_bare(t[1], rec) AND t[1].rows_path IS NOT NULL THEN
		reason := 'wrong_type';
		path := rec_path;
		RETURN;
	END IF;
	-- its columns in their order, wherever they are from
	FOR i IN 1 .. cardinality(t[1].columns) LOOP
		x := t[1];
		x.columns := x.columns[i:i];
		FOREACH part IN ARRAY '{t,f}'::boolean[] LOOP
			r := model.row(x, j, rec, rec_path, rec, rec_path, rec_n, m, part, taken);
			reason := r.reason;
			path := r.path;
			IF reason IS NOT NULL THEN RETURN; END IF;
			casts := casts || r.casts;
			shared := shared || r.exprs;
			made.absent := made.absent || r.absent;
		END LOOP;
	END LOOP;
	made.parent := model.insert(t[1].expected, shared);
	made.id := (SELECT substr(e, 4) FROM unnest(shared) e WHERE e LIKE 'id=%');
	FOREACH x IN ARRAY t[2:] LOOP
		base := CASE WHEN x.rows_path LIKE '@%' THEN rec_path || substr(regexp_replace(x.rows_path, '\[\*\]$', ''), 2)
			ELSE regexp_replace(x.rows_path, '\[\*\]$', '') END;
		found := model.rows_of(x, CASE WHEN x.rows_path LIKE '@%' THEN rec ELSE j END);
		reason := found.reason;
		path := base;
		EXIT WHEN reason IS NOT NULL;
		path := NULL;
		IF model.pick(CASE WHEN x.rows_path LIKE '@%' THEN rec ELSE j END, x.rows_steps) IS NULL THEN made.kept := made.kept || x.n; END IF;
		CONTINUE WHEN json_array_length(found.rows) = 0;
		r := model.row(x, j, rec, rec_path, NULL, NULL, 0, m, true, taken);
		reason := r.reason;
		path := r.path;
		shared := r.exprs;
		casts := casts || r.casts;
		EXIT WHEN reason IS NOT NULL;
		FOR item IN SELECT * FROM json_array_elements(found.rows) WITH ORDINALITY e(j, n) LOOP
			IF model.is_bare(x, item.j) THEN
				reason := 'wrong_type';
				path := base || '[' || item.n - 1 || ']';
				EXIT;
			END IF;
			r := model.row(x, j, rec, rec_path, item.j, base || '[' || item.n - 1 || ']', item.n, m, false,
				ARRAY(SELECT p[1] FROM model.paths(x.n, t, w) p WHERE cardinality(p) > 0));
			reason := r.reason;
			path := r.path;
			EXIT WHEN reason IS NOT NULL;
			casts := casts || r.casts;
			made.children := made.children || model.insert(x.expected, shared || r.exprs);
		END LOOP;
		EXIT WHEN reason IS NOT NULL;
	END LOOP;
END $$;

-- What becomes of a message: its records, or reason and path.
CREATE FUNCTION model.statements(t model.targets[], w model.words, j json, m record, deletes boolean,
	OUT records model.record[], OUT casts text[], OUT reason text, OUT path text) LANGUAGE plpgsql AS $$
DECLARE
	x		model.targets := t[1];
	found	record;
	item	record;
	r		record;
	one		model.record;
	top		text := regexp_replace(t[1].rows_path, '\[\*\]$', '');
BEGIN
	records := '{}';
	casts := '{}';
	path := model.misstep(j, '$', '{}', 0, t, w);
	IF path IS NOT NULL THEN reason := 'wrong_type'; RETURN; END IF;
	IF top IS NULL THEN
		SELECT json_build_array(j) AS rows, NULL::text AS reason INTO found;
	ELSE
		found := model.rows_of(x, j);
		reason := found.reason;
		path := top;
		IF reason IS NOT NULL THEN RETURN; END IF;
	END IF;
	path := NULL;
	x.columns := ARRAY[w.deleted];
	FOR item IN SELECT * FROM json_array_elements(found.rows) WITH ORDINALITY e(j, n) LOOP
		IF deletes THEN
			SELECT * INTO r FROM model.row(x, j, item.j, NULL, item.j, coalesce(top || '[' || item.n - 1 || ']', '$'), item.n, m, (w.deleted).path NOT LIKE '@%', '{}');
			one := NULL;
			one.deletes := true;
			one.id := substr(r.exprs[1], 4);
		ELSE
			SELECT * INTO r FROM model.record(t, w, j, item.j, coalesce(top || '[' || item.n - 1 || ']', '$'), item.n, m);
			one := r.made;
		END IF;
		reason := r.reason;
		path := r.path;
		EXIT WHEN reason IS NOT NULL;
		casts := casts || r.casts;
		records := records || one;
	END LOOP;
END $$;

CREATE FUNCTION model.reason_of(state text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN state = '22001' OR state LIKE '54%' THEN 'too_long' WHEN state = '22P02' THEN 'wrong_type'
		WHEN state = '22007' THEN 'bad_timestamp' WHEN state LIKE '22%' THEN 'out_of_range' WHEN state LIKE '23%' THEN 'constraint'
		ELSE state END
$$;

-- Stores one record, as on_conflict says, or deletes; false if there was one of its key, or nothing to delete.
CREATE FUNCTION model.store(t model.targets[], w model.words, r model.record, on_conflict text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	keys	text := (SELECT string_agg(quote_ident(c.name), ', ') FROM unnest(t[1].columns) c WHERE c.key);
	n		int;
	x		model.targets;
	old		text;
	child	text;
	id		text := format('CAST(%s AS %s)', r.id, (SELECT c.type FROM unnest(t[1].columns) c WHERE c.name = 'id'));
BEGIN
	IF r.deletes THEN
		FOREACH x IN ARRAY t[2:] LOOP
			EXECUTE format('DELETE FROM %s WHERE id = %s', x.expected, id);
		END LOOP;
		EXECUTE format('DELETE FROM %s WHERE id = %s', t[1].expected, id);
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n > 0;
	ELSIF keys IS NULL OR on_conflict = 'error' THEN
		EXECUTE r.parent;
	ELSIF on_conflict = 'nothing' THEN
		EXECUTE r.parent || format(' ON CONFLICT (%s) DO NOTHING', keys);
		GET DIAGNOSTICS n = ROW_COUNT;
		IF n = 0 THEN RETURN false; END IF;
	ELSE
		EXECUTE regexp_replace(r.parent, '^(INSERT INTO \S+) ', '\1 AS c ') || format(' ON CONFLICT (%s) DO UPDATE SET %s %s RETURNING c.id::text', keys,
			(SELECT string_agg(format('%1$I = excluded.%1$I', c.name), ', ') FROM unnest(t[1].columns) c WHERE NOT (w.keep AND c.name = ANY (r.absent))),
			CASE WHEN w.version IS NOT NULL THEN
				-- a domain over an enum has none of its operators
				format('WHERE c.%1$I IS NULL OR excluded.%1$I%2$s >= c.%1$I%2$s', w.version,
					(SELECT CASE y.typtype WHEN 'e' THEN '::' || c.base END
					   FROM unnest(t[1].columns) c JOIN pg_type y ON y.oid = c.base::regtype WHERE c.name = w.version)) END) INTO old;
		IF old IS NULL THEN RETURN false; END IF;
		FOREACH x IN ARRAY t[2:] LOOP
			CONTINUE WHEN w.keep AND x.n = ANY (r.kept);
			EXECUTE format('DELETE FROM %s WHERE id = %L', x.expected, old);
		END LOOP;
	END IF;
	FOREACH child IN ARRAY r.children LOOP
		EXECUTE child;
	END LOOP;
	RETURN true;
END $$;

-- Whether a later record of the message replaces this one, which is not written then.
CREATE FUNCTION model.is_replaced(t model.targets[], w model.words, records model.record[], n int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	type	text := (SELECT c.type FROM unnest(t[1].columns) c WHERE c.name = 'id');
	same	boolean;
BEGIN
	-- a cast would cut a key that is too long
	IF model.state_of(format('DO $do$ DECLARE v %s := %s; BEGIN END $do$', type, records[n].id)) IS NOT NULL THEN RETURN false; END IF;
	FOR i IN n + 1 .. cardinality(records) LOOP
		EXECUTE format('SELECT CAST(%s AS %s) = CAST(%s AS %2$s)', records[n].id, type, records[i].id) INTO same;
		IF same THEN RETURN NOT w.keep; END IF;
	END LOOP;
	RETURN false;
EXCEPTION WHEN OTHERS THEN
	RETURN false;
END $$;

-- All messages of a stream; returns how many were stored, refused, had been
-- stored before, and were not meant.
CREATE FUNCTION model.run(name text, on_conflict text, OUT stored int, OUT refused int, OUT repeated int, OUT filtered int)
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
	t		model.targets[] := ARRAY(SELECT x FROM model.targets x WHERE x.stream = name ORDER BY n);
	w		model.words;
	m		record;
	d		record;
	e		record;
	s		record;
	others	text[];
	new		boolean;
	went_in boolean;
BEGIN
	SELECT * INTO w FROM model.words x WHERE x.stream = name;
	stored := 0;
	refused := 0;
	repeated := 0;
	filtered := 0;
	FOR m IN SELECT topic, partition, "offset", key, headers, value, message_time FROM sales.raw_messages r
			  WHERE r.stream = name ORDER BY "offset"
	LOOP
		others := NULL;
		d := model.read(m.value);
		SELECT CASE WHEN d.reason IS NULL THEN d.j END AS j, false AS deletes, d.reason AS outcome, NULL::text AS path INTO e;
		IF d.reason IS NULL AND w.envelope THEN
			SELECT * INTO e FROM model.open(d.j);
		END IF;
		-- what has no fields is not meant, either
		IF (e.outcome IS NULL OR d.reason = 'not_an_object') AND NOT model.holds(w.wanted, e.j, m, e.deletes) THEN
			e.outcome := 'filtered';
		END IF;
		IF e.outcome = 'filtered' THEN
			filtered := filtered + 1;
			CONTINUE;
		END IF;
		IF e.outcome IS NULL THEN
			s := model.statements(t, w, e.j, m, e.deletes OR (w.deleting IS NOT NULL AND model.holds(w.deleting, e.j, m, false)));
		ELSE
			SELECT NULL::model.record[] AS records, NULL::text[] AS casts, e.outcome AS reason, CASE WHEN d.reason IS NULL THEN e.path END AS path INTO s;
		END IF;
		IF s.reason IS NULL THEN
			BEGIN
				new := cardinality(s.records) = 0;
				-- a key that no row can have
				FOR i IN 1 .. CASE WHEN s.records[1].deletes THEN cardinality(s.casts) ELSE 0 END LOOP
					EXECUTE s.casts[i];
				END LOOP;
				FOR i IN 1 .. cardinality(s.records) LOOP
					-- what a later record replaces need not be written; where the message was refused, its fault may be the reason
					CONTINUE WHEN on_conflict = 'update' AND cardinality(s.records) > 1 AND model.is_replaced(t, w, s.records, i)
						AND NOT EXISTS (SELECT FROM fluct.dead_letters l WHERE l.stream = name AND l."offset" = m."offset");
					went_in := model.store(t, w, s.records[i], on_conflict);
					new := new OR went_in;
				END LOOP;
				IF new THEN stored := stored + 1; ELSE repeated := repeated + 1; END IF;
			EXCEPTION WHEN OTHERS THEN
				s.reason := model.reason_of(SQLSTATE);
				s.path := NULL;
				others := ARRAY(SELECT DISTINCT model.reason_of(model.state_of(c)) FROM unnest(s.casts
					|| ARRAY(SELECT r.parent || CASE on_conflict WHEN 'error' THEN '' ELSE ' ON CONFLICT DO NOTHING' END FROM unnest(s.records) r)) c);
			END;
		END IF;
		IF s.reason IS NOT NULL THEN
			refused := refused + 1;
			INSERT INTO model.verdicts VALUES (name, m."offset", s.reason, s.path, others);
		END IF;
	END LOOP;
END $$;

-- Where the tables are not as expected; NULL if they are.
CREATE FUNCTION model.differences(name text) RETURNS text LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
	x		model.targets;
	cols	text;
	found	text;
	result	text;
BEGIN
	FOR x IN SELECT * FROM model.targets WHERE stream = name ORDER BY n LOOP
		-- what nothing maps keeps the escapes of the message in json; of equal keys, 0 and 0.0, an update may keep any
		cols := (SELECT string_agg(format(CASE WHEN c.extra THEN '%I::jsonb' WHEN c.key AND c.base = 'numeric' THEN 'trim_scale(%I)' ELSE '%I' END,
					c.name), ', ') FROM unnest(x.columns) c);
		EXECUTE format('SELECT string_agg(w || '' '' || r, E''\n'') FROM (
			(SELECT ''not expected:'' AS w, ROW(%3$s)::text AS r FROM %1$s EXCEPT ALL SELECT ''not expected:'', ROW(%3$s)::text FROM %2$s) UNION ALL
			(SELECT ''not stored:'', ROW(%3$s)::text FROM %2$s EXCEPT ALL SELECT ''not stored:'', ROW(%3$s)::text FROM %1$s) LIMIT 6) d', x.rel, x.expected, cols) INTO found;
		result := concat_ws(E'\n', result, x.rel || ': ' || found);
	END LOOP;
	RETURN nullif(result, '');
END $$;

-- Dead letters other than expected.  A key is shown with the escapes that the
-- message has, so that its path is not compared.  Of several values that the tables refuse,
-- any may be told.  With on_conflict update, one that a later
-- message of the same batch replaces is not written at all, so not refused.
CREATE FUNCTION model.letters(name text, updates boolean) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', "offset", l.reason, l.path, 'expected', v.reason, v.path, l.detail), E'\n' ORDER BY "offset")
	  FROM (SELECT * FROM fluct.dead_letters WHERE stream = name) l
	  FULL JOIN (SELECT * FROM model.verdicts WHERE stream = name) v USING ("offset")
	 WHERE (l.reason IS DISTINCT FROM v.reason AND l.reason = ANY (v.others) IS NOT TRUE OR (v.path IS NOT NULL AND v.path IS DISTINCT FROM l.path AND position('\u00' IN l.path) = 0))
	   AND NOT (updates AND l.reason IS NULL AND v.path IS NULL)
$$;
