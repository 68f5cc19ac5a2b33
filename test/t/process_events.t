# NOTIFY fluct_events: a stream's new state, a report's new podium, sent by the
# launcher once they are committed.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run ();
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);

# A session that listens; psql prints what came with each statement's result.
my ($in, $out) = ('', '');
my $session = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('postgres'), '-f', '-' ], '<', \$in, '>', \$out, '2>&1', IPC::Run::timeout(300));
sub listen_until
{
	my ($like) = @_;

	for (1 .. 1000)
	{
		$in .= "SELECT pg_sleep(0.05);\n";
		$session->pump_nb;
		Time::HiRes::sleep(0.05);
		return 1 if $out =~ $like;
	}
	diag($out);
	return 0;
}
$in = "LISTEN fluct_events; SELECT 'ready';\n";
$session->pump until $out =~ /ready/;

$kafka->create_topic('numbers');
number_stream('numbers');
ok(listen_until(qr/"fluct_events" with payload "\{"kind": "state", "stream": "numbers", "state": "running", "as_of": "\d{4}-\d\d-\d\d [\d:.]+\+00"\}"/), 'a stream runs');
is(() = $out =~ /"state": "running"/g, 1, 'one event a state');
etl(q{BEGIN; SELECT fluct.pause_stream('numbers'); ROLLBACK});
etl(q{BEGIN; SAVEPOINT a; SELECT fluct.pause_stream('numbers', E'words\n"of a person'); ROLLBACK TO a; COMMIT});
etl(q{SELECT fluct.record_fluctuations('odd "name', '2026-01-02')});
ok(listen_until(qr/"kind": "podium", "report": "odd \\"name", "as_of": "2026-01-02 00:00:00\+00"/), 'a podium');
unlike($out, qr/paused/, 'what is rolled back is not told');
etl(q{SELECT fluct.pause_stream('numbers', 'words of a person')});
ok(listen_until(qr/"stream": "numbers", "state": "paused"/), 'a pause');
$kafka->produce('numbers', [ numbers(1 .. 3) ]);
$kafka->delete_records('numbers', 0, 2);
etl(q{SELECT fluct.start_stream('numbers')});
ok(listen_until(qr/"stream": "numbers", "state": "failed"/), 'a failure');
unlike($out, qr/words|data_loss/, 'no words from outside');
etl(q{SELECT fluct.drop_stream('numbers')});
ok(listen_until(qr/"stream": "numbers", "state": "dropped"/), 'the end');

# A podium can still be part of a prepared transaction, which tells nobody.
sql(q{BEGIN; SELECT fluct.record_fluctuations('default', '2026-01-03'); PREPARE TRANSACTION 'p'}, as => 'etl');
is(sql(q{COMMIT PREPARED 'p'; SELECT count(*) FROM fluct.reports}, as => 'etl'), '2', 'a recording can be prepared');

$in .= "\\q\n";
$session->finish;

$node->stop;
done_testing();
