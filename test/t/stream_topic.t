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

done_testing();
