-- model.sql: the users' tables, made by fluct.create_tables().
--
-- They are ordinary tables, not members of the extension: so that they can be
-- altered and indexed, that pg_dump carries what was changed, and that DROP
-- EXTENSION ... CASCADE leaves the orders.  What the model consists of stands
-- in the _model_* functions below, one row a thing; create_tables() makes what
-- is missing of it and changes nothing that is there.

-- ---------------------------------------------------------------------------
-- What the model consists of
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._model_tables(OUT table_name text, OUT partitioned text, OUT comment text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('industries', NULL,
 'The known industries. An order counts for each industry of its customer; each one listed here has a row in every ranking.'),
('products', NULL,
 'The products. Names repeat, ids do not.'),
('customers', NULL,
 'The customers. company_name is not a key: two customers may share a name.'),
('customer_industries', NULL,
 'Which customer works in which industries, many to many. A customer without a row here counts in no ranking.'),
('orders', NULL,
 'The orders, one row each. An order may come before its customer, so customer_id is no foreign key. DELETE, TRUNCATE, and an UPDATE of order_id or ordered_at carry the rows of order_lines along.'),
('order_lines', 'RANGE (ordered_at)',
 'The lines of the orders, about 50 each; partitioned by month of ordered_at (UTC). It has no btree index: fluct.lines_of(order_id) finds the lines of one order.'),
('raw_messages', 'RANGE (ingested_at)',
 'Each message exactly as it came from Kafka; partitioned by day of ingested_at (UTC).'),
('fluctuations', NULL,
 'What fluct.record_fluctuations() stored: one row for each report, time and industry, with the options it was computed with. The podium is rank <= 3.'),
('industry_spend', NULL,
 'The rollup: orders and their sum per industry and bucket of a minute, an hour and a day (UTC), kept by triggers on orders and customer_industries in the transaction that changes those. Add up the slots. Not to be written by hand; fluct.verify_rollup() compares, fluct.rebuild_rollup() mends.'),
('rollup_state', NULL,
 'Whether the rollup can be read; its lock keeps changes of orders and of customers'' industries apart.')
$$;
COMMENT ON FUNCTION fluct._model_tables() IS 'the users'' tables, in the order in which they are made';

CREATE FUNCTION fluct._model_columns(OUT table_name text, OUT column_name text, OUT definition text, OUT comment text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('industries', 'industry', 'text NOT NULL', 'name of the industry, the key'),

('products', 'product_id', 'text NOT NULL', 'the key'),
('products', 'product_name', 'text', 'what people call it; not unique'),
('products', 'price', 'numeric CONSTRAINT products_price_finite CHECK (price > ''-Infinity'' AND price < ''Infinity'')', 'list price of one piece; an order line has its own'),

('customers', 'customer_id', 'text NOT NULL', 'the key'),
('customers', 'company_name', 'text', 'what people call it; not unique'),

('customer_industries', 'customer_id', 'text NOT NULL', 'the customer; its rows go when it goes'),
('customer_industries', 'industry', 'text NOT NULL', 'one of fluct.industries; renamed with it, and keeps it from being deleted'),

('orders', 'order_id', 'text NOT NULL', 'the key; an order that comes twice is stored once'),
('orders', 'customer_id', 'text NOT NULL', 'who ordered; perhaps not yet in fluct.customers'),
('orders', 'amount', 'numeric NOT NULL CONSTRAINT orders_amount_finite CHECK (amount > ''-Infinity'' AND amount < ''Infinity'')', 'what the order is worth, exactly as it was sent'),
('orders', 'ordered_at', 'timestamptz NOT NULL', 'when it was ordered, by the sender''s clock'),
('orders', 'extra', 'jsonb', 'the fields of the message that no column takes; NULL where there were none'),

('order_lines', 'order_id', 'text NOT NULL', 'the order'),
('order_lines', 'line_number', 'int NOT NULL', 'place in the message''s list, from 1'),
('order_lines', 'product_id', 'text NOT NULL', 'the product; may repeat within an order'),
('order_lines', 'volume', 'int NOT NULL', 'pieces'),
('order_lines', 'price', 'numeric NOT NULL CONSTRAINT order_lines_price_finite CHECK (price > ''-Infinity'' AND price < ''Infinity'')', 'price of one piece, exactly as it was sent'),
('order_lines', 'ordered_at', 'timestamptz NOT NULL', 'the order''s ordered_at'),

('raw_messages', 'stream', 'text NOT NULL', 'the stream that stored it'),
('raw_messages', 'topic', 'text NOT NULL', 'Kafka''s topic'),
('raw_messages', 'partition', 'int NOT NULL', 'Kafka''s partition'),
('raw_messages', 'offset', 'bigint NOT NULL', 'Kafka''s offset'),
('raw_messages', 'message_time', 'timestamptz', 'Kafka''s timestamp of the message (the producer''s or the broker''s clock, as the topic is set)'),
('raw_messages', 'key', 'bytea', 'the message''s key; NULL where it has none'),
('raw_messages', 'headers', 'jsonb', 'the message''s headers; NULL where it has none'),
('raw_messages', 'value', 'bytea', 'the message''s bytes'),
('raw_messages', 'ingested_at', 'timestamptz NOT NULL DEFAULT now()', 'start of the transaction that stored it, by this server''s clock'),

('fluctuations', 'report', 'text NOT NULL', 'the report; its options are in fluct.reports'),
('fluctuations', 'as_of', 'timestamptz NOT NULL', 'the time it was computed for; the recent window ends here, excluded'),
('fluctuations', 'agg_date', 'date NOT NULL', 'the day, in time_zone or else UTC, that contains the last microsecond of the recent window'),
('fluctuations', 'rank', 'int', 'place in the ranking, shared by ties; NULL where direction or min_baseline leave the industry out'),
('fluctuations', 'industry', 'text NOT NULL', 'the industry'),
('fluctuations', 'recent_value', 'numeric NOT NULL', 'sum of amount in the recent window'),
('fluctuations', 'baseline_avg', 'numeric NOT NULL', 'sum of amount in the baseline window, per recent window'),
('fluctuations', 'delta', 'numeric NOT NULL', 'recent_value - baseline_avg'),
('fluctuations', 'delta_pct', 'numeric', '100 * delta / baseline_avg; NULL where the average is 0'),
('fluctuations', 'recent_orders', 'bigint NOT NULL', 'orders in the recent window'),
('fluctuations', 'baseline_orders', 'bigint NOT NULL', 'orders in the baseline window'),
('fluctuations', 'active_days', 'int NOT NULL', 'windows of the baseline, each as long as the recent one, that have orders'),
('fluctuations', 'recent', 'interval NOT NULL', 'option: length of the recent window'),
('fluctuations', 'baseline', 'interval NOT NULL', 'option: length of the baseline window, which ends where the recent one begins'),
('fluctuations', 'measure', 'text NOT NULL', 'option: absolute, relative or zscore'),
('fluctuations', 'direction', 'text NOT NULL', 'option: both, up or down'),
('fluctuations', 'average', 'text NOT NULL', 'option: elapsed or active'),
('fluctuations', 'time_zone', 'text', 'option: whole calendar days of this zone; NULL = rolling windows'),
('fluctuations', 'complete', 'boolean NOT NULL', 'whether all data up to the end of the recent window was there'),
('fluctuations', 'incomplete_reason', 'text', 'what was missing; NULL where complete'),
('fluctuations', 'source_offsets', 'jsonb', 'the streams'' positions in Kafka that the figures rest on; NULL without streams'),
('fluctuations', 'computed_at', 'timestamptz NOT NULL DEFAULT now()', 'start of the transaction that computed it'),

('industry_spend', 'width', 'int NOT NULL', 'length of the bucket in seconds: 60, 3600 or 86400'),
('industry_spend', 'bucket', 'timestamptz NOT NULL', 'beginning of the bucket; minutes, hours and days are those of UTC'),
('industry_spend', 'industry', 'text COLLATE "C" NOT NULL', 'the industry'),
('industry_spend', 'slot', 'smallint NOT NULL', 'tells apart what transactions write at the same time; to be summed over'),
('industry_spend', 'orders', 'bigint NOT NULL', 'orders of the customers of that industry, less those that went again; one slot alone may be negative'),
('industry_spend', 'amount', 'numeric NOT NULL', 'the sum of their amounts'),

('rollup_state', 'valid', 'boolean NOT NULL', 'false: the ranking reads the orders themselves, until fluct.rebuild_rollup()'),
('rollup_state', 'reason', 'text', 'why it is not valid'),
('rollup_state', 'horizon', 'timestamptz', 'buckets before it are frozen, since their orders are gone; NULL = none are')
$$;
COMMENT ON FUNCTION fluct._model_columns() IS 'the columns of the users'' tables, in order';

-- Keys are made with their columns: one that somebody dropped stays dropped,
-- unless its column went too.
CREATE FUNCTION fluct._model_keys(OUT table_name text, OUT key_name text, OUT columns text[], OUT definition text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('industries', 'industries_pkey', '{industry}'::text[], 'PRIMARY KEY (industry)'),
('products', 'products_pkey', '{product_id}', 'PRIMARY KEY (product_id)'),
('customers', 'customers_pkey', '{customer_id}', 'PRIMARY KEY (customer_id)'),
('customer_industries', 'customer_industries_pkey', '{customer_id,industry}', 'PRIMARY KEY (customer_id, industry)'),
('customer_industries', 'customer_industries_customer_id_fkey', '{customer_id}',
 'FOREIGN KEY (customer_id) REFERENCES fluct.customers ON DELETE CASCADE'),
('customer_industries', 'customer_industries_industry_fkey', '{industry}',
 'FOREIGN KEY (industry) REFERENCES fluct.industries ON UPDATE CASCADE ON DELETE RESTRICT'),
('orders', 'orders_pkey', '{order_id}', 'PRIMARY KEY (order_id)'),
('fluctuations', 'fluctuations_pkey', '{report,as_of,industry}', 'PRIMARY KEY (report, as_of, industry)'),
('industry_spend', 'industry_spend_pkey', '{width,bucket,industry,slot}', 'PRIMARY KEY (width, bucket, industry, slot)')
$$;
COMMENT ON FUNCTION fluct._model_keys() IS 'the primary and foreign keys of the users'' tables';

-- order_lines has BRIN only: a btree on order_id more than doubles the cost
-- of ingestion.  Lines arrive nearly in the order of ordered_at, so a range of
-- 128 pages (1 MB, some 7,000 lines) covers a few minutes of orders, and the
-- lines of one order cost the reading of about one range.  Ranges that are not
-- yet summarised are read by every search, so autosummarize keeps their number
-- small between vacuums.  Smaller ranges would only multiply its requests.
-- raw_messages is read by ingested_at, a few minutes of it at a time.
CREATE FUNCTION fluct._model_indexes(OUT table_name text, OUT column_name text, OUT method text, OUT options text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('orders', 'ordered_at', 'btree', ''),
('orders', 'customer_id', 'btree', ''),
('order_lines', 'ordered_at', 'brin', 'WITH (pages_per_range = 128, autosummarize = on)'),
('raw_messages', 'ingested_at', 'brin', 'WITH (pages_per_range = 128, autosummarize = on)')
$$;
COMMENT ON FUNCTION fluct._model_indexes() IS 'the indexes of the users'' tables beside their keys';

CREATE FUNCTION fluct._model_views(OUT view_name text, OUT definition text, OUT comment text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('unattributed_spend', $view$
SELECT CASE WHEN c.customer_id IS NULL THEN 'unknown customer'
            ELSE 'no industry' END AS reason,
       s.customer_id, c.company_name, s.orders, s.amount,
       s.first_order, s.last_order
  FROM (SELECT o.customer_id, count(*) AS orders, sum(o.amount) AS amount,
               min(o.ordered_at) AS first_order,
               max(o.ordered_at) AS last_order
          FROM fluct.orders o
         WHERE NOT EXISTS (SELECT 1 FROM fluct.customer_industries ci
                            WHERE ci.customer_id = o.customer_id)
         GROUP BY o.customer_id) s
  LEFT JOIN fluct.customers c ON c.customer_id = s.customer_id
$view$,
 'Orders that count in no ranking, by customer: the customer is unknown, or has no industry.'),
('latest_fluctuations', $view$
SELECT f.report, f.as_of, f.agg_date, f.rank, f.industry,
       round(f.recent_value, 2) AS recent_value,
       round(f.baseline_avg, 2) AS baseline_avg,
       round(f.delta, 2) AS delta, round(f.delta_pct, 1) AS delta_pct,
       f.recent_orders, f.complete, f.incomplete_reason
  FROM fluct.fluctuations f
  JOIN (SELECT report, max(as_of) AS as_of
          FROM fluct.fluctuations GROUP BY report) l
    ON l.report = f.report AND l.as_of = f.as_of
 WHERE f.rank <= 3
 ORDER BY f.report, f.rank, f.industry COLLATE "C"
$view$,
 'The podium of each report''s newest as_of: rank <= 3, amounts rounded to 2 decimals and percentages to 1.'),
('customer_feed', $view$
SELECT c.customer_id, c.company_name,
       (SELECT string_agg(ci.industry, ';' ORDER BY ci.industry COLLATE "C")
          FROM fluct.customer_industries ci
         WHERE ci.customer_id = c.customer_id) AS specialized_industries
  FROM fluct.customers c
$view$,
 'The customers as load_customers() takes them. INSERT and COPY into it do what load_customers() does, at the end of the statement; the columns go by position.')
$$;
COMMENT ON FUNCTION fluct._model_views() IS 'the views over the users'' tables';

CREATE FUNCTION fluct._model_view_columns(OUT view_name text, OUT column_name text, OUT comment text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('unattributed_spend', 'reason', 'unknown customer, or no industry'),
('unattributed_spend', 'customer_id', 'the customer'),
('unattributed_spend', 'company_name', 'its name; NULL where the customer is unknown'),
('unattributed_spend', 'orders', 'its orders, of all times'),
('unattributed_spend', 'amount', 'their sum'),
('unattributed_spend', 'first_order', 'the oldest one''s ordered_at'),
('unattributed_spend', 'last_order', 'the newest one''s ordered_at'),
('latest_fluctuations', 'report', 'the report'),
('latest_fluctuations', 'as_of', 'its newest time'),
('latest_fluctuations', 'agg_date', 'the day, in the report''s zone or else UTC, in which the recent window ended'),
('latest_fluctuations', 'rank', '1 to 3, shared by ties'),
('latest_fluctuations', 'industry', 'the industry'),
('latest_fluctuations', 'recent_value', 'sum of amount in the recent window, 2 decimals'),
('latest_fluctuations', 'baseline_avg', 'the baseline''s average, 2 decimals'),
('latest_fluctuations', 'delta', 'recent_value - baseline_avg, 2 decimals'),
('latest_fluctuations', 'delta_pct', 'delta in percent of baseline_avg, 1 decimal; NULL where that is 0'),
('latest_fluctuations', 'recent_orders', 'orders in the recent window'),
('latest_fluctuations', 'complete', 'whether all data up to the end of the recent window was there'),
('latest_fluctuations', 'incomplete_reason', 'what was missing; NULL where complete'),
('customer_feed', 'customer_id', 'the key; of two rows of one statement the last wins'),
('customer_feed', 'company_name', 'what people call it'),
('customer_feed', 'specialized_industries', 'its industries, split at ";"; they replace those that it had')
$$;
COMMENT ON FUNCTION fluct._model_view_columns() IS 'the comments of the columns of the views over the users'' tables';

CREATE FUNCTION fluct._model_triggers(OUT table_name text, OUT trigger_name text, OUT definition text, OUT comment text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('orders', 'orders_delete_lines',
 'AFTER DELETE ON fluct.orders REFERENCING OLD TABLE AS old_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_delete_lines()',
 'the lines of deleted orders go with them'),
('orders', 'orders_move_lines',
 'AFTER UPDATE ON fluct.orders REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_move_lines()',
 'the lines follow a changed order_id or ordered_at'),
('orders', 'orders_truncate_lines',
 'AFTER TRUNCATE ON fluct.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_truncate_lines()',
 'the lines go with the orders'),
('customer_feed', 'customer_feed_begin',
 'BEFORE INSERT ON fluct.customer_feed FOR EACH STATEMENT EXECUTE FUNCTION fluct._begin_feed()',
 'makes room for the statement''s rows'),
('customer_feed', 'customer_feed_row',
 'INSTEAD OF INSERT ON fluct.customer_feed FOR EACH ROW EXECUTE FUNCTION fluct._keep_row()',
 'keeps a row until the statement''s end'),
('customer_feed', 'customer_feed_end',
 'AFTER INSERT ON fluct.customer_feed FOR EACH STATEMENT EXECUTE FUNCTION fluct._apply_feed()',
 'brings customers and their industries to what the rows say'),
('orders', 'orders_rollup_exclude',
 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fluct.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()',
 'keeps changes of customers'' industries out until the transaction ends'),
('orders', 'orders_rollup_insert',
 'AFTER INSERT ON fluct.orders REFERENCING NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()',
 'books new orders in industry_spend'),
('orders', 'orders_rollup_update',
 'AFTER UPDATE ON fluct.orders REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()',
 'books changed orders in industry_spend'),
('orders', 'orders_rollup_delete',
 'AFTER DELETE ON fluct.orders REFERENCING OLD TABLE AS old_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()',
 'takes deleted orders out of industry_spend'),
('orders', 'orders_rollup_truncate',
 'AFTER TRUNCATE ON fluct.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()',
 'empties industry_spend'),
('customer_industries', 'customer_industries_rollup_exclude',
 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fluct.customer_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()',
 'keeps changes of orders out until the transaction ends'),
('customer_industries', 'customer_industries_rollup_insert',
 'AFTER INSERT ON fluct.customer_industries REFERENCING NEW TABLE AS new_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()',
 'books the customers'' orders for their new industries'),
('customer_industries', 'customer_industries_rollup_update',
 'AFTER UPDATE ON fluct.customer_industries REFERENCING OLD TABLE AS old_industries NEW TABLE AS new_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()',
 'books the customers'' orders from their old to their new industries'),
('customer_industries', 'customer_industries_rollup_delete',
 'AFTER DELETE ON fluct.customer_industries REFERENCING OLD TABLE AS old_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()',
 'takes the customers'' orders out of their old industries'),
('customer_industries', 'customer_industries_rollup_truncate',
 'AFTER TRUNCATE ON fluct.customer_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()',
 'empties industry_spend'),
('industries', 'industries_rollup_exclude',
 'BEFORE UPDATE OR DELETE ON fluct.industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()',
 'what goes on to customer_industries takes its locks first'),
('customers', 'customers_rollup_exclude',
 'BEFORE DELETE ON fluct.customers FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()',
 'what goes on to customer_industries takes its locks first'),
('industry_spend', 'industry_spend_rollup_guard',
 'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fluct.industry_spend FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_guard()',
 'marks the rollup as not valid where something else than the triggers writes it')
$$;
COMMENT ON FUNCTION fluct._model_triggers() IS 'the triggers on the users'' tables';

-- ---------------------------------------------------------------------------
-- Making what is missing
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._require_tables()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text;
BEGIN
	SELECT string_agg('fluct.' || t.table_name, ', ') INTO missing
	  FROM fluct._model_tables() t
	 WHERE to_regclass('fluct.' || t.table_name) IS NULL;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'the tables of fluct are not there yet'
			USING ERRCODE = 'undefined_table',
			      DETAIL = format('Missing: %s.', missing),
			      HINT = 'SELECT fluct.create_tables()';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._require_tables() IS 'raises undefined_table, with the call that makes them, where a table of the model is missing';

-- Each _make_ function returns the names of what it made.
CREATE FUNCTION fluct._make_tables()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	c record;
	made text[] := '{}';
BEGIN
	FOR t IN
		SELECT m.*, (SELECT string_agg(format('%I %s', d.column_name, d.definition), ', ')
					   FROM fluct._model_columns() d
					  WHERE d.table_name = m.table_name) AS columns
		  FROM fluct._model_tables() m
		 WHERE to_regclass('fluct.' || m.table_name) IS NULL
	LOOP
		EXECUTE format('CREATE TABLE fluct.%I (%s) %s',
					   t.table_name, t.columns, 'PARTITION BY ' || t.partitioned);
		EXECUTE format('COMMENT ON TABLE fluct.%I IS %L', t.table_name, t.comment);
		FOR c IN SELECT * FROM fluct._model_columns() m WHERE m.table_name = t.table_name LOOP
			PERFORM fluct._finish_column(c.table_name, c.column_name, c.comment);
		END LOOP;
		made := made || ('table ' || t.table_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_tables() IS 'makes the missing tables of the model, without keys and indexes';

-- Values stay in the row's page where they fit once compressed: fewer toast
-- chunks.  lz4 where the server was built with it.
CREATE FUNCTION fluct._finish_column(table_name text, column_name text, comment text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('COMMENT ON COLUMN fluct.%I.%I IS %L', table_name, column_name, comment);
	IF table_name = 'industry_spend' AND column_name = 'amount' THEN
		-- room for the new version of a row beside the old one
		ALTER TABLE fluct.industry_spend SET (fillfactor = 80);
	ELSIF table_name = 'raw_messages' AND column_name = 'value' THEN
		ALTER TABLE fluct.raw_messages ALTER COLUMN value SET STORAGE MAIN;
		BEGIN
			ALTER TABLE fluct.raw_messages ALTER COLUMN value SET COMPRESSION lz4;
		EXCEPTION WHEN feature_not_supported THEN
			NULL;
		END;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._finish_column(text, text, text) IS 'gives a new column its comment and storage';

-- A NOT NULL column cannot come back to a table with rows, so it comes back
-- without, and a warning says so.
CREATE FUNCTION fluct._make_columns()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	has_rows boolean;
	made text[] := '{}';
BEGIN
	FOR c IN
		SELECT m.* FROM fluct._model_columns() m
		 WHERE NOT EXISTS (SELECT 1 FROM pg_attribute a
							WHERE a.attrelid = to_regclass('fluct.' || m.table_name)
							  AND a.attname = m.column_name AND NOT a.attisdropped)
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT 1 FROM fluct.%I)', c.table_name) INTO has_rows;
		IF has_rows AND c.definition LIKE '% NOT NULL%' AND c.definition NOT LIKE '% DEFAULT %' THEN
			c.definition := replace(c.definition, ' NOT NULL', '');
			RAISE WARNING 'column fluct.%.% comes back empty, without NOT NULL', c.table_name, c.column_name
				USING ERRCODE = 'not_null_violation',
				      DETAIL = 'The table has rows.',
				      HINT = format('Fill it, then ALTER TABLE fluct.%I ALTER COLUMN %I SET NOT NULL.',
									c.table_name, c.column_name);
		END IF;
		EXECUTE format('ALTER TABLE fluct.%I ADD COLUMN %I %s', c.table_name, c.column_name, c.definition);
		PERFORM fluct._finish_column(c.table_name, c.column_name, c.comment);
		made := made || format('column %s.%s', c.table_name, c.column_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_columns() IS 'adds the missing columns to tables that are there';

CREATE FUNCTION fluct._make_keys(new_things text[])
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k record;
	made text[] := '{}';
BEGIN
	FOR k IN
		SELECT m.* FROM fluct._model_keys() m
		 WHERE ('table ' || m.table_name = ANY (new_things)
				OR EXISTS (SELECT 1 FROM unnest(m.columns) c
							WHERE format('column %s.%s', m.table_name, c) = ANY (new_things)))
		   AND NOT EXISTS (SELECT 1 FROM pg_constraint x
							WHERE x.conrelid = to_regclass('fluct.' || m.table_name)
							  AND (x.conname = m.key_name
								   OR x.contype = 'p' AND m.definition LIKE 'PRIMARY KEY%'))
	LOOP
		BEGIN
			EXECUTE format('ALTER TABLE fluct.%I ADD CONSTRAINT %I %s',
						   k.table_name, k.key_name, k.definition);
			made := made || ('key ' || k.key_name);
		EXCEPTION WHEN integrity_constraint_violation OR invalid_foreign_key THEN
			RAISE WARNING 'key % of fluct.% cannot come back yet', k.key_name, k.table_name
				USING ERRCODE = SQLSTATE, DETAIL = SQLERRM,
				      HINT = format('Mend the rows, then ALTER TABLE fluct.%I ADD CONSTRAINT %I %s.',
									k.table_name, k.key_name, k.definition);
		END;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_keys(text[]) IS 'adds the keys of new tables and columns';

-- An index that serves the same is as good: same method, same first column.
CREATE FUNCTION fluct._make_indexes()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i record;
	made text[] := '{}';
BEGIN
	FOR i IN
		SELECT m.* FROM fluct._model_indexes() m
		 WHERE NOT EXISTS (
			SELECT 1 FROM pg_index x
			  JOIN pg_class ic ON ic.oid = x.indexrelid
			  JOIN pg_am am ON am.oid = ic.relam
			  JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
			 WHERE x.indrelid = to_regclass('fluct.' || m.table_name)
			   AND x.indpred IS NULL AND x.indisvalid
			   AND am.amname = m.method AND a.attname = m.column_name)
	LOOP
		EXECUTE format('CREATE INDEX ON fluct.%I USING %s (%I) %s',
					   i.table_name, i.method, i.column_name, i.options);
		made := made || format('index %s(%s)', i.table_name, i.column_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_indexes() IS 'makes the missing indexes of the model';

CREATE FUNCTION fluct._make_views()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v record;
	c record;
	made text[] := '{}';
BEGIN
	FOR v IN
		SELECT * FROM fluct._model_views() m
		 WHERE to_regclass('fluct.' || m.view_name) IS NULL
	LOOP
		EXECUTE format('CREATE VIEW fluct.%I AS %s', v.view_name, v.definition);
		EXECUTE format('COMMENT ON VIEW fluct.%I IS %L', v.view_name, v.comment);
		FOR c IN SELECT * FROM fluct._model_view_columns() m WHERE m.view_name = v.view_name LOOP
			EXECUTE format('COMMENT ON COLUMN fluct.%I.%I IS %L', c.view_name, c.column_name, c.comment);
		END LOOP;
		made := made || ('view ' || v.view_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_views() IS 'makes the missing views of the model';

CREATE FUNCTION fluct._make_triggers()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	made text[] := '{}';
BEGIN
	FOR t IN
		SELECT m.* FROM fluct._model_triggers() m
		 WHERE NOT EXISTS (SELECT 1 FROM pg_trigger g
							WHERE g.tgrelid = to_regclass('fluct.' || m.table_name)
							  AND g.tgname = m.trigger_name)
	LOOP
		EXECUTE format('CREATE TRIGGER %I %s', t.trigger_name, t.definition);
		EXECUTE format('COMMENT ON TRIGGER %I ON fluct.%I IS %L', t.trigger_name, t.table_name, t.comment);
		made := made || ('trigger ' || t.trigger_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_triggers() IS 'makes the missing triggers of the model';

CREATE FUNCTION fluct.create_tables()
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made text[];
	had_tables boolean := to_regclass('fluct.orders') IS NOT NULL;
BEGIN
	IF NOT has_schema_privilege('fluct', 'CREATE') THEN
		RAISE EXCEPTION 'permission denied to create tables in schema fluct'
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = 'Who calls create_tables() owns the tables.',
			      HINT = format('GRANT USAGE, CREATE ON SCHEMA fluct TO %I', current_user);
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('fluct.create_tables', 0));

	made := fluct._make_tables();
	made := made || fluct._make_columns();
	made := made || fluct._make_keys(made);
	made := made || fluct._make_indexes() || fluct._make_default_partitions();
	IF EXISTS (SELECT 1 FROM fluct._model_partitions() p WHERE 'table ' || p.parent = ANY (made)) THEN
		made := made || ARRAY(SELECT 'partition ' || p.partition
								FROM fluct.maintain_partitions() p
							   WHERE p.action = 'created');
	END IF;
	made := made || fluct._make_views() || fluct._make_triggers();
	PERFORM fluct._judge_rollup(made);

	IF made = '{}' THEN
		RETURN 'nothing was missing';
	ELSIF had_tables THEN
		RETURN 'created ' || concat_ws(', ',
			(SELECT string_agg(m, ', ' ORDER BY n) FROM unnest(made) WITH ORDINALITY u(m, n) WHERE m NOT LIKE 'trigger %\_rollup\_%'),
			(SELECT CASE WHEN count(*) < 3 THEN string_agg(m, ', ') ELSE count(*) || ' triggers of the rollup' END
			   FROM unnest(made) m WHERE m LIKE 'trigger %\_rollup\_%' HAVING count(*) > 0));
	END IF;
	RETURN format('created %s tables and %s partitions, with their keys, indexes, views and triggers',
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'table %'),
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'partition %'));
END
$$;
COMMENT ON FUNCTION fluct.create_tables() IS
'Makes the users'' tables (industries, products, customers, customer_industries, orders, order_lines, raw_messages, fluctuations, and the rollup in industry_spend and rollup_state), owned by the caller, who needs CREATE on schema fluct. Called again it brings missing columns, indexes, default partitions, views and triggers and changes nothing else. Returns what it made. Errors: insufficient_privilege.';

-- ---------------------------------------------------------------------------
-- Lines follow their orders
-- ---------------------------------------------------------------------------
-- order_lines has no index on order_id, so the orders' times lead to the lines:
-- a few times one by one through BRIN, many by their range.  EXECUTE plans with
-- the values at hand and so prunes partitions.  The triggers work with the
-- rights of whoever changes the orders.

CREATE FUNCTION fluct._time_condition(times timestamptz[])
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN cardinality(times) <= 50 THEN 'l.ordered_at = ANY ($1)'
            ELSE 'l.ordered_at BETWEEN $1[1] AND $1[cardinality($1)]' END
$$;
COMMENT ON FUNCTION fluct._time_condition(timestamptz[]) IS 'the condition on order_lines l that finds lines of these times (ascending, given as $1)';

CREATE FUNCTION fluct._orders_delete_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	times timestamptz[];
BEGIN
	times := ARRAY(SELECT DISTINCT ordered_at FROM old_orders ORDER BY 1);
	IF times <> '{}' THEN
		EXECUTE 'DELETE FROM fluct.order_lines l USING old_orders o
				  WHERE l.order_id = o.order_id AND l.ordered_at = o.ordered_at
				    AND ' || fluct._time_condition(times) USING times;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_delete_lines() IS 'trigger on orders: deletes the lines of deleted orders';

-- Which old row became which new one is known by their place: both transition
-- tables get each updated row at the same time, and are read in that order.
CREATE FUNCTION fluct._orders_move_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	times timestamptz[];
BEGIN
	IF NOT EXISTS (SELECT order_id, ordered_at FROM old_orders
				   EXCEPT SELECT order_id, ordered_at FROM new_orders) THEN
		RETURN NULL;
	END IF;
	times := ARRAY(SELECT DISTINCT ordered_at FROM old_orders ORDER BY 1);
	EXECUTE 'UPDATE fluct.order_lines l
				SET order_id = n.order_id, ordered_at = n.ordered_at
			   FROM (SELECT row_number() OVER () AS place, order_id, ordered_at FROM old_orders) o
			   JOIN (SELECT row_number() OVER () AS place, order_id, ordered_at FROM new_orders) n
				 ON n.place = o.place
				AND (n.order_id, n.ordered_at) IS DISTINCT FROM (o.order_id, o.ordered_at)
			  WHERE l.order_id = o.order_id AND l.ordered_at = o.ordered_at
				AND ' || fluct._time_condition(times) USING times;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_move_lines() IS 'trigger on orders: carries the lines to a changed order_id or ordered_at';

-- TRUNCATE orders, order_lines has emptied the lines already, and a second
-- TRUNCATE of a table in use would fail.
CREATE FUNCTION fluct._orders_truncate_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM fluct.order_lines) THEN
		TRUNCATE fluct.order_lines;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_truncate_lines() IS 'trigger on orders: truncates order_lines too';

CREATE TYPE fluct.order_line AS (
	order_id text, line_number int, product_id text, volume int, price numeric, ordered_at timestamptz
);
COMMENT ON TYPE fluct.order_line IS 'a row of fluct.order_lines, as lines_of() returns it';

CREATE FUNCTION fluct.lines_of(order_id text)
RETURNS SETOF fluct.order_line
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY EXECUTE
		'SELECT order_id, line_number, product_id, volume, price, ordered_at
		   FROM fluct.order_lines
		  WHERE order_id = $1 AND ordered_at = $2
		  ORDER BY line_number'
		USING $1, (SELECT o.ordered_at FROM fluct.orders o WHERE o.order_id = $1);
END
$$;
COMMENT ON FUNCTION fluct.lines_of(text) IS
'The lines of one order by line_number, found through the order''s ordered_at (one partition, BRIN). No rows for an unknown order. Errors: undefined_table before create_tables().';

-- ---------------------------------------------------------------------------
-- Partitions
-- ---------------------------------------------------------------------------
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

CREATE FUNCTION fluct._model_partitions(OUT parent text, OUT key_column text, OUT step interval, OUT ahead int, OUT name_format text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('order_lines', 'ordered_at', interval '1 month', 2, '"order_lines_"YYYY_MM'),
('raw_messages', 'ingested_at', interval '1 day', 7, '"raw_messages_"YYYY_MM_DD')
$$;
COMMENT ON FUNCTION fluct._model_partitions() IS 'the partitioned tables: width of a partition, how many are made ahead of the present one, their names';

CREATE FUNCTION fluct._partitions(parent regclass, OUT partition regclass, OUT since timestamptz, OUT until timestamptz, OUT is_default boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
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

CREATE FUNCTION fluct._make_default_partitions()
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
		  JOIN pg_partitioned_table t ON t.partrelid = to_regclass('fluct.' || m.parent)
		 WHERE t.partdefid = 0 AND to_regclass('fluct.' || m.parent || '_default') IS NULL
	LOOP
		EXECUTE format('CREATE TABLE fluct.%I PARTITION OF fluct.%I DEFAULT', p.name, p.parent);
		EXECUTE format('COMMENT ON TABLE fluct.%I IS %L', p.name,
					   format('Rows of fluct.%s that have no partition yet; fluct.maintain_partitions() moves them.', p.parent));
		made := made || ('partition ' || p.name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_default_partitions() IS 'makes the missing default partitions, so that no row is refused for its date';

-- NULL: the partition may be made.  '': there is nothing to do.
CREATE FUNCTION fluct._partition_obstacle(parent regclass, name text, since timestamptz, until timestamptz)
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
	ELSIF to_regclass(format('fluct.%I', name)) IS NOT NULL THEN
		RETURN format('fluct.%I is there, but no partition of %s', name, parent);
	ELSIF NOT pg_has_role(rel.relowner, 'USAGE') THEN
		RETURN format('%I does not own %s', current_user, parent);
	ELSIF NOT has_schema_privilege('fluct', 'CREATE') THEN
		RETURN format('%I may not create tables in schema fluct', current_user);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._partition_obstacle(regclass, text, timestamptz, timestamptz) IS
'what is in the way of a partition for [since, until): NULL = nothing, empty = its range is covered already';

CREATE FUNCTION fluct._move_from_default(default_partition regclass, target text, key_column text, since timestamptz, until timestamptz)
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
					INSERT INTO fluct.%2$I (%4$s) SELECT %4$s FROM moved',
				   default_partition, target, key_column, columns)
		USING since, until;
	GET DIAGNOSTICS moved = ROW_COUNT;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION fluct._move_from_default(regclass, text, text, timestamptz, timestamptz) IS
'moves the rows of [since, until) from the default partition into a table that is to be attached; returns their number';

CREATE FUNCTION fluct._attach_partition(parent regclass, name text, key_column text, since timestamptz, until timestamptz)
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
		EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %1$s WHERE %2$I >= $1 AND %2$I < $2)',
					   default_partition, key_column)
			INTO alone USING since, until;
		IF alone THEN
			EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', parent);
		END IF;
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', default_partition);
	END IF;
	EXECUTE format('CREATE TABLE fluct.%I (LIKE %s INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS)%s',
				   name, parent,
				   (SELECT format(' TABLESPACE %I', t.spcname) FROM pg_class c
					  JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = parent));
	EXECUTE format('ALTER TABLE fluct.%I OWNER TO %s', name,
				   (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = parent));
	IF default_partition IS NOT NULL THEN
		moved := fluct._move_from_default(default_partition, name, key_column, since, until);
	END IF;
	IF moved > 0 AND NOT alone THEN
		RAISE lock_not_available;	-- they came since it was asked
	END IF;
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION fluct.%I FOR VALUES FROM (%L) TO (%L)',
				   parent, name, since, until);
	RETURN moved;
END
$$;
COMMENT ON FUNCTION fluct._attach_partition(regclass, text, text, timestamptz, timestamptz) IS
'makes the partition for [since, until) and moves its rows from the default partition; returns their number';

CREATE FUNCTION fluct._make_partition(parent regclass, name text, key_column text, since timestamptz, until timestamptz,
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
CREATE FUNCTION fluct._waiting_steps(parent regclass, key_column text, step interval)
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

CREATE FUNCTION fluct.maintain_partitions(OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	m record;
	t timestamptz;
BEGIN
	PERFORM fluct._require_tables();
	FOR m IN SELECT *, to_regclass('fluct.' || x.parent) AS rel,
					CASE WHEN x.step = '1 day' THEN 'day' ELSE 'month' END AS unit
			   FROM fluct._model_partitions() x
	LOOP
		FOR t IN
			SELECT s FROM generate_series(date_trunc(m.unit, now()),
										  date_trunc(m.unit, now()) + m.ahead * m.step, m.step) s
			UNION
			SELECT s FROM fluct._waiting_steps(m.rel, m.key_column, m.step) s
			ORDER BY 1
		LOOP
			SELECT p.* INTO partition, action, rows_moved, detail
			  FROM fluct._make_partition(m.rel, to_char(t, m.name_format), m.key_column, t, t + m.step) p;
			IF action IS NOT NULL THEN
				RETURN NEXT;
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct.maintain_partitions() IS
'Makes the partitions of order_lines (this month and the next 2) and raw_messages (today and the next 7 days), and those for rows that wait in a default partition, which it moves. Called by the tables'' owner; a lock that is not to be had within 1 s is skipped. Returns a row for each partition created or skipped. All bounds are UTC.';

CREATE FUNCTION fluct.ensure_partitions(since timestamptz, until timestamptz, OUT partition text, OUT action text, OUT rows_moved bigint, OUT detail text)
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
		  FROM fluct._make_partition('fluct.order_lines', to_char(t, '"order_lines_"YYYY_MM'), 'ordered_at', t, t + interval '1 month') p;
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
COMMENT ON FUNCTION fluct.ensure_partitions(timestamptz, timestamptz) IS
'Makes the partitions of order_lines for the months (UTC) of since to until, both included, at most the newest 240; to be called before history is loaded. Returns a row for each partition created or skipped. Errors: invalid_parameter_value, undefined_table.';
