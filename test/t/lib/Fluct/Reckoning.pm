# Fluct::Reckoning - what the tables hold, beside what Kafka holds
#
#   check_agrees($node, 'restored');     # rows and positions, at any moment
#   check_whole($node, $kafka, 'at the end');
#   my %result = reckon($node, $kafka);  # { lost => 0, doubled => 0, ... }
#
# For the two streams of Fluct::Load.  What counts in the end is what Kafka
# holds, not what was sent; kcat reads it, not a stream.
package Fluct::Reckoning;

use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(positions check_agrees check_whole reckon);

# Where the rows of each stream are.
my %TABLE = (arrivals => 'arrivals', orders => 'sales.orders');

# messages = stored + duplicates + dead letters + tombstones; 0 when it is so.
my %BALANCE = map { ($_ => "(SELECT messages - duplicates - dead_letters
		- tombstones - (SELECT count(*) FROM $TABLE{$_})
	FROM fluct.stat_streams WHERE stream = '$_')") } keys %TABLE;

# The sum of the positions: how far both streams are.
sub positions
{
	my ($node) = @_;

	return sql($node, 'SELECT sum(next_offset) FROM fluct.stream_offsets');
}


### At any moment

# For each position: what came before it is there once, and nothing else is.
# Of a tombstone only the raw copy of `orders` keeps anything.
my $AGREEMENT = q{
	SELECT o.stream, o.partition, o.next_offset > 0 AS moved,
		o.next_offset = o.messages AS counted,
		o.next_offset - o.traceless = count(DISTINCT h."offset") AS all_once,
		o.next_offset - o.traceless = count(*) AS none_twice,
		coalesce(max(h."offset"), -1) < o.next_offset AS none_later
	FROM (
		SELECT *, CASE stream WHEN 'arrivals' THEN tombstones ELSE 0 END
			AS traceless
		FROM fluct.stream_offsets) o
	LEFT JOIN (
		SELECT stream, partition, "offset" FROM sales.raw_messages
		UNION ALL
		SELECT 'arrivals', partition, "offset" FROM arrivals
		UNION ALL
		SELECT stream, partition, "offset" FROM fluct.dead_letters
		WHERE stream = 'arrivals') h USING (stream, partition)
	WHERE o.stream IN ('orders', 'arrivals')
	GROUP BY o.stream, o.partition, o.next_offset, o.messages, o.traceless
	ORDER BY 1, 2};
my $AGREED = join("\n", 'arrivals|0|t|t|t|t|t', 'arrivals|1|t|t|t|t|t',
	'orders|0|t|t|t|t|t', 'orders|1|t|t|t|t|t');

# The counters, too, and the orders with their lines.
my $COUNTED = "
	SELECT $BALANCE{orders} = 0, $BALANCE{arrivals} = 0,
		s.rows = (SELECT count(*) FROM sales.orders)
			+ (SELECT count(*) FROM sales.order_lines),
		(SELECT count(*) FROM sales.orders)
			= (SELECT count(DISTINCT order_id) FROM sales.order_lines),
		s.dead_letters = (SELECT count(*) FROM fluct.dead_letters
			WHERE stream = 'orders')
	FROM fluct.stat_streams s WHERE stream = 'orders'";

# Tests: rows, dead letters, raw copy, counters and positions are those of one
# moment.
sub check_agrees
{
	my ($node, $where, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql($node, $AGREEMENT, db => $database), $AGREED,
		"$where: rows and positions agree");
	is(sql($node, $COUNTED, db => $database), 't|t|t|t|t',
		"$where: counters, too");
	return;
}


### At the end

# Writes what the topic holds to a file for COPY.
sub write_truth
{
	my ($kafka, $file) = @_;

	open(my $log, '-|', 'kcat', '-C', '-q', '-e', '-b', $kafka->bootstrap,
		'-t', 'orders', '-X', 'isolation.level=read_committed', '-f',
		'%p %o %S %s\n')
	  or die "kcat: $!";
	open(my $out, '>', $file) or die "$file: $!";
	while (<$log>)
	{
		chomp;
		my ($partition, $offset, $size, $value) = split(/ /, $_, 4);
		my ($id) = $value =~ /"order_id": "([^"]+)"/;
		my ($amount) = $value =~ /"amount": ([\d.]+)/;
		my $lines = () = $value =~ /"product_id"/g;
		my ($kind, @order) = $size < 0 ? ('tombstone', '\N', '\N', 0) :
		  $value =~ /\}$/ ? ('order', $id, $amount, $lines) :
		  ('bad', '\N', '\N', 0);

		print $out join("\t", $partition, $offset,
			$size < 0 ? '\N' : md5_hex($value), $kind, @order), "\n";
	}
	close($log) or die 'kcat failed';
	close($out) or die "$file: $!";
	return;
}

sub load_truth
{
	my ($node, $kafka, $database) = @_;
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/truth";

	write_truth($kafka, $file);
	sql($node, "DROP TABLE IF EXISTS truth, true_orders, log_ends;
		CREATE TABLE truth (partition int, \"offset\" bigint, md5 text,
			kind text, order_id text, amount numeric, lines int);
		COPY truth FROM '$file';
		CREATE TABLE true_orders AS SELECT DISTINCT order_id, amount, lines
			FROM truth WHERE kind = 'order';
		CREATE TABLE log_ends (partition int, high bigint);
		INSERT INTO log_ends VALUES "
		  . join(', ', map { "($_->[0], $_->[2])" } $kafka->describe('orders'))
		  . '; ANALYZE truth, true_orders', db => $database);
	unlink($file);
	return;
}

# How many rows of $_[0] are not in $_[1].
sub difference
{
	return "SELECT count(*) FROM ($_[0] EXCEPT ALL $_[1]) d";
}

my $PLACE = 'SELECT partition, "offset"';
my %COMPARED = (
	'orders' => [ 'SELECT order_id, amount FROM true_orders',
		'SELECT order_id, amount FROM sales.orders' ],
	'order lines' => [
		'SELECT order_id, generate_series(1, lines) FROM true_orders',
		'SELECT order_id, line_number FROM sales.order_lines' ],
	'raw messages' => [ "$PLACE, md5 FROM truth",
		"$PLACE, md5(value) FROM sales.raw_messages WHERE stream = 'orders'" ],
	'arrivals' => [
		"$PLACE, order_id, amount FROM truth WHERE kind = 'order'",
		"$PLACE, order_id, amount FROM arrivals" ],
	map({ ("dead letters of $_" => [ "$PLACE FROM truth WHERE kind = 'bad'",
			"$PLACE FROM fluct.dead_letters WHERE stream = '$_'" ]) }
		keys %TABLE));

# A checksum of ids does not depend on their order.
my $IDS = 'sum(hashtextextended(order_id, 0)), count(*), sum(amount)';

# Each is 0 when it is right.
my %ACCOUNTS = (
	'checksum of orders' => "SELECT ((SELECT ROW($IDS) FROM true_orders)
		IS DISTINCT FROM (SELECT ROW($IDS) FROM sales.orders))::int",
	'checksum of arrivals' => "SELECT ((SELECT ROW($IDS) FROM truth
		WHERE kind = 'order')
		IS DISTINCT FROM (SELECT ROW($IDS) FROM arrivals))::int",
	'rollup' => 'SELECT count(*) FROM fluct.verify_rollup()',
	map({ (
			"positions of $_" => "SELECT sum(abs(l.high -
					coalesce(o.next_offset, 0))
					+ abs(l.high - coalesce(o.messages, 0)))
				FROM log_ends l LEFT JOIN fluct.stream_offsets o
					ON o.stream = '$_' AND o.partition = l.partition",
			"counts of $_" => "SELECT abs($BALANCE{$_}) + abs(tombstones
					- (SELECT count(*) FROM truth WHERE kind = 'tombstone'))
				FROM fluct.stat_streams WHERE stream = '$_'",
			"reconcile_stream of $_" => "SELECT sum(unexplained)
				FROM fluct.reconcile_stream('$_')") }
		keys %TABLE));

# Compares, when both streams have caught up.  Returns a hash: messages, lost,
# doubled, unaccounted, and problems, a list of words.
sub reckon
{
	my ($node, $kafka, $database) = @_;
	my %result = (lost => 0, doubled => 0, unaccounted => 0, problems => []);
	my $check = sub {
		my ($sum, $what, $query) = @_;
		my $n = sql($node, "SET work_mem = '256MB'; $query", db => $database);

		$n = 1 if $n eq '';
		$result{$sum} += $n;
		push(@{ $result{problems} }, "$what: $n $sum") if $n != 0;
	};

	load_truth($node, $kafka, $database);
	foreach my $what (sort keys %COMPARED)
	{
		my ($true, $found) = @{ $COMPARED{$what} };

		$check->('lost', $what, difference($true, $found));
		$check->('doubled', $what, difference($found, $true));
	}
	$check->('unaccounted', $_, $ACCOUNTS{$_}) foreach sort keys %ACCOUNTS;
	$result{messages} = sql($node, 'SELECT count(*) FROM truth',
		db => $database);
	return %result;
}

# Tests: both streams reach the end of what Kafka holds, and have all of it,
# as it came, once.
sub check_whole
{
	my ($node, $kafka, $where, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql($node, "SELECT fluct.wait_for_stream('$_', '2 min')",
			db => $database),
		't', "$where: $_ goes on to the end")
	  foreach sort keys %TABLE;
	check_agrees($node, $where, $database);
	my %result = reckon($node, $kafka, $database);

	is($result{$_}, 0, "$where: nothing $_")
	  foreach ('lost', 'doubled', 'unaccounted');
	is_deeply($result{problems}, [], "$where: every message as Kafka has it");
	return;
}

1;
