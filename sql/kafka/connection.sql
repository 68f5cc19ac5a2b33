-- connection.sql: who calls, and what is announced to the processes.
--
-- Servers and user mappings hold the connections to Kafka; their wrapper is in
-- tables/kafka.sql.

CREATE OR REPLACE FUNCTION fluct._caller() RETURNS oid
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_caller';
COMMENT ON FUNCTION fluct._caller() IS
'The role that called the public function whose underscored sibling is running; NULL outside of one.';

CREATE OR REPLACE FUNCTION fluct._check_server_owner(server text, owner oid) RETURNS void
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'fluct_check_server_owner';
COMMENT ON FUNCTION fluct._check_server_owner(text, oid) IS
'Raises insufficient_privilege where the role has a user mapping for the server, which is sent only if the server belongs to that role itself or to a superuser. Workers check the same at each connection.';

CREATE OR REPLACE FUNCTION fluct._announce_event(kind text, name text, state text, as_of timestamptz) RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_sql_announce_event';
COMMENT ON FUNCTION fluct._announce_event(text, text, text, timestamptz) IS
'once this transaction has committed, the launcher sends NOTIFY fluct_events: kind is state or podium, name a stream or a report; state may be NULL';

CREATE OR REPLACE FUNCTION fluct._announce_change(message text DEFAULT NULL, detail text DEFAULT NULL) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_announce_change';
COMMENT ON FUNCTION fluct._announce_change(text, text) IS
'Wakes the launchers and all stream workers once this transaction has committed, and writes the message, if there is one, to the server''s log.';

CREATE OR REPLACE FUNCTION fluct._served() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_served';
COMMENT ON FUNCTION fluct._served() IS
'Whether this database is in fluct.database, so that its streams run.';

CREATE OR REPLACE FUNCTION fluct._launch_obstacle() RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_launch_obstacle';
COMMENT ON FUNCTION fluct._launch_obstacle() IS
'Why no streams of this database run: not_preloaded, database_not_listed; NULL where they do.';

CREATE OR REPLACE FUNCTION fluct._preloaded() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_preloaded';
COMMENT ON FUNCTION fluct._preloaded() IS
'Whether fluct is in shared_preload_libraries, so that streams can run.';
