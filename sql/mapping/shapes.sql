-- shapes.sql: what JSON documents consist of, for suggest_mapping and schema_drift.
--
-- A sample of documents is taken apart in one query: all of their paths, written
-- as a mapping writes them, with [*] for the elements of an array of objects.

CREATE OR REPLACE FUNCTION fluct._document(message bytea, framing text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN convert_from(CASE WHEN framing = 'registry' THEN substr(message, 6) ELSE message END, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._document(bytea, text) IS 'the JSON of a message; NULL where it is not JSON';

CREATE OR REPLACE FUNCTION fluct._changed_row(document jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN e.envelope ?& '{op,after}' OR e.envelope ?& '{op,before}' THEN e.envelope -> 'after'
				WHEN e.envelope ->> '__deleted' = 'true' THEN NULL
				ELSE e.envelope - '__deleted' END
	FROM (SELECT CASE WHEN document ? 'payload' AND document - '{schema,payload}'::text[] = '{}' THEN document -> 'payload'
					  ELSE document END) e(envelope)
	WHERE jsonb_typeof(e.envelope) = 'object'
$$;
COMMENT ON FUNCTION fluct._changed_row(jsonb) IS 'the row in a change that Debezium wrote, whatever its form; NULL of one that is deleted';

CREATE OR REPLACE FUNCTION fluct._path_step(key text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT CASE WHEN key ~ '^[A-Za-z_][A-Za-z0-9_]*$' THEN '.' || key ELSE '[' || to_json(key)::text || ']' END
$$;
COMMENT ON FUNCTION fluct._path_step(text) IS 'the step to a member of that name, as .name or ["odd name"]';

-- '$.a["b c"][0]' has the members a and b c, and the element 0.
CREATE OR REPLACE FUNCTION fluct._path_steps(path text)
RETURNS TABLE (n bigint, member text, element text)
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT r.n, coalesce(r.m[1], r.m[2]::json #>> '{}', r.m[3]), r.m[4]
	FROM regexp_matches(path, '\.([^].\["''* ]+)|\[("(?:[^"\\]|\\.)*")\]|\[''([^'']*)''\]|\[(\d+|\*)\]|(\.\*)', 'g') WITH ORDINALITY r(m, n)
$$;
COMMENT ON FUNCTION fluct._path_steps(text) IS 'the steps of a path in their order: to a member, or to an element, * for each; .* is neither';

CREATE OR REPLACE FUNCTION fluct._path_keys(path text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(coalesce(s.member, s.element) ORDER BY s.n), '{}') FROM fluct._path_steps(path) s
$$;
COMMENT ON FUNCTION fluct._path_keys(text) IS 'the steps of a path; [*] is *';

CREATE OR REPLACE FUNCTION fluct._type_of(kinds text[], path text, OUT type text, OUT format text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT CASE
		WHEN k = '{}' THEN 'jsonb'
		WHEN k = '{boolean}' THEN 'boolean'
		WHEN k <@ epochs AND cardinality(k) = 1 AND path ~ time_name THEN 'timestamptz'
		WHEN k <@ (epochs || '{integer}') AND path !~* money THEN 'bigint'
		WHEN k <@ (epochs || '{integer,number,decimal}') THEN 'numeric'
		WHEN k = '{uuid}' THEN 'uuid'
		WHEN k = '{timestamp}' THEN 'timestamptz'
		WHEN k = '{date}' THEN 'date'
		WHEN k <@ (epochs || '{boolean,integer,number,decimal,uuid,timestamp,date,string}') THEN 'text'
		WHEN k <@ '{"[string]","[]"}' AND k <> '{[]}' THEN 'text[]'
		WHEN k <@ '{"[integer]","[]"}' AND k <> '{[]}' THEN 'bigint[]'
		WHEN k <@ '{"[integer]","[number]","[]"}' AND k <> '{[]}' THEN 'numeric[]'
		WHEN k <@ '{"[boolean]","[]"}' AND k <> '{[]}' THEN 'boolean[]'
		ELSE 'jsonb' END,
	CASE
		WHEN k <@ epochs AND cardinality(k) = 1 AND path ~ time_name THEN k[1]
		WHEN 'decimal' = ANY (k) AND k <@ (epochs || '{integer,number,decimal}') THEN 'number'
		WHEN k && (epochs || '{boolean,integer,number}') AND k && '{uuid,timestamp,date,string}'
			AND k <@ (epochs || '{boolean,integer,number,decimal,uuid,timestamp,date,string}') THEN 'text'
		WHEN 'boolean' = ANY (k) AND k && (epochs || '{integer,number,decimal}')
			AND k <@ (epochs || '{boolean,integer,number,decimal}') THEN 'text' END
	FROM (SELECT array_replace(array_remove(kinds, 'null'), 'decimal', CASE WHEN path ~ label THEN 'string' ELSE 'decimal' END) AS k,
				 '{epoch_s,epoch_ms,epoch_us,epoch_ns}'::text[] AS epochs,
				 '([tT]ime|[dD]ate|_at|At|^at|\.at|[tT]s|_ms|Ms|_us|[cC]reated|[uU]pdated|[mM]odified|[eE]xpires)[^.]*$' AS time_name,
				 '(amount|price|total|cost|tax|fee|rate|balance|discount)[^.]*$' AS money
		  FROM (SELECT '([vV]ersion|[rR]elease|[cC]ode|[nN]umber|(\m|_)id|Id|ID)("\])?$' AS label) l) o
$$;
COMMENT ON FUNCTION fluct._type_of(text[], text) IS
'the type of a column that holds all of these kinds (of _nodes), with the format of the mapping; an integer is a time only by its path, an amount is numeric, digits in a string that is a version or an id are text';

CREATE OR REPLACE FUNCTION fluct._path_text(keys text[]) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '$' || coalesce(string_agg(coalesce(fluct._path_step(k.key), '[*]'), '' ORDER BY k.n), '') FROM unnest(keys) WITH ORDINALITY k(key, n)
$$;
COMMENT ON FUNCTION fluct._path_text(text[]) IS 'a path of these steps; NULL is [*]';

-- Of an array at most 10 elements are looked at, of one in it 3; those in that
-- are not taken apart.  All is in one query, since a function for each value would cost more
-- than all the rest.  An integer that may be a time is told by its digits.
CREATE OR REPLACE FUNCTION fluct._nodes(documents jsonb[])
RETURNS TABLE (message int, keys text[], value jsonb, type text, kind text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	WITH RECURSIVE node AS (
		SELECT d.n::int AS message, '{}'::text[] AS keys, d.document AS value, jsonb_typeof(d.document) AS type
		FROM unnest(documents) WITH ORDINALITY d(document, n) WHERE d.document IS NOT NULL
		UNION ALL
		SELECT n.message, n.keys || c.key, c.value, jsonb_typeof(c.value)
		FROM node n CROSS JOIN LATERAL (
			SELECT e.key, e.value
			FROM jsonb_each(CASE n.type WHEN 'object' THEN n.value ELSE '{}' END) e
			UNION ALL
			SELECT NULL, e.value
			FROM jsonb_array_elements(CASE WHEN n.type = 'array' AND cardinality(array_positions(n.keys, NULL)) < 2 THEN n.value ELSE '[]' END)
				WITH ORDINALITY e(value, i)
			WHERE e.i <= CASE WHEN array_position(n.keys, NULL) IS NULL THEN 10 ELSE 3 END AND jsonb_typeof(e.value) = 'object') c
		WHERE n.type IN ('object', 'array') AND cardinality(n.keys) < 16
	)
	SELECT n.message, n.keys, n.value, n.type, CASE n.type
		WHEN 'number' THEN CASE
			WHEN t.text !~ '^-?\d{1,18}$' THEN CASE WHEN t.text ~ '^1\d{18}$' THEN 'epoch_ns' ELSE 'number' END
			WHEN t.text ~ '^1\d{9}$' THEN 'epoch_s'
			WHEN t.text ~ '^1\d{12}$' THEN 'epoch_ms'
			WHEN t.text ~ '^1\d{15}$' THEN 'epoch_us'
			ELSE 'integer' END
		WHEN 'string' THEN CASE
			WHEN t.text ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN 'uuid'
			WHEN t.text ~ '^(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?([Zz]|[+-][01]\d:?[0-5]\d)?$'
				THEN 'timestamp'
			WHEN t.text ~ '^(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$' THEN 'date'
			WHEN t.text ~ '^-?(0|[1-9]\d{0,30})\.\d{1,30}$' THEN 'decimal'
			ELSE 'string' END
		WHEN 'array' THEN (
			SELECT CASE WHEN count(*) = 0 THEN '[]' WHEN min(e.type) = max(e.type) THEN '[' || min(e.type) || ']'
						WHEN min(e.type) = 'integer' AND max(e.type) = 'number' THEN '[number]' ELSE '[mixed]' END
			FROM (SELECT CASE WHEN k = 'number' AND a::text ~ '^-?\d{1,18}$' THEN 'integer' ELSE k END COLLATE "C" AS type
				  FROM jsonb_array_elements(CASE n.type WHEN 'array' THEN n.value ELSE '[]' END) a, jsonb_typeof(a) k) e)
		ELSE n.type END
	FROM node n CROSS JOIN LATERAL (SELECT CASE WHEN n.type IN ('number', 'string') THEN n.value #>> '{}' END) t(text)
$$;
COMMENT ON FUNCTION fluct._nodes(jsonb[]) IS
'each value in the documents with the steps of its path (NULL: an element), its JSON type, and what it looks like: null, boolean, integer, epoch_s to epoch_ns, number, uuid, timestamp, date, decimal (in a string), string, object, or [type of the elements]; message is the number of the document from 1';

-- A path is taken whole where it is not always the same kind of container, or
-- has more than 60 members: those are names of things, not of fields.
CREATE OR REPLACE FUNCTION fluct._shapes(documents jsonb[])
RETURNS TABLE (path text, part text, messages bigint, first_message int, last_message int, kinds text[], is_unique boolean, types jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH node AS MATERIALIZED (
		SELECT * FROM fluct._nodes(documents)
	), typed AS (
		SELECT t.keys, jsonb_object_agg(t.type, jsonb_build_object('first', t.first, 'messages', t.messages, 'sample', t.sample)) AS types
		FROM (SELECT n.keys, n.type, min(n.message) AS first, count(DISTINCT n.message) AS messages,
				(array_agg(n.value ORDER BY n.message))[1] AS sample
			  FROM node n GROUP BY 1, 2) t GROUP BY t.keys
	), seen AS (
		SELECT n.keys, count(DISTINCT n.message) AS messages, min(n.message) AS first, max(n.message) AS last,
			array_agg(DISTINCT n.kind) AS kinds, array_agg(DISTINCT n.kind) FILTER (WHERE n.kind <> 'null') AS some,
			count(DISTINCT n.value) = count(*) AND bool_and(n.kind <> 'null') AS is_unique
		FROM node n GROUP BY n.keys
	), children AS (
		SELECT s.keys[:cardinality(s.keys) - 1] AS keys, count(*) AS members FROM seen s WHERE s.keys <> '{}' GROUP BY 1
	), parted AS MATERIALIZED (
		SELECT s.*, fluct._path_text(s.keys) AS path, t.types, c.members, CASE
			WHEN s.keys <> '{}' AND s.keys[cardinality(s.keys)] IS NULL THEN 'element'
			WHEN s.some = '{object}' AND c.members <= 60 THEN 'object'
			WHEN s.some <@ '{"[object]","[]"}' AND '[object]' = ANY (s.some) AND cardinality(array_positions(s.keys, NULL)) < 2 THEN 'rows'
			ELSE 'column' END AS part
		FROM seen s JOIN typed t USING (keys) LEFT JOIN children c USING (keys)
	)
	SELECT p.path, p.part, p.messages, p.first, p.last, p.kinds, p.is_unique, p.types
	FROM parted p
	WHERE NOT EXISTS (SELECT FROM parted w WHERE w.part = 'column' AND w.members > 0
		AND starts_with(p.path, w.path) AND substr(p.path, length(w.path) + 1, 1) IN ('.', '['))
$$;
COMMENT ON FUNCTION fluct._shapes(jsonb[]) IS
'the paths of documents: part is column, rows (an array of objects), element (of such) or object; in how many documents, the first and the last of them, the kinds of _nodes, whether no value repeats, and by JSON type the first document and its value';
