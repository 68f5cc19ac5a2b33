# Every offset is accounted for: transactions, compaction, gaps, dead letters,
# duplicates, tombstones, several workers; and the account can show what is
# not.  Another cluster, and a topic made anew while it is read.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker('main', 'log.cleaner.backoff.ms=200',
	'log.initial.task.delay.ms=500', 'log.retention.check.interval.ms=1000');
plan(skip_all => 'the topics of FLUCT_KAFKA are not ours to delete')
  if $kafka->is_external;
my $node = fluct_node('main', kafka => $kafka);
my @orders = orders(600, seed => 16, lines => 2);

sub account
{
	return sql("SELECT partition, from_offset, to_offset, stored, duplicates, dead_letters, tombstones,
					skipped, gaps, unexplained
				FROM fluct.reconcile_stream('$_[0]') ORDER BY 1");
}

sub sums
{
	return sql("SELECT sum(offsets), sum(stored), sum(duplicates), sum(dead_letters), sum(tombstones),
					sum(skipped), sum(gaps), sum(unexplained)
				FROM fluct.reconcile_stream('$_[0]')");
}

# transactions: markers at the end, aborted messages, and a message alone
$kafka->create_topic('bank', 1);
$kafka->produce('bank', [ @orders[ 0 .. 9 ] ], transaction => 'commit');
$kafka->produce('bank', [ @orders[ 10 .. 19 ] ], transaction => 'abort');
$kafka->produce('bank', [ @orders[ 20 .. 29 ] ], transaction => 'commit');
etl("SELECT fluct.create_stream('bank', 'shop', 'bank', start => true)");
ok(caught_up($node, 'bank'), 'a transactional topic is read to its end');
ok(poll($node, "SELECT lag FROM fluct.stat_streams WHERE stream = 'bank'", '0'),
	'without lag');
is(sql('SELECT count(*) FROM sales.orders'), 20, 'nothing that was aborted appears');
is(account('bank'), '0|0|33|20|0|0|0|13|0|0',
	'markers and what was aborted are skipped');
$kafka->produce('bank', [ $orders[$_] ], transaction => $_ % 2 ? 'commit' : 'abort')
  foreach (30 .. 33);
ok(caught_up($node, 'bank'), 'small transactions');
is(account('bank'), '0|0|41|22|0|0|0|19|0|0', 'reconciled while it runs');
is( sql("SELECT count(*), min(from_offset), max(to_offset), sum(upper(r) - lower(r))
		 FROM fluct.skipped_offsets, unnest(intervals) r WHERE stream = 'bank'"),
	'4|10|41|19', 'neighbours are one interval');
is(sql("SELECT count(*) FROM fluct.skipped_offsets"), 1, 'in one row');

# an account that is wrong is seen to be
sql("SELECT fluct.pause_stream('bank')");
sql("BEGIN; CREATE TABLE kept AS SELECT * FROM fluct.skipped_offsets;
	 UPDATE fluct.skipped_offsets SET intervals = intervals + '{[2,5)}', from_offset = 2 WHERE stream = 'bank'; COMMIT");
is(account('bank'), '0|0|41|22|0|0|0|22|0|6',
	'a forged interval: three messages are delivered there, and the sum is off by three');
sql("UPDATE fluct.skipped_offsets SET intervals = intervals - '{[10,13)}' WHERE stream = 'bank'");
is(account('bank'), '0|0|41|22|0|0|0|19|0|3', 'also where the sum is right');
sql("UPDATE fluct.skipped_offsets k SET intervals = t.intervals, from_offset = t.from_offset FROM kept t");
is(account('bank'), '0|0|41|22|0|0|0|19|0|0', 'mended');

# what retention has deleted can't be read again
$kafka->delete_records('bank', 0, 15);
my ($out, $err);
$node->psql('postgres', "SELECT sum(unexplained) FROM fluct.reconcile_stream('bank')",
	stdout => \$out, stderr => \$err);
is($out, 0, 'an interval that Kafka has deleted is no mistake');
like($err, qr/NOTICE:  partition 0: Kafka has deleted its log up to offset 15/, 'and is told of');
sql("SELECT fluct.drop_stream('bank')");
etl("SELECT fluct.create_stream('bank', 'shop', 'bank', start => true)");
ok(caught_up($node, 'bank'), 'a stream that goes on after drop');
is(account('bank'), '0|0|41|22|0|0|0|19|0|0', 'keeps its account');
sql("SELECT fluct.drop_stream('bank')");
etl("SELECT fluct.create_stream('bank', 'shop', 'bank', start_at => 'earliest', start => true)");
ok(caught_up($node, 'bank'), 'one that begins elsewhere');
is(account('bank'), '0|15|41|0|12|0|0|14|0|0', 'begins anew');
sql("SELECT fluct.drop_stream('bank')");

# all at once: two workers, four partitions, everything that can happen
sql("TRUNCATE sales.orders, sales.order_lines");
$kafka->create_topic('mix', 4);
$kafka->produce('mix', [ @orders[ 100 .. 199 ] ], transaction => 'commit');
$kafka->produce('mix', [ @orders[ 100 .. 119 ], ('no order') x 12 ]);
$kafka->produce('mix', [ map { "key$_" } 1 .. 9 ], keyed => 1);
$kafka->produce('mix', [ @orders[ 200 .. 299 ] ], transaction => 'abort');
etl("SELECT fluct.create_stream('mix', 'shop', 'mix', workers => 2, batch_size => 7,
		on_data_loss => 'skip', start => true)");
ok(caught_up($node, 'mix'), 'two workers, four partitions');
is(sums('mix'), '249|100|20|12|9|108|0|0', 'all of it is explained');
$kafka->add_partitions('mix', 6);
$kafka->produce('mix', [ @orders[ 300 .. 309 ] ], partition => 5);
ok( poll($node, "SELECT count(*) = 10 FROM sales.raw_messages WHERE stream = 'mix' AND partition = 5"),
	'partitions that were added');
is( sql("SELECT from_offset, to_offset, stored, unexplained FROM fluct.reconcile_stream('mix')
		 WHERE partition >= 4 ORDER BY partition"),
	"0|0|0|0\n0|10|10|0", 'are counted from their beginning');
sql("SELECT fluct.pause_stream('mix')");
$kafka->produce('mix', [ @orders[ 310 .. 329 ] ], partition => 5);
$kafka->delete_records('mix', 5, 20);
sql("SELECT fluct.start_stream('mix')");
ok(caught_up($node, 'mix'), 'lost messages are gone past');
is( sql("SELECT to_offset, stored, gaps, unexplained FROM fluct.reconcile_stream('mix') WHERE partition = 5"),
	'30|20|10|0', 'and are a gap');
is(sql("SELECT sum(unexplained) FROM fluct.reconcile_stream('mix')"), 0,
	'nothing is unexplained');
sql("SELECT fluct.drop_stream('mix')");

# compaction takes the low keys away
$kafka->create_topic('state', 1, 'cleanup.policy=compact', 'segment.ms=100',
	'min.cleanable.dirty.ratio=0.01', 'delete.retention.ms=100');
for my $round (0 .. 3)
{
	$kafka->produce('state', [ map { "k$_\t$orders[400 + 10 * $round + $_]" } 0 .. 9 ], keyed => 1);
	select(undef, undef, undef, 0.2);
}
# each look adds a message, so that the segment before it is closed
my $left;
for (1 .. 200)
{
	$left = grep { $_ < 30 } $kafka->consume('state', '-f', '%o\n');
	last if $left == 0;
	$kafka->produce('state', ["last\t$orders[500]"], keyed => 1);
	select(undef, undef, undef, 0.3);
}
is($left, 0, 'the topic is compacted');
etl("SELECT fluct.create_stream('state', 'shop', 'state', start => true)");
ok(caught_up($node, 'state'), 'a compacted topic is read');
is( sql("SELECT from_offset, skipped >= 30, stored >= 11, unexplained
		 FROM fluct.reconcile_stream('state')"),
	'0|t|t|0', 'what is gone is skipped');
sql("SELECT fluct.drop_stream('state')");

# two intervals that lie far apart
$kafka->create_topic('far', 1);
$kafka->produce('far', [ $orders[0] ], transaction => 'commit');
$kafka->produce('far', [ ('{"a": 1}') x 25000 ]);
$kafka->produce('far', [ $orders[1] ], transaction => 'abort');
$kafka->produce('far', [ ('{}') x 3 ]);
etl("CREATE TABLE far_away (a int);
	 SELECT fluct.create_stream('far', 'shop', 'far', 'far_away', '{\"columns\": {\"a\": \"\$.a\"}}',
		keep_raw => false, on_conflict => 'error', start => true)");
ok(caught_up($node, 'far'), 'a longer topic');
is(account('far'), '0|0|25007|25004|0|0|0|3|0|0', 'jumps at both ends');
sql("UPDATE fluct.skipped_offsets SET intervals = intervals + '{[25004,25005)}' WHERE stream = 'far'");
is(sql("SELECT unexplained FROM fluct.reconcile_stream('far')"), 2,
	'a message behind the far one is found');

# cancelled while Kafka does not answer
$kafka->freeze;
$node->psql('postgres', "SET statement_timeout = '1 s'; SELECT * FROM fluct.reconcile_stream('far')",
	stderr => \$err);
like($err, qr/canceling statement due to statement timeout/, 'it can be cancelled');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fluct inquiry'", '0'),
	'and its worker ends');
$kafka->thaw;
sql("SELECT fluct.drop_stream('far')");

# deleted and made again while it is read
foreach my $case ([ 'fewer', 10 ], [ 'more', 200 ])
{
	my ($name, $count) = @$case;

	sql("TRUNCATE sales.orders, sales.order_lines");
	$kafka->create_topic($name, 1);
	$kafka->produce($name, [ @orders[ 0 .. 99 ] ]);
	etl("SELECT fluct.create_stream('$name', 'shop', '$name', start => true)");
	ok(caught_up($node, $name), "$name: the first topic is read");
	$kafka->delete_topic($name);
	for (1 .. 100)
	{
		last if eval { $kafka->create_topic($name, 1); 1 };
		select(undef, undef, undef, 0.02);
	}
	$kafka->produce($name, [ @orders[ 300 .. 299 + $count ] ]);
	ok(await_state($node, $name, 'failed/topic_changed'),
		"$name: made again while it is read, it is another one");
	is(sql("SELECT count(*) FROM sales.orders"), 100, "$name: of which nothing is stored");
	sql("SELECT fluct.drop_stream('$name')");
}

# gone for longer
sql("TRUNCATE sales.orders, sales.order_lines");
$kafka->create_topic('gone', 1);
$kafka->produce('gone', [ @orders[ 0 .. 9 ] ]);
etl("SELECT fluct.create_stream('gone', 'shop', 'gone', start => true)");
ok(caught_up($node, 'gone'), 'a topic is read');
$kafka->delete_topic('gone');
ok(await_state($node, 'gone', 'backing_off/unknown_topic'), 'it is deleted');
$kafka->create_topic('gone', 1);
$kafka->produce('gone', [ @orders[ 10 .. 39 ] ]);
ok(await_state($node, 'gone', 'failed/topic_changed'), 'another one comes');
is(sql("SELECT count(*) FROM sales.orders"), 10, 'and is not mixed with it');
sql("SELECT fluct.drop_stream('gone')");

# another cluster behind the same server
my $other = Fluct::Broker->start('other');
$kafka->create_topic('moved', 2);
$kafka->produce('moved', [ @orders[ 0 .. 19 ] ]);
$other->create_topic('moved', 3);
$other->produce('moved', [ @orders[ 100 .. 159 ] ]);
etl("SELECT fluct.create_stream('moved', 'shop', 'moved', start => true)");
ok(caught_up($node, 'moved'), 'a stream of one cluster');
is(sql("SELECT count(DISTINCT cluster_id) FROM fluct.stream_offsets WHERE stream = 'moved'"),
	1, 'which is kept');
my $cluster = sql("SELECT DISTINCT cluster_id FROM fluct.stream_offsets WHERE stream = 'moved'");
sql("SELECT fluct.pause_stream('moved')");
my $bootstrap = $other->bootstrap;
sql("ALTER SERVER shop OPTIONS (SET bootstrap_servers '$bootstrap')");
sql("SELECT fluct.start_stream('moved')");
ok(await_state($node, 'moved', 'failed/cluster_changed'), 'the server leads to another');
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'moved'"),
	qr/leads to cluster \S+, but the stream's position is in cluster \Q$cluster\E.*seek_stream/,
	'both are named');
is(sql("SELECT item, substr(detail, 1, 16) FROM fluct.check_stream('moved') WHERE status = 'fail'"),
	'topic|cluster_changed:', 'check_stream says so, too');
is( sql("SELECT partition, old_offset, new_offset FROM fluct.seek_stream('moved', 'earliest', force => true) ORDER BY 1"),
	"0|10|0\n1|10|0\n2||0", 'the way out');
sql("SELECT fluct.start_stream('moved')");
ok(caught_up($node, 'moved'), 'it goes on there');
is( account('moved'), "0|0|20|20|0|0|0|0|0|0\n1|0|20|20|0|0|0|0|0|0\n2|0|20|20|0|0|0|0|0|0",
	'with an account of its own');
isnt(sql("SELECT DISTINCT cluster_id FROM fluct.stream_offsets WHERE stream = 'moved'"),
	$cluster, 'in the other cluster');

done_testing();
