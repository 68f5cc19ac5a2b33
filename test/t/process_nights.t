# Nights on call: a worker with a lag serves what is asked of it, an open
# transaction holds up only what it is about, and the log tells the story.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 4,
	'max_prepared_transactions' => 5);

my $no_worker = "SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'fluct stream worker'";

# ----- with a lag -----

# A batch takes 0.1 s, so that the lag lasts.
$kafka->create_topic('lag');
$kafka->produce('lag', [ numbers(1 .. 20_000) ]);
number_stream('lag', start => 0, more => ', batch_size => 100');
etl('CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER INSERT ON lag FOR EACH STATEMENT
		EXECUTE FUNCTION slow()');
etl("SELECT fluct.start_stream('lag')");
ok(poll($node, 'SELECT count(*) > 0 FROM lag'), 'a stream with a lag');
sql("ALTER SYSTEM SET fluct.enabled = off");
sql('SELECT pg_reload_conf()');
my $begin = time();
ok(poll($node, $no_worker, 0, 10), 'switched off, its worker leaves');
note(sprintf('after %.1f s', time() - $begin));
my $stored = sql('SELECT count(*) FROM lag');
cmp_ok($stored, '<', 20_000, 'before it has caught up');
is(sql('SELECT state, reason FROM fluct.stat_streams'),
	'paused|switched_off', 'as the state says');
is(sql('SELECT count(*) FROM lag'), $stored, 'and nothing more is stored');
sql('ALTER SYSTEM RESET fluct.enabled');
sql('SELECT pg_reload_conf()');
ok(poll($node, "SELECT count(*) > $stored FROM lag"), 'on again, it goes on');

# The death of the postmaster: crash_server starts the server when no process
# of it is left, which took as long as the lag.
$begin = time();
crash_server($node);
note(sprintf('down and up in %.1f s', time() - $begin));
cmp_ok(sql('SELECT count(*) FROM lag'), '<', 20_000,
	'without a postmaster, the worker leaves before it has caught up');
etl('DROP TRIGGER slow ON lag');
ok(caught_up($node, 'lag'), 'it goes on');
is(sql('SELECT count(*), sum(n) FROM lag'), '20000|200010000',
	'with nothing lost or doubled');

# ----- an open transaction, and the others -----

$kafka->create_topic($_) foreach qw(held free);
number_stream('held');
ok(caught_up($node, 'held'), 'a stream runs');
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT fluct.drop_stream('held')");
number_stream('free');
ok(await_state($node, 'free', 'running', 30),
	'a stream is started beside an open drop_stream');
# its worker leaves, and may not come back before the transaction ends
my $from = log_position($node);
my $pid = sql("SELECT pids[1] FROM fluct.stat_streams WHERE stream = 'held'");
sql("SELECT pg_terminate_backend($pid)");
ok(poll($node, "SELECT pids IS NULL FROM fluct.stat_streams
		WHERE stream = 'held'"), 'the worker of the other is gone');
etl("SELECT fluct.pause_stream('free')");
etl("SELECT fluct.start_stream('free')");
ok(await_state($node, 'free', 'running', 30),
	'and the first can be started again');
$session->query_safe('ROLLBACK');
ok(await_state($node, 'held', 'running', 30), 'then the other is, too');

$session->query_safe('BEGIN; LOCK TABLE sales.order_lines_default, sales.raw_messages');
etl("SELECT fluct.pause_stream('free')");
etl("SELECT fluct.start_stream('free')");
ok(await_state($node, 'free', 'running', 30),
	'a locked partition does not hold up a start');
$session->query_safe('ROLLBACK');

$session->query_safe('BEGIN; LOCK TABLE fluct.stream_states');
etl("SELECT fluct.pause_stream('free')");
etl("SELECT fluct.start_stream('free')");
ok($node->wait_for_log(qr/fluct launcher did not get a lock within 1s/, $from),
	'a lock on the bookkeeping is given up');
$session->query_safe('ROLLBACK');
ok(await_state($node, 'free', 'running', 30), 'and had later');
is(scalar(log_lines($node, qr/canceling statement/, $from)), 0,
	'none of that is an error in the log');

# ----- a lock that is waited for -----

$from = log_position($node);
my $blocker = $session->query_safe('BEGIN; LOCK TABLE free; SELECT pg_backend_pid()');
$kafka->produce('free', [ numbers(1) ]);
ok($node->wait_for_log(
		qr/stream "free" is running: waiting_for_lock\n.*DETAIL:  blocked by pid $blocker\n/,
		$from), 'the log names who blocks a stream');
ok(poll($node, "SELECT state, reason, detail FROM fluct.stat_streams
		WHERE stream = 'free'", "running|waiting_for_lock|blocked by pid $blocker"),
	'and so does the state');
is(sql(q(SELECT fluct._remedy('free', 'waiting_for_lock', NULL, pids) FROM fluct.stat_streams WHERE stream = 'free')),
	"End the transaction that holds the lock: SELECT pg_terminate_backend($blocker);", 'with the call that ends it');
$session->query_safe('ROLLBACK');
ok($node->wait_for_log(qr/stream "free" has recovered from waiting_for_lock/,
		$from), 'and the log tells of the end');
ok(caught_up($node, 'free'), 'the stream goes on');
is(scalar(log_lines($node, qr/canceling statement/, $from)), 0, 'without an error');
is(scalar(log_lines($node, qr/waiting_for_lock/, $from)), 2, 'in two lines');

# whatever is asked of it meanwhile
my $waits = q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'fluct stream worker' AND wait_event_type = 'Lock');
$session->query_safe('BEGIN; LOCK TABLE free');
$kafka->produce('free', [ numbers(2) ]);
ok(poll($node, $waits), 'a worker waits for a lock again');
sql('ALTER SYSTEM SET fluct.enabled = off');
sql('SELECT pg_reload_conf()');
ok(poll($node, $no_worker, 0, 10), 'switched off, it leaves');
sql('ALTER SYSTEM RESET fluct.enabled');
sql('SELECT pg_reload_conf()');
ok(poll($node, $waits), 'on again, another one waits');
etl("SELECT fluct.pause_stream('free')");
ok(poll($node, $no_worker, 2, 10), 'paused, it leaves');
etl("SELECT fluct.start_stream('free')");
ok(poll($node, $waits), 'started, another one waits');
crash_server($node);
pass('without a postmaster, it leaves');

# also where no timeout ends the wait
etl(q{CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
		$$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
	CREATE TABLE endless (n int);
	CREATE TRIGGER wait AFTER INSERT ON endless FOR EACH STATEMENT EXECUTE FUNCTION wait()});
eval { $session->quit };
$session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(4711)');
$kafka->create_topic('endless');
$kafka->produce('endless', [ numbers(1) ]);
my $ends = "SELECT pids IS NULL FROM fluct.stat_streams WHERE stream = 'endless'";
etl(q(SELECT fluct.create_stream('endless', 'shop', 'endless', target => 'endless', start => true)));
ok(poll($node, $waits), 'a worker waits without an end');
etl("SELECT fluct.pause_stream('endless')");
ok(poll($node, $ends), 'paused, it leaves');
etl("SELECT fluct.start_stream('endless')");
ok(poll($node, $waits), 'started, another one waits');
sql('ALTER SYSTEM SET fluct.enabled = off');
sql('SELECT pg_reload_conf()');
ok(poll($node, $ends), 'switched off, it leaves');
sql('ALTER SYSTEM RESET fluct.enabled');
sql('SELECT pg_reload_conf()');
ok(poll($node, $waits), 'on again, another one waits');
my $waiting = sql("SELECT pids[1] FROM fluct.stat_streams WHERE stream = 'endless'");
etl("SELECT fluct.alter_stream('endless', batch_size => 10)");
ok(poll($node, "SELECT pids[1] <> $waiting FROM fluct.stat_streams WHERE stream = 'endless'"), 'altered, it leaves to another one');
ok(poll($node, $waits), 'which waits');
etl("SELECT fluct.drop_stream('endless')");
ok(poll($node, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 0), 'dropped, it leaves');
eval { $session->quit };
ok(caught_up($node, 'free'), 'the stream goes on');
is(sql('SELECT sum(n) FROM free'), 3, 'with nothing lost or doubled');

# ----- who did what -----

$from = log_position($node);
etl("SELECT fluct.pause_stream('free', E'for the\\nnight')");
etl("SELECT fluct.alter_stream('free', batch_size => 10, workers => 1)");
sql("SELECT fluct.start_stream('free')");
etl("BEGIN; SELECT fluct.pause_stream('free'); ROLLBACK");
etl("BEGIN; SAVEPOINT s; SELECT fluct.pause_stream('free'); ROLLBACK TO s;
	SAVEPOINT t; SELECT fluct.alter_stream('free', batch_size => 11);
	RELEASE t; COMMIT");
etl("SELECT fluct.drop_stream('held')");
my @lines = map { s/^.*(LOG|DETAIL):  //r =~ s/\\x0a/?/r } log_lines($node, qr/stream "(free|held)" was|DETAIL/, $from);
is_deeply(\@lines, [
		'stream "free" was paused by role "etl"', 'for the?night',
		'stream "free" was altered by role "etl"', 'It has another batch_size.',
		'stream "free" was started by role "postgres"',
		'stream "free" was altered by role "etl"', 'It has another batch_size.',
		'stream "held" was dropped by role "etl"' ],
	'each change is a line, with the role, and what is rolled back is none')
  or diag(join("\n", @lines));

# ----- prepared transactions -----

foreach my $call ("fluct.pause_stream('free')", "fluct.drop_stream('free')",
	"fluct.alter_stream('free', batch_size => 9)")
{
	fails_like($node, "BEGIN; SELECT $call; PREPARE TRANSACTION 'later'",
		qr/ERROR:  0A000: cannot PREPARE a transaction that has changed a stream/,
		"PREPARE after $call", as => 'etl');
}
$kafka->produce('free', [ numbers(2) ]);
ok(caught_up($node, 'free'), 'the stream runs on');
is(sql("SELECT state FROM fluct.stat_streams WHERE stream = 'free'"),
	'running', 'as its state says');
is(sql('SELECT sum(n) FROM free'), 5, 'with nothing lost');

# ----- an outage -----

$from = log_position($node);
$kafka->stop;
ok(await_state($node, 'free', 'backing_off/broker_unreachable', 60),
	'the broker is gone');
$kafka->restart;
ok(await_state($node, 'free', 'running', 60), 'and comes back');
ok($node->wait_for_log(
		qr/stream "free" has recovered from broker_unreachable/, $from),
	'the log tells of the recovery');

# ----- no slot -----

$from = log_position($node);
$kafka->create_topic('late');
sql('ALTER SYSTEM SET fluct.max_workers = 1');
sql('SELECT pg_reload_conf()');
number_stream('late');
ok(await_state($node, 'late', 'backing_off/no_worker_slot'),
	'a stream without a slot');
like(detail('late'), qr/^fluct\.max_workers is 1, but 3 workers are needed$/,
	'and what it needs');
etl("SELECT fluct.pause_stream('lag')");
etl("SELECT fluct.start_stream('lag')");
ok(poll($node, "SELECT count(*) FROM fluct.stat_streams
		WHERE reason = 'no_worker_slot'", 2), 'two of them');
is(scalar(log_lines($node, qr/stream "late" is backing_off: no_worker_slot/, $from)), 1,
	'is a line in the log, once');
sql('ALTER SYSTEM RESET fluct.max_workers');
sql('SELECT pg_reload_conf()');
ok(await_state($node, 'late', 'running', 30), 'with slots it runs');
ok($node->wait_for_log(qr/stream "late" has recovered from no_worker_slot/,
		$from), 'as the log says');

done_testing();
