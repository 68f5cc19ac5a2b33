-- locks.sql: fluct's own locks (src/pg/lock.c), for the extension's owner alone.

CREATE OR REPLACE FUNCTION fluct._lock(class text, key text) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_sql_lock';
COMMENT ON FUNCTION fluct._lock(text, text) IS
'takes a lock until the end of the transaction; class is directory, inbox, load, positions, report, run, stream or tables';

CREATE OR REPLACE FUNCTION fluct._lock_shared(class text, key text) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_sql_lock_shared';
COMMENT ON FUNCTION fluct._lock_shared(text, text) IS '_lock, beside others who take it in this way';

CREATE OR REPLACE FUNCTION fluct._try_lock(class text, key text) RETURNS boolean
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_sql_try_lock';
COMMENT ON FUNCTION fluct._try_lock(text, text) IS '_lock without waiting; false when somebody else has it';
