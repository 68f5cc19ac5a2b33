-- fluctuation.sql: the fluctuation of anything, by any GROUP BY.

CREATE OR REPLACE FUNCTION fluct._fluctuation_accum(internal, numeric, timestamptz, timestamptz, interval, interval)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_fluctuation_accum';
COMMENT ON FUNCTION fluct._fluctuation_accum(internal, numeric, timestamptz, timestamptz, interval, interval) IS
'Adds a row to the state of fluctuation().';

CREATE OR REPLACE FUNCTION fluct._fluctuation_combine(internal, internal)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_fluctuation_combine';
COMMENT ON FUNCTION fluct._fluctuation_combine(internal, internal) IS
'Adds up two states of fluctuation() over the same windows.';

CREATE OR REPLACE FUNCTION fluct._fluctuation_serialize(internal)
RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_fluctuation_serialize';
COMMENT ON FUNCTION fluct._fluctuation_serialize(internal) IS
'A state of fluctuation() as bytes.';

CREATE OR REPLACE FUNCTION fluct._fluctuation_deserialize(bytea, internal)
RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_fluctuation_deserialize';
COMMENT ON FUNCTION fluct._fluctuation_deserialize(bytea, internal) IS
'Bytes as a state of fluctuation().';

CREATE OR REPLACE FUNCTION fluct._fluctuation_final(internal)
RETURNS fluct.fluctuation_row
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_fluctuation_final';
COMMENT ON FUNCTION fluct._fluctuation_final(internal) IS
'The result of fluctuation().';

CREATE OR REPLACE AGGREGATE fluct.fluctuation(amount numeric, ordered_at timestamptz, as_of timestamptz, recent interval, baseline interval) (
	SFUNC = fluct._fluctuation_accum,
	STYPE = internal,
	SSPACE = 256,
	FINALFUNC = fluct._fluctuation_final,
	COMBINEFUNC = fluct._fluctuation_combine,
	SERIALFUNC = fluct._fluctuation_serialize,
	DESERIALFUNC = fluct._fluctuation_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE fluct.fluctuation(numeric, timestamptz, timestamptz, interval, interval) IS
'Recent amount against its baseline, for any GROUP BY. recent_value = sum(amount) of rows with ordered_at in [as_of - recent, as_of); baseline_avg = sum(amount) in [as_of - recent - baseline, as_of - recent) * recent / baseline; delta = recent_value - baseline_avg; delta_pct = 100 * delta / baseline_avg, NULL where that is 0. Rolling windows, a day being 24 hours. Exact numeric sums; quotients rounded to 20 decimals. as_of, recent and baseline are the same for all rows of a group; rows with a NULL amount or ordered_at do not count; no rows at all give NULL. Parallel-safe. Errors: invalid_parameter_value, null_value_not_allowed.';
