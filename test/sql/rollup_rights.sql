-- The rollup's triggers: with whose rights they read and write, and what they
-- make of a table that is not what create_tables() made.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET client_min_messages = warning;
\o /dev/null
SELECT fluct.create_tables();
\o
INSERT INTO sales.industries VALUES ('Food');
INSERT INTO sales.customers VALUES ('a');
INSERT INTO sales.customer_industries VALUES ('a', 'Food');

-- what the rollup's own tables refuse is not the order's fault: class 55
ALTER TABLE sales.industry_spend ADD CONSTRAINT none CHECK (orders < 0);
INSERT INTO sales.orders VALUES ('1', 'a', 1, '2026-01-01');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE sales.industry_spend DROP CONSTRAINT none;
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'no' USING HINT = 'Do not.', ERRCODE = 'check_violation'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON sales.industry_spend FOR EACH ROW EXECUTE FUNCTION public.refuse();
INSERT INTO sales.orders VALUES ('1', 'a', 1, '2026-01-01');
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER refuse ON sales.industry_spend;
DROP FUNCTION public.refuse();
INSERT INTO sales.orders VALUES ('1', 'a', 1, '2026-01-01');
SELECT count(*) FROM fluct.verify_rollup();

-- what may pass keeps its class
SET statement_timeout = '100 ms';
CREATE FUNCTION public.sleep() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_sleep(60); RETURN NEW; END$$;
CREATE TRIGGER sleep BEFORE INSERT ON sales.industry_spend FOR EACH ROW EXECUTE FUNCTION public.sleep();
INSERT INTO sales.orders VALUES ('2', 'a', 1, '2026-01-01');
\echo :LAST_ERROR_SQLSTATE
RESET statement_timeout;
DROP TRIGGER sleep ON sales.industry_spend;
DROP FUNCTION public.sleep();

-- a table of somebody else's is neither read nor written
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_other;
GRANT USAGE, CREATE ON SCHEMA sales TO regress_fluct_other;
ALTER TABLE sales.customer_industries OWNER TO regress_fluct_other;
SET SESSION AUTHORIZATION regress_etl;
INSERT INTO sales.orders VALUES ('2', 'a', 1, '2026-01-01');
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
ALTER TABLE sales.customer_industries OWNER TO regress_etl;
ALTER TABLE sales.rollup_state OWNER TO regress_fluct_other;
SET SESSION AUTHORIZATION regress_etl;
INSERT INTO sales.orders VALUES ('2', 'a', 1, '2026-01-01');
TRUNCATE sales.orders;
RESET SESSION AUTHORIZATION;
ALTER TABLE sales.rollup_state OWNER TO regress_etl;

-- nor is what only looks like one
SET SESSION AUTHORIZATION regress_etl;
BEGIN;
ALTER TABLE sales.customer_industries RENAME TO kept;
CREATE VIEW sales.customer_industries AS SELECT * FROM sales.kept;
INSERT INTO sales.orders VALUES ('2', 'a', 1, '2026-01-01');
ROLLBACK;
BEGIN;
ALTER TABLE sales.orders RENAME TO kept;
CREATE TABLE sales.orders (LIKE sales.kept) PARTITION BY LIST (order_id);
DELETE FROM sales.customer_industries;
ROLLBACK;
INSERT INTO sales.orders VALUES ('2', 'a', 1, '2026-01-01');
SELECT count(*) FROM fluct.verify_rollup();

RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_fluct_other;
DROP ROLE regress_fluct_other;
