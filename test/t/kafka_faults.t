# Brokers that don't answer, names that don't resolve, logins and rights that
# are refused: the reason, and that the stream goes on by itself.
use strict;
use warnings;
use lib 'test/t/lib';
use File::Path qw(make_path);
use Fluct;
use Fluct::Process;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker(
	'main', '--sasl-ssl',
	'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
	'super.users=User:ANONYMOUS');
plan(skip_all => 'FLUCT_KAFKA has no listener with a login')
  if $kafka->is_external;

# Hosts below hang.test take 8 s to be unknown, whatever else resolves.
my $build = PostgreSQL::Test::Utils::tempdir();
write_lines("$build/hang.c", <<'EOF');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service,
	const struct addrinfo *hints, struct addrinfo **result)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node != NULL && strstr(node, ".hang.test") != NULL)
	{
		sleep(8);
		return EAI_AGAIN;
	}
	return real(node, service, hints, result);
}
EOF
system_or_bail('cc', '-shared', '-fPIC', '-o', "$build/hang.so",
	"$build/hang.c", '-ldl');
my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node;
{
	local $ENV{LD_PRELOAD} = "$build/hang.so";
	$node = fluct_node('main', kafka => $kafka,
		'fluct.secrets_dir' => $secrets);
}
my $columns = '{"columns": {"n": "$.n"}}';

sub make_server
{
	my ($name, $brokers, $options) = @_;

	etl("CREATE SERVER $name FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers '$brokers'" . ($options // '') . ')');
	return;
}

# Starts the server, again with the resolver that hangs.
sub start
{
	local $ENV{LD_PRELOAD} = "$build/hang.so";
	$node->start;
	return;
}

# ----- silence -----

my $silent = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1');
make_server('silent', '127.0.0.1:' . $silent->sockport);
my $begin = time();
number_stream('silent', server => 'silent');
ok(await_state($node, 'silent', 'backing_off/broker_unreachable'),
	'a broker that accepts and never answers');
note(sprintf('after %.1f s', time() - $begin));
stops_fast($node, 'with a silent broker');
start();
ok(await_state($node, 'silent', 'backing_off/broker_unreachable'),
	'still silent');
sql("SELECT fluct.drop_stream('silent')");

# ----- a resolver that hangs -----

make_server('hanging', 'kafka.hang.test:9092');
$begin = time();
number_stream('hanging', server => 'hanging');
ok(await_state($node, 'hanging', 'backing_off/dns_failure'),
	'a resolver that hangs');
note(sprintf('after %.1f s', time() - $begin));
like(detail('hanging'), qr/kafka\.hang\.test/, 'with the name');
foreach my $round (1 .. 3)
{
	stops_fast($node, 'with a resolver that hangs');
	start();
	ok(await_state($node, 'hanging', 'backing_off/dns_failure'),
		'it still hangs');
}
$kafka->create_topic('hanging');
$kafka->produce('hanging', [ numbers(1 .. 3) ]);
sql("ALTER SERVER hanging OPTIONS (SET bootstrap_servers '@{[ $kafka->bootstrap ]}');
	SELECT fluct.pause_stream('hanging')");
sql("SELECT fluct.start_stream('hanging')");
ok(caught_up($node, 'hanging'), 'another name: the stream goes on');
is(sql('SELECT count(*) FROM hanging'), 3, 'with all there is');
unlike(slurp_file($node->logfile), qr/terminated by signal/,
	'no process died of it');

# ----- rights -----

my $sasl = slurp_file($kafka->dir . '/bootstrap.sasl');
chomp($sasl);
make_path("$secrets/etl");
write_lines("$secrets/etl/ca.pem", slurp_file($kafka->dir . '/ca.pem'));
write_lines("$secrets/etl/kafka.pw", slurp_file($kafka->dir . '/password'));

sub login_server
{
	my ($name, $brokers, $mechanism) = @_;

	etl("CREATE SERVER $name FOREIGN DATA WRAPPER fluct_kafka OPTIONS (
			bootstrap_servers '$brokers', security_protocol 'sasl_ssl',
			sasl_mechanism '$mechanism', ssl_ca_pem 'file:ca.pem');
		CREATE USER MAPPING FOR etl SERVER $name
			OPTIONS (sasl_username 'etl', sasl_password 'file:kafka.pw')");
	return;
}

sub stream_of_etl
{
	my ($name, $server, $topic) = @_;

	etl("CREATE TABLE $name (n int);
		SELECT fluct.create_stream('$name', '$server', '$topic', '$name',
			'$columns', keep_raw => false, start => true)");
	return;
}

$kafka->create_topic('rights');
$kafka->produce('rights', [ numbers(1 .. 10) ]);
login_server('safe', $sasl, 'PLAIN');
stream_of_etl('rights', 'safe', 'rights');
ok(await_state($node, 'rights', 'backing_off/authorization_failed'),
	'a topic that may not even be looked at');
$kafka->allow('topic', 'rights', 'describe');
my $allowed = sql('SELECT clock_timestamp()');
ok(poll($node, "SELECT reason = 'authorization_failed' AND last_error_at > '$allowed'
		FROM fluct.stat_streams WHERE stream = 'rights'"),
	'and one that may not be read');
note(detail('rights'));
my $log = log_position($node);
$kafka->allow('topic', 'rights', 'read');
ok(caught_up($node, 'rights'), 'allowed, it goes on');
ok(await_state($node, 'rights', 'running'), 'and says so');
$kafka->produce('rights', [ numbers(11) ]);
ok(caught_up($node, 'rights'), 'more');
ok(eval { $node->wait_for_log(qr{Kafka refuses the group of the stream}, $log); 1 },
	'a group that is refused is a line in the log');
is(sql("SELECT state, reason IS NULL, lag FROM fluct.stat_streams
		WHERE stream = 'rights'"),
	'running|t|0', 'and no more');

$kafka->disallow('topic', 'rights', 'read');
$kafka->produce('rights', [ numbers(12) ]);
ok(await_state($node, 'rights', 'backing_off/authorization_failed'),
	'a right that is taken away');
ok(!defined(poll_until($node, "SELECT state FROM fluct.stat_streams
		WHERE stream = 'rights'", sub { $_[0] ne 'backing_off' }, 12)),
	'which it goes on to say');
$kafka->allow('topic', 'rights', 'read');
ok(caught_up($node, 'rights'), 'and given back');
is(sql('SELECT count(*), sum(n) FROM rights'), '12|78', 'with nothing lost');

# ----- SCRAM -----

login_server('scram', $sasl, 'SCRAM-SHA-256');
stream_of_etl('scram', 'scram', 'rights');
my $check = sql("SELECT status, detail, hint FROM fluct.check_stream('scram')
	WHERE item IN ('login', 'broker') ORDER BY status LIMIT 1");
if ($check =~ /Use a newer librdkafka/)
{
	ok(await_state($node, 'scram', 'backing_off/authentication_failed'),
		'SCRAM of an old library at Kafka 4');
	like(detail('scram'), qr/librdkafka before 2\.6\.1,.*PLAIN over TLS/,
		'and what to do, in the detail as well');
}
else
{
	ok(caught_up($node, 'scram'), 'SCRAM at Kafka 4');
	is(sql('SELECT count(*) FROM scram'), 12, 'with all there is');
}
sql("SELECT fluct.drop_stream('scram')");

SKIP:
{
	local $ENV{FLUCT_KAFKA_VERSION} = '3.9.1';
	my $missing = Fluct::Broker::missing();
	skip("Kafka 3.9.1: $missing", 2) if $missing;

	my $old = Fluct::Broker->start('old', '--sasl-ssl');
	my $bootstrap = slurp_file($old->dir . '/bootstrap.sasl');
	chomp($bootstrap);
	write_lines("$secrets/etl/ca.pem", slurp_file($old->dir . '/ca.pem'));
	write_lines("$secrets/etl/kafka.pw", slurp_file($old->dir . '/password'));
	$old->create_topic('old');
	$old->produce('old', [ numbers(1 .. 3) ]);
	login_server('old', $bootstrap, 'SCRAM-SHA-256');
	stream_of_etl('old', 'old', 'old');
	ok(caught_up($node, 'old'), 'SCRAM at Kafka 3.9');
	is(sql('SELECT count(*) FROM old'), 3, 'with all there is');
}

done_testing();
