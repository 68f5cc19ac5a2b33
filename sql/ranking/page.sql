-- page.sql: report_html(), the ranking as one HTML page.
--
-- The page needs nothing beside itself: its style stands in it, its pictures are
-- inline SVG, it has no script, and its Content-Security-Policy lets a browser
-- load nothing.  Every text that is not written here goes through _html(), so
-- that no name of an industry, a customer, a product, a stream or a topic is
-- taken for markup; what that returns is ASCII, so the page is the same in any
-- client encoding.  Colours are those of the reader's scheme, light or dark.

-- ---------------------------------------------------------------------------
-- Texts and figures
-- ---------------------------------------------------------------------------

-- Characters that a browser would drop, or that turn the text around them, are
-- shown by their number.
CREATE OR REPLACE FUNCTION fluct._html(value text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(string_agg(CASE
			WHEN c.char IN ('&', '<', '>', '"', '''') THEN '&#' || c.code || ';'
			WHEN c.code < 32 OR c.code = 127 OR getdatabaseencoding() = 'UTF8' AND (
				c.code BETWEEN 128 AND 159 OR c.code BETWEEN 8203 AND 8207 OR c.code BETWEEN 8232 AND 8238
				OR c.code BETWEEN 8288 AND 8303 OR c.code IN (173, 1564, 65279) OR c.code BETWEEN 64976 AND 65007
				OR c.code % 65536 >= 65534)
				THEN '&#92;u' || lpad(to_hex(c.code), 4, '0')
			WHEN c.code > 127 AND getdatabaseencoding() = 'UTF8' THEN '&#' || c.code || ';'
			ELSE c.char END, '' ORDER BY c.n), '')
	  FROM (SELECT u.char, u.n, ascii(u.char) AS code FROM string_to_table(value, NULL) WITH ORDINALITY u(char, n)) c
$$;
COMMENT ON FUNCTION fluct._html(text) IS
E'the text for HTML, in an element or in a quoted attribute; other characters than those of ASCII by their numbers, those that are invisible or change the direction as \\uNNNN; empty for NULL';

CREATE OR REPLACE FUNCTION fluct._html_table(head text[], cells text[], number int DEFAULT NULL)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<table>' || string_agg('<tr>' || l.text || '</tr>', '' ORDER BY l.line) || '</table>'
	  FROM (SELECT 0, string_agg(format('<th%s>%s</th>', CASE WHEN h.n = number THEN ' class="num"' END, fluct._html(h.name)), '' ORDER BY h.n)
			  FROM unnest(head) WITH ORDINALITY h(name, n)
			 UNION ALL
			SELECT line, string_agg(format('<td%s>%s</td>', CASE WHEN n = number THEN ' class="num"' END, fluct._html(cells[line][n])), '' ORDER BY n)
			  FROM generate_subscripts(cells, 1) line, generate_subscripts(head, 1) n GROUP BY line) l(line, text)
$$;
COMMENT ON FUNCTION fluct._html_table(text[], text[], int) IS
'a table with these headings; cells: an array for each line; number: the column of figures';

CREATE OR REPLACE FUNCTION fluct._figure(value numeric, decimals int DEFAULT 2)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN abs(value) < 1e21
				THEN to_char(round(value, decimals), 'FM999,999,999,999,999,999,990' || CASE WHEN decimals > 0 THEN '.' || repeat('0', decimals) ELSE '' END)
				ELSE round(value, decimals)::text END
$$;
COMMENT ON FUNCTION fluct._figure(numeric, int) IS 'a number for reading: 1,234.50';

CREATE OR REPLACE FUNCTION fluct._signed(value numeric, decimals int DEFAULT 2)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN round(value, decimals) > 0 THEN '+' ELSE '' END || fluct._figure(value, decimals) $$;
COMMENT ON FUNCTION fluct._signed(numeric, int) IS 'a difference for reading: +1,234.50';

CREATE OR REPLACE FUNCTION fluct._length(value interval, in_days boolean)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
	SELECT CASE WHEN s.seconds % 86400 = 0 AND (in_days OR s.seconds > 86400) THEN s.seconds::bigint / 86400 || ' day'
				WHEN s.seconds % 3600 = 0 THEN s.seconds::bigint / 3600 || ' hour'
				WHEN s.seconds % 60 = 0 THEN s.seconds::bigint / 60 || ' minute'
				ELSE s.seconds::float8 || ' second' END
		   || CASE WHEN s.seconds IN (1, 60, 3600) OR s.seconds = 86400 AND in_days THEN '' ELSE 's' END
	  FROM (SELECT extract(epoch FROM value) AS seconds) s
$$;
COMMENT ON FUNCTION fluct._length(interval, boolean) IS 'the length of a window for reading: 24 hours, 30 days; one day as a day, or as 24 hours';

CREATE OR REPLACE FUNCTION fluct._moment(at timestamptz, zone text, in_days boolean DEFAULT false)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(to_char(at AT TIME ZONE zone, CASE WHEN in_days THEN 'YYYY-MM-DD' ELSE 'YYYY-MM-DD HH24:MI' END), 'unknown') $$;
COMMENT ON FUNCTION fluct._moment(timestamptz, text, boolean) IS 'the minute, or the day, of a time in a zone, for reading';

-- A window of whole days ends with its last day.
CREATE OR REPLACE FUNCTION fluct._span(since timestamptz, until timestamptz, zone text, in_days boolean)
RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY[fluct._moment(since, zone, in_days),
				 fluct._moment(until - CASE WHEN in_days THEN interval '1 microsecond' ELSE '0' END, zone, in_days)]
$$;
COMMENT ON FUNCTION fluct._span(timestamptz, timestamptz, text, boolean) IS 'the beginning and the end of windows, for reading';

CREATE OR REPLACE FUNCTION fluct._way(delta numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN delta > 0 THEN 'up' WHEN delta < 0 THEN 'down' ELSE 'even' END $$;
COMMENT ON FUNCTION fluct._way(numeric) IS 'the class of what is drawn in the colour of a change';

-- ---------------------------------------------------------------------------
-- Pictures
-- ---------------------------------------------------------------------------

-- A bar from zero to the value, on a scale from low to high, 320 units wide.
CREATE OR REPLACE FUNCTION fluct._bar(value numeric, low numeric, high numeric, class text, caption text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<svg class="bar" viewBox="0 0 320 10" preserveAspectRatio="none" role="img" aria-label="%s">'
				  '<rect class="%s" x="%s" y="0" width="%s" height="10"><title>%1$s</title></rect></svg>',
				  fluct._html(caption), class,
				  round((least(value, 0) - low) * 320 / s.span, 2), round(abs(value) * 320 / s.span, 2))
	  FROM (SELECT coalesce(nullif(high - low, 0), 1) AS span) s
$$;
COMMENT ON FUNCTION fluct._bar(numeric, numeric, numeric, text, text) IS 'SVG: a horizontal bar from zero to the value, on a scale from low to high';

-- Bars of the windows from zero, the recent one in the colour of its change; a
-- dashed line is the baseline's average.  Windows before the baseline are pale.
CREATE OR REPLACE FUNCTION fluct._chart(industry text, starts timestamptz[], amounts numeric[], since timestamptz,
								baseline_avg numeric, delta numeric, zone text, in_days boolean)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH scale AS (
		SELECT coalesce(nullif(greatest(max(a), baseline_avg, 0) - least(min(a), baseline_avg, 0), 0), 1) AS span,
			   greatest(max(a), baseline_avg, 0) AS top
		  FROM unnest(amounts) a
	)
	SELECT format('<svg class="chart" viewBox="0 0 320 100" role="img" aria-label="%s: its last %s windows">',
				  fluct._html(industry), cardinality(amounts))
		   || (SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"><title>%s: %s</title></rect>',
					CASE WHEN u.n = cardinality(amounts) THEN 'recent ' || fluct._way(delta)
						 WHEN u.start < since THEN 'before' ELSE 'baseline' END,
					round((u.n - 1) * 320.0 / cardinality(amounts) + 1, 2),
					round(2 + (s.top - greatest(u.amount, 0)) * 96 / s.span, 2),
					round(320.0 / cardinality(amounts) - 2, 2),
					round(abs(u.amount) * 96 / s.span, 2),
					fluct._moment(u.start, zone, in_days), fluct._figure(u.amount)), '' ORDER BY u.n)
				 FROM unnest(starts, amounts) WITH ORDINALITY u(start, amount, n))
		   || format('<line class="zero" x1="0" x2="320" y1="%1$s" y2="%1$s"/>', round(2 + s.top * 96 / s.span, 2))
		   || format('<line class="average" x1="0" x2="320" y1="%1$s" y2="%1$s"><title>average: %2$s</title></line></svg>',
					 round(2 + (s.top - baseline_avg) * 96 / s.span, 2), fluct._figure(baseline_avg))
	  FROM scale s
$$;
COMMENT ON FUNCTION fluct._chart(text, timestamptz[], numeric[], timestamptz, numeric, numeric, text, boolean) IS
'SVG: an industry''s last windows as bars, and its average as a line';

CREATE OR REPLACE FUNCTION fluct._page_style()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
SELECT '<style>
:root{color-scheme:light dark;--paper:#f6f6f3;--card:#fff;--ink:#1b1e22;--soft:#5d6670;--line:#e0e1dc;--base:#b4bcc6;--pale:#dfe3e8;--up:#0a7a66;--down:#bf4d14;--warn:#fff3d6}
@media (prefers-color-scheme:dark){:root{--paper:#121517;--card:#1b1f23;--ink:#e8ebed;--soft:#9ba4ae;--line:#31373d;--base:#5b6570;--pale:#363d45;--up:#3cc2a6;--down:#f18b4c;--warn:#3a3016}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.25rem 1rem 2rem;font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;background:var(--paper);color:var(--ink);overflow-wrap:anywhere}
h1{margin:0;font-size:1.6rem;line-height:1.2}h2{margin:2rem 0 .75rem;font-size:1.15rem}h3{margin:0;font-size:1rem}
p{margin:.3rem 0}.soft,small{color:var(--soft);font-size:.85rem}
.warn{margin:1rem 0;padding:.6rem .9rem;border-left:4px solid var(--down);background:var(--warn)}
.grid{display:grid;gap:.9rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}.many{grid-template-columns:repeat(auto-fill,minmax(min(100%,15.5rem),1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.85rem 1rem;min-width:0}
.head{display:flex;justify-content:space-between;align-items:baseline;gap:.75rem}
.rank{color:var(--soft);font-weight:400;white-space:nowrap}.big{font-size:1.75rem;font-weight:650;line-height:1.2}
b{white-space:nowrap}b.up,.big.up{color:var(--up)}b.down,.big.down{color:var(--down)}
dl{margin:.5rem 0 0}dl div{display:flex;justify-content:space-between;gap:.5rem;font-size:.85rem}dt{color:var(--soft)}dd{margin:0;white-space:nowrap}
.big,b,dd,td{font-variant-numeric:tabular-nums}
svg{display:block;width:100%}.bar{height:.6rem;margin:.15rem 0 .45rem;background:linear-gradient(var(--line),var(--line)) 0 100%/100% 1px no-repeat}.chart{height:auto;margin:.5rem 0 .25rem}
rect.up{fill:var(--up)}rect.down{fill:var(--down)}rect.even,rect.baseline{fill:var(--base)}rect.before{fill:var(--pale)}
.zero{stroke:var(--soft);stroke-width:.6}.average{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 4}
table{width:100%;border-collapse:collapse;font-size:.85rem}td,th{padding:.25rem .3rem;text-align:left;vertical-align:middle;border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--soft)}tr:last-child td{border-bottom:0}
.num{text-align:right;white-space:nowrap}.parts{margin-top:.6rem}.parts td:first-child{width:60%}.parts .bar{height:.3rem;margin:.15rem 0 0}
@media print{body{max-width:none}.card{break-inside:avoid}}
</style>'
$$;
COMMENT ON FUNCTION fluct._page_style() IS 'the style of report_html()''s page';

-- ---------------------------------------------------------------------------
-- The parts of the page
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._page_podium(podium fluct._fluctuation[], recent_name text, average_name text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH scale AS (
		SELECT least(min(p.recent_value), min(p.baseline_avg), 0) AS low, greatest(max(p.recent_value), max(p.baseline_avg), 0) AS high
		  FROM unnest(podium) p
	)
	SELECT '<section id="podium"><h2>The podium</h2>'
		   || coalesce('<div class="grid">' || string_agg(
				format('<article class="card"><div class="head"><h3>%s</h3><span class="rank">rank %s</span></div>'
					   '<p class="big %s">%s</p><p class="soft">%s</p>'
					   '<dl><div><dt>%s</dt><dd>%s</dd></div>%s<div><dt>%s</dt><dd>%s</dd></div>%s</dl></article>',
					   fluct._html(p.industry), p.rank, fluct._way(p.delta), fluct._signed(p.delta),
					   coalesce(fluct._signed(p.delta_pct, 1) || '% against the average', 'no spend in the baseline')
					   || ', ' || fluct._figure(p.recent_orders, 0) || ' orders',
					   recent_name, fluct._figure(p.recent_value),
					   fluct._bar(p.recent_value, s.low, s.high, fluct._way(p.delta), p.industry || ', ' || recent_name || ': ' || fluct._figure(p.recent_value)),
					   average_name, fluct._figure(p.baseline_avg),
					   fluct._bar(p.baseline_avg, s.low, s.high, 'baseline', p.industry || ', ' || average_name || ': ' || fluct._figure(p.baseline_avg))),
				'' ORDER BY p.rank, p.industry COLLATE "C") || '</div>', '<p>No industry fluctuated.</p>')
		   || '</section>'
	  FROM unnest(podium) p CROSS JOIN scale s
$$;
COMMENT ON FUNCTION fluct._page_podium(fluct._fluctuation[], text, text) IS 'HTML: the podium, each industry with two bars, all on one scale';

CREATE OR REPLACE FUNCTION fluct._page_series(ranking fluct._fluctuation[], w fluct._windows, as_of timestamptz, recent interval,
									  time_zone text, zone text, recent_name text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="series"><h2>All industries</h2><p class="soft">The last 31 windows of ' || fluct._length(recent, time_zone IS NOT NULL)
		   || ', each industry on its own scale; the last bar is the recent window, the dashed line the average.</p>'
		   || coalesce('<div class="grid many">' || string_agg(
				format('<article class="card"><div class="head"><h3>%s</h3><b class="%s">%s</b></div>%s'
					   '<div class="head soft"><span>%s</span><span>%s</span></div>'
					   '<dl><div><dt>%s</dt><dd>%s</dd></div><div><dt>average</dt><dd>%s</dd></div></dl></article>',
					   fluct._html(r.industry), fluct._way(r.delta), coalesce(fluct._signed(r.delta_pct, 1) || '%', fluct._signed(r.delta)),
					   fluct._chart(r.industry, s.starts, s.amounts, w.since, r.baseline_avg, r.delta, zone, time_zone IS NOT NULL),
					   span[1], span[2],
					   recent_name, fluct._figure(r.recent_value), fluct._figure(r.baseline_avg)),
				'' ORDER BY r.rank, r.industry COLLATE "C") || '</div>', '<p>No industries are listed.</p>')
		   || '</section>'
	  FROM unnest(ranking) r
	  JOIN fluct._series(as_of, recent, time_zone) s ON s.industry = r.industry
	 CROSS JOIN fluct._span(s.starts[1], w.until, zone, time_zone IS NOT NULL) span
$$;
COMMENT ON FUNCTION fluct._page_series(fluct._fluctuation[], fluct._windows, timestamptz, interval, text, text, text) IS
'HTML: each industry''s last windows, in the order of the ranking';

CREATE OR REPLACE FUNCTION fluct._page_part(parts fluct._page_driver[], title text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<table class="parts"><tr><th>%s</th><th class="num">change</th><th class="num">share</th></tr>', title)
		   || string_agg(format('<tr><td>%s%s</td><td class="num">%s</td><td class="num soft">%s</td></tr>',
				fluct._html(p.name),
				CASE WHEN NOT p.is_rest THEN fluct._bar(p.delta, m.low, m.high, fluct._way(p.delta), p.name || ': ' || fluct._signed(p.delta)) END,
				fluct._signed(p.delta), coalesce(fluct._figure(p.share_pct, 1) || '%', '')), '' ORDER BY p.place)
		   || '</table>'
	  FROM unnest(parts) p
	 CROSS JOIN (SELECT least(min(a.delta), 0) AS low, greatest(max(a.delta), 0) AS high FROM unnest(parts) a WHERE NOT a.is_rest) m
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION fluct._page_part(fluct._page_driver[], text) IS 'HTML: the customers, or the products, that drove a change, with bars but for the rest';

-- Warnings were given for the podium, once.
CREATE OR REPLACE FUNCTION fluct._page_drivers(podium fluct._fluctuation[], day date, recent interval, baseline interval,
	average text, time_zone text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET client_min_messages = 'error'
AS $$
	SELECT coalesce('<section id="drivers"><h2>What drove it</h2><div class="grid wide">' || string_agg(
				format('<article class="card"><div class="head"><h3>%s</h3><b class="%s">%s</b></div>%s%s</article>',
					   fluct._html(p.industry), fluct._way(p.delta), fluct._signed(p.delta),
					   fluct._page_part(d.customers, 'Customers'), fluct._page_part(d.products, 'Products')),
				'' ORDER BY p.rank, p.industry COLLATE "C") || '</div></section>', '')
	  FROM unnest(podium) p
	 CROSS JOIN LATERAL (
		SELECT array_agg(r.driver) FILTER (WHERE e.part = 'customer') AS customers, array_agg(r.driver) FILTER (WHERE e.part = 'product') AS products
		  FROM fluct._drivers(p.industry, day, recent, baseline, average, time_zone, 5)
			   WITH ORDINALITY e(part, name, recent_value, baseline_avg, delta, share_pct, is_rest, place),
			   LATERAL (SELECT (e.name, e.delta, e.share_pct, e.place, e.is_rest)::fluct._page_driver) r(driver)) d
$$;
COMMENT ON FUNCTION fluct._page_drivers(fluct._fluctuation[], date, interval, interval, text, text) IS
'HTML: the customers and products that drove each industry of the podium';

CREATE OR REPLACE FUNCTION fluct._page_members(zone text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="streams"><h2>The data</h2><div class="grid wide"><article class="card"><h3>Freshness</h3>'
		   || fluct._html_table('{member,stream,state,whole up to,behind,dead letters}',
				array_agg(ARRAY[m.name, coalesce(c.stream, 'none'), c.state, CASE WHEN c.stream IS NOT NULL THEN fluct._moment(c.data_until, zone) END,
								c.behind::text, fluct._figure(c.dead_letters, 0)] ORDER BY m.name COLLATE "C", c.stream), 6)
		   || '</article></div></section>'
	  FROM fluct.members m LEFT JOIN fluct._cluster_streams() c ON c.member = m.name
$$;
COMMENT ON FUNCTION fluct._page_members(text) IS 'HTML: how fresh the data of each member is';

CREATE OR REPLACE FUNCTION fluct._page_streams(zone text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="streams"><h2>The data</h2><div class="grid"><article class="card"><h3>Freshness</h3>'
		   || coalesce((SELECT fluct._html_table('{stream,state,whole up to,behind}',
							array_agg(ARRAY[f.stream, f.state, fluct._moment(f.data_until, zone), f.behind::text] ORDER BY f.stream))
						  FROM fluct.freshness f HAVING count(*) > 0), '<p>There are no streams.</p>')
		   || '</article><article class="card"><h3>Dead letters</h3>'
		   || coalesce((SELECT fluct._html_table('{stream,reason,open,oldest}',
							array_agg(ARRAY[d.stream, d.reason, fluct._figure(d.open, 0), fluct._moment(d.oldest, zone)] ORDER BY d.stream, d.reason), 3)
						  FROM (SELECT l.stream, l.reason, count(*) AS open, min(l.created_at) AS oldest
								  FROM fluct.dead_letters l WHERE l.status = 'open' GROUP BY 1, 2) d HAVING count(*) > 0), '<p>None are open.</p>')
		   || '</article></div></section>'
$$;
COMMENT ON FUNCTION fluct._page_streams(text) IS 'HTML: how fresh the data of each stream is, and its open dead letters';

CREATE OR REPLACE FUNCTION fluct.report_html(
	day date DEFAULT NULL,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	top_n int DEFAULT 3,
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL)
RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.report_html(date, interval, interval, int, text, text, text, text) IS
'The ranking as one HTML page that needs nothing else: the podium with bars, the customers and products that drove it, each industry''s last 31 windows beside its average, how fresh the data is, and the open dead letters. For readers of fluct and sales (grant_reader()). All texts are escaped. Arguments, notices and errors as podium(). psql -Atc "SELECT fluct.report_html()" > podium.html';

CREATE OR REPLACE FUNCTION fluct._report_html(day date, recent interval, baseline interval, top_n int, measure text,
	direction text, average text, time_zone text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	days CONSTANT record := fluct._end_of_day(day, time_zone);
	zone CONSTANT text := coalesce(days.zone, current_setting('TimeZone'));
	w CONSTANT fluct._windows := fluct._windows_of(days.as_of, recent, baseline, days.zone);
	answers CONSTANT fluct._answer[] := fluct._gather(w, measure = 'zscore' OR average <> 'elapsed');
	ranking CONSTANT fluct._fluctuation[] := fluct._rank(w, measure, direction, average, NULL, answers);
	in_days CONSTANT boolean := days.zone IS NOT NULL;
	span CONSTANT text[] := fluct._span(w.mid, w.until, zone, in_days);
	recent_name CONSTANT text := CASE WHEN span[1] = span[2] THEN span[1] ELSE 'last ' || fluct._length(recent, in_days) END;
	average_name CONSTANT text := 'average of ' || fluct._length(baseline, true);
	reason CONSTANT text := fluct._incomplete_reason(fluct._find_shortfall(w, measure, average, answers));
	podium fluct._fluctuation[];
BEGIN
	PERFORM FROM fluct.podium(day, recent, baseline, top_n, measure, direction, average, time_zone);  -- its checks, warnings and notices
	podium := ARRAY(SELECT r FROM unnest(ranking) r WHERE r.rank <= coalesce(top_n, r.rank) AND r.score > 0);
	RETURN concat_ws(chr(10), '<!DOCTYPE html>', '<html lang="en">', '<head>', '<meta charset="utf-8">',
		'<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''">',
		'<meta name="viewport" content="width=device-width, initial-scale=1">',
		'<meta name="color-scheme" content="light dark">', '<title>Fluctuations, ' || span[2] || '</title>',
		fluct._page_style(), '</head>', '<body>', '<header><h1>Which industries fluctuated most</h1>',
		format('<p>%s (%s), against the %s before.</p>',
			   CASE WHEN span[1] = span[2] THEN span[1] ELSE array_to_string(span, ' to ') END, fluct._html(zone), average_name),
		format('<p class="soft">%s change, %s, average %s.</p>', initcap(measure),
			   CASE direction WHEN 'both' THEN 'up and down' ELSE direction || ' only' END,
			   CASE average WHEN 'active' THEN 'of windows with orders' WHEN 'weekday' THEN 'of windows of the same weekday' ELSE 'of elapsed time' END),
		'</header>', '<main>', CASE WHEN reason IS NOT NULL THEN '<p class="warn">The ranking may be incomplete: ' || fluct._html(reason) || '.</p>' END,
		fluct._page_podium(podium, recent_name, average_name),
		fluct._page_drivers(podium, day, recent, baseline, average, time_zone),
		fluct._page_series(ranking, w, days.as_of, recent, days.zone, zone, recent_name),
		CASE WHEN answers IS NULL THEN fluct._page_streams(zone) ELSE fluct._page_members(zone) END,
		'</main>', format('<footer><p class="soft">Computed %s by fluct.</p></footer>', fluct._moment(now(), zone)), '</body>', '</html>');
END
$$;
COMMENT ON FUNCTION fluct._report_html(date, interval, interval, int, text, text, text, text) IS 'report_html, as the tables'' owner';
