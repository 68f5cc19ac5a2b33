# Tables that another extension routes to other nodes: the module of test/routed
# does to them what such an extension does, so that it is seen on every machine.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $module = "$ENV{PWD}/test/build/routed.so";
my $node = fluct_node('main', kafka => $kafka, 'routed.tables' => '',
	'synchronous_commit' => 'off', 'wal_writer_delay' => '10s', 'wal_writer_flush_after' => '1GB',
	shared_preload_libraries => "fluct,pg_cron,$module",
	'fluct.inbox_root' => PostgreSQL::Test::Utils::tempdir());
my $dir = sql('SHOW fluct.inbox_root');

# Routes tables of schema sales from now on.  What is in them stays in the
# shell, where nobody sees it.
sub route
{
	my (@tables) = @_;

	etl("CREATE TABLE sales.${_}_shard (LIKE sales.$_ INCLUDING DEFAULTS INCLUDING INDEXES)")
	  foreach grep { sql("SELECT to_regclass('sales.${_}_shard')") eq '' } @tables;
	sql("ALTER SYSTEM SET routed.tables = "
		  . join(', ', map { "sales_$_" } @tables));
	$node->reload;
	poll($node, 'SHOW routed.tables', join(', ', map { "sales_$_" } @tables));
	return;
}

# What lies in the table itself.
sub shell
{
	my ($table) = @_;

	return sql("SET routed.tables = ''; SELECT count(*) FROM sales.$table");
}

# ----- the lines of the orders -----

route('order_lines', 'order_lines_default');
write_lines("$dir/orders.jsonl", orders(20, seed => 7));
etl("SELECT FROM fluct.load_orders('$dir/orders.jsonl')");
my $lines = sql('SELECT count(*) FROM sales.order_lines');
cmp_ok($lines, '>', 20, 'lines are stored where they are routed');
is(shell('order_lines'), 0, 'and not in the shell');

my $order = sql('SELECT order_id FROM sales.orders ORDER BY 1 LIMIT 1');
my $before = sql("SELECT count(*), sum(volume) FROM sales.order_lines WHERE order_id = '$order'");
etl("UPDATE sales.orders SET ordered_at = ordered_at - interval '40 days' WHERE order_id = '$order'");
is(sql("SELECT count(*), sum(volume) FROM sales.order_lines l JOIN sales.orders o USING (order_id, ordered_at)
	WHERE order_id = '$order'"), $before, 'lines follow the time of their order');
etl("UPDATE sales.orders SET order_id = 'renamed' WHERE order_id = '$order'");
is(sql("SELECT count(*), sum(volume) FROM sales.order_lines l JOIN sales.orders o USING (order_id, ordered_at)
	WHERE order_id = 'renamed'"), $before, 'and its id');
is(sql('SELECT count(*) FROM sales.order_lines'), $lines, 'none is lost or doubled');
etl("DELETE FROM sales.orders WHERE order_id = 'renamed'");
is(sql("SELECT count(*) FROM sales.order_lines WHERE order_id = 'renamed'"), 0,
	'lines of a deleted order are deleted');

# ----- partitions and retention -----

sql(q{CREATE FUNCTION pg_catalog.truncate_local_data_after_distributing_table(regclass) RETURNS void
	LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'truncated %', $1; END $$});
etl(q{INSERT INTO sales.order_lines_default (order_id, line_number, product_id, volume, price, ordered_at)
	SELECT 'old', n, 'p', 1, 1, date_trunc('month', now(), 'UTC') - interval '5 months' FROM generate_series(1, 3) n});
like(said(q{SELECT * FROM fluct.maintain_partitions()}, as => 'etl'),
	qr/truncated sales\.order_lines_\d{4}_\d{2}/,
	'a partition whose rows were moved leaves none of them in its shell');
is(sql('SELECT count(*) FROM sales.order_lines_default'), 0,
	'partitions are made for what waits in a default partition');

etl(q{INSERT INTO sales.order_lines_default (order_id, line_number, product_id, volume, price, ordered_at)
	SELECT 'older', n, 'p', 1, 1, '2001-01-01' FROM generate_series(1, 3) n});
etl(q{CALL fluct.apply_retention(lines => '400 days')});
is(sql('SELECT count(*) FROM sales.order_lines_default'), 0,
	'what is old in a default partition is deleted');
my $orders = sql('SELECT count(*) FROM sales.orders');
etl(q{CALL fluct.apply_retention(orders => '1 day')});
cmp_ok(sql('SELECT count(*) FROM sales.orders'), '<', $orders,
	'old orders are deleted');
is(sql('SELECT count(*) FROM sales.order_lines l WHERE NOT EXISTS
	(SELECT 1 FROM sales.orders o WHERE o.order_id = l.order_id)'), 0,
	'with their lines');

# ----- streams -----

etl(q{
	CREATE TABLE sales.items (id int PRIMARY KEY, name text CHECK (name <> 'bad'));
	CREATE TABLE sales.news (id int, name text CHECK (name <> 'bad'))});
route('order_lines', 'raw_messages', 'items', 'news');
etl('CREATE UNIQUE INDEX IF NOT EXISTS items_shard_key ON sales.items_shard (id)');
etl("ALTER TABLE sales.${_}_shard ADD CHECK (name <> 'bad')") foreach qw(items news);
$kafka->create_topic($_, 1) foreach qw(orders items news);
etl("SELECT fluct.create_stream('orders', 'shop', 'orders', start => true)");
$kafka->produce('orders', [ orders(30, seed => 8) ]);
ok(caught_up($node, 'orders'), 'orders are stored');
is(sql("SELECT count(*) FROM sales.raw_messages WHERE stream = 'orders'"), 30,
	'their raw copy is where it is routed');
is(shell('raw_messages'), 0, 'and not in the shell');
is(sql('SELECT count(*) FROM sales.orders o WHERE NOT EXISTS
	(SELECT 1 FROM sales.order_lines l WHERE l.order_id = o.order_id)'), 0,
	'and so are their lines');

# Lines of JSON with these ids and names.
sub items
{
	return [ map { qq({"id": $_->[0], "name": "$_->[1]"}) } @_ ];
}

etl("SELECT fluct.create_stream('items', 'shop', 'items', 'sales.items', start => true)");
$kafka->produce('items', items([ 1, 'a' ], [ 2, 'b' ], [ 1, 'again' ], [ 3, 'bad' ], [ 4, 'd' ], [ 2, 'again' ]));
ok(caught_up($node, 'items'), 'a target with a key is filled');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.items"),
	'1a 2b 4d', 'the first of each key is stored');
$kafka->produce('items', items([ 4, 'late' ], [ 5, 'e' ]));
caught_up($node, 'items');
is(sql("SELECT rows || ' ' || duplicates || ' ' || dead_letters FROM fluct.stat_streams WHERE stream = 'items'"),
	'4 3 1', 'and the others are counted');
is(sql("SELECT reason || ' ' || sqlstate FROM fluct.dead_letters WHERE stream = 'items'"),
	'constraint 23514', 'what a node refuses is a dead letter');
etl("SELECT fluct.alter_stream('items', on_conflict => 'update')");
$kafka->produce('items', items([ 1, 'new' ], [ 6, 'f' ], [ 6, 'g' ]));
ok(caught_up($node, 'items'), 'on_conflict update');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.items"),
	'1new 2b 4d 5e 6g', 'replaces rows');

etl("SELECT fluct.create_stream('news', 'shop', 'news', 'sales.news', on_conflict => 'error', start => true)");
$kafka->produce('news', items([ 1, 'a' ], [ 2, 'bad' ], [ 3, 'c' ]));
ok(caught_up($node, 'news'), 'a target without a key is filled');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.news"),
	'1a 3c', 'with all but what a node refuses');
is(sql("SELECT reason || ' ' || sqlstate FROM fluct.dead_letters WHERE stream = 'news'"),
	'constraint 23514', 'which is a dead letter');

# Nodes make their part of a batch permanent once this server has committed, so
# it is on disk then, whatever synchronous_commit says.  A trigger holds up the
# next batch, whose commit would flush this one.
etl('CREATE TABLE sales.held (id int, name text)');
route('order_lines', 'raw_messages', 'items', 'news', 'held');
etl(q{
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE new.id = 101 AND NOT pg_try_advisory_xact_lock(13) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN new;
	END $$;
	CREATE TRIGGER hold BEFORE INSERT ON sales.held_shard FOR EACH ROW EXECUTE FUNCTION hold()});
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(13)');
$kafka->create_topic('held');
$kafka->produce('held', items(map { [ $_, 'a' ] } 1 .. 300));
etl("SELECT fluct.create_stream('held', 'shop', 'held', 'sales.held', on_conflict => 'error', batch_size => 100, start => true)");
ok(poll($node, 'SELECT count(*) FROM sales.held', 100), 'a batch is visible');
sql('ALTER SYSTEM SET fluct.enabled = off');
crash_server($node);
is(sql('SELECT count(*) FROM sales.held'), 100, 'and survives a crash');
eval { $holder->quit };
sql('ALTER SYSTEM RESET fluct.enabled');
$node->reload;
ok(caught_up($node, 'held'), 'the stream goes on');
is(sql('SELECT count(*), count(DISTINCT id) FROM sales.held'), '300|300', 'with nothing lost or doubled');
etl("SELECT fluct.drop_stream('held')");

# ----- again -----

etl(q{SELECT FROM fluct.retry_dead_letters(ARRAY(SELECT id FROM fluct.dead_letters WHERE stream = 'items'), value => '{"id": 3, "name": "good"}')});
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.items"),
	'1new 2b 3good 4d 5e 6g', 'a dead letter is stored again');
etl(q{DELETE FROM sales.items WHERE id IN (5, 6)});
etl(q{SELECT fluct.pause_stream('items')});
etl(q{CALL fluct.reprocess_stream('items')});
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.items WHERE id > 4"),
	'5e 6g', 'what the raw copy has is stored again');
is(shell('items') + shell('news'), 0, 'nothing of it in the shells');

# ----- messages that delete -----

etl(q{CREATE TABLE sales.boxes (id int PRIMARY KEY, name text); CREATE TABLE sales.box_parts (id int, part text)});
route('order_lines', 'raw_messages', 'items', 'news', 'boxes', 'box_parts');
etl('CREATE UNIQUE INDEX IF NOT EXISTS boxes_shard_key ON sales.boxes_shard (id)');
$kafka->create_topic('boxes', 1);
etl(q[SELECT fluct.create_stream('boxes', 'shop', 'boxes', 'sales.boxes', on_conflict => 'update', on_tombstone => 'delete', start => true, mapping => '{
	"columns": {"id": "$.id", "name": "$.name"}, "absent": "keep",
	"delete": {"where": {"$.op": "d"}, "columns": {"id": "kafka.key"}},
	"children": [{"target": "sales.box_parts", "rows": "$.parts[*]", "required": false, "columns": {"id": "$.id", "part": "@"}}]}')]);
$kafka->produce('boxes', [ qq(1\t{"id": 1, "name": "a", "parts": ["x", "y"]}), qq(2\t{"id": 2, "name": "b", "parts": ["z"]}), qq(3\t{"id": 3, "name": "c", "parts": []}) ], keyed => 1);
ok(caught_up($node, 'boxes'), 'rows with children');
$kafka->produce('boxes', [ qq(1\t{"op": "d"}), qq(1\t{"id": 1, "parts": ["w"]}), '2', qq(7\t{"op": "d"}), '8', qq(3\t{"id": 3, "parts": ["v"]}) ], keyed => 1);
ok(caught_up($node, 'boxes'), 'and messages that delete them');
is(sql("SELECT string_agg(concat_ws(' ', id, coalesce(name, '-'), part), ', ' ORDER BY id) FROM sales.boxes JOIN sales.box_parts USING (id)"),
	'1 - w, 3 c v', 'a row goes with its children, one that comes back is new');
is(sql('SELECT count(*) FROM sales.box_parts'), 2, 'nothing else is left');
is(sql("SELECT messages || ' ' || duplicates || ' ' || tombstones || ' ' || dead_letters FROM fluct.stat_streams WHERE stream = 'boxes'"),
	'9 1 1 0', 'deletes of nothing are counted');

# ----- a column more -----

etl('CREATE TABLE sales.tracks (id int PRIMARY KEY, extra jsonb)');
route('order_lines', 'raw_messages', 'items', 'news', 'boxes', 'box_parts', 'tracks');
etl('CREATE UNIQUE INDEX IF NOT EXISTS tracks_shard_key ON sales.tracks_shard (id); ALTER TABLE sales.tracks_shard ADD COLUMN genre text');
$kafka->create_topic('tracks', 1);
$kafka->produce('tracks', [ '{"id": 1, "genre": "x"}' ]);
etl("SELECT fluct.create_stream('tracks', 'shop', 'tracks', 'sales.tracks', on_conflict => 'update', start => true)");
ok(caught_up($node, 'tracks'), 'a field that nothing maps');
like(said(q{SELECT fluct.apply_schema_drift('tracks', '$.genre')}, as => 'etl'),
	qr/the rows that are in sales\.tracks keep NULL in column "genre".*reprocess_stream/s, 'gets its column, and old rows are left to reprocess_stream');
etl("SELECT fluct.pause_stream('tracks'); CALL fluct.reprocess_stream('tracks')");
is(sql('SELECT id, genre, extra FROM sales.tracks'), '1|x|', 'which fills them');

# ----- a node that is down -----

sql('ALTER SYSTEM SET routed.unreachable = on');
$node->reload;
poll($node, 'SHOW routed.unreachable', 'on');
$kafka->produce('news', items([ 4, 'd' ]));
ok(await_state($node, 'news', 'backing_off/node_unreachable'),
	'a node that is down is waited for');
sql('ALTER SYSTEM RESET routed.unreachable');
$node->reload;
ok(caught_up($node, 'news'), 'and the stream goes on');
is(sql("SELECT string_agg(id || name, ' ' ORDER BY id) FROM sales.news"),
	'1a 3c 4d', 'with nothing lost or doubled');

# ----- what is said before -----

etl("SELECT fluct.alter_stream('news', batch_size => 1000)");
like(etl("SELECT status || ' ' || detail FROM fluct.check_stream('news') WHERE item = 'distribution'"),
	qr/^warn stored by another extension: sales\.news, sales\.raw_messages$/,
	'check_stream names what is routed');
route('orders');
like(etl("SELECT status || ' ' || hint FROM fluct.check_stream('orders') WHERE item = 'distribution'"),
	qr/^fail Distribute sales\.order_lines/, 'orders are not to be routed');
etl("SELECT fluct.pause_stream('orders')");
etl("SELECT fluct.start_stream('orders')");
ok(await_state($node, 'orders', 'failed/target_refused'),
	'and their stream does not start');
like(detail('orders'), qr/sales\.orders cannot be distributed/,
	'with the reason');

done_testing();
