# Where a stream's rows may end, and for whom it may run: looked at when it is
# declared, and again as soon as something of it changes.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 16);

$kafka->create_topic('numbers', 1);
sql('ALTER ROLE etl SET search_path = public');

sub refused
{
	my ($target, $like, $name) = @_;

	return fails_like($node, "SELECT fluct.create_stream('refused', 'shop', 'numbers',
		target => '$target')", $like, $name, as => 'etl');
}

# A stream of {"n": …} into that target, running.
sub run
{
	my ($stream, $target, %option) = @_;
	my $more = join('', map { ", $_ => $option{$_}" } sort keys %option);

	etl("SELECT fluct.create_stream('$stream', 'shop', 'numbers', target => '$target',
		mapping => '{\"columns\": {\"n\": \"\$.n\"}}', start => true$more)");
	return ok(caught_up($node, $stream), "$stream runs");
}

my $next = 0;

sub produce
{
	$next++;
	$kafka->produce('numbers', ["{\"n\": $next}"]);
	return $next;
}

# ----- what survives no crash, or commits on its own -----

etl(q{
	CREATE UNLOGGED TABLE lost (n int);
	CREATE VIEW over_lost AS SELECT n FROM lost;
	CREATE VIEW over_view AS SELECT n FROM over_lost;
	CREATE FOREIGN TABLE far (n int) SERVER shop;
	CREATE VIEW over_far AS SELECT n FROM far;
	CREATE TABLE parted (n int) PARTITION BY LIST (n);
	CREATE UNLOGGED TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE deep (n int) PARTITION BY LIST (n);
	CREATE TABLE deep_sub PARTITION OF deep DEFAULT PARTITION BY LIST (n);
	CREATE FOREIGN TABLE deep_far PARTITION OF deep_sub FOR VALUES IN (1) SERVER shop;
	CREATE TABLE parent (n int);
	CREATE UNLOGGED TABLE heir () INHERITS (parent);
	CREATE TABLE ruled (n int);
	CREATE RULE away AS ON INSERT TO ruled DO INSTEAD INSERT INTO lost VALUES (NEW.n)});
my $not = 'cannot be the target of a stream';
refused('lost', qr/ERROR:  42809: public\.lost $not.*DETAIL:  It is unlogged/s, 'unlogged');
refused('over_lost', qr/ERROR:  42809: public\.over_lost $not.*DETAIL:  Its rows end in lost, which is unlogged/s,
	'a view over it');
refused('over_view', qr/$not.*DETAIL:  Its rows end in lost, which is unlogged/s, 'a view over that view');
refused('over_far', qr/$not.*DETAIL:  Its rows end in far, which is a foreign table/s,
	'a view over a foreign table');
refused('parted', qr/$not.*DETAIL:  Its partition parted_1 is unlogged/s, 'an unlogged partition');
refused('deep', qr/$not.*DETAIL:  Its partition deep_far is a foreign table/s,
	'a foreign table below a sub-partition');
refused('parent', qr/$not.*DETAIL:  Its inheritor heir is unlogged/s, 'an unlogged inheritor');
refused('ruled', qr/$not.*DETAIL:  Its rule writes to lost, which is unlogged/s, 'where a rule leads to');
fails_like($node, "CREATE TEMP TABLE brief (n int);
	SELECT fluct.create_stream('refused', 'shop', 'numbers', target => 'brief')",
	qr/ERROR:  42809: pg_temp_\d+\.brief $not.*DETAIL:  It is temporary/s, 'temporary', as => 'etl');
is(sql("SELECT count(*) FROM fluct.streams WHERE name = 'refused'"), 0, 'nothing of that was made');

# ----- what changes while it runs -----

etl(q{
	CREATE TABLE tree (n int) PARTITION BY RANGE (n);
	CREATE TABLE tree_sub PARTITION OF tree DEFAULT PARTITION BY RANGE (n);
	CREATE TABLE tree_rest PARTITION OF tree_sub DEFAULT;
	CREATE TABLE base (n int);
	CREATE VIEW shown AS SELECT n FROM base;
	CREATE TABLE slow (n int);
	CREATE TABLE kept (n int PRIMARY KEY);
	CREATE TABLE changed (n int PRIMARY KEY)});
run('tree', 'tree');
run('shown', 'shown');
run('slow', 'slow');
run('kept', 'kept');
run('changed', 'changed', on_conflict => "'update'");
my $n = produce();
ok(caught_up($node, $_), "$_ has caught up") foreach qw(tree shown slow kept changed);
etl(q{
	DROP TABLE tree_rest;
	CREATE FOREIGN TABLE tree_far PARTITION OF tree_sub FOR VALUES FROM (0) TO (1000000) SERVER shop;
	CREATE OR REPLACE VIEW shown AS SELECT n FROM lost;
	ALTER TABLE slow SET UNLOGGED;
	ALTER TABLE kept DROP CONSTRAINT kept_pkey;
	ALTER TABLE changed DROP CONSTRAINT changed_pkey});
produce();
my %why = (
	tree => qr/public\.tree $not.*Its partition tree_far is a foreign table/,
	shown => qr/public\.shown $not.*Its rows end in lost, which is unlogged/,
	slow => qr/public\.slow $not.*It is unlogged/);
foreach my $stream (sort keys %why)
{
	ok(await_state($node, $stream, 'failed/target_refused'), "$stream fails");
	like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = '$stream'"), $why{$stream},
		'and says why');
}
foreach my $stream (qw(kept changed))
{
	ok(await_state($node, $stream, 'failed/key_missing'), "$stream: the key is gone");
	like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = '$stream'"),
		qr/the unique key of public\.$stream .* is gone .*on_conflict => 'error'/, 'and what to do');
	is(sql("SELECT count(*) FROM $stream"), 1, 'nothing is stored without it');
}
etl(q{ALTER TABLE kept ADD PRIMARY KEY (n); SELECT fluct.start_stream('kept')});
ok(caught_up($node, 'kept'), 'with the key it goes on');
is(sql('SELECT count(*), count(DISTINCT n) FROM kept'), '2|2', 'where it left off');
etl(q{
	DROP FOREIGN TABLE tree_far;
	CREATE TABLE tree_rest PARTITION OF tree_sub DEFAULT;
	SELECT fluct.start_stream('tree')});
ok(caught_up($node, 'tree'), 'and so does the tree');
is(sql('SELECT count(*) FROM tree'), 1, 'with what was not stored');

# ----- what is deferred -----

etl(q{
	CREATE TABLE referenced (n int PRIMARY KEY, m int UNIQUE);
	CREATE TABLE referring (n int REFERENCES referenced DEFERRABLE INITIALLY DEFERRED);
	CREATE TABLE referenced_m (n int PRIMARY KEY, m int CONSTRAINT m_once UNIQUE);
	CREATE TABLE referring_m (m int CONSTRAINT to_m REFERENCES referenced_m (m)
		DEFERRABLE INITIALLY DEFERRED);
	CREATE TABLE pointing (n int CONSTRAINT points REFERENCES kept DEFERRABLE INITIALLY DEFERRED);
	CREATE TABLE off (n int);
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON off DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION nothing();
	ALTER TABLE off DISABLE TRIGGER late;
	CREATE TABLE bound (n int) PARTITION BY LIST (n);
	CREATE TABLE bound_part PARTITION OF bound DEFAULT;
	CREATE CONSTRAINT TRIGGER of_part AFTER INSERT ON bound_part DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION nothing()});
refused('pointing', qr/ERROR:  0A000: public\.pointing has the initially deferred constraint "points"/,
	"a deferred foreign key of the target's");
refused('bound', qr/ERROR:  0A000: public\.bound has the initially deferred constraint "of_part"/,
	"a partition's deferred trigger");
run('referenced', 'referenced');
run('referenced_update', 'referenced', on_conflict => "'update'");
run('off', 'off');
produce();
ok(caught_up($node, $_), "$_ does not mind what it does not fire")
  foreach qw(referenced referenced_update off);
run('referenced_m', 'referenced_m');
fails_like($node, q{SELECT fluct.create_stream('refused', 'shop', 'numbers', target => 'referenced_m',
		on_conflict => 'update')},
	qr/ERROR:  0A000: public\.referenced_m has the initially deferred constraint "to_m"/,
	'an update of what a deferred foreign key references', as => 'etl');

# ----- for whom it runs -----

sql(q{
	CREATE ROLE mute;
	SELECT fluct.grant_operator('mute');
	CREATE ROLE anna LOGIN;
	SELECT fluct.grant_operator('anna');
	GRANT CREATE ON SCHEMA public TO anna});
etl('GRANT USAGE ON FOREIGN SERVER shop TO mute, anna');
my $create = "SELECT fluct.create_stream('%s', 'shop', 'numbers', target => '%s', keep_raw => false)";
sql('CREATE TABLE still (n int); ALTER TABLE still OWNER TO mute');
fails_like($node, 'SET SESSION AUTHORIZATION mute; ' . sprintf($create, 'mute', 'still'),
	qr/ERROR:  42501: role "mute" has no LOGIN.*HINT:  ALTER ROLE mute LOGIN;/s,
	'an owner without LOGIN is refused, with the statement');
sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO etl');
fails_like($node, 'SET SESSION AUTHORIZATION mute; ' . sprintf($create, 'mute', 'still'),
	qr/42501/, 'still');
sql('CREATE TABLE annas (n int); ALTER TABLE annas OWNER TO anna');
fails_like($node, 'SET SESSION AUTHORIZATION anna; ' . sprintf($create, 'anna', 'annas'),
	qr/ERROR:  42501: role "anna" has no CONNECT on database "postgres".*HINT:  GRANT CONNECT ON DATABASE postgres TO anna;/s,
	'an owner without CONNECT, too');
sql('GRANT CONNECT ON DATABASE postgres TO anna');
sql(sprintf($create, 'anna', 'annas'), as => 'anna');
sql("SELECT fluct.start_stream('anna')", as => 'anna');
ok(caught_up($node, 'anna'), 'with both it runs');
is(sql("SELECT usename FROM pg_stat_activity WHERE backend_type = 'fluct stream worker'
		AND query LIKE '%anna%'"), 'anna', 'in a session of its owner');

# each is found at the next start, and passes by itself
my %losses = (
	'ALTER ROLE anna NOLOGIN' => 'ALTER ROLE anna LOGIN',
	'REVOKE CONNECT ON DATABASE postgres FROM anna' => 'GRANT CONNECT ON DATABASE postgres TO anna');

sub pause
{
	sql("SELECT fluct.pause_stream('anna')", as => $_[0]);
	return ok(poll($node, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'stream anna%'", 0),
		'its worker is gone');
}

foreach my $loss (sort keys %losses)
{
	pause('postgres');
	sql("$loss; SELECT fluct.start_stream('anna')");
	ok(await_state($node, 'anna', 'backing_off/owner_cannot_connect'), $loss);
	sql($losses{$loss});
	ok(caught_up($node, 'anna'), 'goes on when that is given back');
}

# whatever else ends a session while it begins
pause('postgres');
my $from = log_position($node);
sql("UPDATE pg_database SET datallowconn = false WHERE datname = 'postgres';
	SELECT fluct.start_stream('anna')");
ok($node->wait_for_log(qr/database "postgres" is not currently accepting connections/, $from),
	'its session does not begin');
sql('ALTER DATABASE postgres ALLOW_CONNECTIONS true', db => 'template1');
ok(poll($node, "SELECT last_error ~ 'role \"anna\" did not begin'
		FROM fluct.stat_streams WHERE stream = 'anna'"), 'which is said');
ok(caught_up($node, 'anna'), 'until it does');

# a renamed role is followed, one that only has its name is another
sql('ALTER ROLE anna RENAME TO anne');
$n = produce();
ok(caught_up($node, 'anna'), 'a renamed owner');
crash_worker($node);
ok(poll($node, "SELECT count(*) FROM annas WHERE n = $n", 1), 'after a crash as well');
sql('CREATE ROLE anna LOGIN');
sql("SELECT fluct.grant_operator('anna')");
sql('GRANT CONNECT ON DATABASE postgres TO anna');
fails_like($node, "SELECT fluct.pause_stream('anna')",
	qr/ERROR:  42501: stream "anna" belongs to role/, 'who has the old name now owns nothing', as => 'anna');
pause('anne');
sql('REASSIGN OWNED BY anne TO anna; DROP OWNED BY anne; DROP ROLE anne');
sql("SELECT fluct.start_stream('anna')");
ok(await_state($node, 'anna', 'failed/owner_changed'), 'an owner whose name is now another role');

# a superuser owns nothing that runs by itself
ok(caught_up($node, 'off'), 'a stream runs');
$n = sql('SELECT count(*) FROM off');
sql('ALTER ROLE etl SUPERUSER');
produce();
ok(await_state($node, 'off', 'failed/owner_is_superuser'), 'its owner becomes a superuser');
is(sql('SELECT count(*) FROM off'), $n, 'nothing more is stored');
sql("SELECT fluct.start_stream('off')");
ok(await_state($node, 'off', 'failed/owner_is_superuser'), 'nor is it started again');
fails_like($node, "SELECT * FROM fluct.preview_stream('off')",
	qr/ERROR:  42501: role "etl" is a superuser.*HINT:  ALTER ROLE etl NOSUPERUSER/s, 'nor previewed');
fails_like($node, "CALL fluct.run_stream('off')", qr/ERROR:  (42501|55000)/, 'nor run');
sql("ALTER ROLE etl NOSUPERUSER; SELECT fluct.start_stream('off')");
ok(caught_up($node, 'off'), 'it goes on as an operator');

# partitions that go away beside a running stream
mapped_stream('parts', 'CREATE TABLE parts (n int) PARTITION BY RANGE (n); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
		CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200); CREATE TABLE parts_rest PARTITION OF parts DEFAULT',
	'{"columns": {"n": "$.n"}}', ', keep_raw => false', numbers(1, 101));
my $lies = q(SELECT string_agg(concat_ws(' ', tableoid::regclass, n), ', ' ORDER BY n) FROM parts);
etl('ALTER TABLE parts DETACH PARTITION parts_2');
more_messages('parts', numbers(2, 102));
is(sql($lies), 'parts_1 1, parts_1 2, parts_rest 102', 'one is detached: the default has its rows');
etl('DROP TABLE parts_1');
more_messages('parts', numbers(3));
is(sql($lies), 'parts_rest 3, parts_rest 102', 'or dropped');
etl('DROP TABLE parts_rest; CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (200) TO (300)');
more_messages('parts', numbers(201));
etl('ALTER TABLE parts DETACH PARTITION parts_3 CONCURRENTLY');
$kafka->produce('parts', [ numbers(202) ]);
ok(await_state($node, 'parts', 'failed/error'), 'detached concurrently, and no default');
is(letters('parts') . detail('parts'), 'no partition of relation "parts" found for row (SQLSTATE 23514).'
	. ' CREATE TABLE public.parts_default PARTITION OF public.parts DEFAULT; takes what has no other partition.', 'that is no fault of the message');
etl(q(ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES FROM (200) TO (300); SELECT fluct.start_stream('parts')));
ok(caught_up($node, 'parts'), 'attached again, it goes on');
is(sql($lies), 'parts_3 201, parts_3 202', 'with nothing lost or doubled');

# settings of a role do not bend the session
sql(q{ALTER ROLE etl SET role = 'anna'; ALTER ROLE etl SET "TimeZone" = 'Asia/Tokyo';
	ALTER ROLE etl SET array_nulls = off; GRANT anna TO etl;
	ALTER ROLE etl SET exit_on_error = on; ALTER TABLE off ADD CHECK (n >= 0)});
sql("SELECT fluct.pause_stream('off'); SELECT fluct.start_stream('off')");
$kafka->produce('numbers', ['{"n": -1}']);
$n = produce();
ok(poll($node, "SELECT count(*) FROM off WHERE n = $n", 1), 'settings of the role');
like(letters('off'), qr/ constraint$/, 'a message that is refused does not end the worker');

done_testing();
