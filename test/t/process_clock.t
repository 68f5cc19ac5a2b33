# A clock that is set back: what waits for a time to pass does not wait until
# the clock is there again.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
plan(skip_all => 'the broker of FLUCT_KAFKA is not ours to stop')
  if $kafka->is_external;
# The seconds that the server's clock is beside the real one.
my $build = PostgreSQL::Test::Utils::tempdir();
write_lines("$build/clock.c", <<'EOF');
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
int gettimeofday(struct timeval *now, void *zone)
{
	static volatile int64_t *seconds = NULL;
	int result = (int) syscall(SYS_gettimeofday, now, zone);

	if (seconds == NULL)
	{
		int file = open(getenv("FLUCT_CLOCK"), O_RDONLY);

		seconds = mmap(NULL, sizeof(*seconds), PROT_READ, MAP_SHARED, file, 0);
		close(file);
	}
	now->tv_sec += *seconds;
	return result;
}
EOF
system_or_bail('cc', '-shared', '-fPIC', '-o', "$build/clock.so", "$build/clock.c");
write_file("$build/seconds", pack('q', 0));
sub set_clock
{
	my ($seconds) = @_;

	open(my $file, '+<:raw', "$build/seconds") or die $!;
	print $file pack('q', $seconds);
	close($file) or die $!;
	return;
}

my $node;
{
	local $ENV{FLUCT_CLOCK} = "$build/seconds";
	local $ENV{LD_PRELOAD} = "$build/clock.so";
	$node = fluct_node('main', kafka => $kafka);
}

$kafka->create_topic('n');
number_stream('n', more => q(, batch_interval => '5 s'));
$kafka->produce('n', [ numbers(1) ]);
ok(caught_up($node, 'n'), 'a stream runs');

# ----- a batch in hand -----

$kafka->produce('n', [ numbers(2) ]);
ok(poll($node, 'SELECT lag FROM fluct.stat_streams', 1), 'a message waits for its batch');
my $before = sql('SELECT clock_timestamp()');
set_clock(-3600);
is(sql("SELECT clock_timestamp() < '$before'"), 't', 'the clock is set back by an hour');
ok(poll($node, 'SELECT count(*) FROM n', 2), 'the batch is committed');

# ----- an outage -----

$kafka->stop;
ok(await_state($node, 'n', 'backing_off/broker_unreachable', 60), 'the broker is gone');
set_clock(-7200);
$kafka->restart;
$kafka->produce('n', [ numbers(3) ]);
ok(await_state($node, 'n', 'running', 60), 'set back meanwhile, the outage ends with the broker');
ok(poll($node, 'SELECT count(*) FROM n', 3), 'and the stream goes on');

# ----- between two starts of a worker -----

# what the worker's last start left, before the clock was set back
sql(q(UPDATE fluct.stream_states SET since = clock_timestamp() + '4 hours',
	next_start = clock_timestamp() + '4 hours', failures = 0));
my $pid = worker_pid($node);
sql("SELECT pg_terminate_backend($pid)");
ok(poll($node, "SELECT pids[1] <> $pid FROM fluct.stat_streams"), 'a worker is started again at once');
$kafka->produce('n', [ numbers(4) ]);
ok(poll($node, 'SELECT count(*), sum(n) FROM n', '4|10'), 'with nothing lost or doubled');

done_testing();
