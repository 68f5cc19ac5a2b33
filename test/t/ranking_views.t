# The views for BI tools: an update of the extension adds a column to podium()
# with all views there, create_tables() replaces them; and a spreadsheet takes
# what \copy writes of them.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Page;
use Fluct::Tree;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();

my ($path, $extensions) = private_postgres("$dir/root");
my $node = fluct_node('main', operator => 1, timezone => 'UTC',
	install_path => $path, 'fluct.inbox_root' => $dir);
my ($version) = slurp_file('fluct.control') =~ /^default_version *= *'(.*)'/m;

load_sample($node, $dir);
sql(q{
	CREATE ROLE analyst LOGIN;
	SELECT fluct.grant_reader('analyst')});
etl(q{
	INSERT INTO sales.orders
	SELECT 'new ' || o.order_id, o.customer_id, o.amount, now() - interval '2 hours'
	FROM sales.orders o ORDER BY o.order_id LIMIT 200;
	SELECT fluct.record_fluctuations('kept', '2026-02-15Z');
	CREATE VIEW public.mine AS SELECT t.*, h.as_of FROM sales.podium_today t JOIN sales.fluctuation_history h USING (industry)});

sub columns
{
	my ($view) = @_;

	return sql(qq{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = '$view'::regclass AND attnum > 0});
}

### An update with a column more

my $columns = columns('sales.podium_today');
my $before = sql('SELECT rank, industry FROM sales.podium_today', as => 'analyst');

# What such a version does: the function is another one, with another row type;
# the one that the view stands on stays, and the model has its successor.
write_file("$extensions/fluct--$version--next.sql", q{
ALTER TYPE fluct.podium_row ADD ATTRIBUTE note text;
DO $do$
DECLARE
	definition text;
BEGIN
	EXECUTE replace(pg_get_functiondef('fluct._podium(fluct._fluctuation[], int, boolean)'::regprocedure), 'r.recent_orders, complete', $$r.recent_orders, complete, 'a note'$$);
	definition := pg_get_functiondef('fluct.podium'::regproc);
	DROP FUNCTION fluct.podium;
	EXECUTE definition;
	EXECUTE replace(pg_get_functiondef('fluct._model_views'::regproc), '_podium_1', '_podium_2');
	EXECUTE replace(pg_get_functiondef('fluct._model_view_columns'::regproc), $$('podium_today', 'rank'$$,
					$$('podium_today', 'note', 'what was noted'), ('podium_today', 'rank'$$);
END
$do$;
CREATE FUNCTION fluct._podium_2()
RETURNS TABLE (rank int, industry text, recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   recent_orders bigint, complete boolean, note text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM fluct.podium()';
DO $$
DECLARE
	role regrole;
BEGIN
	FOR role IN SELECT fluct._granted_roles() LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION fluct.podium, fluct._podium_2 TO %s', role);
	END LOOP;
END
$$;
});
is(sql("ALTER EXTENSION fluct UPDATE TO 'next';
	SELECT extversion FROM pg_extension WHERE extname = 'fluct'"),
	'next', 'updated with all views there');
is(etl('SELECT DISTINCT note FROM fluct.podium()'), 'a note', 'podium() has a column more');
is(columns('sales.podium_today'), $columns, 'the view has its columns');
is(sql('SELECT rank, industry FROM sales.podium_today', as => 'analyst'), $before, 'and its rows');
isnt($before, '', 'of which there are some');

is(etl('SELECT fluct.create_tables()'), 'created new columns of view podium_today',
	'create_tables() replaces the view');
is(columns('sales.podium_today'), "$columns note", 'with the column at its end');
is(sql('SELECT DISTINCT note FROM sales.podium_today', as => 'analyst'), 'a note', 'readers may still read it');
is(sql(q{SELECT col_description('sales.podium_today'::regclass, 9), c.reloptions FROM pg_class c
	WHERE c.oid = 'sales.podium_today'::regclass}), 'what was noted|{security_invoker=true}', 'as the model has it');
cmp_ok(sql('SELECT count(*) FROM public.mine'), '>', 0, 'a view over it is still there');
is(etl('SELECT fluct.create_tables()'), 'nothing was missing', 'once');

### In a spreadsheet

my %exports = (podium => 'TABLE sales.podium_today', history => 'TABLE sales.fluctuation_history');

foreach my $name (sort keys %exports)
{
	etl("\\copy ($exports{$name}) TO '$dir/$name.csv' CSV HEADER");
}

# The cells of the first sheet, each as [ type, value, text ].
sub cells
{
	my ($file) = @_;
	my @rows;

	foreach my $row (slurp_file($file) =~ m{<table:table-row[^>]*>(.*?)</table:table-row>}gs)
	{
		my @cells;

		while ($row =~ m{<table:table-cell([^>]*?)(?:/>|>(.*?)</table:table-cell>)}gs)
		{
			my ($attributes, $text) = ($1, $2 // '');
			my ($type) = $attributes =~ /office:value-type="([^"]*)"/;
			my ($value) = $attributes =~ /office:value="([^"]*)"/;
			my ($times) = $attributes =~ /table:number-columns-repeated="(\d+)"/;

			$text =~ s/<[^>]*>//g;
			$text =~ s/^\s+|\s+$//g;
			push(@cells, ([ $type // '', $value // $text, $text ]) x ($times // 1)) if ($times // 1) < 100;
		}
		push(@rows, \@cells) if grep { $_->[0] ne '' } @cells;
	}
	return @rows;
}

SKIP:
{
	my $soffice = program('soffice') or skip('no LibreOffice', 1);

	foreach my $locale ('de-DE', 'en-US')
	{
		make_path("$dir/$locale/user");
		write_file("$dir/$locale/user/registrymodifications.xcu", qq{<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Setup/L10N"><prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>$locale</value></prop></item>
</oor:items>
});
		foreach my $name (sort keys %exports)
		{
			# 44 is the comma, 34 the quote, 76 UTF-8, 1033 English (USA)
			my ($rc, $out, $err) = run_program([ $soffice, '--headless',
				"-env:UserInstallation=file://$dir/$locale", '--infilter=CSV:44,34,76,1,,1033',
				'--convert-to', 'fods', '--outdir', "$dir/$locale", "$dir/$name.csv" ]);
			my ($header, @rows) = cells("$dir/$locale/$name.fods");
			my @csv = map { [ split(/,/) ] } split(/\n/, slurp_file("$dir/$name.csv"));
			my @wrong;

			is($rc, 0, "$locale: $name.csv opens") or diag($err);
			is(join(',', map { $_->[1] } @$header), join(',', @{ $csv[0] }), "$locale: its header");
			is(scalar(@rows), scalar(@csv) - 1, "$locale: its rows");
			foreach my $i (0 .. $#rows)
			{
				foreach my $j (0 .. $#{ $csv[0] })
				{
					next if $csv[0][$j] !~ /^(rank|recent_value|baseline_avg|delta|delta_pct|recent_orders)$/
					  || $csv[ $i + 1 ][$j] eq '';
					my ($type, $value) = @{ $rows[$i][$j] };

					push(@wrong, "$csv[0][$j] $csv[$i + 1][$j] is $type $value")
					  if $type ne 'float' || abs($value - $csv[ $i + 1 ][$j]) > 1e-6;
				}
			}
			is(join("\n", @wrong), '', "$locale: numbers are numbers");
			is($rows[0][4][2] =~ /,\d/ ? 'comma' : 'point', $locale eq 'de-DE' ? 'comma' : 'point',
				"$locale: shown in its way") if $name eq 'podium';
		}
	}
}

done_testing();
