# No message stops a stream, and no row is wrong without a word: what one
# message may cost, whose fault an error is, and updates with children.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 20);

# A stream of that name, topic and target, until all went through.
sub stream
{
	my ($name, $messages, $options, %produce) = @_;

	$kafka->create_topic($name) unless $kafka->{topics}{$name};
	$kafka->produce($name, $messages, %produce);
	etl("SET client_min_messages = warning;
		SELECT fluct.create_stream('$name', 'shop', '$name', start => true, $options)");
	ok(caught_up($node, $name), "$name: all went through") or diag(detail($name));
	return;
}

# ----- what one message, or one batch, may cost -----

my $children = q('{"columns": {"id": "$.id"}, "children": [{"target": "big_lines", "rows": "$.lines[*]",
	"columns": {"id": "$.id", "n": "@.n", "m": "@.m"}}]}');

etl('CREATE TABLE big (id text); CREATE TABLE big_lines (id text, n int, m int)');
stream('big', [
		'{"id": "' . ('k' x 100_000) . '", "lines": [' . join(',', ('{"n":1}') x 12_000) . ']}',
		(map { '{"id": "' . ('k' x 20_000) . $_ . '", "lines": [' . join(',', ('{"n":1}') x 500) . ']}' } 1 .. 40),
		'{"id": "a", "lines": [' . join(',', ('{}') x 5_200_000) . ']}',
		'{"id": "b", "lines": [{"n": 1}]}' ],
	"target => 'big', mapping => $children, keep_raw => false");
is(letters('big'), '0 too_large $, 41 too_large $.lines[' . int(64 * 1024 * 1024 / 14) . ']',
	'rows of more than 64 MB');
is(sql('SELECT count(*), (SELECT count(*) FROM big_lines) FROM big'), '41|20001', 'all others');
cmp_ok(sql("SELECT count(DISTINCT xmin::text) FROM big"), '>', 1, 'a batch ends by the bytes of its rows');

etl('CREATE TABLE heads (off bigint, h jsonb)');
stream('heads', [ ('{}') x 60 ], q(target => 'heads', mapping => '{"columns": {"off": "kafka.offset", "h": "kafka.headers"}}'),
	headers => { map { ("h$_" => 'x' x 90_000) } 1 .. 10 });
is(sql('SELECT count(*), min(length(h::text)) > 900000 FROM heads'), '60|t', 'headers of 900 KB');
cmp_ok(sql('SELECT count(DISTINCT xmin::text) FROM heads'), '>', 3, 'they are counted');

# what is short in the message, and padded with blanks in the table
etl('CREATE TABLE pads (off bigint, c char(1000000), a char(100000)[], region char(100000)); CREATE TABLE pad_lines (c char(100000), region char(100000))');
stream('pads', [ (map { "{$_}" } '"a": [' . join(',', ('"a"') x 1000) . ']', '"a": "{' . join(',', ('a') x 1000) . '}"', '"lines": [' . join(',', ('{"c": "x"}') x 1000) . ']',
		'"region": "x", "lines": [' . join(',', ('{}') x 1000) . ']'), '{"c": "x", "a": ["a", "b"], "region": "x", "lines": [{"c": "x"}, {}]}' ],
	q(target => 'pads', keep_raw => false, mapping => '{"columns": {"off": "kafka.offset", "c": "$.c", "a": "$.a", "region": "$.region"},
		"children": [{"target": "pad_lines", "rows": "$.lines[*]", "required": false, "columns": {"c": "@.c", "region": "$.region"}}]}'));
is(letters('pads'), join(', ', map { "$_ too_large \$" } 0 .. 3), 'padding counts');
is(sql('SELECT off, octet_length(c), octet_length(a[2]), (SELECT sum(octet_length(region)) FROM pad_lines) FROM pads'), '4|1000000|100000|200000', 'and is stored');

# more cells than any message needs: 2 million rows of 50 columns
etl('CREATE TABLE cells (id text); CREATE TABLE cell_lines (' . join(', ', map { "a$_ int" } 0 .. 49) . ')');
stream('cells', [ '{"id": "a", "lines": [' . join(',', ('{"a0":1}') x 1_800_000) . ']}', '{"id": "b", "lines": [{"a0": 1}]}' ],
	q(target => 'cells', keep_raw => false, mapping => '{"columns": {"id": "$.id"}, "children": [{"target": "cell_lines",
		"rows": "$.lines[*]", "columns": {) . join(', ', map { qq("a$_": "\@.a$_") } 0 .. 49) . q(}}]}'));
like(letters('cells'), qr/^0 too_large \$\.lines\[\d+\]$/, 'rows of more cells than fit');
is(sql('SELECT count(*) FROM cell_lines'), 1, 'the next one is stored');

# a compressed record that unpacks to more than a response may be
$kafka->create_topic('zstd');
$kafka->produce('zstd', ['{"n": 1}']);
IPC::Run::run([ 'kcat', '-P', '-b', $kafka->bootstrap, '-t', 'zstd', '-z', 'zstd', '-X', 'message.max.bytes=1000000000' ],
	'<', \('{"n": 2, "x": "' . ('x' x 45_000_000) . '"}'));
number_stream('zstd');
ok(await_state($node, 'zstd', 'failed/message_too_large'), '45 MB of zstd');
like(detail('zstd'), qr/^partition 0, offset 1: /, 'and where they are');
is(sql('SELECT n FROM zstd'), 1, 'what came before is stored');

# ----- Kafka's time -----

$kafka->create_topic($_, 1, 'message.timestamp.after.max.ms=9223372036854775807') foreach qw(times mapped);
etl('CREATE TABLE times (off bigint); CREATE TABLE mapped (off bigint, at timestamptz)');
stream('times', ['{}'], q(target => 'times', mapping => '{"columns": {"off": "kafka.offset"}}'),
	timestamp => 1_700_000_000_000_000_000);
is(sql(q(SELECT count(*), count(message_time) FROM sales.raw_messages WHERE stream = 'times')), '1|0',
	'a time in nanoseconds is not kept');
stream('mapped', ['{}'], q(target => 'mapped', mapping => '{"columns": {"off": "kafka.offset", "at": "kafka.timestamp"}}'),
	timestamp => 1_700_000_000_000_000_000);
is(letters('mapped'), '0 out_of_range kafka.timestamp', 'and refused where it is mapped');
is(etl(q(SELECT status, reason FROM fluct.retry_dead_letters(stream => 'mapped'))), 'open|out_of_range', 'also when it is retried');
etl("SELECT fluct.pause_stream('mapped'); CALL fluct.reprocess_stream('mapped', force => true)");
is(sql('SELECT count(*) FROM mapped'), 0, 'and when it is stored again');

# ----- keys with a typmod -----

etl('CREATE TABLE short (id varchar(3) PRIMARY KEY, n int); CREATE TABLE round (id numeric(10,0) PRIMARY KEY);
	CREATE TABLE lower (id text PRIMARY KEY);
	CREATE FUNCTION lower_id() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.id := lower(NEW.id); RETURN NEW; END$$;
	CREATE TRIGGER t BEFORE INSERT ON lower FOR EACH ROW EXECUTE FUNCTION lower_id()');
stream('short', [ '{"id": "abc ", "n": 1}', '{"id": "abc", "n": 2}', '{"id": "abcd", "n": 3}' ], q(target => 'short'));
is(sql(q(SELECT string_agg(id || n, ' ') FROM short)) . ' ' . letters('short'), 'abc1 2 too_long $.id', 'varchar(3)');
stream('round', [ '{"id": 1.4}', '{"id": 1}', '{"id": 2.5}' ], q(target => 'round'));
is(sql(q(SELECT string_agg(id::text, ' ' ORDER BY id) FROM round)), '1 3', 'numeric(10,0)');
stream('lower', [ '{"id": "A"}', '{"id": "B"}', '{"id": "a"}', '{"id": "C"}' ], q(target => 'lower'));
is(sql(q(SELECT string_agg(id, ' ' ORDER BY id) FROM lower)) . letters('lower'), 'a b c', 'a trigger that changes keys');

# ----- keys that travel as text -----

etl(q(CREATE TYPE spot AS (x int, label text);
	CREATE DOMAIN tags AS text[];
	CREATE TABLE listed (id int[] PRIMARY KEY, n int);
	CREATE TABLE spots (a tags, b spot, n int, v int[], UNIQUE (a, b));
	ALTER TABLE spots ALTER a SET NOT NULL, ALTER b SET NOT NULL;
	CREATE TABLE spot_lines (a tags, b spot, n int)));
stream('listed', [ '{"id": [1, 2], "n": 1}', '{"id": [1, 2], "n": 2}', '{"id": [[1, 2]], "n": 3}', '{"id": [null], "n": 4}',
		'{"id": [null], "n": 5}' ], q(target => 'listed'));
$kafka->produce('listed', [ '{"id": [1,  2], "n": 6}', '{"id": [], "n": 7}' ]);
ok(caught_up($node, 'listed'), 'a second batch');
is(sql(q(SELECT string_agg(format('%s=%s', id, n), ' ' ORDER BY n) FROM listed)) . ' ' . letters('listed')
		. sql(q(SELECT duplicates FROM fluct.stat_streams WHERE stream = 'listed')),
	'{1,2}=1 {{1,2}}=3 {NULL}=4 {}=7 3', 'arrays: the first of each');
my @spots = map { qq({"a": $_->[0], "b": "$_->[1]", "n": $_->[2], "v": $_->[3], "lines": $_->[4]}) } (
	[ '["x,y"]', '(1,a)', 1, '[1]', '[1, 2]' ], [ '["x,y"]', '(01,a)', 2, '[1]', '[3]' ], [ '["x,y"]', '(1,a)', 3, '[2]', '[4, 5]' ],
	[ '["x,y"]', '(1,a)', 4, '[1, 9]', '[6]' ], [ '["z"]', '(,b)', 5, '[1]', '[7]' ], [ '["z"]', '(,b)', 6, '[0]', '[8]' ]);
stream('spots', [ @spots, '{"a": ["gone"], "b": "(1,a)", "n": 7, "v": [1], "lines": [9]}' ], q(target => 'spots', on_conflict => 'update',
	batch_size => 2, mapping => '{"version": "v", "columns": {"a": "$.a", "b": "$.b", "n": "$.n", "v": "$.v"}, "delete": {"where": {"$.op": "d"}},
		"children": [{"target": "spot_lines", "rows": "$.lines[*]", "columns": {"a": "$.a", "b": "$.b", "n": "@"}}]}'));
$kafka->produce('spots', [ '{"a": ["gone"], "b": "(1,a)", "op": "d"}', '{"a": ["none"], "b": "(1,a)", "op": "d"}' ]);
ok(caught_up($node, 'spots'), 'and deletes');
is(sql(q(SELECT string_agg(format('%s%s=%s', a, b, n), ' ' ORDER BY n) FROM spots)) . ' ' . letters('spots')
		. sql(q(SELECT string_agg(format('%s%s=%s', a, b, n), ' ' ORDER BY n) FROM spot_lines)),
	'{"x,y"}(1,a)=3 {z}(,b)=5 {"x,y"}(1,a)=4 {"x,y"}(1,a)=5 {z}(,b)=7',
	'arrays of a domain, composite types: the last version of each, with its children');

# ----- whose fault -----

etl(q(CREATE TABLE plain (n int);
	ALTER TABLE sales.raw_messages ADD CONSTRAINT mine CHECK (key IS DISTINCT FROM '\x6b33' OR stream <> 'plain')));
stream('plain', [ map { "k$_\t" . ($_ == 5 ? 'x' : "{\"n\": $_}") } 1 .. 6 ], q(target => 'plain'), keyed => 1);
is(letters('plain'), '2 constraint, 4 invalid_json $', 'a CHECK on the raw copy refuses one message');
is(sql('SELECT string_agg(n::text, $$ $$ ORDER BY n) FROM plain') . sql(q(SELECT count(*) FROM sales.raw_messages WHERE stream = 'plain')),
	'1 2 4 65', 'all others are stored, with their raw copies');
etl('ALTER TABLE sales.raw_messages DROP CONSTRAINT mine');

# columns of the raw copy that their owner gave another type
etl('ALTER TABLE sales.raw_messages ALTER headers TYPE text, ALTER "offset" TYPE numeric, ALTER partition TYPE bigint');
$kafka->produce('plain', [ '{"n": 7}' ], headers => { h => 'v' });
ok(caught_up($node, 'plain'), 'the raw copy in other types') or diag(detail('plain'));
is(sql(q(SELECT partition, "offset", headers FROM sales.raw_messages WHERE stream = 'plain' ORDER BY "offset" DESC LIMIT 1)),
	'0|6|[{"key": "h", "value": "v"}]', 'is cast as INSERT casts it');
etl('ALTER TABLE sales.raw_messages ALTER headers TYPE jsonb USING headers::jsonb, ALTER "offset" TYPE bigint, ALTER partition TYPE int');

etl(q(INSERT INTO sales.industries VALUES ('Tools'); INSERT INTO sales.customers VALUES ('c', 'C');
	INSERT INTO sales.customer_industries VALUES ('c', 'Tools');
	ALTER TABLE sales.industry_spend ADD CONSTRAINT mine CHECK (orders < 0) NOT VALID));
$kafka->create_topic('spend');
$kafka->produce('spend', [ map { qq({"order_id": "s$_", "customer_id": "c", "amount": 1,
	"timestamp": "2026-01-01T00:00:00Z", "order_lines": []}) =~ s/\n\s*//gr } 1 .. 5 ]);
etl("SELECT fluct.create_stream('spend', 'shop', 'spend', start => true)");
ok(await_state($node, 'spend', 'backing_off/error'), "a CHECK on the rollup is no message's fault");
is(letters('spend'), '', 'no dead letter');
etl("ALTER TABLE sales.industry_spend DROP CONSTRAINT mine; SELECT fluct.start_stream('spend')");
ok(caught_up($node, 'spend'), 'all goes in without it');
is(sql('SELECT count(*) FROM sales.orders'), 5, 'all of them');

# a partition that is not there is the table's fault, in a session's transaction, too
etl('CREATE TABLE parts (n int PRIMARY KEY) PARTITION BY RANGE (n); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)');
stream('parts', [ '{"n": 1}', '{"n": "x"}' ], q(target => 'parts'));
$kafka->produce('parts', [ '{"n": 10}', '{"n": 2}' ]);
ok(await_state($node, 'parts', 'failed/error'), 'no partition for a row');
is(letters('parts'), '1 wrong_type $.n', "is no message's fault");
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'parts'"), qr/CREATE TABLE public\.parts_default PARTITION OF public\.parts DEFAULT;/, 'what to do about it');
my $retry = q(SELECT status FROM fluct.retry_dead_letters(ARRAY(SELECT id FROM fluct.open_dead_letters WHERE at LIKE 'parts%'), value => '{"n": 11}'));
(undef, my $rows, my $said) = outcome("$retry;\nSELECT 'as before'", as => 'etl', on_error_stop => 0);
like($said, qr/no partition of relation "parts"/, 'a dead letter is refused for the same reason');
is($rows, 'as before', 'and its transaction is over');
etl("CREATE TABLE parts_2 PARTITION OF parts DEFAULT; $retry; SELECT fluct.start_stream('parts')");
ok(caught_up($node, 'parts'), 'with a default partition it goes on');
is(sql(q(SELECT string_agg(n::text, ' ' ORDER BY n) FROM parts)), '1 2 10 11', 'and nothing is lost');

etl('CREATE TABLE narrow (n numeric(5,2))');
stream('narrow', [ '{"n": 123456789.1}', '{"n": 1}' ], q(target => 'narrow'));
is(letters('narrow'), '0 out_of_range $.n', 'the column that PostgreSQL refuses');
is(sql(q(SELECT detail LIKE '%numeric field overflow: %precision 5, scale 2%' FROM fluct.dead_letters WHERE stream = 'narrow')), 't',
	'with what is allowed');

# ----- nothing fits -----

etl('CREATE TABLE fit (n int)');
stream('fit', [ map { "{\"n\": $_}" } 1 .. 50 ], q(target => 'fit', max_dead_letters => 100));
$kafka->produce('fit', [ ('{"n": "x"}') x 300 ]);
ok(await_state($node, 'fit', 'failed/too_many_dead_letters'), 'too many bad ones');
etl("SELECT fluct.alter_stream('fit', max_dead_letters => 10000); SELECT fluct.start_stream('fit')");
$kafka->produce('fit', [ ('{"n": "x"}') x 300, '{"n": 51}' ]);
ok(caught_up($node, 'fit'), 'a stream that has stored something goes on');
is(sql('SELECT count(*) FROM fit'), 51, 'to the next good one');

etl('CREATE TABLE nowhere (id bigint, name text)');
$kafka->create_topic('nowhere');
$kafka->produce('nowhere', [ map { qq({"schema": {}, "payload": {"after": {"id": $_}}}) } 1 .. 300 ]);
etl("SELECT fluct.create_stream('nowhere', 'shop', 'nowhere', 'nowhere')");
my ($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM fluct.preview_stream('nowhere', 5)", extra_params => [ '-U', 'etl' ]);
like($err, qr/WARNING:  no message had \$\.id, \$\.name/, 'preview names the paths that no message had');
like(etl(q(SELECT status || ' ' || detail FROM fluct.check_stream('nowhere') WHERE item = 'messages waiting')),
	qr/^warn 300.*no message had \$\.id, \$\.name/, 'and so does check');
foreach ([ 'where', '{"where": {"$.tpye": "order"}}', 'the mapping\'s "where" means none of them' ],
	[ 'keys', '{"columns": {"id": "$.payload.after.id", "name": "kafka.key.$.nmae"}}', 'no message had kafka\.key\.\$\.nmae' ],
	[ 'lines', '{"columns": {"id": "$.payload.after.id"}, "children": [{"target": "nowhere", "rows": "$.lnies[*]", "required": false, "columns": {"id": "$.payload.after.id", "name": "@.name"}}]}',
		'no message had \$\.lnies\[\*\]\.name' ])
{
	my ($name, $mapping, $like) = @$_;
	etl("SELECT fluct.create_stream('nowhere_$name', 'shop', 'nowhere', 'nowhere', '$mapping')");
	like(said("SELECT count(*) FROM fluct.preview_stream('nowhere_$name', 5)", as => 'etl'), qr/WARNING:  $like$/m, "nowhere_$name: preview says it");
	like(etl("SELECT detail FROM fluct.check_stream('nowhere_$name') WHERE item = 'messages waiting'"), qr/of the first 100, $like$/, '... and so does check');
	etl("SELECT fluct.drop_stream('nowhere_$name')");
}
etl("SELECT fluct.start_stream('nowhere')");
ok(await_state($node, 'nowhere', 'failed/nothing_fits'), 'and nothing is stored');
is(sql('SELECT count(*) FROM nowhere'), 0, 'no row of NULLs');

etl('CREATE TABLE unit (at timestamptz)');
stream('unit', [ '{"at": 1764064800000000}', '{"at": 1664267577}' ],
	q(target => 'unit', mapping => '{"columns": {"at": {"path": "$.at", "format": "epoch_ms"}}}'));
is(letters('unit'), '0 bad_timestamp $.at', 'a year after 9999 is another unit');
($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM fluct.preview_stream('unit', 5, 'earliest')", extra_params => [ '-U', 'etl' ]);
like($err, qr/times in public\.unit\.at are more than a year from Kafka's/, 'seconds for milliseconds are told');

# ----- update with children -----

etl(q(CREATE TABLE doc (id text PRIMARY KEY, r real, j json, v int);
	CREATE TABLE doc_lines (id text, r double precision, j json, n int)));
my $doc = q('{"columns": {"id": "$.id", "r": "$.r", "j": "$.j", "v": "$.v"},
	"children": [{"target": "doc_lines", "rows": "$.lines[*]",
		"columns": {"id": "$.id", "r": "$.r", "j": "$.j", "n": "@"}}]}');
stream('doc', [ '{"id": "a", "r": 0.1, "j": {}, "lines": [1, 2, 3]}', '{"id": "a", "lines": [4]}',
		'{"id": "b", "r": 0.1, "lines": [5]}', '{"id": "b", "r": 0.1, "lines": []}' ],
	"target => 'doc', mapping => $doc, on_conflict => 'update', batch_size => 1");
is(sql(q(SELECT string_agg(id || n, ' ' ORDER BY id, n) FROM doc_lines)), 'a4', 'children are found by the key alone');

# two workers and two sessions on the same keys
$kafka->create_topic('race', 2);
etl('CREATE TABLE race (id int PRIMARY KEY, v int); CREATE TABLE race_lines (id int, v int, n int)');
my $race = q('{"columns": {"id": "$.id", "v": "$.v"}, "children": [{"target": "race_lines", "rows": "$.lines[*]",
	"columns": {"id": "$.id", "v": "$.v", "n": "@"}}]}');
foreach my $partition (0, 1)
{
	$kafka->produce('race', [ map { my $v = 2 * $_ + $partition; "{\"id\": " . ($_ % 40) . ", \"v\": $v, \"lines\": [1, 2, 3]}" } 1 .. 2000 ],
		partition => $partition);
}
my $session = q(DO $$ BEGIN FOR i IN 1 .. 300 LOOP
	INSERT INTO race VALUES (i % 40, -%d) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
	DELETE FROM race_lines WHERE id = i % 40;
	INSERT INTO race_lines SELECT i % 40, -%d, n FROM generate_series(1, 3) n;
	COMMIT; END LOOP; END $$);
etl("SELECT fluct.create_stream('race', 'shop', 'race', 'race', mapping => $race, on_conflict => 'update',
	workers => 2, batch_size => 20, keep_raw => false, start => true)");
my @running = map
{
	my ($in, $output) = ($session =~ s/-%d/-$_/gr, '');
	IPC::Run::start([ $node->installed_command('psql'), '-X', '-q', '-U', 'etl', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$output, '2>&1');
} 1, 2;
$_->finish foreach @running;
ok(caught_up($node, 'race'), 'two workers and two sessions');
is(sql('SELECT count(*), count(DISTINCT id) FROM race_lines'), '120|40', 'each parent has one set of children');
is(sql('SELECT count(*) FROM race_lines l JOIN race r USING (id) WHERE l.v <> r.v'), 0, 'the set of its last version');

# what cannot be replaced is refused at once
etl(q(CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE brief (id varchar(3) PRIMARY KEY); CREATE TABLE folded (id text COLLATE folding PRIMARY KEY);
	CREATE TABLE lone (n int); CREATE TABLE other_type (id varchar(3), n int); CREATE TABLE longer (id varchar, n int);
	CREATE TABLE unfolded (id text, n int)));
foreach ([ lone => 'doc', '"n": "@"' ], map { [ @$_, '"id": "$.id", "n": "@"' ] } [ other_type => 'doc' ], [ longer => 'brief' ],
	[ unfolded => 'folded' ])
{
	my ($table, $parent, $columns) = @$_;

	($rc, $out, $err) = $node->psql('postgres', "SELECT fluct.create_stream('refused', 'shop', 'doc', '$parent', on_conflict => 'update',
		mapping => '{\"columns\": {\"id\": \"\$.id\"}, \"children\": [{\"target\": \"$table\", \"rows\": \"\$.lines[*]\", \"columns\": {$columns}}]}')",
		extra_params => [ '-U', 'etl' ]);
	like($err, qr/on_conflict update cannot replace the rows of public\.$table/, "$table has not the key of its parent");
	like($err, $table eq 'unfolded' ? qr/type text COLLATE folding that/ : qr/type [a-z0-9() ]+ that/, '... of this type and collation');
}
etl('CREATE TABLE apart (id text NOT NULL); CREATE UNIQUE INDEX ON apart (id COLLATE folding)');
fails_like($node, q(SELECT fluct.create_stream('refused', 'shop', 'doc', 'apart', on_conflict => 'update')), qr/needs a unique key/,
	'an index that folds what its column tells apart is no key', as => 'etl');

# ----- the raw copy again -----

($rc, $out, $err) = $node->psql('postgres', "CALL fluct.reprocess_stream('plain', force => true)", extra_params => [ '-U', 'etl' ]);
like($err, qr/stream "plain" is running/, 'reprocess_stream beside the running stream is refused');
my $worker = sql("SELECT pids[1] FROM fluct.stat_streams WHERE stream = 'plain'");
kill('STOP', $worker);
etl("SELECT fluct.pause_stream('plain')");
fails_like($node, "CALL fluct.reprocess_stream('plain', force => true)", qr/55000: a worker of stream "plain" is still there: process $worker/,
	'and beside a worker that has not ended', as => 'etl');
kill('CONT', $worker);
etl("SELECT fluct.pause_stream('plain'); TRUNCATE plain; CALL fluct.reprocess_stream('plain', force => true)");
is(sql('SELECT string_agg(n::text, $$ $$ ORDER BY n) FROM plain'), '1 2 4 6 7', 'and works when it rests');

etl('CREATE TABLE away (LIKE sales.raw_messages); CREATE RULE away AS ON INSERT TO sales.raw_messages DO INSTEAD INSERT INTO away VALUES (NEW.*)');
$kafka->produce('plain', ["k9\t{\"n\": 9}"], keyed => 1);
etl("SELECT fluct.start_stream('plain')");
ok(caught_up($node, 'plain'), 'a raw copy that a rule sends elsewhere');
is(sql('SELECT count(*) FROM away'), 1, 'goes there');

# ----- lines are found by the time of their order, too -----

etl("SELECT fluct.create_stream('again', 'shop', 'again', on_conflict => 'update')");
my $version = 0;

# Stores the order X as of this time, with that many lines.
sub store_again
{
	my ($time, $n) = @_;
	my $lines = join(', ', map { qq({"product_id": "p$_", "volume": 1, "price": 2}) } 1 .. $n);

	$version++;
	etl(qq(INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value)
		VALUES ('again', 'again', 0, $version, convert_to('{"order_id": "X", "customer_id": "c", "amount": 1,
			"timestamp": "$time", "order_lines": [$lines]}', 'UTF8'));
		CALL fluct.reprocess_stream('again')));
	return sql(q(SELECT count(*) || ' ' || count(*) FILTER (WHERE l.ordered_at = o.ordered_at)
		FROM sales.order_lines l JOIN sales.orders o USING (order_id) WHERE order_id = 'X'));
}

$node->safe_psql('postgres', q(DROP RULE away ON sales.raw_messages), extra_params => [ '-U', 'etl' ]);
is(store_again('2026-01-01T00:00:00Z', 3), '3 3', 'an order');
is(store_again('2026-01-01T00:00:00Z', 2), '2 2', 'replaced, its lines too');
is(store_again('2026-04-05T00:00:00Z', 4), '4 4', 'at another time, in another partition');
etl(q{CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.ordered_at := NEW.ordered_at + interval '1 hour'; RETURN NEW; END $$;
	CREATE TRIGGER later BEFORE INSERT OR UPDATE ON sales.orders FOR EACH ROW EXECUTE FUNCTION later()});
like(store_again('2026-04-06T00:00:00Z', 3), qr/^3 /, 'under a trigger that gives the order another time');
like(store_again('2026-04-07T00:00:00Z', 2), qr/^2 /, 'again');

done_testing();
