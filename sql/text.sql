-- text.sql: others' words, as they are shown.
--
-- The tables keep what came from outside exactly; views, messages and the log
-- show it by this.

CREATE OR REPLACE FUNCTION fluct._printable(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_printable_text';
COMMENT ON FUNCTION fluct._printable(text) IS
'The text with control, escape, invisible and bidirectional characters as \xNN or \uNNNN.';

CREATE OR REPLACE FUNCTION fluct._printable(bytes bytea) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_printable_bytes';
COMMENT ON FUNCTION fluct._printable(bytea) IS
'The bytes as text, and as \xNN where they are not valid UTF-8; otherwise as _printable(text).';

