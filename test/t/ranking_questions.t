# doc/ranking.md prints what its statements print; the script and the notebook
# of test/demo ask the same questions, and get the same answers.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Page;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('main', operator => 1, timezone => 'UTC',
	'fluct.inbox_root' => $dir);
my $day = '2026-02-14';
my @blocks = blocks('doc/ranking.md');
my $script = slurp_file('test/demo/ad-hoc.sql');
my $notebook = join("\n", map { join('', @{ $_->{source} }) }
	  @{ decode_json(slurp_file('test/demo/ad-hoc.ipynb'))->{cells} });

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = 'etl';
$ENV{PGDATABASE} = 'postgres';
$ENV{PGCLIENTENCODING} = 'UTF8';
load_sample($node, $dir);

# As psql prints it, but for blanks at the ends of lines and the number of rows.
sub printed
{
	my ($statements, @options) = @_;
	my ($rc, $out, $err) = run_program(
		[ 'psql', '-XqP', 'footer=off', '-v', 'ON_ERROR_STOP=1', @options ],
		$statements);

	is($rc, 0, 'psql runs it') or diag($err);
	$out =~ s/ +$//gm;
	$out =~ s/\n+\z/\n/;
	return $out;
}

# What the page shows
my %asked;
foreach my $block (@blocks)
{
	my ($section, $code, $output) = @$block;
	my ($first) = $code =~ /^([^\n]{0,60})/;

	next if !defined($output) || $section eq 'Recording on a schedule';    # what it prints is of today
	is(printed($code), $output, "$section: $first");
	$asked{$section} = [ $code, $output ];
}
cmp_ok(scalar(keys %asked), '>=', 9, 'the page shows the questions');

# The same questions elsewhere; there the day is a variable.
my $answers = printed($script, '-v', "day=$day");
foreach my $section (sort keys %asked)
{
	my ($code, $output) = @{ $asked{$section} };

	next if $code =~ /sparkline\(/;
	$code =~ s/'$day'/:'day'/g;
	$code =~ s/\s+\z//;
	ok(index($script, $code) >= 0, "the script asks: $section");
	ok(index($answers, $output) >= 0, "the script prints: $section");
	ok(index($notebook, $code) >= 0, "the notebook asks: $section");
}
my ($rc, $out, $err) =
  run_program([ 'psql', '-Xq', '-f', 'test/demo/ad-hoc.sql' ]);
is($rc, 0, 'the script finds the day itself') or diag($err);
like($out, qr/Beverages/, 'and answers');

SKIP:
{
	my $python = python('nbclient', 'ipykernel');
	my ($bin, $why_not) = defined($python) ? () : from_pypi('nbclient', 'ipykernel');
	$python //= "$bin/python" if defined($bin);
	skip($why_not, 3) if !defined($python);
	my $run = q{
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output["output_type"], *output.get("data", {}).values())
};

	$ENV{DAY} = $day;
	($rc, $out, $err) =
	  run_program([ $python, '-c', $run, 'test/demo/ad-hoc.ipynb' ]);
	is($rc, 0, 'the notebook runs') or diag($err);

	# every cell of every table of the page is a cell of a table there
	my @missing;
	foreach my $section (sort keys %asked)
	{
		my ($code, $output) = @{ $asked{$section} };

		next if $code =~ /sparkline\(/;
		foreach my $cell (map { split(/\|/) } grep { !/^-+(\+-+)*$/ } split(/\n/, $output))
		{
			$cell =~ s/^\s+|\s+$//g;
			$cell =~ s/&/&amp;/g;
			push(@missing, "$section: $cell")
			  if $cell ne '' && index($out, ">$cell<") < 0;
		}
	}
	is(join("\n", @missing), '', 'and shows what the page shows');
	like($out, qr/<iframe srcdoc="&lt;!DOCTYPE html&gt;/, 'and the page');
}

done_testing();
