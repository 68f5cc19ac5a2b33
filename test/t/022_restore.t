# A dump taken under load, restored into another cluster and into another
# database of the same one: rows and positions agree, nothing runs by itself,
# and start_stream goes on there without loss or doubles.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);
my $dump = "${PostgreSQL::Test::Utils::tmp_check}/dump.sql";
my $stop = "${PostgreSQL::Test::Utils::tmp_check}/stop";

sub sql
{
	my ($statement, $on, $database) = @_;

	return ($on // $node)->safe_psql($database // 'postgres', $statement);
}

$kafka->create_topic('orders', 2);
sql(q{
	ALTER TABLE fluct.orders ADD COLUMN channel text;
	CREATE INDEX orders_by_channel ON fluct.orders (channel);
	CREATE TABLE arrivals (partition int, "offset" bigint);
	SELECT fluct.create_stream('orders', 'shop', 'orders', batch_size => 50,
		batch_interval => '10 ms');
	SELECT fluct.map_column('orders', 'channel', '$.channel');
	SELECT fluct.start_stream('orders');
	SELECT fluct.create_stream('arrivals', 'shop', 'orders', 'arrivals',
		'{"columns": {"partition": "kafka.partition",
			"offset": "kafka.offset"}}', batch_size => 50,
		batch_interval => '10 ms', keep_raw => false, start => true)});

# Orders, and in each round one that came before and one that is cut.
my $producer = fork();
if ($producer == 0)
{
	for (my $n = 0; !-e $stop && getppid() != 1; $n++)
	{
		$kafka->produce('orders',
			[ (map { an_order("$n.$_", channel => '"web"') } 1 .. 50),
				an_order('0.1'), '{"order_id": "cut' ]);
		sleep(0.02);
	}
	POSIX::_exit(0);
}

ok(poll($node, 'SELECT sum(messages) > 1000 FROM fluct.stream_offsets'),
	'under load');
my $before = sql('SELECT sum(next_offset) FROM fluct.stream_offsets');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ],
	'dumped');
cmp_ok(sql('SELECT sum(next_offset) FROM fluct.stream_offsets'), '>', $before,
	'under load to the end');

# ----- what the dump must show, wherever it is restored -----

my $agree = q{
	SELECT o.stream, o.partition, o.next_offset > 0 AS moved,
		o.next_offset = o.messages AS counted,
		o.next_offset = count(DISTINCT h."offset") AS there_once,
		count(*) = o.next_offset AS none_twice,
		coalesce(max(h."offset"), -1) < o.next_offset AS none_later
	FROM fluct.stream_offsets o
	LEFT JOIN (
		SELECT stream, partition, "offset" FROM fluct.raw_messages
		UNION ALL
		SELECT 'arrivals', partition, "offset" FROM arrivals
		UNION ALL
		SELECT stream, partition, "offset" FROM fluct.dead_letters
		WHERE stream = 'arrivals') h USING (stream, partition)
	GROUP BY o.stream, o.partition ORDER BY 1, 2};
my $all_agree = join("\n", 'arrivals|0|t|t|t|t|t', 'arrivals|1|t|t|t|t|t',
	'orders|0|t|t|t|t|t', 'orders|1|t|t|t|t|t');
my $reckoning = q{
	SELECT s.messages - s.duplicates - s.dead_letters
			= (SELECT count(*) FROM fluct.orders),
		s.rows = (SELECT count(*) FROM fluct.orders)
			+ (SELECT count(*) FROM fluct.order_lines),
		(SELECT count(*) FROM fluct.orders WHERE channel = 'web')
			= (SELECT count(DISTINCT order_id) FROM fluct.order_lines),
		s.dead_letters = (SELECT count(*) FROM fluct.dead_letters
			WHERE stream = 'orders')
	FROM fluct.stat_streams s WHERE stream = 'orders'};

sub check_restored
{
	my ($on, $database, $where) = @_;

	is(sql('SELECT DISTINCT state, reason FROM fluct.stat_streams', $on,
			$database),
		'paused|restored_elsewhere', "$where: it comes up paused");
	is(sql('SELECT count(*) FROM fluct._live()', $on, $database), 0,
		"$where: nothing runs");
	is(sql($agree, $on, $database), $all_agree,
		"$where: rows and positions agree");
	is(sql($reckoning, $on, $database), 't|t|t|t', "$where: counters, too");
	is(sql("SELECT count(*) FROM pg_indexes
			WHERE indexname = 'orders_by_channel'", $on, $database),
		1, "$where: the users' index is there");
	is(sql("SELECT mapping -> 'columns' -> 'channel' FROM fluct.streams
			WHERE name = 'orders'", $on, $database),
		'"$.channel"', "$where: the mapping of their column");
	return;
}

# Starts both streams there and waits until all is there.
sub check_goes_on
{
	my ($on, $database, $where) = @_;
	my $log_ends = join("\n", map { "$_->[0]|$_->[2]" }
		$kafka->describe('orders'));

	foreach my $stream ('arrivals', 'orders')
	{
		sql("SELECT fluct.start_stream('$stream')", $on, $database);
		is(sql("SELECT fluct.wait_for_stream('$stream')", $on, $database),
			't', "$where: $stream goes on");
		is(sql("SELECT partition, next_offset FROM fluct.stream_offsets
				WHERE stream = '$stream' ORDER BY 1", $on, $database),
			$log_ends, "$where: to the end");
	}
	is(sql($agree, $on, $database), $all_agree,
		"$where: with nothing lost or doubled");
	is(sql($reckoning, $on, $database), 't|t|t|t',
		"$where: and all accounted for");
	return;
}

# ----- another cluster -----

my $other = fluct_node('other', extension => 0);

$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d',
		$other->connstr('postgres'), '-f', $dump ], 'restored elsewhere');
check_restored($other, 'postgres', 'another cluster');
$other->restart;
is(sql('SELECT DISTINCT state, reason FROM fluct.stat_streams', $other),
	'paused|restored_elsewhere', 'after a restart as well');

# ----- another database of the same cluster -----

sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d',
		$node->connstr('copy'), '-f', $dump ], 'restored beside');
check_restored($node, 'copy', 'another database');

# ----- on they go -----

write_lines($stop);
waitpid($producer, 0);
ok(caught_up($node, $_), "$_ caught up") foreach ('orders', 'arrivals');
is(sql($agree), $all_agree, 'where it was dumped, too, all agrees');
is(sql($reckoning), 't|t|t|t', 'and is accounted for');

check_goes_on($other, 'postgres', 'another cluster');

sql("ALTER SYSTEM SET fluct.database = 'copy'");
sql('SELECT pg_reload_conf()');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct launcher' AND datname = 'copy'", 1),
	'the launcher moves to the copy');
is(sql('SELECT DISTINCT state, reason FROM fluct.stat_streams', $node, 'copy'),
	'paused|restored_elsewhere', 'where still nothing runs');
check_goes_on($node, 'copy', 'another database');

my $truth = "SELECT count(*), sum(amount), md5(string_agg(order_id, ' '
		ORDER BY order_id)) FROM fluct.orders";
is(sql($truth, $other), sql($truth), 'another cluster: the same orders');
is(sql($truth, $node, 'copy'), sql($truth), 'another database: the same orders');
is(sql('SELECT count(*) FROM fluct.verify_rollup()', $other), 0,
	'and the same sums')
  if sql("SELECT to_regproc('fluct.verify_rollup') IS NOT NULL", $other) eq 't';

done_testing();
