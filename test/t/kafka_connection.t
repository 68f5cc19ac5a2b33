# A login over TLS, with the secrets in files; what goes wrong has its reason.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Login;
use PostgreSQL::Test::Utils;
use Test::More;

my ($kafka, $node, $secrets, $password, $sasl) = login_node();

sub restart_stream
{
	sql("SELECT fluct.pause_stream('orders')");
	sql("SELECT fluct.start_stream('orders')");
}

$kafka->create_topic('orders', 2);
$kafka->produce('orders', [ orders(50, seed => 1) ]);
make_safe_server();
etl("SELECT fluct.create_stream('orders', 'safe', 'orders', start => true)");

ok(await_state($node, 'orders', 'backing_off/bad_connection'),
	'no files of secrets');
like(poll_until($node, 'SELECT detail FROM fluct.stat_streams',
		sub { $_[0] ne '' }) // '',
	qr/could not open the file of option "ssl_ca_pem" for role "etl"/,
	'and which one');

put_secret('etl', 'ca.pem', slurp_file($kafka->dir . '/ca.pem'));
put_secret('etl', 'kafka.pw', "wrong$password\n");
ok(await_state($node, 'orders', 'backing_off/authentication_failed'),
	'when they are there it goes on by itself; a wrong password');
like(detail('orders'), qr/^sasl_ssl:.*Authentication failed[^()]*$/, 'in the broker\'s words, without librdkafka\'s timing');
like(sql("SELECT hint FROM fluct.health WHERE what = 'stream \"orders\"'"), qr/into the file that the user mapping names.*ALTER USER MAPPING FOR CURRENT_USER SERVER safe/,
	'what to do');

put_secret('etl', 'kafka.pw', "$password\n");
restart_stream();
ok(caught_up($node, 'orders'), 'the right one, from its file');
is(sql('SELECT count(*) FROM sales.orders'), 50, 'all is there');

system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
	'-subj', '/CN=other', '-keyout', "$secrets/key.pem", '-out',
	"$secrets/etl/ca.pem");
restart_stream();
ok(await_state($node, 'orders', 'backing_off/tls_failure'),
	'a certificate of another authority');

etl("ALTER SERVER safe OPTIONS (SET security_protocol 'plaintext')");
restart_stream();
ok(await_state($node, 'orders', 'backing_off/broker_unreachable'),
	'plain text where TLS is spoken');

# another role's secrets are out of reach
sql("CREATE ROLE rival; SELECT fluct.grant_operator('rival')");
fails_like($node, "SET ROLE rival;
	CREATE SERVER theirs FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$sasl');
	CREATE USER MAPPING FOR rival SERVER theirs OPTIONS (sasl_password 'file:../etl/kafka.pw')",
	qr/does not name a file/, 'a path to them is no name of a file');

unlike(slurp_file($node->logfile), qr/\Q$password\E/,
	'the secret is not in the log');
unlike(sql('SELECT string_agg(s::text, $$ $$) FROM fluct.stat_streams s'),
	qr/\Q$password\E/, 'nor in the views');

done_testing();
