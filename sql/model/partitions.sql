-- partitions.sql: the partitions of order_lines and raw_messages.
--
-- A partition is made by CREATE TABLE and ATTACH, in a transaction of its own
-- that waits at most a second for a lock: PARTITION OF would take ACCESS
-- EXCLUSIVE on the parent, wait behind a pg_dump with every reader queued, and
-- fail for ever once the default partition holds a row of that range.  ATTACH
-- needs that lock on the default partition only; where it is not to be had,
-- rows wait in the default.  All bounds are UTC.
--
-- Where rows are to be moved, the parent is locked as well, for as long: who
-- plans a statement lists the partitions first and then waits for their locks,
-- and would read a default without the rows, and not the table where they are.

CREATE OR REPLACE FUNCTION fluct._model_partitions(OUT parent text, OUT key_column text, OUT step interval, OUT ahead int, OUT name_format text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('order_lines', 'ordered_at', interval '1 month', 2, '"order_lines_"YYYY_MM'),
('raw_messages', 'ingested_at', interval '1 day', 7, '"raw_messages_"YYYY_MM_DD')
$$;
COMMENT ON FUNCTION fluct._model_partitions() IS 'the partitioned tables: width of a partition, how many are made ahead of the present one, their names';

CREATE OR REPLACE FUNCTION fluct._partitions(parent regclass, OUT partition regclass, OUT since timestamptz,
	OUT until timestamptz, OUT is_default boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
SELECT c.oid::regclass,
       replace(b.m[1], 'MINVALUE', '-infinity')::timestamptz,
       replace(b.m[2], 'MAXVALUE', 'infinity')::timestamptz,
       b.m IS NULL
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
 CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            '^FOR VALUES FROM \(''?([^'')]+)''?\) TO \(''?([^'')]+)''?\)$') AS m) b
 WHERE i.inhparent = parent AND c.relispartition
$$;
COMMENT ON FUNCTION fluct._partitions(regclass) IS 'the partitions of a table that is partitioned by a time; bounds are half-open';

CREATE OR REPLACE FUNCTION fluct._make_default_partitions()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p record;
	made text[] := '{}';
BEGIN
	FOR p IN
		SELECT m.parent, m.parent || '_default' AS name
		  FROM fluct._model_partitions() m
		  JOIN pg_partitioned_table t ON t.partrelid = to_regclass('sales.' || m.parent)
		 WHERE t.partdefid = 0
	LOOP
		IF to_regclass('sales.' || p.name) IS NOT NULL THEN
			RAISE WARNING 'sales.% has no default partition', p.parent
				USING DETAIL = format('sales.%I exists, but is not a partition of it, so a row for which there is no other partition is refused.', p.name),
				      HINT = format('ALTER TABLE sales.%I ATTACH PARTITION sales.%I DEFAULT; attaches it.', p.parent, p.name);
			CONTINUE;
		END IF;
		EXECUTE format('CREATE TABLE sales.%I PARTITION OF sales.%I DEFAULT', p.name, p.parent);
		EXECUTE format('COMMENT ON TABLE sales.%I IS %L', p.name,
					   format('Rows of sales.%s that have no partition yet; fluct.maintain_partitions() moves them.', p.parent));
		made := made || ('partition ' || p.name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_default_partitions() IS 'makes the missing default partitions, so that no row is refused for its date';

-- NULL: the partition may be made.  '': there is nothing to do.
CREATE OR REPLACE FUNCTION fluct._partition_obstacle(parent regclass, name text, since timestamptz, until timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rel pg_class;
	covered interval;
	others text;
BEGIN
	SELECT * INTO rel FROM pg_class c WHERE c.oid = parent;
	IF rel.relkind <> 'p' THEN
		RETURN format('%s is not partitioned', parent);
	END IF;
	SELECT sum(least(p.until, $4) - greatest(p.since, $3)), string_agg(p.partition::text, ', ')
	  INTO covered, others
	  FROM fluct._partitions(parent) p
	 WHERE p.since < $4 AND p.until > $3;
	IF covered = until - since THEN
		RETURN '';
	ELSIF others IS NOT NULL THEN
		RETURN format('overlaps %s', others);
	ELSIF to_regclass(format('sales.%I', name)) IS NOT NULL THEN
		RETURN format('sales.%I exists, but is not a partition of %s', name, parent);
	ELSIF NOT pg_has_role(rel.relowner, 'USAGE') THEN
		RETURN format('%I does not own %s', current_user, parent);
	ELSIF NOT has_schema_privilege('sales', 'CREATE') THEN
		RETURN format('%I cannot create tables in schema sales', current_user);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._partition_obstacle(regclass, text, timestamptz, timestamptz) IS
'what prevents a partition for [since, until): NULL = nothing, empty = its range is covered already';

CREATE OR REPLACE FUNCTION fluct._is_routed(rel regclass) RETURNS boolean
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_is_routed';
COMMENT ON FUNCTION fluct._is_routed(regclass) IS
'whether another extension stores the rows of a table elsewhere, as Citus does; planned with the rights of the caller, who may write there';

CREATE OR REPLACE FUNCTION fluct._move_from_default(default_partition regclass, target text, key_column text, since timestamptz, until timestamptz)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	columns text;
	moved bigint;
BEGIN
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
	  FROM pg_attribute a
	 WHERE a.attrelid = default_partition AND a.attnum > 0
	   AND NOT a.attisdropped AND a.attgenerated = '';
	EXECUTE format('WITH moved AS (DELETE FROM ONLY %1$s WHERE %3$I >= $1 AND %3$I < $2 RETURNING %4$s)
					INSERT INTO sales.%2$I (%4$s) SELECT %4$s FROM moved',
				   default_partition, target, key_column, columns)
		USING since, until;
	GET DIAGNOSTICS moved = ROW_COUNT;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION fluct._move_from_default(regclass, text, text, timestamptz, timestamptz) IS
'moves the rows of [since, until) from the default partition into a table that is to be attached; returns their number';

CREATE OR REPLACE FUNCTION fluct._attach_partition(parent regclass, name text, key_column text, since timestamptz, until timestamptz)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	default_partition regclass;
	alone boolean := false;
	moved bigint := 0;
BEGIN
	EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
	SELECT p.partition INTO default_partition FROM fluct._partitions(parent) p WHERE p.is_default;
	IF default_partition IS NOT NULL THEN
		EXECUTE format('SELECT EXISTS (SELECT 1 FROM ONLY %1$s WHERE %2$I >= $1 AND %2$I < $2)',
					   default_partition, key_column)
			INTO alone USING since, until;
		IF alone THEN
			EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', parent);
		END IF;
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', default_partition);
	END IF;
	EXECUTE format('CREATE TABLE sales.%I (LIKE %s INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS)%s',
				   name, parent,
				   (SELECT format(' TABLESPACE %I', t.spcname) FROM pg_class c
					  JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = parent));
	EXECUTE format('ALTER TABLE sales.%I OWNER TO %s', name,
				   (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = parent));
	IF default_partition IS NOT NULL THEN
		moved := fluct._move_from_default(default_partition, name, key_column, since, until);
	END IF;
	IF moved > 0 AND NOT alone THEN
		RAISE lock_not_available;	-- they came since it was asked
	END IF;
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION sales.%I FOR VALUES FROM (%L) TO (%L)',
				   parent, name, since, until);
	IF moved > 0 AND to_regprocedure('pg_catalog.truncate_local_data_after_distributing_table(regclass)') IS NOT NULL
		AND fluct._is_routed(parent) THEN
		EXECUTE 'SELECT pg_catalog.truncate_local_data_after_distributing_table($1)'
			USING format('sales.%I', name)::regclass;
	END IF;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION fluct._attach_partition(regclass, text, text, timestamptz, timestamptz) IS
'makes the partition for [since, until) and moves its rows from the default partition; returns their number';

CREATE OR REPLACE FUNCTION fluct._make_partition(parent regclass, name text, key_column text, since timestamptz, until timestamptz,
									  OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
BEGIN
	partition := name;
	detail := fluct._partition_obstacle(parent, name, since, until);
	IF detail = '' THEN
		RETURN;
	ELSIF detail IS NOT NULL THEN
		action := 'skipped';
		RETURN;
	END IF;
	BEGIN
		rows_moved := fluct._attach_partition(parent, name, key_column, since, until);
		action := 'created';
	EXCEPTION
		WHEN lock_not_available OR deadlock_detected THEN
			action := 'skipped';
			detail := 'no lock within 1 s; rows wait in the default partition until the next call';
		WHEN duplicate_table OR invalid_object_definition THEN
			action := 'skipped';
			detail := SQLERRM;
	END;
END
$$;
COMMENT ON FUNCTION fluct._make_partition(regclass, text, text, timestamptz, timestamptz) IS
'makes one partition if it can be made now; action is NULL where its range is covered already';

-- Starts of the steps of which rows wait in the default partition.  A mistaken
-- date does not deserve a partition, so what lies far off stays there.
CREATE OR REPLACE FUNCTION fluct._waiting_steps(parent regclass, key_column text, step interval)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	default_partition regclass;
BEGIN
	SELECT p.partition INTO default_partition FROM fluct._partitions(parent) p WHERE p.is_default;
	IF default_partition IS NOT NULL THEN
		RETURN QUERY EXECUTE format(
			'SELECT DISTINCT date_trunc($1, %1$I) FROM ONLY %2$s
			  WHERE %1$I >= now() - interval ''10 years'' AND %1$I < now() + interval ''1 year''
			  ORDER BY 1 DESC LIMIT 24', key_column, default_partition)
			USING CASE WHEN step = '1 day' THEN 'day' ELSE 'month' END;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._waiting_steps(regclass, text, interval) IS
'the newest 24 days or months (UTC), from ten years ago to a year ahead, of which rows wait in the default partition';

-- For one table, so that each can be maintained as its own owner.
CREATE OR REPLACE FUNCTION fluct._maintain(rel regclass, OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	m record;
	t timestamptz;
BEGIN
	SELECT x.*, CASE WHEN x.step = '1 day' THEN 'day' ELSE 'month' END AS unit INTO STRICT m
	  FROM fluct._model_partitions() x WHERE to_regclass('sales.' || x.parent) = rel;
	FOR t IN
		SELECT s FROM generate_series(date_trunc(m.unit, now()),
									  date_trunc(m.unit, now()) + m.ahead * m.step, m.step) s
		UNION
		SELECT s FROM fluct._waiting_steps(rel, m.key_column, m.step) s
		ORDER BY 1
	LOOP
		SELECT p.* INTO partition, action, rows_moved, detail
		  FROM fluct._make_partition(rel, to_char(t, m.name_format), m.key_column, t, t + m.step) p;
		IF action IS NOT NULL THEN
			RETURN NEXT;
		END IF;
		-- the others need the same locks
		EXIT WHEN detail LIKE 'no lock within%';
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._maintain(regclass) IS
'maintain_partitions() for one of the tables.';

CREATE OR REPLACE FUNCTION fluct.maintain_partitions(OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.maintain_partitions() IS
'Makes the partitions of order_lines (this month and the next 2) and raw_messages (today and the next 7 days), and those for rows that wait in a default partition, which it moves. Called by the tables'' owner; a lock that is not to be had within 1 s is skipped. Returns a row for each partition created or skipped. All bounds are UTC.';

CREATE OR REPLACE FUNCTION fluct._maintain_partitions(OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent text;
BEGIN
	PERFORM fluct._require_tables();
	FOR parent IN SELECT m.parent FROM fluct._model_partitions() m LOOP
		RETURN QUERY SELECT p.* FROM fluct._maintain(to_regclass('sales.' || parent)) p;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._maintain_partitions() IS 'maintain_partitions, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct.ensure_partitions(since timestamptz, until timestamptz, OUT partition text, OUT action text,
	OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.ensure_partitions(timestamptz, timestamptz) IS
'Makes the partitions of order_lines for the months (UTC) of since to until, both included, at most the newest 240; to be called before history is loaded. Returns a row for each partition created or skipped. Errors: invalid_parameter_value, undefined_table.';

CREATE OR REPLACE FUNCTION fluct._ensure_partitions(since timestamptz, until timestamptz, OUT partition text, OUT action text,
	OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	t timestamptz;
	most CONSTANT int := 240;
BEGIN
	PERFORM fluct._require_tables();
	IF since IS NULL OR until IS NULL OR NOT isfinite(since) OR NOT isfinite(until) OR since > until THEN
		RAISE EXCEPTION 'since and until must be times, the earlier one first'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('since is %s, until is %s.', coalesce(since::text, 'NULL'), coalesce(until::text, 'NULL')),
			      HINT = 'Give the times of the oldest and the newest order.';
	END IF;
	FOR t IN
		SELECT s FROM generate_series(greatest(date_trunc('month', since),
											   date_trunc('month', until) - (most - 1) * interval '1 month'),
									  date_trunc('month', until), interval '1 month') s
	LOOP
		SELECT p.* INTO partition, action, rows_moved, detail
		  FROM fluct._make_partition('sales.order_lines', to_char(t, '"order_lines_"YYYY_MM'), 'ordered_at', t, t + interval '1 month') p;
		IF action IS NOT NULL THEN
			RETURN NEXT;
		END IF;
	END LOOP;
	IF date_trunc('month', since) < date_trunc('month', until) - (most - 1) * interval '1 month' THEN
		RAISE NOTICE 'partitions for the newest % months only', most
			USING DETAIL = 'Lines of older orders go to the default partition.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._ensure_partitions(timestamptz, timestamptz) IS 'ensure_partitions, with the rights of the tables'' owner where the caller has them';
