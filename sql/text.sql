-- text.sql: others' words as they are shown, and names that were misspelled.
--
-- The tables keep what came from outside exactly; views, messages and the log
-- show it by _printable().

CREATE OR REPLACE FUNCTION fluct._printable(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_printable_text';
COMMENT ON FUNCTION fluct._printable(text) IS
E'The text with control, escape, invisible and bidirectional characters as \\xNN or \\uNNNN.';

CREATE OR REPLACE FUNCTION fluct._printable(bytes bytea) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_printable_bytes';
COMMENT ON FUNCTION fluct._printable(bytea) IS
E'The bytes as text, and as \\xNN where they are not valid UTF-8; otherwise as _printable(text).';

CREATE OR REPLACE FUNCTION fluct._distance(a text, b text) RETURNS int
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_distance';
COMMENT ON FUNCTION fluct._distance(text, text) IS
'Changes of single characters that make one text of the other (Levenshtein), as PostgreSQL counts them for its hints.';

CREATE OR REPLACE FUNCTION fluct._nearest_word(word text, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w FROM unnest(words) w
	WHERE fluct._distance(lower(left(word, 63)), lower(left(w, 63))) <= greatest(1, length(w) / 2)
	ORDER BY fluct._distance(lower(left(word, 63)), lower(left(w, 63))), w LIMIT 1
$$;
COMMENT ON FUNCTION fluct._nearest_word(text, text[]) IS
'The one of the words that is most like this one, for hints; NULL where none is half like it.';

CREATE OR REPLACE FUNCTION fluct._did_you_mean(word text, words text[], otherwise text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce('Did you mean "' || fluct._printable(fluct._nearest_word(word, words)) || '"? ', '') || otherwise $$;
COMMENT ON FUNCTION fluct._did_you_mean(text, text[], text) IS 'the hint for a name that does not exist: the nearest of those that do, and what shows them all';

CREATE OR REPLACE FUNCTION fluct._wrapped(value text, width int) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$ SELECT rtrim(regexp_replace(value, format('(.{1,%s})( +|$)', width), E'\\1\n', 'g'), E'\n') $$;
COMMENT ON FUNCTION fluct._wrapped(text, int) IS 'the text in lines of at most that many characters, broken at blanks';
