-- declare.sql: a stream as it should be, for migrations and other tools that
-- say the same thing again and again.

CREATE OR REPLACE FUNCTION fluct.create_or_alter_stream(
	name text, server text, topic text,
	target regclass DEFAULT NULL,
	mapping jsonb DEFAULT NULL,
	on_conflict text DEFAULT 'nothing',
	start_at text DEFAULT NULL,
	on_bad_message text DEFAULT 'dead_letter',
	on_data_loss text DEFAULT 'fail',
	max_dead_letters int DEFAULT 1000,
	error_window interval DEFAULT '1 hour',
	batch_size int DEFAULT 10000,
	batch_bytes bigint DEFAULT 8388608,
	batch_interval interval DEFAULT '100 ms',
	workers int DEFAULT 1,
	keep_raw boolean DEFAULT true,
	partitions int[] DEFAULT NULL,
	start boolean DEFAULT false,
	framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.create_or_alter_stream(text, text, text, regclass, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], boolean, text, text) IS
'Creates a stream, or changes what is not as given; the same call again changes nothing, and does not disturb its workers. Arguments as create_stream. Where it exists: mapping and partitions stay if they are NULL; start_at is that of the first start, and counts no more; start starts it where nobody has, or somebody paused it, and false does not pause it; another target is an error. Returns what it did.';

CREATE OR REPLACE FUNCTION fluct._create_or_alter_stream(
	name text, server text, topic text, target regclass, mapping jsonb, on_conflict text,
	start_at text, on_bad_message text, on_data_loss text, max_dead_letters int,
	error_window interval, batch_size int, batch_bytes bigint, batch_interval interval,
	workers int, keep_raw boolean, partitions int[], start boolean, framing text, on_tombstone text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams;
	now_given jsonb;
	changed text;
	did text;
BEGIN
	IF name IS NOT NULL THEN
		PERFORM fluct._lock('stream', name);
	END IF;
	IF NOT EXISTS (SELECT FROM fluct.streams t WHERE t.name = _create_or_alter_stream.name) THEN
		RETURN fluct._create_stream(name, server, topic, target, mapping, on_conflict, start_at, on_bad_message, on_data_loss,
			max_dead_letters, error_window, batch_size, batch_bytes, batch_interval, workers, keep_raw, partitions, start, framing, on_tombstone);
	END IF;
	s := fluct._own_stream(name);
	target := coalesce(target, to_regclass('sales.orders'));
	IF target IS DISTINCT FROM to_regclass(s.target) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('stream "%s" fills %s, not %s', name, s.target, coalesce(fluct._qualified(target), 'sales.orders')),
			DETAIL = 'The target of a stream cannot be changed.',
			HINT = format('Give the new one another name, or: SELECT fluct.drop_stream(%L);', name);
	END IF;
	mapping := CASE WHEN mapping IS NOT NULL THEN fluct._with_schemas(target, fluct._whole_mapping(target, mapping, fluct._stream_owner(s))) END;
	now_given := jsonb_strip_nulls(jsonb_build_object('server', server, 'topic', fluct._check_topic(topic), 'mapping', mapping,
		'on_conflict', on_conflict, 'on_bad_message', on_bad_message, 'on_data_loss', on_data_loss, 'max_dead_letters', max_dead_letters,
		'error_window', error_window, 'batch_size', batch_size, 'batch_bytes', batch_bytes, 'batch_interval', batch_interval,
		'workers', workers, 'keep_raw', keep_raw, 'partitions', fluct._as_set(partitions), 'framing', framing, 'on_tombstone', on_tombstone));
	SELECT string_agg(g.key, ', ' ORDER BY g.key) INTO changed
	  FROM jsonb_each(now_given) g WHERE g.value IS DISTINCT FROM to_jsonb(s) -> g.key;
	IF changed IS NOT NULL THEN
		PERFORM fluct._alter_stream(name, server, mapping, on_conflict, NULL, on_bad_message, on_data_loss, max_dead_letters,
			error_window, batch_size, batch_bytes, batch_interval, workers, keep_raw, partitions, topic, framing, on_tombstone);
	END IF;
	IF start AND NOT s.enabled THEN
		PERFORM fluct._start_stream(name);
		did := 'started';
	END IF;
	RETURN format('stream "%s" %s', name, coalesce(nullif(concat_ws('; ', 'altered: ' || changed, did), ''), 'is unchanged'));
END
$$;
COMMENT ON FUNCTION fluct._create_or_alter_stream(text, text, text, regclass, jsonb, text, text, text, text, int, interval, int, bigint, interval, int, boolean, int[], boolean, text, text) IS
'create_or_alter_stream, as the extension''s owner.';
