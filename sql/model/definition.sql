-- definition.sql: the users' tables, made by fluct.create_tables().
--
-- They are ordinary tables, not members of the extension: so that they can be
-- altered and indexed, that pg_dump carries what was changed, and that DROP
-- EXTENSION ... CASCADE leaves the orders.  What the model consists of stands
-- in the _model_* functions below, one row a thing; create_tables() makes what
-- is missing of it and changes nothing that is there.

CREATE OR REPLACE FUNCTION fluct._model_tables(OUT table_name text, OUT partitioned text, OUT comment text)
RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
RETURN QUERY VALUES
('industries', NULL,
 'The known industries. An order counts for each industry of its customer; each one listed here has a row in every ranking.'),
('products', NULL,
 'The products. Names repeat, ids do not.'),
('customers', NULL,
 'The customers. company_name is not a key: two customers may share a name.'),
('customer_industries', NULL,
 'Which customer works in which industries, many to many. A customer without a row here counts in no ranking.'),
('orders', NULL,
 'The orders, one row each. An order may come before its customer, so customer_id is not a foreign key. DELETE, TRUNCATE, and an UPDATE of order_id or ordered_at carry the rows of order_lines along.'),
('order_lines', 'RANGE (ordered_at)',
 'The lines of the orders, about 50 each; partitioned by month of ordered_at (UTC). It has no btree index: fluct.lines_of(order_id) finds the lines of one order.'),
('raw_messages', 'RANGE (ingested_at)',
 'Each message exactly as it came from Kafka; partitioned by day of ingested_at (UTC).'),
('fluctuations', NULL,
 'What fluct.record_fluctuations() stored: one row for each report, time and industry, with the options it was computed with. The podium is rank <= 3 and score > 0.'),
('industry_spend', NULL,
 'The rollup: orders and their sum per industry and bucket of a minute, an hour and a day (UTC), kept by triggers on orders and customer_industries in the transaction that changes those. Add up the slots. Not to be written by hand; fluct.verify_rollup() compares, fluct.rebuild_rollup() repairs.'),
('rollup_state', NULL,
 'Whether the rollup can be read; its lock keeps changes of orders and of customers'' industries apart.');
END
$$;
COMMENT ON FUNCTION fluct._model_tables() IS 'the users'' tables, in the order in which they are made';

CREATE OR REPLACE FUNCTION fluct._model_columns(OUT table_name text, OUT column_name text, OUT definition text, OUT comment text)
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
('customer_industries', 'industry', 'text NOT NULL', 'one of sales.industries; renamed with it, and keeps it from being deleted'),

('orders', 'order_id', 'text NOT NULL', 'the key; an order that comes twice is stored once'),
('orders', 'customer_id', 'text NOT NULL', 'who ordered; perhaps not yet in sales.customers'),
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
('fluctuations', 'score', 'numeric', 'what ranks: |delta|, |delta_pct| or |z|, as measure says; NULL where that is undefined'),
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
('rollup_state', 'horizon', 'timestamptz', 'buckets before it are frozen, since their orders are gone; NULL = none are'),
('rollup_state', 'links', 'bigint', 'a digest of customer_industries, by which members are compared; NULL = not known')
$$;
COMMENT ON FUNCTION fluct._model_columns() IS 'the columns of the users'' tables, in order';

-- Keys are made with their columns: one that somebody dropped stays dropped,
-- unless its column went too.
CREATE OR REPLACE FUNCTION fluct._model_keys(OUT table_name text, OUT key_name text, OUT columns text[], OUT definition text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
VALUES
('industries', 'industries_pkey', '{industry}'::text[], 'PRIMARY KEY (industry)'),
('products', 'products_pkey', '{product_id}', 'PRIMARY KEY (product_id)'),
('customers', 'customers_pkey', '{customer_id}', 'PRIMARY KEY (customer_id)'),
('customer_industries', 'customer_industries_pkey', '{customer_id,industry}', 'PRIMARY KEY (customer_id, industry)'),
('customer_industries', 'customer_industries_customer_id_fkey', '{customer_id}',
 'FOREIGN KEY (customer_id) REFERENCES sales.customers ON DELETE CASCADE'),
('customer_industries', 'customer_industries_industry_fkey', '{industry}',
 'FOREIGN KEY (industry) REFERENCES sales.industries ON UPDATE CASCADE ON DELETE RESTRICT'),
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
CREATE OR REPLACE FUNCTION fluct._model_indexes(OUT table_name text, OUT column_name text, OUT method text, OUT options text)
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

CREATE OR REPLACE FUNCTION fluct._model_views(OUT view_name text, OUT definition text, OUT comment text)
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
          FROM sales.orders o
         WHERE NOT EXISTS (SELECT 1 FROM sales.customer_industries ci
                            WHERE ci.customer_id = o.customer_id)
         GROUP BY o.customer_id) s
  LEFT JOIN sales.customers c ON c.customer_id = s.customer_id
 ORDER BY s.amount DESC, s.customer_id
$view$,
 'Orders that count in no ranking, by customer, the largest sum first: the customer is unknown, or has no industry.'),
('latest_fluctuations', $view$
SELECT f.report, f.as_of, f.agg_date, f.rank, f.industry,
       round(f.recent_value, 2) AS recent_value,
       round(f.baseline_avg, 2) AS baseline_avg,
       round(f.delta, 2) AS delta, round(f.delta_pct, 1) AS delta_pct,
       f.recent_orders, f.complete, f.incomplete_reason
  FROM sales.fluctuations f
  JOIN (SELECT report, max(as_of) AS as_of
          FROM sales.fluctuations GROUP BY report) l
    ON l.report = f.report AND l.as_of = f.as_of
 WHERE f.rank <= 3 AND f.score > 0
 ORDER BY f.report, f.rank, f.industry COLLATE "C"
$view$,
 'The podium of each report''s newest as_of: rank <= 3 and score > 0, amounts rounded to 2 decimals and percentages to 1.'),
('podium_today', $view$
SELECT * FROM fluct._podium_1()
$view$,
 'podium(): the industries that fluctuated most in the last 24 hours, for tools that read views.'),
('fluctuation_history', $view$
SELECT * FROM fluct._fluctuation_history_1()
$view$,
 'All that record_fluctuations() stored: every industry, report and as_of, amounts rounded to 2 decimals and percentages to 1.'),
('customer_feed', $view$
SELECT c.customer_id, c.company_name,
       (SELECT string_agg(ci.industry, ';' ORDER BY ci.industry COLLATE "C")
          FROM sales.customer_industries ci
         WHERE ci.customer_id = c.customer_id) AS specialized_industries
  FROM sales.customers c
$view$,
 'The customers as load_customers() takes them. INSERT and COPY into it do what load_customers() does, at the end of the statement; the columns go by position.')
$$;
COMMENT ON FUNCTION fluct._model_views() IS 'the views over the users'' tables';

CREATE OR REPLACE FUNCTION fluct._model_view_columns(OUT view_name text, OUT column_name text, OUT comment text)
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
('podium_today', 'rank', 'place in the ranking, shared by ties'),
('podium_today', 'industry', 'the industry'),
('podium_today', 'recent_value', 'sum of amount in the last 24 hours, 2 decimals'),
('podium_today', 'baseline_avg', 'daily average of the 30 days before, 2 decimals'),
('podium_today', 'delta', 'recent_value - baseline_avg, 2 decimals'),
('podium_today', 'delta_pct', 'delta in percent of baseline_avg, 1 decimal; NULL where that is 0'),
('podium_today', 'recent_orders', 'orders in the last 24 hours'),
('podium_today', 'complete', 'whether all data of the windows was there'),
('fluctuation_history', 'report', 'the report; its options are in fluct.reports'),
('fluctuation_history', 'as_of', 'the time it was computed for; the recent window ends here, excluded'),
('fluctuation_history', 'agg_date', 'the day, in the report''s zone or else UTC, in which the recent window ended'),
('fluctuation_history', 'rank', 'place in the ranking, shared by ties; NULL where the report''s options leave the industry out'),
('fluctuation_history', 'on_podium', 'rank <= 3 and a score above 0'),
('fluctuation_history', 'industry', 'the industry'),
('fluctuation_history', 'recent_value', 'sum of amount in the recent window, 2 decimals'),
('fluctuation_history', 'baseline_avg', 'the baseline''s average, 2 decimals'),
('fluctuation_history', 'delta', 'recent_value - baseline_avg, 2 decimals'),
('fluctuation_history', 'delta_pct', 'delta in percent of baseline_avg, 1 decimal; NULL where that is 0'),
('fluctuation_history', 'recent_orders', 'orders in the recent window'),
('fluctuation_history', 'complete', 'whether all data of the windows was there'),
('fluctuation_history', 'incomplete_reason', 'what was missing; NULL where complete'),
('customer_feed', 'customer_id', 'the key; of two rows of one statement the last wins'),
('customer_feed', 'company_name', 'what people call it'),
('customer_feed', 'specialized_industries', 'its industries, split at ";"; they replace those that it had')
$$;
COMMENT ON FUNCTION fluct._model_view_columns() IS 'the comments of the columns of the views over the users'' tables';

-- NEVER: PostgreSQL lets no table become a partition or an inheritor that has a
-- row trigger with a transition table, a disabled one included.
CREATE OR REPLACE FUNCTION fluct._model_triggers(OUT table_name text, OUT trigger_name text, OUT definition text, OUT fires text, OUT comment text)
RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
RETURN QUERY VALUES
('orders', 'orders_delete_lines',
 'AFTER DELETE ON sales.orders REFERENCING OLD TABLE AS old_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_delete_lines()', 'ORIGIN',
 'the lines of deleted orders go with them'),
('orders', 'orders_move_lines',
 'AFTER UPDATE ON sales.orders REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_move_lines()', 'ORIGIN',
 'the lines follow a changed order_id or ordered_at'),
('orders', 'orders_truncate_lines',
 'AFTER TRUNCATE ON sales.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_truncate_lines()', 'ORIGIN',
 'the lines go with the orders'),
('customer_feed', 'customer_feed_row',
 'INSTEAD OF INSERT ON sales.customer_feed FOR EACH ROW EXECUTE FUNCTION fluct._keep_row()', 'ORIGIN',
 'keeps a row until the statement''s end'),
('customer_feed', 'customer_feed_end',
 'AFTER INSERT ON sales.customer_feed FOR EACH STATEMENT EXECUTE FUNCTION fluct._apply_feed()', 'ORIGIN',
 'brings customers and their industries to what the rows say'),
('orders', 'orders_rollup_exclude',
 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON sales.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()', 'ALWAYS',
 'keeps changes of customers'' industries out until the transaction ends'),
('orders', 'orders_rollup_insert',
 'AFTER INSERT ON sales.orders REFERENCING NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()', 'ALWAYS',
 'books new orders in industry_spend'),
('orders', 'orders_rollup_update',
 'AFTER UPDATE ON sales.orders REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()', 'ALWAYS',
 'books changed orders in industry_spend'),
('orders', 'orders_rollup_delete',
 'AFTER DELETE ON sales.orders REFERENCING OLD TABLE AS old_orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()', 'ALWAYS',
 'takes deleted orders out of industry_spend'),
('orders', 'orders_rollup_truncate',
 'AFTER TRUNCATE ON sales.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_orders()', 'ALWAYS',
 'empties industry_spend'),
('orders', 'orders_rollup_row',
 'AFTER INSERT OR UPDATE OR DELETE ON sales.orders FOR EACH ROW EXECUTE FUNCTION fluct._rollup_order_row()', 'REPLICA',
 'books in industry_spend what logical replication applies'),
('orders', 'orders_stands_alone',
 'AFTER DELETE ON sales.orders REFERENCING OLD TABLE AS old_orders FOR EACH ROW EXECUTE FUNCTION fluct._rollup_order_row()', 'NEVER',
 'keeps the table from becoming a partition or an inheritor, whose rows can change without its triggers'),
('customer_industries', 'customer_industries_rollup_exclude',
 'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON sales.customer_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()', 'ALWAYS',
 'keeps changes of orders out until the transaction ends'),
('customer_industries', 'customer_industries_rollup_insert',
 'AFTER INSERT ON sales.customer_industries REFERENCING NEW TABLE AS new_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()', 'ALWAYS',
 'books the customers'' orders for their new industries'),
('customer_industries', 'customer_industries_rollup_update',
 'AFTER UPDATE ON sales.customer_industries REFERENCING OLD TABLE AS old_industries NEW TABLE AS new_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()', 'ALWAYS',
 'books the customers'' orders from their old to their new industries'),
('customer_industries', 'customer_industries_rollup_delete',
 'AFTER DELETE ON sales.customer_industries REFERENCING OLD TABLE AS old_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()', 'ALWAYS',
 'takes the customers'' orders out of their old industries'),
('customer_industries', 'customer_industries_rollup_truncate',
 'AFTER TRUNCATE ON sales.customer_industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_industries()', 'ALWAYS',
 'empties industry_spend'),
('customer_industries', 'customer_industries_rollup_row',
 'AFTER INSERT OR UPDATE OR DELETE ON sales.customer_industries FOR EACH ROW EXECUTE FUNCTION fluct._rollup_industry_row()', 'REPLICA',
 'books in industry_spend what logical replication applies'),
('customer_industries', 'customer_industries_stands_alone',
 'AFTER DELETE ON sales.customer_industries REFERENCING OLD TABLE AS old_industries FOR EACH ROW EXECUTE FUNCTION fluct._rollup_industry_row()', 'NEVER',
 'keeps the table from becoming a partition or an inheritor, whose rows can change without its triggers'),
('industries', 'industries_rollup_exclude',
 'BEFORE UPDATE OR DELETE ON sales.industries FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()', 'ORIGIN',
 'what goes on to customer_industries takes its locks first'),
('customers', 'customers_rollup_exclude',
 'BEFORE DELETE ON sales.customers FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_exclude()', 'ORIGIN',
 'what goes on to customer_industries takes its locks first'),
('industry_spend', 'industry_spend_rollup_guard',
 'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sales.industry_spend FOR EACH STATEMENT EXECUTE FUNCTION fluct._rollup_guard()', 'ALWAYS',
 'marks the rollup as not valid where something else than the triggers writes it'),
('industry_spend', 'industry_spend_rollup_skip',
 'BEFORE INSERT OR UPDATE OR DELETE ON sales.industry_spend FOR EACH ROW EXECUTE FUNCTION fluct._rollup_skip_row()', 'REPLICA',
 'skips the rows of another server''s rollup that logical replication applies');
END
$$;
COMMENT ON FUNCTION fluct._model_triggers() IS 'the triggers on the users'' tables; fires: by session_replication_role, ORIGIN, REPLICA or ALWAYS; or NEVER';
