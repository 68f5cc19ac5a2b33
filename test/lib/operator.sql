\set ECHO none
-- The extension anew, and an operator with a schema of its own, as whom the
-- session goes on; RESET SESSION AUTHORIZATION makes it the superuser again.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS fluct CASCADE;
DROP SCHEMA IF EXISTS sales CASCADE;
SELECT count(*) = 0 AS new_role FROM pg_roles WHERE rolname = 'regress_etl' \gset
\if :new_role
CREATE ROLE regress_etl LOGIN;
\endif
CREATE EXTENSION fluct;
SELECT FROM fluct.grant_operator('regress_etl') \g /dev/null
CREATE SCHEMA sales AUTHORIZATION regress_etl;
GRANT CREATE ON SCHEMA public TO regress_etl;
SET SESSION AUTHORIZATION regress_etl;
RESET client_min_messages;
\set ECHO all
