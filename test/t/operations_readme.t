# The statements of the README, and of the pages in doc/, run as printed, in the
# order of the page: the quick start, and then the tasks.
use strict;
use warnings;
use lib 'test/t/lib';
use File::Copy qw(copy);
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('main', extension => 0, 'fluct.inbox_root' => $dir);
my $bootstrap = $kafka->bootstrap;

# What the page takes for granted: topics, and files to load.
$kafka->create_topic($_, 4) foreach qw(orders clicks visits);
copy("test/data/$_->[0]", "$dir/$_->[1]") or die "$_->[0]: $!"
  foreach [ 'Industries.csv', 'industries.csv' ],
  [ 'Products.csv', 'products.csv' ],
  [ 'Customers.csv', 'customers.csv' ],
  [ 'orders.jsonl', 'orders.jsonl' ];
write_file("$dir/kunden.csv", "sep=;\r\nKunde Nr.;Firma;Branchen\r\nk1;M\xfcller GmbH;Cleaning,Polymers\r\nk2;#NV;Coatings\r\n;;\r\n");
write_file("$dir/articles.csv", "sku,name,price,stock\na1,One,1.5,3\na2,Two,x,\n");
write_file("$dir/artikel.csv", "Artikel Nr.;Preis\na3;2\n");
foreach my $folder ('tmp', 'inbox', 'inbox/customers', 'inbox/articles')
{
	mkdir("$dir/$folder") or die "$dir/$folder: $!";
}

# The blocks of SQL and shell: section, language, text.
my @blocks;
my $text = slurp_file('README.md');
foreach my $page ('README.md', sort glob('doc/*.md'))
{
	my $section = '';
	my $of = $page eq 'README.md' ? '' : "$page: ";
	my $content = slurp_file($page);

	while ($content =~ /^## ([^\n]*)$|^```(sql|sh)\n(.*?)^```$/gms)
	{
		if (defined($1))
		{
			$section = $of . $1;
		}
		else
		{
			push(@blocks, [ $section, $2, $3 ]);
		}
	}
}

# As in the page but for where the broker and the files are.
sub here
{
	my ($block) = @_;

	$block =~ s/localhost:9092/$bootstrap/g;
	$block =~ s{/tmp/}{$dir/tmp/}g;
	$block =~ s{/srv/fluct/}{$dir/}g;
	$block =~ s{-h localhost -U etl (.*) shop \|}{-U etl $1 postgres |}g;
	return $block;
}

# Who types a block: what makes roles and extensions is for a superuser, all
# else for the operator.
sub as
{
	my ($block) = @_;

	return $block =~ /CREATE (EXTENSION|ROLE)|uninstall/ ? () : (as => 'etl');
}

# Every reason of the README's table is in the runbook, and every problem of
# health in the page's table and in an alert.
sub cells
{
	my ($table, $column) = @_;

	return map { (split(/ *\| */))[$column] =~ /(\w+)(?=,|$| \()/g } $table =~ /^\|(?! *-)(.*)\|$/mg;
}
my $operations = slurp_file('doc/operations.md');
my ($runbook) = $operations =~ /^## Reasons of a stream$(.*?)^## /ms;
my ($reasons) = $text =~ /^(\| state \| reason \|.*?)^## /ms;
my %known = map { $_ => 1 } cells($runbook, 0);
is(join(' ', grep { !$known{$_} } cells($reasons, 1)), '', 'the runbook has each reason');
my $alerts = slurp_file('doc/monitoring/alerts.yml');

my ($start) = $text =~ /^## Quick start$(.*?)^## /ms;
my $statements = () = join('', $start =~ /^```sql\n(.*?)^```$/gms) =~ /;$/gm;
cmp_ok($statements, '<=', 14, "the quick start has $statements statements");

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
foreach my $block (@blocks)
{
	my ($of, $language, $code) = @$block;
	my ($first) = $code =~ /^([^\n]{0,60})/;

	if ($language eq 'sql')
	{
		my ($rc, $out, $err) = outcome(here($code), as($code), timeout => 300);

		is($rc, 0, "$of: $first") or diag($err);
	}
	elsif ($of eq 'Quick start')
	{
		is(system('bash', '-o', 'pipefail', '-c', here($code)),
			0, "$of: $first");
	}
}

is(sql(q{SELECT string_agg(w, ' ') FROM regexp_split_to_table(substring(col_description('fluct.health'::regclass, 3) FROM ': (.*)'), ', ') w
	WHERE strpos($page$} . $operations . q{$page$, w) = 0 OR w <> 'behind' AND $alerts$} . $alerts . q{$alerts$ !~ ('["|]' || w || '["|]')}),
	'', 'each problem of health is explained, and in an alert');
is(sql("SELECT count(*) FROM sales.raw_messages WHERE stream = 'orders'"),
	20001, 'the messages went through Kafka');

done_testing();
