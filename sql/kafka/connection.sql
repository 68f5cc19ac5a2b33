-- connection.sql: who calls, and what the processes behind the connections are told.
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

CREATE OR REPLACE FUNCTION fluct._announce_change() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_announce_change';
COMMENT ON FUNCTION fluct._announce_change() IS
'Wakes the launcher and all stream workers once this transaction has committed.';

CREATE OR REPLACE FUNCTION fluct._preloaded() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_preloaded';
COMMENT ON FUNCTION fluct._preloaded() IS
'Whether fluct is in shared_preload_libraries, so that streams can run.';
