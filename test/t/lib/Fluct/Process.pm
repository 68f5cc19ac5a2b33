# Fluct::Process - how fast a server stops, and how much memory a process has
package Fluct::Process;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(stops_fast private_memory);

# A test: `pg_ctl stop -m fast`.  The bar is 2 s, and `make bench` measures it;
# here machines may be busy.
sub stops_fast
{
	my ($node, $when) = @_;
	my $start = time();

	$node->stop('fast');
	my $seconds = time() - $start;
	note(sprintf('stop -m fast %s: %.2f s', $when, $seconds));
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return cmp_ok($seconds, '<', 5, "it stops fast $when");
}

# The private memory of a process, in MB; 0 when it is gone.
sub private_memory
{
	my ($pid) = @_;

	open(my $status, '<', "/proc/$pid/status") or return 0;
	my ($kb) = map { /^RssAnon:\s*(\d+)/ ? $1 : () } <$status>;
	return ($kb // 0) / 1024;
}

1;
