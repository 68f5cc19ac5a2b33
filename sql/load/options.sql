-- options.sql: the options of a load, those of all kinds and those of each.

CREATE OR REPLACE FUNCTION fluct._check_option(name text, value text, allowed text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_word(name, value, VARIADIC allowed);
END
$$;
COMMENT ON FUNCTION fluct._check_option(text, text, text[]) IS 'raises invalid_parameter_value unless value is one of those allowed';

CREATE OR REPLACE FUNCTION fluct._check_snapshot(mode text, on_bad_row text, max_delete_fraction numeric)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF mode = 'snapshot' AND on_bad_row = 'reject_row' THEN
		RAISE EXCEPTION 'a snapshot cannot leave rows out'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = 'A rejected row would count as absent and be deleted.',
			      HINT = 'Use on_bad_row => ''refuse'', or mode => ''upsert''.';
	ELSIF max_delete_fraction IS NULL OR NOT max_delete_fraction BETWEEN 0 AND 1 THEN
		RAISE EXCEPTION 'max_delete_fraction must be between 0 and 1'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_snapshot(text, text, numeric) IS 'raises invalid_parameter_value where the mode and the limits of a load do not go together';

CREATE OR REPLACE FUNCTION fluct._check_customer_options(mode text, unknown_industry text, on_bad_row text, max_delete_fraction numeric)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_option('mode', mode, '{upsert,snapshot}');
	PERFORM fluct._check_option('unknown_industry', unknown_industry, '{report,add,reject}');
	PERFORM fluct._check_snapshot(mode, on_bad_row, max_delete_fraction);
END
$$;
COMMENT ON FUNCTION fluct._check_customer_options(text, text, text, numeric) IS 'raises invalid_parameter_value for options of load_customers that make no sense';

CREATE OR REPLACE FUNCTION fluct._given_format(delimiter text, encoding text, skip_lines bigint, null_words text[], columns jsonb,
								  compression text, industry_delimiter text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(jsonb_object_agg(o.name, o.value) FILTER (WHERE o.value IS NOT NULL), '{}')
  FROM (VALUES ('delimiter', to_jsonb(delimiter)), ('encoding', to_jsonb(encoding)), ('skip_lines', to_jsonb(skip_lines)),
			   ('null_words', to_jsonb(null_words)), ('columns', columns), ('compression', to_jsonb(compression)),
			   ('industry_delimiter', to_jsonb(industry_delimiter))) o(name, value)
$$;
COMMENT ON FUNCTION fluct._given_format(text, text, bigint, text[], jsonb, text, text) IS 'those of these options that were given';

-- How a file is written.  Stored, and part of a load's identity, only where it
-- differs from the usual.
CREATE OR REPLACE FUNCTION fluct._usual_format(kind text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb '{"encoding": "UTF8", "compression": "auto"}'
	   || CASE WHEN kind = 'orders' THEN jsonb '{}' ELSE '{"delimiter": ",", "skip_lines": 0, "null_words": []}' END
	   || CASE WHEN kind IN ('orders', 'table') THEN jsonb '{}' ELSE '{"columns": {}}' END
	   || CASE WHEN kind = 'customers' THEN jsonb '{"industry_delimiter": ";"}' ELSE '{}' END
$$;
COMMENT ON FUNCTION fluct._usual_format(text) IS 'the options that say how a file of that kind is written, with their defaults';

CREATE OR REPLACE FUNCTION fluct._check_columns(columns jsonb, known text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	strange text;
BEGIN
	IF jsonb_typeof(columns) <> 'object'
	   OR EXISTS (SELECT FROM jsonb_each(columns) c WHERE jsonb_typeof(c.value) <> 'string' OR c.value = '""') THEN
		RAISE EXCEPTION 'columns must be a JSON object of texts'
			USING ERRCODE = 'invalid_parameter_value',
			      HINT = format('Name the file''s columns: columns => ''{"%s": "Name in the header"}''.', known[1]);
	END IF;
	SELECT c INTO strange FROM jsonb_object_keys(columns) c WHERE c <> ALL (known) ORDER BY c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'there is no column "%" to load', fluct._printable(strange)
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('The columns are %s.', array_to_string(known, ', ')),
			      HINT = format('Did you mean "%s"? In columns, the name in the file''s header comes second.',
								(SELECT k FROM unnest(known) k ORDER BY fluct._distance(k, lower(left(strange, 200))), k LIMIT 1));
	END IF;
	SELECT c.value INTO strange FROM jsonb_each_text((SELECT jsonb_object_agg(k, k) FROM unnest(known) k) || columns) c
	 GROUP BY c.value HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'column "%" of the file is named for two columns', fluct._printable(strange)
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_columns(jsonb, text[]) IS 'raises invalid_parameter_value for an option columns that is wrong';

CREATE OR REPLACE FUNCTION fluct._columns_of(kind text)
RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE kind WHEN 'industries' THEN '{industry}'::text[]
	   WHEN 'products' THEN '{product_id,product_name,price}'
	   WHEN 'customers' THEN '{customer_id,company_name,specialized_industries}' END
$$;
COMMENT ON FUNCTION fluct._columns_of(text) IS 'the columns that a CSV file of that kind has';

CREATE OR REPLACE FUNCTION fluct._check_format(kind text, o jsonb)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	IF o ? 'encoding' AND fluct._file_encoding(o->>'encoding') IS NULL THEN
		RAISE EXCEPTION 'invalid value for encoding: %', quote_literal(o->>'encoding')
			USING ERRCODE = 'invalid_parameter_value',
			      HINT = 'Give UTF16 or a name that PostgreSQL knows and can convert to UTF8, such as WIN1252, LATIN1, SJIS, BIG5, GBK.';
	END IF;
	PERFORM fluct._check_option('compression', coalesce(o->>'compression', 'auto'), '{auto,gzip,none}');
	IF o ? 'delimiter' AND o->>'delimiter' !~ E'^[\t !#-~]$' THEN
		RAISE EXCEPTION 'invalid value for delimiter: %', quote_literal(o->>'delimiter')
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give one character of ASCII, such as '';'', ''|'' or E''\t'', and not a quote.';
	ELSIF (o->>'skip_lines')::bigint < 0 THEN
		RAISE EXCEPTION 'skip_lines must be 0 or more' USING ERRCODE = 'invalid_parameter_value';
	ELSIF o->'null_words' @> '[null]' THEN
		RAISE EXCEPTION 'null_words must not hold NULL'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Write the word in quotes: null_words => ''{"NULL"}'', or ARRAY[''NULL''].';
	ELSIF o->>'industry_delimiter' = '' THEN
		RAISE EXCEPTION 'industry_delimiter must not be empty' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF o ? 'columns' THEN
		PERFORM fluct._check_columns(o->'columns', fluct._columns_of(kind));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_format(text, jsonb) IS 'raises invalid_parameter_value for options that say how a file is written';

-- A number at the end is of a second file of a name in done/.
CREATE OR REPLACE FUNCTION fluct._file_format(path bytea, options jsonb,
								 OUT delimiter text, OUT encoding text, OUT skip_lines bigint, OUT null_words text[], OUT gzip boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(options->>'delimiter', ','), coalesce(options->>'encoding', 'UTF8'), coalesce((options->>'skip_lines')::bigint, 0),
	   ARRAY(SELECT jsonb_array_elements_text(options->'null_words')),
	   CASE options->>'compression' WHEN 'gzip' THEN true WHEN 'none' THEN false
	   ELSE encode(substr(path, greatest(length(path) - 20, 1)), 'escape') ~* '[.]gz([.][0-9]+)?$' END
$$;
COMMENT ON FUNCTION fluct._file_format(bytea, jsonb) IS 'how a file is written: the options, and its name for whether it is compressed';

-- Those that decide what a content becomes are part of a load's identity, the
-- limits are not.
CREATE OR REPLACE FUNCTION fluct._load_options(kind text, given jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	format CONSTANT jsonb := fluct._usual_format(kind);
	known CONSTANT jsonb := CASE kind
		WHEN 'orders' THEN '{"on_bad_row": "refuse"}'
		WHEN 'customers' THEN '{"on_bad_row": "refuse", "max_rejects": 1000, "mode": "upsert", "unknown_industry": "report", "max_delete_fraction": 0.1}'
		WHEN 'table' THEN '{"on_bad_row": "refuse", "max_rejects": 1000, "mode": "upsert", "max_delete_fraction": 0.1, "format": "auto", "target": null, "mapping": null}'
		ELSE '{"on_bad_row": "refuse", "max_rejects": 1000}' END;
	strange text;
	o jsonb := known || given;
BEGIN
	SELECT string_agg(k, ', ' ORDER BY k) INTO strange FROM jsonb_object_keys(given) k WHERE NOT (known || format) ? k;
	IF strange IS NOT NULL OR kind = 'orders' AND o->>'on_bad_row' = 'reject_row' THEN
		RAISE EXCEPTION 'a file of % has no option %', CASE kind WHEN 'table' THEN 'any table' ELSE kind END, coalesce(strange, 'on_bad_row')
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF o->>'format' = 'json' THEN
		SELECT f.key INTO strange FROM jsonb_each(format) f
		 WHERE f.key = ANY ('{delimiter,skip_lines,null_words}') AND o->f.key <> f.value ORDER BY f.key LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION 'a file of JSON lines has no option %', strange
				USING ERRCODE = 'invalid_parameter_value',
				      HINT = 'Leave it out, or the option format: auto takes files by their names, *.json, *.jsonl and *.ndjson as JSON.';
		END IF;
	END IF;
	PERFORM fluct._check_option('on_bad_row', o->>'on_bad_row', '{refuse,reject_row}');
	IF kind <> 'orders' AND coalesce((o->>'max_rejects')::bigint, -1) < 0 THEN
		RAISE EXCEPTION 'max_rejects must be 0 or more' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF kind = 'customers' THEN
		PERFORM fluct._check_customer_options(o->>'mode', o->>'unknown_industry', o->>'on_bad_row', (o->>'max_delete_fraction')::numeric);
	END IF;
	IF kind = 'table' THEN
		PERFORM fluct._check_option('mode', o->>'mode', '{upsert,append,snapshot}');
		PERFORM fluct._check_snapshot(o->>'mode', o->>'on_bad_row', (o->>'max_delete_fraction')::numeric);
		PERFORM fluct._check_option('format', o->>'format', '{auto,csv,json}');
		IF o->'mapping' = 'null' THEN
			o := o - 'mapping';
		END IF;
	END IF;
	PERFORM fluct._check_format(kind, o);
	IF o ? 'encoding' THEN
		o := jsonb_set(o, '{encoding}', to_jsonb(fluct._file_encoding(o->>'encoding')));
	END IF;
	RETURN o - ARRAY(SELECT f.key FROM jsonb_each(format) f WHERE o->f.key = f.value);
END
$$;
COMMENT ON FUNCTION fluct._load_options(text, jsonb) IS 'the options of a load of that kind, with the defaults of those not given, but for its format; raises invalid_parameter_value';
