# States with reasons: what keeps a stream from going on, what it says of it,
# and that it goes on by itself, with nothing lost, when the fault ends.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 16);

# ----- what takes a minute begins first -----

# A client that delivers nothing: every fetch is answered by a moved leader.
my ($mock_in, $mock_out) = ('', '');
my $mock = IPC::Run::start([ 'test/kafka/kafka', 'mock', 1, 'silent', 2 ],
	'<', \$mock_in, '>', \$mock_out, IPC::Run::timeout(600));
IPC::Run::pump($mock) until $mock_out =~ /\n/;
my ($mock_bootstrap) = $mock_out =~ /^(\S+)\n/;

sub mock_command
{
	$mock_out = '';
	$mock_in .= "$_[0]\n";
	IPC::Run::pump($mock) until $mock_out =~ /done/;
	return;
}

sub produce_to_mock
{
	my $file = write_lines(PostgreSQL::Test::Utils::tempdir() . '/numbers',
		numbers(@_));

	system_or_bail('test/kafka/kafka', 'produce', $mock_bootstrap, 'silent',
		$file);
	return;
}

etl("CREATE SERVER mock FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers '$mock_bootstrap')");
number_stream('silent', server => 'mock');
produce_to_mock(1 .. 10);
ok(caught_up($node, 'silent'), 'a client delivers');
mock_command('refuse-fetches');
my $silent_since = time();
produce_to_mock(11 .. 20);

# A batch that takes longer than a minute.
$kafka->create_topic('slow');
$kafka->create_topic('idle');
number_stream('idle');
number_stream('slow');
etl('CREATE FUNCTION sleep_long() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(75); RETURN NEW; END $$;
	CREATE TRIGGER sleep_long BEFORE INSERT ON slow FOR EACH ROW
		WHEN (NEW.n = 2) EXECUTE FUNCTION sleep_long()');
$kafka->produce('slow', [ numbers(1 .. 3) ]);
my $slow_since = time();

# Two brokers that are bad in different ways, and workers that come and go.
etl("CREATE SERVER bad FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers 'nosuch.invalid:9092,127.0.0.1:1')");
number_stream('bad', server => 'bad');

# Three reasons, soon after each other, of which the third lasts.
etl("CREATE SERVER third FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1')");
number_stream('third', server => 'third');
ok(await_state($node, 'third', 'backing_off/broker_unreachable'), 'one reason');
etl("ALTER SERVER third OPTIONS (SET bootstrap_servers 'nosuch.invalid:9092')");
ok(await_state($node, 'third', 'backing_off/dns_failure'), 'another');
etl("ALTER SERVER third OPTIONS (SET bootstrap_servers '${\ $kafka->bootstrap }')");
ok(await_state($node, 'third', 'backing_off/unknown_topic'), 'and a third');

# ----- an open transaction -----

$kafka->create_topic('open');
number_stream('open');
$kafka->produce('open', [ numbers(1 .. 3) ]);
ok(caught_up($node, 'open'), 'a topic is read');
my $begin = time();
$kafka->produce('open', [ numbers(100) ], transaction => 'open');
$kafka->produce('open', [ numbers(4 .. 6) ]);
ok(await_state($node, 'open', 'running/open_transaction'),
	'an open transaction is noticed');
note(sprintf('after %.1f s', time() - $begin));
like(detail('open'),
	qr/partition 0: a producer's transaction has been open at offset 3 since .* and holds back 4 offsets/,
	'and where');
is(sql("SELECT lag FROM fluct.stat_streams WHERE stream = 'open'"), 4,
	'what it holds back is lag');
is(sql("SELECT fluct.wait_for_stream('open', '10 s')"), 't',
	'but is not waited for');
is(sql('SELECT count(*) FROM open'), 3, 'and is not delivered');

# ----- faults of the database -----

# A file of which each write finds the disk full; TRUNCATE makes another.
$kafka->create_topic('disk');
number_stream('disk');
ok(await_state($node, 'disk', 'running'), 'a stream waits');
my $file = $node->data_dir . '/' . sql("SELECT pg_relation_filepath('disk')");
unlink($file) or die "$file: $!";
symlink('/dev/full', $file) or die "$file: $!";
$kafka->produce('disk', [ numbers(1 .. 3) ]);
ok(await_state($node, 'disk', 'backing_off/disk_full'), 'a full disk');
like(detail('disk'), qr/No space left on device \(SQLSTATE 53100\)/,
	'with its words');
sql('TRUNCATE disk');
ok(caught_up($node, 'disk'), 'it goes on by itself');
is(sql('SELECT count(*), sum(n) FROM disk'), '3|6', 'with nothing lost');

# Settings can't make a worker read-only; code in a trigger can, for its own
# statements.
etl('CREATE TABLE is_read_only (); INSERT INTO is_read_only DEFAULT VALUES;
	CREATE FUNCTION read_only() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.is_read_only) THEN
			SET LOCAL transaction_read_only = on;
			DELETE FROM public.is_read_only;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER read_only BEFORE INSERT ON disk FOR EACH ROW
		EXECUTE FUNCTION read_only()');
$kafka->produce('disk', [ numbers(4) ]);
ok(await_state($node, 'disk', 'backing_off/read_only'),
	'a transaction that became read-only');
like(detail('disk'), qr/SQLSTATE 25006/, 'with its words');
sql('DELETE FROM is_read_only');
ok(caught_up($node, 'disk'), 'it goes on by itself');
is(sql('SELECT count(*), sum(n) FROM disk'), '4|10', 'with nothing lost');

# ----- what takes a minute ends -----

my %reasons;
while (time() - $slow_since < 45)
{
	$reasons{sql("SELECT reason FROM fluct.stat_streams WHERE stream = 'bad'")}++;
	sql("SELECT fluct.pause_stream('bad'); SELECT fluct.start_stream('bad')");
	sleep(2);
}
note("reasons of two bad brokers: @{[ sort keys %reasons ]}");

ok(await_state($node, 'slow', 'running/stalled'),
	'a batch of more than a minute');
note(sprintf('after %.0f s', time() - $slow_since));
cmp_ok(time() - $slow_since, '>', 58, 'and not before');
like(detail('slow'),
	qr/^pid \d+ has given no sign of life since .*; it is waiting for PgSleep$/,
	'with what it waits for');
ok(caught_up($node, 'slow'), 'it ends');
is(sql('SELECT count(*), sum(n) FROM slow'), '3|6', 'with nothing lost');
ok(poll($node, "SELECT state, reason IS NULL FROM fluct.stat_streams
		WHERE stream = 'slow'", 'running|t'), 'and is as before');

ok(await_state($node, 'silent', 'running/stalled'),
	'a client that delivers nothing');
note(sprintf('after %.0f s', time() - $silent_since));
cmp_ok(time() - $silent_since, '>', 58, 'and not before');
like(detail('silent'), qr/^partition \d: nothing has arrived from offset 5 on since/,
	'with where');
ok(!caught_up($node, 'silent', 6), 'with another client as well');
ok(await_state($node, 'silent', 'running/stalled'), 'it says so');
mock_command('allow-fetches');
ok(caught_up($node, 'silent'), 'until it delivers');
ok(poll($node, "SELECT state, reason IS NULL FROM fluct.stat_streams
		WHERE stream = 'silent'", 'running|t'), 'then it is as before');
is(sql('SELECT count(*), sum(n) FROM silent'), '20|210', 'with nothing lost');

ok(poll($node, 'SELECT count(*), sum(n) FROM open', '6|21'),
	'a transaction that Kafka aborts holds back no more');
ok(poll($node, "SELECT state, reason IS NULL FROM fluct.stat_streams
		WHERE stream = 'open'", 'running|t'), 'and nothing is said of it');

is(scalar(log_lines($node, qr/stream "(idle|open)" is/)), 0,
	'the log has no line of those that only waited');
is(scalar(log_lines($node, qr/stream "slow" is/)), 1, 'and one for each that stalled');
is(scalar(log_lines($node, qr/stream "silent" is/)), 1, 'of both kinds');

# ----- the log in an outage -----

# The most lines of the stream's states that lie within a minute.
sub most_in_a_minute
{
	my ($stream) = @_;
	my $most = 0;
	my @times;

	foreach (split(/\n/, slurp_file($node->logfile)))
	{
		next unless /^\S+ (\d+):(\d+):([\d.]+) .*stream "$stream" is/;
		push(@times, $1 * 3600 + $2 * 60 + $3);
		my @last = grep { $_ > $times[-1] - 60 } @times;
		$most = @last if @last > $most;
	}
	return $most;
}

is(most_in_a_minute('bad'), 2, 'two lines a minute, whatever is wrong');
ok($node->wait_for_log(qr/stream "third" is backing_off: unknown_topic/),
	'and a reason that lasts is logged once there is room');
is(most_in_a_minute('third'), 2, 'no sooner');
sql("SELECT fluct.pause_stream('bad')");
IPC::Run::finish($mock);

done_testing();
