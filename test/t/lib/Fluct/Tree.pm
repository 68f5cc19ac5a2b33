# Fluct::Tree - the sources apart, for tests of how they are kept and built, and
# a PostgreSQL apart, which can have other versions of fluct
#
#   copy_sources("$dir/fluct");
#   change("$dir/fluct/Makefile", sub { s/a/b/ });
#   my ($path, $extensions) = private_postgres("$dir/root");
package Fluct::Tree;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Find;
use File::Path qw(make_path);
use Fluct;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(copy_sources files_below change private_postgres);

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

# A PostgreSQL of links, but for the programs that look for their files from
# where they are: the path for fluct_node()'s install_path, and the folder of
# its extensions.
sub private_postgres
{
	my ($root) = @_;
	my %of = map { chomp(my $path = `$ENV{PG_CONFIG} --$_`); ($_ => $path) } qw(bindir sharedir pkglibdir);
	my ($bin, $share, $lib) = @of{qw(bindir sharedir pkglibdir)};
	my %copied = map { ($_ => 1) } qw(postgres initdb pg_ctl);

	make_path("$root$bin", "$root$share/extension", dirname("$root$lib"));
	foreach my $file (glob("$bin/*"))
	{
		my $new = "$root$bin/" . basename($file);

		if (!$copied{ basename($file) })
		{
			symlink($file, $new) or die "$new: $!";
			next;
		}
		copy($file, $new) or die "$new: $!";
		chmod(0755, $new) or die "$new: $!";
	}
	foreach my $file (grep { basename($_) ne 'extension' } glob("$share/*"))
	{
		symlink($file, "$root$share/" . basename($file)) or die "$file: $!";
	}
	foreach my $file (glob("$share/extension/*"))
	{
		symlink($file, "$root$share/extension/" . basename($file)) or die "$file: $!";
	}
	-e "$root$lib" or symlink($lib, "$root$lib") or die "$lib: $!";
	return (dirname("$root$bin"), "$root$share/extension");
}

1;
