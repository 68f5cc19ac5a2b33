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

# ----- a server on which everything is wrong -----

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.inbox_root' => $dir);
my $has_cron = sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '1';
sql('CREATE ROLE watcher LOGIN IN ROLE pg_monitor');

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

$kafka->create_topic($_) foreach qw(fine lossy down);
number_stream($_) foreach qw(fine lossy);
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

my @expected = sort('FluctBehind', @cron, qw(FluctDeadLetters FluctRefusedFile FluctStreamFailed FluctStreamStopped));
my $ill = qr/\A(?=.*^[^\n]*fluct_health[^\n]*problem="behind")(?=.*^(?=[^\n]*behind_seconds)[^\n]*stream="down"[^\n]*\} \d{3,})/ms;
is(alerts(sql_exporter($ill)), "@expected", 'sql-exporter: the alerts');
is(alerts(postgres_exporter($ill)), "@expected", 'postgres-exporter: the alerts');

done_testing();
