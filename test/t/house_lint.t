# The house rules are checked: a tree that keeps them passes, and each thing
# that is planted in it is refused, by file and reason.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Tree;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = PostgreSQL::Test::Utils::tempdir() . '/fluct';

copy_sources($tree);

# Whether it passes, and what it prints.
sub lint
{
	my $out = '';
	my $passes = IPC::Run::run([ "$tree/test/lint" ], '>&', \$out);

	return ($passes, $out);
}

my ($clean, $said) = lint();
ok($clean, 'the tree as it is passes') or diag($said);
like($said, qr/^1\.\.\d+$/m, 'with all its checks');

# What is planted, and the line that refuses it.  Headers are in no list, so
# that only what is meant is wrong with them.
my $machine = '/ro' . 'ot/fluct';
my @plants = (
	[
		'an upward include', 'src/sink/up.h', qq(#include "stream/stream.h"\n),
		'src/sink/up.h includes stream/stream.h, which is not below it'
	],
	[
		'half a circle', 'src/rollup/one.h', qq(#include "rollup/two.h"\n),
		'src/rollup/one includes src/rollup/two includes src/rollup/one'
	],
	[
		'the other half', 'src/rollup/two.h', qq(#include "rollup/one.h"\n),
		'src/rollup/one includes src/rollup/two includes src/rollup/one'
	],
	[
		'a header of PostgreSQL in json/', 'src/json/impure.h',
		qq(#include "utils/builtins.h"\n),
		'src/json/impure.h includes utils/builtins.h, but json is pure'
	],
	[
		'an include without its folder', 'src/json/near.h',
		qq(#include "json.h"\n),
		'src/json/near.h includes json.h without its folder'
	],
	[
		'a folder of no layer', 'src/attic/old.h', "extern int fluct_old;\n",
		'attic is in no row of test/layers'
	],
	[
		'includes in disorder', 'src/sink/mixed.h',
		qq(#include "json/json.h"\n#include "utils/rel.h"\n),
		'src/sink/mixed.h: utils/rel.h stands in the wrong place'
	],
	[
		'a source that is not built', 'src/base/forgotten.c',
		"int\t\t\tfluct_forgotten = 1;\n",
		'src/base/forgotten.c is missing in OBJS'
	],
	[
		'a version test', 'src/sink/version.h',
		"#if PG_VERSION_NUM < 160000\n#endif\n",
		'src/sink/version.h tests PG_VERSION_NUM; that belongs in compat.h'
	],
	[
		'a style of its own', 'src/sink/style.h', "extern int x ;\n",
		'src/sink/style.h: `make indent` changes:'
	],
	[
		'English of another language', 'src/sink/idiom.h',
		"/* What is no\n * regular row, of somebody who has not the right. */\n",
		'src/sink/idiom.h:1: "is no regular" (is not a)'
	],
	[
		'which may be broken by a line', 'sql/idiom.sql',
		"-- Made anew when it\n-- is there already: there is no harm in it.\n",
		'sql/idiom.sql:1: "Made anew" (recreated, rebuilt)'
	],
	[
		'a contraction in a message', 'src/sink/short.c',
		qq(/* can't */\nconst char *fluct_short = "%s can't be read";\n),
		qq(src/sink/short.c:2: "can't" in what is printed)
	],
	[
		'a contraction in SQL', 'sql/short.sql',
		"-- can't\nCOMMENT ON TABLE a IS 'it isn''t';\n",
		qq(sql/short.sql:2: "isn''t" in what is printed)
	],
	[
		'a function without a caller', 'src/sink/lonely.h',
		"extern int\tfluct_lonely(void);\n",
		'src/sink/lonely.h: fluct_lonely has no caller outside of its file'
	],
	[
		'and one of SQL', 'sql/lonely.sql',
		"CREATE OR REPLACE FUNCTION fluct._lonely() RETURNS int LANGUAGE sql AS 'SELECT 1';\n",
		'fluct._lonely has no caller'
	],
	[
		'a suite that nobody finds', 'test/specs/forgotten.spec',
		"session s\n",
		'test/README.md does not name the suite forgotten'
	],
	[
		'a path of one machine', 'test/unit/where.txt', "$machine/src\n",
		"test/unit/where.txt:1: a path of one machine: $machine/src"
	],
	[
		'a script that does not parse', 'test/broken',
		"#!/bin/bash\nif\n", 'test/broken is not executable'
	]);

foreach my $plant (@plants)
{
	my ($what, $file, $text) = @$plant;

	mkdir("$tree/$1") if $file =~ m{^(.*)/};
	write_file("$tree/$file", $text);
}
change("$tree/Makefile",
	sub { s{^OBJS = \\\n}{$&\tsrc/zoo/gone.o \\\n}m or die });
change("$tree/src/README.md", sub { s{^\| `json/scan\.c`}{| `json/scam.c`}m or die;
	s{`_spend\(\)`}{`_spent()`} or die });
change("$tree/README.md",
	sub { $_ .= "\n" x 400 . "[a](doc/none.md) [b](#nothing)\n" });
change("$tree/META.json", sub { s{"version": "[\d.]+"}{"version": "9.9"} or die });

my ($passes, $planted) = lint();
ok(!$passes, 'a planted tree fails');
foreach my $plant (@plants)
{
	my ($what, $file, $text, $line) = @$plant;

	next if $line =~ /indent/ && $said =~ /# SKIP no pg_bsd_indent/;
	like($planted, qr/^# +\Q$line\E$/m, "refused: $what");
}
like($planted, qr/^# +OBJS has src\/zoo\/gone\.o, which has no source$/m,
	'refused: an object without a source');
like($planted, qr/^# +OBJS is not sorted$/m, 'refused: a list in disorder');
like($planted, qr/^# +README\.md$_$/m, "refused: README.md$_")
  foreach (' has \d+ lines, more than 350', ': no doc/none\.md',
	': no heading #nothing in README\.md');
like($planted, qr/^# +src\/README\.md \Q$_\E$/m, "refused: a map that $_")
  foreach ('does not list base/forgotten.c', 'does not list json/scan.c',
	'lists json/scam.c, which is not there',
	'names _spent(), which is not there');
like($planted, qr/^# +META\.json says 9\.9, fluct\.control /m,
	'refused: another version in META.json');
like($planted, qr/syntax error/, 'refused: a script that does not parse');

unlike($planted, qr/"there is no|short\.(?:c|sql):1:/i,
	'not refused: "there is no", and contractions in comments');

done_testing();
