# Looking before the start: check_stream and preview_stream, with the brokers
# up, down and wrong, and that looking moves nothing.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = fluct_broker();

# without a preload, as a session that only wants to look
my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('main', kafka => $kafka,
	'shared_preload_libraries' => '', 'fluct.secrets_dir' => $secrets);
my $bootstrap = $kafka->bootstrap;

# item => [status, detail, hint], and the items in their order
sub check
{
	my ($stream) = @_;
	my $begin = time();
	my @rows = map { [ split(/\|/, $_, -1) ] }
	  split(/\n/, etl("SELECT * FROM fluct.check_stream('$stream')"));

	cmp_ok(time() - $begin, '<', 10, "$stream: answered in time");
	is(join(',', map { $_->[0] } @rows),
		'dns,broker,tls,login,topic,partitions,columns,privileges,retention,messages waiting',
		"$stream: the items");
	return { map { $_->[0] => [ @$_[ 1 .. 3 ] ] } @rows };
}

sub statuses
{
	my ($check) = @_;

	return join(' ', map { "$_=$check->{$_}[0]" }
		grep { $check->{$_}[0] ne 'ok' }
		(qw(dns broker tls login topic partitions columns privileges retention), 'messages waiting'));
}

# ----- all is well -----

sql("CREATE ROLE other LOGIN; SELECT fluct.grant_operator('other')");
$kafka->create_topic('orders', 2);
$kafka->produce('orders', [ an_order('o1'), an_order('o2', amount => '"x"') ],
	partition => 1, timestamp => 1767225600000);
$kafka->produce('orders', ['gone'], keyed => 1, partition => 0);
etl("SELECT fluct.create_stream('orders', 'shop', 'orders')");

my $before = sql('SELECT count(*) FROM fluct.stream_offsets');
my $check = check('orders');
is(statuses($check), 'tls=skipped login=skipped', 'plaintext, and all is well')
  or diag(explain($check));
is($check->{dns}[1], $bootstrap, 'the brokers are named');
is($check->{topic}[1], 'topic orders, group id fluct.postgres.orders',
	'and so is the group');
is($check->{partitions}[1], '2', 'partitions');
is($check->{columns}[1], 'sales.orders, sales.order_lines', 'targets');
like($check->{retention}[1], qr/oldest message in Kafka: 2026-01-01 00:00:00/,
	'retention');
is($check->{'messages waiting'}[1], '3, from start_at on', 'messages waiting');

fails_like($node, "SELECT * FROM fluct.check_stream('orders')",
	qr/ERROR:  42501: stream "orders" belongs to role "etl"/,
	'not for everybody', as => 'other');
fails_like($node, "SELECT * FROM fluct.check_stream('order')",
	qr/ERROR:  42704: stream "order" does not exist/, 'an unknown stream');

# ----- preview -----

is(etl(q{SELECT partition, "offset", target, rows, error, path
		 FROM fluct.preview_stream('orders')}),
	join("\n", '0|0|||tombstone: it has no value and is only counted|',
		'1|0|sales.orders|1||', '1|0|sales.order_lines|1||',
		'1|1|||wrong_type: found "x", expected a number|$.amount'),
	'a tombstone, a good message, and a bad one');
is(etl(q{SELECT first_row - 'ordered_at', first_row ->> 'ordered_at'
		 FROM fluct.preview_stream('orders') WHERE target = 'sales.orders'}),
	'{"extra": null, "amount": 10.5, "order_id": "o1", "customer_id": "c1"}|2026-01-01T12:00:00+00:00',
	'the first row');
is(etl(q{SELECT first_row ->> 'product_id', first_row -> 'line_number'
		 FROM fluct.preview_stream('orders') WHERE target = 'sales.order_lines'}),
	'p1|1', 'of a child, too');
is(etl(q{SELECT string_agg("offset"::text, ' ')
		 FROM fluct.preview_stream('orders', 1, '{"0": 1, "1": 1}')}),
	'1', 'n messages from start_at on');
like(said("SELECT * FROM fluct.preview_stream('orders', start_at => 'latest')", as => 'etl'),
	qr/NOTICE:  no messages wait for stream "orders" there/,
	'no messages, and a word about it');
fails_like($node, "SELECT * FROM fluct.preview_stream('orders', start_at => 'soon')",
	qr/ERROR:  22023: invalid start_at: "soon"/, 'a bad start_at', as => 'etl');
fails_like($node, "SELECT * FROM fluct.preview_stream('orders', 0)",
	qr/ERROR:  22023: n is from 1 to 1000/, 'a bad n', as => 'etl');
fails_like($node, "SELECT * FROM fluct.preview_stream('orders')",
	qr/ERROR:  42501: stream "orders" belongs to role "etl"/,
	'not for everybody', as => 'other');
fails_like($node, "SELECT * FROM fluct._ask('orders', 'preview', 1, NULL)",
	qr/ERROR:  42501: permission denied for function _ask/,
	'nor behind its back', as => 'etl');

# types of all kinds, and a default, which is the owner's code
etl(q{CREATE TABLE sales.kinds (id bigint PRIMARY KEY, yes boolean, ratio float8, day date,
		at timestamptz, doc jsonb, who inet, said text,
		by text DEFAULT current_user)});
etl(q{SELECT fluct.create_stream('kinds', 'shop', 'kinds', target => 'sales.kinds')});
$kafka->create_topic('kinds');
$kafka->produce('kinds', ['{"id": 1, "yes": true, "ratio": 0.5, "day": "2026-02-03",'
	  . ' "at": "2026-02-03T04:05:06.7Z", "doc": {"a": [1]}, "who": "10.0.0.1", "said": "\\"hi\\""}']);
is(etl("SELECT first_row FROM fluct.preview_stream('kinds')"),
	'{"at": "2026-02-03T04:05:06.7+00:00", "by": "etl", "id": 1, "day": "2026-02-03",'
	  . ' "doc": {"a": [1]}, "who": "10.0.0.1", "yes": true, "said": "\\"hi\\"", "ratio": 0.5}',
	'a row of all kinds, with the default of the owner');
sql('CREATE DOMAIN public.positive AS int CHECK (VALUE > 0)');
etl(q{ALTER TABLE sales.kinds ADD COLUMN code varchar(3), ADD COLUMN rate numeric(3,1), ADD COLUMN pieces public.positive;
	SELECT fluct.map_column('kinds', c, '$.' || c) FROM unnest('{code,rate,pieces}'::text[]) c});
$kafka->produce('kinds', [ '{"id": 2, "code": "abcd"}', '{"id": 3, "rate": 1000}', '{"id": 4, "pieces": -1}', '{"id": 5, "who": "x"}', '{"id": 6}' ]);
is(etl(q{SELECT "offset", target, error, path FROM fluct.preview_stream('kinds', 5, '{"0": 1}')}),
	join("\n", '1||too_long: value too long for type character varying(3)|$.code',
		'2||out_of_range: numeric field overflow: A field with precision 3, scale 1 must round to an absolute value less than 10^2.|$.rate',
		'3||constraint: value for domain public.positive violates check constraint "positive_check"|$.pieces',
		'4||wrong_type: invalid input syntax for type inet: "x"|$.who', '5|sales.kinds||'),
	'values that a column does not take are rows with the error and the path');

# ----- what can be wrong -----

etl("SELECT fluct.create_stream('nowhere', 'shop', 'nosuch')");
$check = check('nowhere');
is(statuses($check),
	'tls=skipped login=skipped topic=fail partitions=skipped retention=skipped messages waiting=skipped',
	'an unknown topic') or diag(explain($check));
like($check->{topic}[1], qr/^unknown_topic: /, 'the reason');
like($check->{topic}[2], qr/create it in Kafka/, 'the hint');

etl("CREATE SERVER dark FOREIGN DATA WRAPPER fluct_kafka
	 OPTIONS (bootstrap_servers 'localhost:1')");
etl("SELECT fluct.create_stream('dark', 'dark', 'orders')");
$check = check('dark');
is(statuses($check),
	'broker=fail tls=skipped login=skipped topic=skipped partitions=skipped retention=skipped messages waiting=skipped',
	'nobody listens') or diag(explain($check));
like($check->{broker}[1], qr/^broker_unreachable: /, 'the reason');
fails_like($node, "SELECT * FROM fluct.preview_stream('dark')",
	qr/ERROR:  HV00N: cannot read topic "orders": broker_unreachable.*HINT:  SELECT \* FROM fluct.check_stream/s,
	'and nothing to preview', as => 'etl');
fails_like($node, "SET statement_timeout = '500ms'; SELECT * FROM fluct.preview_stream('dark')",
	qr/ERROR:  57014: canceling statement/, 'the wait can be cancelled', as => 'etl');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct inquiry'", 0), 'which ends the worker');


# ----- sessions and workers that end -----

my $looks = "SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'fluct inquiry'";
foreach my $end (
	[ "backend_type = 'client backend' AND query ~ 'check_stream'",
		qr/terminating connection/, 'a session' ],
	[ "backend_type = 'fluct inquiry'",
		qr/terminating background worker "fluct inquiry"/, 'a worker' ])
{
	my ($where, $like, $name) = @$end;

	open(my $psql, '-|', 'psql -XAt -U etl -d postgres'
		  . " -h @{[$node->host]} -p @{[$node->port]}"
		  . q{ -c "SELECT * FROM fluct.check_stream('dark')" 2>&1})
	  or die "psql: $!";
	ok(poll($node, $looks, 1), "$name waits");
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		 WHERE pid <> pg_backend_pid() AND $where");
	like(join('', <$psql>), $like, "$name is terminated");
	ok(poll($node, $looks, 0), 'and no worker stays');
	close($psql);
}
fails_like($node, "BEGIN; SELECT fluct.create_stream('new', 'shop', 'orders');
	SELECT * FROM fluct.check_stream('new')",
	qr/ERROR:  55000: stream "new" is not committed yet.*HINT:  COMMIT first/s,
	'a stream that no other process can see', as => 'etl');
my @sessions = map {
	open(my $psql, '-|', 'psql -XAt -U etl -d postgres'
		  . " -h @{[$node->host]} -p @{[$node->port]}"
		  . q{ -c "SELECT count(*) FROM fluct.check_stream('orders')"})
	  or die "psql: $!";
	$psql
} 1 .. 5;
is(join(' ', map { readline($_) =~ s/\n//r } @sessions), '10 10 10 10 10',
	'five sessions at once');

etl("CREATE SERVER lost FOREIGN DATA WRAPPER fluct_kafka
	 OPTIONS (bootstrap_servers 'no-such-host.invalid:9092')");
etl("SELECT fluct.create_stream('lost', 'lost', 'orders')");
$check = check('lost');
is($check->{dns}[0], 'fail', 'a name that does not resolve')
  or diag(explain($check));
like($check->{dns}[1], qr/^dns_failure: /, 'the reason');

etl("CREATE SERVER secret FOREIGN DATA WRAPPER fluct_kafka
	 OPTIONS (bootstrap_servers '$bootstrap', security_protocol 'sasl_plaintext',
		sasl_mechanism 'PLAIN')");
etl("CREATE USER MAPPING FOR etl SERVER secret
	 OPTIONS (sasl_username 'etl', sasl_password 'file:missing')");
etl("SELECT fluct.create_stream('secret', 'secret', 'orders')");
$check = check('secret');
is($check->{login}[0], 'fail', 'a secret that is not there')
  or diag(explain($check));

like($check->{login}[1],
	qr/could not open the file of option "sasl_password" for role "etl"/, 'which');
is($check->{broker}[0], 'skipped', 'nobody was asked then');

# a listener without SASL refuses the handshake, as one with it does a password
mkdir("$secrets/etl") or die "$secrets/etl: $!";
write_lines("$secrets/etl/password", 'wrong');
etl("ALTER USER MAPPING FOR etl SERVER secret
	 OPTIONS (SET sasl_password 'file:password')");
etl("ALTER SERVER secret OPTIONS (SET sasl_mechanism 'SCRAM-SHA-256')");
$check = check('secret');
is(statuses($check),
	'tls=skipped login=fail topic=skipped partitions=skipped retention=skipped messages waiting=skipped',
	'a login that is refused') or diag(explain($check));
like($check->{login}[1], qr/^authentication_failed: /, 'the reason');
like($check->{login}[2],
	qr/newer librdkafka|user mapping of role "etl" for server "secret"/,
	'the hint');

etl("CREATE SERVER tls FOREIGN DATA WRAPPER fluct_kafka
	 OPTIONS (bootstrap_servers '$bootstrap', security_protocol 'ssl')");
etl("SELECT fluct.create_stream('tls', 'tls', 'orders')");
$check = check('tls');
is(statuses($check),
	'tls=fail login=skipped topic=skipped partitions=skipped retention=skipped messages waiting=skipped',
	'TLS with a listener that has none') or diag(explain($check));
like($check->{tls}[1], qr/^tls_failure: /, 'the reason');

etl("SELECT fluct.create_stream('part', 'shop', 'orders', partitions => '{0,7}')");
is(check('part')->{partitions}[1],
	'the stream consumes partition 7, but the topic has 2',
	'a partition that is not there');
etl("SELECT fluct.create_stream('many', 'shop', 'orders', workers => 3)");
is(join(' ', @{ check('many')->{partitions} }),
	"warn 2, fewer than the 3 workers SELECT fluct.alter_stream('many', workers => 2);",
	'more workers than partitions');

etl('CREATE TABLE sales.clicks (id bigint PRIMARY KEY, page text, extra jsonb)');
etl("SELECT fluct.create_stream('clicks', 'shop', 'orders', target => 'sales.clicks')");
etl('ALTER TABLE sales.clicks DROP COLUMN page');
$check = check('clicks');
is(statuses($check), 'tls=skipped login=skipped columns=fail privileges=skipped',
	'a mapped column is gone') or diag(explain($check));
like($check->{columns}[1], qr/has no column "page"/, 'which');

sql('CREATE TABLE sales.priced (id bigint UNIQUE NOT NULL, price numeric); ALTER TABLE sales.priced OWNER TO etl; CREATE PUBLICATION prices FOR TABLE sales.priced');
etl("SELECT fluct.create_stream('priced', 'shop', 'orders', target => 'sales.priced', on_conflict => 'update')");
is(join('|', @{ check('priced')->{columns} }), 'fail|publication prices has updates and deletes of sales.priced, which has no replica identity|ALTER TABLE sales.priced REPLICA IDENTITY FULL; or give it a primary key.',
	'a publication that forbids what the stream does');
foreach my $way ('ALTER TABLE sales.priced REPLICA IDENTITY FULL', 'ALTER TABLE sales.priced REPLICA IDENTITY USING INDEX priced_id_key',
	'ALTER TABLE sales.priced REPLICA IDENTITY DEFAULT, ADD PRIMARY KEY (id)')
{
	etl('ALTER TABLE sales.priced REPLICA IDENTITY NOTHING');
	is(check('priced')->{columns}[0], 'fail', 'nothing is no identity');
	etl($way);
	is(check('priced')->{columns}[0], 'ok', $way);
}
sql('DROP PUBLICATION prices');

etl('ALTER TABLE sales.raw_messages RENAME headers TO head');
like(check('part')->{columns}[1], qr/^sales\.raw_messages lacks headers$/, 'a column of the raw copy is gone');
etl('ALTER TABLE sales.raw_messages RENAME head TO headers; ALTER TABLE sales.raw_messages ADD mine int NOT NULL, ADD his int NOT NULL DEFAULT 1');
like(check('part')->{columns}[1], qr/^nothing fills mine of sales\.raw_messages/, 'one more that nothing fills');
etl('ALTER TABLE sales.raw_messages DROP mine, DROP his');

sql('REVOKE INSERT ON sales.order_lines FROM etl');
$check = check('orders');
is(statuses($check), 'tls=skipped login=skipped privileges=fail',
	'a right is missing') or diag(explain($check));
is($check->{privileges}[2], 'GRANT INSERT ON sales.order_lines TO etl;',
	'the GRANT that gives it');
sql('GRANT INSERT ON sales.order_lines TO etl');

# ----- what is lost -----

sql("INSERT INTO fluct.stream_offsets (stream, topic, partition, next_offset)
	 VALUES ('orders', 'orders', 0, 0), ('orders', 'orders', 1, 1)");
$check = check('orders');
is($check->{'messages waiting'}[1], '2', 'counted from the position');
$kafka->delete_records('orders', 1, 2);
$check = check('orders');
is(statuses($check), 'tls=skipped login=skipped retention=fail',
	'Kafka deleted what was not read') or diag(explain($check));
like($check->{retention}[1], qr/^data_loss: Kafka has deleted 1 offsets/,
	'how much');
etl("SELECT fluct.alter_stream('orders', on_data_loss => 'skip')");
is(check('orders')->{retention}[0], 'warn', 'which may be skipped');
sql("UPDATE fluct.stream_offsets SET next_offset = 100 WHERE partition = 1");
like(check('orders')->{retention}[1], qr/^topic_changed: partition 1: offset 100/,
	'a position beyond the end');

# ----- nothing moved -----

is($before, 0, 'there was no position');
is(sql('SELECT string_agg(concat(stream, partition, next_offset), \' \'
			ORDER BY partition) FROM fluct.stream_offsets'),
	'orders00 orders1100', 'and nothing but the test made one');
is(sql('SELECT count(*) FROM sales.orders') . sql('SELECT count(*) FROM sales.raw_messages')
	  . sql('SELECT count(*) FROM fluct.dead_letters'), '000', 'no rows');
ok(poll($node, $looks, 0), 'no worker stays');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'none crashed');

# ----- a silent broker -----

SKIP:
{
	skip('a broker of another can not be frozen', 3) if $kafka->is_external;
	$kafka->freeze;
	$check = check('orders');
	$kafka->thaw;
	is($check->{broker}[0], 'fail', 'a broker that is silent')
	  or diag(explain($check));
}

# ----- no worker to be had -----

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is(etl("SELECT string_agg(concat_ws(' ', item, status), ', ') FROM fluct.check_stream('orders')"),
	'dns skipped, broker skipped, tls skipped, login skipped, topic skipped, partitions skipped, columns ok, privileges ok, retention skipped, messages waiting skipped',
	'what needs no worker is checked');
like(etl("SELECT detail, hint FROM fluct.check_stream('orders') LIMIT 1"),
	qr/no background worker is free to query Kafka: max_worker_processes is 0.*Raise max_worker_processes/,
	'and the first item says why the rest is not');
fails_like($node, "SELECT * FROM fluct.preview_stream('orders')",
	qr/ERROR:  53400: no background worker is free.*max_worker_processes is 0.*HINT:  Raise max_worker_processes/s,
	'the setting that is too low', as => 'etl');

done_testing();
