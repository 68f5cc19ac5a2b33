-- streams.sql: what is wrong with streams, for the view health.
--
-- Each function of this folder is one of the checks of _health(), runs with the
-- rights of the extension's owner, asks nobody outside of the server, and reads
-- bookkeeping and catalogs: no table of a user's.

CREATE OR REPLACE FUNCTION fluct._remedy_format(reason text, about text[], kill text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT CASE reason
	WHEN 'in_recovery' THEN NULL
	WHEN 'switched_off' THEN 'ALTER SYSTEM SET fluct.enabled = on; SELECT pg_reload_conf();'
	WHEN 'database_not_listed' THEN 'SELECT fluct.start_stream(%1$L); says which line to change.'
	WHEN 'not_preloaded' THEN 'SELECT fluct.start_stream(%1$L); says which lines to add to postgresql.conf.'
	WHEN 'restored_elsewhere' THEN 'If the stream is to run here, and no longer where it ran: SELECT fluct.start_stream(%1$L);'
	WHEN 'waiting_for_lock' THEN coalesce('End the transaction that holds the lock: ' || kill,
		'SELECT gid, prepared, owner FROM pg_prepared_xacts; then COMMIT PREPARED or ROLLBACK PREPARED.')
	WHEN 'open_transaction' THEN 'kafka-transactions.sh find-hanging shows the producer; Kafka aborts its transaction in the end.'
	WHEN 'stalled' THEN 'SELECT pid, wait_event_type, wait_event FROM pg_stat_activity WHERE backend_type = ''fluct stream worker'';'
	WHEN 'node_unreachable' THEN 'Start the server that detail names; the stream goes on by itself.'
	WHEN 'broker_unreachable' THEN 'Start the brokers, or: ALTER SERVER %2$I OPTIONS (SET bootstrap_servers %6$L);'
	WHEN 'dns_failure' THEN 'Correct the name resolution, or: ALTER SERVER %2$I OPTIONS (SET bootstrap_servers %6$L);'
	WHEN 'broker_not_allowed' THEN 'Add the broker to fluct.allowed_brokers, or correct advertised.listeners of the broker.'
	WHEN 'tls_failure' THEN 'Correct ssl_ca_pem, certificates or security_protocol; SELECT * FROM fluct.check_stream(%1$L); shows whether it works.'
	WHEN 'bad_connection' THEN 'Correct the option or the file of the secret; SELECT * FROM fluct.check_stream(%1$L); shows whether it works.'
	WHEN 'authentication_failed' THEN 'Write the password into the file that the user mapping names; it is used within 10 s. '
		'Or, as the owner of the stream: ALTER USER MAPPING FOR CURRENT_USER SERVER %2$I OPTIONS (SET sasl_password ''file:NAME'');'
	WHEN 'authorization_failed' THEN 'Allow READ on the topic in Kafka''s ACLs.'
	WHEN 'unknown_topic' THEN 'Create the topic in Kafka, or: SELECT fluct.drop_stream(%1$L);'
	WHEN 'unknown_partition' THEN 'Add the partition in Kafka, or correct the number: SELECT fluct.alter_stream(%1$L, %8$s);'
	WHEN 'unknown_offset' THEN 'SELECT fluct.alter_stream(%1$L, start_at => %5$L); SELECT fluct.start_stream(%1$L);'
	WHEN 'no_worker_slot' THEN 'Raise the setting, and restart the server if it is max_worker_processes.'
	WHEN 'owner_cannot_connect' THEN 'ALTER ROLE or GRANT as the detail says; the stream goes on by itself.'
	WHEN 'disk_full' THEN 'Make space; the stream goes on by itself.'
	WHEN 'read_only' THEN 'Make the database writable; the stream goes on by itself.'
	WHEN 'data_loss' THEN 'SELECT fluct.alter_stream(%1$L, on_data_loss => ''skip''); SELECT fluct.start_stream(%1$L);'
	WHEN 'message_too_large' THEN 'SELECT fluct.seek_stream(%1$L, %5$L); SELECT fluct.start_stream(%1$L);'
	WHEN 'topic_changed' THEN 'SELECT fluct.seek_stream(%1$L, ''earliest'', force => true); SELECT fluct.start_stream(%1$L);'
	WHEN 'cluster_changed' THEN 'ALTER SERVER %2$I OPTIONS (SET bootstrap_servers %6$L); SELECT fluct.start_stream(%1$L);'
	WHEN 'too_many_dead_letters' THEN 'SELECT * FROM fluct.open_dead_letters; then correct the producer or the mapping, and SELECT fluct.start_stream(%1$L);'
	WHEN 'nothing_fits' THEN 'SELECT * FROM fluct.preview_stream(%1$L); then correct the mapping, and SELECT fluct.start_stream(%1$L);'
	WHEN 'column_missing' THEN CASE WHEN about IS NULL THEN 'Add the column that the detail names, or correct the mapping; then: SELECT fluct.start_stream(%1$L);'
		ELSE 'Add the column again, or: SELECT fluct.unmap_column(%1$L, %4$L, %3$L); then: SELECT fluct.start_stream(%1$L);' END
	WHEN 'target_missing' THEN 'Make the table again, then: SELECT fluct.start_stream(%1$L); or, if it is gone for good: SELECT fluct.drop_stream(%1$L);'
	WHEN 'key_missing' THEN 'Add the unique key again, or: SELECT fluct.alter_stream(%1$L, on_conflict => ''error''); then: SELECT fluct.start_stream(%1$L);'
	WHEN 'privilege_lost' THEN 'SELECT * FROM fluct.check_stream(%1$L); shows the GRANT that is missing; then: SELECT fluct.start_stream(%1$L);'
	WHEN 'target_refused' THEN 'Detach or replace the relation that the detail names, then: SELECT fluct.start_stream(%1$L);'
	WHEN 'owner_is_superuser' THEN 'ALTER ROLE %7$I NOSUPERUSER; SELECT fluct.start_stream(%1$L);'
	WHEN 'owner_changed' THEN 'SELECT fluct.drop_stream(%1$L); and create it as its new owner.'
	ELSE 'Remove the cause that the detail names, then: SELECT fluct.start_stream(%1$L);' END
$$;
COMMENT ON FUNCTION fluct._remedy_format(text, text[], text) IS
'what to do about a stream with that reason, for format(): 1 the stream, 2 its server, 3 and 4 what the reason is about, the second first, 5 the place in the form of start_at, 6 the brokers, 7 the owner, 8 the arguments of alter_stream() that name partitions; kill: statements that end the blockers';

CREATE OR REPLACE FUNCTION fluct._remedy(stream text, reason text, about text[], pids int[] DEFAULT NULL,
	in_session boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT fluct._printable(CASE WHEN in_session
							 THEN replace(t.text, format('SELECT fluct.start_stream(%L)', stream), format('CALL fluct.run_stream(%L)', stream))
							 ELSE t.text END)
  FROM fluct.streams s
 CROSS JOIN LATERAL (SELECT
	-- the offset in the form of start_at
	CASE WHEN about IS NULL THEN '{"PARTITION": OFFSET}'
		 WHEN reason = 'unknown_offset' AND s.start_at ~ '^\s*\{' THEN
			 jsonb_set(s.start_at::jsonb, array_remove(ARRAY[about[3], about[1]], NULL), about[2]::jsonb)::text
		 WHEN about[3] IS NULL THEN format('{"%s": %s}', about[1], about[2])
		 ELSE format('{"%s": {"%s": %s}}', about[3], about[1], about[2]) END AS places,
	-- what may name a partition, as it is now
	concat_ws(', ', CASE WHEN s.partitions <> '{}' THEN format('partitions => %L', s.partitions) END,
			  CASE WHEN s.start_at ~ '^\s*\{' THEN format('start_at => %L', s.start_at) END) AS named,
	(SELECT o.option_value FROM pg_foreign_server f, pg_options_to_table(f.srvoptions) o
	  WHERE f.srvname = s.server AND o.option_name = 'bootstrap_servers') AS brokers,
	(SELECT string_agg(DISTINCT format('SELECT pg_terminate_backend(%s);', b.pid), ' ')
	   FROM unnest(pids) AS waiting(pid), unnest(pg_blocking_pids(waiting.pid)) AS b(pid) WHERE b.pid > 0) AS kill,
	coalesce((SELECT r.rolname FROM pg_roles r WHERE r.oid = s.owner_oid), s.owner) AS owner) w
 CROSS JOIN LATERAL format(fluct._remedy_format(reason, about, w.kill), stream, s.server, about[2], about[1], w.places,
						   coalesce(w.brokers, 'host:9092'), w.owner, w.named) t(text)
 WHERE s.name = stream
$$;
COMMENT ON FUNCTION fluct._remedy(text, text, text[], int[], boolean) IS 'what to do about a stream with that reason; about: as in stream_states; pids: of its workers; in_session: whether run_stream runs it';

CREATE OR REPLACE FUNCTION fluct._health_streams() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.severity, format('stream "%s"', v.stream), p.problem, v.since,
	   concat_ws(': ', v.reason, nullif(v.detail, v.reason)),
	   CASE WHEN p.problem = 'paused' THEN
				coalesce(CASE WHEN s.enabled OR v.reason = 'restored_elsewhere' THEN fluct._remedy(v.stream, v.reason, v.about, v.pids) END,
						 format('SELECT fluct.start_stream(%L);', v.stream))
			WHEN p.problem = 'starting' THEN 'The server''s log says why its worker does not start.'
			WHEN p.problem = 'backing_off' AND v.reason = 'error' THEN 'Remove the cause that the detail names; the stream goes on by itself.'
			ELSE fluct._remedy(v.stream, v.reason, v.about, v.pids) END
  FROM fluct._stream_state v
  JOIN fluct.streams s ON s.name = v.stream
 CROSS JOIN LATERAL (SELECT
		CASE v.state WHEN 'running' THEN v.reason WHEN 'starting' THEN coalesce(v.reason, v.state) ELSE v.state END AS problem,
		clock_timestamp() - v.since AS age) a
 CROSS JOIN LATERAL (SELECT a.problem,
		CASE WHEN a.problem IN ('failed', 'stalled') THEN 'critical'
			 WHEN a.problem = 'backing_off' THEN CASE WHEN a.age > interval '5 minutes' THEN 'critical' ELSE 'warning' END
			 WHEN a.problem = 'waiting_for_lock' THEN CASE WHEN a.age > interval '15 minutes' THEN 'critical' ELSE 'warning' END
			 WHEN a.problem = 'open_transaction' AND a.age > interval '15 minutes' THEN 'warning'
			 WHEN a.problem = 'starting' AND a.age > interval '1 minute' THEN 'warning'
			 WHEN a.problem = 'paused' AND v.reason IS DISTINCT FROM 'in_recovery' THEN
				CASE WHEN s.enabled THEN 'warning' WHEN s.starts > 0 THEN 'notice' END END AS severity) p
 WHERE p.severity IS NOT NULL
$$;
COMMENT ON FUNCTION fluct._health_streams() IS 'streams that do not run, or that run and are held up; one that was never started is left out, and one that a person paused is a notice';

CREATE OR REPLACE FUNCTION fluct._health_freshness() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN f.behind > interval '1 hour' THEN 'critical' ELSE 'warning' END, format('stream "%s"', f.stream), 'behind',
	   f.data_until, format('behind by %s, lag %s messages, %s a second', f.behind, v.lag, coalesce(v.rate, 0)),
	   format('SELECT * FROM fluct.stat_partitions WHERE stream = %L;', f.stream)
	   || CASE WHEN v.partitions > v.workers THEN
			  format(' if it stores all the time, and Kafka holds more each time: SELECT fluct.alter_stream(%L, workers => %s);', f.stream, v.workers + 1)
			  ELSE '' END
  FROM fluct.freshness f JOIN fluct.stat_streams v ON v.stream = f.stream
 WHERE f.state IN ('starting', 'running', 'backing_off') AND f.behind > interval '5 minutes'
$$;
COMMENT ON FUNCTION fluct._health_freshness() IS 'streams that are to run and are behind by 5 minutes; from an hour on critical';

CREATE OR REPLACE FUNCTION fluct._health_dead_letters() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN c.in_window > s.max_dead_letters / 2 AND c.in_window > 0 THEN 'critical'
			WHEN c.last_hour > 0 THEN 'warning' ELSE 'notice' END,
	   format('stream "%s"', c.stream), 'dead_letters', c.first_at,
	   format('%s open, %s of them in the last hour, most often %s', c.open, c.last_hour, c.reason),
	   format('SELECT * FROM fluct.open_dead_letters; then SELECT * FROM fluct.retry_dead_letters(stream => %L); '
			  'or SELECT * FROM fluct.discard_dead_letters(ARRAY[ID], ''REASON'');',
			  c.stream)
  FROM (SELECT d.stream, count(*) AS open, min(d.created_at) AS first_at,
			   mode() WITHIN GROUP (ORDER BY d.reason) AS reason,
			   count(*) FILTER (WHERE d.created_at > now() - interval '1 hour') AS last_hour,
			   count(*) FILTER (WHERE d.created_at > now() - t.error_window) AS in_window
		  FROM fluct.dead_letters d LEFT JOIN fluct.streams t ON t.name = d.stream
		 WHERE d.status = 'open' GROUP BY d.stream) c
  LEFT JOIN fluct.streams s ON s.name = c.stream
$$;
COMMENT ON FUNCTION fluct._health_dead_letters() IS 'open dead letters: a warning where some came in the last hour, critical where more than half of what error_window allows';

CREATE OR REPLACE FUNCTION fluct._health_gaps() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'warning', format('stream "%s"', g.stream), 'gap', max(g.created_at),
	   format('Kafka had deleted %s messages before they were read%s in topic %s, partition %s from %s to %s',
			  sum(g.to_offset - g.from_offset), CASE WHEN count(*) > 1 THEN format(', in %s intervals, the last', count(*)) ELSE ',' END,
			  fluct._printable((array_agg(g.topic ORDER BY g.id DESC))[1]), (array_agg(g.partition ORDER BY g.id DESC))[1],
			  (array_agg(g.from_offset ORDER BY g.id DESC))[1], (array_agg(g.to_offset ORDER BY g.id DESC))[1]),
	   format('SELECT * FROM fluct.gaps WHERE stream = %L; have the producer send these again. Shown for 7 days.', g.stream)
  FROM fluct.gaps g
 WHERE g.reason = 'data_loss' AND g.created_at > now() - interval '7 days'
 GROUP BY g.stream
$$;
COMMENT ON FUNCTION fluct._health_gaps() IS 'messages that Kafka deleted before they were read, for 7 days';

CREATE OR REPLACE FUNCTION fluct._health_retention() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN p.headroom < p.retention / 10 THEN 'critical' ELSE 'warning' END,
	   format('stream "%s"', p.stream), 'retention', now(),
	   CASE WHEN p.headroom < '0' THEN
				format('topic %s, partition %s: Kafka may have deleted messages that are not read yet; it keeps them for %s',
					   p.topic, p.partition, p.retention)
			ELSE
				format('topic %s, partition %s: Kafka deletes the first message that is not read yet in %s; it keeps messages for %s',
					   p.topic, p.partition, p.headroom, p.retention) END,
	   format('Get the stream to run (SELECT * FROM fluct.stat_streams WHERE stream = %L;), or raise retention.ms of the topic until it has caught up.', p.stream)
  FROM (SELECT DISTINCT ON (a.stream) a.* FROM fluct.stat_partitions a
		 WHERE a.headroom < a.retention / 2 ORDER BY a.stream, a.headroom) p
$$;
COMMENT ON FUNCTION fluct._health_retention() IS 'the partition of each stream whose unread messages Kafka deletes first, where less than half of the retention is left; critical below a tenth';

CREATE OR REPLACE FUNCTION fluct._health_handovers() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN clock_timestamp() - h.begun_at > interval '5 minutes' THEN 'critical' ELSE 'warning' END,
	   format('stream "%s"', h.stream), 'handover', h.begun_at,
	   format('partition %s was given away, and member "%s" is not known to have it', h.partition, h.to_member),
	   CASE WHEN EXISTS (SELECT FROM fluct.streams s WHERE s.name = h.stream) THEN ''
			ELSE format('The stream was dropped: create it again with the topic and partitions => %L, then ', '{}') END
	   || format('CALL fluct.hand_over(%L, %s, %L);', h.stream, h.partition, h.to_member)
  FROM fluct._handovers_under_way h
$$;
COMMENT ON FUNCTION fluct._health_handovers() IS 'partitions that nobody consumes, since their hand-over is not completed; after 5 minutes critical';

-- Whether a member answers is not asked here: that takes a connection, and up
-- to fluct.member_timeout.  cluster_health and check_members() ask.
CREATE OR REPLACE FUNCTION fluct._health_members() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT 'critical', format('member "%s"', m.name), 'member', NULL::timestamptz,
	   format(p.detail, m.server, o.owner, pg_get_userbyid(s.srvowner)), format(p.hint, m.server, o.owner, m.name)
  FROM fluct.members m
  LEFT JOIN pg_foreign_server s ON s.srvname = m.server
  LEFT JOIN (SELECT c.relowner, pg_get_userbyid(c.relowner) AS owner
			   FROM pg_class c WHERE c.oid = to_regclass('sales.orders')) o ON true
 CROSS JOIN LATERAL (VALUES
	(s.oid IS NULL, 'its server "%1$s" does not exist, so that no ranking can ask it',
	 'CREATE SERVER %1$I FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ''HOST'', dbname ''DATABASE''); with its user mapping, '
	 'or: SELECT fluct.remove_member(%3$L);'),
	(NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = s.srvowner) AND NOT pg_has_role(o.relowner, s.srvowner, 'MEMBER'),
	 'server "%1$s" belongs to role "%3$s", and not to role "%2$s", who owns the tables, so that no ranking asks it',
	 'ALTER SERVER %1$I OWNER TO %2$I;'),
	(s.oid IS NOT NULL AND o.owner IS NOT NULL
	 AND NOT EXISTS (SELECT FROM pg_user_mappings u WHERE u.srvid = s.oid AND u.umuser IN (0, o.relowner)),
	 'server "%1$s" has no user mapping for PUBLIC or role "%2$s", who owns the tables',
	 'CREATE USER MAPPING FOR PUBLIC SERVER %1$I OPTIONS (user ''ROLE'', password ''SECRET'');')) p(holds, detail, hint)
 WHERE p.holds
$$;
COMMENT ON FUNCTION fluct._health_members() IS 'members that cannot be asked, as far as this server knows by itself: their foreign server, or its user mapping, is gone, or it is another role''s';
