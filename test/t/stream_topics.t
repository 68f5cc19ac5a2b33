# A stream of several topics: a list, and a pattern. Positions, gaps, dead
# letters and the account are those of each topic.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
plan(skip_all => 'the topics of FLUCT_KAFKA are not ours to delete')
  if $kafka->is_external;
my $node = fluct_node('main', kafka => $kafka);

# without a key, so that what comes twice is seen
etl('CREATE TABLE public.heard (topic text, partition int, at bigint, n int)');
my $mapping = q('{"columns": {"topic": "kafka.topic", "partition": "kafka.partition", "at": "kafka.offset", "n": "$.n"}}');

sub stream
{
	my ($name, $topic, $more) = @_;

	return etl(qq{SELECT fluct.create_stream('$name', 'shop', '$topic', target => 'heard',
		mapping => $mapping, batch_interval => '20 ms', start => true@{[ $more // '' ]})});
}

sub heard
{
	return etl('SELECT topic, count(*), count(DISTINCT (partition, at)), sum(n) FROM heard GROUP BY 1 ORDER BY 1');
}

sub unexplained { return etl("SELECT sum(unexplained) FROM fluct.reconcile_stream('$_[0]')") }

# ----- what is declared -----

foreach my $case ([ 'a,a', qr/22023: topic "a" is duplicated/ ],
	[ 'a,,b', qr/42602: invalid topic name: ""/ ],
	[ 'a, ^b', qr/42602: invalid topic name: "\^b".*begins with \^/s ],
	[ '^a(', qr/2201B: invalid pattern of topics: "\^a\(".*Invalid regular expression: .*SELECT 'NAME' ~ '\^a\('/s ],
	[ '^(a)\1', qr/2201B: invalid pattern.*refers back/s ],
	[ join(',', map { "t$_" } 1 .. 1001), qr/22023: a stream consumes at most 1000 topics/ ])
{
	my ($topic, $like) = @$case;

	fails_like($node, "SELECT fluct.create_stream('bad', 'shop', '$topic')", $like, 'refused: ' . substr($topic, 0, 10), as => 'etl');
}
fails_like($node, q(SELECT fluct.create_stream('bad', 'shop', 'a,b', start_at => '{"0": 1}')),
	qr/22023: start_at names partitions, but no topic.*"TOPIC"/s, 'offsets need a topic', as => 'etl');
fails_like($node, q(SELECT fluct.create_stream('bad', 'shop', 'a,b', start_at => '{"c": {"0": 1}}')),
	qr/22023: start_at names topic "c"/, 'and one of the stream', as => 'etl');
is(sql(q(SELECT string_agg(concat_ws(' ', d, t, fluct._consumes(d, t)), ', ' ORDER BY d, t)
		FROM unnest('{"a,b",^a,^.*,^__}'::text[]) d, unnest('{a,ab,b,__consumer_offsets}'::text[]) t
		WHERE fluct._consumes(d, t))),
	'^.* a t, ^.* ab t, ^.* b t, ^__ __consumer_offsets t, ^a a t, ^a ab t, a,b a t, a,b b t', 'who is consumed');

# ----- a list, by two workers -----

$kafka->create_topic($_, 2) foreach 'de', 'fr';
$kafka->produce('de', [ numbers(1 .. 100) ]);
$kafka->produce('fr', [ numbers(1 .. 40) ]);
stream('list', 'de, fr', ', workers => 2');
ok(caught_up($node, 'list'), 'a list is read');
is(heard(), "de|100|100|5050\nfr|40|40|820", 'each topic once');
is(etl("SELECT topic, partitions FROM fluct.stat_streams"), 'de,fr|4', 'stat_streams');
is(etl("SELECT topic, partition, current_offset, lag FROM fluct.stat_partitions"),
	"de|0|50|0\nde|1|50|0\nfr|0|20|0\nfr|1|20|0", 'stat_partitions by topic');
is(etl("SELECT topic, sum(offsets), sum(stored), sum(unexplained) FROM fluct.reconcile_stream('list') GROUP BY 1 ORDER BY 1"),
	"de|100|100|0\nfr|40|40|0", 'the account by topic');
is(sql(q(SELECT string_agg(concat_ws('|', topic, partition, first, last), ', ' ORDER BY topic, partition)
		FROM (SELECT t.key AS topic, p.key AS partition, min((p.value->>0)::int) AS first, max((p.value->>1)::int) AS last
			FROM fluct.batches, jsonb_each(offsets::jsonb) t, jsonb_each(t.value) p GROUP BY 1, 2) moved)),
	'de|0|0|50, de|1|0|50, fr|0|0|20, fr|1|0|20', 'batches by topic');
is(sql("SELECT count(*) FROM fluct._live() WHERE stream = 'list'"), 2, 'two workers');

# kill -9 between batches
foreach my $round (1 .. 3)
{
	$kafka->produce($_, [ numbers(1 .. 100) ]) foreach 'de', 'fr';
	crash_worker($node, 'list');
}
ok(caught_up($node, 'list'), 'goes on after crashes');
is(heard(), "de|400|400|20200\nfr|340|340|15970", 'nothing twice, nothing lost');
is(unexplained('list'), 0, 'all accounted for');

# ----- dead letters, the raw copy, preview, seek: of their topic -----

$kafka->produce('fr', ['{"n": "x"}']);
ok(caught_up($node, 'list'), 'a bad message');
is(etl("SELECT at ~ '^fr\\[', reason FROM fluct.open_dead_letters"), 't|wrong_type', 'is of its topic');
is(etl("SELECT status FROM fluct.retry_dead_letters(value => '{\"n\": 7}', ids => ARRAY(SELECT id FROM fluct.open_dead_letters))"), 'retried', 'retried');
is(etl("SELECT topic FROM heard WHERE n = 7 AND at >= 170"), 'fr', 'under its own topic');
is(etl("SELECT topic, count(*) FROM sales.raw_messages GROUP BY 1 ORDER BY 1"), "de|400\nfr|341", 'the raw copy keeps topics');
is(etl("SELECT DISTINCT topic FROM fluct.preview_stream('list', 1000, 'earliest') ORDER BY 1"), "de\nfr", 'preview names them');
etl("SELECT fluct.pause_stream('list')");
fails_like($node, q(SELECT * FROM fluct.seek_stream('list', '{"0": 3}')), qr/22023: start_at names partitions, but no topic/, 'which one?', as => 'etl');
fails_like($node, q(SELECT * FROM fluct.seek_stream('list', 'earliest', topic => 'fr')),
	qr/would go back in partition 0 of topic "fr", 1 of topic "fr".*seek_stream\('list', 'earliest', topic => 'fr', force => true\)/s, 'back needs force', as => 'etl');
fails_like($node, q(SELECT * FROM fluct.seek_stream('list', 'latest', topic => 'it')), qr/22023: stream "list" does not consume topic "it"/, 'another topic', as => 'etl');
is(etl("SELECT * FROM fluct.seek_stream('list', 'earliest', 1, topic => 'de', force => true)"), 'de|1|200|0', 'one partition of one topic');
is(etl(q(SELECT * FROM fluct.seek_stream('list', '{"de": {"1": 190}}'))), 'de|1|0|190', 'or by offset');
is(etl('SELECT topic, partition, from_offset, to_offset, reason FROM fluct.gaps'), 'de|1|0|190|seek', 'the gap is of it');
etl("SELECT fluct.start_stream('list')");
ok(caught_up($node, 'list'), 'goes on there');
is(etl("SELECT count(*), count(DISTINCT (partition, at)) FROM heard WHERE topic = 'de'"), '410|400', 'the ten of one partition came again');
is(unexplained('list'), 0, 'and are accounted for');
etl("SELECT fluct.pause_stream('list')");

# ----- another list -----

etl("SELECT fluct.alter_stream('list', topic => 'fr')");
is(etl("SELECT topic, partition FROM fluct.stat_partitions"), "fr|0\nfr|1", 'a topic that left is no longer shown');
etl("SELECT fluct.alter_stream('list', topic => 'fr,de'); SELECT fluct.start_stream('list')");
ok(caught_up($node, 'list'), 'and goes on where it was');
is(etl("SELECT count(*) FROM heard WHERE topic = 'de'"), 410, 'when it comes back');

# the raw copy again: each message under its own topic, corrected as it was
etl("SELECT fluct.pause_stream('list')");
my $before = heard();
etl('TRUNCATE heard');
etl("CALL fluct.reprocess_stream('list', force => true)");
is(heard(), $before, 'reprocessed, as it was');
etl("SELECT fluct.drop_stream('list')");

# ----- a pattern -----

etl('TRUNCATE heard');
stream('none', '^nothing-');
ok(await_state($node, 'none', 'backing_off/unknown_topic'), 'a pattern without a topic waits');
like(detail('none'), qr/no topic matches the pattern "\^nothing-"/, 'and says so');
like(etl("SELECT status, detail, hint FROM fluct.check_stream('none') WHERE item = 'topic'"),
	qr/fail\|unknown_topic: no topic matches .*waits for a topic that matches/, 'check_stream, too');
$kafka->create_topic('nothing-at-all', 1);
$kafka->produce('nothing-at-all', [ numbers(5) ]);
ok(caught_up($node, 'none'), 'until there is one');
etl("SELECT fluct.drop_stream('none'); TRUNCATE heard");

$kafka->create_topic("shop-$_", 1) foreach 1, 2;
$kafka->produce("shop-$_", [ numbers(1 .. 10) ]) foreach 1, 2;
stream('shops', '^shop-\d+$', q(, start_at => 'latest'));
ok(poll($node, "SELECT count(*) = 2 FROM fluct.stat_partitions WHERE stream = 'shops'"), 'a pattern');
$kafka->produce('shop-1', [ numbers(100) ]);
ok(caught_up($node, 'shops'), 'is read');
like(etl("SELECT detail FROM fluct.check_stream('shops') WHERE item = 'topic'"), qr/2 topics: shop-1, shop-2, group id/, 'check_stream names them');
$kafka->create_topic('shop-3', 2);
$kafka->produce('shop-3', [ numbers(1 .. 30) ]);
ok(poll($node, "SELECT count(*) = 30 FROM heard WHERE topic = 'shop-3'"), 'a new topic is found, from its beginning');
is(heard(), "shop-1|1|1|100\nshop-3|30|30|465", 'and the others are not read again');

# deleted: noticed, and given up by a person
$kafka->delete_topic('shop-2');
ok(await_state($node, 'shops', 'failed/topic_changed'), 'a topic that is gone');
like(detail('shops'), qr/topic "shop-2" no longer exists.*seek_stream\('shops', 'earliest', topic => 'shop-2', force => true\)/, 'and the way out');
like(etl("SELECT status, detail FROM fluct.check_stream('shops') WHERE item = 'partitions'"), qr/fail\|topic_changed: .*topic "shop-2"/, 'check_stream says so');
is(etl("SELECT * FROM fluct.seek_stream('shops', 'earliest', topic => 'shop-2', force => true)"), 'shop-2|0|10|', 'its position goes');
etl("SELECT fluct.start_stream('shops')");
$kafka->produce('shop-1', [ numbers(200) ]);
ok(caught_up($node, 'shops'), 'and the others go on');
is(heard(), "shop-1|2|2|300\nshop-3|30|30|465", 'with nothing twice');

# recreated
etl("SELECT fluct.pause_stream('shops')");
$kafka->delete_topic('shop-3');
for (1 .. 100) { last if eval { $kafka->create_topic('shop-3', 2); 1 }; select(undef, undef, undef, 0.1) }
$kafka->produce('shop-3', [ numbers(1 .. 4) ]);
etl("SELECT fluct.start_stream('shops')");
ok(await_state($node, 'shops', 'failed/topic_changed'), 'a topic that was recreated');
like(detail('shops'), qr/topic "shop-3", partition \d: .*topic => 'shop-3'/, 'by its name');
etl("SELECT * FROM fluct.seek_stream('shops', 'earliest', topic => 'shop-3', force => true); SELECT fluct.start_stream('shops')");
ok(caught_up($node, 'shops'), 'is read from its beginning');
is(heard(), "shop-1|2|2|300\nshop-3|34|30|475", 'and only it');
is(unexplained('shops'), 0, 'all accounted for');

# ----- too many -----

$kafka->create_topic(join(',', map { "m-$_" } 1 .. 1001));
stream('many', '^m-');
ok(await_state($node, 'many', 'failed/too_many_topics'), 'more topics than a stream consumes');
like(detail('many'), qr/^1001 topics match "\^m-", and a stream consumes at most 1000: use a narrower pattern, or several streams/, 'are an error');
like(etl("SELECT status, detail FROM fluct.check_stream('many') WHERE item = 'topic'"), qr/fail\|too_many_topics: 1001 match, .*at most 1000/, 'and check_stream says so');
etl("SELECT fluct.drop_stream('many')");

# ----- by hand -----

etl("SELECT fluct.pause_stream('shops')");
$kafka->produce('shop-1', [ numbers(1000) ]);
etl("CALL fluct.run_stream('shops')");
is(etl("SELECT sum(n) FROM heard WHERE topic = 'shop-1'"), 1300, 'run_stream');

done_testing();
