# Names that others plant (a schema, look-alikes of the tables, overloads,
# operators, casts, types, temporary objects, a search_path), and names that
# are somebody's: of dropped streams, of roles that are gone or renamed.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('names', extension => 0, 'fluct.inbox_root' => $root);

# What planted code writes down, whoever runs it.
my $canary = q{
	CREATE FUNCTION SCHEMA.canary(what text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN RAISE LOG 'canary % % %', what, current_user, session_user; END $$;};

sub canaries
{
	my ($from) = @_;

	return join(', ', slurp_file($node->logfile, $from) =~ /LOG:  canary (\w+ \S+ \S+)$/mg);
}

sub plant_canary
{
	my ($schema, %option) = @_;

	return sql($canary =~ s/SCHEMA/$schema/gr, %option);
}

# ----- schema fluct is there already -----

sql('CREATE ROLE mallory LOGIN; CREATE DATABASE taken OWNER mallory');
my %taken = (db => 'taken');
sql('CREATE SCHEMA fluct', as => 'mallory', %taken);
plant_canary('fluct', as => 'mallory', %taken);
sql(q{CREATE FUNCTION fluct.paste(text, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM fluct.canary('operator'); RETURN $1 || $2::text; END $$;
	CREATE OPERATOR fluct.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = fluct.paste)}, as => 'mallory', %taken);
my $from = log_position($node);
fails_like($node, 'CREATE EXTENSION fluct', qr/42P06: schema "fluct" already exists/, 'a schema fluct: refused', %taken);
fails_like($node, 'CREATE EXTENSION fluct SCHEMA fluct', qr/ERROR:  \w{5}: .*(already exists|must be installed in schema)/, 'by name, too', %taken);
is(canaries($from), '', 'and nothing in it was executed');

# ----- look-alikes in a schema on everybody's search_path -----

sql('CREATE DATABASE shop OWNER mallory');
my %shop = (db => 'shop');
sql('CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; ALTER DATABASE shop SET search_path = evil, public, pg_catalog', as => 'mallory', %shop);
plant_canary('evil', as => 'mallory', %shop);
my @operators = (
	[ '||', 'text', 'text', 'text', q{''} ], [ '||', 'text', 'name', 'text', q{''} ], [ '||', 'text', 'anynonarray', 'text', q{''} ],
	[ '=', 'text', 'text', 'bool', 'true' ], [ '=', 'oid', 'oid', 'bool', 'true' ], [ '=', 'name', 'name', 'bool', 'true' ], [ '=', 'name', 'text', 'bool', 'true' ],
	[ '<>', 'text', 'text', 'bool', 'true' ], [ '+', 'bigint', 'bigint', 'bigint', '1' ], [ '+', 'bigint', 'numeric', 'numeric', '1' ], [ '>', 'int', 'int', 'bool', 'true' ],
	[ '<', 'timestamptz', 'timestamptz', 'bool', 'true' ], [ '-', 'timestamptz', 'interval', 'timestamptz', 'now()' ], [ '~', 'text', 'text', 'bool', 'true' ]);
my @functions = (
	[ 'format', 'text, text', 'text', q{'x'} ], [ 'clock_timestamp', '', 'timestamptz', 'now()' ], [ 'coalesce_', 'text', 'text', q{'x'} ],
	[ 'array_append', 'text[], text', 'text[]', q{'{}'} ], [ 'pg_sleep', 'double precision', 'void', 'NULL' ], [ 'current_database', '', 'name', q{'x'} ],
	[ 'pg_has_role', 'oid, oid, text', 'bool', 'true' ], [ 'to_regclass', 'text', 'regclass', 'NULL' ], [ 'sum', 'numeric', 'numeric', '0' ],
	[ '_load_file', 'text, text, text, boolean', 'text', q{'x'} ], [ 'apply_retention', 'text', 'void', 'NULL' ], [ 'podium', 'text', 'text', q{'x'} ]);
my $n = 0;

foreach (@operators)
{
	my ($name, $left, $right, $result, $value) = @$_;

	$n++;
	sql(qq{CREATE FUNCTION evil.o$n($left, $right) RETURNS $result LANGUAGE plpgsql AS \$\$ BEGIN PERFORM evil.canary('operator_$n'); RETURN $value; END \$\$;
		CREATE OPERATOR evil.$name (LEFTARG = $left, RIGHTARG = $right, FUNCTION = evil.o$n)}, as => 'mallory', %shop)
	  unless "$left $right" eq 'text anynonarray';
}
foreach (@functions)
{
	my ($name, $arguments, $result, $value) = @$_;
	my $return = $result eq 'void' ? 'RETURN' : "RETURN $value";

	sql(qq{CREATE FUNCTION evil.$name($arguments) RETURNS $result LANGUAGE plpgsql AS \$\$ BEGIN PERFORM evil.canary('$name'); $return; END \$\$}, as => 'mallory', %shop);
}
sql(q{CREATE TYPE evil.text AS (x int); CREATE DOMAIN evil.timestamptz AS pg_catalog.int4; CREATE DOMAIN evil.regclass AS pg_catalog.int4;
	CREATE TABLE evil.pg_class (oid oid, relname name); CREATE VIEW evil.pg_roles AS SELECT 10::oid AS oid, 'x'::name AS rolname, true AS rolsuper;
	CREATE TYPE evil.mood AS ENUM ('a');
	CREATE FUNCTION evil.to_mood(pg_catalog.text) RETURNS evil.mood LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.canary('cast'); RETURN 'a'; END $$;
	CREATE CAST (pg_catalog.text AS evil.mood) WITH FUNCTION evil.to_mood(pg_catalog.text) AS IMPLICIT}, as => 'mallory', %shop);
$from = log_position($node);
sql('CREATE EXTENSION fluct', %shop);
make_operator(%shop);
sql("CREATE ROLE reader LOGIN; SELECT fluct.grant_reader('reader')", %shop);

my $day = q{pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => 40)};
my @calls = (
	q{SELECT * FROM fluct.podium()}, q{SELECT * FROM fluct.top_fluctuations(top_n => NULL)}, q{SELECT * FROM fluct.verify_rollup()},
	q{SELECT * FROM fluct.explain_fluctuation('Food')}, q{SELECT * FROM fluct.lines_of('o1')}, q{SELECT * FROM fluct.stat_streams},
	q{SELECT * FROM fluct.freshness}, q{SELECT * FROM fluct.open_dead_letters}, q{SELECT * FROM fluct.stat_files});
my @work = (
	q{SELECT fluct.create_tables()}, q{SELECT * FROM fluct.load_industries('industries.csv')}, q{SELECT * FROM fluct.load_customers('customers.csv')},
	q{SELECT fluct.create_inbox('in', 'products', 'in', settle => '0')}, q{CALL fluct.scan_inbox('in')}, q{SELECT fluct.alter_inbox('in', settle => '1 s')},
	q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1')},
	q{SELECT fluct.create_stream('s', 'shop', 's')}, q{SELECT fluct.alter_stream('s', batch_size => 9)}, q{SELECT fluct.drop_stream('s')},
	qq{INSERT INTO sales.orders VALUES ('o1', 'c1', 1, $day)}, q{DELETE FROM sales.orders},
	qq{INSERT INTO sales.orders VALUES ('o1', 'c1', 1, $day), ('o2', 'c1', 2, pg_catalog.now())},
	q{INSERT INTO sales.customer_feed VALUES ('c2', 'Two', 'Food')});
my @maintenance = (
	q{SELECT * FROM fluct.record_fluctuations('r')}, q{SELECT fluct.rebuild_rollup()}, q{SELECT * FROM fluct.maintain_partitions()},
	q{CALL fluct.apply_retention('9 days', '9 days', '99 days', '9 days')});

sub complaints
{
	my ($role, $db, @statements) = @_;

	return join("\n", map { (outcome($_, as => $role, db => $db))[2] =~ /ERROR:.*/ ? "$_: $&" : () } @statements);
}
mkdir("$root/in");
write_file("$root/industries.csv", "industry\nFood\n");
write_file("$root/customers.csv", "customer_id,company_name,specialized_industries\nc1,One,Food\n");
write_file("$root/in/p.csv", "product_id,product_name,price\np1,One,1\n");
is(complaints('etl', 'shop', @work, @maintenance, @calls), '', 'an operator works beside look-alikes of everything');
is(complaints('reader', 'shop', @calls), '', 'and a reader');
is(complaints('postgres', 'shop', @maintenance, @calls), '', 'and a superuser');
is(canaries($from), '', 'and none of them was executed');
is(sql(q{SELECT pg_catalog.count(*) FROM sales.fluctuations}, %shop), '2', 'but the work was done');

# ----- temporary objects -----

$from = log_position($node);
my $temporary = q{
	SET client_min_messages = error;
	CREATE TEMP TABLE orders (order_id pg_catalog.text); CREATE TEMP TABLE pg_class (oid pg_catalog.oid); CREATE TEMP TABLE pg_roles (rolname pg_catalog.name);
	CREATE TEMP TABLE industries (industry pg_catalog.text); CREATE TEMP TABLE streams (name pg_catalog.text);
	CREATE FUNCTION pg_temp.format(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS 'SELECT evil.canary($1); SELECT $1';
	SET search_path = pg_temp, evil, pg_catalog;};
is(complaints('etl', 'shop', map { "$temporary $_" } @calls, q{SELECT * FROM fluct.load_customers('customers.csv', force => true)}), '', 'temporary objects');
like((outcome(q{CREATE TEMP TABLE _fluct_feed (line int); SELECT fluct.load_customers('customers.csv', force => true)}, as => 'etl', %shop))[2],
	qr/relation "_fluct_feed" already exists/, 'a temporary table of the loader: an error');
is(canaries($from), '', 'and none of them was executed');

# ----- look-alikes of the tables -----

sql('CREATE DATABASE alike OWNER mallory');
my %alike = (db => 'alike');
sql('CREATE EXTENSION fluct', %alike);
sql("SELECT fluct.grant_operator('mallory'); CREATE ROLE honest LOGIN; SELECT fluct.grant_operator('honest')", %alike);
sql('CREATE SCHEMA sales', as => 'mallory', %alike);
plant_canary('sales', as => 'mallory', %alike);
fails_like($node, 'SELECT fluct.create_tables()', qr/55000: schema sales is not empty/, 'a schema with something in it', as => 'mallory', %alike);
fails_like($node, 'SELECT fluct.create_tables()', qr/42501: schema sales belongs to role "mallory"/, "another role's schema", as => 'honest', %alike);
sql(q{CREATE TABLE sales.rollup_state (valid boolean);
	CREATE FUNCTION sales.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM sales.canary('trigger'); RETURN NULL; END $$;
	CREATE TRIGGER t AFTER INSERT OR DELETE ON sales.rollup_state FOR EACH STATEMENT EXECUTE FUNCTION sales.fire();
	GRANT ALL ON SCHEMA sales TO honest; GRANT ALL ON sales.rollup_state TO honest}, as => 'mallory', %alike);
sql("ALTER SCHEMA sales OWNER TO honest", %alike);
$from = log_position($node);
fails_like($node, 'SELECT fluct.create_tables()', qr/42P07: relation "sales\.rollup_state" already exists, and fluct did not make it/, 'a planted table', as => 'honest', %alike);
is(canaries($from), '', 'its trigger was not fired');
sql('DROP TABLE sales.rollup_state; DROP FUNCTION sales.fire, sales.canary', %alike);
like(sql('SELECT fluct.create_tables()', as => 'honest', %alike), qr/created 10 tables/, 'without it: made');

# A view in the place of a table: its owner may, nobody else runs it.
plant_canary('sales', as => 'honest', %alike);
sql(q{CREATE FUNCTION sales.name(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM sales.canary('view'); RETURN $1; END $$;
	ALTER TABLE sales.customers RENAME TO clients; INSERT INTO sales.clients VALUES ('c', 'C');
	CREATE VIEW sales.customers AS SELECT customer_id, sales.name(company_name) AS company_name FROM sales.clients;
	GRANT SELECT ON sales.customers TO reader}, as => 'honest', %alike);
sql("SELECT fluct.grant_reader('reader')", %alike);
$from = log_position($node);
sql(q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1'); SELECT fluct.create_stream('s', 'shop', 's')}, as => 'honest', %alike);
foreach my $call (@maintenance, @calls[ 0 .. 4 ], 'SELECT * FROM fluct.check_members()', 'TABLE fluct.schema_drift')
{
	fails_like($node, $call, qr/42809: relation "sales\.customers" is not a table of role "honest", the owner of sales\.orders/, "a view in the place of a table: $call", %alike);
}
fails_like($node, $_, qr/42809: relation "sales\.customers" is not a table/, "a reader: $_", as => 'reader', %alike)
  foreach $calls[0], 'SELECT * FROM fluct.check_members()', 'TABLE fluct.schema_drift';
is(canaries($from), '', 'the view was not read');

# A table of the model that is another role's.
sql(q{DROP VIEW sales.customers; ALTER TABLE sales.clients RENAME TO customers; ALTER TABLE sales.products OWNER TO mallory}, %alike);
fails_like($node, $calls[0], qr/42809: relation "sales\.products" is not a table of role "honest".*DETAIL:  It belongs to role "mallory"/s, "a table of another role's", %alike);

# Tables that a superuser has taken over run nothing as a superuser.
sql(q{DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY '{orders,customer_industries,industry_spend,rollup_state,products}'::text[] LOOP EXECUTE format('ALTER TABLE sales.%I OWNER TO postgres', t); END LOOP; END $$;
	GRANT INSERT ON sales.orders TO honest}, %alike);
fails_like($node, q{INSERT INTO sales.orders VALUES ('o', 'c', 1, now())}, qr/55000: the rollup belongs to a superuser, role "postgres".*OWNER TO an operator/s, 'tables of a superuser: nobody else writes', as => 'honest', %alike);

# ----- views show what their reader may see -----

sql(q{INSERT INTO sales.customers VALUES ('seen', 'Seen'), ('hidden', 'Hidden');
	INSERT INTO sales.orders VALUES ('of_hidden', 'hidden', 7, pg_catalog.now());
	ALTER TABLE sales.customers ENABLE ROW LEVEL SECURITY; ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY;
	ALTER TABLE sales.fluctuations ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON sales.customers FOR SELECT TO reader USING (customer_id OPERATOR(pg_catalog.=) 'seen')}, as => 'etl', %shop);
is(sql('SELECT pg_catalog.string_agg(customer_id, $$ $$) FROM sales.customer_feed', as => 'reader', %shop), 'seen', 'customer_feed');
is(sql('SELECT pg_catalog.count(*) FROM sales.unattributed_spend', as => 'reader', %shop), '0', 'unattributed_spend');
is(sql('SELECT pg_catalog.count(*) FROM sales.latest_fluctuations', as => 'reader', %shop), '0', 'latest_fluctuations');
is(sql(q{SELECT pg_catalog.string_agg(relname, ' ') FROM pg_catalog.pg_class WHERE relkind OPERATOR(pg_catalog.=) 'v' AND relnamespace OPERATOR(pg_catalog.=) 'sales'::pg_catalog.regnamespace
	AND NOT 'security_invoker=true' OPERATOR(pg_catalog.=) ANY (reloptions)}, %shop), '', 'each view in sales is security_invoker');

# ----- names of dropped streams -----

sql('CREATE DATABASE kept');
my %kept = (db => 'kept');
sql('CREATE EXTENSION fluct', %kept);
make_operator(%kept);
sql(q{CREATE ROLE thief LOGIN; SELECT fluct.grant_operator('thief'); CREATE ROLE deputy LOGIN IN ROLE etl}, %kept);
etl(q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1'); GRANT USAGE ON FOREIGN SERVER shop TO PUBLIC;
	CREATE TABLE numbers (n int); GRANT INSERT, SELECT ON numbers TO PUBLIC}, %kept);
my $create = q{SELECT fluct.create_stream('mine', 'shop', 'mine', target => 'numbers', mapping => '{"columns": {"n": "$.n"}}', keep_raw => false)};
etl($create, %kept);
sql(q{INSERT INTO fluct.stream_offsets (stream, topic, partition, next_offset) VALUES ('mine', 'mine', 0, 42);
	INSERT INTO fluct.dead_letters (stream, topic, partition, "offset", reason, value) VALUES ('mine', 'mine', 0, 41, 'invalid_json', '\x31');
	INSERT INTO fluct.gaps (stream, topic, partition, from_offset, to_offset, reason) VALUES ('mine', 'mine', 0, 1, 2, 'seek')}, %kept);
etl(q{SELECT fluct.drop_stream('mine')}, %kept);
my $left = q{SELECT (SELECT count(*) FROM fluct.stream_offsets) || ' ' || (SELECT count(*) FROM fluct.dead_letters) || ' ' || (SELECT count(*) FROM fluct.gaps)
	|| ' ' || (SELECT count(*) FROM fluct.dropped_streams)};
fails_like($node, $create, qr/42501: the name "mine" is that of a dropped stream of role "etl".*HINT:  As that role, SELECT fluct\.drop_stream\('mine', forget => true\)/s,
	"create_stream with the name of another's dropped stream", as => 'thief', %kept);
fails_like($node, q{SELECT fluct.drop_stream('mine', forget => true)}, qr/42501: the name "mine"/, 'nor forget it', as => 'thief', %kept);
is(sql(q{SELECT count(*) FROM fluct.discard_dead_letters(NULL, 'x')}, as => 'thief', %kept), '0', 'nor discard its dead letters');
is(sql(q{SELECT count(*) FROM fluct.retry_dead_letters()}, as => 'thief', %kept), '0', 'nor retry them');
is(sql($left, %kept), '1 1 1 1', 'all is there');
like(said($create, as => 'etl', %kept), qr/continues where the dropped stream of that name left off/, 'its owner goes on');
is(sql($left, %kept), '1 1 1 0', 'and the name is the stream\'s');
etl(q{SELECT fluct.drop_stream('mine', forget => true)}, %kept);
is(sql($left, %kept), '0 0 0 0', 'forget => true: nothing is left');
sql($create, as => 'thief', %kept);
fails_like($node, q{SELECT fluct.drop_stream('mine')}, qr/42501: stream "mine" belongs to role "thief"/, 'and the name is free', as => 'etl', %kept);
sql(q{SELECT fluct.drop_stream('mine')}, as => 'thief', %kept);
sql(q{DROP OWNED BY thief; DROP ROLE thief; CREATE ROLE thief LOGIN; SELECT fluct.grant_operator('thief')}, %kept);
fails_like($node, $create, qr/42501: the name "mine" is that of a dropped stream/, 'a role that was recreated is another role', as => 'thief', %kept);
sql(q{SELECT fluct.drop_stream('mine', forget => true)}, %kept);
sql($create, as => 'thief', %kept);

# ----- roles that are renamed, or recreated -----

mkdir("$root/kept");
sql("SELECT fluct.create_inbox('box', 'products', 'kept', settle => '0')", as => 'thief', %kept);
sql("GRANT ALL ON ALL TABLES IN SCHEMA sales TO thief", as => 'etl', %kept);
sql("SELECT count(*) FROM fluct.record_fluctuations('kept')", as => 'thief', %kept);
sql('ALTER ROLE thief RENAME TO renamed', %kept);
unlike(said("CALL fluct.scan_inbox('box')", as => 'renamed', %kept), qr/ERROR/, 'a renamed role keeps its inbox');
unlike(said("SELECT count(*) FROM fluct.record_fluctuations('kept')", as => 'renamed', %kept), qr/ERROR/, 'and its report');
unlike(said("SELECT fluct.alter_stream('mine', batch_size => 9)", as => 'renamed', %kept), qr/ERROR/, 'and its stream');
sql(q{CREATE ROLE thief LOGIN; SELECT fluct.grant_operator('thief')}, %kept);
my @others = (
	[ "SELECT fluct.alter_inbox('box', settle => '1 s')", qr/42501: must be owner of inbox "box"/ ],
	[ "SELECT fluct.drop_inbox('box')", qr/42501: must be owner of inbox "box"/ ],
	[ "SELECT fluct.record_fluctuations('kept')", qr/42501: permission denied for report "kept"/ ],
	[ "SELECT fluct.unschedule_fluctuations('kept')", qr/42501: permission denied for report "kept"/ ],
	[ "SELECT fluct.alter_stream('mine', batch_size => 9)", qr/42501: stream "mine" belongs to role/ ]);
fails_like($node, $_->[0], $_->[1], "a role with its old name: $_->[0]", as => 'thief', %kept) foreach @others;
sql('DROP OWNED BY thief; DROP ROLE thief', %kept);
fails_like($node, $_->[0], $_->[1], "a role that never had it: $_->[0]", as => 'etl', %kept) foreach @others;

# ----- a dump in another cluster, without the roles and with them -----

my $dump = $node->backup_dir . '.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'kept' ], 'dumped');
my $other = fluct_node('elsewhere', extension => 0, 'fluct.inbox_root' => $root);
foreach my $roles ('without', 'with')
{
	sql("CREATE ROLE $_ LOGIN") foreach $roles eq 'with' ? qw(etl renamed thief deputy) : ();
	sql("CREATE DATABASE copy_$roles");
	$other->command_checks_all([ 'psql', '-qX', '-d', "copy_$roles", '-f', $dump ], 0, [], [ $roles eq 'with' ? qr/^(?!.*ERROR)/s : qr/role "etl" does not exist/ ], "$roles roles: restored");
	is(sql(q{SELECT (SELECT count(*) FROM fluct.inboxes) || ' ' || (SELECT count(*) FROM fluct.reports) || ' ' || (SELECT count(*) FROM fluct.streams)
			|| ' ' || (SELECT count(*) FROM sales.industries)}, db => "copy_$roles"), '1 1 1 0', "$roles roles: every row is there");
}
# there the name is all that says who the owner is, as it was when that was written
fails_like($other, "SELECT fluct.alter_inbox('box', settle => '1 s')", qr/42501: must be owner of inbox "box"/, 'of one role the inbox is', as => 'renamed', db => 'copy_with');
sql("GRANT USAGE ON SCHEMA fluct TO thief; SELECT fluct.grant_operator('thief')", db => 'copy_with');
unlike(said("SELECT fluct.alter_inbox('box', settle => '1 s')", as => 'thief', db => 'copy_with'), qr/ERROR/, 'the one of the name that is written there');

$node->stop;
$other->stop;
done_testing();
