-- kafka.sql: the wrapper whose servers and user mappings hold the connections to Kafka.

CREATE OR REPLACE FUNCTION fluct.kafka_options_validator(options text[], catalog oid)
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_options_validator';
COMMENT ON FUNCTION fluct.kafka_options_validator(text[], oid) IS
'Checks the options of servers and user mappings of fluct_kafka: an allow-list of librdkafka''s names with _ for . and a syntax for each value.';

CREATE FOREIGN DATA WRAPPER fluct_kafka
	NO HANDLER VALIDATOR fluct.kafka_options_validator;
COMMENT ON FOREIGN DATA WRAPPER fluct_kafka IS
'Connections to Kafka: CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers ''host:9092''). It has no foreign tables.';

-- A server that a stream needs stays.  Streams are rows, which pg_depend does
-- not know, hence an event trigger.
CREATE OR REPLACE FUNCTION fluct._keep_servers_of_streams() RETURNS event_trigger
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct._keep_servers_of_streams() IS
'Event trigger: refuses DROP SERVER while a stream or a member uses the server.';

CREATE OR REPLACE FUNCTION fluct.__keep_servers_of_streams() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	used record;
BEGIN
	SELECT u.* INTO used
	FROM pg_event_trigger_dropped_objects() d
	JOIN (SELECT 'stream', s.name, s.server, 'drop_stream' FROM fluct.streams s
		UNION ALL SELECT 'member', m.name, m.server, 'remove_member' FROM fluct.members m) u(kind, name, server, remedy)
		ON u.server = d.object_name OR quote_ident(u.server) = d.object_identity
	WHERE d.object_type = 'server'
		AND NOT EXISTS (SELECT FROM pg_foreign_server f WHERE f.srvname = u.server)
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('server "%s" is used by %s "%s"', used.server, used.kind, used.name),
			HINT = format('SELECT fluct.%s(%L);', used.remedy, used.name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__keep_servers_of_streams() IS '_keep_servers_of_streams, without a context';

-- Workers look at once whether what they connected with is still so.
CREATE OR REPLACE FUNCTION fluct._announce_connections() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._announce_change();
END
$$;
COMMENT ON FUNCTION fluct._announce_connections() IS
'Event trigger: wakes the stream workers when a server or a user mapping was changed.';

CREATE OR REPLACE FUNCTION fluct._follow_server() RETURNS event_trigger
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'fluct_follow_server';
COMMENT ON FUNCTION fluct._follow_server() IS
'Event trigger: streams and members follow a server that is renamed.';

CREATE OR REPLACE FUNCTION fluct._rename_server(before text, after text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stream text;
BEGIN
	UPDATE fluct.members m SET server = after WHERE m.server = before;
	FOR stream IN
		UPDATE fluct.streams s SET server = after, version = s.version + 1, changed_at = clock_timestamp()
		 WHERE s.server = before RETURNING s.name
	LOOP
		PERFORM fluct._announce_change(format('stream "%s" was altered by role "%s"', stream, session_user), 'Its server was renamed.');
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._rename_server(text, text) IS 'what _follow_server does';

CREATE EVENT TRIGGER fluct_announce_connections ON ddl_command_end
	WHEN TAG IN ('ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING', 'DROP USER MAPPING', 'DROP OWNED')
	EXECUTE FUNCTION fluct._announce_connections();

CREATE EVENT TRIGGER fluct_follow_servers ON ddl_command_end
	WHEN TAG IN ('ALTER SERVER')
	EXECUTE FUNCTION fluct._follow_server();

CREATE EVENT TRIGGER fluct_keep_servers ON sql_drop
	WHEN TAG IN ('DROP SERVER')
	EXECUTE FUNCTION fluct._keep_servers_of_streams();
