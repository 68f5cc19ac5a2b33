# An update from the last release gives what a new installation gives; until
# it, the old schema works with the new library; rows survive it.
#
# Before the first release the script of today stands for it, as version 0.0.1.
use strict;
use warnings;
use lib 'test/t/lib';
use File::Copy qw(copy move);
use Fluct;
use Fluct::Tree;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $tree = "$dir/fluct";
my ($version) = slurp_file('fluct.control') =~ /^default_version *= *'(.*)'/m;

# ----- the scripts, as make install brings them -----

sub make_script
{
	my ($script) = @_;

	local %ENV = %ENV;
	delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
	command_ok([ 'make', '-s', '-C', $tree, "PG_CONFIG=$ENV{PG_CONFIG}", $script ], "made $script");
	return;
}

copy_sources($tree);
make_script("fluct--$version.sql") unless -e "$tree/sql/released/fluct--$version.sql";
if (!-d "$tree/sql/released")
{
	mkdir("$tree/sql/released") or die $!;
	copy("$tree/fluct--$version.sql", "$tree/sql/released/fluct--0.0.1.sql") or die $!;
}
my ($old) = reverse(sort { by_version($a, $b) } grep { $_ ne $version }
	  map { /fluct--([\d.]+)\.sql$/ ? $1 : () } glob("$tree/sql/released/*.sql"));
plan(skip_all => "$version is the only release") if !defined($old);
make_script("fluct--$old--$version.sql") unless -e "$tree/sql/released/fluct--$old--$version.sql";

my ($path, $extensions) = private_postgres("$dir/root");
unlink(glob("$extensions/fluct*"));
foreach my $file (glob("$tree/fluct--*.sql $tree/sql/released/*.sql $tree/fluct.control"))
{
	copy($file, $extensions) or die "$file: $!";
}

sub by_version
{
	my ($one, $other) = map { sprintf('%05d' x 3, split(/\./, $_)) } @_;

	return $one cmp $other;
}

# ----- a new installation, and one of the old version with rows -----

my $node = fluct_node('main', extension => 0, install_path => $path, 'fluct.database' => 'postgres,fresh');
sql("CREATE DATABASE fresh");
sql('CREATE EXTENSION fluct; CREATE ROLE etl LOGIN; CREATE ROLE reader LOGIN', db => 'fresh');
sql("CREATE EXTENSION fluct VERSION '$old'");
foreach my $db ('postgres', 'fresh')
{
	make_operator(db => $db);
	sql("SELECT fluct.grant_reader('reader')", db => $db);
}
etl(q{
	CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
	SELECT fluct.create_stream('orders', 'shop', 'orders');
	INSERT INTO sales.industries SELECT * FROM fluct.sample_industries();
	INSERT INTO sales.customer_feed SELECT * FROM fluct.sample_customers(20);
	INSERT INTO sales.orders SELECT 'o' || n, customer_id, 10, now() - n * interval '1 hour' FROM sales.customers, generate_series(1, 800) n ON CONFLICT DO NOTHING;
	SELECT fluct.mark_complete(now());
	SELECT fluct.record_fluctuations()});

# What users have, in tables of theirs and of the extension's.
sub rows
{
	return join("\n", map { sql("SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM $_ t") }
		  qw(sales.orders sales.customers sales.fluctuations fluct.streams fluct.reports fluct.made_relations fluct.granted_roles fluct.complete_marks));
}

my $rows = rows();
my $ranking = sql(q{SELECT * FROM fluct.top_fluctuations('2026-11-01Z', top_n => NULL)});

# ----- until the update -----

my $position = log_position($node);
$node->restart;
$node->wait_for_log(qr/LOG: .*fluct's library is version $version, the extension in database "postgres" is version $old\n.*HINT: .*ALTER EXTENSION fluct UPDATE;/, $position);
is(sql(q{SELECT detail || ' ' || hint FROM fluct.health WHERE problem = 'version'}),
	"the library is $version, the extension $old ALTER EXTENSION fluct UPDATE;", 'health says it');
is(sql(q{SELECT count(*) FROM fluct.health WHERE problem = 'version'}, db => 'fresh'), '0', 'but not of the other database');
is(sql(q{SELECT * FROM fluct.top_fluctuations('2026-11-01Z', top_n => NULL)}), $ranking, 'the ranking is as before');
etl(q{INSERT INTO sales.orders SELECT 'new', customer_id, 1, now() FROM sales.customers LIMIT 1});
is(sql('SELECT count(*) FROM fluct.verify_rollup()'), '0', 'the rollup is kept');
sql(q{DELETE FROM sales.orders WHERE order_id = 'new'}, as => 'etl');

# ----- the update -----

is(sql("ALTER EXTENSION fluct UPDATE; SELECT extversion FROM pg_extension WHERE extname = 'fluct'"), $version, 'updated');
is(rows(), $rows, 'the rows are as before');
is(sql(q{SELECT * FROM fluct.top_fluctuations('2026-11-01Z', top_n => NULL)}), $ranking, 'and so is the ranking');
is(etl('SELECT fluct.create_tables()'), 'nothing was missing', 'the tables are those of this version');
is(sql(q{SELECT count(*) FROM fluct.health WHERE problem = 'version'}), '0', 'health is content');

# ----- the same as a new one -----

# Its members, each with what makes it what it is.
my $members = q{
	WITH members AS (
		SELECT d.classid, d.objid, i.type, i.identity
		  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'fluct', pg_identify_object(d.classid, d.objid, 0) i
		 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
	facts AS (
		SELECT m.type, m.identity, 'exists' AS fact FROM members m
		 UNION ALL
		SELECT m.type, m.identity, 'comment ' || obj_description(m.objid, m.classid::regclass::name) FROM members m
		 UNION ALL
		SELECT m.type, m.identity, CASE p.prokind WHEN 'a' THEN a::text ELSE pg_get_functiondef(p.oid) END
		  FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
		 UNION ALL
		SELECT m.type, m.identity, format('ACL %s %s', x.grantee::regrole, x.privilege_type)
		  FROM members m LEFT JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
			   LEFT JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass, aclexplode(coalesce(p.proacl, c.relacl)) x
		 UNION ALL
		SELECT m.type, m.identity, format('column %s %s %s %s default %s: %s', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
										  pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
		  FROM members m LEFT JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass
			   JOIN pg_attribute a ON a.attrelid = CASE m.classid WHEN 'pg_class'::regclass THEN m.objid ELSE t.typrelid END AND a.attnum > 0 AND NOT a.attisdropped
			   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		 UNION ALL
		SELECT m.type, m.identity, concat_ws(' ', 'view', pg_get_viewdef(c.oid), c.reloptions) FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass AND c.relkind = 'v'
		 UNION ALL
		SELECT m.type, m.identity, 'index ' || pg_get_indexdef(i.indexrelid) FROM members m JOIN pg_index i ON i.indrelid = m.objid AND m.classid = 'pg_class'::regclass
		 UNION ALL
		SELECT m.type, m.identity, 'constraint ' || pg_get_constraintdef(n.oid) FROM members m JOIN pg_constraint n ON n.conrelid = m.objid AND m.classid = 'pg_class'::regclass
		 UNION ALL
		SELECT m.type, m.identity, format('initially %s', (SELECT array_agg(format('%s %s', x.grantee::regrole, x.privilege_type) ORDER BY x.grantee::regrole::text, x.privilege_type) FROM aclexplode(p.initprivs) x))
		  FROM members m JOIN pg_init_privs p ON p.objoid = m.objid AND p.classoid = m.classid AND p.objsubid = 0
		 UNION ALL
		SELECT 'extension', t.relation::regclass::text, 'dumped ' || e.extcondition[t.n]
		  FROM pg_extension e, unnest(e.extconfig) WITH ORDINALITY t(relation, n) WHERE e.extname = 'fluct')
	SELECT DISTINCT replace(concat_ws(' ', type, identity, fact), chr(10), ' ') FROM facts ORDER BY 1};
my @fresh = split(/\n/, sql($members, db => 'fresh'));
my %updated = map { $_ => 1 } split(/\n/, sql($members));
my @missing = grep { !delete $updated{$_} } @fresh;

cmp_ok(scalar(@fresh), '>', 1000, scalar(@fresh) . ' facts about a new one');
is(join("\n", @missing), '', 'each holds for the updated one');
is(join("\n", sort keys %updated), '', 'and no other');

done_testing();
