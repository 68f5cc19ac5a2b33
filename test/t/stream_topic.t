# A topic that is not the one it was: deleted and made again, cut at its
# beginning, grown.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
plan(skip_all => 'the topics of FLUCT_KAFKA are not ours to delete')
  if $kafka->is_external;
my $node = fluct_node('main', kafka => $kafka);
my @orders = orders(400, seed => 3, lines => 2);

# A topic of two partitions with these messages, in place of the former one.
sub make_topic
{
	my ($topic, @messages) = @_;

	eval { $kafka->delete_topic($topic) };
	poll_until_made($topic);
	$kafka->produce($topic, \@messages) if @messages;
}

# Kafka deletes in the background: a name is free a moment later.
sub poll_until_made
{
	my ($topic) = @_;

	for (1 .. 100)
	{
		return if eval { $kafka->create_topic($topic, 2); 1 };
		select(undef, undef, undef, 0.1);
	}
	die "topic $topic can't be made again: $@";
}

foreach my $case ([ 'more', 300, qr/the message at offset 49 is not the one/ ],
	[ 'fewer', 20, qr/offset 50 is next, but Kafka's log ends at 10/ ])
{
	my ($name, $count, $like) = @$case;

	make_topic($name, @orders[ 0 .. 99 ]);
	etl("SELECT fluct.create_stream('$name', 'shop', '$name', start => true)");
	ok(caught_up($node, $name), "$name: the first topic is read");
	sql("SELECT fluct.pause_stream('$name')");
	make_topic($name, @orders[ 100 .. 99 + $count ]);
	sql("SELECT fluct.start_stream('$name')");
	ok(await_state($node, $name, 'failed/topic_changed'),
		"$name: made again with $name messages, it is another one");
	like(detail($name), $like, "$name: and what shows it");
	sql("SELECT fluct.drop_stream('$name')");
}
is(sql('SELECT count(*) FROM sales.orders'), 100,
	'nothing of the other topics was stored');

# the witness itself may be gone: that says nothing
make_topic('cut', @orders[ 0 .. 99 ]);
etl("SELECT fluct.create_stream('cut', 'shop', 'cut', start => true)");
ok(caught_up($node, 'cut'), 'a topic is read');
sql("SELECT fluct.pause_stream('cut')");
$kafka->delete_records('cut', $_, 50) foreach (0, 1);
$kafka->produce('cut', [ @orders[ 100 .. 149 ] ]);
sql("SELECT fluct.start_stream('cut')");
ok(caught_up($node, 'cut'), 'cut up to its position, it goes on');
is(sql('SELECT count(*) FROM sales.orders'), 150, 'with what came since');

# what was not read yet is lost: said, or skipped with a gap
sql("SELECT fluct.pause_stream('cut')");
$kafka->produce('cut', [ @orders[ 150 .. 249 ] ]);
$kafka->delete_records('cut', $_, 100) foreach (0, 1);
sql("SELECT fluct.start_stream('cut')");
ok(await_state($node, 'cut', 'failed/data_loss'), 'cut beyond it, it fails');
like(detail('cut'), qr/offset 75 is next, but Kafka's log begins at 100/,
	'and what is lost');
sql("SELECT fluct.alter_stream('cut', on_data_loss => 'skip')");
sql("SELECT fluct.start_stream('cut')");
ok(caught_up($node, 'cut'), 'told to skip, it goes on');
is( sql("SELECT partition, from_offset, to_offset, reason FROM fluct.gaps
		 WHERE stream = 'cut' ORDER BY 1"),
	"0|75|100|data_loss\n1|75|100|data_loss", 'and the gaps are kept');

# ----- partitions and offsets that are not there -----

$kafka->create_topic('one', 1);
$kafka->produce('one', [ numbers(1 .. 3) ]);
number_stream('one', more => q(, start_at => '{"0": 1, "1": 0}'));
ok(await_state($node, 'one', 'backing_off/unknown_partition'),
	'start_at names a partition that the topic has not');
is(detail('one'), 'start_at names partition 1, but the topic has 1', 'which one');
like(sql(q{SELECT hint FROM fluct.health WHERE what = 'stream "one"'}), qr/SELECT fluct\.alter_stream\('one', start_at => '\{"0": 1, "1": 0\}'\);$/, 'with the call that corrects it');
like(etl("SELECT detail || '|' || hint FROM fluct.check_stream('one') WHERE status = 'fail'"),
	qr/^start_at names partition 1, .*\|.*alter_stream\('one', partitions/, 'and so says check_stream');
fails_like($node, "SELECT fluct.preview_stream('one')",
	qr/unknown_partition.*start_at names partition 1/s, 'and preview_stream', as => 'etl');
$kafka->add_partitions('one', 2);
$kafka->produce('one', [ numbers(11 .. 14) ], partition => 1);
ok(await_state($node, 'one', 'running'), 'once it is there, the stream runs');
ok(caught_up($node, 'one'), 'to the end');
is(sql('SELECT sum(n) FROM one'), 2 + 3 + 11 + 12 + 13 + 14, 'from these offsets on');

number_stream('beyond', topic => 'one', more => q(, start_at => '{"0": 4}'));
ok(await_state($node, 'beyond', 'failed/unknown_offset'), 'an offset beyond the end');
like(detail('beyond'), qr/^partition 0: start_at names offset 4, but Kafka's log ends at 3$/,
	'which one, and where the log ends');
is(sql(q{SELECT hint FROM fluct.health WHERE what = 'stream "beyond"'}),
	q(SELECT fluct.alter_stream('beyond', start_at => '{"0": 3}'); SELECT fluct.start_stream('beyond');), 'the call that mends it');
like(etl("SELECT detail FROM fluct.check_stream('beyond') WHERE status = 'fail'"),
	qr/offset 4, but Kafka's log ends at 3$/, 'and so says check_stream');
etl(sql(q{SELECT hint FROM fluct.health WHERE what = 'stream "beyond"'}));
ok(caught_up($node, 'beyond'), 'the end itself is none');

number_stream('share', topic => 'one', start => 0, more => q(, partitions => '{0,5}'));
fails_like($node, "CALL fluct.run_stream('share')",
	qr/stream "share" has failed: unknown_partition.*consumes partition 5, but the topic has 2/s,
	'run_stream does not wait for it', as => 'etl');
etl("SELECT fluct.alter_stream('share', partitions => '{0}'); CALL fluct.run_stream('share')");
is(sql('SELECT sum(n) FROM share'), 6, 'corrected, it runs');

fails_like($node, qq(SELECT fluct.create_stream('x', 'shop', 'one', 'one', start_at => '$_')),
	qr/ERROR:  22023: (invalid start_at|start_at names partition "x")/, "refused: $_", as => 'etl')
  foreach '{}', '{"x": 1}', '{"1": -1}', '{"1": null}', '{"1": 1.5}';

done_testing();
