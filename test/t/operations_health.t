# fluct.health: empty where all is well, and a row for each problem, with what
# to do; readable by who watches, which never waits for a lock.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('main', kafka => $kafka, 'fluct.inbox_root' => $root, wal_level => 'replica');
my $has_cron = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '1';

sql('CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE reader LOGIN; SELECT fluct.grant_reader($$reader$$)');

# What is wrong with that, as who watches sees it: severity, problem, detail.
sub problems
{
	my ($what) = @_;

	return sql(qq{SELECT severity, problem, detail FROM fluct.health WHERE what = '$what' ORDER BY problem}, as => 'watcher');
}

# Waits until there is such a problem; returns its severity, detail and hint.
sub await_problem
{
	my ($what, $problem) = @_;

	poll($node, qq{SELECT count(*) FROM fluct.health WHERE what = '$what' AND problem = '$problem'}, '1');
	return sql(qq{SELECT severity, detail, hint FROM fluct.health WHERE what = '$what' AND problem = '$problem'});
}

# ----- all is well -----

is(sql('SELECT * FROM fluct.health', as => $_), '', "well, says $_") foreach 'watcher', 'reader', 'etl', 'postgres';
is(etl(q{SELECT fluct.create_stream('orders', 'shop', 'orders')}) && sql('SELECT * FROM fluct.health'), '', 'a stream that was never started');
$kafka->create_topic('orders', 2);
$kafka->alter_topic('orders', 'retention.ms=604800000');
$kafka->produce('orders', [ map { an_order("o$_") } 1 .. 20 ], partition => 0);
etl(q{SELECT fluct.start_stream('orders')});
ok(caught_up($node, 'orders'), 'a stream runs');
is(sql('SELECT * FROM fluct.health'), '', 'and all is well');

# ----- batches -----

is(sql(q{SELECT stream, worker, sum(messages), sum(rows), sum(duplicates), sum(dead_letters), max(partitions), min((offsets::jsonb -> '0' ->> 0)::int), max((offsets::jsonb -> '0' ->> 1)::int)
	FROM fluct.batches GROUP BY 1, 2}, as => 'watcher'), 'orders|0|20|40|0|0|1|0|20', 'each batch is shown');
is(sql('SELECT sum(bytes) FROM fluct.batches'), sql('SELECT sum(length(value)) FROM sales.raw_messages'), 'with its bytes');
is(sql('SELECT DISTINCT ended FROM fluct.batches'), 'batch_interval', 'and what ended it');
etl(q{SELECT fluct.alter_stream('orders', batch_size => 1)});
$kafka->produce('orders', [ an_order('o1'), '{' ], partition => 1);
ok(caught_up($node, 'orders'), 'batches of one');
is(sql(q{SELECT messages, duplicates, dead_letters, ended, offsets FROM fluct.batches ORDER BY committed_at DESC LIMIT 2}),
	qq(1|0|1|batch_size|{"1": [1, 2]}\n1|1|0|batch_size|{"1": [0, 1]}), 'the newest first');
etl(q{SELECT fluct.alter_stream('orders', batch_size => 1000); SELECT fluct.discard_dead_letters(NULL, 'test')});

# ----- how long Kafka keeps what is not read -----

ok(poll($node, 'SELECT DISTINCT retention FROM fluct.stat_partitions', '7 days'), 'the retention is Kafka\'s');
ok(poll($node, q{SELECT bool_and(headroom BETWEEN '6 days' AND '7 days') FROM fluct.stat_partitions WHERE partition = 0}), 'a stream that holds all has all of it');
$kafka->create_topic('kept');
$kafka->alter_topic('kept', 'retention.ms=-1');
number_stream('kept');
ok(caught_up($node, 'kept'), 'a topic that is kept for ever');
etl(q{SELECT fluct.pause_stream('orders', 'for a while')});
is(problems('stream "orders"'), 'notice|paused|for a while', 'a person paused it');
sql(q{UPDATE fluct.stream_offsets SET last_message_time = now() - $$5 days$$::interval, held_until = NULL WHERE stream = 'orders'});
like(await_problem('stream "orders"', 'retention'),
	qr/^warning\|topic orders, partition 0: Kafka deletes the first message that is not read yet in (2 days|1 day 23:59:\d\d); it keeps messages for 7 days\|/, 'less than half is left');
sql(q{UPDATE fluct.stream_offsets SET last_message_time = now() - $$8 days$$::interval WHERE stream = 'orders'});
like(await_problem('stream "orders"', 'retention'), qr/^critical\|topic orders, partition 0: Kafka may have deleted messages that are not read yet/, 'nothing is left');
is(sql(q{SELECT count(*) FROM fluct.stat_partitions WHERE stream = 'kept' AND (retention, headroom) IS DISTINCT FROM (NULL, NULL)}), '0', 'for ever is no limit');

# ----- behind, and waiting for a lock -----

my ($in, $out) = ('', '');
my $session = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('postgres'), '-f', '-' ], '<', \$in, '>', \$out, '2>&1', IPC::Run::timeout(300));
sub other_session
{
	my ($statements) = @_;

	$out = '';
	$in = "$statements SELECT 'done';\n";
	$session->pump until $out =~ /done/;
	return;
}

sql(q{UPDATE fluct.stream_offsets SET last_message_time = now() - $$2 hours$$::interval WHERE stream = 'orders'});
other_session('BEGIN; LOCK sales.order_lines IN SHARE MODE;');
$kafka->produce('orders', [ an_order('o21') ], partition => 0);
etl(q{SELECT fluct.start_stream('orders')});
like(await_problem('stream "orders"', 'waiting_for_lock'), qr/^warning\|waiting_for_lock: blocked by pid (\d+)\|End the transaction that holds the lock: SELECT pg_terminate_backend\(\1\);$/, 'it waits for a lock');
like(await_problem('stream "orders"', 'behind'), qr/^critical\|behind by 02:00:\d\d, lag \d+ messages, 0 a second\|/, 'and is behind');
is(sql('SELECT severity FROM fluct.health LIMIT 1'), 'critical', 'the worst comes first');
other_session('ROLLBACK;');
ok(caught_up($node, 'orders'), 'the lock is gone');
other_session('BEGIN; LOCK sales.rollup_state;');
like(await_problem('health', 'unknown'), qr/^warning\|its check of rollup failed: canceling statement due to lock timeout\|SELECT pid/, 'a check that cannot be done does not wait');
other_session('ROLLBACK;');
is(sql('SELECT * FROM fluct.health'), '', 'well again');

# ----- dead letters -----

$kafka->produce('orders', [ '{"order_id": ' ], partition => 0);
ok(caught_up($node, 'orders'), 'a broken message');
like(await_problem('stream "orders"', 'dead_letters'), qr/^warning\|1 open, 1 of them in the last hour, most often invalid_json\|SELECT \* FROM fluct\.open_dead_letters/, 'dead letters come');
etl(q{SELECT fluct.alter_stream('orders', max_dead_letters => 1)});
is(sql(q{SELECT severity FROM fluct.health WHERE problem = 'dead_letters'}), 'critical', 'more than half of what is allowed');
sql(q{UPDATE fluct.dead_letters SET created_at = now() - $$3 hours$$::interval});
like(problems('stream "orders"'), qr/^notice\|dead_letters\|1 open, 0 of them/, 'old ones are for the day');
etl(q{SELECT fluct.discard_dead_letters(NULL, 'test')});
is(sql('SELECT * FROM fluct.health'), '', 'discarded');

# ----- data loss: the stream fails, and leaves a gap -----

etl(q{SELECT fluct.pause_stream('kept')});
$kafka->produce('kept', [ numbers(1 .. 10) ]);
$kafka->delete_records('kept', 0, 5);
etl(q{SELECT fluct.start_stream('kept')});
like(await_problem('stream "kept"', 'failed'), qr/^critical\|data_loss: .*\|SELECT fluct\.alter_stream\('kept', on_data_loss => 'skip'\); SELECT fluct\.start_stream\('kept'\);$/, 'it failed');
etl(sql(q{SELECT hint FROM fluct.health WHERE problem = 'failed'}));
ok(caught_up($node, 'kept'), 'the hint helps');
like(await_problem('stream "kept"', 'gap'), qr/^warning\|Kafka had deleted 5 messages before they were read, in topic kept, partition 0 from 0 to 5\|/, 'and leaves a gap');
is(sql(q{SELECT string_agg(r.reason || ': ' || fluct._remedy('kept', r.reason, NULL), E'\n') FROM unnest('{key_missing,owner_is_superuser}'::text[]) r(reason)}),
	q(key_missing: Add the unique key again, or: SELECT fluct.alter_stream('kept', on_conflict => 'error'); then: SELECT fluct.start_stream('kept');
owner_is_superuser: ALTER ROLE etl NOSUPERUSER; SELECT fluct.start_stream('kept');), 'what to do can be pasted');
sql(q{UPDATE fluct.gaps SET created_at = now() - $$8 days$$::interval});
is(sql('SELECT * FROM fluct.health'), '', 'for a week');

# ----- files -----

mkdir("$root/in");
etl(qq{SELECT fluct.create_inbox('in', 'industries', '$root/in', settle => '0')});
sub drop_file
{
	my ($text) = @_;

	write_file("$root/in/list.csv", $text);
	said(q{CALL fluct.scan_inbox('in')}, as => 'etl');
	return;
}
drop_file("no header\n");
like(await_problem('inbox "in"', 'refused_file'), qr/^warning\|1 file is refused; the last: list\.csv, bad_header in line 1\|SELECT file.*SELECT fluct\.reload_file\('in', 'list\.csv'\)/, 'a refused file');
drop_file("industry\nFood\n");
is(sql('SELECT * FROM fluct.health'), '', 'the corrected one');

# ----- schedules -----

SKIP:
{
	skip('pg_cron is not installed', 12) unless $has_cron;
	sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO etl');
	etl(q{SELECT fluct.schedule_inbox('in', '0 3 * * *'); SELECT fluct.schedule_fluctuations('daily', '5 0 * * *');});
	is(sql('SELECT * FROM fluct.health'), '', 'schedules that are not due yet');

	sql(q{UPDATE fluct.inboxes SET last_scan = now() - $$2 days$$::interval, scheduled_at = now() - $$3 days$$::interval;
		UPDATE fluct.reports SET last_slot = last_slot - $$1 day$$::interval});
	like(await_problem('inbox "in"', 'late'), qr/^critical\|the scan of .* 03:00:00\+00 did not come to its end; the last one that did was at .*\|As role etl, to see why: CALL fluct\.scan_inbox\('in'\);$/, 'an inbox is late');
	like(await_problem('report "daily"', 'late'), qr/^critical\|the slot of .* 00:05:00\+00 is not recorded; the last one is of .*\|As role etl, to see why: SELECT fluct\._run_report\('daily'\);$/, 'a report is late');
	etl(q{CALL fluct.scan_inbox('in')});
	etl(q{SELECT fluct._run_report('daily')});
	is(sql('SELECT * FROM fluct.health'), '', 'the hints help');

	sql(q{INSERT INTO cron.job_run_details (jobid, runid, command, status, return_message, end_time)
		SELECT jobid, 1000, command, 'failed', E'ERROR: no\\nCONTEXT: secret', now() FROM cron.job WHERE jobname = 'fluct: daily'});
	like(await_problem('report "daily"', 'job_failed'), qr/^critical\|its last run failed: ERROR: no\|SELECT start_time, status, return_message FROM cron\.job_run_details WHERE jobid = \d+/, 'a job failed');
	sql(q{DELETE FROM cron.job_run_details; UPDATE cron.job SET active = false WHERE jobname = 'fluct: daily'});
	like(await_problem('report "daily"', 'job_inactive'), qr/^warning\|.*not active\|SELECT cron\.alter_job\(\d+, active := true\);$/, 'a job is switched off');
	sql(q{SELECT cron.alter_job(cron.schedule(E'\x1b[31m\n', '* * * * *', 'SELECT fluct.version()'), active := false)});
	like(await_problem(q{job "\x1b[31m\x0a"}, 'job_inactive'), qr/^warning/, 'a job whose name a terminal would obey');
	sql(q{DELETE FROM cron.job WHERE command = 'SELECT fluct.version()'});
	sql(q{DELETE FROM cron.job WHERE jobname = 'fluct: daily'});
	like(await_problem('report "daily"', 'job_missing'), qr/^critical\|pg_cron has no job "fluct: daily"\|As role etl: SELECT fluct\.schedule_fluctuations\('daily', '5 0 \* \* \*', …\);$/, 'a job is gone');
	etl(q{SELECT fluct.schedule_fluctuations('daily', '5 0 * * *')});
	is(sql('SELECT * FROM fluct.health'), '', 'made again');

	$node->append_conf('postgresql.conf', q{cron.database_name = 'nosuch'});
	$node->restart;
	like(await_problem('pg_cron', 'cron_dead'), qr/^critical\|the process pg_cron launcher does not run; its database is "nosuch"\|The server's log says why/, 'a dead pg_cron');
	$node->append_conf('postgresql.conf', q{cron.database_name = 'postgres'
shared_preload_libraries = 'fluct'});
	$node->restart;
	is(sql('SELECT count(*) FROM fluct.batches'), '0', 'no batches after a start');
	like(await_problem('pg_cron', 'cron_dead'), qr/^critical\|pg_cron is not preloaded, and 2 schedules need it\|Put shared_preload_libraries = 'fluct,pg_cron' in/, 'none at all');
	$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'fluct,pg_cron'});
	$node->restart;
	ok(poll($node, 'SELECT count(*) FROM fluct.health', '0'), 'it is back');
}

# ----- the server -----

sql('ALTER TABLE sales.orders DISABLE TRIGGER ALL');
like(await_problem('rollup', 'rollup_invalid'), qr/^warning\|trigger orders_rollup_\w+ on sales\.orders is disabled; the ranking reads the orders one by one\|SELECT fluct\.rebuild_rollup\(\);$/, 'the rollup is not kept');
sql('ALTER TABLE sales.orders ENABLE TRIGGER ALL');
etl('SELECT fluct.rebuild_rollup()');

sql(q{ALTER SYSTEM SET fluct.max_workers = 1}); sql('SELECT pg_reload_conf()');
like(await_problem('workers', 'slots'), qr/^warning\|the streams that are started need 2 workers, and fluct\.max_workers is 1, for all databases\|ALTER SYSTEM SET fluct\.max_workers = 2;/, 'too few workers');
sql(q{ALTER SYSTEM RESET fluct.max_workers});
sql(q{ALTER SYSTEM SET fluct.database = 'postgres, "No Such"'}); sql('SELECT pg_reload_conf()');
like(await_problem('database "No Such"', 'unknown_database'), qr/^warning\|fluct\.database names it, and it does not exist\|/, 'a database that does not exist');
sql(q{ALTER SYSTEM RESET fluct.database}); sql('SELECT pg_reload_conf()');

sql(q{ALTER SYSTEM SET max_wal_size = '32MB'}); sql('SELECT pg_reload_conf()');
sql(q{SELECT pg_create_physical_replication_slot('forgotten', true)});
is(sql('SELECT count(*) FROM fluct._health_replication()'), '0', 'a slot that keeps little');
foreach (1 .. 3)
{
	sql(q{SELECT pg_logical_emit_message(false, 'test', ''); SELECT pg_switch_wal()});
}
like(await_problem('replication slot "forgotten"', 'replication_slot'), qr/^warning\|nobody reads it, and it keeps \d+ MB of WAL; \d+ \w+ are free\|Start what reads it, or SELECT pg_drop_replication_slot\('forgotten'\);/, 'a slot that nobody reads');
sql(q{SELECT pg_drop_replication_slot('forgotten'); ALTER SYSTEM RESET max_wal_size});

sql(q{BEGIN; UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'fluct'; COMMIT});
like(await_problem('extension', 'version'), qr/^warning\|the library is ([\d.]+), the extension 0\.0\.9\|ALTER EXTENSION fluct UPDATE;$/, 'an extension that was not updated');
sql(q{UPDATE pg_extension SET extversion = fluct._library_version() WHERE extname = 'fluct'});

my $disks = sql(q{SELECT pg_get_functiondef('fluct._disks()'::regprocedure)});
is(sql(q{SELECT count(*) FROM fluct._disks() WHERE folder = 'data directory' AND free BETWEEN 0 AND total}), '1', 'the disk is looked at');
foreach ([ 4, 'critical' ], [ 8, 'warning' ])
{
	my ($free, $severity) = @$_;

	sql(qq{CREATE OR REPLACE FUNCTION fluct._disks(OUT folder text, OUT total bigint, OUT free bigint) RETURNS SETOF record LANGUAGE sql STABLE
		AS \$\$SELECT 'data directory', 100 * 1048576::bigint, $free * 1048576::bigint\$\$});
	like(await_problem('data directory', 'disk'), qr/^$severity\|\d+ kB of 100 MB free\|Add space/, "a disk with $free % free is $severity");
}
sql($disks);

# ----- the broker -----

ok(poll($node, 'SELECT count(*) FROM fluct.health', '0'), 'all is well');
SKIP:
{
	skip('the broker is another\'s', 2) if $kafka->is_external;
	$kafka->stop;
	like(await_problem('stream "orders"', 'backing_off'), qr/^warning\|broker_unreachable: .*\|Start the brokers, or: ALTER SERVER shop OPTIONS \(SET bootstrap_servers '${\ quotemeta($kafka->bootstrap)}'\);$/, 'no broker');
	$kafka->restart;
	ok(poll($node, 'SELECT count(*) FROM fluct.health', '0'), 'it goes on by itself');
}

$in = "\\q\n";
$session->finish;
$node->stop;
done_testing();
