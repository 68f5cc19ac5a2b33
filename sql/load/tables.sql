-- tables.sql: files for any table, through a mapping.
--
-- CSV or JSON lines, in the words of a stream's mapping: `$` is the row, its
-- fields are the names of the header, or the members of the line's object.
-- src/load/table.c reads, and stores by the streams' decoder and sink; what is
-- refused comes back and is judged here, as for the other loaders.

CREATE OR REPLACE FUNCTION fluct._load_rows(path bytea, sha256 bytea, target text, mapping jsonb, on_conflict text, csv boolean,
	needed text[], booleans text[], strict_end boolean, delimiter text, encoding text, skip_lines bigint, null_words text[],
	gzip boolean, max_refused bigint)
RETURNS TABLE (line bigint, reason text, detail text, fields text[], fatal boolean, rows bigint, stored bigint, duplicates bigint)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_load_table';
COMMENT ON FUNCTION fluct._load_rows(bytea, bytea, text, jsonb, text, boolean, text[], text[], boolean, text, text, bigint, text[], boolean, bigint) IS
'Stores the rows of a file through a mapping. Returns those that are refused, at most one more than max_refused, and a last row with the counts. needed: names that the header of CSV must have; booleans: those whose fields are true or false.';

-- ---------------------------------------------------------------------------
-- The mapping
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._mapped_names(target regclass, mapping jsonb)
RETURNS TABLE (name text, is_needed boolean, type oid, has_format boolean, attname text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT coalesce(substring(p.path FROM '^\$\.([^].[]+)$'), substring(p.path FROM '^\$\["([^"\\]+)"\]$'),
				substring(p.path FROM '^\$\[''([^''\\]+)''\]$')),
	   c.value->'required' IS DISTINCT FROM 'false' AND NOT coalesce(c.value ? 'default', false)
	   AND NOT coalesce(a.atthasdef OR a.attidentity <> '', false),
	   getBaseType.type, jsonb_typeof(c.value) = 'object' AND c.value ? 'format', c.key
  FROM jsonb_each(mapping->'columns') c
 CROSS JOIN LATERAL (SELECT CASE jsonb_typeof(c.value) WHEN 'object' THEN c.value->>'path' ELSE c.value #>> '{}' END) p(path)
  LEFT JOIN pg_attribute a ON a.attrelid = target AND a.attname = c.key
  LEFT JOIN LATERAL (WITH RECURSIVE below AS (
						SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
						 UNION ALL
						SELECT t.oid, t.typtype, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')
					 SELECT b.oid FROM below b WHERE b.typtype <> 'd') getBaseType(type) ON true
$$;
COMMENT ON FUNCTION fluct._mapped_names(regclass, jsonb) IS 'the fields at the top of a row that a mapping takes, whether a row must have them, and the type of the column below its domains';

CREATE OR REPLACE FUNCTION fluct._csv_mapping(target regclass, mapping jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_set(mapping, '{columns}', coalesce((
	SELECT jsonb_object_agg(c.key, CASE
		WHEN n.type = ANY ('{int2,int4,int8,numeric,float4,float8}'::regtype[]) AND NOT n.has_format AND n.name IS NOT NULL
		THEN CASE jsonb_typeof(c.value) WHEN 'object' THEN c.value ELSE jsonb_build_object('path', c.value) END || '{"format": "number"}'
		ELSE c.value END)
	  FROM jsonb_each(mapping->'columns') c
	  JOIN fluct._mapped_names(target, mapping) n ON n.attname = c.key), '{}'))
$$;
COMMENT ON FUNCTION fluct._csv_mapping(regclass, jsonb) IS 'the mapping for rows of CSV, whose numbers are texts';

CREATE OR REPLACE FUNCTION fluct._table_conflict(target regclass, mapping jsonb, mode text, role oid)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF mode <> 'append' AND NOT fluct._is_keyed(target, mapping - '{delete,envelope,version,absent}'::text[], 'nothing', role) THEN
		RAISE EXCEPTION 'mode % needs a unique key, and % has none whose columns are all mapped', mode, fluct._qualified(target)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Add a primary key, map its columns, or use mode => ''append''.';
	END IF;
	RETURN CASE mode WHEN 'append' THEN 'nothing' ELSE 'update' END;
END
$$;
COMMENT ON FUNCTION fluct._table_conflict(regclass, jsonb, text, oid) IS 'the rule for a row whose key already exists; raises invalid_parameter_value where there is no key to go by';

-- The target by its full name, the mapping in whole.
CREATE OR REPLACE FUNCTION fluct._table_options(target regclass, options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping jsonb := options->'mapping';
	conflict text;
BEGIN
	IF target IS NULL THEN
		RAISE EXCEPTION 'target must be given'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'It is the table that the rows go to: target => ''myschema.mytable''.';
	ELSIF getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'files for any table need a database with the encoding UTF8, and this one has %', getdatabaseencoding()
			USING ERRCODE = 'feature_not_supported';
	END IF;
	PERFORM fluct._refuse_superuser_writer(fluct._caller(), t.relation)
	   FROM (SELECT target UNION ALL SELECT fluct._find_child(target, c #>> '{}') FROM jsonb_path_query(mapping, '$.children[*].target') c) t(relation);
	mapping := CASE WHEN mapping IS NULL THEN fluct._derive_mapping(target, fluct._caller())
					ELSE fluct._whole_mapping(target, mapping, fluct._caller()) END;
	IF options->>'mode' = 'snapshot' AND fluct._deletes(mapping, 'ignore') THEN
		RAISE EXCEPTION 'the rows of a snapshot cannot delete'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = 'What the file does not hold is deleted.',
			      HINT = 'Use mode => ''upsert'' for a file of changes.';
	END IF;
	conflict := fluct._table_conflict(target, mapping, options->>'mode', fluct._caller());
	PERFORM fluct._check_mapping(target, mapping, conflict, fluct._caller());
	RETURN options || jsonb_build_object('target', fluct._qualified(target), 'mapping', mapping);
END
$$;
COMMENT ON FUNCTION fluct._table_options(regclass, jsonb) IS 'the options of a load into any table, checked for the caller; errors as create_stream()';

CREATE OR REPLACE FUNCTION fluct._given_table(target regclass, mapping jsonb, format text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(jsonb_object_agg(o.name, o.value) FILTER (WHERE o.value IS NOT NULL), '{}')
  FROM (VALUES ('target', to_jsonb(fluct._qualified(target))), ('mapping', mapping), ('format', to_jsonb(format))) o(name, value)
$$;
COMMENT ON FUNCTION fluct._given_table(regclass, jsonb, text) IS 'those of these options that were given';

-- ---------------------------------------------------------------------------
-- A load
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._check_table_loader(target text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass(target) IS NULL THEN
		RAISE EXCEPTION 'relation % does not exist', target
			USING ERRCODE = 'undefined_table', HINT = 'fluct.alter_inbox() gives an inbox another target.';
	END IF;
	PERFORM fluct._refuse_superuser_writer(fluct._caller(), to_regclass(target));
END
$$;
COMMENT ON FUNCTION fluct._check_table_loader(text) IS 'raises undefined_table, or insufficient_privilege for a superuser who does not own the target';

CREATE OR REPLACE FUNCTION fluct._judge_rows(load fluct.files, max_rejects bigint)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._refuse_bad_rows(load, max_rejects, (SELECT count(*) FROM pg_temp._fluct_refused r WHERE r.reason IS NOT NULL),
								   b.line, b.reason, b.detail, b.fatal, fluct._reason_hint(load, b.reason, b.detail))
	   FROM (SELECT r.* FROM pg_temp._fluct_refused r WHERE r.reason IS NOT NULL
			  ORDER BY coalesce(r.fatal, false) AND load.options->>'on_bad_row' <> 'refuse' DESC, r.line LIMIT 1) b;
	RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('line', r.line, 'reason', r.reason, 'detail', r.detail, 'fields', r.fields)
									  ORDER BY r.line), '[]')
			  FROM pg_temp._fluct_refused r WHERE r.reason IS NOT NULL);
END
$$;
COMMENT ON FUNCTION fluct._judge_rows(fluct.files, bigint) IS 'refuses the file for its bad rows, or returns them';

CREATE OR REPLACE FUNCTION fluct._read_rows(load fluct.files, path bytea, options jsonb, target text, mapping jsonb,
	conflict text, strict_end boolean)
RETURNS TABLE (line bigint, reason text, detail text, fields text[], fatal boolean, rows bigint, stored bigint, duplicates bigint)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.*
  FROM fluct._file_format(path, load.options) o
 CROSS JOIN LATERAL (SELECT CASE options->>'format' WHEN 'csv' THEN true WHEN 'json' THEN false
						 ELSE load.file !~* '[.](json|jsonl|ndjson)([.]gz)?([.][0-9]+)?$' END) f(csv)
 CROSS JOIN LATERAL fluct._load_rows(path, load.sha256, target,
	CASE WHEN f.csv THEN fluct._csv_mapping(target::regclass, mapping) ELSE mapping END, conflict, f.csv,
	ARRAY(SELECT DISTINCT n.name FROM fluct._mapped_names(target::regclass, mapping) n WHERE n.name IS NOT NULL AND n.is_needed),
	ARRAY(SELECT DISTINCT n.name FROM fluct._mapped_names(target::regclass, mapping) n WHERE n.name IS NOT NULL AND n.type = 'boolean'::regtype),
	strict_end, o.delimiter, o.encoding, o.skip_lines, o.null_words, o.gzip,
	CASE WHEN options->>'on_bad_row' = 'refuse' THEN 0 ELSE (options->>'max_rejects')::bigint END) r
$$;
COMMENT ON FUNCTION fluct._read_rows(fluct.files, bytea, jsonb, text, jsonb, text, boolean) IS '_load_rows of a file, as the options say that it is written';

CREATE OR REPLACE FUNCTION fluct._mapped_keys(target regclass, mapping jsonb)
RETURNS TABLE (relation text, key text[])
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_mapped_keys';
COMMENT ON FUNCTION fluct._mapped_keys(regclass, jsonb) IS
'the unique key by which a mapping replaces rows of the target, and then, for each child, the columns in which it has that key';

-- The file's keys are read by themselves: of the target one cannot tell which
-- rows a load has found as they were.
CREATE OR REPLACE FUNCTION fluct._remove_absent_rows(load fluct.files, path bytea, options jsonb, strict_end boolean, known bigint)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target regclass := options->>'target';
	mapping jsonb := options->'mapping';
	key text[] := (SELECT k.key FROM fluct._mapped_keys(target, mapping) k LIMIT 1);
	names text := (SELECT string_agg(quote_ident(k), ', ') FROM unnest(key) k);
	is_absent text := (SELECT pg_catalog.format('NOT EXISTS (SELECT FROM pg_temp._fluct_keys k WHERE %s)',
											 string_agg(pg_catalog.format('k.%1$I = t.%1$I', k), ' AND ')) FROM unnest(key) k);
	fraction CONSTANT numeric := (options->>'max_delete_fraction')::numeric;
	absent bigint;
	child record;
BEGIN
	EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE _fluct_keys ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA', names, target);
	PERFORM FROM fluct._read_rows(load, path, options, 'pg_temp._fluct_keys',
		mapping - '{children,extra,version,absent}'::text[]
		|| jsonb_build_object('columns', (SELECT jsonb_object_agg(k, mapping->'columns'->k) FROM unnest(key) k)), 'nothing', strict_end);
	EXECUTE pg_catalog.format('SELECT count(*) FROM %s t WHERE %s', target, is_absent) INTO absent;
	IF absent > known * fraction THEN
		PERFORM fluct._refuse_file(load, NULL, 'too_many_deletes',
								   pg_catalog.format('%s of %s rows of %s are not in the file, expected at most %s %%', absent, known, target, round(fraction * 100, 1)),
								   'Raise max_delete_fraction if the file is whole.');
	END IF;
	FOR child IN SELECT k.* FROM fluct._mapped_keys(target, mapping) k OFFSET 1 LOOP
		EXECUTE pg_catalog.format('DELETE FROM %s c USING %s t WHERE %s AND %s', child.relation, target, is_absent,
			(SELECT string_agg(pg_catalog.format('c.%I = t.%I', p.own, p.key), ' AND ') FROM unnest(child.key, key) p(own, key)));
	END LOOP;
	EXECUTE pg_catalog.format('DELETE FROM %s t WHERE %s', target, is_absent);
	DROP TABLE pg_temp._fluct_keys;
	RETURN absent;
END
$$;
COMMENT ON FUNCTION fluct._remove_absent_rows(fluct.files, bytea, jsonb, boolean, bigint) IS
'deletes the rows of the target that a snapshot does not hold, and those of children; returns how many. known: how many there were before';

CREATE OR REPLACE FUNCTION fluct._store_table(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target regclass := options->>'target';
	conflict text := CASE options->>'mode' WHEN 'append' THEN 'nothing' ELSE 'update' END;
	known bigint;
	counts record;
	rejects jsonb;
BEGIN
	IF options->>'mode' = 'snapshot' THEN
		-- nobody else changes what is compared below; reading goes on
		EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
		EXECUTE pg_catalog.format('SELECT count(*) FROM %s', target) INTO known;
	END IF;
	PERFORM fluct._progress('reading');
	CREATE TEMPORARY TABLE _fluct_refused ON COMMIT DROP AS
	SELECT r.* FROM fluct._read_rows(load, path, options, options->>'target', options->'mapping', conflict, strict_end) r;
	rejects := fluct._judge_rows(load, (options->>'max_rejects')::bigint);
	SELECT r.rows, r.stored, r.duplicates INTO counts
	  FROM pg_temp._fluct_refused r WHERE r.reason IS NULL;
	load.rows := counts.rows;
	load.inserted := counts.stored;
	IF conflict = 'update' THEN
		load.duplicates := counts.duplicates;
	ELSE
		load.unchanged := counts.duplicates;
	END IF;
	DROP TABLE pg_temp._fluct_refused;
	IF known IS NOT NULL AND load.rows = 0 THEN
		PERFORM fluct._refuse_file(load, 1, 'empty_file', 'no row; as a snapshot it would delete every row of ' || target);
	ELSIF known IS NOT NULL THEN
		load.removed := fluct._remove_absent_rows(load, path, options, strict_end, known);
	END IF;
	RETURN (load, rejects);
END
$$;
COMMENT ON FUNCTION fluct._store_table(fluct.files, bytea, jsonb, boolean) IS 'what _store does with rows for any table';

-- ---------------------------------------------------------------------------
-- By hand
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct.load_table(path text, target regclass, mapping jsonb DEFAULT NULL, mode text DEFAULT 'upsert',
	format text DEFAULT 'auto', on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000,
	max_delete_fraction numeric DEFAULT 0.1, force boolean DEFAULT false, delimiter text DEFAULT NULL,
	encoding text DEFAULT NULL, skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, compression text DEFAULT NULL)
RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.load_table(text, regclass, jsonb, text, text, text, bigint, numeric, boolean, text, text, bigint, text[], text) IS
'Loads a file of the server into any table: CSV with a header, or JSON lines (format csv, json, or auto: by the name, *.json, *.jsonl, *.ndjson). mapping is a stream''s, NULL = each column from the field of its name; of CSV, fields are texts that the columns'' types read, and an empty one without quotes is NULL. mode upsert (a row whose unique key exists is replaced; inserted counts both), snapshot (so, and rows absent from the file are deleted, with their rows in children; one that would delete more than max_delete_fraction of them is refused) or append (such a row is left as it is). The other options as load_customers(). Errors: invalid_parameter_value for a mapping that does not fit; those of a file.';

CREATE OR REPLACE FUNCTION fluct._load_table(path text, target regclass, mapping jsonb, mode text, format text, on_bad_row text,
								  max_rejects bigint, max_delete_fraction numeric, force boolean,
								  delimiter text, encoding text, skip_lines bigint, null_words text[], compression text)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	options jsonb := fluct._load_options('table', jsonb_build_object('mode', mode, 'format', format, 'on_bad_row', on_bad_row,
			'max_rejects', max_rejects, 'max_delete_fraction', max_delete_fraction)
		|| fluct._given_table(target, mapping, NULL) || fluct._given_format(delimiter, encoding, skip_lines, null_words, NULL, compression, NULL));
BEGIN
	RETURN fluct._load_file('table', path, fluct._table_options(target, options), force);
END
$$;
COMMENT ON FUNCTION fluct._load_table(text, regclass, jsonb, text, text, text, bigint, numeric, boolean, text, text, bigint, text[], text) IS 'load_table, as the extension''s owner';
