-- check.sql: what Kafka holds for a stream, and what becomes of it.
--
-- A session can't own a Kafka client: it asks a worker, which see src/inquiry/session.c.

CREATE OR REPLACE FUNCTION fluct._ask(stream text, question text, count int, start_at text)
RETURNS TABLE (number int, fields text[])
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_inquire';
COMMENT ON FUNCTION fluct._ask(text, text, int, text) IS
'Lets a background worker ask Kafka: check (item, status, detail, hint), preview (the columns of preview_stream), seek (partition, begin and end of Kafka''s log, where start_at begins) or reconcile (the columns of reconcile_stream).';

CREATE OR REPLACE FUNCTION fluct.check_stream(name text)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.check_stream(text) IS
'Checks all that a stream needs, in this order: dns, broker, tls, login, topic, partitions, columns, privileges, retention, messages waiting. status is ok, warn, fail or skipped. Moves nothing, and answers within 10 seconds. Errors: undefined_object, insufficient_privilege, configuration_limit_exceeded without a free background worker.';

-- What is kept without end should be known before it fills the disk.
CREATE OR REPLACE FUNCTION fluct._raw_growth() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('the raw copy of all streams grows by about %s a day',
				  pg_size_pretty(avg(pg_total_relation_size(p.partition))::bigint))
	FROM fluct._partitions(to_regclass('sales.raw_messages')) p
	WHERE p.until BETWEEN now() - interval '7 days' AND now()
	HAVING avg(pg_total_relation_size(p.partition)) > 1048576
$$;
COMMENT ON FUNCTION fluct._raw_growth() IS
'How much raw_messages keeps a day, by its partitions of the last whole days; NULL for less than 1 MB.';

CREATE OR REPLACE FUNCTION fluct._check_stream(name text)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
	owner oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = s.owner);
	targets text[];
	answer record;
BEGIN
	FOR answer IN SELECT a.fields FROM fluct._ask(s.name, 'check', 0, NULL) a ORDER BY a.number LOOP
		IF answer.fields[1] = 'retention' THEN
			BEGIN
				item := 'columns'; status := 'ok'; hint := NULL;
				targets := fluct._check_mapping(s.target::regclass, s.mapping, s.on_conflict, owner);
				detail := array_to_string(targets, ', ');
			EXCEPTION WHEN OTHERS THEN
				status := 'fail';
				GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
				hint := nullif(hint, '');
			END;
			RETURN NEXT;
			BEGIN
				item := 'privileges'; status := 'skipped'; detail := NULL; hint := NULL;
				IF targets IS NOT NULL THEN
					PERFORM fluct._check_rights(owner, s.server, targets, s.on_conflict, s.keep_raw);
					status := 'ok';
					detail := format('role %s', s.owner);
				END IF;
			EXCEPTION WHEN OTHERS THEN
				status := 'fail';
				GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
				hint := nullif(hint, '');
			END;
			RETURN NEXT;
		END IF;
		item := answer.fields[1];
		status := answer.fields[2];
		detail := answer.fields[3];
		hint := answer.fields[4];
		IF item = 'retention' AND s.keep_raw AND fluct._raw_growth() IS NOT NULL THEN
			detail := concat_ws('; ', detail, fluct._raw_growth());
			hint := coalesce(hint, 'CALL fluct.apply_retention(raw => ''30 days''); drops what is older.');
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._check_stream(text) IS 'check_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct.preview_stream(name text, n int DEFAULT 5, start_at text DEFAULT NULL)
RETURNS TABLE (partition int, "offset" bigint, target text, rows int, first_row jsonb, error text, path text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.preview_stream(text, int, text) IS
'What the next n messages (1 to 1000) would become: a row for each message and target, with the number of its rows and the first of them, or the error as "reason: detail" and its path. It reads from the stream''s position on, or from start_at; stores nothing and moves nothing, and does not see what the tables themselves would refuse. Errors: undefined_object, insufficient_privilege, invalid_parameter_value, configuration_limit_exceeded without a free background worker, fdw_unable_to_establish_connection.';

CREATE OR REPLACE FUNCTION fluct._preview_stream(name text, n int, start_at text)
RETURNS TABLE (partition int, "offset" bigint, target text, rows int, first_row jsonb, error text, path text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
	-- a session's own time zone and clock give a time its meaning
	whence text := fluct._normal_start(start_at);
	answer record;
	found boolean := false;
BEGIN
	IF n IS NULL OR n NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n is from 1 to 1000 messages';
	END IF;
	FOR answer IN SELECT a.fields FROM fluct._ask(s.name, 'preview', n, whence) a ORDER BY a.number LOOP
		found := true;
		IF answer.fields[1] IS NULL THEN
			RAISE WARNING '%', answer.fields[6]
				USING HINT = 'Are the paths right, and does format name the unit (epoch_s: seconds, epoch_ms: milliseconds)?';
			CONTINUE;
		END IF;
		partition := answer.fields[1];
		"offset" := answer.fields[2];
		target := answer.fields[3];
		rows := answer.fields[4];
		first_row := answer.fields[5];
		error := answer.fields[6];
		path := answer.fields[7];
		RETURN NEXT;
	END LOOP;
	IF NOT found THEN
		RAISE NOTICE 'no messages wait for stream "%" there', name
			USING HINT = format('SELECT * FROM fluct.preview_stream(%L, start_at => ''earliest''); shows the oldest.', name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._preview_stream(text, int, text) IS 'preview_stream, as the extension''s owner.';
