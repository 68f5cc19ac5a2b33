# Fluct::Planted - code that a table's owner plants where others run into it
#
#   use Fluct::Planted;
#   plant_seed('mallory');                   # its schema, with the canary
#   sql(plant('default', 'mallory.t'), as => 'mallory');
#   my $from = log_position($node);
#   ... whatever may run into it ...
#   is_nobody_else($node, $from, ['mallory', 'etl'], 'a worker');
#
# Each of KINDS ends in the canary: a function that writes a line to the
# server's log with current_user and session_user, which an aborted transaction
# does not take back; then it tries to become somebody else, or a superuser,
# and writes a line of what that made of it.  Where it is called with a
# constant it is IMMUTABLE, so that planning alone executes it.
package Fluct::Planted;

use strict;
use warnings;
use Exporter 'import';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(@KINDS plant_seed plant canaries is_nobody_else);

our @KINDS = qw(default generated check domain index_expression index_predicate
  partition_key policy rule view trigger deferred_trigger cast operator statistics);

# Makes the role, unless it exists, and its schema, with the canary and what
# calls it.  A schema may be given for a second role, and options of sql().
sub plant_seed
{
	my ($role, $schema, %option) = @_;

	$schema //= $role;
	sql(qq{
		DO \$\$ BEGIN
			IF to_regrole('$role') IS NULL THEN CREATE ROLE $role LOGIN; END IF;
		END \$\$;
		CREATE SCHEMA $schema AUTHORIZATION $role;
		GRANT USAGE ON SCHEMA $schema TO PUBLIC}, %option);
	sql(qq{
		CREATE FUNCTION $schema.canary(kind text) RETURNS void LANGUAGE plpgsql AS \$\$
		DECLARE
			attempt text;
		BEGIN
			RAISE LOG 'canary % % %', kind, current_user, session_user;
			FOREACH attempt IN ARRAY ARRAY['RESET ROLE', 'RESET SESSION AUTHORIZATION',
				'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
				'ALTER ROLE $role SUPERUSER']
			LOOP
				BEGIN
					EXECUTE attempt;
					RAISE LOG 'canary % % %', kind, current_user, session_user;
				EXCEPTION WHEN OTHERS THEN
					NULL;
				END;
			END LOOP;
		END \$\$;
		CREATE FUNCTION $schema.one(kind text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
			\$\$ BEGIN PERFORM $schema.canary(kind); RETURN 1; END \$\$;
		CREATE FUNCTION $schema.same(kind text, value anyelement) RETURNS anyelement
			LANGUAGE plpgsql IMMUTABLE AS
			\$\$ BEGIN PERFORM $schema.canary(kind); RETURN value; END \$\$;
		CREATE FUNCTION $schema.fire() RETURNS trigger LANGUAGE plpgsql AS
			\$\$ BEGIN PERFORM $schema.canary(TG_ARGV[0]); RETURN coalesce(NEW, OLD); END \$\$;
		CREATE FUNCTION $schema.defer() RETURNS trigger LANGUAGE plpgsql AS
			\$\$ BEGIN
				PERFORM $schema.canary('deferred_trigger');
				SET CONSTRAINTS ALL DEFERRED;
				RETURN NEW;
			END \$\$;
		CREATE FUNCTION $schema.is_like(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
			\$\$ BEGIN PERFORM $schema.canary('operator'); RETURN true; END \$\$;
		CREATE OPERATOR $schema.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = $schema.is_like);
		CREATE TYPE $schema.mood AS ENUM ('fine');
		CREATE FUNCTION $schema.to_mood(text) RETURNS $schema.mood LANGUAGE plpgsql IMMUTABLE AS
			\$\$ BEGIN PERFORM $schema.canary('cast'); RETURN enum_first(NULL::$schema.mood); END \$\$;
		CREATE CAST (text AS $schema.mood) WITH FUNCTION $schema.to_mood(text) AS ASSIGNMENT;
		CREATE DOMAIN $schema.guarded AS text CHECK ($schema.one('domain') = 1)},
		as => $role, %option);
	return;
}

# The statements that plant one kind on a table, for its owner.  Options: text
# => a column of type text that is in no key (note); key => one that is in one
# (id); schema => that of plant_seed (the table's).  partition_key and view
# are made beside the table: TABLE_partitioned, which has no key, TABLE_view.
sub plant
{
	my ($kind, $table, %option) = @_;
	my $text = $option{text} // 'note';
	my $key = $option{key} // 'id';
	my $schema = $option{schema} // ($table =~ /^(\w+)\./)[0];
	my ($name) = $table =~ /(\w+)$/;
	my %statements = (
		default => "ALTER TABLE $table ALTER $text
			SET DEFAULT $schema.one('default')::text",
		generated => "ALTER TABLE $table ADD canary_generated int
			GENERATED ALWAYS AS ($schema.one('generated')) STORED",
		check => "ALTER TABLE $table ADD CONSTRAINT canary_check
			CHECK ($schema.one('check') = 1) NOT VALID",
		domain => "ALTER TABLE $table ADD canary_domain $schema.guarded DEFAULT 'x'",
		index_expression => "CREATE INDEX ON $table
			(($schema.same('index_expression', $key)))",
		index_predicate => "CREATE UNIQUE INDEX ON $table ($key)
			WHERE $schema.one('index_predicate') = 1",
		partition_key => "CREATE TABLE ${table}_partitioned (LIKE $table)
				PARTITION BY LIST (($schema.same('partition_key', $key)));
			CREATE TABLE ${table}_rest PARTITION OF ${table}_partitioned DEFAULT",
		statistics => "CREATE STATISTICS $schema.canary_$name
			ON ($schema.one('statistics') + length($key)), $text FROM $table",
		policy => "ALTER TABLE $table ENABLE ROW LEVEL SECURITY;
			ALTER TABLE $table FORCE ROW LEVEL SECURITY;
			CREATE POLICY canary ON $table USING ($schema.one('policy') = 1)",
		rule => "CREATE RULE canary AS ON INSERT TO $table
			DO ALSO SELECT $schema.canary('rule')",
		view => "CREATE VIEW ${table}_view AS SELECT * FROM $table
			WHERE $schema.one('view') = 1 WITH CHECK OPTION",
		trigger => "CREATE TRIGGER canary BEFORE INSERT OR UPDATE OR DELETE ON $table
			FOR EACH ROW EXECUTE FUNCTION $schema.fire('trigger')",
		deferred_trigger => "CREATE CONSTRAINT TRIGGER canary_late AFTER INSERT ON $table
				DEFERRABLE FOR EACH ROW EXECUTE FUNCTION $schema.fire('deferred_trigger');
			CREATE TRIGGER canary_defer BEFORE INSERT ON $table
				FOR EACH ROW EXECUTE FUNCTION $schema.defer()",
		cast => "ALTER TABLE $table ADD canary_cast $schema.mood",
		operator => "ALTER TABLE $table ADD CONSTRAINT canary_operator
			CHECK ($key OPERATOR($schema.===) $key) NOT VALID");

	return $statements{$kind};
}

# What the canaries have written from that position of the log on: a list of
# [kind, current_user, session_user].
sub canaries
{
	my ($node, $from) = @_;
	my $log = slurp_file($node->logfile, $from);

	return map { [split(/ /)] } $log =~ /LOG:  canary (\w+ \S+ \S+)$/mg;
}

# A test: whoever ran into canaries was one of these roles, by current_user and
# session_user alike, and nobody has become a superuser.  With kinds, each of
# them must have been run into.
sub is_nobody_else
{
	my ($node, $from, $roles, $name, @kinds) = @_;
	my %allowed = map { $_ => 1 } @$roles;
	my @seen = canaries($node, $from);
	my %strangers = map { ("@$_" => 1) }
	  grep { !$allowed{ $_->[1] } || !$allowed{ $_->[2] } } @seen;
	my %kinds = map { $_->[0] => 1 } @seen;
	my @silent = grep { !$kinds{$_} } @kinds;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(', ', sort(keys %strangers)), '',
		"$name: nobody but " . join(', ', @$roles));
	is("@silent", '', "$name: each canary was run into") if @kinds;
	return is(sql("SELECT string_agg(rolname, ',') FROM pg_roles
				   WHERE rolsuper AND rolname <> 'postgres'"),
		'', "$name: no new superuser");
}

1;
