-- dead_letters.sql: what to do with messages that could not be stored.

CREATE OR REPLACE FUNCTION fluct._tell_not_open(ids bigint[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	closed text := (SELECT string_agg(format(CASE WHEN d.id IS NULL THEN '%s does not exist' ELSE '%s is %s' END, i.id, d.status), ', ' ORDER BY i.id)
					  FROM (SELECT DISTINCT u.id FROM unnest(ids) u(id) WHERE u.id IS NOT NULL) i
					  LEFT JOIN fluct.dead_letters d ON d.id = i.id
					 WHERE d.status IS DISTINCT FROM 'open');
BEGIN
	IF closed IS NOT NULL THEN
		RAISE NOTICE 'dead letters that are not open: %', closed;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._tell_not_open(bigint[]) IS 'a NOTICE that names those of the dead letters that are not open';

CREATE OR REPLACE FUNCTION fluct.discard_dead_letters(ids bigint[],
	OUT id bigint, OUT status text, INOUT reason text, OUT detail text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.discard_dead_letters(bigint[], text) IS
'Closes dead letters without storing them; NULL ids = all open ones of the caller''s streams. They stay in fluct.dead_letters with the reason and who gave it. Ids that are not open get a NOTICE. detail is why they could not be stored.';

CREATE OR REPLACE FUNCTION fluct._discard_dead_letters(ids bigint[],
	OUT id bigint, OUT status text, INOUT reason text, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	closer name := pg_get_userbyid(fluct._caller());
BEGIN
	IF _discard_dead_letters.reason IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a dead letter is discarded for a reason',
			HINT = 'SELECT * FROM fluct.discard_dead_letters(ids, ''why'');';
	END IF;
	PERFORM fluct._tell_not_open(_discard_dead_letters.ids);
	-- in the order in which retry_dead_letters locks them
	PERFORM fluct._own_stream(mine.stream)
	FROM (SELECT DISTINCT d.stream FROM fluct.dead_letters d JOIN fluct.streams s ON s.name = d.stream
		  WHERE d.id = ANY (_discard_dead_letters.ids) ORDER BY d.stream) mine;
	RETURN QUERY
	UPDATE fluct.dead_letters d SET status = 'discarded', closed_at = clock_timestamp(),
		closed_by = closer, close_reason = _discard_dead_letters.reason
	WHERE d.status = 'open'
		AND CASE WHEN _discard_dead_letters.ids IS NOT NULL THEN d.id = ANY (_discard_dead_letters.ids)
			ELSE d.stream IN (SELECT s.name FROM fluct.streams s
							  WHERE pg_has_role(fluct._caller(), fluct._stream_owner(s), 'MEMBER')) END
	RETURNING d.id, d.status, d.close_reason, d.reason;
END
$$;
COMMENT ON FUNCTION fluct._discard_dead_letters(bigint[], text) IS
'discard_dead_letters, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._retry(stream text, ids bigint[], value text)
RETURNS TABLE (id bigint, outcome text, reason text, sqlstate text, path text, detail text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_retry';
COMMENT ON FUNCTION fluct._retry(text, bigint[], text) IS
'Stores open dead letters of a stream as the stream would now, as its owner; says of each: stored, duplicate, filtered or refused.';

CREATE OR REPLACE FUNCTION fluct.retry_dead_letters(ids bigint[] DEFAULT NULL, stream text DEFAULT NULL, value text DEFAULT NULL,
	OUT id bigint, OUT status text, OUT reason text, OUT detail text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.retry_dead_letters(bigint[], text, text) IS
'Stores dead letters again, as the stream would now: NULL ids = all open ones (of the stream, if it is given). value is corrected text in place of the message, for exactly one id; the original is kept. Each is stored once: status retried, or open with the reason of today. Ids that are not open get a NOTICE. Errors: insufficient_privilege, undefined_object.';

CREATE OR REPLACE FUNCTION fluct._retry_dead_letters(ids bigint[], stream text, value text,
	OUT id bigint, OUT status text, OUT reason text, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	caller oid := fluct._caller();
	mine record;
	r record;
BEGIN
	IF _retry_dead_letters.value IS NOT NULL AND coalesce(cardinality(_retry_dead_letters.ids), 0) <> 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a corrected value is for exactly one dead letter',
			HINT = 'SELECT * FROM fluct.retry_dead_letters(ARRAY[id], value => ''...'');';
	END IF;
	IF _retry_dead_letters.stream IS NOT NULL THEN
		PERFORM fluct._own_stream(_retry_dead_letters.stream);
	END IF;
	PERFORM fluct._tell_not_open(_retry_dead_letters.ids);
	FOR mine IN
		SELECT d.stream AS name, array_agg(d.id) AS ids
		FROM fluct.dead_letters d JOIN fluct.streams s ON s.name = d.stream
		WHERE d.status = 'open'
			AND (_retry_dead_letters.ids IS NULL OR d.id = ANY (_retry_dead_letters.ids))
			AND (_retry_dead_letters.stream IS NULL OR d.stream = _retry_dead_letters.stream)
			AND (_retry_dead_letters.ids IS NOT NULL
				OR pg_has_role(caller, fluct._stream_owner(s), 'MEMBER'))
		GROUP BY d.stream ORDER BY d.stream
	LOOP
		PERFORM fluct._own_stream(mine.name);
		FOR r IN SELECT * FROM fluct._retry(mine.name, mine.ids, _retry_dead_letters.value) LOOP
			IF r.outcome = 'refused' THEN
				UPDATE fluct.dead_letters d SET reason = r.reason, sqlstate = r.sqlstate,
					path = nullif(r.path, ''), detail = r.detail
				WHERE d.id = r.id AND _retry_dead_letters.value IS NULL;
			ELSE
				UPDATE fluct.dead_letters d SET status = 'retried', closed_at = clock_timestamp(),
					closed_by = pg_get_userbyid(caller),
					retried_value = convert_to(_retry_dead_letters.value, 'UTF8')
				WHERE d.id = r.id;
			END IF;
			id := r.id;
			status := CASE r.outcome WHEN 'refused' THEN 'open' ELSE 'retried' END;
			reason := r.reason;
			detail := CASE r.outcome WHEN 'duplicate' THEN 'its key already existed, or what it deletes did not'
				WHEN 'filtered' THEN 'filtered: the mapping''s "where" does not mean it'
				WHEN 'refused' THEN concat_ws(': ', nullif(r.path, ''), r.detail) END;
			RETURN NEXT;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._retry_dead_letters(bigint[], text, text) IS 'retry_dead_letters, as the extension''s owner.';
