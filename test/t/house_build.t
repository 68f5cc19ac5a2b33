# A build outside the tree, as Debian's packages have it: it leaves the sources
# alone, installs what a build inside the tree installs, and is not as strict
# with a user's compiler as with ours.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct::Tree;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my @make = ('make', '-s', '-j2', "PG_CONFIG=$ENV{PG_CONFIG}", 'COPT=-O0',
	'with_llvm=no');
my %built;

# Without the flags of a make that may run this.
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS WERROR)};

copy_sources("$dir/inside");
copy_sources("$dir/fluct");
mkdir("$dir/outside") or die $!;
my @sources = files_below("$dir/fluct");

# The one who may write everything is not kept out, but found out below.
system_or_bail('chmod', '-R', 'a-w', "$dir/fluct");

command_ok([ @make, '-C', "$dir/inside", 'install', "DESTDIR=$dir/from_inside" ],
	'built and installed from inside');
command_ok(
	[ @make, '-C', "$dir/outside", '-f', '../fluct/Makefile', 'VPATH=../fluct',
		'install', "DESTDIR=$dir/from_outside" ],
	'built and installed from outside');
is_deeply([ files_below("$dir/from_outside") ],
	[ files_below("$dir/from_inside") ], 'the same files');
is_deeply([ sort map { s{.*/}{}r } files_below("$dir/from_inside") ],
	[ scripts(), 'fluct.control', 'fluct.so' ],
	'which are the library, the scripts, and the control file');
foreach my $file (grep { /\.(sql|control)$/ } files_below("$dir/from_inside"))
{
	is(slurp_file("$dir/from_outside/$file"),
		slurp_file("$dir/from_inside/$file"), "the same $file" =~ s{/.*/}{}r);
}
is_deeply([ files_below("$dir/fluct") ], \@sources,
	'the sources are as they were');

# With -Werror a compiler that is newer than ours could not build it.
my ($out, $err) = run_command([ @make, '-nB', '-C', "$dir/inside", 'all' ]);
like($out, qr/ -Wall /, 'the build warns');
unlike($out, qr/-Werror(?!=)/, 'but a warning does not end it');
($out, $err) = run_command(
	[ @make, '-nB', '-C', "$dir/inside", 'all', 'WERROR=-Werror' ]);
like($out, qr/-Werror /, 'unless it is asked to');

# What was read-only can be removed again.
system_or_bail('chmod', '-R', 'u+w', "$dir/fluct");
done_testing();

# Those that were released, that of this version, and the update to it.
sub scripts
{
	my %scripts = map { s{.*/}{}r => 1 } glob('sql/released/*.sql');
	my ($last) = reverse(sort map { /^fluct--([\d.]+)\.sql$/ } keys %scripts);

	$scripts{ 'fluct--' . version() . '.sql' } = 1;
	$scripts{ "fluct--$last--" . version() . '.sql' } = 1 if defined($last) && $last ne version();
	return sort keys %scripts;
}

sub version
{
	my ($version) =
	  slurp_file("$dir/fluct/fluct.control") =~ /^default_version = '(.*)'/m;

	return $version;
}
