-- retention.sql: what is old goes, in small transactions.
--
-- Old partitions are dropped, one a transaction: that takes ACCESS EXCLUSIVE on
-- the table and its default partition for a moment, which is waited for at most
-- a second at a time, since behind a waiting DROP every reader waits.  What lies
-- in a default partition, and orders, are deleted in chunks.
--
-- Orders go by whole UTC days, behind a horizon that moves before they do.
-- Before the horizon the rollup stays as it is, and windows that reach there
-- are not complete.  The lines of an order go with it.

CREATE OR REPLACE FUNCTION fluct._check_retention(name text, age interval) RETURNS void
LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct._check_retention(text, interval) IS
'raises invalid_parameter_value, naming the argument, for an age below a day';

CREATE OR REPLACE FUNCTION fluct.__check_retention(name text, age interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
BEGIN
	IF age < interval '1 day' THEN
		RAISE EXCEPTION '% must be a day or more, or NULL', name
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', age),
			      HINT = format('CALL fluct.apply_retention(%s => ''90 days'');', name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__check_retention(text, interval) IS '_check_retention, without a context';

CREATE OR REPLACE FUNCTION fluct._drop_old_partition(parent regclass, cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	old record;
BEGIN
	SELECT p.partition, c.reltuples INTO old
	FROM fluct._partitions(parent) p JOIN pg_class c ON c.oid = p.partition
	WHERE NOT p.is_default AND p.until <= cutoff ORDER BY p.until LIMIT 1;
	IF FOUND THEN
		EXECUTE format('DROP TABLE %s', old.partition);
		what := 'partition';
		rows := greatest(old.reltuples, 0);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._drop_old_partition(regclass, timestamptz) IS
'Drops the oldest partition, if all of it is before cutoff; rows as the statistics have them. what is NULL where there is none.';

CREATE OR REPLACE FUNCTION fluct._delete_old_rows(parent regclass, key_column text, cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	default_partition regclass := (SELECT p.partition FROM fluct._partitions(parent) p WHERE p.is_default);
	last timestamptz;
BEGIN
	IF default_partition IS NULL THEN
		RETURN;
	END IF;
	IF fluct._is_routed(default_partition) THEN
		-- no ctid: the oldest rows by their time, those of the last moment all together
		EXECUTE format('SELECT max(x.at) FROM (SELECT %2$I AS at FROM ONLY %1$s WHERE %2$I < $1 ORDER BY 1 LIMIT 10000) x',
					   default_partition, key_column) INTO last USING cutoff;
		EXECUTE format('DELETE FROM ONLY %1$s WHERE %2$I <= $1', default_partition, key_column) USING last;
	ELSE
		EXECUTE format('DELETE FROM ONLY %1$s WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY %1$s WHERE %2$I < $1 LIMIT 10000))',
					   default_partition, key_column) USING cutoff;
	END IF;
	GET DIAGNOSTICS rows = ROW_COUNT;
	what := CASE WHEN rows > 0 THEN 'rows' END;
END
$$;
COMMENT ON FUNCTION fluct._delete_old_rows(regclass, text, timestamptz) IS
'Deletes up to 10,000 rows before cutoff from the default partition. what is NULL where there are none.';

-- The horizon moves in a transaction of its own, for which writers of orders wait.
CREATE OR REPLACE FUNCTION fluct._delete_old_orders(cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	day timestamptz := date_trunc('day', cutoff, 'UTC');
BEGIN
	rows := 0;
	IF NOT EXISTS (SELECT FROM sales.orders o WHERE o.ordered_at < day) THEN
		RETURN;
	END IF;
	IF fluct._horizon() IS NULL OR fluct._horizon() < day THEN
		LOCK TABLE ONLY sales.customer_industries IN ACCESS SHARE MODE;
		LOCK TABLE ONLY sales.orders IN ACCESS SHARE MODE;
		LOCK TABLE ONLY sales.rollup_state IN SHARE ROW EXCLUSIVE MODE;
		UPDATE sales.rollup_state SET horizon = greatest(horizon, day);
		what := 'horizon';
		RETURN;
	END IF;
	DELETE FROM sales.orders o WHERE o.order_id = ANY (ARRAY(
		SELECT x.order_id FROM sales.orders x WHERE x.ordered_at < day ORDER BY x.ordered_at LIMIT 5000));
	GET DIAGNOSTICS rows = ROW_COUNT;
	what := 'rows';
	IF rows = 0 THEN
		what := NULL;
		RAISE WARNING 'retention of orders ends before %: a trigger or a policy keeps the rows', day
			USING ERRCODE = '01000',
			      DETAIL = 'DELETE deleted none of the oldest orders.',
			      HINT = 'Look for triggers BEFORE DELETE and row security on sales.orders.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._delete_old_orders(timestamptz) IS
'Moves the horizon to the UTC day of cutoff, or deletes up to 5,000 orders before it, with their lines. what is NULL where there are none.';

CREATE OR REPLACE FUNCTION fluct._trim_bookkeeping(cutoff timestamptz) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._trim_bookkeeping(timestamptz) IS
'Deletes what the caller may: closed dead letters, gaps of former epochs, and records of refused, skipped and duplicate files, from before cutoff. Returns how many.';

CREATE OR REPLACE FUNCTION fluct.__trim_bookkeeping(cutoff timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller oid := fluct._caller();
	n bigint;
	total bigint := 0;
BEGIN
	DELETE FROM fluct.dead_letters d
	WHERE d.status <> 'open' AND d.closed_at < cutoff AND fluct._may_trim_stream(caller, d.stream);
	GET DIAGNOSTICS n = ROW_COUNT;
	total := total + n;
	DELETE FROM fluct.gaps g
	WHERE g.created_at < cutoff AND fluct._may_trim_stream(caller, g.stream)
		AND NOT EXISTS (SELECT FROM fluct.stream_offsets o
						WHERE o.stream = g.stream AND o.topic = g.topic AND o.partition = g.partition AND o.epoch = g.epoch);
	GET DIAGNOSTICS n = ROW_COUNT;
	total := total + n;
	-- a loaded file's record is its identity: without it, it would load again
	DELETE FROM fluct.files f
	WHERE f.status <> 'loaded' AND f.loaded_at < cutoff
		AND fluct._may_trim(caller, fluct._owner_role(f.loaded_by, f.loaded_by_oid, f.system_identifier));
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN total + n;
END
$$;
COMMENT ON FUNCTION fluct.__trim_bookkeeping(timestamptz) IS '_trim_bookkeeping, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct._may_trim(caller oid, owner oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(pg_has_role(caller, owner, 'MEMBER'), (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = caller))
$$;
COMMENT ON FUNCTION fluct._may_trim(oid, oid) IS
'Whether a role may delete old bookkeeping of this owner''s: the owner, members of it, superusers; where the owner is gone (NULL), superusers.';

CREATE OR REPLACE FUNCTION fluct._may_trim_stream(caller oid, stream text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._may_trim(caller,
			(SELECT fluct._owner_role(o.owner, o.owner_oid, o.system_identifier)
			   FROM (SELECT s.name, s.owner, s.owner_oid, s.system_identifier FROM fluct.streams s
					 UNION ALL
					 SELECT d.name, d.owner, d.owner_oid, d.system_identifier FROM fluct.dropped_streams d) o
			  WHERE o.name = stream LIMIT 1))
$$;
COMMENT ON FUNCTION fluct._may_trim_stream(oid, text) IS 'The same for a stream, also when it is dropped.';

CREATE OR REPLACE FUNCTION fluct._retire_rows(kind text, cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._retire_rows(text, timestamptz) IS 'one step of apply_retention on the tables in sales, with the rights of their owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct.__retire_rows(kind text, cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
	model record;
BEGIN
	-- between two transactions somebody may have replaced one
	PERFORM fluct._require_tables();
	IF kind = 'orders' THEN
		SELECT * INTO what, rows FROM fluct._delete_old_orders(cutoff);
		RETURN;
	END IF;
	SELECT * INTO model FROM fluct._model_partitions() m
	WHERE m.parent = CASE kind WHEN 'raw' THEN 'raw_messages' ELSE 'order_lines' END;
	SELECT * INTO what, rows FROM fluct._drop_old_partition(('sales.' || model.parent)::regclass, cutoff);
	IF what IS NULL THEN
		SELECT * INTO what, rows FROM fluct._delete_old_rows(('sales.' || model.parent)::regclass, model.key_column, cutoff);
	END IF;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	what := 'busy';
	rows := 0;
END
$$;
COMMENT ON FUNCTION fluct.__retire_rows(text, timestamptz) IS '_retire_rows, with these rights';

CREATE OR REPLACE FUNCTION fluct._retire(kind text, cutoff timestamptz, OUT what text, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF kind = 'bookkeeping' THEN
		rows := fluct._trim_bookkeeping(cutoff);
	ELSE
		SELECT r.what, r.rows INTO what, rows FROM fluct._retire_rows(kind, cutoff) r;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._retire(text, timestamptz) IS
'One step of apply_retention: what was done (partition, rows, horizon; busy: a lock was not to be had within a second; NULL: that was all) and the number of rows.';

-- It commits, so it cannot have SET; it looks up nothing that is not qualified,
-- types included.
CREATE OR REPLACE PROCEDURE fluct.apply_retention(raw interval DEFAULT NULL, lines interval DEFAULT NULL, orders interval DEFAULT NULL,
	bookkeeping interval DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	begun CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
	ages CONSTANT pg_catalog.interval[] := ARRAY[raw, lines, orders, bookkeeping];
	kinds CONSTANT pg_catalog.text[] := ARRAY['raw', 'lines', 'orders', 'bookkeeping'];
	step record;
	partitions bigint;
	total bigint;
	waits int;
BEGIN
	PERFORM fluct._require_tables();
	FOR i IN 1 .. 4 LOOP
		PERFORM fluct._check_retention(kinds[i], ages[i]);
	END LOOP;
	FOR i IN 1 .. 4 LOOP
		CONTINUE WHEN ages[i] IS NULL;
		partitions := 0;
		total := 0;
		waits := 0;
		LOOP
			SELECT r.what, r.rows INTO step FROM fluct._retire(kinds[i], begun OPERATOR(pg_catalog.-) ages[i]) r;
			COMMIT;
			total := total OPERATOR(pg_catalog.+) coalesce(step.rows, 0::bigint);
			EXIT WHEN step.what IS NULL;
			IF step.what OPERATOR(pg_catalog.=) 'busy' THEN
				waits := waits OPERATOR(pg_catalog.+) 1;
				IF waits OPERATOR(pg_catalog.>) 20 THEN
					RAISE WARNING 'retention of % is left for the next time: others hold its locks', kinds[i];
					EXIT;
				END IF;
				PERFORM pg_catalog.pg_sleep(0.1::double precision OPERATOR(pg_catalog.*) waits::double precision);
			ELSE
				waits := 0;
				partitions := partitions OPERATOR(pg_catalog.+) (step.what OPERATOR(pg_catalog.=) 'partition')::int;
			END IF;
		END LOOP;
		IF partitions OPERATOR(pg_catalog.>) 0 THEN
			RAISE NOTICE 'retention of %: % partitions dropped, about % rows in all', kinds[i], partitions, total;
		ELSE
			RAISE NOTICE 'retention of %: % rows deleted', kinds[i], total;
		END IF;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE fluct.apply_retention(interval, interval, interval, interval) IS
'Deletes what is older than the ages given; NULL keeps it. raw: raw_messages by ingested_at; lines: order_lines by ordered_at; both by whole partitions (days, months), with what lies in the default partition. orders: by ordered_at, whole UTC days, with their lines; the rollup of that time stays, frozen, and windows that reach there are not complete. bookkeeping: closed dead letters, gaps of former epochs, records of files that were not loaded. Works in small transactions, waits at most a second at a time for a lock, and goes on where it stopped. To be called by the tables'' owner, outside of a transaction, such as daily by pg_cron. Errors: invalid_parameter_value, insufficient_privilege.';
