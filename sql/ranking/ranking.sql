-- ranking.sql: which industries fluctuated most.
--
-- A ranking has three steps, each in a function of its own: the windows (where
-- they begin and end, and what divides the sums: windows.sql), the spend per
-- industry and window (from the rollup, or from the orders), and the ranking
-- proper, which knows the options and works on those sums alone.
--
-- Sums are exact numeric.  Each quotient is one division, the last step, of
-- exact sums: with r = recent sum, b = baseline sum, and recent ÷ baseline = n/d
-- in lowest terms, the average is b·n/d, delta (r·d − b·n)/d, and delta_pct
-- 100·(r·d − b·n)/(b·n).  Numeric division keeps at least the decimals of its
-- dividend, so the dividend is scaled first, and the quotient rounded to 20.

-- ---------------------------------------------------------------------------
-- The spend
-- ---------------------------------------------------------------------------

-- From the orders themselves, where the rollup cannot be read or the windows
-- are too many for it: one pass over [since, until) by the index on ordered_at;
-- EXECUTE plans with the times at hand.
CREATE OR REPLACE FUNCTION fluct._orders_spend(w fluct._windows, OUT industry text, OUT starts timestamptz, OUT orders bigint, OUT amount numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT ci.industry, %s, count(*), sum(o.amount)
		  FROM sales.orders o
		  JOIN sales.customer_industries ci ON ci.customer_id = o.customer_id
		 WHERE o.ordered_at >= $1 AND o.ordered_at < $2
		 GROUP BY 1, 2 $q$,
		CASE WHEN w.edges IS NULL THEN 'date_bin($3, o.ordered_at, $4)'
		     ELSE '($5)[width_bucket(o.ordered_at, $5)]' END)
		USING w.since, w.until, w.width, w.origin, w.edges;
END
$$;
COMMENT ON FUNCTION fluct._orders_spend(fluct._windows) IS
'orders and their sum per industry and window, from the orders; a window is named by its start, the recent one''s is mid; windows without orders have no row';

CREATE OR REPLACE FUNCTION fluct._baseline_windows(w fluct._windows, OUT starts timestamptz[], OUT ends timestamptz[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF w.edges IS NULL THEN
		starts := ARRAY(SELECT generate_series(w.origin, w.mid - interval '1 microsecond', w.width));
	ELSE
		starts := w.edges[:cardinality(w.edges) - 1];
	END IF;
	ends := starts[2:] || w.mid;
	starts[1] := w.since;
END
$$;
COMMENT ON FUNCTION fluct._baseline_windows(fluct._windows) IS
'the baseline in windows as long as the recent one, the first perhaps shorter';

CREATE OR REPLACE FUNCTION fluct._rollup_is_read(w fluct._windows)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most_windows CONSTANT int := 20000;
BEGIN
	RETURN w.denominator / w.numerator <= most_windows AND fluct._rollup_obstacle() IS NULL;
END
$$;
COMMENT ON FUNCTION fluct._rollup_is_read(fluct._windows) IS 'whether these windows are read from the rollup, rather than from the orders';

-- What a ranking rests on.  Each window by itself only where the ranking wants
-- it: else the baseline is one row, which says how many of its windows have
-- orders.
CREATE OR REPLACE FUNCTION fluct._spend(w fluct._windows, per_window boolean,
							 OUT industry text, OUT starts timestamptz, OUT orders bigint, OUT amount numeric, OUT windows bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	baseline record;
BEGIN
	IF NOT fluct._rollup_is_read(w) THEN
		RETURN QUERY SELECT s.*, 1::bigint FROM fluct._orders_spend(w) s;
		RETURN;
	END IF;
	baseline := fluct._baseline_windows(w);
	IF per_window THEN
		RETURN QUERY
			SELECT s.industry, s.starts_at, s.orders, s.amount, 1::bigint
			  FROM fluct._rollup_spend(baseline.starts || w.mid, baseline.ends || w.until) s;
	ELSE
		RETURN QUERY
			SELECT s.industry, s.starts_at, s.orders, s.amount, cardinality(a.windows)::bigint
			  FROM fluct._rollup_spend(ARRAY[w.since, w.mid], ARRAY[w.mid, w.until]) s
			  LEFT JOIN fluct._rollup_active(baseline.starts, baseline.ends) a ON a.industry = s.industry;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._spend(fluct._windows, boolean) IS
'orders and their sum per industry: of the recent window (starts = mid) and of the baseline''s windows, or of the baseline as a whole, with the number of windows that have orders';

-- Of a baseline of whole weeks, for average => 'weekday'.  Rolling windows are
-- counted in UTC; where a calendar day has 23 hours, days are counted all the same.
CREATE OR REPLACE FUNCTION fluct._is_same_weekday(w fluct._windows, starts timestamptz)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN w.edges IS NULL THEN extract(isodow FROM starts AT TIME ZONE 'UTC') = extract(isodow FROM w.mid AT TIME ZONE 'UTC')
	   ELSE round(extract(epoch FROM w.mid - starts) / 86400)::bigint % 7 = 0 END
$$;
COMMENT ON FUNCTION fluct._is_same_weekday(fluct._windows, timestamptz) IS 'whether a window that starts then begins on the weekday of the recent one';

CREATE OR REPLACE FUNCTION fluct._weekday_windows(w fluct._windows)
RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT count(*) FROM fluct._baseline_windows(w) b, unnest(b.starts) s WHERE fluct._is_same_weekday(w, s) $$;
COMMENT ON FUNCTION fluct._weekday_windows(fluct._windows) IS 'how many windows of the baseline begin on the weekday of the recent one';

-- ---------------------------------------------------------------------------
-- The ranking
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._check_word(name text, value text, VARIADIC allowed text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	near text := fluct._nearest_word(value, allowed);
	message text := format('%s must be one of %s', name, array_to_string(allowed, ', '));
	fact text := format('It is %s.', coalesce('"' || fluct._printable(left(value, 100)) || '"', 'NULL'));
BEGIN
	IF value = ANY (allowed) THEN
		RETURN;
	END IF;
	IF near IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = fact;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = fact,
		HINT = format('Did you mean %s => %L?', name, near);
END
$$;
COMMENT ON FUNCTION fluct._check_word(text, text, text[]) IS 'raises invalid_parameter_value unless the option has one of the allowed values, the first being the default';

CREATE OR REPLACE FUNCTION fluct._check_ranking_options(w fluct._windows, measure text, direction text, average text, min_baseline numeric)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_word('measure', measure, 'absolute', 'relative', 'zscore');
	PERFORM fluct._check_word('direction', direction, 'both', 'up', 'down');
	PERFORM fluct._check_word('average', average, 'elapsed', 'active', 'weekday');
	IF min_baseline = 'NaN' THEN
		RAISE EXCEPTION 'min_baseline must be a number or NULL'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = 'It is NaN.', HINT = 'NULL is the default.';
	END IF;
	IF average = 'weekday' AND (round(extract(epoch FROM w.mid - w.since) / CASE WHEN w.edges IS NULL THEN 0.000001 ELSE 86400 END)
								% CASE WHEN w.edges IS NULL THEN 604800000000 ELSE 7 END) <> 0 THEN
		RAISE EXCEPTION 'baseline must be whole weeks'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = 'average => ''weekday'' takes the windows of the baseline that begin on the same weekday as the recent one.',
			      HINT = 'For example baseline => ''28 days'', which are 4 of them.';
	END IF;
	IF w.numerator <> 1 AND (measure = 'zscore' OR average IN ('active', 'weekday')) THEN
		RAISE EXCEPTION 'baseline must be a multiple of recent'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = CASE WHEN average <> 'elapsed' THEN 'average => ''' || average || ''''
			                    ELSE 'measure => ''zscore''' END
			               || ' counts the baseline in windows as long as the recent one.',
			      HINT = 'For example recent => ''7 days'', baseline => ''28 days''.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_ranking_options(fluct._windows, text, text, text, numeric) IS
'raises invalid_parameter_value, naming the allowed values, where an option has none of them';

CREATE OR REPLACE FUNCTION fluct._check_top_n(top_n int)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF top_n < 1 THEN
		RAISE EXCEPTION 'top_n must be 1 or more, or NULL for all'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', top_n), HINT = 'top_n => 3 is the default.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_top_n(int) IS 'raises invalid_parameter_value where top_n is below 1';

-- n/d is recent ÷ baseline, or for average => 'active' 1 ÷ active windows, and
-- 0/1 where there are none; for 'weekday' nothing counts but the windows that begin
-- on the recent one's weekday, and n/d is 1 ÷ their number.  deviation = (N·Σv² − (Σv)²), N² times the population
-- variance over all N windows that count, so that the square of the score is
-- x²·N² ÷ (d²·deviation).
--
-- Ranks compare the quotients p/q themselves, which no number of decimals holds.
-- With k decimals at most in any p and q, two that differ do so by 1 ÷ (10^2k·q1·q2)
-- or more: multiplied by a power of ten that is larger than that divisor they lie
-- more than 1 apart, so that their whole parts, which div() gives exactly, are
-- ordered as they are, and equal only where they are.
CREATE OR REPLACE FUNCTION fluct._rank(w fluct._windows, measure text, direction text, average text, min_baseline numeric, answers fluct._answer[])
RETURNS fluct._fluctuation[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	numerator bigint := w.numerator;
	denominator bigint := w.denominator;
BEGIN
	PERFORM fluct._require_tables();
	PERFORM fluct._check_ranking_options(w, measure, direction, average, min_baseline);
	IF average = 'weekday' THEN
		numerator := 1;
		denominator := fluct._weekday_windows(w);
	END IF;
	RETURN ARRAY(
		WITH sums AS (
			SELECT i.industry,
				   coalesce(sum(s.amount) FILTER (WHERE s.starts = w.mid), 0) AS r,
				   coalesce(sum(s.amount) FILTER (WHERE s.starts < w.mid), 0) AS b,
				   coalesce(sum(s.amount * s.amount) FILTER (WHERE s.starts < w.mid), 0) AS squares,
				   coalesce(sum(s.orders) FILTER (WHERE s.starts = w.mid), 0) AS recent_orders,
				   coalesce(sum(s.orders) FILTER (WHERE s.starts < w.mid), 0) AS baseline_orders,
				   coalesce(sum(s.windows) FILTER (WHERE s.starts < w.mid), 0) AS active_days
			  FROM sales.industries i
			  LEFT JOIN fluct._spend_of(answers, w, measure = 'zscore' OR average <> 'elapsed') s
					 ON s.industry = i.industry AND (average <> 'weekday' OR s.starts = w.mid OR fluct._is_same_weekday(w, s.starts))
			 GROUP BY i.industry
		), quotients AS (
			SELECT s.*, q.n, q.d, s.r * q.d - s.b * q.n AS x,
				   denominator::numeric / numerator AS windows
			  FROM sums s
			 CROSS JOIN LATERAL (
				SELECT CASE WHEN average <> 'active' THEN numerator
							ELSE least(s.active_days, 1) END::numeric AS n,
					   CASE WHEN average <> 'active' THEN denominator
							ELSE greatest(s.active_days, 1) END::numeric AS d) q
		), scored AS (
			SELECT q.*,
				   CASE measure WHEN 'absolute' THEN abs(q.x) WHEN 'relative' THEN 100 * abs(q.x)
								ELSE q.x * q.x * q.windows * q.windows END AS p,
				   nullif(CASE measure WHEN 'absolute' THEN q.d WHEN 'relative' THEN abs(q.b * q.n)
									   ELSE q.d * q.d * (q.windows * q.squares - q.b * q.b) END, 0) AS q,
				   (direction = 'both' OR direction = 'up' AND q.x > 0 OR direction = 'down' AND q.x < 0)
				   AND (min_baseline IS NULL OR q.b * q.n >= min_baseline * q.d) AS ranked
			  FROM quotients q
		), keyed AS (
			SELECT s.*, div(s.p * power.of_ten, s.q) AS key, round(s.p * round(1.0, 60) / s.q, 60) AS score
			  FROM scored s,
				   (SELECT ('1e' || 2 * (coalesce(max(length(trunc(x.q)::text)), 1) + coalesce(max(greatest(scale(x.p), scale(x.q))), 0)))::numeric AS of_ten
					  FROM scored x) power
		)
		SELECT (CASE WHEN s.ranked THEN rank() OVER (PARTITION BY s.ranked ORDER BY s.key DESC NULLS LAST) END,
				s.industry, trim_scale(s.r),
				trim_scale(round(s.b * s.n * round(1.0, 20) / s.d, 20)),
				trim_scale(round(s.x * round(1.0, 20) / s.d, 20)),
				trim_scale(round(100 * s.x * round(1.0, 20) / nullif(s.b * s.n, 0), 20)),
				trim_scale(round(CASE measure WHEN 'zscore' THEN sqrt(s.score) ELSE s.score END, 20)),
				s.recent_orders, s.baseline_orders, s.active_days)::fluct._fluctuation
		  FROM keyed s
		 ORDER BY 1);
END
$$;
COMMENT ON FUNCTION fluct._rank(fluct._windows, text, text, text, numeric, fluct._answer[]) IS
'every listed industry with its sums, averages and rank, ordered by rank; answers: those of the members, NULL without any';

CREATE OR REPLACE FUNCTION fluct._tell(w fluct._windows, ranking fluct._fluctuation[], shortfall fluct._shortfall, answers fluct._answer[])
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	newest timestamptz;
	spend numeric;
	lost numeric;
	counted numeric;
BEGIN
	PERFORM fluct._tell_incomplete(shortfall);
	IF w.mid - w.since < w.until - w.mid THEN
		RAISE NOTICE 'the baseline, %, is shorter than the recent window, %', w.mid - w.since, w.until - w.mid
			USING HINT = 'A number without a unit means seconds: baseline => ''30 days''.';
	END IF;
	SELECT coalesce(sum(r.recent_orders), 0) INTO counted FROM unnest(ranking) r;
	IF counted > 0 THEN
		RETURN;
	END IF;
	IF answers IS NULL THEN
		SELECT max(o.ordered_at) INTO newest FROM sales.orders o;
	ELSE
		SELECT max(a.newest) INTO newest FROM unnest(answers) a;
	END IF;
	IF answers IS NULL THEN		-- those here are not those of the members
		SELECT sum(abs(o.amount)), sum(abs(o.amount)) FILTER (WHERE NOT EXISTS (
				SELECT 1 FROM sales.customer_industries ci WHERE ci.customer_id = o.customer_id))
		  INTO spend, lost
		  FROM sales.orders o WHERE o.ordered_at >= w.since AND o.ordered_at < w.until;
	END IF;
	RAISE NOTICE 'no order counts between % and %', w.mid, w.until
		USING DETAIL = concat_ws(' ',
				CASE WHEN newest IS NULL THEN 'There are no orders at all.'
				     ELSE format('The newest order is of %s.', newest) END,
				CASE WHEN ranking = '{}' THEN 'No industries are listed.' END,
				round(100 * coalesce(lost, 0) / nullif(spend, 0), 1)
				|| ' % of the spend since ' || w.since || ' has no industry.'),
		      HINT = CASE WHEN ranking = '{}' THEN 'Load sales.industries and the customers first.'
		                  WHEN lost > 0 THEN 'SELECT * FROM sales.unattributed_spend;'
		                  WHEN answers IS NOT NULL THEN 'SELECT * FROM fluct.cluster_streams; SELECT * FROM fluct.cluster_unattributed_spend;'
		                  ELSE 'SELECT * FROM fluct.stat_streams;' END;
END
$$;
COMMENT ON FUNCTION fluct._tell(fluct._windows, fluct._fluctuation[], fluct._shortfall, fluct._answer[]) IS
'one WARNING where data of the windows may be missing, one NOTICE where no order counts in the recent window, and one where the baseline is shorter than that';

CREATE OR REPLACE FUNCTION fluct.top_fluctuations(
	as_of timestamptz DEFAULT now(),
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	top_n int DEFAULT 3,
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL,
	min_baseline numeric DEFAULT NULL,
	allow_missing boolean DEFAULT false)
RETURNS TABLE (rank int, industry text, recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   score numeric, recent_orders bigint, baseline_orders bigint, active_days int, complete boolean)
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.top_fluctuations(timestamptz, interval, interval, int, text, text, text, text, numeric, boolean) IS
'The industries that fluctuated most. recent_value = sum(amount) of orders in [as_of - recent, as_of); baseline_avg = sum(amount) in [as_of - recent - baseline, as_of - recent) * recent / baseline; delta = recent_value - baseline_avg; delta_pct = 100 * delta / baseline_avg, NULL where that is 0. An order counts in full for every present industry of its customer. rank is RANK() over |delta| descending; rows with rank <= top_n (NULL: all).
measure: absolute (|delta|), relative (|delta_pct|), zscore (|delta| by the population deviation of the baseline''s windows); NULL scores share the last rank. direction: both, up, down. average: elapsed, active (only windows with orders count), weekday (only windows that begin on the same weekday as the recent one, in UTC or time_zone; the baseline must be whole weeks, and baseline_orders and active_days count those windows alone). time_zone: NULL = rolling windows, UTC days of 24 hours; a zone = its whole calendar days before the last midnight <= as_of. min_baseline leaves out industries whose baseline_avg is below it. score: what ranks, |delta|, |delta_pct| or |z| as measure says. complete: whether all data of the windows is there. allow_missing: members (add_member()) that do not answer are left out with a WARNING, and complete is false; else that is an error. active_days: windows of the baseline, as long as the recent one, with orders.
Exact numeric sums; quotients rounded to 20 decimals. A WARNING where the streams have not stored all of the window, a NOTICE where no order counts. Errors: invalid_parameter_value, undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._top_fluctuations(
	as_of timestamptz,
	recent interval,
	baseline interval,
	top_n int,
	measure text,
	direction text,
	average text,
	time_zone text,
	min_baseline numeric,
	allow_missing boolean)
RETURNS TABLE (rank int, industry text, recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   score numeric, recent_orders bigint, baseline_orders bigint, active_days int, complete boolean)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w fluct._windows := fluct._windows_of(as_of, recent, baseline, time_zone);
	answers fluct._answer[];
	ranking fluct._fluctuation[];
	shortfall fluct._shortfall;
BEGIN
	PERFORM fluct._check_top_n(top_n);
	PERFORM fluct._tell_zone(time_zone);
	PERFORM fluct._allow_missing(allow_missing);
	PERFORM fluct._check_ranking_options(w, measure, direction, average, min_baseline);
	answers := fluct._gather(w, measure = 'zscore' OR average <> 'elapsed');
	ranking := fluct._rank(w, measure, direction, average, min_baseline, answers);
	shortfall := fluct._find_shortfall(w, measure, average, answers);
	PERFORM fluct._tell(w, ranking, shortfall, answers);
	RETURN QUERY
		SELECT r.*, shortfall.reason IS NULL FROM unnest(ranking) r
		 WHERE r.rank <= coalesce(top_n, r.rank)
		 ORDER BY r.rank, r.industry COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct._top_fluctuations(timestamptz, interval, interval, int, text, text, text, text, numeric, boolean) IS 'top_fluctuations, with the rights of the tables'' owner where the caller has them';

-- ---------------------------------------------------------------------------
-- For reading
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._podium(ranking fluct._fluctuation[], top_n int, complete boolean)
RETURNS SETOF fluct.podium_row
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.rank, r.industry, round(r.recent_value, 2), round(r.baseline_avg, 2),
       round(r.delta, 2), round(r.delta_pct, 1), r.recent_orders, complete
  FROM unnest(ranking) r
 WHERE r.rank <= coalesce(top_n, r.rank) AND r.score > 0
 ORDER BY r.rank, r.industry COLLATE "C"
$$;
COMMENT ON FUNCTION fluct._podium(fluct._fluctuation[], int, boolean) IS 'the first ranks of a ranking with a score above 0, rounded for reading';

CREATE OR REPLACE FUNCTION fluct.podium(
	day date DEFAULT NULL,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	top_n int DEFAULT 3,
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL,
	allow_missing boolean DEFAULT false)
RETURNS SETOF fluct.podium_row
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.podium(date, interval, interval, int, text, text, text, text, boolean) IS
'The industries that fluctuated most, for reading: of the given day in time_zone (default: the session''s), or of the last 24 hours where day is NULL. Amounts to 2 decimals, delta_pct to 1; an industry without a score, or with 0, is left out; complete says whether all data of the recent window is there. Options, notices and errors as top_fluctuations().';

CREATE OR REPLACE FUNCTION fluct._podium(
	day date,
	recent interval,
	baseline interval,
	top_n int,
	measure text,
	direction text,
	average text,
	time_zone text,
	allow_missing boolean)
RETURNS SETOF fluct.podium_row
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	zone text := CASE WHEN day IS NULL THEN time_zone
	                  ELSE coalesce(time_zone, current_setting('TimeZone')) END;
	as_of timestamptz := now();
	w fluct._windows;
	answers fluct._answer[];
	ranking fluct._fluctuation[];
	shortfall fluct._shortfall;
BEGIN
	PERFORM fluct._check_top_n(top_n);
	IF day IS NOT NULL THEN
		PERFORM fluct._check_zone('time_zone', zone);
		as_of := (day + 1)::timestamp AT TIME ZONE zone;
	END IF;
	w := fluct._windows_of(as_of, recent, baseline, zone);
	PERFORM fluct._tell_zone(time_zone);
	PERFORM fluct._allow_missing(allow_missing);
	PERFORM fluct._check_ranking_options(w, measure, direction, average, NULL);
	answers := fluct._gather(w, measure = 'zscore' OR average <> 'elapsed');
	ranking := fluct._rank(w, measure, direction, average, NULL, answers);
	shortfall := fluct._find_shortfall(w, measure, average, answers);
	PERFORM fluct._tell(w, ranking, shortfall, answers);
	RETURN QUERY SELECT * FROM fluct._podium(ranking, top_n, shortfall.reason IS NULL);
END
$$;
COMMENT ON FUNCTION fluct._podium(date, interval, interval, int, text, text, text, text, boolean) IS 'podium, with the rights of the tables'' owner where the caller has them';
