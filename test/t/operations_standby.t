# A standby runs nothing and says so; promoted after its primary died under
# load, with the last batches missing, it goes on without loss or doubles.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Load;
use Fluct::Reckoning;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = fluct_broker();
my $primary = fluct_node('primary', kafka => $kafka,
	'shared_buffers' => '32MB', init => [ allows_streaming => 1 ]);
my $standby = PostgreSQL::Test::Cluster->new('standby');

# Waits until the positions are beyond.
sub move_beyond
{
	my ($on, $least) = @_;

	return poll_until($on, 'SELECT sum(next_offset) FROM fluct.stream_offsets',
		sub { $_[0] ne '' && $_[0] > $least });
}

$primary->backup('base');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $load = Fluct::Load->new($primary, $kafka,
	fields => { customer_id => '"c1"' });
sql($primary, q{
	CREATE EXTENSION pg_cron;
	GRANT USAGE ON SCHEMA cron TO etl;
	INSERT INTO sales.industries VALUES ('Food');
	INSERT INTO sales.customers VALUES ('c1', 'One');
	INSERT INTO sales.customer_industries VALUES ('c1', 'Food');
	CREATE TABLE idle (id text);
	ALTER TABLE idle OWNER TO etl;
	SET ROLE etl;
	SELECT fluct.create_stream('by_hand', 'shop', 'orders', 'idle',
		'{"columns": {"id": "$.order_id"}}', start => true);
	SELECT fluct.create_stream('broken', 'shop', 'orders', 'idle',
		'{"columns": {"id": "$.order_id"}}', start_at => 'latest',
		on_bad_message => 'fail', start => true);
	SELECT fluct.pause_stream('by_hand', 'a test')});
$load->start(0.2);

ok(move_beyond($primary, 500), 'under load');
ok(await_state($primary, 'broken', 'failed'), 'one stream has failed');

# ----- the standby, while the primary works -----

ok(move_beyond($standby, 500), 'the standby follows');
check_agrees($standby, 'standby');
is(sql($standby, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type LIKE 'fluct%'"),
	0, 'nothing of fluct runs there');
is(sql($standby, 'SELECT count(*) FROM fluct._live()'), 0, 'and nothing says it does');
is(sql($standby, 'SELECT stream, state, reason FROM fluct.stat_streams'),
	join("\n", 'arrivals|paused|in_recovery', 'broken|failed|error',
		'by_hand|paused|a test', 'orders|paused|in_recovery'),
	'each stream as it will be once promoted');
like(sql($standby, "SELECT detail FROM fluct.stat_streams WHERE stream = 'orders'"),
	qr/standby.*promoted/, 'which the detail explains');
is(sql($standby, "SELECT since = pg_postmaster_start_time() AND messages > 0
			AND lag >= 0 AND behind >= '0' AND pids IS NULL
		FROM fluct.stat_streams WHERE stream = 'orders'"),
	't', 'with the figures that were replicated');
is(sql($standby, "SELECT count(*) FROM fluct.stat_partitions
		WHERE stream = 'orders' AND current_offset > 0"),
	2, 'partitions');
is(sql($standby, "SELECT data_until <= now() AND behind >= '0' FROM fluct.freshness
		WHERE stream = 'orders'"), 't', 'freshness');
is(sql($standby, 'SELECT count(*) > 0 FROM fluct.open_dead_letters'), 't',
	'dead letters');
is(sql($standby, 'SELECT industry FROM fluct.podium(\'2026-01-01\', time_zone => \'UTC\')'), 'Food', 'podium');
is(sql($standby, "SELECT industry, recent_orders > 100
		FROM fluct.top_fluctuations('2026-01-02')"),
	'Food|t', 'and the ranking can be read');

# ----- what a standby can't do, it says at once -----

foreach my $call ("start_stream('orders')", "pause_stream('orders')",
	"drop_stream('orders')", "alter_stream('orders', workers => 2)",
	"create_stream('more', 'shop', 'orders')",
	"map_column('orders', 'extra', '\$.x')",
	"wait_for_stream('orders', '5 min')", "check_stream('orders')",
	"preview_stream('orders')", 'retry_dead_letters()',
	"discard_dead_letters(NULL, 'a test')")
{
	my ($name) = $call =~ /^(\w+)/;
	my $begin = time();

	fails_like($standby, "SELECT * FROM fluct.$call",
		qr/25006: cannot execute fluct.$name\(\) during recovery\nHINT:  Call it on the primary/,
		"$name: refused");
	cmp_ok(time() - $begin, '<', 10, "$name: at once");
}
my $file = write_lines("${PostgreSQL::Test::Utils::tmp_check}/customers.csv",
	'customer_id,company_name,specialized_industries', 'c2,Two,Food');
foreach my $call ("record_fluctuations('r')",
	"schedule_fluctuations('r', '0 * * * *')", "load_customers('$file')",
	"ensure_partitions('2030-01-01', '2030-01-01')", 'maintain_partitions()',
	"grant_reader('pg_monitor')")
{
	my ($name) = $call =~ /^(\w+)/;

	fails_like($standby, "SELECT * FROM fluct.$call", qr/25006: cannot execute .* (read-only transaction|during recovery)/,
		"$name: read-only", $name eq 'grant_reader' ? () : (as => 'etl'));
}

# ----- the primary dies, with batches that the standby never got -----

sql($standby, "ALTER SYSTEM SET primary_conninfo = ''");
sql($standby, 'SELECT pg_reload_conf()');
ok(poll($standby, 'SELECT count(*) FROM pg_stat_wal_receiver', 0), 'cut off');
my $had = positions($standby);
ok(move_beyond($primary, $had + 300), 'the primary goes on alone');
cmp_ok(positions($standby), '<', positions($primary),
	'the last batches are missing');
$primary->kill9;
$standby->promote;
ok(move_beyond($standby, $had), 'the streams go on by themselves');
ok(await_state($standby, $_, 'running'), "$_ runs")
  foreach ('orders', 'arrivals');
is(sql($standby, "SELECT stream, state, reason FROM fluct.stat_streams
		WHERE stream IN ('broken', 'by_hand')"),
	"broken|failed|error\nby_hand|paused|a test", 'and the others do not');

$load->stop;
check_whole($standby, $kafka, 'promoted');

# Sequences that are ahead after a crash are no harm; behind, they would be.
is(sql($standby, 'SELECT max(id) <= (SELECT last_value FROM fluct.dead_letters_id_seq)
		FROM fluct.dead_letters'),
	't', 'dead letters have new numbers');
is(sql($standby, "SELECT count(*) > 0 FROM fluct.check_stream('orders')"), 't',
	'a session may ask Kafka again');

done_testing();
