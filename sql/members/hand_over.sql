-- hand_over.sql: a partition goes from this member to another.
--
-- Nothing commits on two servers at once, so the partition is given away here,
-- then taken there, and in between nobody has it:
--
-- 1. Here, in one transaction: the stream no longer consumes the partition, its
--    position gets another epoch, and fluct.handovers holds what is to be
--    handed over.  A batch that is under way has moved the position before (it is
--    waited for), or finds the epoch changed and is rolled back: so the position
--    that is handed over is the one behind the last message that is stored here.
-- 2. There, in one transaction: the position, the stream's list of partitions,
--    and the id of the hand-over, by which a second attempt is known.
-- 3. Here: it is noted that it was taken.
--
-- Whatever fails in between, the next call continues.  Orders stay where they are.

CREATE OR REPLACE VIEW fluct._handovers_under_way AS
SELECT h.* FROM fluct.handovers h WHERE h.to_member IS NOT NULL AND h.taken_at IS NULL;
COMMENT ON VIEW fluct._handovers_under_way IS 'hand-overs of which it is not known whether the other member has the partition; also of dropped streams';

CREATE OR REPLACE FUNCTION fluct._take_back(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h fluct.handovers;
BEGIN
	FOR h IN DELETE FROM fluct.handovers d USING fluct.streams s
			  WHERE s.name = _take_back.name AND d.stream = s.name AND d.to_member IS NOT NULL AND d.taken_at IS NULL
				AND (d.partition = ANY (s.partitions)) IS NOT FALSE RETURNING d.* LOOP
		RAISE WARNING 'stream "%" takes back partition %, which member "%" may have taken', h.stream, h.partition, h.to_member
			USING DETAIL = 'Where both have it, an order counts twice.', HINT = 'SELECT * FROM fluct.check_members();';
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._take_back(text) IS 'ends the hand-overs under way of partitions that the stream consumes again, with a WARNING each';

CREATE OR REPLACE FUNCTION fluct._refuse_under_way(name text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h fluct.handovers;
BEGIN
	SELECT w.* INTO h FROM fluct._handovers_under_way w WHERE w.stream = _refuse_under_way.name ORDER BY w.partition LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'partition % of stream "%" is being handed over to member "%"', h.partition, h.stream, h.to_member
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      DETAIL = 'Nobody but this server knows at which offset it continues.',
			      HINT = format('CALL fluct.hand_over(%L, %s, %L); completes that, or a stream of that name takes it back: partitions => ''{%s}''.',
								h.stream, h.partition, h.to_member, h.partition);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_under_way(text) IS 'raises object_not_in_prerequisite_state where a hand-over of the stream is under way';

CREATE OR REPLACE FUNCTION fluct._set_partitions(s fluct.streams, partitions int[], because text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE fluct.streams t SET partitions = _set_partitions.partitions, version = t.version + 1, changed_at = clock_timestamp() WHERE t.name = s.name;
	PERFORM fluct._announce_change(format('stream "%s" was altered by role "%s"', s.name, pg_get_userbyid(fluct._caller())), because);
END
$$;
COMMENT ON FUNCTION fluct._set_partitions(fluct.streams, int[], text) IS 'changes which partitions a stream consumes; its workers take it up at their next batch';

CREATE OR REPLACE FUNCTION fluct._known_member(name text)
RETURNS fluct.members
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m fluct.members;
BEGIN
	SELECT x.* INTO m FROM fluct.members x WHERE x.name = _known_member.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'member % does not exist', coalesce('"' || name || '"', 'NULL')
			USING ERRCODE = 'undefined_object',
			      HINT = fluct._did_you_mean(name, ARRAY(SELECT x.name FROM fluct.members x), 'SELECT * FROM fluct.members; lists all.');
	END IF;
	RETURN m;
END
$$;
COMMENT ON FUNCTION fluct._known_member(text) IS 'the member of that name; undefined_object, with the nearest, where there is none';

-- ---------------------------------------------------------------------------
-- Here
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._begin_hand_over(s fluct.streams, partition int, m fluct.members)
RETURNS fluct.handovers
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o fluct.stream_offsets;
	positions jsonb;
	begun fluct.handovers;
BEGIN
	PERFORM fluct._lock('positions', s.name);
	FOR o IN SELECT x.* FROM fluct.stream_offsets x
			  WHERE x.stream = s.name AND x.partition = _begin_hand_over.partition AND fluct._consumes(s.topic, x.topic) FOR UPDATE LOOP
		o.held_until := greatest(o.held_until, o.last_message_time);
		positions := coalesce(positions, '[]') || to_jsonb(o);
		PERFORM fluct._move_position(s, o.topic, partition, o.next_offset, true, NULL, NULL);
	END LOOP;
	IF positions IS NULL THEN
		RAISE EXCEPTION 'stream "%" has no position in partition %', s.name, partition
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('SELECT * FROM fluct.check_stream(%L);', s.name);
	END IF;
	INSERT INTO fluct.handovers AS h (stream, partition, to_member, positions, begun_by)
	VALUES (s.name, partition, m.name, positions, pg_get_userbyid(fluct._caller())) RETURNING h.* INTO begun;
	PERFORM fluct._set_partitions(s, ARRAY(SELECT DISTINCT p FROM (
			SELECT unnest(s.partitions) UNION ALL
			SELECT x.partition FROM fluct.stream_offsets x WHERE s.partitions IS NULL AND x.stream = s.name AND fluct._consumes(s.topic, x.topic)) u(p)
			WHERE p <> partition ORDER BY p),
		format('Partition %s goes to member "%s".', partition, m.name));
	RETURN begun;
END
$$;
COMMENT ON FUNCTION fluct._begin_hand_over(fluct.streams, int, fluct.members) IS 'takes a partition from the stream, with its position in each topic, and notes the hand-over';

CREATE OR REPLACE FUNCTION fluct._give_away(stream text, partition int, to_member text, begin boolean, OUT id uuid,
	OUT topic text, OUT positions jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._give_away(text, int, text, boolean) IS
'The hand-over that is under way, or is begun here; id and positions are NULL where it could be begun, and all is NULL where that member has the partition from here.';

CREATE OR REPLACE FUNCTION fluct.__give_away(stream text, partition int, to_member text, begin boolean, OUT id uuid,
	OUT topic text, OUT positions jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(stream, begin);
	m fluct.members := fluct._known_member(to_member);
	last fluct.handovers;
BEGIN
	IF fluct._in_transaction_block() THEN
		RAISE EXCEPTION 'hand_over() commits before it asks the other member, and you began a transaction'
			USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT, then CALL it again.';
	END IF;
	SELECT h.* INTO last FROM fluct.handovers h WHERE h.stream = s.name AND h.partition = __give_away.partition ORDER BY h.begun_at DESC LIMIT 1;
	topic := s.topic;
	IF partition = ANY (s.partitions) OR s.partitions IS NULL THEN
		IF begin THEN
			last := fluct._begin_hand_over(s, partition, m);
			id := last.id;
			positions := last.positions;
		END IF;
	ELSIF last.to_member IS NULL THEN
		RAISE EXCEPTION 'stream "%" does not consume partition %', s.name, coalesce(partition::text, 'NULL')
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      HINT = 'SELECT * FROM fluct.cluster_streams; shows who does. It is handed over by a call there.';
	ELSIF last.to_member <> m.name THEN
		RAISE EXCEPTION 'partition % of stream "%" % handed over to member "%"', partition, s.name,
				CASE WHEN last.taken_at IS NULL THEN 'is being' ELSE 'was' END, last.to_member
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      HINT = CASE WHEN last.taken_at IS NULL THEN format('CALL fluct.hand_over(%L, %s, %L); completes that.', s.name, partition, last.to_member)
								ELSE 'It is handed over by a call there.' END;
	ELSIF last.taken_at IS NULL THEN
		id := last.id;
		positions := last.positions;
	ELSE
		topic := NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__give_away(text, int, text, boolean) IS '_give_away, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._end_hand_over(id uuid) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._end_hand_over(uuid) IS 'Notes that the other member has the partition.';

CREATE OR REPLACE FUNCTION fluct.__end_hand_over(id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- the stream may have been dropped meanwhile
	PERFORM CASE WHEN EXISTS (SELECT FROM fluct.streams s WHERE s.name = h.stream) THEN fluct._own_stream(h.stream, false) END,
			fluct._own_dropped_stream(h.stream)
	   FROM fluct.handovers h WHERE h.id = __end_hand_over.id AND h.to_member IS NOT NULL;
	UPDATE fluct.handovers h SET taken_at = clock_timestamp() WHERE h.id = __end_hand_over.id AND h.to_member IS NOT NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the partition was taken back here while the other member took it'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'Where both have it, an order counts twice.',
			      HINT = 'SELECT * FROM fluct.check_members();';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__end_hand_over(uuid) IS '_end_hand_over, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._ask_to_take(member text, id uuid, stream text, topic text, partition int, positions jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a record;
BEGIN
	SELECT x.* INTO a FROM fluct._ask_members('take_over', ARRAY[member], ARRAY[id::text, stream, topic, partition::text, positions::text]) x;
	IF a.missing IS NOT NULL THEN
		RAISE EXCEPTION 'member "%" does not take partition % of stream "%"', member, partition, stream
			USING ERRCODE = 'connection_failure', DETAIL = rtrim(a.missing, '.') || '.',
			      HINT = CASE WHEN id IS NULL THEN 'Nothing has changed here.'
						 ELSE format('Nobody has the partition until it does: CALL fluct.hand_over(%L, %s, %L); again.', stream, partition, member) END;
	END IF;
	RETURN a.answer[1];
END
$$;
COMMENT ON FUNCTION fluct._ask_to_take(text, uuid, text, text, int, jsonb) IS
'asks a member to take a partition, or, without an id, whether it could; returns the state of the stream there. connection_failure, with its reason, where it does not';

-- It commits, so it cannot have SET; it looks up nothing that is not qualified.
CREATE OR REPLACE PROCEDURE fluct.hand_over(stream text, partition int, to_member text)
LANGUAGE plpgsql
AS $$
DECLARE
	h record;
	state pg_catalog.text;
BEGIN
	SELECT g.* INTO h FROM fluct._give_away(hand_over.stream, hand_over.partition, hand_over.to_member, false) g;
	IF h.topic IS NOT NULL AND h.id IS NULL THEN
		PERFORM fluct._ask_to_take(to_member, NULL::pg_catalog.uuid, stream, h.topic, partition, NULL::pg_catalog.jsonb);
		SELECT g.* INTO h FROM fluct._give_away(hand_over.stream, hand_over.partition, hand_over.to_member, true) g;
		-- a crash must not take back here what is taken there
		IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN
			PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
		END IF;
		COMMIT;
	END IF;
	IF h.topic IS NULL THEN
		RAISE NOTICE 'member "%" has partition % of stream "%" already', to_member, partition, stream;
		RETURN;
	END IF;
	state := fluct._ask_to_take(to_member, h.id, stream, h.topic, partition, h.positions);
	PERFORM fluct._end_hand_over(h.id);
	RAISE NOTICE 'member "%" has partition % of stream "%"; its stream is %', to_member, partition, stream, state;
END
$$;
COMMENT ON PROCEDURE fluct.hand_over(text, int, text) IS
'Hands a partition of a stream of this server over to another member, whose stream of the same name and topic continues at the same offset: no message is lost or doubled. The orders that are stored here stay. To be called by the owner of the stream, with a user mapping of its own for the member''s server, whose role owns the stream there; outside of a transaction, for it commits before it asks the other member. If it fails then, nobody has the partition, health and the rankings say so, and the same call continues. Errors: undefined_object, object_not_in_prerequisite_state, connection_failure where the other member does not take it, insufficient_privilege, active_sql_transaction.';

-- ---------------------------------------------------------------------------
-- There
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._take_over_1(id uuid, stream text, topic text, partition int, positions jsonb) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._take_over_1(uuid, text, text, int, jsonb) IS
'The caller''s stream consumes the partition from these positions on; with the id of a hand-over that it knows, nothing more is done, and without one it only says whether it could. Returns the state of the stream. Errors: undefined_object, insufficient_privilege, object_not_in_prerequisite_state. Version 1.';

CREATE OR REPLACE FUNCTION fluct.__take_over_1(id uuid, stream text, topic text, partition int, positions jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(stream);
	o fluct.stream_offsets;
	taken timestamptz := (SELECT h.begun_at FROM fluct.handovers h WHERE h.id = __take_over_1.id AND h.stream = s.name);
BEGIN
	IF taken IS NULL THEN
		IF s.topic <> topic THEN
			RAISE EXCEPTION 'its stream "%" consumes topic "%"', stream, s.topic USING ERRCODE = 'object_not_in_prerequisite_state';
		ELSIF s.partitions IS NULL OR partition = ANY (s.partitions) THEN
			RAISE EXCEPTION 'its stream "%" consumes partition % already', stream, partition USING ERRCODE = 'object_not_in_prerequisite_state';
		END IF;
		IF id IS NOT NULL THEN
			PERFORM fluct._lock('positions', s.name);
			FOR o IN SELECT x.* FROM jsonb_populate_recordset(NULL::fluct.stream_offsets, positions) x LOOP
				PERFORM FROM fluct.stream_offsets x WHERE x.stream = s.name AND x.topic = o.topic AND x.partition = __take_over_1.partition FOR UPDATE;
				PERFORM fluct._move_position(s, o.topic, partition, o.next_offset, true, o.log_start_offset, o.log_end_offset);
				UPDATE fluct.stream_offsets x
				   SET witness_offset = o.witness_offset, witness_time = o.witness_time, witness_crc = o.witness_crc, cluster_id = o.cluster_id,
					   last_message_time = o.held_until, held_until = o.held_until
				 WHERE x.stream = s.name AND x.topic = o.topic AND x.partition = __take_over_1.partition;
			END LOOP;
			INSERT INTO fluct.handovers (id, stream, partition, positions, begun_by, taken_at)
			VALUES (id, s.name, partition, positions, pg_get_userbyid(fluct._caller()), clock_timestamp());
			PERFORM fluct._set_partitions(s, ARRAY(SELECT p FROM unnest(s.partitions || partition) p ORDER BY p),
										  format('It takes over partition %s.', partition));
			-- the other member has it from here, whether or not its answer came
			UPDATE fluct.handovers h SET taken_at = clock_timestamp()
			 WHERE h.stream = s.name AND h.partition = __take_over_1.partition AND h.to_member IS NOT NULL AND h.taken_at IS NULL;
		END IF;
	ELSIF partition <> ALL (s.partitions) AND NOT EXISTS (
			SELECT FROM fluct.handovers h
			 WHERE h.stream = s.name AND h.partition = __take_over_1.partition AND h.to_member IS NOT NULL AND h.begun_at > taken) THEN
		RAISE EXCEPTION 'its stream "%" took partition % and does not consume it any more', stream, partition
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      HINT = format('SELECT fluct.alter_stream(%L, partitions => ...);', stream);
	END IF;
	RETURN (SELECT v.state FROM fluct._stream_state v WHERE v.stream = s.name);
END
$$;
COMMENT ON FUNCTION fluct.__take_over_1(uuid, text, text, int, jsonb) IS '_take_over_1, as the extension''s owner';
