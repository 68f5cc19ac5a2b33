# Fluct::Load - two streams under load, and whether all that Kafka holds is
# there once
#
#   start_two_streams($node);            # orders, and arrivals without a key
#   my $load = start_load($kafka);
#   ...                                  # dump, recover, promote
#   stop_load($load);
#   check_agrees($node, 'restored');     # rows and positions, at any moment
#   check_whole($node, $kafka, 'at the end');
#
# The topic is `orders`, with two partitions.
package Fluct::Load;

use strict;
use warnings;
use Exporter 'import';
use Fluct;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_two_streams start_load stop_load positions check_agrees
  check_whole);

# Two streams of the same topic: the order tables, and a table without any
# key, where a message that came twice would be there twice.
sub start_two_streams
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		CREATE TABLE arrivals (partition int, "offset" bigint);
		SELECT fluct.create_stream('orders', 'shop', 'orders',
			batch_size => 50, batch_interval => '10 ms', start => true);
		SELECT fluct.create_stream('arrivals', 'shop', 'orders', 'arrivals',
			'{"columns": {"partition": "kafka.partition",
				"offset": "kafka.offset"}}', batch_size => 50,
			batch_interval => '10 ms', keep_raw => false,
			max_dead_letters => 1000000, start => true);
		SELECT fluct.alter_stream('orders', max_dead_letters => 1000000)});
	return;
}

# A process that produces orders, and in each round one that came before and
# one that is cut; with so many seconds from one round to the next.
sub start_load
{
	my ($kafka, $pause) = @_;
	my $stop = "${PostgreSQL::Test::Utils::tmp_check}/stop_load";
	my $pid = fork() // die "fork: $!";

	return { pid => $pid, stop => $stop } if $pid;
	for (my $n = 0; !-e $stop && getppid() != 1; $n++)
	{
		$kafka->produce('orders',
			[ (map { an_order("$n.$_", channel => '"web"') } 1 .. 50),
				an_order('0.1'), '{"order_id": "cut' ]);
		sleep($pause // 0.02);
	}
	POSIX::_exit(0);
}

sub stop_load
{
	my ($load) = @_;

	write_lines($load->{stop});
	waitpid($load->{pid}, 0);
	unlink($load->{stop});
	return;
}

# The sum of the positions: how far both streams are.
sub positions
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		'SELECT sum(next_offset) FROM fluct.stream_offsets');
}

# For each position: what came before it is there once, and nothing else is.
my $agreement = q{
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
	WHERE o.stream IN ('orders', 'arrivals')
	GROUP BY o.stream, o.partition ORDER BY 1, 2};
my $agreed = join("\n", 'arrivals|0|t|t|t|t|t', 'arrivals|1|t|t|t|t|t',
	'orders|0|t|t|t|t|t', 'orders|1|t|t|t|t|t');

# The counters, too, and the orders with their lines.
my $reckoning = q{
	SELECT s.messages - s.duplicates - s.dead_letters
			= (SELECT count(*) FROM fluct.orders),
		s.rows = (SELECT count(*) FROM fluct.orders)
			+ (SELECT count(*) FROM fluct.order_lines),
		(SELECT count(*) FROM fluct.orders)
			= (SELECT count(DISTINCT order_id) FROM fluct.order_lines),
		s.dead_letters = (SELECT count(*) FROM fluct.dead_letters
			WHERE stream = 'orders')
	FROM fluct.stat_streams s WHERE stream = 'orders'};

# Tests: rows, dead letters, raw copy, counters and positions are those of one
# moment.
sub check_agrees
{
	my ($node, $where, $database) = @_;

	$database //= 'postgres';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($database, $agreement), $agreed,
		"$where: rows and positions agree");
	is($node->safe_psql($database, $reckoning), 't|t|t|t',
		"$where: counters, too");
	return;
}

# Tests: both streams reach the end of what Kafka holds, and have all of it,
# as it came, once.
sub check_whole
{
	my ($node, $kafka, $where, $database) = @_;
	my $log_ends = join("\n", map { "$_->[0]|$_->[2]" }
		$kafka->describe('orders'));
	my @log = sort($kafka->consume('orders', '-f', '%p %o %s\n'));

	$database //= 'postgres';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $stream ('arrivals', 'orders')
	{
		is($node->safe_psql($database,
				"SELECT fluct.wait_for_stream('$stream', '2 min')"),
			't', "$where: $stream goes on");
		is($node->safe_psql($database,
				"SELECT partition, next_offset FROM fluct.stream_offsets
				 WHERE stream = '$stream' ORDER BY 1"),
			$log_ends, "$where: to the end");
	}
	check_agrees($node, $where, $database);
	my @stored = sort(split(/\n/, $node->safe_psql($database,
		q{SELECT format('%s %s %s', partition, "offset",
			convert_from(value, 'UTF8')) FROM fluct.raw_messages})));
	ok("@stored" eq "@log", "$where: every message as Kafka has it")
	  or diag(scalar(@stored) . ' stored, Kafka has ' . scalar(@log));
	is($node->safe_psql($database,
			'SELECT count(*) FROM fluct.verify_rollup()'),
		0, "$where: and the rollup agrees")
	  if $node->safe_psql($database,
		"SELECT to_regproc('fluct.verify_rollup') IS NOT NULL") eq 't';
	return;
}

1;
