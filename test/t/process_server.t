# A server with the libraries loaded; what the harness promises about it.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

# what a session with lc_messages C.UTF-8 gets, where PostgreSQL has it in German
$ENV{LANGUAGE} = 'de';
my $node = fluct_node('main');

is(sql('SHOW shared_preload_libraries'),
	'fluct,pg_cron', 'the libraries are loaded');
is(sql("SELECT extname FROM pg_extension WHERE extname = 'fluct'"),
	'fluct', 'the extension is there');
ok(poll($node,
		"SELECT count(*) FROM pg_stat_activity
		 WHERE backend_type = 'pg_cron launcher'", 1),
	'pg_cron runs');

unlike(said("SET lc_messages = 'C.UTF-8'; SELECT fluct.pause_stream('x')"), qr/fluct\._/,
	'an error in another language has no context of internal functions either');

crash_server($node);
ok(poll($node, 'SELECT true'), 'the server comes back after kill -9');

done_testing();
