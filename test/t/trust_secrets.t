# Secrets go where the stream's owner sends them, and nowhere else: not to a
# server of somebody else's, not to a broker that is not allowed, not into the
# log; and what is no file of secrets is not read.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Login;
use IO::Select;
use IO::Socket::INET;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;

my ($kafka, $node, $secrets, $password, $sasl) = login_node();

# The broker of an attacker: whoever connects there would be heard.
my $trap = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
  or die $!;
my $trap_at = '127.0.0.1:' . $trap->sockport;
sub nobody_came
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(!IO::Select->new($trap)->can_read(0), $_[0]);
}

# status, detail and hint of an item of check_stream
sub check
{
	my ($item, $as) = @_;

	return sql("SELECT concat_ws('|', status, detail, hint) FROM fluct.check_stream('orders') WHERE item = '$item'",
		as => $as // 'etl');
}

$kafka->create_topic('orders', 1);
$kafka->produce('orders', [ orders(10, seed => 1) ]);
sql("CREATE ROLE boss LOGIN; SELECT fluct.grant_operator('boss'); GRANT boss TO etl");
put_secret('etl', 'ca.pem', slurp_file($kafka->dir . '/ca.pem'));
put_secret('etl', 'kafka.pw', "$password\n");
put_secret('postgres', 'kafka.pw', "superuser's\n");

# ----- servers of other roles -----

my $options = "(bootstrap_servers '$trap_at', security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN')";
my $mine = "(sasl_username 'etl', sasl_password 'file:kafka.pw')";
my $refused = qr/ERROR:  42501: the user mapping of role "etl" must not be sent to server "shared" of role "boss".*HINT:  Make a server of your own/s;

sql("CREATE SERVER shared FOREIGN DATA WRAPPER fluct_kafka OPTIONS $options; GRANT USAGE ON FOREIGN SERVER shared TO etl", as => 'boss');
etl("CREATE USER MAPPING FOR etl SERVER shared OPTIONS $mine");
fails_like($node, "SELECT fluct.create_stream('orders', 'shared', 'orders')",
	$refused, 'a server of a role of which one is a member gets no secret', as => 'etl');
etl('DROP USER MAPPING FOR etl SERVER shared');
sql("CREATE USER MAPPING FOR PUBLIC SERVER shared OPTIONS $mine", as => 'boss');
fails_like($node, "SELECT fluct.create_stream('orders', 'shared', 'orders')",
	$refused, 'nor by a mapping for PUBLIC, which its owner made', as => 'etl');
sql('DROP USER MAPPING FOR PUBLIC SERVER shared', as => 'boss');

# what comes after the stream was made
etl("SELECT fluct.create_stream('orders', 'shared', 'orders')");
sql("CREATE USER MAPPING FOR PUBLIC SERVER shared OPTIONS $mine;
	 CREATE USER MAPPING FOR postgres SERVER shared OPTIONS (sasl_username 'postgres', sasl_password 'file:kafka.pw')", as => 'boss');
my $fails = qr/^fail\|the user mapping of role "etl" must not be sent to server "shared" of role "boss"/;
like(check('login'), $fails, 'check_stream refuses it');
like(check('privileges'), $fails, 'in two items');
like(check('login', 'postgres'), $fails, 'for a superuser, too');
fails_like($node, "SELECT * FROM fluct.$_", $refused, $_, as => 'etl')
  foreach "preview_stream('orders')", "reconcile_stream('orders')", "seek_stream('orders', 'latest')";
fails_like($node, "SELECT fluct.alter_stream('orders', server => 'shared')", $refused, 'alter_stream', as => 'etl');
fails_like($node, "CALL fluct.run_stream('orders')", qr/must not be sent to server "shared"/, 'run_stream', as => 'etl');
etl("SELECT fluct.start_stream('orders')");
ok(await_state($node, 'orders', 'failed/privilege_lost'), 'the worker refuses it');
like(detail('orders'), qr/must not be sent to server "shared" of role "boss".*Make a server of your own/, 'and says what to do');
sql('DROP USER MAPPING FOR PUBLIC SERVER shared', as => 'boss');
like(check('login', 'postgres'), qr/^fail/, 'a superuser who asks does not use a mapping of its own');
etl("SELECT fluct.drop_stream('orders')");
nobody_came('nobody connected to the broker of the attacker');

# a superuser's server is as good as one's own, and so is one's own
sql("ALTER SERVER shared OWNER TO postgres");
etl("CREATE USER MAPPING FOR etl SERVER shared OPTIONS $mine; SELECT fluct.create_stream('orders', 'shared', 'orders'); SELECT fluct.drop_stream('orders')");
pass('a server of a superuser');

# ----- a server that changes hands -----

etl("CREATE SERVER safe FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$sasl',
		security_protocol 'SASL_SSL', sasl_mechanism 'plain', ssl_ca_pem 'file:ca.pem');
	 CREATE USER MAPPING FOR etl SERVER safe OPTIONS $mine;
	 SELECT fluct.create_stream('orders', 'safe', 'orders', start => true)");
ok(caught_up($node, 'orders'), 'words of the protocol in any case');
like(check('tls'), qr/^ok\|sasl_ssl/, 'check_stream, too');
like(check('login'), qr/^ok\|PLAIN/, 'of the login as well');
my $pid = worker_pid($node);
sql('ALTER SERVER safe OWNER TO boss');
ok(await_state($node, 'orders', 'failed/privilege_lost'), 'a server that is given away stops the stream');
sql('ALTER SERVER safe OWNER TO etl');
etl("SELECT fluct.start_stream('orders')");
ok(await_state($node, 'orders', 'running'), 'and given back');
$pid = worker_pid($node);
put_secret('etl', 'other.pw', 'wrong');
etl("ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_password 'file:other.pw')");
ok(await_state($node, 'orders', 'backing_off/authentication_failed'), 'a changed user mapping takes effect at once');
etl("ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_password 'file:kafka.pw')");
ok(await_state($node, 'orders', 'running'), 'also while it backs off');

# ----- files that are none -----

etl("SELECT fluct.pause_stream('orders')");
my $file = "$secrets/etl/kafka.pw";
foreach my $case (
	[ 'a FIFO', sub { mkfifo($file, 0600) or die $! }, 'it is not a regular file' ],
	[ 'a folder', sub { mkdir($file) or die $! }, 'it is not a regular file' ],
	[ 'a device by a link', sub { symlink('/dev/zero', $file) or die $! }, 'it is a symbolic link' ],
	[ 'another role\'s by a link', sub { symlink('../postgres/kafka.pw', $file) or die $! }, 'it is a symbolic link' ],
	[ 'too long', sub { put_secret('etl', 'kafka.pw', 'x' x 65537) }, 'is longer than 65536 bytes' ],
	[ 'empty', sub { put_secret('etl', 'kafka.pw', "\n") }, 'is empty' ],
	[ 'with a zero byte', sub { put_secret('etl', 'kafka.pw', "a\0b") }, 'is not text: it has a zero byte' ],
	[ 'none', sub { }, 'No such file' ])
{
	my ($name, $make, $why) = @$case;

	unlink($file);
	rmdir($file);
	$make->();
	like(check('login'), qr/^fail\|.*file of option "sasl_password" for role "etl".*\Q$why\E/, "$name: $why");
}
unlink($file);
rename("$secrets/etl", "$secrets/elsewhere") or die $!;
symlink('elsewhere', "$secrets/etl") or die $!;
like(check('login'), qr/^fail\|could not open the file of option "ssl_ca_pem" for role "etl": (it is a symbolic link|Not a directory)/, 'a folder by a link');
unlink("$secrets/etl");
rename("$secrets/elsewhere", "$secrets/etl") or die $!;
put_secret('etl', 'kafka.pw', "$password\n");
put_secret('etl', 'ca.pem', "no certificate\n");
like(check('login'), qr/^fail\|option "ssl_ca_pem" is not in PEM format/, 'what is no PEM is named, before OpenSSL does');
put_secret('etl', 'ca.pem', slurp_file($kafka->dir . '/ca.pem'));

# ----- literal secrets -----

my $from = log_position($node);
sql("ALTER SYSTEM SET log_error_verbosity = 'verbose'; SELECT pg_reload_conf()");
foreach my $statement (
	"CREATE USER MAPPING FOR etl SERVER shop OPTIONS (sasl_username 'etl', sasl_password 'hunter2')",
	"CREATE USER MAPPING FOR etl SERVER shop OPTIONS (sasl_username 'etl', sasl_pasword 'hunter2')",
	"CREATE USER MAPPING FOR etl SERVER shop OPTIONS (\"sasl.password\" 'hunter2')",
	"CREATE USER MAPPING FOR etl SERVER shop OPTIONS (bootstrap_servers 'k', sasl_password 'hunter2')",
	"CREATE SERVER s FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k', ssl_key_password 'hunter2')",
	"ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_password 'hunter2')",
	"DO \$\$ BEGIN EXECUTE 'ALTER USER MAPPING FOR etl SERVER safe OPTIONS (ADD ssl_key_pem ''hunter2'')'; END \$\$")
{
	my ($rc, $out, $err) = outcome($statement, as => 'etl');

	isnt($rc, 0, 'refused: ' . $statement =~ s/hunter2/.../r);
}
my $said = said("ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_password 'hunter2')", as => 'etl');
like($said, qr/must not contain the secret itself.*log_statement or an audit extension.*HINT:  Change the secret/s, 'with what to do');
my $log = substr(slurp_file($node->logfile), $from);
like($log, qr/must not contain the secret itself/, 'the log has the errors');
unlike($log, qr/hunter2/, 'and not the secret');
unlike(slurp_file($node->logfile), qr/\Q$password\E/, 'nor the one of the file');

# ----- brokers that are not allowed -----

my $port = (split(/:/, $kafka->bootstrap))[1];
$node->append_conf('postgresql.conf', "fluct.allowed_brokers = 'localhost:$port'");
$node->reload;
etl("SELECT fluct.drop_stream('orders'); CREATE SERVER near FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'LOCALHOST:$port')");
fails_like($node, "CREATE SERVER far FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$trap_at')",
	qr/ERROR:  42501: broker "\Q$trap_at\E" is not in fluct.allowed_brokers/, 'a server names it', as => 'etl');
etl("SELECT fluct.create_stream('orders', 'near', 'orders', start => true)");
ok(await_state($node, 'orders', 'backing_off/broker_not_allowed'), 'an allowed broker names it');
is(detail('orders'), "broker 127.0.0.1:$port is not in fluct.allowed_brokers", 'and which');
like(check('partitions'), qr/^fail\|broker_not_allowed: broker 127.0.0.1:$port is not in fluct.allowed_brokers\|.*fluct.allowed_brokers/, 'check_stream says so');
$node->append_conf('postgresql.conf', "fluct.allowed_brokers = 'localhost:$port, 127.0.0.1:$port'");
$node->reload;
ok(caught_up($node, 'orders'), 'and when both are allowed the stream runs');
$node->append_conf('postgresql.conf', "fluct.allowed_brokers = 'localhost:$port'");
$node->reload;
ok(await_state($node, 'orders', 'backing_off/broker_not_allowed'), 'a broker that is not allowed any more is left');

nobody_came('nobody connected to the broker of the attacker at all');
done_testing();
