# doc/dbt.md: its files are a dbt project, which dbt runs as the page says.
#
# $DBT is the dbt to use; without it one is installed from PyPI into a
# virtual environment, and where that cannot be reached the test is skipped.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Page;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $dbt = $ENV{DBT} // install_dbt();
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, operator => 1);
my $page = slurp_file('doc/dbt.md');

# ----- the project, from the page -----

my ($role) = $page =~ /^```sql\n(CREATE ROLE dbt.*?)^```$/ms;
sql($role);
mkdir("$dir/$_") or die $! foreach qw(models tests macros);
my @files;
while ($page =~ /^```(?:yaml|jinja)\n(?:#|--) (\S+)\n(.*?)^```$/gms)
{
	push(@files, $1);
	write_file("$dir/$1", $2 =~ s/localhost/${\ $node->host}/gr
		  =~ s/5432/${\ $node->port}/gr =~ s/dbname: shop/dbname: postgres/gr);
}
is(scalar(@files), 6, "the files: @files");
my @commands = $page =~ /^```sh\n(dbt .*)\n```$/gm;
is(scalar(@commands), 3, 'the commands');

# Exit code, and what dbt says.
sub dbt
{
	my @words = split(/ /, shift);

	local %ENV = (%ENV, HOME => $dir, DBT_SEND_ANONYMOUS_USAGE_STATS => 'false');
	my ($rc, $out, $err) = run_program([ $dbt, '--no-use-colors', '--no-version-check', @words[1 .. $#words],
			'--project-dir', $dir, '--profiles-dir', $dir ]);
	return ($rc, $out . $err);
}

my ($freshness, $build, $streams) = @commands;

# ----- streams -----

$kafka->create_topic('orders');
$kafka->produce('orders', [ orders(20) ]);
my ($rc, $said) = dbt($streams);
is($rc, 0, $streams) or diag($said);
like($said, qr/stream "orders" created and started/, 'creates the stream');
ok(caught_up($node, 'orders'), 'which runs');
($rc, $said) = dbt($streams);
like($said, qr/stream "orders" is unchanged/, 'and then changes nothing');

# ----- sources, a model, a test -----

($rc, $said) = dbt($freshness);
is($rc, 0, $freshness) or diag($said);
like($said, qr/PASS freshness of fluct\.freshness/, 'it is fresh');
etl(q{INSERT INTO sales.industries VALUES ('Food'); INSERT INTO sales.customers SELECT DISTINCT customer_id, '' FROM sales.orders;
	INSERT INTO sales.customer_industries SELECT customer_id, 'Food' FROM sales.customers});
($rc, $said) = dbt($build);
is($rc, 0, $build) or diag($said);
is(sql('SELECT sum(orders) FROM marts.industry_days'), '20', 'the model counts the orders');

etl('ALTER TABLE sales.orders DROP COLUMN extra');
$kafka->produce('orders', [ orders(1, seed => 2) ]);
await_state($node, 'orders', 'failed');
($rc, $said) = dbt($build);
is($rc, 1, 'a stream that has failed');
like($said, qr/FAIL 1 fluct_is_well/, 'fails the build');

done_testing();

# dbt's path; without it the whole test is skipped.
sub install_dbt
{
	my ($bin, $why_not) = from_pypi('dbt-core~=1.9.0', 'dbt-postgres~=1.9.0');

	plan(skip_all => $why_not) if !defined($bin);
	my ($rc, $out, $err) = run_program([ "$bin/dbt", '--version' ]);
	plan(skip_all => "dbt 1.9 does not run with this Python: $err") if $rc != 0;
	return "$bin/dbt";
}
