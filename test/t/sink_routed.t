# Tables that another extension routes to other nodes: the module of test/routed
# does to them what such an extension does, so that it is seen on every machine.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $module = "$ENV{PWD}/test/build/routed.so";
my $node = fluct_node('main', operator => 1, 'routed.tables' => '',
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

done_testing();
