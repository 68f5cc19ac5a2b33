# Fluct::Page - doc/ranking.md, what it takes for granted, and programs around it
#
#   load_sample($node, $dir);            # the data of the page, as it loads it
#   my @blocks = blocks('doc/ranking.md');   # [ section, sql, its output ], ...
#   my $soffice = program('soffice');    # or undef
#   my $python = python('nbclient', 'ipykernel');       # or undef
#   my ($bin, $why_not) = from_pypi('nbclient', 'ipykernel');
#
# $PYTHON is the Python that has the modules (default: python3).
package Fluct::Page;

use strict;
use warnings;
use Exporter 'import';
use Fluct;
use IPC::Run;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(load_sample blocks program python from_pypi run_program);

# The blocks of SQL of a page, each with the text block that follows it.
sub blocks
{
	my ($page) = @_;
	my $section = '';
	my @blocks;
	my $text = slurp_file($page);

	while ($text =~ /^\#\#+ ([^\n]*)$|^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?/gms)
	{
		if (defined($1))
		{
			$section = $1;
		}
		else
		{
			push(@blocks, [ $section, $2, $3 ]);
		}
	}
	return @blocks;
}

# The page's own statements; $dir is the node's fluct.inbox_root.
sub load_sample
{
	my ($node, $dir) = @_;

	foreach my $block (blocks('doc/ranking.md'))
	{
		my ($section, $code) = @$block;

		next if $section ne 'The data of this page';
		$code =~ s{/srv/fluct/}{$dir/}g;
		etl($node, $code);
	}
	return;
}

# The path of a program, or undef.
sub program
{
	my ($name) = @_;

	foreach my $folder (split(/:/, $ENV{PATH}))
	{
		return "$folder/$name" if -x "$folder/$name";
	}
	return undef;
}

# A Python that has these modules, or undef.
sub python
{
	my @modules = @_;
	my $python = $ENV{PYTHON} // program('python3') // return undef;
	my ($rc) = run_program(
		[ $python, '-c', join('; ', map { "import $_" } 'sys', @modules) ]);

	return $rc == 0 ? $python : undef;
}

# The bin of a new virtual environment with these packages, or undef and why
# there is none.
sub from_pypi
{
	my @packages = @_;
	my $python = python('venv', 'ensurepip')
	  or return (undef, 'no python3 with venv');
	my $venv = PostgreSQL::Test::Utils::tempdir();

	run_program([ $python, '-m', 'venv', $venv ]);
	my ($rc, $out, $err) = run_program([ "$venv/bin/pip", 'install', '--quiet',
			'--retries', '1', '--disable-pip-version-check', @packages ]);

	return $rc == 0 ? "$venv/bin" : (undef, "not to be had from PyPI: @packages: $err");
}

# Exit code, output and errors of a program, which gets $in to read.
sub run_program
{
	my ($command, $in) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run($command, '<', \($in // ''), '>', \$out, '2>', \$err,
		IPC::Run::timeout(300));

	return ($ok ? 0 : ($? >> 8 || 1), $out, $err);
}

1;
