# Messages that delete rows: a condition of the mapping, in the forms that
# change capture has them in, beside a program that applies one after the other.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 20);

# A stream of that name that updates, and whatever else $options say.
sub stream
{
	my ($name, $tables, $mapping, $options, @messages) = @_;

	return mapped_stream($name, $tables, $mapping, ", on_conflict => 'update' $options", @messages);
}

# How many became what.
sub account
{
	my ($name) = @_;
	return etl("SELECT sum(offsets), sum(stored), sum(duplicates), sum(dead_letters), sum(tombstones), sum(filtered), sum(unexplained)
		FROM fluct.reconcile_stream('$name')");
}

# ----- Maxwell and Canal -----

stream('maxwell', 'CREATE TABLE maxwell (id int PRIMARY KEY, name text, note text DEFAULT \'new\')',
	'{"where": {"$.table": "customers"}, "columns": {"id": "$.data.id", "name": "$.data.name"}, "delete": {"where": {"$.type": "delete"}}}', '',
	'{"database":"shop","table":"customers","type":"insert","ts":1770000000,"xid":1,"commit":true,"data":{"id":1,"name":"Ann"}}',
	'{"database":"shop","table":"customers","type":"insert","ts":1770000000,"xid":2,"commit":true,"data":{"id":2,"name":"Bob"}}',
	'{"database":"shop","table":"orders","type":"delete","ts":1770000001,"xid":3,"commit":true,"data":{"id":1,"name":"Ann"}}',
	'{"database":"shop","table":"customers","type":"update","ts":1770000002,"xid":4,"commit":true,"data":{"id":2,"name":"Bert"},"old":{"name":"Bob"}}',
	'{"database":"shop","table":"customers","type":"delete","ts":1770000003,"xid":5,"commit":true,"data":{"id":1,"name":"Ann"}}',
	'{"database":"shop","table":"customers","type":"delete","ts":1770000004,"xid":6,"commit":true,"data":{"id":9,"name":"?"}}');
is(sql('SELECT * FROM maxwell'), '2|Bert|new', 'Maxwell: what is left');
is(account('maxwell'), '6|2|3|0|0|1|0', 'a delete of what is not there is a duplicate, of another table filtered');

stream('canal', 'CREATE TABLE canal (id bigint PRIMARY KEY, name text)',
	'{"columns": {"id": {"path": "$.data[0].id", "format": "number"}, "name": "$.data[0].name"}, "delete": {"where": {"$.type": ["DELETE", "TRUNCATE"], "$.isDdl": false}}}', '',
	'{"data":[{"id":"1","name":"Ann"}],"database":"shop","isDdl":false,"mysqlType":{"id":"bigint"},"old":null,"pkNames":["id"],"table":"c","type":"INSERT"}',
	'{"data":[{"id":"1","name":"Anna"}],"database":"shop","isDdl":false,"old":[{"name":"Ann"}],"pkNames":["id"],"table":"c","type":"UPDATE"}',
	'{"data":[{"id":"1","name":"Anna"}],"database":"shop","isDdl":false,"old":null,"pkNames":["id"],"table":"c","type":"DELETE"}',
	'{"data":[{"id":"1","name":"Anne"}],"database":"shop","isDdl":false,"old":null,"pkNames":["id"],"table":"c","type":"INSERT"}');
is(sql('SELECT * FROM canal'), '1|Anne', 'Canal: what comes after the delete');

# ----- a row that goes and comes back is a new one -----

$kafka->produce('maxwell', [
	'{"table":"customers","type":"delete","data":{"id":2}}', '{"table":"customers","type":"insert","data":{"id":2,"name":"Bea"}}' ]);
sql("UPDATE maxwell SET note = 'old'");
$kafka->produce('maxwell', [ '{"table":"customers","type":"delete","data":{"id":2}}', '{"table":"customers","type":"insert","data":{"id":2,"name":"Cleo"}}' ]);
ok(caught_up($node, 'maxwell'), 'deleted and inserted');
is(sql('SELECT * FROM maxwell'), '2|Cleo|new', 'what nothing maps is its default again');

# ----- children, and paths of their own -----

my $tables = <<'SQL';
CREATE TABLE bills (id int PRIMARY KEY, name text);
CREATE TABLE bill_lines (bill bigint REFERENCES bills, n int, sku text);
CREATE TABLE bill_tags (bill int, tag text)
SQL
my $bills = '{"columns": {"id": "$.after.id", "name": "$.after.name"}, "delete": {"where": {"$.op": ["d", "x"]}, "columns": {"id": "$.before.id"}},
	"children": [{"target": "bill_lines", "rows": "$.after.lines[*]", "columns": {"bill": "$.after.id", "n": "#", "sku": "@.sku"}},
		{"target": "bill_tags", "rows": "$.after.tags[*]", "required": false, "columns": {"bill": "$.after.id", "tag": "@"}}]}';

stream('bills', $tables, $bills, '',
	'{"op": "c", "before": null, "after": {"id": 1, "name": "a", "lines": [{"sku": "x"}, {"sku": "y"}], "tags": ["t"]}}',
	'{"op": "c", "before": null, "after": {"id": 2, "name": "b", "lines": [{"sku": "z"}], "tags": ["t"]}}',
	'{"op": "d", "before": {"id": 1}, "after": null}',
	'{"op": "d", "before": null, "after": null}', '{"op": "d", "before": {"id": "1"}}', '{"op": "d", "before": 5}',
	'{"op": "c", "after": {"id": 3, "name": "c", "lines": []}}', '{"op": "x", "before": {"id": 3}}', '{"op": "c", "after": {"id": 3, "name": "d", "lines": [{"sku": "w"}]}}');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM bills"), '2b 3d', 'parents');
is(sql("SELECT string_agg(concat(bill, sku), ' ' ORDER BY bill) FROM bill_lines"), '2z 3w', 'children go before their parents, as a foreign key asks for');
is(sql("SELECT string_agg(concat(bill, tag), ' ' ORDER BY bill) FROM bill_tags"), '2t', 'and where no foreign key is');
is(letters('bills'), '3 missing_field $.before.id, 4 wrong_type $.before.id, 5 wrong_type $.before', 'a delete without a key');
is(etl("SELECT string_agg(concat_ws(' ', \"offset\", target, rows, first_row, error), ', ' ORDER BY \"offset\") FROM fluct.preview_stream('bills', 3, 'earliest') WHERE \"offset\" = 2"),
	'2 public.bills 0 {"id": 1} delete: the row with this key is deleted, and its rows in children', 'preview_stream says so');
is(sql("SELECT count(*) FROM sales.raw_messages WHERE stream = 'bills'"), 9, 'the raw copy has all of them');

sql('CREATE TABLE kept (bill int REFERENCES bills); INSERT INTO kept VALUES (2)');
$kafka->produce('bills', [ '{"op": "d", "before": {"id": 3}}', '{"op": "d", "before": {"id": 2}}', '{"op": "c", "after": {"id": 4, "name": "e", "lines": []}}' ]);
ok(caught_up($node, 'bills'), 'one that another table refers to');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM bills"), '2b 4e', 'is a dead letter, alone');
is(letters('bills') =~ s/.*, //r, '10 constraint', 'of this reason');
sql('DROP TABLE kept');
is(etl("SELECT status FROM fluct.retry_dead_letters((SELECT array_agg(id) FROM fluct.dead_letters WHERE \"offset\" = 10))"), 'retried', 'it can be retried');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM bills"), '4e', 'and deletes');
is(etl("SELECT fluct._replaces_lines('bills')"), 'f', 'bills: no lines of orders');
etl("SELECT fluct.pause_stream('bills'); TRUNCATE bills, bill_lines, bill_tags; CALL fluct.reprocess_stream('bills')");
is(sql("SELECT (SELECT string_agg(id || name, ' ') FROM bills), (SELECT count(*) FROM bill_lines), (SELECT count(*) FROM bill_tags)"), '4e|0|0',
	'the raw copy gives the same');

# ----- tombstones -----

stream('latest', 'CREATE TABLE latest (id text PRIMARY KEY, v int)', '{"columns": {"id": "kafka.key", "v": "$.v"}}', ", on_tombstone => 'delete'",
	{ keyed => 1 }, "a\t{\"v\":1}", "a\t{\"v\":3}", "b\t{\"v\":2}", 'b', 'c', "d\t{\"v\":4}", 'd', "d\t{\"v\":5}");
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM latest"), 'a3 d5', 'a tombstone deletes');
is(account('latest'), '8|4|3|0|1|0|0', 'one that finds nothing is a tombstone');
is(etl("SELECT string_agg(concat_ws(' ', \"offset\", first_row, error), ', ' ORDER BY \"offset\") FROM fluct.preview_stream('latest', 4, 'earliest') WHERE \"offset\" = 3"),
	'3 {"id": "b"} delete: the row with this key is deleted, and its rows in children', 'preview_stream says so');
is(sql("SELECT count(*) FROM sales.raw_messages WHERE stream = 'latest' AND value IS NULL"), 3, 'the raw copy has it');
etl("SELECT fluct.pause_stream('latest'); TRUNCATE latest; CALL fluct.reprocess_stream('latest'); SELECT fluct.start_stream('latest')");
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM latest"), 'a3 d5', 'and reprocess_stream the order');
etl("SELECT fluct.alter_stream('latest', on_tombstone => 'ignore')");
$kafka->produce('latest', ['a'], keyed => 1);
ok(caught_up($node, 'latest'), 'ignored again');
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM latest"), 'a3 d5', 'by alter_stream');

# keys of JSON, several topics, a condition, children, another path for deletes
$kafka->create_topic($_) foreach 'eu.carts', 'us.carts';
$kafka->produce('eu.carts', [ map { qq({"cart": $_}\t{"cart": $_, "items": [{"sku": "e$_"}]}) } 1 .. 3 ], keyed => 1, headers => { kind => 'cart' });
$kafka->produce('us.carts', [ map { qq({"cart": $_}\t{"cart": $_, "items": [{"sku": "u$_"}]}) } 1 .. 3 ], keyed => 1, headers => { kind => 'cart' });
etl("CREATE TABLE carts (site text, id int, PRIMARY KEY (site, id)); CREATE TABLE cart_items (site text, id int, sku text, FOREIGN KEY (site, id) REFERENCES carts);
	SELECT fluct.create_stream('carts', 'shop', 'eu.carts,us.carts', target => 'carts', start => true, on_conflict => 'update', on_tombstone => 'delete', mapping => '{
		\"where\": {\"kafka.headers.kind\": \"cart\", \"\$.hidden\": [null, false]}, \"columns\": {\"site\": \"kafka.topic\", \"id\": \"\$.cart\"},
		\"delete\": {\"columns\": {\"id\": \"kafka.key.\$.cart\"}},
		\"children\": [{\"target\": \"cart_items\", \"rows\": \"\$.items[*]\", \"columns\": {\"site\": \"kafka.topic\", \"id\": \"\$.cart\", \"sku\": \"\@.sku\"}}]}')");
ok(caught_up($node, 'carts'), 'carts of two topics');
$kafka->produce('eu.carts', [ '{"cart": 1}', 'x' ], keyed => 1, headers => { kind => 'cart' });
$kafka->produce('us.carts', [ '{"cart": 2}' ], keyed => 1);
$kafka->produce('us.carts', [ '{"cart": 3}' ], keyed => 1, headers => { kind => 'cart' });
ok(caught_up($node, 'carts'), 'and their tombstones');
is(sql("SELECT string_agg(sku, ' ' ORDER BY sku) FROM carts JOIN cart_items USING (site, id)"), 'e2 e3 u1 u2', 'go by topic and JSON key, where the condition on headers holds');
is(letters('carts'), '4 invalid_json kafka.key.$.cart', 'a key that is no JSON');

sql('CREATE TABLE kept (id text REFERENCES latest)');
etl("SELECT fluct.alter_stream('latest', on_tombstone => 'delete')");
sql("INSERT INTO kept VALUES ('a')");
$kafka->produce('latest', ['a'], keyed => 1);
ok(caught_up($node, 'latest'), 'one that cannot go');
is(letters('latest'), '9 constraint', 'is a dead letter');
sql('DROP TABLE kept');
is(etl("SELECT status FROM fluct.retry_dead_letters((SELECT array_agg(id) FROM fluct.dead_letters WHERE stream = 'latest'))"), 'retried', 'and retried');
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM latest"), 'd5', 'deletes');

# ----- orders: lines and the rollup -----

etl("INSERT INTO sales.customers (customer_id, company_name) VALUES ('c', 'C'); INSERT INTO sales.industries VALUES ('Steel');
	INSERT INTO sales.customer_industries VALUES ('c', 'Steel')");
$kafka->create_topic('shop.orders');
$kafka->produce('shop.orders', [ map { an_order("o$_", customer_id => '"c"', amount => 10 * $_) } 1 .. 5 ]);
$kafka->produce('shop.orders', [ map { qq({"order_id": "o$_", "deleted": true}) } 2, 4, 7 ]);
etl("SELECT fluct.create_stream('o', 'shop', 'shop.orders', on_conflict => 'update', start => true,
	mapping => fluct._orders_mapping() || '{\"delete\": {\"where\": {\"\$.deleted\": true}}}')");
ok(caught_up($node, 'o'), 'orders and deletes');
is(sql("SELECT string_agg(order_id, ' ' ORDER BY 1) FROM sales.orders"), 'o1 o3 o5', 'orders go');
is(sql("SELECT string_agg(DISTINCT order_id, ' ') FROM sales.order_lines"), 'o1 o3 o5', 'with their lines');
is(sql('SELECT count(*) FROM fluct.verify_rollup()'), 0, 'the rollup follows');

# ----- what is said when it is declared -----

sub refused
{
	my ($mapping, $error, $what, $options) = @_;
	my $said = said("SELECT fluct.create_stream('r', 'shop', 'r', target => 'bills', mapping => \$m\$$mapping\$m\$" . ($options // ", on_conflict => 'update'") . ')', as => 'etl');
	return like($said, $error, $what);
}

my $simple = '"columns": {"id": "$.id", "name": "$.name"}';

refused(qq({$simple, "delete": {"where": {"\$.op": "d"}}}), qr/"delete" needs on_conflict update.*on_conflict => 'update'/s, 'on_conflict nothing', '');
refused(qq({$simple, "delete": {}}), qr/"delete" has no "where".*\{"\$\.op": "d"\}/s, 'no condition');
refused(qq({$simple, "delete": {"where": {"\$.op": "d"}, "columns": {"name": "\$.x"}}}), qr/"name" in "delete" is not part of the key of public\.bills.*by their key: id\./s, 'not a key');
refused(qq({$simple, "delete": {"when": {"\$.op": "d"}}}), qr/unknown key "when" in "delete".*Did you mean "where"/s, 'misspelt');
refused(qq({$simple, "delete": {"where": {"\$.op": "d"}, "columns": {"id": "x"}}}), qr/column "id" of public\.bills has the invalid path "x"/, 'no path');
refused(qq({$simple}), qr/on_tombstone delete needs the key of public\.bills in the key of the messages.*"id" is mapped to \$\.id, which.*kafka\.key\.\$\.id where/s,
	'tombstones and a key of the value', ", on_conflict => 'update', on_tombstone => 'delete'");
refused('{"columns": {"id": "kafka.key", "name": "$.name"}}', qr/on_tombstone delete needs on_conflict update/, 'tombstones, and on_conflict nothing', ", on_tombstone => 'delete'");
refused(qq({$simple, "delete": {"columns": {"id": "kafka.key"}}}), qr/"delete" has no "where"/, 'paths for nothing');
refused(qq({$simple}), qr/on_tombstone/, 'another word', ", on_tombstone => 'drop'");
sql("CREATE TABLE weakly (id int PRIMARY KEY); GRANT SELECT, INSERT, UPDATE ON weakly TO etl");
like(said("SELECT fluct.create_stream('r', 'shop', 'r', target => 'weakly', on_conflict => 'update', mapping => '{\"columns\": {\"id\": \"\$.id\"}, \"delete\": {\"where\": {\"\$.op\": \"d\"}}}')", as => 'etl'),
	qr/lacks DELETE on public\.weakly.*GRANT INSERT, SELECT, UPDATE, DELETE ON public\.weakly TO etl;/s, 'without the right to delete');
sql('GRANT DELETE ON weakly TO etl');
etl("SELECT fluct.create_stream('weakly', 'shop', 'weakly', target => 'weakly', on_conflict => 'update', mapping => '{\"columns\": {\"id\": \"\$.id\"}, \"delete\": {\"where\": {\"\$.op\": \"d\"}}}')");
sql('REVOKE DELETE ON weakly FROM etl');
like(etl("SELECT status, hint FROM fluct.check_stream('weakly') WHERE item = 'privileges'"), qr/^fail\|GRANT INSERT, SELECT, UPDATE, DELETE ON/, 'check_stream says so, too');

# ----- at random -----

# Events of a few keys, with the table that applying them one by one makes, and
# how many deletes found nothing.
sub events
{
	my ($seed, $n, $keys) = @_;
	my (@events, %table);
	my $nothing = 0;

	srand($seed);
	foreach my $i (1 .. $n)
	{
		my $key = int(rand($keys));
		my @lines = map { int(rand(100)) } 1 .. int(rand(4));

		if (int(rand(5)) < 2)
		{
			push(@events, [ $key, qq({"op": "d", "before": {"id": $key}}) ]);
			$nothing++ unless delete($table{$key});
			next;
		}
		push(@events, [ $key, qq({"op": "u", "after": {"id": $key, "name": "$i", "lines": [) . join(', ', map { qq({"sku": "$_"}) } @lines) . ']}}' ]);
		$table{$key} = "$key $i" . join('', map { " $_" } @lines);
	}
	return (\@events, join(', ', map { $table{$_} } sort { $a <=> $b } keys %table), $nothing);
}

my $contents = "SELECT string_agg(concat_ws(' ', b.id, b.name, (SELECT string_agg(l.sku, ' ' ORDER BY l.n) FROM %1\$s_lines l WHERE l.bill = b.id)), ', ' ORDER BY b.id) FROM %1\$s b";

foreach my $case ([ 1, 1 ], [ 2, 3 ], [ 3, 7 ], [ 4, 1000 ])
{
	my ($seed, $batch) = @$case;
	my ($events, $expected, $nothing) = events($seed, 600, 6);
	my $name = "random$seed";
	my $t = $tables =~ s/\bbill(s|_lines|_tags)\b/$1 eq 's' ? $name : "$name$1"/egr;
	my $mapping = $bills =~ s/"bill(_\w+)"/"$name$1"/gr;

	$kafka->create_topic($name, 2);
	foreach my $partition (0, 1)
	{
		$kafka->produce($name, [ map { $_->[1] } grep { $_->[0] % 2 == $partition } @$events ], partition => $partition);
	}
	etl("$t; SELECT fluct.create_stream('$name', 'shop', '$name', target => '$name', start => true, batch_size => $batch, on_conflict => 'update',
		mapping => \$m\$$mapping\$m\$)");
	ok(caught_up($node, $name), "600 random events in batches of $batch");
	is(sql(sprintf($contents, $name)), $expected, 'are as if applied one by one');
	is(sql("SELECT count(*) FROM ${name}_lines l WHERE NOT EXISTS (SELECT FROM $name b WHERE b.id = l.bill)"), 0, 'no lines without a parent');
	is(sql("SELECT duplicates FROM fluct.stat_streams WHERE stream = '$name'"), $nothing, 'deletes of nothing are counted') if $batch == 1;
}

# ----- killed meanwhile -----

{
	my ($events, $expected) = events(5, 4000, 12);

	$kafka->create_topic('killed', 2);
	foreach my $partition (0, 1)
	{
		$kafka->produce('killed', [ map { $_->[1] } grep { $_->[0] % 2 == $partition } @$events ], partition => $partition);
	}
	etl("CREATE TABLE killed (id int PRIMARY KEY, name text); CREATE TABLE killed_lines (bill int REFERENCES killed, n int, sku text);
		SELECT fluct.create_stream('killed', 'shop', 'killed', target => 'killed', batch_size => 20, on_conflict => 'update', start => true, mapping => '{
		\"columns\": {\"id\": \"\$.after.id\", \"name\": \"\$.after.name\"}, \"delete\": {\"where\": {\"\$.op\": \"d\"}, \"columns\": {\"id\": \"\$.before.id\"}},
		\"children\": [{\"target\": \"killed_lines\", \"rows\": \"\$.after.lines[*]\", \"columns\": {\"bill\": \"\$.after.id\", \"n\": \"#\", \"sku\": \"@.sku\"}}]}')");
	foreach my $share (200, 1000, 2000)
	{
		poll($node, "SELECT coalesce(sum(messages), 0) >= $share FROM fluct.stream_offsets WHERE stream = 'killed'");
		crash_worker($node);
	}
	ok(caught_up($node, 'killed'), 'all went through');
	is(sql(sprintf($contents, 'killed')), $expected, 'kill -9 changes nothing');
}

done_testing();
