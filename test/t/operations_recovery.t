# Point-in-time recovery to moments in the middle of a load: rows and offsets
# are rewound together, and at promotion the streams go on from there by
# themselves, without loss or doubles, while the original runs on beside.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Load;
use Fluct::Reckoning;
use PostgreSQL::Test::Cluster;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'shared_buffers' => '32MB',
	init => [ allows_streaming => 1, has_archiving => 1 ]);

# Waits until the positions have moved so far from here; where they are then.
sub move_on
{
	my ($by, $on) = @_;
	my $goal = positions($on // $node) + $by;

	return poll_until($on // $node,
		'SELECT sum(next_offset) FROM fluct.stream_offsets',
		sub { $_[0] >= $goal });
}

my $load = Fluct::Load->new($node, $kafka);
ok(poll($node, 'SELECT count(*) = 4 FROM fluct.stream_offsets'), 'positions');
$load->start(0.2);

# ----- a backup, and then three moments, all of them under load -----

ok(move_on(500), 'under load');
$node->backup('base');
ok(move_on(200), 'to the end of the backup');

# What recovery to each of them must give: positions from `least` to `most`, or
# those of one stream exactly.
my %moment = (
	time => {
		target => sub { sql('SELECT clock_timestamp()') }
	},
	name => {
		target => sub { sql("SELECT pg_create_restore_point('here')"); 'here' }
	},
	xid => {
		# the transaction that moved one stream last, and to where
		target => sub {
			my ($xid, $positions) = split(/\|/,
				sql(q{
				SELECT (array_agg(xmin ORDER BY age(xmin)))[1],
					string_agg(format('%s: %s', partition, next_offset), ', '
						ORDER BY partition)
				FROM fluct.stream_offsets WHERE stream = 'arrivals'}));

			$_[0]->{arrivals} = $positions;
			return $xid;
		}
	});

foreach my $kind (sort keys %moment)
{
	my $m = $moment{$kind};

	$m->{least} = positions($node);
	$m->{target} = $m->{target}->($m);
	$m->{most} = move_on(200);
}
my $segment = sql('SELECT pg_walfile_name(pg_switch_wal())');
ok(poll($node, "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver"),
	'archived');

# ----- back to each -----

# A server at the moment, not yet promoted.
sub recover
{
	my ($kind, @settings) = @_;
	my $to = PostgreSQL::Test::Cluster->new("to_$kind");

	$to->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$to->append_conf('postgresql.conf', join("\n",
			"recovery_target_$kind = '$moment{$kind}->{target}'",
			"recovery_target_action = 'pause'",
			'archive_mode = off', @settings, ''));
	$to->start;
	ok(poll($to, "SELECT pg_get_wal_replay_pause_state() = 'paused'"),
		"$kind: at the target");
	return $to;
}

my %recovered;

foreach my $kind (sort keys %moment)
{
	my $m = $moment{$kind};
	my $to = $recovered{$kind} = recover($kind,
		$kind eq 'xid' ? 'fluct.enabled = off' : ());
	my $there = positions($to);

	check_agrees($to, $kind);
	cmp_ok($there, '>=', $m->{least}, "$kind: what was committed is there")
	  unless $m->{arrivals};
	cmp_ok($there, '<=', $m->{most}, "$kind: what came later is not");
	is(sql($to, q{SELECT string_agg(format('%s: %s', partition, next_offset), ', '
				ORDER BY partition)
			FROM fluct.stream_offsets WHERE stream = 'arrivals'}),
		$m->{arrivals}, "$kind: to the message")
	  if $m->{arrivals};
	is(sql($to, 'SELECT DISTINCT state, reason FROM fluct.stat_streams'),
		$kind eq 'xid' ? 'paused|switched_off' : 'paused|in_recovery',
		"$kind: it waits for the promotion, or is off");
	is(sql($to, "SELECT count(*) FROM pg_stat_activity
			WHERE backend_type LIKE 'fluct%'"),
		0, "$kind: nothing runs");

	$to->promote;
	next if $kind eq 'xid';
	ok(move_on(200, $to), "$kind: the streams go on by themselves");
}

# One has the setting of a clone that is to leave Kafka alone.
is(sql($recovered{xid},
		'SELECT DISTINCT state, reason FROM fluct.stat_streams'),
	'paused|switched_off', 'switched off, nothing goes on');
is(sql($recovered{xid}, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'"),
	0, 'and nothing runs');
fails_like($recovered{xid}, "SELECT fluct.wait_for_stream('orders')",
	qr/55000: stream "orders" is paused: switched_off.*DETAIL:  fluct.enabled is off.*HINT:  ALTER SYSTEM SET fluct.enabled = on;/s,
	'which a session is told');
sql($recovered{xid}, 'ALTER SYSTEM SET fluct.enabled = on');
sql($recovered{xid}, 'SELECT pg_reload_conf()');
ok(move_on(200, $recovered{xid}), 'until it is switched on');

# ----- at the end, each has all of it, once -----

ok(move_on(200), 'the original runs on beside');
$load->stop;
check_whole($node, $kafka, 'the original');
check_whole($recovered{$_}, $kafka, $_) foreach sort keys %recovered;

done_testing();
