# Reports on a schedule, over a pg_cron that really runs.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fluct_node('schedule', extension => 0, bare => 1);
sql('CREATE DATABASE shop');
sql('CREATE EXTENSION fluct', db => 'shop');
make_operator(db => 'shop');
etl(q{
	INSERT INTO sales.industries VALUES ('Food'), ('Pharma');
	INSERT INTO sales.customers VALUES ('c', 'C');
	INSERT INTO sales.customer_industries VALUES ('c', 'Food');
	INSERT INTO sales.orders SELECT 'o' || i, 'c', i, now() - i * interval '1 hour' FROM generate_series(1, 1000) i;
}, db => 'shop');

# What a ranking says about itself is for the client: the server's log has none of it.
my (undef, $complete, $warned) = outcome('SELECT DISTINCT complete FROM fluct.top_fluctuations()', as => 'etl', db => 'shop');
is($complete, 'f', 'nothing feeds the orders');
like($warned, qr/WARNING:  the ranking may be incomplete: nothing feeds sales\.orders\n(?!.*WARNING)/s, 'one warning');
unlike(slurp_file($node->logfile), qr/may be incomplete/, 'and not in the log');
etl(q{SELECT fluct.mark_complete('infinity')}, db => 'shop');
(undef, $complete, $warned) = outcome('SELECT DISTINCT complete FROM fluct.top_fluctuations()', as => 'etl', db => 'shop');
is("$complete $warned", 't ', 'once its owner says so, it is complete');

# Without pg_cron: what to do, and nothing written.
my ($rc, $out, $err) = outcome(q{SELECT * FROM fluct.schedule_fluctuations('hourly', '0 * * * *')}, as => 'etl', db => 'shop');
like($err, qr/pg_cron is not available/, 'no pg_cron: says so');
like($err, qr/shared_preload_libraries = 'pg_cron'\n\s*cron.database_name = 'shop'/, 'no pg_cron: the lines to add');
is(sql('SELECT (SELECT count(*) FROM fluct.reports) + (SELECT count(*) FROM sales.fluctuations)', db => 'shop'), '0', 'no pg_cron: nothing written');

if (sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '0')
{
	note 'pg_cron is not installed: the rest is skipped';
	$node->stop;
	done_testing();
	exit 0;
}

$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fluct,pg_cron'
cron.database_name = 'shop'
cron.use_background_workers = on
});
$node->restart;
($rc, $out, $err) = outcome(q{SELECT * FROM fluct.schedule_fluctuations('hourly', '0 * * * *')}, as => 'etl', db => 'shop');
like($err, qr/pg_cron is not created in this database.*CREATE EXTENSION pg_cron/s, 'preloaded, not created: says so');

# As a role that is no superuser.
sql(q{
	CREATE EXTENSION pg_cron;
	CREATE ROLE clerk LOGIN;
	SELECT fluct.grant_operator('clerk');
	GRANT INSERT, DELETE ON sales.fluctuations TO clerk;
}, db => 'shop');
my @clerk = (as => 'clerk');
($rc, $out, $err) = outcome(q{SELECT * FROM fluct.schedule_fluctuations('minutely', '* * * * *')}, @clerk, db => 'shop');
like($err, qr/permission denied for schema cron.*GRANT USAGE ON SCHEMA cron TO clerk/s, 'no right on cron: the GRANT');
sql('GRANT USAGE ON SCHEMA cron TO clerk', db => 'shop');

($rc, $out, $err) = outcome(q{SELECT report, schedule, zone, next_run > now() FROM fluct.schedule_fluctuations('minutely', '* * * * *', recent => '6 hours', baseline => '1 day')}, @clerk, db => 'shop');
is($out, 'minutely|* * * * *|GMT|t', 'scheduled');
is($err, '', 'without a word');
fails_like($node, q{SELECT fluct.schedule_fluctuations('mine', '* * * * *')}, qr/42501: a schedule cannot belong to a superuser.*CREATE ROLE \w+ LOGIN;/s,
	'a superuser has no schedules', db => 'shop');
is(sql(q{SELECT count(*), count(DISTINCT as_of) FROM sales.fluctuations WHERE report = 'minutely' AND as_of = date_trunc('minute', as_of) AND as_of <= now()}, db => 'shop'),
	'2|1', 'the latest slot is recorded at once');

# A report in another zone, long silent: at most catch_up slots a run.
($rc, $out, $err) = outcome(q{SELECT report, schedule FROM fluct.schedule_fluctuations('daily', '5 0 * * *', time_zone => 'Asia/Tokyo', catch_up => 3)}, @clerk, db => 'shop');
is($out, 'daily|5 0 * * *', 'a daily one beside it');
like($err, qr/the schedule is read in GMT, the report's days are those of Asia\/Tokyo/, 'the zones differ: says so');
sql(q{
	UPDATE fluct.reports SET last_slot = last_slot - interval '4 days' WHERE report = 'daily';
	DELETE FROM sales.fluctuations WHERE report = 'daily'}, db => 'shop');
is(sql(q{SELECT fluct._run_report('daily')}, @clerk, db => 'shop'), '3', 'three of four missing slots');
is(sql(q{SELECT fluct._run_report('daily')}, @clerk, db => 'shop'), '1', 'the fourth');
is(sql(q{SELECT fluct._run_report('daily')}, @clerk, db => 'shop'), '0', 'no more');
is(sql(q{SELECT count(DISTINCT as_of), bool_and(to_char(as_of AT TIME ZONE 'GMT', 'HH24:MI') = '00:05') FROM sales.fluctuations WHERE report = 'daily'}, db => 'shop'),
	'4|t', 'each as of its own time');

# A second role's schedule of the same report would be a second job.
my $second = q{SELECT fluct.schedule_fluctuations('daily', '0 6 * * *')};
fails_like($node, $second, qr/42501: report "daily" belongs to role "clerk".*Its schedule runs as its owner/s, 'another role', as => 'etl', db => 'shop');
sql('GRANT clerk TO etl', db => 'shop');
fails_like($node, $second, qr/42501: report "daily" belongs to role "clerk"/, 'a member of the owner', as => 'etl', db => 'shop');
sql('REVOKE clerk FROM etl', db => 'shop');
is(sql(q{SELECT count(*) FROM cron.job WHERE jobname = 'fluct: daily'}, db => 'shop'), '1', 'one job');

# From another database: the call to make.
sql('CREATE DATABASE other');
sql('CREATE EXTENSION fluct', db => 'other');
make_operator(db => 'other');
etl('INSERT INTO sales.industries VALUES ($$Food$$)', db => 'other');
($rc, $out, $err) = outcome(q{SELECT report FROM fluct.schedule_fluctuations('hourly', '* * * * *')}, as => 'etl', db => 'other');
is($out, 'hourly', 'in another database: scheduled');
my ($call) = $err =~ /HINT:\s+(SELECT cron\.schedule_in_database\('fluct: hourly in other', '\* \* \* \* \*', '.*', 'other', username => 'etl'\);)/;
ok($call, 'and the call is said');
sql($call, db => 'shop');

# A job that really ran: another slot appears by itself, on the minute, and
# equals the ranking of that time.
ok($node->poll_query_until('shop', q{SELECT count(DISTINCT as_of) >= 2 FROM sales.fluctuations WHERE report = 'minutely'}), 'a job ran');
is(sql(q{SELECT count(*) FROM cron.job_run_details WHERE command LIKE '%minutely%' AND status = 'failed'}, db => 'shop'), '0', 'none failed');
is(sql(q{
	SELECT count(*) FROM (
		SELECT f.rank, f.industry, f.recent_value, f.baseline_avg, f.delta, f.delta_pct, f.score,
			f.recent_orders, f.baseline_orders, f.active_days, f.complete
		  FROM sales.fluctuations f WHERE report = 'minutely'
		EXCEPT ALL
		SELECT t.* FROM (SELECT DISTINCT as_of FROM sales.fluctuations WHERE report = 'minutely') s,
			fluct.top_fluctuations(s.as_of, '6 hours', '1 day', NULL) t) x}, db => 'shop'), '0', 'what it recorded is the ranking');

ok($node->poll_query_until('other', q{SELECT count(DISTINCT as_of) >= 2 FROM sales.fluctuations}), 'the call from the other database works');

# A run that finds another one at work leaves at once.
my ($in, $buf, $timer) = ('', '', IPC::Run::timeout(60));
my $holder = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('shop'), '-f', '-' ], '<', \$in, '>', \$buf, '2>&1', $timer);
$in = "BEGIN; SELECT 'held', count(*) FROM fluct.record_fluctuations('daily', '2020-01-01');\n";
$holder->pump until $buf =~ /held/;
is(sql(q{SET lock_timeout = '5s'; UPDATE fluct.reports SET last_slot = last_slot - interval '1 day' WHERE report = 'daily'; SELECT fluct._run_report('daily')}, db => 'shop'),
	'0', 'a second run returns');
$in = "ROLLBACK;\n\\q\n";
$holder->finish;

is(sql(q{SELECT fluct.unschedule_fluctuations('minutely')}, @clerk, db => 'shop'), 't', 'unscheduled');
is(sql(q{SELECT fluct.unschedule_fluctuations('minutely')}, @clerk, db => 'shop'), 'f', 'only once');
is(sql(q{SELECT string_agg(jobname, ',' ORDER BY jobname) FROM cron.job}, db => 'shop'), 'fluct: daily,fluct: hourly in other', 'its job is gone');

$node->stop;
done_testing();
