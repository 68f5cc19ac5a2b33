-- The extension comes, and goes.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS fluct CASCADE;
RESET client_min_messages;
CREATE EXTENSION fluct;
SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'fluct';
-- schema fluct is its own, and closed
SELECT pg_describe_object(refclassid, refobjid, 0) AS belongs_to FROM pg_depend WHERE classid = 'pg_namespace'::regclass AND objid = 'fluct'::regnamespace AND deptype = 'e';
SELECT n.nspacl FROM pg_namespace n WHERE n.nspname = 'fluct';
-- a backslash means itself, whatever the session has set
SELECT p.oid::regprocedure AS reads_escapes
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'fluct'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND strpos(p.prosrc, E'\\') > 0
   AND NOT coalesce(p.proconfig @> '{standard_conforming_strings=on}', false);
DROP EXTENSION fluct;
SELECT to_regnamespace('fluct');
-- so it does where strings hold escapes, which PostgreSQL 19 no longer has
SELECT set_config('standard_conforming_strings', 'off', false) WHERE current_setting('server_version_num')::int < 190000 \g /dev/null
CREATE EXTENSION fluct;
RESET standard_conforming_strings;
SELECT obj_description('fluct._printable(text)'::regprocedure, 'pg_proc');
-- with all names quoted, an error still has no list of our functions
SET quote_all_identifiers = on;
SELECT FROM fluct.sample_customers(-1);
RESET quote_all_identifiers;
DROP EXTENSION fluct;
-- one that is there already is none of its own (from 18 on, the error has a context)
\set SHOW_CONTEXT never
CREATE SCHEMA fluct;
CREATE EXTENSION fluct;
DROP SCHEMA fluct;
