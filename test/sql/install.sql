-- The extension comes, and goes.
CREATE EXTENSION fluct;
SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'fluct';
DROP EXTENSION fluct;
