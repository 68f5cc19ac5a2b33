-- dead_letters.sql: what to do with messages that could not be stored.

-- Bytes as a person reads them: text where they are UTF-8, \xNN elsewhere.
CREATE FUNCTION fluct._as_text(bytes bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    start bytea := substr(bytes, 1, 400);
BEGIN
    -- a character cut in two at the end is not the message's fault
    FOR cut IN 0 .. 3 LOOP
        BEGIN
            RETURN convert_from(substr(start, 1, length(start) - cut), 'UTF8');
        EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN encode(start, 'escape');
END
$$;
COMMENT ON FUNCTION fluct._as_text(bytea) IS
'The first bytes of a message as text; those that are not UTF-8 as \nnn.';

CREATE FUNCTION fluct.discard_dead_letters(ids bigint[], reason text,
    OUT id bigint, OUT status text, OUT reason_given text, OUT detail text)
RETURNS SETOF record
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.discard_dead_letters(bigint[], text) IS
'Closes dead letters without storing them; NULL ids = all open ones of the caller''s streams. They stay in fluct.dead_letters with the reason and who gave it.';

CREATE FUNCTION fluct._discard_dead_letters(ids bigint[], reason text,
    OUT id bigint, OUT status text, OUT reason_given text, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    closer name := pg_get_userbyid(fluct._caller());
BEGIN
    IF _discard_dead_letters.reason IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'a dead letter is discarded for a reason',
            HINT = 'SELECT * FROM fluct.discard_dead_letters(ids, ''why'');';
    END IF;
    PERFORM fluct._own_stream(mine.stream)
    FROM (SELECT DISTINCT d.stream FROM fluct.dead_letters d JOIN fluct.streams s ON s.name = d.stream
          WHERE d.id = ANY (_discard_dead_letters.ids)) mine;
    RETURN QUERY
    UPDATE fluct.dead_letters d SET status = 'discarded', closed_at = clock_timestamp(),
        closed_by = closer, close_reason = _discard_dead_letters.reason
    WHERE d.status = 'open'
        AND CASE WHEN _discard_dead_letters.ids IS NOT NULL THEN d.id = ANY (_discard_dead_letters.ids)
            ELSE d.stream IN (SELECT s.name FROM fluct.streams s JOIN pg_roles r ON r.rolname = s.owner
                              WHERE pg_has_role(fluct._caller(), r.oid, 'MEMBER')) END
    RETURNING d.id, d.status, d.close_reason, d.reason;
END
$$;
COMMENT ON FUNCTION fluct._discard_dead_letters(bigint[], text) IS
'discard_dead_letters, as the extension''s owner.';
