# A stream's position moved by hand: forwards with a gap, backwards by force,
# past what can't be received, and on after another topic has come.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker('main', 'message.max.bytes=50000000',
	'replica.fetch.max.bytes=50000000');
plan(skip_all => 'the topics of FLUCT_KAFKA are not ours to delete')
  if $kafka->is_external;
my $node = fluct_node('main', kafka => $kafka);
my @orders = orders(400, seed => 15, lines => 2);

sub seek_stream
{
	return sql("SELECT partition, old_offset, new_offset FROM fluct.seek_stream($_[0]) ORDER BY 1");
}

sub positions
{
	return sql("SELECT partition, next_offset, epoch FROM fluct.stream_offsets
				WHERE stream = '$_[0]' ORDER BY 1");
}

sub unexplained
{
	return sql("SELECT sum(unexplained) FROM fluct.reconcile_stream('$_[0]')");
}

# a target without a key shows what is read twice
etl("CREATE TABLE seen (order_id text, amount numeric)");
$kafka->create_topic('orders', 2);
$kafka->produce('orders', [ @orders[ 0 .. 99 ] ], timestamp => 1767225600000);
$kafka->produce('orders', [ @orders[ 100 .. 199 ] ], timestamp => 1767229200000);
etl("SELECT fluct.create_stream('orders', 'shop', 'orders')");

# before the first start
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', 'latest', 1)",
	qr/55000: stream "orders" has no positions yet.*alter_stream\('orders', start_at => 'latest'\)/s,
	'a stream that never ran has no partition to move');
is(seek_stream("'orders', 'earliest', dry_run => true"), "0||0\n1||0",
	'a dry run of all of them');
is(positions('orders'), '', 'moves nothing');
is(seek_stream("'orders', '{\"1\": 90}'"), "0||0\n1||90",
	'it gets positions in all partitions');
sql("SELECT fluct.start_stream('orders')");
ok(caught_up($node, 'orders'), 'and begins there');
is(sql('SELECT count(*) FROM sales.orders'), 110, 'with what comes after them');

# only at rest
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', 'latest')",
	qr/55000: stream "orders" is running.*pause_stream\('orders'\)/s,
	'not while it runs');
fails_like($node, "BEGIN; SELECT fluct.pause_stream('orders');
	SELECT * FROM fluct.seek_stream('orders', 'latest');",
	qr/55000: a worker of stream "orders" is still there: process \d+/,
	'nor while a worker is left');
sql("SELECT fluct.pause_stream('orders')");

# what can't be
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', '{\"0\": 101}')",
	qr/22023: partition 0: Kafka's log does not hold offset 101.*begins at 0, and its next message will get offset 100/s,
	'beyond the log');
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', '{\"0\": 1, \"7\": 1}')",
	qr/22023: topic "orders" has no partition 7.*2, from 0 to 1/s,
	'a partition that is not there');
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', 'latest', 2)",
	qr/22023: topic "orders" has no partition 2/, 'neither as an argument');
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', '{\"0\": 1}', 1)",
	qr/22023: start_at names no offset for partition 1/, 'two partitions at odds');
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', '$_')",
	qr/22023: invalid start_at: "$_"/, "no start_at: $_")
  foreach 'someday', 'infinity';
fails_like($node, "SELECT * FROM fluct.seek_stream('nothing', 'latest')",
	qr/42704: stream "nothing" does not exist/, 'no stream');
sql("CREATE ROLE other; GRANT USAGE ON SCHEMA fluct TO other;
	 GRANT EXECUTE ON FUNCTION fluct.seek_stream, fluct.reconcile_stream TO other");
fails_like($node, "SET ROLE other; SELECT * FROM fluct.seek_stream('orders', 'latest')",
	qr/42501: stream "orders" belongs to/, "another's stream");
fails_like($node, "SET ROLE other; SELECT * FROM fluct.reconcile_stream('orders')",
	qr/42501: stream "orders" belongs to/, 'nor is it to be reconciled');

# backwards
fails_like($node, "SELECT * FROM fluct.seek_stream('orders', '2026-01-01 01:00Z')",
	qr/55000: stream "orders" would go back in partition 0, 1.*stored twice where it has none.*seek_stream\('orders', '2026-01-01 01:00Z', force => true\)/s,
	'not back without force');
my ($out, $err);
$node->psql('postgres',
	"SELECT partition, old_offset, new_offset FROM fluct.seek_stream('orders', '2026-01-01 01:00Z', dry_run => true)",
	stdout => \$out, stderr => \$err);
is($out, "0|100|50\n1|100|50", 'a dry run shows a time as offsets');
like($err, qr/NOTICE:  stream "orders" would go back/, 'and says what is to be known');
is(positions('orders'), "0|100|1\n1|100|1", 'and moves nothing');
my $before = sql("SELECT messages, duplicates FROM fluct.stat_streams");
is(seek_stream("'orders', '2026-01-01 01:00Z', 1, force => true"), '1|100|50',
	'by force, and only one partition');
is(positions('orders'), "0|100|1\n1|50|2", 'that is a new epoch');
is(sql("SELECT messages, duplicates FROM fluct.stat_streams"), $before,
	'the totals stay');
sql("SELECT fluct.start_stream('orders')");
ok(caught_up($node, 'orders'), 'what is read again');
is(sql('SELECT count(*) FROM sales.orders'), 150, 'is stored where it was not');
is(sql("SELECT messages, duplicates FROM fluct.stat_streams"), '160|10',
	'and counted as a duplicate where it was');
is( sql("SELECT partition, from_offset, to_offset, offsets, stored, duplicates, dead_letters, tombstones, skipped, gaps, unexplained
		 FROM fluct.reconcile_stream('orders') ORDER BY 1"),
	"0|0|100|100|100|0|0|0|0|0|0\n1|50|100|50|40|10|0|0|0|0|0",
	'each epoch has an account of its own');

# forwards
sql("SELECT fluct.pause_stream('orders')");
$kafka->produce('orders', [ @orders[ 200 .. 299 ] ]);
is(seek_stream("'orders', '{\"0\": 120}'"), '0|100|120',
	'forwards, where offsets are named');
is(positions('orders'), "0|120|1\n1|100|2", 'the same epoch');
is( sql("SELECT partition, from_offset, to_offset, reason, epoch FROM fluct.gaps"),
	'0|100|120|seek|1', 'with a gap');
is(seek_stream("'orders', 'latest', 1"), '1|100|150', 'to the end');
sql("SELECT fluct.start_stream('orders')");
ok(caught_up($node, 'orders'), 'it goes on');
is(sql('SELECT count(*) FROM sales.orders'), 180, 'behind the gaps');
is(unexplained('orders'), 0, 'which explain what is not there');
sql("SELECT fluct.drop_stream('orders')");
etl("SELECT fluct.create_stream('orders', 'shop', 'orders', start_at => '{\"0\": 40}', start => true)");
ok(caught_up($node, 'orders'), 'created again to begin elsewhere');
is(unexplained('orders'), 0, 'the gaps of before are not its own');
sql("SELECT fluct.drop_stream('orders')");

# a target without a key
etl("SELECT fluct.create_stream('seen', 'shop', 'orders', 'seen',
		'{\"columns\": {\"order_id\": \"\$.order_id\", \"amount\": \"\$.amount\"}}', start => true)");
ok(caught_up($node, 'seen'), 'a target without a key');
sql("SELECT fluct.pause_stream('seen')");
seek_stream("'seen', '{\"0\": 140}', force => true");
sql("SELECT fluct.start_stream('seen')");
ok(caught_up($node, 'seen'), 'read again from an offset on');
is(sql('SELECT count(*), count(DISTINCT order_id) FROM seen'), '310|300',
	'holds twice what the hint said');
sql("SELECT fluct.drop_stream('seen')");

# past a message that can't be received
$kafka->create_topic('big', 1, 'max.message.bytes=50000000');
$kafka->produce('big', [ @orders[ 0 .. 9 ] ]);
my $noise = '';
open(my $random, '<:raw', '/dev/urandom') or die $!;
read($random, $noise, 36_000_000);
close($random);
$kafka->produce('big', [$noise], whole => 1);
$kafka->produce('big', [ @orders[ 10 .. 19 ] ]);
etl("SELECT fluct.create_stream('big', 'shop', 'big', start => true)");
ok(await_state($node, 'big', 'failed/message_too_large'),
	'a message larger than a response may be');
my ($place) = sql("SELECT next_offset FROM fluct.stream_offsets WHERE stream = 'big'");
is($place, 10, 'what comes before it is stored');
fails_like($node, q(SELECT * FROM fluct.preview_stream('big', 1)), qr/message_too_large\n.*HINT:  To look behind it, pass start_at.*fluct\.seek_stream\('big', .*max\.message\.bytes/s, 'preview says what helps', as => 'etl');
is(sql(q(SELECT DISTINCT partition, "offset" FROM fluct.preview_stream('big', 1, '{"0": 11}')), as => 'etl'), '0|11', '... which does');
my $past = sql(q(SELECT hint FROM fluct.health WHERE problem = 'failed'));
is($past, q(SELECT fluct.seek_stream('big', '{"0": 11}'); SELECT fluct.start_stream('big');), 'with the calls that go past it');
is(etl($past), "(big,0,10,11)\nstarting", 'which do');
ok(caught_up($node, 'big'), 'and on');
is( sql("SELECT messages, reason FROM fluct.stat_streams WHERE stream = 'big'"),
	'20|', 'to all the others');
is(unexplained('big'), 0, 'the gap is known');
is(sql("SELECT from_offset, to_offset, reason FROM fluct.gaps WHERE stream = 'big'"),
	'10|11|seek', 'it is the message');

# after another topic has come
foreach my $case ([ 'fewer', 30 ], [ 'more', 90 ])
{
	my ($name, $count) = @$case;

	$kafka->create_topic($name, 3);
	$kafka->produce($name, [ @orders[ 0 .. 149 ] ]);
	etl("SELECT fluct.create_stream('$name', 'shop', '$name', start => true)");
	ok(caught_up($node, $name), "$name: the first topic is read");
	sql("SELECT fluct.pause_stream('$name')");
	$kafka->delete_topic($name);
	for (1 .. 100)
	{
		last if eval { $kafka->create_topic($name, 2); 1 };
		select(undef, undef, undef, 0.1);
	}
	$kafka->produce($name, [ @orders[ 300 .. 299 + $count ] ]);
	sql("SELECT fluct.start_stream('$name')");
	ok(await_state($node, $name, 'failed/topic_changed'), "$name: another topic");
	like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = '$name'"),
		qr/partition 2 no longer exists in topic .*seek_stream\('$name', 'earliest', force => true\)/,
		"$name: the detail says the way out");
	like(sql("SELECT hint FROM fluct.check_stream('$name') WHERE status = 'fail'"),
		qr/seek_stream\('$name', 'earliest', force => true\)/, "$name: and so does check_stream");
	my $half = $count / 2;
	is(seek_stream("'$name', 'earliest', force => true"), "0|50|0\n1|50|0\n2|50|",
		"$name: from its beginning");
	sql("SELECT fluct.start_stream('$name')");
	ok(caught_up($node, $name), "$name: the new topic is read");
	is( sql("SELECT partition, from_offset, to_offset, offsets, unexplained
			 FROM fluct.reconcile_stream('$name') ORDER BY 1"),
		"0|0|$half|$half|0\n1|0|$half|$half|0", "$name: and accounted for");
	sql("SELECT fluct.drop_stream('$name')");
}

done_testing();
