-- members.sql: which servers hold the orders together, and how they are asked.
--
-- When one server no longer takes the topic, a second one takes half of its
-- partitions.  Each member is whole: its streams, its orders, its rollup.  The
-- hub, which may be a member itself, asks them for sums per industry and window
-- (src/members/ask.c), adds them up, and ranks; sums are exact, so the answer is
-- the one that a single server would give for the whole topic.
--
-- The functions _member_..._1() are what members are asked.  They answer from
-- their own tables, whether or not that server has members itself.  What they take and
-- return is the protocol: it never changes, and what changes gets the next number.

CREATE OR REPLACE FUNCTION fluct._ask_members(question text, members text[], args text[],
								   OUT member text, OUT missing text, OUT answer text[])
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_ask_members';
COMMENT ON FUNCTION fluct._ask_members(text, text[], text[]) IS
'Asks these members at the same time one question of a fixed list: the rows of each answer, as text, or why there is none. With the user mapping of the current role, or the one for PUBLIC; errors where there is none, or it must not be used, and about a name that is not in fluct.members.';

CREATE OR REPLACE FUNCTION fluct._tell_missing(names text[], reasons text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	message CONSTANT text := CASE cardinality(names) WHEN 1 THEN format('member "%s" does not answer', names[1])
								ELSE format('members %s do not answer', (SELECT string_agg('"' || n || '"', ', ' ORDER BY o)
																		   FROM unnest(names) WITH ORDINALITY u(n, o))) END;
	detail CONSTANT text := (SELECT string_agg(format('%s: %s.', n, rtrim(r, '.')), ' ' ORDER BY o)
							   FROM unnest(names, reasons) WITH ORDINALITY u(n, r, o));
BEGIN
	IF current_setting('fluct.allow_missing') = 'on' THEN
		PERFORM fluct._warn(message, detail, 'SELECT * FROM fluct.check_members();');
	ELSE
		RAISE EXCEPTION USING ERRCODE = 'connection_failure', MESSAGE = message, DETAIL = detail,
			HINT = 'SELECT * FROM fluct.check_members() says more; allow_missing => true goes without.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._tell_missing(text[], text[]) IS
'connection_failure about members that do not answer, or a WARNING where fluct.allow_missing is on';

CREATE OR REPLACE FUNCTION fluct._ask_all(question text, VARIADIC args text[] DEFAULT '{}', OUT member text, OUT missing text, OUT answer text[])
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT a.* FROM fluct._ask_members(question, ARRAY(SELECT m.name FROM fluct.members m ORDER BY m.name COLLATE "C"), args) a;
END
$$;
COMMENT ON FUNCTION fluct._ask_all(text, text[]) IS 'the question to all members of fluct.members';

CREATE OR REPLACE FUNCTION fluct._answers(question text, VARIADIC args text[] DEFAULT '{}', OUT member text, OUT answer text[])
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a record;
	missing text[] := '{}';
	reasons text[] := '{}';
BEGIN
	FOR a IN SELECT x.* FROM fluct._ask_all(question, VARIADIC args) x LOOP
		IF a.missing IS NULL THEN
			member := a.member;
			answer := a.answer;
			RETURN NEXT;
		ELSE
			missing := missing || a.member;
			reasons := reasons || a.missing;
		END IF;
	END LOOP;
	IF missing <> '{}' THEN
		PERFORM fluct._tell_missing(missing, reasons);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._answers(text, text[]) IS 'what those members answer that do; of the others _tell_missing';

CREATE OR REPLACE FUNCTION fluct._has_members()
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN EXISTS (SELECT FROM fluct.members); END $$;
COMMENT ON FUNCTION fluct._has_members() IS 'whether rankings ask members';

-- ---------------------------------------------------------------------------
-- What a member answers
-- ---------------------------------------------------------------------------

-- The baseline as one row, with the windows that have orders by number; or each
-- window in a row.  Where the rollup cannot be read all come as windows.
CREATE OR REPLACE FUNCTION fluct._numbered_spend(w fluct._windows, per_window boolean)
RETURNS SETOF fluct._member_spend
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	baseline CONSTANT record := fluct._baseline_windows(w);
BEGIN
	IF NOT per_window AND fluct._rollup_is_read(w) THEN
		RETURN QUERY
			SELECT s.industry, s.starts_at, s.orders, s.amount, CASE WHEN s.starts_at < w.mid THEN a.windows END
			  FROM fluct._rollup_spend(ARRAY[w.since, w.mid], ARRAY[w.mid, w.until]) s
			  LEFT JOIN fluct._rollup_active(baseline.starts, baseline.ends) a ON a.industry = s.industry;
	ELSIF per_window THEN
		RETURN QUERY SELECT s.industry, s.starts, s.orders, s.amount, NULL::int[] FROM fluct._spend(w, true) s;
	ELSE
		RETURN QUERY
			SELECT s.industry, CASE WHEN s.starts < w.mid THEN w.since ELSE w.mid END, sum(s.orders)::bigint, sum(s.amount),
				   CASE WHEN min(s.starts) < w.mid THEN array_agg(greatest(width_bucket(s.starts, baseline.starts), 1)) END
			  FROM fluct._orders_spend(w) s
			 GROUP BY 1, 2;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._numbered_spend(fluct._windows, boolean) IS
'_spend() with numbers in place of the count of windows that have orders, so that those of several servers can be united';

CREATE OR REPLACE FUNCTION fluct._member_spend_1(w fluct._windows, per_window boolean, with_offsets boolean,
									  OUT shortfall fluct._shortfall, OUT oldest timestamptz, OUT newest timestamptz, OUT offsets jsonb,
									  OUT spend fluct._member_spend[], OUT links bigint)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._member_spend_1(fluct._windows, boolean, boolean) IS 'what this server, as a member, has for a ranking of these windows; version 1';

CREATE OR REPLACE FUNCTION fluct.__member_spend_1(w fluct._windows, per_window boolean, with_offsets boolean,
									   OUT shortfall fluct._shortfall, OUT oldest timestamptz, OUT newest timestamptz, OUT offsets jsonb,
									   OUT spend fluct._member_spend[], OUT links bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	shortfall := fluct._local_shortfall(w);
	SELECT min(o.ordered_at) INTO oldest FROM sales.orders o WHERE o.ordered_at > '-infinity' AND o.ordered_at < 'infinity';
	SELECT max(o.ordered_at) INTO newest FROM sales.orders o;
	IF with_offsets THEN
		offsets := fluct._source_offsets();
	END IF;
	spend := ARRAY(SELECT s FROM fluct._numbered_spend(w, per_window) s);
	links := fluct._links();
END
$$;
COMMENT ON FUNCTION fluct.__member_spend_1(fluct._windows, boolean, boolean) IS '_member_spend_1, with the rights of the tables'' owner where the caller has them';

-- ---------------------------------------------------------------------------
-- Gathered and added up
-- ---------------------------------------------------------------------------

-- The types are right (src/members/answer.c); the sums can still be none.
CREATE OR REPLACE FUNCTION fluct._fault_of(a fluct._answer, w fluct._windows)
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 1000000000000000;		-- orders, so that no sum of them overflows
BEGIN
	IF a.links IS NULL OR EXISTS (
		SELECT FROM unnest(a.spend) s
		 WHERE (s.industry IS NOT NULL AND s.starts >= w.since AND s.starts <= w.mid AND s.orders > 0 AND s.orders < most
				AND s.amount > '-Infinity' AND s.amount < 'Infinity'
				AND coalesce(cardinality(s.windows), 0) <= ceil(w.denominator::numeric / w.numerator)) IS NOT TRUE) THEN
		RETURN 'its answer is not valid: a sum is missing, not finite, or not of these windows';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._fault_of(fluct._answer, fluct._windows) IS 'what is wrong with a member''s sums; NULL = nothing';

CREATE OR REPLACE FUNCTION fluct._gather(w fluct._windows, per_window boolean, with_offsets boolean DEFAULT false)
RETURNS fluct._answer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
DECLARE
	answers fluct._answer[];
	missing text[];
	reasons text[];
BEGIN
	IF NOT fluct._has_members() THEN
		RETURN NULL;
	END IF;
	SELECT array_agg(CASE WHEN x.missing IS NULL THEN x.whole ELSE ((x.whole).member, x.missing, NULL, NULL, NULL, NULL, NULL, NULL)::fluct._answer END),
		   array_agg((x.whole).member) FILTER (WHERE x.missing IS NOT NULL), array_agg(x.missing) FILTER (WHERE x.missing IS NOT NULL)
	  INTO answers, missing, reasons
	  FROM (SELECT u.whole, coalesce((u.whole).missing, fluct._fault_of(u.whole, w)) AS missing
			  FROM (SELECT (a.member, a.missing, a.answer[1]::fluct._shortfall, a.answer[2]::timestamptz, a.answer[3]::timestamptz, a.answer[4]::jsonb,
							a.answer[5]::fluct._member_spend[], a.answer[6]::bigint)::fluct._answer
					  FROM fluct._ask_all('spend', w::text, per_window::text, with_offsets::text) a OFFSET 0) u(whole) OFFSET 0) x;
	IF missing IS NOT NULL THEN
		PERFORM fluct._tell_missing(missing, reasons);
	END IF;
	RETURN answers;
END
$$;
COMMENT ON FUNCTION fluct._gather(fluct._windows, boolean, boolean) IS
'what each member has for a ranking, with the positions of its streams or without; NULL where there are no members. Errors: connection_failure where one does not answer, unless fluct.allow_missing is on';

CREATE OR REPLACE FUNCTION fluct._spend_of(answers fluct._answer[], w fluct._windows, per_window boolean,
								OUT industry text, OUT starts timestamptz, OUT orders bigint, OUT amount numeric, OUT windows bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF answers IS NULL THEN
		RETURN QUERY SELECT s.* FROM fluct._spend(w, per_window) s;
	ELSIF per_window THEN
		RETURN QUERY
			SELECT s.industry, s.starts, sum(s.orders)::bigint, sum(s.amount), 1::bigint
			  FROM unnest(answers) a, unnest(a.spend) s
			 GROUP BY 1, 2 HAVING sum(s.orders) <> 0;
	ELSE
		RETURN QUERY
			WITH s AS MATERIALIZED (
				SELECT u.* FROM unnest(answers) a, unnest(a.spend) u
			), active AS (
				SELECT d.industry, count(*) AS windows FROM (SELECT DISTINCT s.industry, n FROM s, unnest(s.windows) n) d GROUP BY 1
			)
			SELECT s.industry, s.starts, sum(s.orders)::bigint, sum(s.amount), max(a.windows)
			  FROM s LEFT JOIN active a ON a.industry = s.industry
			 GROUP BY 1, 2 HAVING sum(s.orders) <> 0;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._spend_of(fluct._answer[], fluct._windows, boolean) IS
'_spend() of all members together; of this server where answers is NULL';

CREATE OR REPLACE FUNCTION fluct._of_one_time(value text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN position('%' IN regexp_replace(replace(value, '%%', ''), '%s', '')) > 0 THEN replace(value, '%', '%%') ELSE value END $$;
COMMENT ON FUNCTION fluct._of_one_time(text) IS 'what another server said, as a format for one time: if it is none, as it is';

-- The shortfall that is reported: that of a member that is missing, else of one
-- with other industries of the customers, else of the one furthest behind.
CREATE OR REPLACE FUNCTION fluct._shortfall_of(answers fluct._answer[])
RETURNS fluct._shortfall
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a fluct._answer;
	s fluct._shortfall;
	missing CONSTANT text := (SELECT string_agg(format('"%s"', m.member), ', ') FROM unnest(answers) m WHERE m.missing IS NOT NULL);
	mine CONSTANT bigint := fluct._links();
BEGIN
	IF missing IS NOT NULL THEN
		s.reason := replace('no answer from member ' || missing, '%', '%%');
		RETURN s;
	END IF;
	SELECT u.* INTO a FROM unnest(answers) u WHERE u.links IS DISTINCT FROM mine ORDER BY u.member COLLATE "C" LIMIT 1;
	IF FOUND THEN
		s.reason := format('member "%s" has other industries of the customers', replace(a.member, '%', '%%'));
		s.message := s.reason;
		s.detail := 'Its sums are not of the same customers as those of this server.';
		s.hint := 'A moment later it may have caught up. Else SELECT * FROM fluct.check_members();';
		RETURN s;
	END IF;
	SELECT u.* INTO a FROM unnest(answers) u WHERE (u.shortfall).reason IS NOT NULL
	 ORDER BY (u.shortfall).at NULLS FIRST, u.member COLLATE "C" LIMIT 1;
	IF FOUND THEN
		s := a.shortfall;
		s.reason := format('member "%s": %s', replace(a.member, '%', '%%'), fluct._of_one_time(fluct._printable(s.reason)));
		s.message := format('member "%s": %s', replace(a.member, '%', '%%'), fluct._of_one_time(fluct._printable(s.message)));
		s.detail := fluct._printable(s.detail);
		s.hint := format('At member "%s": %s', a.member, coalesce(fluct._printable(s.hint), 'SELECT * FROM fluct.health;'));
	END IF;
	RETURN s;
END
$$;
COMMENT ON FUNCTION fluct._shortfall_of(fluct._answer[]) IS 'what is missing at the members, and at which';
