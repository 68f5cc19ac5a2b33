# run_stream: a session runs a stream and watches, with and without a preload;
# whatever ends it, nothing is lost or doubled.  reprocess_stream: targets from
# the raw copy again.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $external = $kafka->is_external;
my $bare = fluct_node('bare', kafka => $kafka,
	'shared_preload_libraries' => 'pg_cron');
my $node = $bare;

# What psql shows of a statement of the operator's, and whether it succeeded.
sub shown
{
	my ($statement) = @_;
	my ($rc, $out, $err) = outcome($statement, timeout => 120, as => 'etl');

	return ($rc == 0, $err);
}

# A session of its own, in which the statements run; its output comes later.
sub begin
{
	my (@statements) = @_;
	my %session = (out => '', err => '');

	$session{run} = IPC::Run::start(
		[ 'psql', '-XqAt', '-U', 'etl', '-v', 'ON_ERROR_STOP=1',
			map({ ('-c', $_) } @statements), '-d',
			$node->connstr('postgres') ],
		'<', \undef, '>', \$session{out}, '2>', \$session{err},
		IPC::Run::timeout(180));
	return \%session;
}

sub end
{
	my ($session) = @_;

	$session->{run}->finish;
	return $session->{err};
}

my $runs = "SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'fluct run'";

sub run_pid
{
	my ($condition) = @_;

	$condition //= 'true';
	return poll_until($node, "SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'fluct run' AND $condition",
		sub { $_[0] =~ /^\d+$/ });
}

sub cancel_session
{
	my ($function) = @_;

	return sql("SELECT $function(pid) FROM pg_stat_activity
		WHERE query LIKE 'CALL fluct.run_stream%'");
}

# A topic, and a stream of it that does not run yet.
sub make_numbers
{
	my ($name, $more) = @_;

	$kafka->create_topic($name);
	return number_stream($name, start => 0, more => $more);
}

# ----- without a preload -----

$kafka->create_topic('orders', 2);
$kafka->produce('orders', [ orders(500, seed => 5, lines => 4) ]);
$kafka->produce('orders', ['{"order_id": "cut']);
etl("SELECT fluct.create_stream('orders', 'shop', 'orders', workers => 2)");
my ($ok, $said) = shown("CALL fluct.run_stream('orders')");
ok($ok, 'run_stream without a preload') or diag($said);
like($said, qr/^.*NOTICE:  stream "orders" has caught up: 501 messages, \d+ rows, 0 duplicates, 1 dead letters; lag 0$/m,
	'says what it did');
is(sql('SELECT count(*), count(DISTINCT order_id) FROM sales.orders'),
	'500|500', 'one worker does the partitions of two');
is(sql('SELECT state, messages, dead_letters FROM fluct.stat_streams'),
	'paused|501|1', 'the stream is paused, as before');
ok(poll($node, $runs, 0), 'the worker is gone');
($ok, $said) = shown("CALL fluct.run_stream('orders')");
like($said, qr/has caught up: 0 messages, 0 rows/, 'nothing more to do');

fails_like($node, "BEGIN; CALL fluct.run_stream('orders')",
	qr/ERROR:  25001: run_stream cannot run inside a transaction block/,
	'not in a transaction block');
fails_like($node, "CALL fluct.run_stream('nosuch')",
	qr/ERROR:  42704: stream "nosuch" does not exist/, 'an unknown stream');
fails_like($node, "CALL fluct.run_stream('orders', 0)",
	qr/ERROR:  22023: max_batches must be at least 1/, 'no batches');
sql("CREATE ROLE other; SELECT fluct.grant_operator('other')");
fails_like($node, "SET ROLE other; CALL fluct.run_stream('orders')",
	qr/ERROR:  42501: stream "orders" belongs to role/, "another's stream");

# ----- max_batches -----

make_numbers('few', ', batch_size => 10');
$kafka->produce('few', [ numbers(1 .. 45) ]);
($ok, $said) = shown("CALL fluct.run_stream('few', max_batches => 2)");
like($said, qr/stream "few" was run: 20 messages, 20 rows, .*; lag 25/,
	'max_batches');
is(sql('SELECT count(*), max(n) FROM few'), '20|20', 'and no more');
($ok, $said) = shown("CALL fluct.run_stream('few')");
like($said, qr/stream "few" has caught up: 25 messages/, 'and the rest');
is(sql('SELECT count(*), sum(n) FROM few'), '45|1035', 'each once');

# ----- cancelled -----

my $session = begin("CALL fluct.run_stream('few', until_caught_up => false)");
$kafka->produce('few', [ numbers(46 .. 50) ]);
ok(poll($node, 'SELECT count(*) FROM few', 50), 'it goes on until cancelled');
fails_like($node, "CALL fluct.run_stream('few')",
	qr/ERROR:  55006: stream "few" is being run by another session/,
	'two sessions at once');
sql('ALTER TABLE few ADD COLUMN m int; UPDATE few SET m = 0');
sql(q{SELECT fluct.map_column('few', 'm', '$.n')});
$kafka->produce('few', [ numbers(51) ]);
ok(poll($node, 'SELECT m FROM few WHERE n = 51', 51),
	'a change of the stream is taken up');
my $since = time();
cancel_session('pg_cancel_backend');
like(end($session), qr/canceling statement due to user request/, 'cancelled');
ok(poll($node, $runs, 0), 'the worker ends');
note(sprintf('after %.2f s', time() - $since));
cmp_ok(time() - $since, '<', 5, 'soon');

$session = begin("SET statement_timeout = '3 s'",
	"CALL fluct.run_stream('few', until_caught_up => false)");
like(end($session), qr/canceling statement due to statement timeout/,
	'statement_timeout');
ok(poll($node, $runs, 0), 'the worker ends');

$session = begin("CALL fluct.run_stream('few', until_caught_up => false)");
run_pid();
cancel_session('pg_terminate_backend');
end($session);
ok(poll($node, $runs, 0), 'a session that dies takes its worker along');
$session = begin("CALL fluct.run_stream('few', until_caught_up => false)");
kill('TERM', run_pid("state = 'idle'"));
like(end($session), qr/ERROR:  .*(terminating background worker|ended without)/,
	'a worker that dies ends the call');

SKIP:
{
	skip('FLUCT_KAFKA is another\'s broker', 3) if $external;

	$session = begin("CALL fluct.run_stream('few', until_caught_up => false)");
	run_pid("state = 'idle'");
	$kafka->freeze;
	ok(poll($node, "SELECT state, reason FROM fluct.stream_states
			WHERE stream = 'few'", 'backing_off|broker_unreachable'),
		'a frozen broker');
	$since = time();
	cancel_session('pg_cancel_backend');
	my $heard = end($session);
	my @notices = $heard =~ /NOTICE:  (stream "few" is backing_off: broker_unreachable)/g;
	is(scalar(@notices), 1, 'is told once');
	ok(poll($node, $runs, 0), 'and does not hold up the end');
	note(sprintf('after %.2f s', time() - $since));
	cmp_ok(time() - $since, '<', 5, 'soon');

	$session = begin("CALL fluct.run_stream('few')");
	run_pid();
	$since = time();
	cancel_session('pg_cancel_backend');
	end($session);
	ok(poll($node, $runs, 0), 'nor at a start');
	note(sprintf('after %.2f s', time() - $since));
	cmp_ok(time() - $since, '<', 5, 'soon');
	$kafka->thaw;
}

# ----- failed -----

$kafka->produce('few', [ numbers(52) ]);
sql('ALTER TABLE few DROP COLUMN n');
fails_like($node, "CALL fluct.run_stream('few')",
	qr/ERROR:  55000: stream "few" has failed: column_missing.*DETAIL:  .*no column "n".*HINT:  What was committed is kept\. Add the column again, or: SELECT fluct\.unmap_column\('few', 'n', '(public\.)?few'\); then: CALL fluct\.run_stream\('few'\);/s,
	'a stream that fails');
ok(await_state($node, 'few', 'failed/column_missing'), 'its state says it, too');
sql("SELECT fluct.pause_stream('few')");
is(sql("SELECT state FROM fluct.stat_streams WHERE stream = 'few'"), 'paused',
	'until somebody changes it');
sql('ALTER TABLE few ADD COLUMN n int');
($ok, $said) = shown("CALL fluct.run_stream('few')");
like($said, qr/has caught up: 1 messages/, 'mended, it goes on');
is(sql('SELECT count(*), sum(n) FROM few WHERE n IS NOT NULL'), '1|52',
	'where it stood');

# ----- the worker is killed, again and again -----

make_numbers('killed', ', batch_size => 50');
$kafka->produce('killed', [ numbers(1 .. 1000) ]);
sql(q{CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
	CREATE TRIGGER linger AFTER INSERT ON killed
		FOR EACH STATEMENT EXECUTE FUNCTION linger();
	CREATE TRIGGER linger BEFORE UPDATE ON fluct.stream_offsets
		FOR EACH STATEMENT EXECUTE FUNCTION linger()});
for (1 .. 4)
{
	my $log = log_position($node);

	$session = begin("CALL fluct.run_stream('killed', max_batches => 8)");
	kill('KILL', run_pid('backend_xid IS NOT NULL'));
	eval { end($session) };
	$node->wait_for_log(qr/database system is ready to accept/, $log);
	poll($node, 'SELECT true');
}
note(sql('SELECT count(*) FROM killed') . ' rows before the last run');
($ok, $said) = shown("CALL fluct.run_stream('killed')");
ok($ok, 'killed four times in a transaction') or diag($said);
is(sql('SELECT count(*), count(DISTINCT n), sum(n) FROM killed'),
	'1000|1000|500500', 'nothing lost or doubled, without a key');
sql('DROP TRIGGER linger ON fluct.stream_offsets; DROP TRIGGER linger ON killed');

# ----- with a preload -----

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fluct,pg_cron'
fluct.database = 'postgres'\n");
$node->restart;
$kafka->produce('killed', [ numbers(1001 .. 1010) ]);
($ok, $said) = shown("CALL fluct.run_stream('killed')");
like($said, qr/has caught up: 10 messages/, 'with a preload');
sql("SELECT fluct.start_stream('killed')");
ok(await_state($node, 'killed', 'running'), 'started');
fails_like($node, "CALL fluct.run_stream('killed')",
	qr/ERROR:  55000: stream "killed" is started.*HINT:  SELECT fluct\.pause_stream\('killed'\)/s,
	'refused while it is started');
sql("SELECT fluct.pause_stream('killed')");
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'", 0), 'paused');
$session = begin("CALL fluct.run_stream('killed', until_caught_up => false)");
run_pid("state = 'idle'");
sql("SELECT fluct.start_stream('killed')");
like(end($session), qr/ERROR:  stream "killed" is started/,
	'a run makes way when the stream is started');
is(sql('SELECT count(*), count(DISTINCT n) FROM killed'), '1010|1010',
	'each once');

# ----- two workers, one partition: a zombie -----

# The run worker, and no other, is held in its transaction, between its rows
# and its offsets; there it is stopped while another worker commits the same.
make_numbers('held');
$kafka->produce('held', [ numbers(1 .. 20) ]);
sql(q{CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
		SECURITY DEFINER SET lock_timeout = 0 AS $$
		BEGIN
			IF (SELECT backend_type = 'fluct run' FROM pg_stat_activity
				WHERE pid = pg_backend_pid()) THEN
				PERFORM pg_advisory_xact_lock(4711);
			END IF;
			RETURN NULL;
		END $$;
	CREATE TRIGGER hold AFTER INSERT ON held
		FOR EACH STATEMENT EXECUTE FUNCTION hold()});
my $holder = begin('SELECT pg_advisory_lock(4711)', 'SELECT pg_sleep(600)');
ok(poll($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND objid = 4711 AND granted", 1), 'the lock is held');
$session = begin("CALL fluct.run_stream('held')");
ok(poll($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND objid = 4711 AND NOT granted", 1), 'a run is in its transaction');
my $zombie = run_pid();
kill('STOP', $zombie);
sql("SELECT pg_terminate_backend(pid) FROM pg_locks
	 WHERE locktype = 'advisory' AND objid = 4711 AND granted");
eval { end($holder) };
sql("SELECT fluct.start_stream('held')");
ok(caught_up($node, 'held'), 'another worker commits the same offsets');
is(sql('SELECT count(*), count(DISTINCT n) FROM held'), '20|20', 'once');
kill('CONT', $zombie);
like(end($session), qr/ERROR:  another worker has moved the offsets of stream "held"/,
	'the zombie leaves by compare-and-set');
is(sql('SELECT count(*), count(DISTINCT n), sum(n) FROM held'), '20|20|210',
	'with nothing doubled');
is(sql("SELECT messages, rows FROM fluct.stat_streams WHERE stream = 'held'"),
	'20|20', 'in the counts, too');

# the same offset of another epoch, or of another topic, is another place
sql("SELECT fluct.pause_stream('held')");
ok(poll($node, "SELECT pids IS NULL FROM fluct.stat_streams
		WHERE stream = 'held'"), 'paused');
$kafka->produce('held', [ numbers(21 .. 25) ]);
my $lock = $node->background_psql('postgres');
foreach my $moved ('epoch = epoch + 1', "topic = 'another'")
{
	$lock->query_safe('SELECT pg_advisory_lock(4711)');
	$session = begin("CALL fluct.run_stream('held')");
	ok(poll($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
			AND objid = 4711 AND NOT granted", 1), 'a run is in its transaction');
	sql("UPDATE fluct.stream_offsets SET $moved WHERE stream = 'held'");
	$lock->query_safe('SELECT pg_advisory_unlock(4711)');
	like(end($session), qr/ERROR:  another worker has moved the offsets of stream "held"/,
		"$moved: the run leaves");
	is(sql('SELECT count(*) FROM held'), 20, 'and stores nothing');
}
$lock->quit;
sql("UPDATE fluct.stream_offsets SET topic = 'held' WHERE topic = 'another'");
shown("CALL fluct.run_stream('held')");
is(sql('SELECT count(*), sum(n) FROM held'), '25|325', 'the next run does');

# ----- reprocess_stream -----

etl('CREATE TABLE truth AS SELECT * FROM sales.orders;
	 CREATE TABLE true_lines AS SELECT * FROM sales.order_lines');
my $lines = sql('SELECT count(*) FROM true_lines');

sub same
{
	my ($name) = @_;

	is(sql('SELECT (SELECT count(*) FROM (TABLE truth EXCEPT ALL TABLE sales.orders) a)
			+ (SELECT count(*) FROM (TABLE sales.orders EXCEPT ALL TABLE truth) b)
			+ (SELECT count(*) FROM (TABLE true_lines EXCEPT ALL TABLE sales.order_lines) c)
			+ (SELECT count(*) FROM (TABLE sales.order_lines EXCEPT ALL TABLE true_lines) d)'),
		0, $name);
	return;
}

($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
like($said, qr/stream "orders" again: 501 messages, 0 rows, 500 duplicates, 1 refused, 0 skipped/,
	'what is there already is a duplicate') or diag($said);
same('and nothing has changed');
is(sql('SELECT count(*) FROM fluct.dead_letters'), 1, 'no second dead letter');
is(sql('SELECT count(*) FROM sales.raw_messages'), 501, 'no second raw copy');
sql('TRUNCATE sales.orders');
is(sql('SELECT count(*) FROM sales.order_lines'), 0, 'all orders are gone');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
same('TRUNCATE and reprocess: every column as it was') or diag($said);

# since and until; all of one batch have the same ingested_at
sql("TRUNCATE sales.orders;
	 UPDATE sales.raw_messages SET ingested_at = '2026-01-01 00:00:00+00'::timestamptz
		+ (\"offset\" % 2) * interval '1 hour' + partition * interval '1 day'");
my $count = sql(q{SELECT count(*) FROM sales.raw_messages
	WHERE ingested_at = '2026-01-01 01:00:00+00'});
($ok, $said) = shown("CALL fluct.reprocess_stream('orders',
	'2026-01-01 01:00:00+00', '2026-01-02 00:00:00+00')");
like($said, qr/again: $count messages/, 'since is in, until is not');
cmp_ok($count, '>', 50, 'some of them');
fails_like($node, "CALL fluct.reprocess_stream('orders', '2026-01-02', '2026-01-02')",
	qr/ERROR:  22023: since must be before until/, 'an empty span', as => 'etl');

# chunks: more messages than one has, with equal times; killed in the middle
etl("TRUNCATE sales.orders;
	 INSERT INTO sales.raw_messages (stream, topic, partition, \"offset\", value, ingested_at)
	 SELECT 'orders', 'orders', 7, n, convert_to(format('{\"order_id\": \"bulk%s\", \"customer_id\": \"c\",
		\"amount\": 1, \"timestamp\": \"2026-01-01T00:00:00Z\", \"order_lines\": []}', n), 'UTF8'),
		'2026-01-05'::timestamptz + n / 15000 * interval '1 s'
	 FROM generate_series(1, 40000) n;
	 CREATE TRIGGER linger AFTER INSERT ON sales.orders
		FOR EACH STATEMENT EXECUTE FUNCTION linger()");
$session = begin("CALL fluct.reprocess_stream('orders')");
ok(poll_until($node, 'SELECT count(*) FROM sales.orders',
	sub { $_[0] >= 10000 }), 'chunks are committed one by one');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	 WHERE query LIKE 'CALL fluct.reprocess%'");
end($session);
$count = sql('SELECT count(*) FROM sales.orders');
note("$count orders when it was killed");
cmp_ok($count, '<', 40500, 'killed in the middle');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
like($said, qr/again: 40501 messages, \d+ rows, $count duplicates, 1 refused/,
	'called again, it ends right');
is(sql('SELECT count(*), count(DISTINCT order_id) FROM sales.orders'),
	'40500|40500', 'each once');
sql("DELETE FROM sales.orders WHERE order_id LIKE 'bulk%';
	 DELETE FROM sales.raw_messages WHERE partition = 7;
	 DROP TRIGGER linger ON sales.orders");
same('and the others as they were');

# a new column is filled by update
is(etl("SELECT fluct._replaces_lines('orders')"), 'f', 'order lines are kept');
sql(q{ALTER TABLE sales.orders ADD COLUMN sent_amount numeric;
	SELECT fluct.map_column('orders', 'sent_amount', '$.amount');
	SELECT fluct.alter_stream('orders', on_conflict => 'update')});
is(etl("SELECT fluct._replaces_lines('orders')"), 't', 'but not by update');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
is(sql('SELECT count(*) FROM sales.orders WHERE sent_amount = amount'), 500,
	'a new column is filled') or diag($said);
is(sql('SELECT count(*) FROM sales.order_lines'), $lines, 'lines are replaced');
sql(q{SELECT fluct.alter_stream('orders', on_conflict => 'nothing');
	SELECT fluct.unmap_column('orders', 'sent_amount');
	ALTER TABLE sales.orders DROP COLUMN sent_amount});
same('and away again');

# dead letters
sql('DELETE FROM fluct.dead_letters');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
is(sql('SELECT reason, status FROM fluct.open_dead_letters JOIN fluct.dead_letters d USING (id, reason)'),
	'invalid_json|open', 'a refused message without a dead letter gets one');
my $corrected = an_order('corrected');
etl("SELECT * FROM fluct.retry_dead_letters((SELECT array_agg(id) FROM fluct.open_dead_letters),
	value => '$corrected')");
sql('TRUNCATE sales.orders');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
like($said, qr/, 0 refused, 0 skipped/, 'a corrected message');
is(sql("SELECT count(*) FROM sales.orders WHERE order_id = 'corrected'"), 1,
	'is stored as corrected');
sql("TRUNCATE sales.orders; ALTER TABLE sales.orders ADD CONSTRAINT other CHECK (order_id <> 'corrected')");
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
is(sql('SELECT reason, status, closed_at IS NULL FROM fluct.dead_letters'), 'constraint|open|t', 'or its dead letter is open again');
sql('ALTER TABLE sales.orders DROP CONSTRAINT other');
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
is(sql('SELECT status, retried_value IS NULL FROM fluct.dead_letters'), 'retried|f', 'until it can be stored');
sql("UPDATE fluct.dead_letters SET status = 'open', retried_value = NULL;
	 DELETE FROM sales.orders WHERE order_id = 'corrected'");
sql("SELECT * FROM fluct.discard_dead_letters((SELECT array_agg(id) FROM fluct.dead_letters), 'no use')");
($ok, $said) = shown("CALL fluct.reprocess_stream('orders')");
like($said, qr/, 0 refused, 1 skipped/, 'a discarded message is skipped');
my $ids = "array_agg(id) || '{999999,NULL}' FROM fluct.dead_letters";
foreach my $call ('retry_dead_letters(ids)', "discard_dead_letters(ids, 'again')")
{
	like(said("SELECT fluct.$call FROM (SELECT $ids) d(ids)", as => 'etl'),
		qr/NOTICE:  dead letters that are not open: \d+ is discarded, 999999 does not exist$/m,
		"$call names what is not open");
}

# without a key
etl(qq{CREATE TABLE loose (amount numeric CHECK (amount > 1000));
	SELECT fluct.create_stream('loose', 'shop', 'orders', 'loose',
		'{"columns": {"amount": "\$.amount"}}')});
($ok, $said) = shown("CALL fluct.run_stream('loose')");
fails_like($node, "CALL fluct.reprocess_stream('loose')",
	qr/ERROR:  55000: public\.loose has no unique key.*HINT:  .*force => true/s,
	'a target without a key is refused', as => 'etl');
$count = sql('SELECT count(*) FROM loose');
my $letters = sql("SELECT count(*) FROM fluct.dead_letters WHERE stream = 'loose'");
($ok, $said) = shown("CALL fluct.reprocess_stream('loose', force => true)");
is(sql('SELECT count(*) FROM loose'), 2 * $count, 'force doubles exactly');
is(sql("SELECT count(*) FROM fluct.dead_letters WHERE stream = 'loose'"),
	$letters, 'but no dead letters');
cmp_ok($letters, '>', 1, 'of which there are some');
sql('TRUNCATE loose; ALTER TABLE loose DROP CONSTRAINT loose_amount_check');
($ok, $said) = shown("CALL fluct.reprocess_stream('loose', force => true)");
is(sql('SELECT count(*), sum(amount) FROM loose'),
	sql('SELECT count(*), sum(amount) FROM sales.orders'),
	'without the constraint all of them are stored');
is(sql("SELECT string_agg(status || ' ' || reason, ',' ORDER BY status)
		FROM (SELECT DISTINCT status, reason FROM fluct.dead_letters WHERE stream = 'loose') d"),
	'open invalid_json,retried constraint', 'and their dead letters closed');
sql('ALTER TABLE loose ADD CHECK (amount < 0) NOT VALID;
	 DELETE FROM fluct.dead_letters');
fails_like($node, "CALL fluct.reprocess_stream('loose', force => true)",
	qr/ERROR:  55000: 501 of 501 messages were refused.*DETAIL:  The last one: /s,
	'nothing but refusals is an error', as => 'etl');
is(sql('SELECT count(*) FROM fluct.dead_letters'), 0, 'without dead letters');
fails_like($node, "SET ROLE other; CALL fluct.reprocess_stream('orders')",
	qr/ERROR:  42501: stream "orders" belongs to role/, "another's stream");

done_testing();
