# The memory of a worker with much to fetch: 200 partitions, 5 MB in each.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Process;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $bar = 128;			# MB
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_wal_size' => '4GB');

# 1,000 messages of 5 KB, 200 times over: each partition has 1,000.
my @messages = orders(1000, lines => 115, products => 2000);
my $bytes = length(join('', @messages)) * 200;
$kafka->create_topic('wide', 200);
my $begin = time();
$kafka->produce('wide', \@messages, times => 200);
note(sprintf('%.0f MB produced in %.1f s', $bytes / 1048576, time() - $begin));
cmp_ok($bytes, '>', 200 * 5e6, 'a lag of 5 MB in each partition');

etl('CREATE TABLE wide (order_id text, amount numeric)');
foreach my $keep_raw ('false', 'true')
{
	my $stream = "keep_raw_$keep_raw";
	my $peak = 0;

	$begin = time();
	etl("SELECT fluct.create_stream('$stream', 'shop', 'wide', 'wide',
		'{\"columns\": {\"order_id\": \"\$.order_id\", \"amount\": \"\$.amount\"}}',
		keep_raw => $keep_raw, start => true)");
	my $pid = worker_pid($node);
	my $next = 0;
	my $done = 0;
	while (!$done)
	{
		my $memory = private_memory($pid);
		$peak = $memory if $memory > $peak;
		sleep(0.02);
		next if time() < $next;
		$next = time() + 1;
		$done = sql("SELECT coalesce(sum(messages), 0) >= 200000
			FROM fluct.stream_offsets WHERE stream = '$stream'") eq 't';
		last if !$done && time() - $begin > 300;
	}
	note(sprintf('keep_raw %s: %.1f s, peak %.0f MB, after it %.0f MB',
		$keep_raw, time() - $begin, $peak, private_memory($pid)));
	ok($done, "keep_raw $keep_raw: all is stored");
	cmp_ok($peak, '<=', $bar, "in at most $bar MB");
	sql("SELECT fluct.drop_stream('$stream'); TRUNCATE wide");
}

done_testing();
