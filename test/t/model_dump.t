# A dump of a database whose tables the users have changed restores whole, and
# the tables outlive the extension.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fluct_node('dump', extension => 0, bare => 1);
sql('CREATE DATABASE shop');
sql('CREATE EXTENSION fluct', db => 'shop');
make_operator(db => 'shop');
etl(q{
	ALTER TABLE sales.orders ADD COLUMN channel text GENERATED ALWAYS AS (customer_id || '!') STORED,
		ADD COLUMN note text DEFAULT 'none';
	ALTER TABLE sales.order_lines ADD COLUMN vat numeric DEFAULT 0.19;
	CREATE INDEX orders_note ON sales.orders (note);
	CREATE INDEX lines_product ON sales.order_lines (product_id);
	CREATE VIEW sales.my_view AS SELECT note, count(*) FROM sales.orders GROUP BY 1;
	INSERT INTO sales.industries VALUES ('Food');
	INSERT INTO sales.customers VALUES ('c', 'C');
	INSERT INTO sales.customer_industries VALUES ('c', 'Food');
	INSERT INTO sales.orders (order_id, customer_id, amount, ordered_at)
		SELECT 'o' || i, 'c', i + 0.1, '2020-06-15 12:00Z'::timestamptz - i * interval '1 day' FROM generate_series(1, 100) i;
	SELECT * FROM fluct.ensure_partitions('2020-04-01', '2020-06-15');
	INSERT INTO sales.order_lines SELECT order_id, k, 'p', k, 1, ordered_at FROM sales.orders, generate_series(1, 2) k;
	INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value) VALUES ('s', 't', 0, 1, '\x01');
	SELECT * FROM fluct.record_fluctuations('kept', '2020-06-15 12:00Z');
}, db => 'shop');
my $state = q{
	SELECT 'orders', count(*), sum(amount), min(channel), min(note) FROM sales.orders
	UNION ALL SELECT 'lines', count(*), sum(vat), min(tableoid::regclass::text), max(tableoid::regclass::text) FROM sales.order_lines
	UNION ALL SELECT 'raw', count(*), NULL, min(topic), NULL FROM sales.raw_messages
	UNION ALL SELECT 'kept', count(*), sum(delta), min(industry), NULL FROM sales.fluctuations
	UNION ALL SELECT 'report', count(*), NULL, min(report), min(owner) FROM fluct.reports
	UNION ALL SELECT 'indexes', count(*), NULL, min(indexname), max(indexname) FROM pg_indexes WHERE schemaname = 'sales'
	UNION ALL SELECT 'triggers', count(*), NULL, min(tgname), max(tgname) FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT 'comments', count(*), NULL, NULL, NULL FROM pg_description d
		WHERE classoid = 'pg_class'::regclass AND EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = d.objoid AND c.relnamespace = 'sales'::regnamespace)
	UNION ALL SELECT 'rollup', count(*), sum(amount), min(industry), (SELECT count(*) || ' wrong, ' || bool_and(valid) FROM fluct.verify_rollup() v RIGHT JOIN sales.rollup_state ON v.width > 0)
		FROM sales.industry_spend
	UNION ALL SELECT 'ranking', rank, delta, industry, NULL FROM fluct.top_fluctuations('2020-06-15 12:00Z')
};
my $before = sql($state, db => 'shop');
like($before, qr/^orders\|100\|/, 'there is something to dump');

my $dir = $node->backup_dir;
mkdir $dir;
for my $format ('plain', 'custom')
{
	my $file = "$dir/shop.$format";
	sql("CREATE DATABASE copy_$format");
	$node->command_ok([ 'pg_dump', "--format=$format", "--file=$file", 'shop' ], "$format: dump");
	my @restore = $format eq 'plain'
	  ? ('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', "copy_$format", '-f', $file)
	  : ('pg_restore', '--exit-on-error', '-d', "copy_$format", $file);
	$node->command_ok(\@restore, "$format: restore");
	is(sql($state, db => "copy_$format"), $before, "$format: all is there");
	is(etl('SELECT fluct.create_tables()', db => "copy_$format"), 'nothing was missing', "$format: nothing to heal");
	is(sql(q{DELETE FROM sales.orders WHERE order_id = 'o50'; SELECT count(*) FROM sales.order_lines}, db => "copy_$format"),
		'198', "$format: lines follow their orders");
}

# Data alone, beside triggers that book it while it comes: the rollup comes
# twice, says so, and is not read.
sql('CREATE DATABASE data_only');
sql('CREATE EXTENSION fluct', db => 'data_only');
make_operator(db => 'data_only');
etl(q{SELECT * FROM fluct.ensure_partitions('2020-04-01', '2020-06-15')}, db => 'data_only');
sql(q{
	ALTER TABLE sales.orders ADD COLUMN channel text GENERATED ALWAYS AS (customer_id || '!') STORED, ADD COLUMN note text DEFAULT 'none'}, db => 'data_only');
# in the order of the foreign keys
foreach my $tables ([ 'customers', 'industries' ], [ 'customer_industries', 'orders', 'industry_spend', 'rollup_state' ])
{
	$node->command_ok([ 'pg_restore', '--data-only', '--exit-on-error', '-d', 'data_only', map({ "--table=$_" } @$tables), "$dir/shop.custom" ],
		"data only: @$tables");
}
my ($ranking, $said);
my $ask = q{SELECT industry, recent_value FROM fluct.top_fluctuations('2020-06-15 12:00Z')};
is(sql($ask, db => 'data_only'), sql($ask, db => 'shop'), 'data only: the ranking is right');
$node->psql('data_only', 'SELECT count(*) > 0 FROM fluct.verify_rollup()', stdout => \$ranking, stderr => \$said);
is($ranking, 't', 'data only: the rollup is not');
like($said, qr/the rollup is not in use: sales.industry_spend was written by hand or by a restore/, 'data only: and says so');
is(sql('SELECT fluct.rebuild_rollup() > 0; SELECT count(*) FROM fluct.verify_rollup(); SELECT valid FROM sales.rollup_state', db => 'data_only'),
	"t\n0\nt", 'data only: made anew it is right');

# While somebody reads everything (as pg_dump does), no partition is made, and
# nobody waits; afterwards the rows move.
my ($in, $out, $timer) = ('', '', IPC::Run::timeout(60));
sql(q{INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at) VALUES ('x', 1, 'p', 1, 1, '2019-01-01 00:00Z')}, db => 'shop');
my $psql = IPC::Run::start(
	[ 'psql', '-qXAt', '-d', $node->connstr('shop'), '-f', '-' ], '<', \$in, '>', \$out, '2>&1', $timer);
$in = "BEGIN; SELECT 'reads', count(*) FROM sales.order_lines;\n";
$psql->pump until $out =~ /reads/;
is(sql(q{SELECT partition, action FROM fluct.ensure_partitions('2019-01-01', '2019-01-01')}, db => 'shop'),
	'order_lines_2019_01|skipped', 'a partition is skipped while the default is read');
$in = "COMMIT;\n\\q\n";
$psql->finish;
is(sql(q{SELECT partition, action, rows_moved FROM fluct.ensure_partitions('2019-01-01', '2019-01-01')}, db => 'shop'),
	'order_lines_2019_01|created|1', 'and made afterwards, with its row');
is(sql(q{SELECT tableoid::regclass FROM sales.order_lines WHERE order_id = 'x'}, db => 'shop'),
	'sales.order_lines_2019_01', 'which is there');

sql('DROP EXTENSION fluct CASCADE', db => 'shop');
is(sql('SELECT count(*) FROM sales.orders', db => 'shop'), '100', 'the orders outlive the extension');
is(sql('SELECT count(*) FROM sales.fluctuations', db => 'shop'), '1', 'and so do the fluctuations');
sql("CREATE EXTENSION fluct; SELECT fluct.grant_operator('etl')", db => 'shop');
like(etl('SELECT fluct.create_tables()', db => 'shop'), qr/^created view podium_today, view fluctuation_history, .*trigger orders_delete_lines/, 'create_tables() heals');
is(sql('SELECT valid FROM sales.rollup_state', db => 'shop'), 'f', 'the rollup is not in use');
is(sql('SELECT fluct.rebuild_rollup() > 0; SELECT count(*) FROM fluct.verify_rollup()', db => 'shop'),
	"t\n0", 'until it is made anew');
$node->stop;
done_testing();
