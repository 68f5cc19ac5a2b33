# What ends a batch, what begins the next one, and when it is on disk.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();

# What no commit asks for is flushed late enough to be lost in a crash.
my $node = fluct_node('main', kafka => $kafka, 'fsync' => 'on',
	'wal_writer_delay' => '10s', 'wal_writer_flush_after' => '1GB');

# A stream of $count numbers in messages of 100 bytes, which are there already.
sub filled_stream
{
	my ($name, $count, $more) = @_;

	$kafka->create_topic($name);
	$kafka->produce($name,
		[ map { sprintf('{"n": %d, "pad": "%s"}', $_, 'x' x (80 - length)) } 1 .. $count ]);
	number_stream($name, more => $more);
	return;
}

sub numbers_of { return sql("SELECT count(*), count(DISTINCT n), max(n) FROM $_[0]") }

# ----- in hand -----

filled_stream('few', 20, q{, batch_interval => '1 minute'});
ok(caught_up($node, 'few'), 'a first batch that is in hand does not wait for its interval');
is(numbers_of('few'), '20|20|20', 'and is whole');

# ----- by bytes -----

# With each poll 64 messages arrive: what is too much for a batch of a thousand
# is less than that, and begins the next batch.
filled_stream('bytes', 10000, ', batch_bytes => 100000');
ok(caught_up($node, 'bytes'), 'batches that end by bytes');
is(sql("SELECT ended, min(messages) > 900 FROM fluct.batches
		WHERE stream = 'bytes' AND ended <> 'batch_interval' GROUP BY 1"),
	'batch_bytes|t', 'none of them holds only what the one before left');
is(numbers_of('bytes'), '10000|10000|10000', 'and nothing is lost or doubled');

# A large message is a batch of its own, not one that waits for more.
filled_stream('large', 1000, ', batch_bytes => 1024');
ok(caught_up($node, 'large'), 'batches of a few messages');
is(sql("SELECT ended, max(messages) FROM fluct.batches
		WHERE stream = 'large' AND ended <> 'batch_interval' GROUP BY 1"),
	'batch_bytes|11', 'what arrived together is divided');
is(numbers_of('large'), '1000|1000|1000', 'and nothing is lost or doubled');

# ----- by their number -----

filled_stream('many', 10000, q{, batch_interval => '1 minute'});
ok(caught_up($node, 'many'), 'small messages');
is(sql("SELECT ended, messages FROM fluct.batches WHERE stream = 'many'"),
	'batch_size|10000', 'are one batch by default');

# ----- workers -----

like(said("SELECT fluct.alter_stream('many', workers => 3)", as => 'etl'),
	qr/NOTICE.*more workers than partitions.*2 of 3 have nothing to do.*workers => 1/s, 'more workers than partitions are idle');
is(said("SELECT fluct.alter_stream('many', workers => 1)", as => 'etl'), '', 'as many are not');

etl('SELECT fluct.drop_stream(stream) FROM fluct.stat_streams');

# ----- on disk -----

# The server as a crash leaves it, before a worker reads anything again.
sub after_crash
{
	sql('ALTER SYSTEM SET fluct.enabled = off');
	crash_server($node);
	return;
}

sub go_on
{
	sql('ALTER SYSTEM RESET fluct.enabled');
	sql('SELECT pg_reload_conf()');
	return;
}

# The second batch is held up in a trigger when the first one is committed, and
# has not waited for the disk.
$kafka->create_topic('held');
$kafka->produce('held', [ numbers(1 .. 5500) ]);
number_stream('held', start => 0, more => ', batch_size => 1000');
etl(q{
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE new.n = 1001 AND NOT pg_try_advisory_xact_lock(13) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN new;
	END $$;
	CREATE TRIGGER hold BEFORE INSERT ON held FOR EACH ROW EXECUTE FUNCTION hold()});
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query('SELECT pg_advisory_lock(13)');
etl(q{SELECT fluct.start_stream('held')});
my $position = q{(SELECT current_offset FROM fluct.stat_partitions WHERE stream = 'held')};
ok(poll($node, 'SELECT count(*) FROM held', 1000), 'the first batch is visible');
is(sql("SELECT $position"), 1000, 'and so is its position');
is(sql(q{SELECT count(*) FROM fluct.batches WHERE stream = 'held'}), 0, 'but nobody is told of it');
is(sql(q{SELECT fluct.wait_for_stream('held', '0.1 s')}), 'f', 'nor who waits');
after_crash();
is(sql("SELECT count(*) = $position AND count(DISTINCT n) = $position FROM held"), 't',
	'a crash takes rows and position back together, if any');
eval { $holder->quit };
go_on();
ok(caught_up($node, 'held'), 'then the stream goes on');
is(numbers_of('held'), '5500|5500|5500', 'and nothing is lost or doubled');
is(sql(q{SELECT count(*) > 3 FROM fluct.batches WHERE stream = 'held'}), 't', 'and all is told');

# What wait_for_stream has said holds, whatever comes.
filled_stream('said', 5003, ', batch_size => 1000');
ok(caught_up($node, 'said'), 'committed');
after_crash();
is(numbers_of('said'), '5003|5003|5003', 'what was said to be committed survives a crash');

go_on();

# A worker that is behind all the time answers once it has what Kafka held at
# the call: the messages that are produced later are held up.
my @stops = (201, 401, 1501);
$kafka->create_topic('late');
$kafka->produce('late', [ numbers(1 .. 1000) ]);
number_stream('late', start => 0, more => ', batch_size => 100');
etl(sprintf(q{
	CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE new.n IN (%s) AND NOT pg_try_advisory_xact_lock(new.n) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN new;
	END $$;
	CREATE TRIGGER stop BEFORE INSERT ON late FOR EACH ROW EXECUTE FUNCTION stop()},
		join(', ', @stops)));
$holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query("SELECT pg_advisory_lock($_)") foreach @stops;
etl(q{SELECT fluct.start_stream('late')});
ok(poll($node, 'SELECT count(*) FROM late', 200), 'a worker that is behind');
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/begun/, q{\echo begun
SELECT 'answer: ' || fluct.wait_for_stream('late', '1 minute');
});
ok(poll($node, q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE query LIKE '%answer: %wait_for_stream%' AND wait_event_type = 'Extension'}), 'is waited for');
$holder->query('SELECT pg_advisory_unlock(201)');
ok(poll($node, 'SELECT count(*) FROM late', 400), 'it goes on');
$kafka->produce('late', [ numbers(1001 .. 2000) ]);
$holder->query('SELECT pg_advisory_unlock(401)');
ok(poll($node, 'SELECT count(*) FROM late', 1500), 'and on');
like($waiter->query('SELECT 1'), qr/answer: true/, 'and says when it has what Kafka held at the call');
is(sql('SELECT count(*) FROM late'), 1500, 'while it is behind');
$waiter->quit;
$holder->quit;
ok(caught_up($node, 'late'), 'then it has all');

done_testing();
