-- topics.sql: which topics a stream reads, and where it begins in each.

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
