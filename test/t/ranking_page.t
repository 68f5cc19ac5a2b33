# The page of report_html(): its markup by an HTML parser, and what a browser
# draws of it, on a phone and on a desktop, beside the numbers of plain SQL.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Page;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('main', operator => 1, timezone => 'UTC',
	'fluct.inbox_root' => $dir);
my $day = '2026-02-14';
my @evil = (
	q{<script>document.title='broken'</script>},
	q{"><img src="http://127.0.0.1/x" onerror="alert(1)">},
	q{</title></svg></style><h1>&amp; ' R&D});

load_sample($node, $dir);

# An industry that is called like markup, with refunds, and one that is silent.
etl(qq{
	SET client_min_messages = warning;
	INSERT INTO sales.industries VALUES (\$\$$evil[0]\$\$), ('Silent');
	INSERT INTO sales.customers VALUES ('evil', \$\$$evil[1]\$\$);
	INSERT INTO sales.products VALUES ('evil', \$\$$evil[2]\$\$, 1);
	INSERT INTO sales.customer_industries VALUES ('evil', \$\$$evil[0]\$\$);
	INSERT INTO sales.orders
	SELECT 'evil ' || n, 'evil', CASE n % 3 WHEN 0 THEN -2000000.5 ELSE 1000000.25 END,
		timestamptz '2026-01-10 12:00Z' + n * interval '1 day'
	FROM generate_series(0, 34) n;
	INSERT INTO sales.orders VALUES ('refund', 'evil', -60000000, '2026-02-14 13:00Z');
	INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
	VALUES ('refund', 1, 'evil', 1, -60000000, '2026-02-14 13:00Z')});

# Plain SQL: each industry's spend of each of the 31 days.
my %spend;
foreach my $row (split(/\n/, sql(qq{
	SELECT i.industry, coalesce(sum(o.amount), 0)
	FROM sales.industries i
	CROSS JOIN generate_series(date '$day' - 30, date '$day', '1 day') d
	LEFT JOIN sales.customer_industries ci ON ci.industry = i.industry
	LEFT JOIN sales.orders o ON o.customer_id = ci.customer_id
		AND o.ordered_at >= d AND o.ordered_at < d + interval '1 day'
	GROUP BY i.industry, d ORDER BY i.industry, d})))
{
	my ($industry, $amount) = $row =~ /^(.*)\|([^|]*)$/;

	push(@{ $spend{$industry} }, $amount);
}

sub average
{
	my ($industry) = @_;
	my $sum = 0;

	$sum += $_ foreach @{ $spend{$industry} }[ 0 .. 29 ];
	return $sum / 30;
}

my @podium = (
	sort { abs($spend{$b}[30] - average($b)) <=> abs($spend{$a}[30] - average($a)) }
	  keys %spend)[ 0 .. 2 ];
my $page = etl("SELECT fluct.report_html('$day')");

is($podium[0], $evil[0], 'the refund leads');
unlike($page, qr/[^\n -~]/, 'the page is ASCII');

SKIP:
{
	my $python = python() or skip('no Python', 6);
	my ($rc, $out, $err) = run_program([ $python, 'test/t/lib/page.py' ], $page);
	my $texts = join("\n", $out =~ /^text\t(.*)$/mg);

	is($rc, 0, 'parsed') or diag($err);
	is(join("\n", $out =~ /^problem\t(.*)$/mg), '', 'well-formed, and nothing but texts and pictures');
	is(join('|', $out =~ /^title\t(Fluct.*)$/mg), "Fluctuations, $day", 'its title');
	foreach my $text (@evil)
	{
		my $expected = length($text) > 28 ? substr($text, 0, 25) . '...' : $text;

		ok(index($texts, $text eq $evil[0] ? $text : $expected) >= 0, "a text: $text");
	}

	# the parser finds what is wrong
	($rc, $out) = run_program([ $python, 'test/t/lib/page.py' ],
		$page =~ s{</main>}{<p onclick="x"><script>1</script>}r);
	like($out, qr/^problem\telement script$/m, 'it would find a script');
	like($out, qr/^problem\tattribute onclick of p$/m, 'an attribute');
	like($out, qr/^problem\t<\/body> closes nothing$/m, 'an element that is not closed');
}

# What the browser measures, of the page at a width; scheme 0 is dark, 1 light.
sub measured
{
	my ($browser, $width, $scheme) = @_;
	my ($rc, $around) = run_program([ python(), 'test/t/lib/page.py', $width ], $page);
	my $file = write_file("$dir/around-$width.html", $around);
	my ($ok, $out, $err) = run_program([ $browser, '--headless', '--no-sandbox',
		'--disable-gpu', "--user-data-dir=$dir/browser", '--window-size=1400,1000',
		"--blink-settings=preferredColorScheme=$scheme", '--dump-dom', "file://$file" ]);
	my ($json) = $out =~ m{<pre id="measured">([^<]*)</pre>};

	ok(defined($json), "$width pixels: measured") or diag($err), return undef;
	return decode_json(decode_base64($json));
}

# Whether pixels are as expected, to a fifth of one.
sub near
{
	my ($drawn, $expected) = @_;

	return abs($drawn - $expected) < 0.2;
}

# A chart's bars and its line, in pixels for each unit of its own scale.
sub check_chart
{
	my ($chart, $width) = @_;
	my $industry = $chart->{industry};
	my @amounts = @{ $spend{$industry} };
	my $average = average($industry);
	my ($low, $high) = (0, 0);
	my @wrong;

	foreach my $value (@amounts, $average)
	{
		$low = $value if $value < $low;
		$high = $value if $value > $high;
	}

	# 320 × 100 units on the screen's width, 96 of them from low to high
	my $pixels = ($chart->{zero}{width} / 320) * 96 / (($high - $low) || 1);
	my $zero = $chart->{zero}{y};

	foreach my $i (0 .. $#amounts)
	{
		my $bar = $chart->{bars}[$i];
		my $top = $zero - ($amounts[$i] > 0 ? $amounts[$i] : 0) * $pixels;

		push(@wrong, "bar $i is of height $bar->{height} at $bar->{y}")
		  if !near($bar->{height}, abs($amounts[$i]) * $pixels) || !near($bar->{y}, $top);
		push(@wrong, "bar $i is titled $bar->{title}")
		  if $bar->{title} !~ /^2026-\d\d-\d\d: (-?[0-9,]+\.\d\d)$/
		  || abs($1 =~ tr/,//dr - $amounts[$i]) > 0.0051;
		push(@wrong, "bar $i is left of its neighbour")
		  if $i > 0 && $bar->{x} < $chart->{bars}[ $i - 1 ]{x} + $chart->{bars}[ $i - 1 ]{width};
	}
	push(@wrong, scalar(@{ $chart->{bars} }) . ' bars') if @{ $chart->{bars} } != 31;
	push(@wrong, "the average lies at $chart->{average}{y}")
	  if !near($chart->{average}{y}, $zero - $average * $pixels);
	push(@wrong, "the last bar is $chart->{bars}[30]{class}")
	  if $chart->{bars}[30]{class} ne 'recent '
	  . ($amounts[30] > $average ? 'up' : $amounts[30] < $average ? 'down' : 'even');
	is(join("\n", @wrong), '', "$width pixels: the chart of $industry");
	return;
}

# The podium's bars, all on one scale.
sub check_podium
{
	my ($drawn, $width) = @_;
	my ($low, $high) = (0, 0);
	my @wrong;

	is(join("\n", map { $_->{industry} } @$drawn), join("\n", @podium), "$width pixels: the podium");
	foreach my $value (map { ($spend{$_}[30], average($_)) } @podium)
	{
		$low = $value if $value < $low;
		$high = $value if $value > $high;
	}
	foreach my $place (@$drawn)
	{
		my $pixels = $place->{scale} / ($high - $low);
		my @values = ($spend{ $place->{industry} }[30], average($place->{industry}));

		foreach my $i (0, 1)
		{
			push(@wrong, "$place->{industry}: bar $i is of width $place->{bars}[$i]{width}")
			  if !near($place->{bars}[$i]{width}, abs($values[$i]) * $pixels);
		}
	}
	is(join("\n", @wrong), '', "$width pixels: the podium's bars");
	return;
}

SKIP:
{
	my $browser = program('chromium') // program('chromium-headless-shell');

	skip('no Chromium', 1) unless $browser && python();
	my %found;
	foreach my $shape ([ 360, 0 ], [ 1280, 1 ])
	{
		my ($width, $scheme) = @$shape;
		my $found = measured($browser, $width, $scheme) or next;

		$found{$width} = $found;
		is($found->{overflow}, 0, "$width pixels: it fits");
		is(join("\n", @{ $found->{outside} }), '', "$width pixels: no text sticks out");
		is(join("\n", @{ $found->{broken} }), '', "$width pixels: no number is broken");
		is($found->{overlap}, 0, "$width pixels: no cells overlap");
		cmp_ok($found->{fontsize}, '>=', 12, "$width pixels: no small print");
		is($found->{scripts}, 0, "$width pixels: no scripts");
		is(scalar(@{ $found->{charts} }), scalar(keys %spend), "$width pixels: all industries");
		check_chart($_, $width) foreach @{ $found->{charts} };
		check_podium($found->{podium}, $width);
	}
	is($found{360}{columns}, 1, 'one below the other on a phone');
	cmp_ok($found{1280}{columns}, '>', 2, 'side by side on a desktop');
	isnt($found{360}{paper}, $found{1280}{paper}, 'light and dark');
	isnt($found{360}{ink}, $found{1280}{ink}, 'in ink as well');
}

done_testing();
