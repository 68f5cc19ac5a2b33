# Stopping a server in every state, and what takes the ground from under a
# stream: extension, database, table, column, right, lock, broker, worker slot.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Process;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $external = $kafka->is_external;
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 8);

my $columns = '{"columns": {"n": "$.n"}}';

# ----- stop -m fast -----

$kafka->create_topic('orders', 2);
my $lines = '[' . join(', ',
	('{"product_id": "p1", "volume": 2, "price": 5.25}') x 20) . ']';
$kafka->produce('orders',
	[ map { an_order($_, order_lines => $lines) } 1 .. 40_000 ]);
etl("SELECT fluct.create_stream('orders', 'shop', 'orders', start => true)");
poll($node, 'SELECT sum(messages) > 0 FROM fluct.stream_offsets');
stops_fast($node, 'at full speed');
$node->start;
ok(caught_up($node, 'orders'), 'it goes on');
is(sql('SELECT messages, duplicates, rows FROM fluct.stat_streams'),
	'40000|0|840000', 'with nothing lost or doubled');

stops_fast($node, 'while idle');
$node->start;
ok(await_state($node, 'orders', 'running'), 'it runs again');

# The lock outlives the server.
sql("BEGIN; LOCK TABLE sales.orders; PREPARE TRANSACTION 'hold'");
$kafka->produce('orders', [ an_order('locked') ]);
ok(await_state($node, 'orders', 'running/waiting_for_lock'),
	'a lock on the target is waited for');
stops_fast($node, 'while waiting for a lock');
$node->start;
ok(poll($node, 'SELECT reason FROM fluct.stat_streams', 'waiting_for_lock'),
	'and is waited for again');
sql("COMMIT PREPARED 'hold'");
ok(caught_up($node, 'orders'), 'until it is gone');
is(sql("SELECT count(*) FROM sales.orders WHERE order_id = 'locked'"), 1,
	'with nothing lost');
ok(await_state($node, 'orders', 'running'), 'and it says so');
is(sql('SELECT reason FROM fluct.stat_streams'), '', 'without a reason');

SKIP:
{
	skip('FLUCT_KAFKA is another\'s broker', 1) if $external;

	$kafka->freeze;
	ok(await_state($node, 'orders', 'backing_off/broker_unreachable'),
		'a frozen broker is noticed');
	stops_fast($node, 'while the broker is frozen');
	$node->start;
	ok(await_state($node, 'orders', 'backing_off/broker_unreachable'),
		'and noticed at a start');
	$kafka->thaw;
	ok(await_state($node, 'orders', 'running'), 'until it answers');

	$kafka->stop;
	my $log = log_position($node);
	my $start = time();
	ok(await_state($node, 'orders', 'backing_off/broker_unreachable'),
		'a broker that is gone is noticed');
	cmp_ok(time() - $start, '<', 10, 'within 10 s');
	like(sql('SELECT detail FROM fluct.stat_streams'), qr/\S/, 'with a detail');
	sleep(5);
	my @said = log_lines($node, qr/stream "orders"/, $log);
	cmp_ok(scalar(@said), '<=', 2, 'and is said once')
	  or diag(join("\n", @said));
	stops_fast($node, 'while the broker is down');
	$node->start;
	ok(await_state($node, 'orders', 'backing_off/broker_unreachable', 10),
		'a broker that is down at the start');
	$kafka->restart;
	ok(await_state($node, 'orders', 'running'), 'it runs when it is back');
	$kafka->produce('orders', [ an_order('after the outage') ]);
	ok(caught_up($node, 'orders'), 'caught up');
	is(sql("SELECT count(*), count(DISTINCT order_id) FROM sales.orders"),
		'40002|40002', 'with nothing lost or doubled');
}

# A name that nobody knows.
etl("CREATE SERVER nowhere FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers 'nosuch.invalid:9092');
	CREATE TABLE nowhere (n int);
	SELECT fluct.create_stream('nowhere', 'nowhere', 'orders', 'nowhere',
		'$columns', keep_raw => false, start => true)");
ok(await_state($node, 'nowhere', 'backing_off/dns_failure'), 'no such host');
stops_fast($node, 'while a name is looked up');
$node->start;
sql("SELECT fluct.drop_stream('nowhere')");

# ----- the topic -----

number_stream('later');
ok(await_state($node, 'later', 'backing_off/unknown_topic'),
	'an unknown topic');
$kafka->create_topic('later');
$kafka->produce('later', [ numbers(1 .. 3) ]);
ok(poll($node, 'SELECT count(*) FROM later', 3), 'is found when it is made');
ok(await_state($node, 'later', 'running'), 'and the stream runs');

# ----- the table, its columns and rights -----

$kafka->create_topic('ground');
number_stream('ground');
$kafka->produce('ground', [ numbers(1 .. 3) ]);
ok(caught_up($node, 'ground'), 'a stream of numbers');
sql('ALTER TABLE ground RENAME TO kept');
$kafka->produce('ground', [ numbers(4 .. 6) ]);
ok(await_state($node, 'ground', 'failed/target_missing'), 'its table is gone');
fails_like($node, "SELECT fluct.wait_for_stream('ground')",
	qr/ERROR:  55000: stream "ground" is failed: target_missing/,
	'waiting for it is an error');
like(sql("SELECT last_error FROM fluct.stat_streams WHERE stream = 'ground'"),
	qr/table .*ground"?, the target of stream "ground", does not exist/, 'last_error says what is missing');
fails_like($node, $_->[1],
	qr/ERROR:  42P01: table .*ground"?, the target of stream "ground", does not exist\nHINT:  Create it again or rename it back\./,
	"$_->[0] says so as well")
  foreach [ alter => "SELECT fluct.alter_stream('ground', batch_size => 10)" ],
  [ map => "SELECT fluct.map_column('ground', 'm', '\$.m')" ],
  [ preview => "SELECT fluct.preview_stream('ground')" ];
is(sql("SELECT status FROM fluct.check_stream('ground') WHERE item = 'columns' AND hint LIKE 'Create it again%'"),
	'fail', 'and check_stream');
is(sql("SELECT fluct.pause_stream('ground')"), 'paused', 'it can be paused');
sql('ALTER TABLE kept RENAME TO ground');
sql("SELECT fluct.start_stream('ground')");
ok(caught_up($node, 'ground'), 'it is back');
is(sql('SELECT count(*), sum(n) FROM ground'), '6|21', 'with nothing lost');

sql('ALTER TABLE ground DROP COLUMN n, ADD COLUMN m int');
$kafka->produce('ground', [ numbers(7 .. 9) ]);
ok(await_state($node, 'ground', 'failed/column_missing'), 'a column is gone');
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'ground'"),
	qr/no column "n".*fluct\.unmap_column/, 'with the call that mends it');
fails_like($node, 'SELECT fluct._is_routed(0)', qr/42P01: relation with OID 0 does not exist/, 'a table that is gone');
my $mend = qr/SELECT fluct\.unmap_column\('ground', 'n', '[a-z.]*ground'\); then: SELECT fluct\.start_stream\('ground'\);/;
fails_like($node, "SELECT fluct.wait_for_stream('ground')", qr/HINT:  Add the column again, or: $mend/, 'which is the hint');
like(sql(q{SELECT hint FROM fluct.health WHERE what = 'stream "ground"'}), $mend, 'and the remedy of health');
sql('ALTER TABLE ground ADD COLUMN n int');
sql("SELECT fluct.start_stream('ground')");
ok(caught_up($node, 'ground'), 'it is back');
is(sql('SELECT count(*), sum(n) FROM ground'), '9|24', 'with nothing lost');

sql('DROP TABLE ground');
$kafka->produce('ground', [ numbers(10 .. 12) ]);
ok(await_state($node, 'ground', 'failed/target_missing'),
	'its table is dropped');
etl('CREATE TABLE ground (n int)');
sql("SELECT fluct.start_stream('ground')");
ok(caught_up($node, 'ground'), 'and made again');
is(sql('SELECT count(*), sum(n) FROM ground'), '3|33',
	'it goes on where it stood');

sql('ALTER TABLE ground ALTER COLUMN n TYPE numeric');
$kafka->produce('ground', [ numbers(13), '{"n": 13.5}' ]);
ok(caught_up($node, 'ground'), 'a column of another type');
is(sql('SELECT string_agg(n::text, \' \' ORDER BY n) FROM ground'),
	'10 11 12 13 13.5', 'is filled as what it is now');
etl('CREATE TABLE fresh (n int); BEGIN; ALTER TABLE ground RENAME TO old;
	 ALTER TABLE fresh RENAME TO ground; COMMIT');
$kafka->produce('ground', [ numbers(14) ]);
ok(caught_up($node, 'ground'), 'another table of the name');
is(sql('SELECT count(*), max(n) FROM ground'), '1|14',
	'gets the rows from then on');

sql("CREATE ROLE clerk LOGIN; SELECT fluct.grant_operator('clerk');
	GRANT USAGE ON FOREIGN SERVER shop TO clerk;
	CREATE TABLE rights (n numeric); GRANT INSERT ON rights TO clerk;
	SET ROLE clerk;
	SELECT fluct.create_stream('rights', 'shop', 'ground', 'rights',
		'$columns', on_conflict => 'error', keep_raw => false, start => true)");
ok(caught_up($node, 'rights'), 'a stream of another role');
sql('REVOKE INSERT ON rights FROM clerk');
$kafka->produce('ground', [ numbers(15) ]);
ok(await_state($node, 'rights', 'failed/privilege_lost'), 'a right is lost');
sql("GRANT INSERT ON rights TO clerk; SELECT fluct.start_stream('rights')");
ok(caught_up($node, 'rights'), 'and given back');
is(sql('SELECT count(*) FROM rights'), 16, 'with nothing lost');
sql("SELECT fluct.drop_stream('rights')");

# ----- worker slots -----

sql("SELECT fluct.pause_stream('later'); ALTER SYSTEM SET fluct.max_workers = 2;
	 SELECT pg_reload_conf()");
ok(poll($node, 'SHOW fluct.max_workers', 2), 'room for two');
sql("SELECT fluct.start_stream('later')");
ok(await_state($node, 'later', 'backing_off/no_worker_slot'),
	'no room for the third');
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'later'"),
	qr/fluct\.max_workers is 2, but 3 workers are needed/, 'and why');
sql('ALTER SYSTEM RESET fluct.max_workers; SELECT pg_reload_conf()');
ok(await_state($node, 'later', 'running'), 'until there is');

sql('ALTER SYSTEM SET fluct.enabled = off; SELECT pg_reload_conf()');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'", 0),
	'fluct.enabled off: all workers leave');
sql('ALTER SYSTEM RESET fluct.enabled; SELECT pg_reload_conf()');
ok(await_state($node, 'later', 'running'), 'on: they are back');

# ----- a worker that dies again and again -----

my $pid = 0;
for (1 .. 4)
{
	$pid = poll_until($node, "SELECT pids[1] FROM fluct.stat_streams
		WHERE stream = 'later' AND state = 'running'
			AND pids[1] IS DISTINCT FROM $pid", sub { $_[0] ne '' });
	sql("SELECT pg_terminate_backend($pid)");
}
ok(await_state($node, 'later', 'running'), 'it comes back each time');
cmp_ok(sql("SELECT failures FROM fluct.stream_states WHERE stream = 'later'"),
	'>=', 4, 'its failures are counted');
is(sql("SELECT next_start - since BETWEEN '1 s' AND '1 min'
		FROM fluct.stream_states WHERE stream = 'later'"),
	't', 'and the next start waits longer');
# ten failures and a long wait, and the worker gone, whoever is quicker
ok(poll($node, q{
	DO $$ BEGIN
		UPDATE fluct.stream_states SET failures = 10, next_start = now() + interval '1 hour' WHERE stream = 'later';
		PERFORM pg_terminate_backend(pids[1]) FROM fluct.stat_streams WHERE stream = 'later';
	END $$;
	SELECT concat_ws('/', state, reason) FROM fluct.stat_streams WHERE stream = 'later'}, 'backing_off/error'),
	'which is its state, though it could not say it');
like(detail('later'), qr/^its worker has ended by itself 10 times without storing a batch; the server's log says why$/, 'and why');
$node->restart;
ok(await_state($node, 'later', 'running', 30), 'a server that is started anew');
is(sql("SELECT failures FROM fluct.stream_states WHERE stream = 'later'"),
	1, 'begins to count anew');
$kafka->produce('later', [ numbers(4) ]);
ok(caught_up($node, 'later'), 'caught up');
is(sql("SELECT failures, next_start FROM fluct.stream_states
		WHERE stream = 'later'"),
	'0|', 'a committed batch takes it back');

# ----- the extension -----

$kafka->produce('orders', [ map { an_order("more $_") } 1 .. 20_000 ]);
my $before = sql('SELECT count(*) FROM sales.orders');
poll($node, "SELECT count(*) > $before FROM sales.orders");
sql('SET client_min_messages = warning; DROP EXTENSION fluct CASCADE');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'", 0),
	'without the extension the workers leave');
my $kept = sql('SELECT count(*) FROM sales.orders');
cmp_ok($kept, '>=', $before, 'the orders stay');
is(sql('SELECT count(*) = (SELECT count(DISTINCT order_id) FROM sales.order_lines)
		FROM sales.orders'),
	't', 'and their lines');
my $bootstrap = $kafka->bootstrap;
sql('CREATE EXTENSION fluct');
make_operator();
etl("CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers '$bootstrap');
	SELECT fluct.create_stream('orders', 'shop', 'orders', start => true)");
ok(caught_up($node, 'orders'), 'made again, it reads all again');
is(sql('SELECT messages, duplicates FROM fluct.stat_streams'),
	sql('SELECT count(*) FROM sales.orders') . "|$kept",
	'and knows what is there');

# ----- the database -----

sql("SELECT fluct.pause_stream('orders');
	 ALTER SYSTEM SET fluct.database = 'shop'");
sql('SELECT pg_reload_conf()');
foreach my $round (1 .. 2)
{
	sql('CREATE DATABASE shop');
	sql("CREATE EXTENSION fluct; SELECT fluct.grant_operator('etl');
		GRANT CREATE ON SCHEMA public TO etl", db => 'shop');
	etl("CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka
			OPTIONS (bootstrap_servers '$bootstrap');
		CREATE TABLE n (n int)", db => 'shop');
	ok(poll($node, "SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'fluct launcher' AND datname = 'shop'", 1),
		"round $round: the launcher finds its database");
	etl("SELECT fluct.create_stream('n', 'shop', 'later',
			'n', '$columns', keep_raw => false, start => true)", db => 'shop');
	is(sql("SELECT fluct.wait_for_stream('n')", db => 'shop'), 't',
		'its streams run');
	is(sql('SELECT count(*) FROM n', db => 'shop'), 4, 'with all rows');
	sql('DROP DATABASE shop WITH (FORCE)');
	is(sql("SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'fluct stream worker'"),
		0, 'DROP DATABASE WITH (FORCE) ends them');
}
fails_like($node, "SELECT fluct.start_stream('orders')",
	qr/ERROR:  55000: the streams of database "postgres" do not run.*fluct\.database is "shop".*HINT:  ALTER SYSTEM SET fluct\.database = 'shop, postgres'; SELECT pg_reload_conf\(\);/s,
	'a database whose streams do not run');
sql('ALTER SYSTEM RESET fluct.database');
sql('SELECT pg_reload_conf()');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct launcher' AND datname = 'postgres'", 1),
	'the launcher comes back');
sql("SELECT fluct.start_stream('orders')");
ok(caught_up($node, 'orders'), 'and its streams run');
stops_fast($node, 'at the end');
$node->start;

# ----- servers that lack something -----

my $bare = fluct_node('bare', kafka => $kafka,
	'shared_preload_libraries' => 'pg_cron');
etl($bare, "SELECT fluct.create_stream('orders', 'shop', 'orders')");
fails_like($bare, "SELECT fluct.start_stream('orders')",
	qr/ERROR:  55000: streams run only when fluct is preloaded.*HINT:  Put these lines in postgresql\.conf and restart the server:\nshared_preload_libraries = 'pg_cron,fluct'\nfluct\.database = 'postgres'/s,
	'without a preload: the lines to add');
fails_like($bare, 'SELECT * FROM fluct.batches',
	qr/ERROR:  55000: batches are kept only when fluct is preloaded.*shared_preload_libraries = 'pg_cron,fluct'\nfluct\.database = 'postgres'/s,
	'and no batches');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron,fluct'
fluct.database = 'postgres'
max_worker_processes = 3\n");
$bare->restart;
$bare->safe_psql('postgres', "SELECT fluct.start_stream('orders')");
ok(await_state($bare, 'orders', 'backing_off/no_worker_slot'),
	'no free background worker');
like($bare->safe_psql('postgres', 'SELECT detail FROM fluct.stat_streams'),
	qr/max_worker_processes is 3/, 'and which setting');
$bare->append_conf('postgresql.conf', 'max_worker_processes = 8');
$bare->restart;
ok(caught_up($bare, 'orders'), 'with more of them it runs');

done_testing();
