-- privileges.sql: who may do what.
--
-- Nobody gets anything but by the list below, which is written by hand: it has
-- each routine, and each table and view that somebody may read.
-- test/t/trust_roles.t compares it with the catalogs, and fails on a routine
-- that it does not have.  What the extension's owner alone may call is in it,
-- too, so that a new routine is decided upon.
--
-- A function with the rights of its caller needs what it calls to be granted,
-- too.  That is why readers and operators have so many internal ones: they
-- compute, or do as the caller what the caller could do by hand.

CREATE OR REPLACE FUNCTION fluct._privileges(OUT grantee text, OUT kind text, OUT name text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT l.grantee, l.kind, n.name
  FROM (VALUES
-- what triggers call for any writer of orders, and what only computes
('public', 'routine', '
	_bucket _consumes _is_customer_feed _printable _time_condition _wrap fluctuation sparkline'),
('pg_monitor', 'routine', '
	_arguments _batches _did_you_mean _distance _health _launch_obstacle _library_version _librdkafka_version _live _loads
	_nearest_word _wrapped help version'),
('pg_monitor', 'relation', '
	batches freshness health stat_files stat_partitions stat_streams'),
('reader', 'relation', '
	_stream_state batches complete_marks dead_letters dropped_feeds dropped_streams file_rejects files freshness gaps granted_roles health
	inboxes made_relations open_dead_letters reports skipped_offsets stat_files stat_partitions stat_streams stream_offsets
	stream_states streams'),
('reader', 'routine', '
	explain_fluctuation lines_of podium sample_customers sample_industries sample_orders sample_products top_fluctuations
	verify_rollup'),
-- called by these, and by the views
('reader', 'routine', '
	_active_windows _baseline_windows _batches _calendar_windows _caller _check_industry _check_ranking_options _check_sample
	_check_tables _check_top_n _check_word _check_zone _data_until _distance _fed_until _find_shortfall _hash _health _horizon
	_incomplete_reason _is_same_weekday _is_zone _launch_obstacle _library_version _librdkafka_version _live _loads
	_microseconds _model_tables _model_triggers _model_views _nearest_industry _not_fed _orders_spend _pieces _podium _rank
	_ranked_sums _require_tables _rolling_windows _rollup_active _rollup_obstacle _rollup_spend _sample_id _sample_movers
	_silent_stream _source_offsets _spend _tell _tell_incomplete _tell_zone _too_young _warn _weekday_edges _weekday_windows
	_whole_days _windows_of _wrong_spend'),
-- pictures, drivers, days, and what these and the views call
('reader', 'routine', '
	compare drivers help report_html trend version'),
('reader', 'routine', '
	_arguments _bar _chart _did_you_mean _drivers _end_of_day _figure _fluctuation_history_1 _html _html_table _length _moment
	_nearest_word _page_drivers _page_members _page_part _page_podium _page_series _page_streams _page_style _podium_1 _series
	_signed _span _way _wrapped'),
('nobody', 'routine', '
	__check_retention __check_sample __fluctuation_history_1 __require_tables _apply_schema_drift _compare _report_html _trend'),
-- health, and what it looks at
('nobody', 'routine', '
	__rollup_problem _batches_kept _cron_jobs _daily_growth _dependents _disks _health_cron _health_dead_letters _health_disk
	_health_files _health_freshness _health_gaps _health_handovers _health_members _health_replication _health_retention
	_health_rollup _health_schedules _health_slots _health_streams _health_version _listed_databases _remedy _remedy_format
	_rollup_problem _scheduled'),
-- members: what they are asked, and what adds it up
('reader', 'relation', '
	_handovers_under_way cluster_freshness cluster_health cluster_streams cluster_unattributed_spend handovers members'),
('reader', 'routine', '
	_allow_missing _answers _ask_all _ask_members _check_member_streams _cluster_health _cluster_streams
	_cluster_unattributed_spend _customers_digest _explain _fault_of _feeds_orders _gather _has_members _links _links_computed
	_links_pending _links_to_keep _local_shortfall _member_explain_1 _member_health_1 _member_orders_1 _member_spend_1
	_member_state_1 _member_streams_1 _member_unattributed_1 _moving_partition _numbered_spend _of_one_time _parts
	_parts_and_deleted _parts_of _planted_in_apply _rollup_is_read _shortfall_of _spend_of _tell_missing check_members
	shared_orders'),
('operator', 'routine', '
	_ask_to_take _end_hand_over _give_away _take_over_1 add_member hand_over remove_member'),
('nobody', 'routine', '
	__end_hand_over __give_away __member_explain_1 __member_orders_1 __member_spend_1 __member_state_1 __member_unattributed_1
	__take_over_1 __try_member _add_member _begin_hand_over _check_members _known_member _refuse_under_way _remove_member
	_set_partitions _shared_orders _take_back _try_member'),
('operator', 'routine', '
	alter_inbox alter_stream apply_retention check_stream create_inbox create_or_alter_stream create_stream create_tables discard_dead_letters
	drop_inbox drop_stream ensure_partitions load_customers load_industries load_orders load_products maintain_partitions
	map_column mark_complete pause_stream preview_stream rebuild_rollup reconcile_stream record_fluctuations reload_file
	reprocess_stream retry_dead_letters run_stream scan_inbox schedule_fluctuations schedule_inbox seek_stream skip_file
	start_stream suggest_mapping unmap_column unschedule_fluctuations unschedule_inbox wait_for_stream'),
-- called by these, with the rights of their caller
('operator', 'routine', '
	_add_links _apply_customers _attach_partition _begin_run _blanks _check_columns _check_customer_options _check_feed_keys
	_check_format _check_option _check_retention _check_sales _check_snapshot _columns_of _compare_customers _csv_mapping
	_delete_old_orders _delete_old_rows _drop_old_partition _enable_triggers _end_scan _feed_rows _file_encoding _file_format
	_file_name _file_sqlstate _fill_rollup _find_child _find_target _finish_column _finish_file _given_to _grant_made
	_granted_roles _handle_unknown _has_model_columns _header_of _inbox_work _industry_delimiter _is_routed _judge_feed _judge_rollup
	_judge_rows _line_word _lines_span _load_lines _load_options _load_rows _lock_tables _maintain _make_columns _make_default_partitions
	_make_indexes _make_keys _make_partition _make_tables _make_triggers _make_views _mapped_keys _mapped_names _model_columns
	_model_indexes _model_keys _model_partitions _model_relations _model_view_columns _move_from_default _new_load
	_operator_statements _orders_mapping _partition_obstacle _partitions _progress _read_csv _read_feed _read_rows _reason_hint
	_refuse_bad_rows _refuse_file _refuse_header _refuse_lost_links _refuse_strangers _refuse_superuser _refuse_superuser_writer
	_remember_relations _remove_absent _remove_absent_rows _replaces_lines _reprocess_chunk _require_industries _retire
	_retire_rows _run_report _scan_file _show_path _split_industries _store_customer_feed _store_customers _store_industries
	_store_orders _store_products _store_table _tell_load _tell_made _tell_not_open _tell_separator _told_name _trim_bookkeeping
	_usual_format _waiting_steps load_table'),
-- for triggers on the tables, which is all that they do anything for
('operator', 'routine', '
	_apply_feed _keep_row _orders_delete_lines _orders_move_lines _orders_truncate_lines _rollup_exclude
	_rollup_guard _rollup_industries _rollup_industry_row _rollup_order_row _rollup_orders _rollup_skip_row'),
-- the extension's owner alone: grants
('nobody', 'routine', '
	grant_operator grant_reader kafka_options_validator uninstall'),
-- what the messages of a topic look like
('nobody', 'routine', '
	__recent_messages _form_of _free_stream _free_table _rows_of _sample _suggest_columns _suggest_key _suggest_mapping
	_suggest_statements _suggest_targets'),
('reader', 'relation', '
	schema_drift'),
('reader', 'routine', '
	_canonical_path _changed_row _document _drift _drift_of _drift_of_rows _mapped_paths _mapped_rows _nodes _path_keys
	_path_step _path_steps _path_text _recent_messages _shapes _type_of _with_array _with_arrays'),
('operator', 'routine', '
	_as_value _drift_in_extra _field_to_apply _fill_from_extra _fill_from_raw _require_own_table apply_schema_drift'),
-- of an event trigger
('nobody', 'routine', '
	__keep_servers_of_streams _follow_server _keep_servers_of_streams _rename_server'),
-- what works as the extension's owner, or is called by such
('nobody', 'routine', '
	__apply_feed __begin_run __cron_schedule __cron_unschedule __end_scan __finish_file __identify __inbox_work __is_same
	__list_folder __lock_tables __move_at_commit __move_file __open_inbox __real_directory __record __remember_relations
	__reprocess_chunk __retire_rows __run_report __scan_file __settle_constraints __store __trim_bookkeeping _account
	_alter_inbox _alter_stream _announce_change _announce_connections _announce_event _as_set _ask _await_progress
	_begin_progress _begin_reprocess _changed_options _check_distribution _check_grantee _check_here _check_kafka _check_loader
	_check_mapping _check_pattern _check_raw _check_refused _check_report _check_report_owner _check_rights _check_server_owner
	_check_settle _check_start_topics _check_stream _check_stream_options _check_table_loader _check_targets _check_topic
	_chosen_places _claim_directory _claim_stream_name _continue_dropped_stream _counts_of _create_inbox _create_or_alter_stream
	_create_stream _create_tables _cron_database _cron_field _cron_schedule _cron_settings _cron_unschedule _cron_zone
	_database_list _day_fits _deletes _derive_mapping _discard_dead_letters _drop_inbox _drop_stream _end_progress
	_ensure_partitions _error_reason _explain_fluctuation _find_file _fluctuation_accum _fluctuation_combine
	_fluctuation_deserialize _fluctuation_final _fluctuation_serialize _given_format _given_options _given_table _grant
	_grant_listed _hold_at_rest _identify _in_transaction_block _inbox_job _inbox_lock _inbox_owner _inbox_path _is_keyed
	_is_loaded _is_many _is_of_data _is_same _is_settled _is_wanted _job_command _job_name _known_report _labels _latest_slot
	_lines_of _list_folder _listed _load _load_customers _load_file _load_inbox_file _load_industries _load_orders
	_load_products _load_result _load_table _lock _lock_hint _lock_shared _maintain_partitions _make_job _map_column
	_mark_complete _may_trim _may_trim_stream _move_at_commit _move_file _move_position _moves _name_matches _named_in
	_next_epoch _next_step _next_window _normal_start _open_inbox _own_dropped_stream _own_inbox _own_stream _owner_role
	_parse_schedule _pause_stream _place_in_mapping _preload_lines _preloaded _preview_stream _privileges _published_without_identity _qualified
	_raw_growth _real_directory _rebuild_rollup _reconcile_stream _record _record_fluctuations _record_load _refusal _refuse_schedule
	_reload_file _remove_job _report _reprocess _require_orders_owner _require_owner _require_rest _retry _retry_dead_letters
	_routed_among _save_report _say_idle_workers _schedule_fluctuations _schedule_inbox _seek_stream _served _settle_constraints
	_skip_file _slots _slots_of_day _start_of _start_stream _store _store_chunk _stream_hint _stream_owner _sync _sync_done
	_table_conflict _table_options _top_fluctuations _try_lock _unknown_partition _unmap_column _unschedule_fluctuations
	_unschedule_inbox _verify_rollup _wait_for_stream _warn_of_going_back _whole_mapping _with_schemas _workers_needed
	_working_inbox')
	) l(grantee, kind, names),
	   LATERAL regexp_split_to_table(btrim(l.names, E'\t\n '), '\s+') n(name)
$$;
COMMENT ON FUNCTION fluct._privileges() IS
'who may execute which routines and read which tables and views of schema fluct: public, pg_monitor, reader (grant_reader), operator (grant_operator, with what readers have); nobody is the extension''s owner alone';

CREATE OR REPLACE FUNCTION fluct._listed(grantee text, OUT privilege text, OUT object text, OUT name text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE l.kind WHEN 'routine' THEN 'EXECUTE ON ROUTINE' ELSE 'SELECT ON' END,
	   coalesce(p.oid::regprocedure::text, format('fluct.%I', l.name)), l.name
  FROM fluct._privileges() l
  LEFT JOIN pg_proc p ON l.kind = 'routine' AND p.proname = l.name AND p.pronamespace = 'fluct'::regnamespace
 WHERE l.grantee = $1
   AND (l.kind = 'relation'
		OR EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'fluct'
					WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
					  AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
$$;
COMMENT ON FUNCTION fluct._listed(text) IS 'what the list lets a grantee do; only with what belongs to the extension';

CREATE OR REPLACE FUNCTION fluct._grant(role regrole, privilege text, objects text) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	to_whom text := format(' TO %s;', coalesce(role::text, 'PUBLIC'));
BEGIN
	EXECUTE format('GRANT %s %s', privilege, objects) || to_whom;
	RETURN QUERY SELECT * FROM string_to_table(fluct._wrapped(format('GRANT %s %s', privilege, objects), 90) || to_whom, chr(10));
END
$$;
COMMENT ON FUNCTION fluct._grant(regrole, text, text) IS 'Does a GRANT to the role, NULL for PUBLIC, and returns it, in lines.';

CREATE OR REPLACE FUNCTION fluct._grant_listed(role regrole, grantee text) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	g record;
BEGIN
	FOR g IN
		SELECT l.privilege, l.name LIKE '\_%' AS is_internal, string_agg(l.object, ', ' ORDER BY l.object) AS objects,
			   string_agg('fluct.' || l.name, ', ' ORDER BY l.name) AS names, count(*)
		  FROM fluct._listed(grantee) l GROUP BY 1, 2 ORDER BY 1, 2
	LOOP
		IF g.is_internal THEN
			PERFORM FROM fluct._grant(role, g.privilege, g.objects);
			RETURN NEXT CASE WHEN g.privilege ~ 'ROUTINE' THEN format('-- and EXECUTE on %s internal functions that these call', g.count)
							 ELSE format('-- and SELECT on %s internal views that these read', g.count) END;
		ELSE
			RETURN QUERY SELECT * FROM fluct._grant(role, g.privilege, g.names);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._grant_listed(regrole, text) IS 'Does what the list lets a grantee do; returns the GRANTs, those on what is internal as their number.';

-- NULL would be PUBLIC: a name that to_regrole() does not find, for one.
CREATE OR REPLACE FUNCTION fluct._check_grantee(role regrole) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the role must not be null',
			HINT = 'PUBLIC cannot be granted this: name a role.';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role with OID %s does not exist', role::oid);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_grantee(regrole) IS 'the role of a call of grant_reader() or grant_operator(); errors: null_value_not_allowed, undefined_object';

CREATE OR REPLACE FUNCTION fluct.grant_reader(role regrole) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_grantee(role);
	INSERT INTO fluct.granted_roles (role, role_oid, system_identifier)
	SELECT r.rolname, r.oid, c.system_identifier FROM pg_roles r, pg_control_system() c WHERE r.oid = grant_reader.role
	ON CONFLICT DO NOTHING;
	RETURN QUERY SELECT * FROM fluct._grant(role, 'USAGE ON SCHEMA', 'fluct');
	RETURN QUERY SELECT * FROM fluct._grant_listed(role, 'reader');
	IF EXISTS (SELECT 1 FROM fluct._model_relations() m WHERE m.is_ours) THEN
		RETURN QUERY SELECT * FROM fluct._grant(role, 'USAGE ON SCHEMA', 'sales');
		RETURN QUERY SELECT * FROM fluct._grant(role, 'SELECT ON', (
			SELECT string_agg(m.relation::regclass::text, ', ' ORDER BY m.name) FROM fluct._model_relations() m WHERE m.is_ours));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.grant_reader(regrole) IS
'Lets a role read all of fluct and of sales: orders, rankings, how the streams are doing. Does the GRANTs and returns them, those on internal functions and views as their number; create_tables() repeats them for what it makes later.';

CREATE OR REPLACE FUNCTION fluct._next_step(role regrole) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.step
	FROM (VALUES ('-- The next step, so that fluct.create_tables() can make the tables:'),
				 (format('CREATE SCHEMA sales AUTHORIZATION %s;', role)),
				 (format('-- or: GRANT CREATE ON DATABASE %I TO %s;', current_database(), role))) n(step)
	WHERE to_regnamespace('sales') IS NULL
		AND NOT has_database_privilege(role, current_database(), 'CREATE')
$$;
COMMENT ON FUNCTION fluct._next_step(regrole) IS 'what a new operator lacks to make the tables: the statement, which grant_operator() prints and leaves to its caller';

CREATE OR REPLACE FUNCTION fluct.grant_operator(role regrole) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_grantee(role);
	RETURN QUERY SELECT * FROM fluct._grant(role, 'USAGE ON FOREIGN DATA WRAPPER', 'fluct_kafka');
	RETURN QUERY SELECT * FROM fluct._grant_listed(role, 'operator');
	RETURN QUERY SELECT * FROM fluct.grant_reader(role);
	RETURN QUERY SELECT * FROM fluct._next_step(role);
END
$$;
COMMENT ON FUNCTION fluct.grant_operator(regrole) IS
'Lets a role make the tables, declare and run streams, load files and record rankings, and read all of fluct and of sales. Does the GRANTs and returns them, those on internal functions and views as their number, and then, as a next step that it leaves to the caller, what the role needs to make schema sales. Whoever is not the owner of the tables gets INSERT, UPDATE and DELETE on them from their owner.';

-- Only what is missing: where an update's script grants or revokes, all privileges
-- of the object are taken for initial ones, also those that grant_reader() gave,
-- and pg_dump would leave them out.
DO $$
DECLARE
	s record;
BEGIN
	FOR s IN
		WITH objects AS (
			SELECT 'ROUTINE' AS kind, p.oid::regprocedure::text AS object, p.proname AS name, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
			  FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace
			 UNION ALL
			SELECT 'TABLE', c.oid::regclass::text, c.relname, c.relacl
			  FROM pg_class c WHERE c.relnamespace = 'fluct'::regnamespace AND c.relkind IN ('r', 'v'))
		SELECT format('REVOKE ALL ON %s %s FROM PUBLIC', o.kind, string_agg(o.object, ', ')) AS statement
		  FROM objects o
		 WHERE EXISTS (SELECT FROM aclexplode(o.acl) x WHERE x.grantee = 0)
		   AND o.name NOT IN (SELECT l.name FROM fluct._listed('public') l)
		 GROUP BY o.kind
		 UNION ALL
		SELECT format('GRANT %s %s TO pg_monitor', l.privilege, string_agg(l.object, ', '))
		  FROM objects o JOIN fluct._listed('pg_monitor') l USING (object)
		 WHERE NOT EXISTS (SELECT FROM aclexplode(o.acl) x WHERE x.grantee = 'pg_monitor'::regrole)
		 GROUP BY l.privilege
		 UNION ALL
		SELECT 'GRANT USAGE ON SCHEMA fluct TO pg_monitor' WHERE NOT has_schema_privilege('pg_monitor', 'fluct', 'USAGE')
	LOOP
		EXECUTE s.statement;
	END LOOP;
END
$$;
