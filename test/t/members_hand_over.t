# A partition goes from one member to another while orders arrive: by
# hand_over(), which loses and doubles nothing, whichever server is killed at
# whichever of its steps, even where commits do not wait for the disk.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Members;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my %late = ('synchronous_commit' => 'off', 'wal_writer_delay' => '10s', 'wal_writer_flush_after' => '1GB');
my $b = fluct_node('b', kafka => $kafka, %late);
my $a = fluct_node('a', kafka => $kafka, %late);
my %node = (a => $a, b => $b);
my $produced = 0;
my $stream = q{SELECT fluct.create_stream('orders', 'shop', 'orders', batch_interval => '20 ms', keep_raw => false};

sub produce
{
	my ($n) = @_;

	$produced++;
	return $kafka->produce('orders', [ orders($n, seed => $produced, lines => 3) ]);
}

sub produced { return 50 * $produced }

sub hand_over
{
	my ($from, $partition, $to) = @_;

	return said($node{$from}, "CALL fluct.hand_over('orders', $partition, '$to')", as => 'etl');
}

sub partitions { return etl($node{ $_[0] }, q{SELECT partitions FROM fluct.streams}) }

# Each order is with one member, and that once; and no offset is unaccounted for.
sub whole
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	caught_up($_, 'orders') || return fail("$name: caught up") foreach $a, $b;
	is(total('SELECT count(*) FROM sales.orders', $a, $b), produced(), "$name: every order, once");
	is(total(q{SELECT coalesce(sum(unexplained), 0) FROM fluct.reconcile_stream('orders')}, $a, $b), 0, "$name: all accounted for");
	is(total('SELECT count(*) FROM fluct.verify_rollup()', $a, $b), 0, "$name: and in the rollups");
	return;
}

$kafka->create_topic('orders', 4);
etl($b, "$stream, partitions => '{}', start => true)");
meet($a, %node);
meet($b, %node);
ok(await_state($b, 'orders', 'running'), 'a stream without partitions runs');
is(sql($a, q{SELECT member, status, detail FROM fluct.check_members() WHERE item = 'partitions'}, as => 'etl'), '|fail|each of the 4 partitions of topic orders is with no member',
	'check_members(): nobody has a partition');
etl($a, "$stream, start => true)");
produce(50);
ok(caught_up($a, 'orders'), 'one member has all');
ok(caught_up($b, 'orders'), 'the other none, and runs');
is(sql($b, 'SELECT count(*) FROM fluct.stat_partitions'), 0, 'no partition');
is(sql($b, 'SELECT count(*) FROM sales.orders'), 0, 'no order');

# ----- what is refused changes nothing -----

my $call = q{CALL fluct.hand_over('orders', 3, 'b')};

fails_like($a, q{CALL fluct.hand_over('orders', 3, 'c')}, qr/42704: member "c" does not exist.*Did you mean/s, 'an unknown member', as => 'etl');
fails_like($a, q{CALL fluct.hand_over('x', 3, 'b')}, qr/42704: stream "x" does not exist/, 'an unknown stream', as => 'etl');
fails_like($a, q{CALL fluct.hand_over('orders', 17, 'b')}, qr/55000: stream "orders" has no position in partition 17/, 'no such partition', as => 'etl');
fails_like($b, q{CALL fluct.hand_over('orders', 0, 'a')}, qr/55000: stream "orders" does not consume partition 0/, 'one that it does not have', as => 'etl');
fails_like($a, "BEGIN; $call", qr/25001: hand_over\(\) commits before/, 'in a transaction', as => 'etl');
sql($a, 'CREATE ROLE other LOGIN; SELECT fluct.grant_operator($$other$$)');
fails_like($a, $call, qr/42501: stream "orders" belongs to role "etl"/, 'another role', as => 'other');
sql($a, 'DROP USER MAPPING FOR etl SERVER at_b');
fails_like($a, $call, qr/42704: role "etl" has no user mapping for server "at_b".*the one for PUBLIC only reads/s, 'with the user mapping for PUBLIC', as => 'etl');
sql($a, q{CREATE USER MAPPING FOR etl SERVER at_b OPTIONS (user 'other', password_required 'false')});
sql($b, 'CREATE ROLE other LOGIN; SELECT fluct.grant_operator($$other$$)');
fails_like($a, $call, qr/08006: member "b" does not take partition 3.*stream "orders" belongs to role "etl".*Nothing has changed here/s, 'as a role that does not own the stream there', as => 'etl');
sql($a, q{ALTER USER MAPPING FOR etl SERVER at_b OPTIONS (SET user 'etl')});
etl($b, q{SELECT fluct.pause_stream('orders'); SELECT fluct.alter_stream('orders', topic => 'others')});
fails_like($a, $call, qr/its stream "orders" consumes topic "others"/, 'another topic there', as => 'etl');
etl($b, q{SELECT fluct.alter_stream('orders', topic => 'orders', partitions => '{1,3}')});
etl($_, q{CREATE TABLE copy (order_id text PRIMARY KEY); SELECT fluct.create_stream('copy', 'shop', 'orders', 'copy', keep_raw => false, start => true)}) foreach $a, $b;
ok(caught_up($_, 'copy'), 'a second stream of the topic, at each member, into another table') foreach $a, $b;
is(sql($a, q{SELECT member, status, detail FROM fluct.check_members() WHERE item = 'partitions'}, as => 'etl'), 'a, b|fail|each of the partitions 1, 3 of topic orders is with 2 members', 'check_members() counts those of orders');
etl($_, q{SELECT fluct.drop_stream('copy')}) foreach $a, $b;
etl($b, q{SELECT fluct.alter_stream('orders', partitions => '{3}')});
is(sql($a, q{SELECT member, status, detail FROM fluct.check_members() WHERE item = 'partitions'}, as => 'etl'), 'a, b|fail|partition 3 of topic orders is with 2 members', 'check_members() sees one with both');
fails_like($a, $call, qr/its stream "orders" consumes partition 3 already/, 'a partition that it has', as => 'etl');
etl($b, q{SELECT fluct.alter_stream('orders', partitions => '{}'); SELECT fluct.start_stream('orders')});
ok(await_state($b, 'orders', 'running'), 'and it runs again');
fails_like($a, q{CALL fluct.hand_over('orders', 3, 'a')}, qr/its stream "orders" consumes partition 3 already/, 'nor to itself', as => 'etl');
is(partitions('a') . sql($a, 'SELECT count(*) FROM fluct.handovers'), '0', 'nothing of that changed anything');

# ----- there and back, while orders arrive -----

produce(50) foreach 1 .. 3;
like(hand_over('a', 3, 'b'), qr/NOTICE:  member "b" has partition 3 of stream "orders"; its stream is running$/, 'handed over');
like(hand_over('a', 3, 'b'), qr/NOTICE:  member "b" has partition 3 of stream "orders" already$/, 'once more: nothing');
produce(50) foreach 1 .. 3;
is(partitions('a') . partitions('b'), '{0,1,2}{3}', 'each has its own');
whole('handed over');
isnt(sql($b, 'SELECT count(*) FROM sales.orders'), 0, 'the other member stores');
is(sql($a, q{SELECT string_agg(detail, ', ') FROM fluct.check_members() WHERE item = 'partitions'}, as => 'etl'), 'each of the 4 of topic orders is with one member',
	'check_members(): each partition is with one member');
hand_over('b', 3, 'a');
hand_over('a', $_, 'b') foreach 0 .. 3;
is(partitions('a') . partitions('b'), '{}{0,1,2,3}', 'one came back, and then all went');
produce(50);
whole('all handed over');
etl($a, q{SELECT fluct.pause_stream('orders')});
unlike(said($a, 'SELECT FROM fluct.top_fluctuations()', as => 'etl'), qr/member "a"/, 'a member without partitions is not behind');
etl($a, q{SELECT fluct.start_stream('orders')});
hand_over('b', $_, 'a') foreach 0, 1;
whole('two came back');

# ----- killed at each step -----

$_->append_conf('postgresql.conf', "fluct.member_timeout = '3min'") foreach $a, $b;
$_->reload foreach $a, $b;

sub hold
{
	my ($where, $statement) = @_;
	my $session = $where->background_psql('postgres');

	$session->query_safe("BEGIN; $statement");
	return $session;
}

sub waits
{
	my ($where, $condition) = @_;

	return poll($where, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND $condition", 1);
}

# A call that has come to the step and waits there; returns it, and what keeps it.
sub call_until
{
	my ($step) = @_;
	my $here = hold($a, 'SELECT FROM fluct.stream_offsets WHERE partition = 1 FOR UPDATE');
	my $call = IPC::Run::start([ 'psql', '-X', '-q', '-U', 'etl', '-c', q{CALL fluct.hand_over('orders', 1, 'b')}, $a->connstr('postgres') ],
		'>', '/dev/null', '2>', '/dev/null');

	ok(waits($a, "query LIKE 'CALL%'"), 'the other member would take it');
	return ($call, $here) if $step eq 'asked';
	my $there = hold($b, q{SELECT FROM fluct.streams WHERE name = 'orders' FOR UPDATE});
	$here->quit;
	ok(waits($b, "query LIKE '%_take_over_1%'"), 'given away');
	return ($call, $there) if $step eq 'given away';
	my $end = hold($a, 'LOCK TABLE fluct.handovers IN EXCLUSIVE MODE');
	$there->quit;
	ok(waits($a, "query LIKE 'CALL%'"), 'taken');
	return ($call, $end);
}

foreach my $step ('asked', 'given away', 'taken')
{
	foreach my $victim ('a', 'b')
	{
		produce(50);
		my ($call, $holder) = call_until($step);

		crash_server($node{$victim});
		if ($step eq 'given away' && $victim eq 'a')
		{
			is(sql($a, q{SELECT what, problem, hint FROM fluct.health WHERE problem = 'handover'}), q(stream "orders"|handover|CALL fluct.hand_over('orders', 1, 'b');), 'health has it');
			like(said($a, 'SELECT FROM fluct.top_fluctuations()', as => 'etl'),
				qr/WARNING:  the ranking may be incomplete: member "a": partition 1 of stream "orders" is on its way to member "b"/, 'and rankings');
			fails_like($a, q{CALL fluct.hand_over('orders', 1, 'a')}, qr/55000: partition 1 of stream "orders" is being handed over to member "b".*completes that/s,
				'nor can it go elsewhere', as => 'etl');
			my $id = sql($a, 'SELECT id FROM fluct.handovers WHERE taken_at IS NULL');
			sql($b, 'CREATE SCHEMA AUTHORIZATION other');
			is(sql($b, "CREATE TABLE other.t (order_id text);
					CREATE SERVER theirs FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
					SELECT FROM fluct.create_stream('theirs', 'theirs', 'orders', target => 'other.t', partitions => '{}', keep_raw => false);
					SELECT fluct._take_over_1('$id', 'theirs', 'orders', 1, '[]');
					SELECT FROM fluct.drop_stream('theirs')", as => 'other'),
				'paused', 'another role there takes it for a stream of its own, under the same id');
		}
		eval { $holder->quit };
		eval { $call->finish };
		produce(50);
		hand_over('a', 1, 'b');
		is(partitions('a') . partitions('b'), '{0}{1,2,3}', "$victim killed, $step: the next call completes it");
		is(sql($a, q{SELECT count(*) FROM fluct.health WHERE problem = 'handover'}), 0, 'and health is as before');
		whole("$victim killed, $step");
		hand_over('b', 1, 'a');
	}
}

# ----- dropped while it is under way -----

my $under_way = q{SELECT hint FROM fluct.health WHERE problem = 'handover'};
my ($running, $holder) = call_until('given away');

etl($a, q{SELECT fluct.drop_stream('orders')});
like(sql($a, $under_way), qr/^The stream was dropped: create it again .* partitions => '\{\}', then CALL fluct\.hand_over\('orders', 1, 'b'\);$/,
	'health has the partition of a dropped stream');
like(said($a, 'SELECT FROM fluct.top_fluctuations()', as => 'etl'), qr/partition 1 of stream "orders" is on its way to member "b"/, 'and rankings');
$holder->quit;
ok($running->finish, 'the call completes without the stream');
is(sql($a, $under_way) . partitions('b'), '{1,2,3}', 'the other member has it');
etl($a, "$stream, partitions => '{0}', start => true)");
hand_over('b', 1, 'a');
produce(50);
whole('dropped, and created again');

($running, $holder) = call_until('given away');
crash_server($b);
eval { $holder->quit };
$running->finish;
etl($a, q{SELECT fluct.drop_stream('orders')});
isnt(sql($a, $under_way), '', 'nobody has the partition of the dropped stream');
etl($a, "$stream, partitions => '{0}', start => true)");
hand_over('a', 1, 'b');
is(sql($a, $under_way) . partitions('b'), '{1,2,3}', 'created again, it hands it over');
produce(50);
whole('completed by the next stream of that name');

# ----- forgotten, or taken back, while it is under way -----

# Given away by the first, and the other one is killed before it has it.
sub leave_under_way
{
	my ($call, $end) = call_until('given away');

	crash_server($b);
	eval { $end->quit };
	return $call->finish;
}

my $forget = q{SELECT fluct.drop_stream('orders', forget => true)};
my $refused = qr/55000: partition 1 of stream "orders" is being handed over to member "b".*CALL fluct\.hand_over\('orders', 1, 'b'\); completes that/s;

hand_over('b', 1, 'a');
leave_under_way();
fails_like($a, $forget, $refused, 'a stream is not forgotten then', as => 'etl');
etl($a, q{SELECT fluct.drop_stream('orders')});
fails_like($a, $forget, $refused, 'nor when it is dropped', as => 'etl');
like(said($a, "$stream, partitions => '{0,1}', start => true)", as => 'etl'), qr/WARNING:  stream "orders" takes back partition 1, which member "b" may have taken/,
	'created again with that partition, it takes it back');
is(sql($a, $under_way), '', 'which ends the hand-over');
produce(50);
whole('taken back');
hand_over('a', 1, 'b');
is(partitions('a') . partitions('b'), '{0}{1,2,3}', 'and it can be handed over again');
produce(50);
whole('handed over again');
hand_over('b', 1, 'a');

# the other one has it, and has forgotten it when it is asked again
my ($asking, $end) = call_until('taken');

crash_server($a);
eval { $end->quit };
eval { $asking->finish };
is(partitions('b'), '{1,2,3}', 'taken, which this server does not know');
etl($b, q{SELECT fluct.alter_stream('orders', partitions => '{2,3}')});
like(hand_over('a', 1, 'b'), qr/member "b" does not take partition 1 .*its stream "orders" took partition 1 and does not consume it any more/s,
	'given up by the other one meanwhile: not called a success');
etl($b, q{SELECT fluct.alter_stream('orders', partitions => '{1,2,3}')});
like(hand_over('a', 1, 'b'), qr/NOTICE:  member "b" has partition 1/, 'but when that has it again');
produce(50);
whole('given up and taken up there');

# taken back here while the other one takes it
hand_over('b', 1, 'a');
($asking, $end) = call_until('given away');
like(said($a, q{SELECT fluct.alter_stream('orders', partitions => '{0,1}')}, as => 'etl'), qr/WARNING:  stream "orders" takes back partition 1/, 'taken back meanwhile');
$end->quit;
ok(!$asking->finish, 'the call fails');
is(sql($a, q{SELECT member, status, detail FROM fluct.check_members() WHERE item = 'partitions'}, as => 'etl'), 'a, b|fail|partition 1 of topic orders is with 2 members', 'check_members() says that both have it');

$_->stop foreach $a, $b;
done_testing();
