# The files of doc/monitoring: the alert rules by themselves, and then what the
# real exporters say of a server on which everything is wrong, put to the rules.
use strict;
use warnings;
use lib 'test/t/lib';
use Cwd qw(abs_path);
use Fluct;
use HTTP::Tiny;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

foreach my $program (qw(promtool prometheus-sql-exporter prometheus-postgres-exporter))
{
	plan(skip_all => "no $program here (Debian: prometheus, prometheus-sql-exporter, prometheus-postgres-exporter)")
	  if system("command -v $program >/dev/null 2>&1") != 0;
}

my $dir = PostgreSQL::Test::Utils::tempdir();
my $rules = abs_path('doc/monitoring/alerts.yml');

command_ok([ 'promtool', 'check', 'rules', $rules ], 'the rules are valid');
command_ok([ 'promtool', 'test', 'rules', 'test/monitoring/alerts.yml' ], 'and fire when they should');

# Each runbook exists.
my %anchors = map { my $h = lc($_); $h =~ s/[^a-z0-9_ -]//g; $h =~ tr/ /-/; ($h => 1) }
  slurp_file('doc/operations.md') =~ /^#+ (.*)$/gm;
my @missing = grep { !$anchors{$_} } slurp_file($rules) =~ /runbook: doc\/operations\.md#(\S+)/g;
is("@missing", '', 'each alert has its runbook');

# ----- each problem has its alert, at its time and not before -----

my %alerts = (
	FluctStreamFailed => [ 0, 'failed' ],
	FluctStreamStopped => [ 5, qw(backing_off stalled starting waiting_for_lock handover) ],
	FluctStreamPaused => [ 1440, qw(paused open_transaction) ],
	FluctBehind => [ 2, 301 ],
	FluctFarBehind => [ 2, 3601 ],
	FluctDataAtRisk => [ 0, 'retention' ],
	FluctDataLost => [ 0, 'gap' ],
	FluctDeadLetters => [ 0, 'dead_letters' ],
	FluctRefusedFile => [ 0, 'refused_file' ],
	FluctLate => [ 5, 'late' ],
	FluctCron => [ 1, qw(cron_dead job_missing job_failed job_inactive) ],
	FluctDisk => [ 5, qw(disk replication_slot) ],
	FluctSetup => [ 15, qw(rollup_invalid slots unknown_database version unknown) ],
	FluctMember => [ 0, 'member' ]);

is(join(' ', sort('FluctUnknown', keys %alerts)), join(' ', sort(slurp_file($rules) =~ /- alert: (\w+)/g)), 'all alerts are known here');

# What either exporter has of a problem, or of a stream that is behind.
sub series_of
{
	my ($what) = @_;

	return (qq(fluct_stream_behind_seconds{stream="a"}), qq(sql_fluct_stream{stream="a",col="behind_seconds"})) if $what =~ /^\d/;
	return (qq(fluct_health_problems{severity="warning",what="a",problem="$what"}), qq(sql_fluct_health{severity="warning",what="a",problem="$what",col="problems"}));
}

# A group of tests: nothing but the alert fires.
sub firing_at
{
	my ($alert, $minutes, @what) = @_;
	my $also = $alert eq 'FluctFarBehind' ? 'alertname!="FluctBehind"' : '';
	my $group = "- interval: 1m\n  input_series:\n  - {series: fluct_up_up, values: '1x1500'}\n";

	foreach my $what (@what)
	{
		my $value = $what =~ /^\d/ ? $what : 1;
		$group .= "  - {series: '$_', values: '${value}x1500'}\n" foreach series_of($what);
	}
	$group .= "  promql_expr_test:\n";
	foreach my $at (grep { $_ >= 0 } $minutes - 1, $minutes)
	{
		my $firing = $at < $minutes ? '' : "{labels: '{alertname=\"$alert\"}', value: " . 2 * @what . '}';
		$group .= "  - expr: count by (alertname) (ALERTS{alertstate=\"firing\",$also})\n    eval_time: ${at}m\n    exp_samples: [$firing]\n";
	}
	return $group;
}

write_file("$dir/each.yml", "rule_files: ['$rules']\nevaluation_interval: 1m\ntests:\n" . join('', map { firing_at($_, @{ $alerts{$_} }) } sort keys %alerts));
command_ok([ 'promtool', 'test', 'rules', "$dir/each.yml" ], 'each fires for its problems, when they have lasted long enough');

# ----- a server on which everything is wrong -----

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.inbox_root' => $dir);
my $has_cron = sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '1';
sql('CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
is(join(' ', sort(grep { !/^\d/ } map { @$_[ 1 .. $#$_ ] } values %alerts)),
	join(' ', sort(grep { $_ ne 'behind' } split(/, /, sql(q{SELECT substr(col_description('fluct.health'::regclass, 3), 11)})))), 'each problem of health has one');

# What an exporter says, as a list of series and values; it is asked until it
# answers with a line that is like that.
sub scrape
{
	my ($port, $like) = @_;
	my $http = HTTP::Tiny->new(timeout => 10);

	for (1 .. 600)
	{
		my $answer = $http->get("http://127.0.0.1:$port/metrics");

		return $answer->{content} if $answer->{success} && $answer->{content} =~ $like;
		Time::HiRes::sleep(0.1);
	}
	return '';
}

# Runs an exporter, and returns what it says.
sub exported
{
	my ($like, $command, %env) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($out, $err) = ('', '');

	local @ENV{keys %env} = values %env;
	my $exporter = IPC::Run::start([ map { s/PORT/$port/r } @$command ], '>', \$out, '2>', \$err);
	my $said = scrape($port, $like);
	$exporter->kill_kill;
	diag($err) if $said eq '';
	return $said;
}

my $url = 'postgres://watcher@/postgres?host=' . $node->host . '&port=' . $node->port . '&sslmode=disable';

sub sql_exporter
{
	my ($like) = @_;
	my $config = slurp_file('doc/monitoring/sql-exporter.yml');

	$config =~ s/'postgres:.*'/'$url'/;
	write_file("$dir/sql-exporter.yml", $config);
	return exported($like, [ 'prometheus-sql-exporter', '-config.file', "$dir/sql-exporter.yml", '-web.listen-address', '127.0.0.1:PORT' ]);
}

sub postgres_exporter
{
	my ($like) = @_;

	return exported($like, [ 'prometheus-postgres-exporter', '--disable-default-metrics', '--disable-settings-metrics',
			'--no-collector.database', '--no-collector.bgwriter',
			'--extend.query-path=doc/monitoring/postgres-exporter.yml', '--web.listen-address=127.0.0.1:PORT' ],
		DATA_SOURCE_NAME => $url);
}

# The alerts that fire when it stays like that for two days.
sub alerts
{
	my ($said) = @_;
	my $series = join('', map { /^((?:sql_)?fluct_\w+\{.*\}) (\S+)$/ && $2 ne 'NaN'
			? "  - series: '" . ($1 =~ s/'/''/gr) . "'\n    values: '" . ($2 + 0) . "x600'\n" : () } split(/\n/, $said));

	write_file("$dir/alerts.yml", "rule_files: ['$rules']\nevaluation_interval: 5m\ntests:\n- interval: 5m\n  input_series:\n$series"
		. "  promql_expr_test:\n  - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n    eval_time: 2d\n");
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'promtool', 'test', 'rules', "$dir/alerts.yml" ], '>', \$out, '2>&1');
	return join(' ', sort($out =~ /alertname="(\w+)"/g));
}

$kafka->create_topic($_) foreach qw(fine lossy late down);
number_stream($_) foreach qw(fine lossy late);
etl("CREATE SERVER broken FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '${\ $kafka->bootstrap}')");
number_stream('down', server => 'broken');
$kafka->produce($_, [ numbers(1 .. 5) ]) foreach qw(fine lossy down);
ok(caught_up($node, $_), "$_ runs") foreach qw(fine lossy down);

my $well = qr/fluct_stream(?=.*behind).*stream="fine"/;
my $from_sql = sql_exporter($well);
my $from_postgres = postgres_exporter($well);
is(alerts($from_sql), '', 'sql-exporter: all is well');
is(alerts($from_postgres), '', 'postgres-exporter: all is well');
like($from_sql, qr/^sql_fluct_up\{.*version="[\d.]+".*\} 1$/m, 'the version');
like($from_sql, qr/^sql_fluct_stream\{(?=.*col="messages")(?=.*stream="fine").*\} 5$/m, 'a count');
like($from_postgres, qr/^fluct_stream_messages\{.*stream="fine".*\} 5$/m, 'the same');
like($from_postgres, qr/^fluct_state_is\{.*state="running".*stream="fine".*\} 1$/m, 'a state');
like($from_postgres, qr/^fluct_partition_lag\{.*partition="0".*stream="fine".*\} 0$/m, 'a partition');

# dead letters, and a stream that fails
$kafka->produce('fine', [ '{' ]);
ok(caught_up($node, 'fine'), 'a dead letter');
etl(q{SELECT fluct.pause_stream('lossy')});
$kafka->produce('lossy', [ numbers(6 .. 9) ]);
$kafka->delete_records('lossy', 0, 8);
etl(q{SELECT fluct.start_stream('lossy')});
ok(await_state($node, 'lossy', 'failed/data_loss'), 'a stream failed');

# one that goes on past what is lost, and is paused before Kafka deletes the rest
etl(q{SELECT fluct.pause_stream('late')});
$kafka->produce('late', [ numbers(1 .. 9) ]);
$kafka->delete_records('late', 0, 8);
$kafka->alter_topic('late', 'retention.ms=604800000');
etl(q{SELECT fluct.alter_stream('late', on_data_loss => 'skip'); SELECT fluct.start_stream('late')});
ok(poll($node, q{SELECT retention FROM fluct.stat_partitions WHERE stream = 'late'}, '7 days') && caught_up($node, 'late'), 'one goes on past a gap');
etl(q{SELECT fluct.pause_stream('late')});
ok(poll($node, q{SELECT pids IS NULL FROM fluct.stat_streams WHERE stream = 'late'}), 'and is paused');
sql(q{UPDATE fluct.stream_offsets SET held_until = NULL, last_message_time = now() - $$8 days$$::interval WHERE stream = 'late'});

# a member whose server is gone, and a rollup that does not count
sql(q{INSERT INTO fluct.members VALUES ('b', 'gone', 'etl'); ALTER TABLE sales.orders DISABLE TRIGGER USER});

# a refused file, and schedules without pg_cron
mkdir("$dir/in");
etl("SELECT fluct.create_inbox('in', 'industries', '$dir/in', settle => '0')");
write_file("$dir/in/x.csv", "no header\n");
said(q{CALL fluct.scan_inbox('in')}, as => 'etl');
my @cron;
if ($has_cron)
{
	sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO etl');
	etl(q{SELECT fluct.schedule_inbox('in', '0 3 * * *')});
	$node->append_conf('postgresql.conf', q{cron.database_name = 'nosuch'});
	$node->restart;
	ok(poll($node, q{SELECT count(*) FROM fluct.health WHERE problem = 'cron_dead'}, '1'), 'pg_cron is dead');
	push(@cron, 'FluctCron');
}

# a broker that is down, and so a stream that is behind
etl(q{ALTER SERVER broken OPTIONS (SET bootstrap_servers '127.0.0.1:1')});
ok(await_state($node, 'down', 'backing_off/broker_unreachable'), 'a broker is down');
sql(q{UPDATE fluct.stream_offsets SET held_until = NULL, last_message_time = now() - $$20 minutes$$::interval WHERE stream = 'down'});
ok(poll($node, q{SELECT count(*) FROM fluct.health WHERE what = 'stream "down"'}, '2'), 'and its stream is behind');

my @expected = sort(@cron, qw(FluctBehind FluctDataAtRisk FluctDataLost FluctDeadLetters FluctMember FluctRefusedFile FluctSetup FluctStreamFailed FluctStreamPaused FluctStreamStopped));
my $ill = qr/\A(?=.*^[^\n]*fluct_health[^\n]*problem="behind")(?=.*^(?=[^\n]*behind_seconds)[^\n]*stream="down"[^\n]*\} \d{3,})/ms;
is(alerts(sql_exporter($ill)), "@expected", 'sql-exporter: the alerts');
is(alerts(postgres_exporter($ill)), "@expected", 'postgres-exporter: the alerts');

done_testing();
