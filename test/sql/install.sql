-- The extension comes, and goes.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS fluct CASCADE;
RESET client_min_messages;
CREATE EXTENSION fluct;
SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'fluct';
DROP EXTENSION fluct;
