-- wait.sql: wait until a stream has stored all that Kafka holds.

CREATE OR REPLACE FUNCTION fluct._sync(stream text, worker int) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_sync';
COMMENT ON FUNCTION fluct._sync(text, int) IS
'Asks a stream worker to note where Kafka''s log ends now; returns a ticket for _sync_done, NULL while it does not run.';

CREATE OR REPLACE FUNCTION fluct._sync_done(stream text, worker int, ticket bigint) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_sync_done';
COMMENT ON FUNCTION fluct._sync_done(text, int, bigint) IS
'Whether all that Kafka held when the ticket was drawn is committed; NULL when that worker is gone.';

CREATE OR REPLACE FUNCTION fluct._await_progress(ms int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_await_progress';
COMMENT ON FUNCTION fluct._await_progress(int) IS
'Sleeps until a stream worker has news, at most ms milliseconds; for a loop that looks first, and ends with a call of 0.';

CREATE OR REPLACE FUNCTION fluct.wait_for_stream(name text, timeout interval DEFAULT '1 minute') RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.wait_for_stream(text, interval) IS
'Waits until all that Kafka held at the call is committed: true; false at the timeout. What an open transaction holds back is not waited for. Errors: object_not_in_prerequisite_state at once if the stream is paused or failed. Call it outside of the transaction that starts the stream.';

CREATE OR REPLACE FUNCTION fluct._wait_for_stream(name text, timeout interval) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + timeout;
	tickets bigint[];
	s record;
	waiting boolean;
BEGIN
	LOOP
		SELECT v.state, v.reason, fluct._printable(v.detail) AS detail, v.about, v.pids, t.workers INTO s
		FROM fluct._stream_state v JOIN fluct.streams t ON t.name = v.stream
		WHERE v.stream = _wait_for_stream.name;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('stream %s does not exist', coalesce('"' || name || '"', 'NULL')), HINT = fluct._stream_hint(name);
		END IF;
		IF s.state IN ('paused', 'failed') THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('stream "%s" is %s%s', name, s.state, ': ' || s.reason),
				DETAIL = coalesce(s.detail, 'Nothing is read until it is started.'),
				HINT = coalesce(CASE WHEN s.reason IS NOT NULL THEN fluct._remedy(name, s.reason, s.about, s.pids) END,
								format('SELECT fluct.start_stream(%L);', name));
		END IF;
		waiting := false;
		FOR i IN 0 .. s.workers - 1 LOOP
			IF tickets[i] = -1 THEN
				CONTINUE;
			END IF;
			IF tickets[i] IS NULL THEN
				tickets[i] := fluct._sync(name, i);
			ELSE
				-- -1: done; NULL: the worker is gone, and another one is asked
				tickets[i] := CASE fluct._sync_done(name, i, tickets[i])
					WHEN true THEN -1 WHEN false THEN tickets[i] END;
			END IF;
			waiting := waiting OR tickets[i] IS DISTINCT FROM -1;
		END LOOP;
		IF NOT waiting OR clock_timestamp() >= deadline THEN
			PERFORM fluct._await_progress(0);
			RETURN NOT waiting;
		END IF;
		PERFORM fluct._await_progress(least(100, greatest(1, 1000 * extract(epoch FROM deadline - clock_timestamp())))::int);
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._wait_for_stream(text, interval) IS 'wait_for_stream, as the extension''s owner.';
