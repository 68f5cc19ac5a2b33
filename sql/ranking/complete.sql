-- complete.sql: whether all data of a ranking's windows is there.
--
-- A consumer that stands still must not look like a market crash, a table that
-- nothing feeds not like a silent market, and three days of orders not like a
-- baseline of thirty.  Each of these makes `complete` false, gives one WARNING,
-- and stands in incomplete_reason.
--
-- What feeds sales.orders: the streams that have run; where there is none, a
-- load that ended in the recent window or later, an enabled subscription, and
-- up to its last data_until a stream that was dropped.  What other programs write
-- counts up to the time that its owner marks.

-- fluct._data_until() and fluct._source_offsets() are in stream/views.sql.

CREATE OR REPLACE FUNCTION fluct._warn(message text, detail text, hint text)
RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'fluct_warn';
COMMENT ON FUNCTION fluct._warn(text, text, text) IS 'sends a WARNING to the client, and not to the server''s log';

CREATE OR REPLACE FUNCTION fluct.mark_complete(until timestamptz)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.mark_complete(timestamptz) IS
'For orders that other programs write: says that all orders before this time are in sales.orders, so that rankings whose recent window ends there or earlier (or at most a minute later) are complete. infinity says so for good; an earlier time takes a mark back. To be called by the owner of sales.orders, after each load. Streams and loads of fluct need no mark. Errors: insufficient_privilege, null_value_not_allowed, undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._mark_complete(until timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	IF until IS NULL THEN
		RAISE EXCEPTION 'until must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM fluct._require_orders_owner('mark sales.orders as complete');
	INSERT INTO fluct.complete_marks (relation, until, marked_by)
	VALUES ('sales.orders', _mark_complete.until, pg_get_userbyid(fluct._caller()))
	ON CONFLICT (relation) DO UPDATE
	   SET (until, marked_by, marked_at) = (excluded.until, excluded.marked_by, clock_timestamp());
END
$$;
COMMENT ON FUNCTION fluct._mark_complete(timestamptz) IS 'mark_complete, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._silent_stream()
RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT min(s.name) FROM fluct.streams s JOIN fluct.freshness f ON f.stream = s.name
		 WHERE s.starts > 0 AND f.data_until IS NULL AND fluct._feeds_orders(s.target));
END
$$;
COMMENT ON FUNCTION fluct._silent_stream() IS
'a stream into sales.orders that was started, and of which nothing is known yet; NULL = there is none';

CREATE OR REPLACE FUNCTION fluct._moving_partition()
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT format('partition %s of stream "%s" is on its way to member "%s"', h.partition, h.stream, replace(h.to_member, '%', '%%'))
		  FROM fluct._handovers_under_way h LEFT JOIN fluct.streams s ON s.name = h.stream
		 WHERE CASE WHEN s.name IS NOT NULL THEN fluct._feeds_orders(s.target)
					ELSE EXISTS (SELECT FROM fluct.dropped_feeds d WHERE d.stream = h.stream) END
		 ORDER BY h.begun_at LIMIT 1);
END
$$;
COMMENT ON FUNCTION fluct._moving_partition() IS 'a partition of orders that nobody consumes, since its hand-over is not completed; NULL = there is none';

-- Loads of one kind follow one another, so the last one ended last.  A mark
-- that was made by now() is a moment older than the ranking that follows it.
CREATE OR REPLACE FUNCTION fluct._fed_until(recent_begins timestamptz, recent_ends timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
RETURN greatest(
	(SELECT timestamptz 'infinity'
	  WHERE EXISTS (SELECT FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid
					 WHERE s.subenabled AND r.srrelid = to_regclass('sales.orders'))
		 OR (SELECT f.loaded_at + coalesce(f.seconds, 0) * interval '1 second' FROM fluct.files f
			  WHERE f.kind = 'orders' AND f.status = 'loaded' ORDER BY f.id DESC LIMIT 1) >= recent_begins),
	(SELECT CASE WHEN m.until + interval '1 minute' >= recent_ends THEN 'infinity' ELSE m.until END
	   FROM fluct.complete_marks m WHERE m.relation = 'sales.orders'),
	(SELECT max(d.data_until) FROM fluct.dropped_feeds d));
END
$$;
COMMENT ON FUNCTION fluct._fed_until(timestamptz, timestamptz) IS
'up to when something else than the streams feeds sales.orders, for that recent window; infinity = for all of it, NULL = nothing does';

CREATE OR REPLACE FUNCTION fluct._horizon()
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT max(s.horizon) FROM sales.rollup_state s);
END
$$;
COMMENT ON FUNCTION fluct._horizon() IS
'orders before this time were deleted by apply_retention(); NULL = none were';

CREATE OR REPLACE FUNCTION fluct._not_fed(w fluct._windows)
RETURNS fluct._shortfall
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct._shortfall;
	silent text;
	moving text;
BEGIN
	s.at := fluct._data_until();
	silent := fluct._silent_stream();
	moving := fluct._moving_partition();
	s.detail := format('The recent window ends at %s.', w.until);
	s.hint := 'SELECT * FROM fluct.freshness;';
	IF s.at < w.until THEN
		s.reason := 'data is whole up to %s';
		s.message := 'orders are stored only up to %s';
	ELSIF moving IS NOT NULL THEN
		s.reason := moving;
		s.message := moving;
		s.hint := 'CALL fluct.hand_over(...) again, at the member that gave it away.';
	ELSIF silent IS NOT NULL THEN
		s.reason := format('stream "%s" has stored nothing yet', silent);
		s.message := s.reason;
		s.hint := 'SELECT * FROM fluct.stat_streams;';
	ELSIF s.at IS NULL THEN
		s.at := fluct._fed_until(w.mid, w.until);
		IF s.at IS NULL OR s.at < w.until THEN
			s.reason := 'nothing feeds sales.orders' || CASE WHEN isfinite(s.at) THEN ' since %s' ELSE '' END;
			s.message := s.reason;
			s.hint := 'If another program writes the orders, their owner says up to when they are whole: SELECT fluct.mark_complete(now());';
		END IF;
	END IF;
	RETURN s;
END
$$;
COMMENT ON FUNCTION fluct._not_fed(fluct._windows) IS
'whether the windows reach past what has been stored, or nothing stores orders';

-- The first window may be cut by the beginning of the data; more than one is
-- missing where the oldest order lies behind it.
CREATE OR REPLACE FUNCTION fluct._too_young(w fluct._windows, average text, oldest timestamptz)
RETURNS fluct._shortfall
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	s fluct._shortfall;
	recent CONSTANT interval := coalesce(w.width, round(extract(epoch FROM w.until - w.mid) / 86400) * interval '1 day');
	windows int;
BEGIN
	s.at := oldest;
	IF s.at > coalesce(w.since + w.width, w.edges[2]) THEN
		windows := CASE WHEN w.width IS NULL THEN (SELECT count(*) FROM unnest(w.edges) e WHERE e >= s.at AND e < w.mid)
						ELSE greatest(floor(extract(epoch FROM w.mid - s.at) / extract(epoch FROM w.width)), 0) END;
		IF average = 'weekday' THEN  -- as many as make whole weeks
			windows := floor(windows * extract(epoch FROM recent) / 604800) * 604800 / extract(epoch FROM recent);
		END IF;
		s.reason := 'the oldest order is of %s';
		s.message := 'orders begin only at %s';
		s.detail := format('The baseline begins at %s.', w.since);
		s.hint := CASE WHEN windows > 0 THEN format('Use baseline => ''%s'', or average => ''active''.', justify_hours(windows * recent))
					   ELSE 'Use average => ''active''.' END;
	END IF;
	RETURN s;
END
$$;
COMMENT ON FUNCTION fluct._too_young(fluct._windows, text, timestamptz) IS
'whether the oldest order lies more than one recent window after the beginning of the windows';

CREATE OR REPLACE FUNCTION fluct._local_shortfall(w fluct._windows)
RETURNS fluct._shortfall
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct._shortfall := fluct._not_fed(w);
	horizon timestamptz := fluct._horizon();
BEGIN
	IF s.reason IS NULL AND w.since < horizon THEN
		RETURN ROW('orders before %s were deleted', 'orders before %s were deleted', horizon,
				   format('The baseline begins at %s.', w.since),
				   'CALL fluct.apply_retention(...) with a longer time for orders keeps them.')::fluct._shortfall;
	END IF;
	RETURN s;
END
$$;
COMMENT ON FUNCTION fluct._local_shortfall(fluct._windows) IS 'whether orders of these windows were not stored yet, or are deleted, on this server';

CREATE OR REPLACE FUNCTION fluct._allow_missing(allow_missing boolean)
RETURNS void
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_let_be_missing';
COMMENT ON FUNCTION fluct._allow_missing(boolean) IS 'allow_missing => true: for the rest of the function that calls this, which must have a setting of its own';

CREATE OR REPLACE FUNCTION fluct._find_shortfall(w fluct._windows, measure text, average text, answers fluct._answer[])
RETURNS fluct._shortfall
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s fluct._shortfall;
	oldest timestamptz;
BEGIN
	IF answers IS NULL THEN
		s := fluct._local_shortfall(w);
	ELSE
		s := fluct._shortfall_of(answers);
	END IF;
	IF s.reason IS NOT NULL THEN
		RETURN s;
	END IF;
	-- an average over the windows that have orders is right for any history
	IF average <> 'active' OR measure = 'zscore' THEN
		IF answers IS NULL THEN
			SELECT min(o.ordered_at) INTO oldest FROM sales.orders o WHERE o.ordered_at > '-infinity' AND o.ordered_at < 'infinity';
		ELSE
			SELECT min(a.oldest) INTO oldest FROM unnest(answers) a;
		END IF;
		s := fluct._too_young(w, average, oldest);
	END IF;
	IF s.reason IS NULL AND w.until > clock_timestamp() THEN
		s := ROW('the recent window ends at %s', NULL, w.until, NULL, NULL)::fluct._shortfall;
	END IF;
	RETURN s;
END
$$;
COMMENT ON FUNCTION fluct._find_shortfall(fluct._windows, text, text, fluct._answer[]) IS
'why the data of these windows may be incomplete for a ranking by this measure and average: the first reason that holds';

CREATE OR REPLACE FUNCTION fluct._incomplete_reason(s fluct._shortfall)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$ SELECT format(s.reason, s.at) $$;
COMMENT ON FUNCTION fluct._incomplete_reason(fluct._shortfall) IS 'the reason as it is stored; NULL where all data is there';

CREATE OR REPLACE FUNCTION fluct._tell_incomplete(s fluct._shortfall)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF s.message IS NOT NULL THEN
		PERFORM fluct._warn('the ranking may be incomplete: ' || format(s.message, s.at), s.detail, s.hint);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._tell_incomplete(fluct._shortfall) IS 'the WARNING about a ranking that may be incomplete, if there is one';
