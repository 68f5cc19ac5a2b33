# Newer wins ("version"), and events that have only some columns ("absent": "keep"), beside a plain program that takes one
# event after the other.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 20, 'fluct.inbox_root' => $root);
my $random = generator(20261126);

sub one_of { return $_[ $random->(scalar @_) ] }

# ----- what a shop's webhooks send, out of order -----

sub stream
{
	my ($name, $tables, $mapping, @messages) = @_;

	return mapped_stream($name, $tables, $mapping, ", on_conflict => 'update'", @messages);
}

stream('webhooks', 'CREATE TABLE webhooks (id bigint PRIMARY KEY, status text, updated_at timestamptz(0)); CREATE TABLE webhook_lines (id bigint, sku text)',
	'{"columns": {"id": "$.id", "status": "$.financial_status", "updated_at": "$.updated_at"}, "version": "updated_at",
		"children": [{"target": "webhook_lines", "rows": "$.line_items[*]", "columns": {"id": "$.id", "sku": "@.sku"}}]}',
	'{"id": 1, "financial_status": "paid", "updated_at": "2026-11-26T12:00:02Z", "line_items": [{"sku": "b"}]}',
	'{"id": 1, "financial_status": "pending", "updated_at": "2026-11-26T12:00:01+00:00", "line_items": [{"sku": "a"}, {"sku": "x"}]}',
	'{"id": 2, "financial_status": "pending", "updated_at": null, "line_items": [{"sku": "c"}]}');
is(sql("SELECT string_agg(concat_ws(' ', id, status), ', ' ORDER BY id) FROM webhooks"), '1 paid, 2 pending', 'the newer one of a batch');
is(sql("SELECT string_agg(sku, '' ORDER BY sku) FROM webhook_lines"), 'bc', '... with its lines');
more_messages('webhooks', '{"id": 1, "financial_status": "voided", "updated_at": "2026-11-26T12:00:01.4Z", "line_items": []}');
more_messages('webhooks', '{"id": 1, "financial_status": "voided", "line_items": []}');
is(sql('SELECT status FROM webhooks WHERE id = 1'), 'paid', 'an older one, or one without a time, changes nothing');
is(sql("SELECT duplicates FROM fluct.stat_streams WHERE stream = 'webhooks'"), '3', '... and is a duplicate');
more_messages('webhooks', '{"id": 1, "financial_status": "refunded", "updated_at": "2026-11-26T12:00:01.6Z", "line_items": [{"sku": "d"}]}');
is(sql('SELECT status FROM webhooks WHERE id = 1'), 'refunded', 'one of the same time, as the column has it, replaces it');
more_messages('webhooks', '{"id": 2, "financial_status": "open", "line_items": []}');
more_messages('webhooks', '{"id": 2, "financial_status": "paid", "updated_at": "2020-01-01T00:00:00Z", "line_items": [{"sku": "e"}]}');
is(sql("SELECT string_agg(concat_ws(' ', w.id, status, sku), ', ' ORDER BY w.id) FROM webhooks w LEFT JOIN webhook_lines USING (id)"), '1 refunded d, 2 paid e', 'a stored NULL is older than anything');
my $now = sql('TABLE webhooks; TABLE webhook_lines');
etl("SELECT fluct.pause_stream('webhooks'); CALL fluct.reprocess_stream('webhooks')");
is(sql('TABLE webhooks; TABLE webhook_lines'), $now, 'reprocess_stream changes nothing');

# ----- domains over types whose operators are not theirs: as key, as version and in deletes -----

etl(q{CREATE TYPE step AS ENUM ('first', 'second', 'third'); CREATE DOMAIN one_step AS step; CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 3)});
stream('steps', 'CREATE TABLE steps (k one_step, ks few, v one_step, note text, PRIMARY KEY (k, ks)); CREATE TABLE steps_lines (k one_step, ks few, n int)',
	'{"columns": {"k": "$.k", "ks": "$.ks", "v": "$.v", "note": "$.note"}, "version": "v", "delete": {"where": {"$.op": "d"}},
		"children": [{"target": "steps_lines", "rows": "$.lines[*]", "columns": {"k": "$.k", "ks": "$.ks", "n": "@"}}]}',
	'{"k": "first", "ks": [1], "v": "second", "note": "a", "lines": [1, 2]}', '{"k": "first", "ks": [2], "v": "first", "note": "b", "lines": [3]}');
more_messages('steps', '{"k": "first", "ks": [1], "v": "first", "note": "older", "lines": []}', '{"k": "first", "ks": [2], "v": "third", "note": "c", "lines": [4]}');
my $steps = q(SELECT string_agg(concat_ws(' ', s.k, s.ks, s.v, note, n), ', ' ORDER BY s.ks, n) FROM steps s LEFT JOIN steps_lines l ON (l.k::step, l.ks) = (s.k::step, s.ks));
is(sql($steps), 'first {1} second a 1, first {1} second a 2, first {2} third c 4', 'a domain over an enum is the version, and of the key; so is one over an array');
etl("SELECT fluct.pause_stream('steps'); CALL fluct.reprocess_stream('steps'); SELECT fluct.start_stream('steps')");
is(sql($steps), 'first {1} second a 1, first {1} second a 2, first {2} third c 4', '... reprocess_stream changes nothing');
more_messages('steps', '{"k": "first", "ks": [1], "op": "d"}');
is(sql($steps), 'first {2} third c 4', '... and what is deleted goes, with its lines');
is(letters('steps'), '', '... no dead letters');

# ----- stored again: what is there as it is stays -----

stream('again', 'CREATE TABLE again (id int PRIMARY KEY, v numeric, note text, seen int); CREATE TABLE again_lines (id int, sku text, "50%" int)',
	'{"columns": {"id": "$.id", "v": "$.v", "note": "$.note"},
		"children": [{"target": "again_lines", "rows": "$.lines[*]", "columns": {"id": "$.id", "sku": "@.sku", "50%": "@.n"}}]}',
	map { "{\"id\": $_, \"v\": 1.50, \"note\": null, \"lines\": [{\"sku\": \"a\", \"n\": 1}, {\"sku\": \"b\", \"n\": null}, {\"sku\": \"b\", \"n\": null}, {\"sku\": \"c\", \"n\": 2}]}" } 1 .. 9);
etl("SELECT fluct.pause_stream('again'); UPDATE again SET seen = id; CREATE TABLE as_sent AS TABLE again; CREATE TABLE lines_sent AS TABLE again_lines");

# what differs from what was sent, and which orders' rows were written since
my $differences = 'SELECT count(*) FROM ((TABLE again EXCEPT ALL TABLE as_sent) UNION ALL (TABLE as_sent EXCEPT ALL TABLE again)) p
	UNION ALL SELECT count(*) FROM ((TABLE again_lines EXCEPT ALL TABLE lines_sent) UNION ALL (TABLE lines_sent EXCEPT ALL TABLE again_lines)) l';
my $newest = q(SELECT coalesce(string_agg(DISTINCT id::text, ' '), '') FROM (SELECT id, xmin FROM again UNION ALL SELECT id, xmin FROM again_lines) r WHERE xmin::text::bigint >= );

sub stored_again
{
	my ($what, $written, $change) = @_;

	etl($change) if $change;
	my $now = sql('SELECT pg_current_xact_id()::text');
	etl("CALL fluct.reprocess_stream('again')");
	is(sql($differences), "0\n0", "$what: stored again as sent");
	return is(sql($newest . $now), $written, "$what: ... and only what was not");
}

stored_again('all is there', '');
stored_again('values', '1 2', 'UPDATE again SET v = 1.5 WHERE id = 1; UPDATE again SET note = $$x$$ WHERE id = 2');
stored_again('lines', '3 4 5', 'DELETE FROM again_lines WHERE ctid IN (SELECT min(ctid) FROM again_lines WHERE id = 3 AND sku = $$b$$);
	INSERT INTO again_lines SELECT DISTINCT ON (id) * FROM again_lines WHERE id = 4; UPDATE again_lines SET sku = $$c$$, "50%" = 2 WHERE id = 5 AND sku = $$a$$');
stored_again('another order', '', 'INSERT INTO again_lines SELECT * FROM lines_sent WHERE id = 6 ORDER BY sku DESC; DELETE FROM again_lines WHERE ctid IN (SELECT ctid FROM again_lines WHERE id = 6 ORDER BY ctid LIMIT 4)');
stored_again('rows that are gone', '7 8', 'DELETE FROM again_lines WHERE id = 7; DELETE FROM again WHERE id = 8; INSERT INTO again (id, seen) VALUES (8, 8)');
stored_again('a trigger', '1 2 3 4 5 6 7 8 9', 'CREATE TABLE met (); CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.met DEFAULT VALUES; RETURN NEW; END$$;
	CREATE TRIGGER meet BEFORE UPDATE ON again FOR EACH ROW EXECUTE FUNCTION meet()');
is(sql('SELECT count(*) FROM met'), '9', '... fires for each');
stored_again('a column that nothing maps', '1 2 3 4 5 6 7 8 9', 'DROP TRIGGER meet ON again; ALTER TABLE again_lines ADD COLUMN more int DEFAULT 1; ALTER TABLE lines_sent ADD COLUMN more int DEFAULT 1; UPDATE again_lines SET more = 2 WHERE id = 9');

# somebody else's change that is not committed yet is waited for, and seen
etl('ALTER TABLE again_lines DROP COLUMN more; ALTER TABLE lines_sent DROP COLUMN more');
my $other = $node->background_psql('postgres');
my $again = $node->background_psql('postgres', extra_params => [ '-U', 'etl' ]);
$other->query_safe('BEGIN; UPDATE again SET note = note WHERE id = 9; DELETE FROM again_lines WHERE id = 9');
$again->query_until(qr/begun/, "\\echo begun\nCALL fluct.reprocess_stream('again');\n");
ok(poll($node, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL fluct.reprocess%' AND wait_event_type = 'Lock'", 1), 'a writer is waited for');
$other->query_safe('COMMIT');
$other->quit;
$again->quit;
is(sql($differences), "0\n0", '... and what it did is seen');

# ----- some columns at a time -----

stream('state', q(CREATE TABLE state (id int PRIMARY KEY, flavor text, item text DEFAULT 'none', n int, tags text[], extra jsonb); CREATE TABLE state_kids (id int, k text)),
	'{"columns": {"id": "$.id", "flavor": "$.flavor", "item": "$.item", "n": {"path": "$.n", "default": 5}, "tags": "$.tags"}, "extra": "extra", "absent": "keep",
		"children": [{"target": "state_kids", "rows": "$.kids[*]", "required": false, "columns": {"id": "$.id", "k": "@"}}]}',
	'{"id": 1, "flavor": "chocolate", "kids": ["a", "b"]}', '{"id": 1, "item": "cookie", "tags": ["t"]}', '{"id": 2, "more": true}', '{"id": 1, "flavor": null}', '{"id": 2, "n": 1, "kids": ["c"]}');
is(sql("SELECT concat_ws(' ', id, flavor, item, n, tags, extra) FROM state ORDER BY id"), qq(1 cookie 5 {t}\n2 none 1 {"more": true}), 'what is absent stays; null does not; a new row has defaults');
more_messages('state', '{"id": 1, "kids": []}', '{"id": 2}');
is(sql("SELECT string_agg(id || k, ' ' ORDER BY k) FROM state_kids"), '2c', 'so do children whose array is absent');
more_messages('state', '{"id": 1, "n": "x"}', '{"id": 1, "n": 9}', '{"n": 9}');
is(letters('state'), '7 wrong_type $.n, 9 missing_field $.id', 'what is wrong is no less wrong');
is(sql('SELECT n FROM state WHERE id = 1'), '9', '... and the others are stored');

# ----- at random, beside a program -----

sub event
{
	my ($ids) = @_;
	my @fields = ('"id": ' . $random->($ids));

	push(@fields, '"v": ' . one_of('null', map { $random->(30) } 1 .. 6)) if $random->(6);
	push(@fields, '"a": ' . one_of('null', '"x"', '"y"', '"z"')) if $random->(2);
	push(@fields, '"b": ' . one_of('null', 1, 2, 3)) if $random->(2);
	push(@fields, '"kids": ' . one_of('null', '[]', '["k"]', '["l", "m"]')) if $random->(2);
	push(@fields, '"op": "d"') if $random->(12) == 0;
	return '{' . join(', ', @fields) . '}';
}

sql(q{CREATE FUNCTION program(stream text, version boolean, keep boolean) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE m record; r record; dup bigint := 0; j jsonb; e jsonb; k text := stream || '_kids';
	BEGIN
		CREATE TEMP TABLE p (id int PRIMARY KEY, v bigint, a text DEFAULT 'd', b int); CREATE TEMP TABLE p_kids (id int, n int, k text);
		FOR m IN SELECT convert_from(value, 'UTF8')::jsonb AS j FROM sales.raw_messages x WHERE x.stream = $1 ORDER BY "offset" LOOP
			FOR e IN SELECT * FROM jsonb_array_elements(CASE jsonb_typeof(m.j) WHEN 'array' THEN m.j ELSE jsonb_build_array(m.j) END) LOOP
				j := e;
				SELECT * INTO r FROM p WHERE id = (j->>'id')::int;
				IF j->>'op' = 'd' THEN
					dup := dup + (r.id IS NULL)::int;
					DELETE FROM p WHERE id = r.id; DELETE FROM p_kids WHERE id = r.id;
					CONTINUE;
				ELSIF r.id IS NULL THEN
					INSERT INTO p VALUES ((j->>'id')::int, (j->>'v')::bigint, CASE WHEN j ? 'a' THEN j->>'a' ELSE 'd' END, (j->>'b')::int);
				ELSIF version AND r.v IS NOT NULL AND ((j->>'v') IS NULL OR (j->>'v')::bigint < r.v) THEN
					dup := dup + 1;
					CONTINUE;
				ELSE
					UPDATE p SET v = CASE WHEN j ? 'v' OR NOT keep THEN (j->>'v')::bigint ELSE p.v END,
						a = CASE WHEN j ? 'a' THEN j->>'a' WHEN keep THEN p.a ELSE 'd' END,
						b = CASE WHEN j ? 'b' OR NOT keep THEN (j->>'b')::int ELSE p.b END WHERE id = r.id;
				END IF;
				CONTINUE WHEN keep AND NOT j ? 'kids';
				DELETE FROM p_kids WHERE id = (j->>'id')::int;
				INSERT INTO p_kids SELECT (j->>'id')::int, n, x FROM jsonb_array_elements_text(CASE jsonb_typeof(j->'kids') WHEN 'array' THEN j->'kids' ELSE '[]' END) WITH ORDINALITY k(x, n);
			END LOOP;
		END LOOP;
		RETURN dup;
	END $$});

sub is_as_a_program
{
	my ($name, $version, $keep, $counted, $what) = @_;

	return is(sql("CREATE TEMP TABLE d AS SELECT program('$name', $version, $keep) AS dup;
		SELECT (SELECT count(*) FROM (TABLE $name EXCEPT ALL TABLE p) x), (SELECT count(*) FROM (TABLE p EXCEPT ALL TABLE $name) x),
			(SELECT count(*) FROM (TABLE ${name}_kids EXCEPT ALL TABLE p_kids) x), (SELECT count(*) FROM (TABLE p_kids EXCEPT ALL TABLE ${name}_kids) x), count(*) > 2,
			CASE WHEN $counted THEN (SELECT duplicates FROM fluct.stat_streams WHERE stream = '$name') = dup END FROM p, d GROUP BY dup"),
		'0|0|0|0|t|' . ($counted eq 'true' ? 't' : ''), "$name: $what");
}

foreach my $round ([ 'v1', 'version', 1 ], [ 'v7', 'version', 7 ], [ 'vall', 'version', 1000 ], [ 'k7', 'keep', 7 ], [ 'kall', 'keep', 1000 ],
	[ 'b7', 'both', 7 ], [ 'ball', 'both', 1000 ], [ 'blist', 'both', 50, 1 ], [ 'vlist', 'version', 50, 1 ])
{
	my ($name, $what, $batch, $list) = @$round;
	my ($version, $keep) = ($what eq 'keep' ? 'false' : 'true', $what eq 'version' ? 'false' : 'true');
	my ($top, $row) = $list ? ('"rows": "$[*]", ', '@') : ('', '$');
	my $deletes = $batch == 1000;
	my $delete = !$deletes ? '' : '"delete": {"where": {"$.op": "d"}}, ';

	$kafka->create_topic($name);
	my $events = sub { my $e = event(6); $e =~ s/, "op": "d"// unless $deletes; return $e };
	$kafka->produce($name, [ map { $list ? '[' . join(', ', map { $events->() } 1 .. $random->(5)) . ']' : $events->() } 1 .. 600 ]);
	etl("SET client_min_messages = warning; CREATE TABLE $name (id int PRIMARY KEY, v bigint, a text DEFAULT 'd', b int); CREATE TABLE ${name}_kids (id int, n int, k text);
		SELECT fluct.create_stream('$name', 'shop', '$name', target => '$name', on_conflict => 'update', batch_size => $batch, start => true, mapping => '{$top$delete"
		. ($version eq 'true' ? '"version": "v", ' : '') . ($keep eq 'true' ? '"absent": "keep", ' : '')
		. "\"columns\": {\"id\": \"$row.id\", \"v\": \"$row.v\", \"a\": \"$row.a\", \"b\": \"$row.b\"},
			\"children\": [{\"target\": \"${name}_kids\", \"rows\": \"$row.kids[*]\", \"required\": false, \"columns\": {\"id\": \"" . ($list ? '^' : '$') . ".id\", \"n\": \"#\", \"k\": \"@\"}}]}')");
	ok(caught_up($node, $name), "$name: all went through");
	is_as_a_program($name, $version, $keep, $keep eq 'true' && !$deletes && !$list ? 'true' : 'false', 'the tables of a program');
	is(letters($name), '', "$name: no dead letter");
}
etl("SELECT fluct.pause_stream('ball'); TRUNCATE ball, ball_kids; CALL fluct.reprocess_stream('ball')");
is_as_a_program('ball', 'true', 'true', 'false', 'the same by reprocess_stream');

# ----- two workers with the same keys, killed meanwhile; several records a message -----

{
	my @versions = map { [ $_ % 9, $_ ] } 1 .. 4000;
	my (%last, @messages);
	foreach my $n (0 .. $#versions) { my $other = $random->(scalar @versions); @versions[ $n, $other ] = @versions[ $other, $n ]; }
	foreach (@versions) { $last{ $_->[0] } = $_->[1] if ($last{ $_->[0] } // 0) < $_->[1] }
	while (my @some = splice(@versions, 0, 1 + $random->(3)))
	{
		push(@messages, '{"list": [' . join(', ', map { "{\"id\": $_->[0], \"v\": $_->[1], \"kids\": [$_->[1], -$_->[1]]}" } @some) . ']}');
	}
	$kafka->create_topic('race', 2);
	foreach my $partition (0, 1)
	{
		$kafka->produce('race', [ @messages[ grep { $_ % 2 == $partition } 0 .. $#messages ] ], partition => $partition);
	}
	etl(q(CREATE TABLE race (id int PRIMARY KEY, v int); CREATE TABLE race_kids (id int, k int);
		SELECT fluct.create_stream('race', 'shop', 'race', target => 'race', on_conflict => 'update', workers => 2, batch_size => 20, start => true,
			mapping => '{"rows": "$.list[*]", "columns": {"id": "@.id", "v": "@.v"}, "version": "v",
				"children": [{"target": "race_kids", "rows": "@.kids[*]", "columns": {"id": "^.id", "k": "@"}}]}')));
	foreach my $share (100, 700)
	{
		poll($node, "SELECT coalesce(sum(messages), 0) >= $share FROM fluct.stream_offsets WHERE stream = 'race'");
		crash_worker($node);
	}
	ok(caught_up($node, 'race'), 'race: all went through');
	is(sql("SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM race"), join(' ', map { "$_:$last{$_}" } sort keys %last), 'two workers: the newest of each key');
	is(sql('SELECT string_agg(id || chr(58) || k, $$ $$ ORDER BY id, k DESC) FROM race_kids'), join(' ', map { "$_:$last{$_} $_:-$last{$_}" } sort keys %last), '... and its children alone');
	is(etl("SELECT sum(offsets - stored - duplicates), sum(unexplained) FROM fluct.reconcile_stream('race')"), '0|0', '... all accounted for');
}

# ----- a publication that forbids the update -----

mapped_stream('published', 'CREATE TABLE published (id int PRIMARY KEY, v int)', '{"columns": {"id": "$.id", "v": "$.v"}}', q{, on_conflict => 'update'}, '{"id": 1, "v": 1}');
sql('SET client_min_messages = error; CREATE PUBLICATION large FOR TABLE published WHERE (v > 1)');
$kafka->produce('published', ['{"id": 1, "v": 2}']);
ok(await_state($node, 'published', 'failed/error'), 'a row filter that the replica identity does not cover');
like(detail('published'), qr/cannot update table "published" \(SQLSTATE 42P10\)\. Column used in the publication WHERE expression/, '... which is said, and not that a key is missing');
sql("ALTER TABLE published REPLICA IDENTITY FULL; SELECT fluct.start_stream('published')");
ok(caught_up($node, 'published'), '... it goes on');
is(sql('SELECT v FROM published'), 2, '... and updates');

my $columns_of_bare = q{SELECT CASE status WHEN 'ok' THEN 'ok' ELSE detail END FROM fluct.check_stream('bare') WHERE item = 'columns'};
mapped_stream('bare', 'CREATE TABLE bare (id int NOT NULL UNIQUE, v int); CREATE TABLE bare_kids (id int, v int) PARTITION BY LIST (id); CREATE TABLE bare_kids_1 PARTITION OF bare_kids FOR VALUES IN (1)',
	'{"columns": {"id": "$.id", "v": "$.v"}, "children": [{"target": "bare_kids", "rows": "$.kids[*]", "columns": {"id": "$.id", "v": "@"}}]}',
	q{, on_conflict => 'update'}, '{"id": 1, "v": 1, "kids": [1]}');
is(etl($columns_of_bare), 'ok', 'in no publication');
sql('SET client_min_messages = error; CREATE PUBLICATION parent FOR TABLE bare; CREATE PUBLICATION kids FOR TABLE bare_kids');
is(etl($columns_of_bare), 'publication parent has updates and deletes of public.bare, which has no replica identity', 'check_stream: no replica identity');
$kafka->produce('bare', ['{"id": 1, "v": 2, "kids": [2]}']);
ok(await_state($node, 'bare', 'backing_off/error'), '... without which the update waits');
like(detail('bare'), qr/replica identity and publishes .*\(SQLSTATE 55000\)\. To enable .*set REPLICA IDENTITY/, '... and says for what');
sql('ALTER TABLE bare REPLICA IDENTITY FULL');
is(etl($columns_of_bare), 'publication kids has updates and deletes of public.bare_kids_1, which has no replica identity', '... nor has a partition of a child');
sql('ALTER TABLE bare_kids_1 REPLICA IDENTITY FULL');
is(etl($columns_of_bare), 'ok', '... with both all is well');
ok(caught_up($node, 'bare'), '... and it goes on by itself');
is(sql('SELECT b.v, k.v FROM bare b JOIN bare_kids k USING (id)'), '2|2', '... and updates');

# ----- a file -----

write_file("$root/u.jsonl", qq({"id": 1, "v": 2, "a": "new"}\n{"id": 1, "v": 1, "b": 5}\n{"id": 1, "v": 3, "b": 6}\n));
etl('CREATE TABLE filed (id int PRIMARY KEY, v int, a text, b int)');
is(etl(q(SELECT status, inserted, duplicates FROM fluct.load_table('u.jsonl', 'filed', '{"columns": {"id": "$.id", "v": "$.v", "a": "$.a", "b": "$.b"}, "version": "v", "absent": "keep"}'))), 'loaded|2|1', 'load_table');
is(sql('TABLE filed'), '1|3|new|6', '... by the same words');

# ----- what is said of a wrong mapping -----

sql('CREATE TABLE IF NOT EXISTS odd (id int PRIMARY KEY, p point, j json, x int); ALTER TABLE odd OWNER TO etl');
my $columns = '"columns": {"id": "$.id", "p": "$.p", "j": "$.j"}';
foreach my $wrong (
	[ 'nothing', "{$columns, \"version\": \"id\"}", qr/22023: mapping: "version" needs on_conflict update/ ],
	[ 'error', "{$columns, \"absent\": \"keep\"}", qr/22023: mapping: "absent" needs on_conflict update/ ],
	[ 'update', "{$columns, \"absent\": \"null\"}", qr/22023: mapping: "absent" must be "keep"/ ],
	[ 'update', "{$columns, \"version\": \"nope\"}", qr/42703: mapping: table public\.odd has no column "nope"/ ],
	[ 'update', "{$columns, \"version\": \"x\"}", qr/22023: mapping: nothing is mapped to column "x"/ ],
	[ 'update', "{$columns, \"version\": \"p\"}", qr/22023: mapping: column "p" of public\.odd cannot be the "version"\n.*DETAIL:  The values of type point have no order/ ],
	[ 'update', "{$columns, \"version\": \"j\"}", qr/22023: mapping: column "j"/ ],
	[ 'update', "{$columns, \"version\": 1}", qr/22023: mapping: "version" must be a string/ ])
{
	fails_like($node, "SELECT fluct.create_stream('odd', 'shop', 'odd', target => 'odd', on_conflict => '$wrong->[0]', mapping => '$wrong->[1]')", $wrong->[2], "$wrong->[0] $wrong->[1]", as => 'etl');
}
fails_like($node, "SELECT fluct.alter_stream('webhooks', on_conflict => 'nothing')", qr/22023: mapping: "version" needs on_conflict update/, 'nor later', as => 'etl');

done_testing();
