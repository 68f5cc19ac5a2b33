# Fluct::Tree - the sources apart, for tests of how they are kept and built
#
#   copy_sources("$dir/fluct");
#   change("$dir/fluct/Makefile", sub { s/a/b/ });
package Fluct::Tree;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Find;
use File::Path qw(make_path);
use Fluct;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(copy_sources files_below change);

# All files below a directory, by their names from there.
sub files_below
{
	my ($dir) = @_;
	my @files;

	find({ no_chdir => 1, wanted => sub {
			push(@files, substr($_, length($dir) + 1)) if -f || -l } }, $dir);
	return sort @files;
}

# Copies the tree in which the tests run: what is committed, and nothing that
# was made for the tests.
sub copy_sources
{
	my ($to) = @_;

	foreach my $file (grep { !m{^(test/(build|expected|results)|output_iso)/|\.(o|bc|so)$|^fluct--} }
		files_below('.'))
	{
		make_path(dirname("$to/$file"));
		copy($file, "$to/$file") or die "$file: $!";
		chmod((stat($file))[2] & 07777, "$to/$file");
	}
	return;
}

# Changes the text of a file, which the function finds in $_.
sub change
{
	my ($file, $change) = @_;

	local $_ = slurp_file($file);
	$change->();
	return write_file($file, $_);
}

1;
