-- health.sql: what a problem is made of.

CREATE TYPE fluct._problem AS (
	severity text,
	what text,
	problem text,
	since timestamptz,
	detail text,
	hint text
);
COMMENT ON TYPE fluct._problem IS 'a row of health: critical, warning or notice; what it is about; one word for it; since when; the fact; what to do';
