-- reports.sql: the reports that are kept, and the rows of rankings.

CREATE TYPE fluct._windows AS (
	since timestamptz,
	mid timestamptz,
	until timestamptz,
	numerator bigint,
	denominator bigint,
	width interval,
	origin timestamptz,
	edges timestamptz[],
	agg_date date
);
COMMENT ON TYPE fluct._windows IS
'the baseline [since, mid) and the recent window [mid, until); numerator / denominator = recent / baseline in lowest terms; the windows as long as the recent one, back from mid: by width from origin where rolling, by edges where calendar days';

CREATE TYPE fluct._fluctuation AS (
	rank int,
	industry text,
	recent_value numeric,
	baseline_avg numeric,
	delta numeric,
	delta_pct numeric,
	score numeric,
	recent_orders bigint,
	baseline_orders bigint,
	active_days int
);
COMMENT ON TYPE fluct._fluctuation IS 'an industry in a ranking; rank is NULL where direction or min_baseline leave it out';

CREATE TYPE fluct.podium_row AS (
	rank int,
	industry text,
	recent_value numeric,
	baseline_avg numeric,
	delta numeric,
	delta_pct numeric,
	recent_orders bigint,
	complete boolean
);
COMMENT ON TYPE fluct.podium_row IS 'a row of podium() and record_fluctuations(): amounts to 2 decimals, delta_pct to 1';

CREATE TYPE fluct._shortfall AS (
	reason text,
	message text,
	at timestamptz,
	detail text,
	hint text
);
COMMENT ON TYPE fluct._shortfall IS
'why a ranking may be incomplete; reason is NULL where it is complete. In reason, which is stored, and in message, which is a WARNING (NULL: none), %s stands for the time in at';

CREATE TABLE fluct.dropped_feeds (
	stream text PRIMARY KEY,
	data_until timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('fluct.dropped_feeds', '');
COMMENT ON TABLE fluct.dropped_feeds IS 'The streams into sales.orders that were dropped; written by drop_stream().';
COMMENT ON COLUMN fluct.dropped_feeds.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.dropped_feeds.data_until IS 'the time up to which it had stored everything when it was dropped';

CREATE TABLE fluct.complete_marks (
	relation text PRIMARY KEY,
	until timestamptz NOT NULL,
	marked_by text NOT NULL,
	marked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT pg_catalog.pg_extension_config_dump('fluct.complete_marks', '');
COMMENT ON TABLE fluct.complete_marks IS 'Up to when the rows that other programs write are whole, as the owner of the table says; written by mark_complete().';
COMMENT ON COLUMN fluct.complete_marks.relation IS 'the table: sales.orders';
COMMENT ON COLUMN fluct.complete_marks.until IS 'every order up to this time is there';
COMMENT ON COLUMN fluct.complete_marks.marked_by IS 'the role that said so';
COMMENT ON COLUMN fluct.complete_marks.marked_at IS 'when it did';

CREATE TABLE fluct.reports (
	report text PRIMARY KEY CHECK (octet_length(report) BETWEEN 1 AND 50),
	recent interval NOT NULL DEFAULT '24 hours',
	baseline interval NOT NULL DEFAULT '30 days',
	measure text NOT NULL DEFAULT 'absolute',
	direction text NOT NULL DEFAULT 'both',
	average text NOT NULL DEFAULT 'elapsed',
	time_zone text,
	min_baseline numeric,
	schedule text,
	catch_up int NOT NULL DEFAULT 24 CHECK (catch_up > 0),
	last_slot timestamptz,
	owner text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	owner_oid oid,
	system_identifier text
);
SELECT pg_catalog.pg_extension_config_dump('fluct.reports', '');
COMMENT ON TABLE fluct.reports IS 'The known reports and their options; written by record_fluctuations(), schedule_fluctuations() and unschedule_fluctuations().';
COMMENT ON COLUMN fluct.reports.report IS 'its name, 1 to 50 bytes';
COMMENT ON COLUMN fluct.reports.recent IS 'length of the recent window';
COMMENT ON COLUMN fluct.reports.baseline IS 'length of the baseline window, which ends where the recent one begins';
COMMENT ON COLUMN fluct.reports.measure IS 'absolute, relative or zscore';
COMMENT ON COLUMN fluct.reports.direction IS 'both, up or down';
COMMENT ON COLUMN fluct.reports.average IS 'elapsed or active';
COMMENT ON COLUMN fluct.reports.time_zone IS 'whole calendar days of this zone; NULL = rolling windows';
COMMENT ON COLUMN fluct.reports.min_baseline IS 'industries with a lower baseline_avg have no rank; NULL = all have';
COMMENT ON COLUMN fluct.reports.schedule IS 'when it is recorded, as pg_cron writes it, in pg_cron''s zone; NULL = only by hand';
COMMENT ON COLUMN fluct.reports.catch_up IS 'missing slots that one run records at most';
COMMENT ON COLUMN fluct.reports.last_slot IS 'newest slot of the schedule that is recorded';
COMMENT ON COLUMN fluct.reports.owner IS 'the role that made it, by its name then; it and its members may change it';
COMMENT ON COLUMN fluct.reports.created_at IS 'when it became known';
COMMENT ON COLUMN fluct.reports.owner_oid IS 'OID of the owner in the cluster of system_identifier, where it and not the name says who the owner is';
COMMENT ON COLUMN fluct.reports.system_identifier IS 'cluster in which it became known';

CREATE TYPE fluct._cron AS (
	minutes int[],
	hours int[],
	days int[],
	months int[],
	weekdays int[],
	last_day boolean,
	any_day boolean,
	any_weekday boolean
);
COMMENT ON TYPE fluct._cron IS 'a schedule, parsed: the values of each field; weekdays from 0, Sunday';

CREATE TYPE fluct.scheduled_report AS (
	report text,
	schedule text,
	zone text,
	next_run timestamptz
);
COMMENT ON TYPE fluct.scheduled_report IS 'what schedule_fluctuations() returns: the schedule is read in zone';

CREATE TYPE fluct.fluctuation_row AS (
	recent_value numeric,
	baseline_avg numeric,
	delta numeric,
	delta_pct numeric,
	recent_orders bigint,
	baseline_orders bigint
);
COMMENT ON TYPE fluct.fluctuation_row IS 'the result of the aggregate fluctuation(), with the columns of top_fluctuations()';

CREATE TYPE fluct._page_driver AS (
	name text,
	delta numeric,
	share_pct numeric,
	place bigint,
	is_rest boolean
);
COMMENT ON TYPE fluct._page_driver IS 'a customer or product in report_html()';
