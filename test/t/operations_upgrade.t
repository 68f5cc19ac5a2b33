# pg_upgrade makes another cluster: the streams come up paused there, with all
# that they had, and go on when they are started.  While it works, nothing of
# fluct is connected to either cluster: it could not drop its databases.
use strict;
use warnings;
use lib 'test/t/lib';
use Cwd qw(getcwd);
use Fluct;
use Fluct::Load;
use Fluct::Reckoning;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $old = fluct_node('old', kafka => $kafka);
my $new = fluct_node('new', extension => 0);

Fluct::Load->new($old, $kafka);
$kafka->produce('orders', [ orders(300), 'cut' ]);
ok(caught_up($old, $_), "$_ caught up") foreach ('orders', 'arrivals');
my $positions = positions($old);
$_->stop foreach ($old, $new);

# It leaves files where it stands.
my $root = getcwd();
my $bin = $new->config_data('--bindir');

chdir($PostgreSQL::Test::Utils::tmp_check) or die $!;
command_ok(
	[ 'pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin, '-d',
		$old->data_dir, '-D', $new->data_dir, '-s', $new->host,
		'-p', $old->port, '-P', $new->port ],
	'upgraded');
chdir($root) or die $!;
$new->start;

is(sql($new, 'SELECT DISTINCT state, reason FROM fluct.stat_streams'),
	'paused|restored_elsewhere', 'it comes up paused');
is(positions($new), $positions, 'where it was');
check_agrees($new, 'upgraded');
$kafka->produce('orders', [ orders(300, seed => 2), 'cut' ]);
sql($new, "SELECT fluct.start_stream('$_')") foreach ('orders', 'arrivals');
check_whole($new, $kafka, 'upgraded');

done_testing();
