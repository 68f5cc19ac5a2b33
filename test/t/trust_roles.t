# Who may do what: every routine, table and view of the extension, for PUBLIC,
# a reader, an operator, who watches, the owner of a stream, the owner of a
# target, and a superuser.  The list is fluct._privileges(); a routine that it
# does not have, or a GRANT that it does not know, is an error.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use List::Util qw(sum);
use Test::More;

my $node = fluct_node('roles', operator => 1);

# ----- roles, each with what makes it one -----

sql(q{
	CREATE ROLE nobody LOGIN;
	CREATE ROLE reader LOGIN;
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE ROLE owner_of_target LOGIN;
	GRANT CREATE ON SCHEMA public TO owner_of_target;
	SELECT fluct.grant_reader('reader')});
etl(q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1')});
sql(q{CREATE TABLE theirs (id text PRIMARY KEY); GRANT ALL ON theirs TO etl}, as => 'owner_of_target');
etl(q{SELECT fluct.create_stream('s', 'shop', 's', target => 'theirs', keep_raw => false)});

my %grantees = (
	nobody => [ 'public' ],
	reader => [ 'public', 'reader' ],
	watcher => [ 'public', 'pg_monitor' ],
	owner_of_target => [ 'public' ],
	etl => [ 'public', 'reader', 'operator' ],		# who owns the stream, and sales
	postgres => [ 'public', 'reader', 'operator', 'pg_monitor', 'nobody' ]);

# What a role can execute, against what the list says: the differences.
sub routine_differences
{
	my ($role) = @_;
	my $grantees = join(', ', map { "'$_'" } @{ $grantees{$role} });

	return sql(qq{
		SELECT p.oid::regprocedure || CASE WHEN e.expected THEN ' is missing' ELSE ' can be executed' END
		  FROM pg_proc p,
			   LATERAL (SELECT count(*) > 0 AS expected FROM fluct._privileges() l
						 WHERE l.kind = 'routine' AND l.name = p.proname AND l.grantee IN ($grantees)) e
		 WHERE p.pronamespace = 'fluct'::regnamespace
		   AND has_function_privilege('$role', p.oid, 'EXECUTE') <> e.expected
		 ORDER BY 1});
}

# The same of tables and views, of which nobody but the owner can do anything
# but read.
sub relation_differences
{
	my ($role) = @_;
	my $grantees = join(', ', map { "'$_'" } @{ $grantees{$role} });

	return '' if $role eq 'postgres';
	return sql(qq{
		SELECT c.oid::regclass || CASE WHEN w.writes THEN ' can be written' WHEN e.expected THEN ' is missing' ELSE ' can be read' END
		  FROM pg_class c,
			   LATERAL (SELECT CASE c.relkind WHEN 'S' THEN has_sequence_privilege('$role', c.oid, 'USAGE, UPDATE')
									ELSE has_table_privilege('$role', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') END AS writes) w,
			   LATERAL (SELECT count(*) > 0 AS expected FROM fluct._privileges() l
						 WHERE l.kind = 'relation' AND l.name = c.relname AND l.grantee IN ($grantees)) e
		 WHERE c.relnamespace = 'fluct'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm', 'f', 'S')
		   AND (w.writes OR has_table_privilege('$role', c.oid, 'SELECT') <> e.expected)
		 ORDER BY 1});
}

# Routines that the list does not have, and names in it that are no routines.
my $unlisted = q{
	SELECT p.oid::regprocedure || ' is not in the list' FROM pg_proc p
	 WHERE p.pronamespace = 'fluct'::regnamespace
	   AND NOT EXISTS (SELECT FROM fluct._privileges() l WHERE l.kind = 'routine' AND l.name = p.proname)
	UNION ALL
	SELECT l.kind || ' ' || l.name || ' does not exist' FROM fluct._privileges() l
	 WHERE CASE l.kind WHEN 'routine' THEN NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace AND p.proname = l.name)
					   ELSE to_regclass('fluct.' || quote_ident(l.name)) IS NULL END
	ORDER BY 1};

# ----- the list, the catalogs -----

is(sql($unlisted), '', 'each routine is in the list, and nothing else');
foreach my $role (sort keys %grantees)
{
	is(routine_differences($role), '', "$role executes what the list says");
	is(relation_differences($role), '', "$role reads what the list says");
}
is(sql(q{SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a
		 WHERE p.pronamespace = 'fluct'::regnamespace AND a.is_grantable AND a.grantee <> p.proowner}), '0', 'nobody can pass a right on');

# ----- a routine more, a GRANT more -----

sql(q{CREATE FUNCTION fluct._more() RETURNS int LANGUAGE sql AS 'SELECT 1'});
is(sql($unlisted), 'fluct._more() is not in the list', 'a routine more is found');
like(routine_differences('nobody'), qr/^fluct\._more\(\) can be executed$/, 'and that PUBLIC can execute it');
sql(q{DROP FUNCTION fluct._more(); GRANT EXECUTE ON FUNCTION fluct._lock(text, text) TO reader});
is(routine_differences('reader'), 'fluct._lock(text,text) can be executed', 'a GRANT more is found');
sql(q{REVOKE EXECUTE ON FUNCTION fluct._lock(text, text) FROM reader; REVOKE EXECUTE ON FUNCTION fluct.podium FROM reader});
like(routine_differences('reader'), qr/^fluct\.podium\(.*\) is missing$/, 'and one that is gone');
sql(q{SELECT fluct.grant_reader('reader'); GRANT INSERT ON fluct.files TO reader});
is(relation_differences('reader'), 'fluct.files can be written', 'a GRANT on a table is found');
sql(q{REVOKE INSERT ON fluct.files FROM reader});
is(routine_differences('reader') . relation_differences('reader'), '', 'and all is as it was');

# ----- schemas -----

foreach my $role (grep { $_ ne 'postgres' } sort keys %grantees)
{
	is(sql("SELECT has_schema_privilege('$role', 'fluct', 'CREATE')"), 'f', "$role cannot create in schema fluct");
	fails_like($node, "CREATE FUNCTION fluct.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		qr/42501: permission denied for schema fluct/, "$role: denied", as => $role);
}

# ----- the printed GRANTs are those that were done, but for what is internal -----

my $printed = sql(q{SELECT fluct.grant_operator('etl')});

is(scalar(grep { length($_) > 98 } split(/\n/, $printed)), 0, 'grant_operator prints what it grants, in 100 columns');
sql("CREATE ROLE twin LOGIN; " . $printed =~ s/ TO etl;/ TO twin;/gr);
$grantees{twin} = [ 'public', 'reader', 'operator' ];
my @unread = split(/\n/, relation_differences('twin'));
is(join("\n", grep { !/^fluct\._\S+ is missing$/ } @unread), '', 'which lets another role read the same');
is(sum($printed =~ /^-- and SELECT on (\d+) internal views/mg), scalar(@unread), 'internal views are counted');
is(join("\n", grep { !/^fluct\._\S+\(.*\) is missing$/ } split(/\n/, routine_differences('twin'))), '', 'and call the same');
is(sum($printed =~ /^-- and EXECUTE on (\d+) internal functions/mg), scalar(split(/\n/, routine_differences('twin'))), 'and internal functions');

# ----- what has its own check, tried by those who must not -----

fails_like($node, "SELECT fluct.$_(to_regrole('misspelt'))", qr/22004: the role must not be null/, "$_ to a role that is not there is not one to PUBLIC") foreach qw(grant_reader grant_operator);
fails_like($node, 'SELECT fluct.grant_reader(0)', qr/42704: role with OID 0 does not exist/, 'nor to any number');
fails_like($node, $_->[0], qr/42501: permission denied/, "an operator: $_->[0]", as => 'etl') foreach
  [ q{SELECT fluct._lock('load', 'customers')} ],
  [ q{SELECT fluct._try_lock('report', 'default')} ],
  [ q{SELECT fluct._lock_shared('directory', '/')} ],
  [ q{SELECT fluct._begin_progress('orders', 10)} ],
  [ q{SELECT fluct._save_report(NULL)} ],
  [ q{SELECT fluct._record_load(NULL, '[]')} ],
  [ q{SELECT fluct.__record(NULL, now(), 3, false)} ],
  [ q{SELECT fluct._create_stream('x', 'shop', 't', 'theirs', '{}', 'nothing', NULL, 'fail', 'fail', 1, '1 s', 1, 1024, '1 s', 1, false, NULL, false, 'none', 'ignore')} ],
  [ q{SELECT fluct._check_mapping('theirs', '{}', 'nothing', 10, 'none', 'ignore')} ],
  [ q{SELECT fluct._ask('s', 'check', 0, NULL)} ],
  [ q{SELECT fluct._announce_change()} ],
  [ q{INSERT INTO fluct.dead_letters (stream, topic, partition, "offset", reason) VALUES ('s', 't', 0, 0, 'nul')} ],
  [ q{UPDATE fluct.streams SET owner = 'postgres'} ],
  [ q{DELETE FROM fluct.files} ],
  [ q{SELECT nextval('fluct.files_id_seq')} ],
  [ q{SELECT fluct.grant_operator('etl')} ],
  [ q{SELECT fluct.grant_reader('nobody')} ];

# Trigger functions serve the tables and events that they were made for.
etl('CREATE TABLE alike AS TABLE sales.orders');
fails_like($node, qq{CREATE OR REPLACE TRIGGER t AFTER $_->[1] ON alike $_->[2] FOR EACH STATEMENT EXECUTE FUNCTION fluct.$_->[0](); $_->[3]},
	qr/ERROR:  55000: trigger function fluct\.\w+\(\) is for \w+ on sales\.orders only/, "$_->[0] on another table", as => 'etl') foreach
  [ '_orders_delete_lines', 'DELETE', 'REFERENCING OLD TABLE AS old_orders', 'DELETE FROM alike' ],
  [ '_orders_move_lines', 'UPDATE', 'REFERENCING OLD TABLE AS old_orders NEW TABLE AS new_orders', q{UPDATE alike SET amount = 1} ],
  [ '_orders_truncate_lines', 'TRUNCATE', '', 'TRUNCATE alike' ];
fails_like($node, qq{BEGIN; CREATE TRIGGER t AFTER INSERT ON sales.orders FOR EACH STATEMENT EXECUTE FUNCTION fluct._orders_truncate_lines(); INSERT INTO sales.orders VALUES ('o', 'c', 1, now())},
	qr/55000: trigger function fluct\._orders_truncate_lines\(\) is for TRUNCATE on sales\.orders only/, 'on another event', as => 'etl');

# A word that is not one of its own, in a session that loads nothing.
is(etl(q{SELECT fluct._progress(E'forged \x1b[31m'); SELECT count(*) FROM fluct.stat_files}), "\n0", 'no row of stat_files is forged');

# Who watches sees states, and no message.
is(sql('SELECT count(*) FROM fluct.stat_streams, fluct.freshness', as => 'watcher'), '1', 'pg_monitor sees the streams');
fails_like($node, 'TABLE fluct.open_dead_letters', qr/42501: permission denied for view open_dead_letters/, 'and no message', as => 'watcher');
is(sql(q{SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN fluct._privileges() l ON l.name = c.relname
		 WHERE c.relnamespace = 'fluct'::regnamespace AND l.grantee = 'pg_monitor' AND l.kind = 'relation'
		   AND a.atttypid IN ('bytea'::regtype, 'jsonb'::regtype, 'json'::regtype)}), '0', 'by no column');

# ----- every public routine, with nothing but NULL: an answer, or an error for people -----

# What a role says to calls of all routines of which $which is true.
sub say_null
{
	my ($role, $which) = @_;
	my $calls = sql(qq{
		SELECT CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT FROM' END || format(' fluct.%I(%s);', p.proname,
			   (SELECT string_agg('NULL::' || format_type(t, NULL), ', ') FROM unnest(p.proargtypes) t))
		  FROM pg_proc p
		 WHERE p.pronamespace = 'fluct'::regnamespace AND p.prokind <> 'a' AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]) AND $which});

	return said("\\set VERBOSITY verbose\n$calls", as => $role, on_error_stop => 0);
}

my $errors = say_null('etl', q{p.proname NOT LIKE '\_%'});

like($errors, qr/ERROR:  42704: stream NULL does not exist/, 'every public routine with NULLs');
unlike($errors, qr/CONTEXT:|XX000/, 'no error has a list of our functions');
unlike(say_null('etl', q{p.proname LIKE '\_%'}), qr/XX000|closed the connection/, 'every internal routine with NULLs');
unlike(say_null('postgres', q{p.proname <> 'uninstall'}), qr/closed the connection/, 'every routine, as a superuser');

$node->stop;
done_testing();
