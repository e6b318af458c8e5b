-- The words of a text, for the index of a search and for its query: compatible forms are unified, case and
-- accents folded, and everything that is neither letter nor digit separates. Uses built-in functions and
-- collations only, so that every server finds the same words.
CREATE OR REPLACE FUNCTION search_words(content text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    -- Accents; Hebrew and Arabic vowel points; characters without width, such as the soft hyphen.
    c_marks CONSTANT text := '[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670'
        || '\u00ad\u200b-\u200d\u2060\ufeff]+';
    v_text text := casefold(normalize(content, NFKD) COLLATE pg_unicode_fast);
BEGIN
    v_text := normalize(regexp_replace(v_text, c_marks, '', 'g'), NFC);
    v_text := replace(replace(translate(v_text, 'øłđħŧı', 'oldhti'), 'æ', 'ae'), 'œ', 'oe');
    v_text := regexp_replace(v_text COLLATE pg_unicode_fast, '[^[:alnum:]]+', ' ', 'g');
    -- A word is cut, because a tsvector refuses words of more than 2,046 bytes.
    RETURN ARRAY(SELECT left(word, 100) FROM unnest(string_to_array(v_text, ' ')) word WHERE word <> '');
END $$;

-- Matches texts that have all of the first six words of `content`, or words that begin with them. A short word
-- has to match as a whole unless it is the last, which may not be finished: the words that begin with it can be
-- a large part of the index.
CREATE OR REPLACE FUNCTION search_query(content text) RETURNS tsquery
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    v_words text[] := search_words(content);
    v_query text;
BEGIN
    SELECT string_agg(
        quote_literal(word) || CASE WHEN length(word) >= 3 OR last = cardinality(v_words) THEN ':*' ELSE '' END,
        ' & '
    )
    INTO v_query
    FROM (
        SELECT word, max(place) AS last FROM unnest(v_words) WITH ORDINALITY AS given (word, place)
        GROUP BY word ORDER BY min(place) LIMIT 6
    ) terms;
    RETURN coalesce(v_query, '')::tsquery;
END $$;

-- The words of a holder's name, and the e-mail address as one word that starts like no other. RETURN finds the
-- function that it calls now, because PostgreSQL builds indexes with another search_path.
CREATE OR REPLACE FUNCTION holder_words(name text, email text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_to_tsvector(
    search_words(coalesce(name, '')) || CASE WHEN email IS NULL THEN '{}'::text[] ELSE ARRAY['@' || lower(email)] END
);

-- Matches the words of holders whose name has the words of `content`, or whose e-mail address it is.
CREATE OR REPLACE FUNCTION holder_query(content text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT search_query(content)
    || ('''@' || replace(replace(lower(content), '\', '\\'), '''', '''''') || '''')::tsquery
$$;

-- Limit the time of each further statement of the transaction. A procedure, because RDS Proxy would pin the
-- connection after a SET that it sees.
CREATE OR REPLACE PROCEDURE limit_statements(milliseconds integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('statement_timeout', milliseconds::text, true);
END $$;

-- The reference of a booking, as references.py makes it.
CREATE OR REPLACE FUNCTION booking_reference(booking_id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT string_agg(
    substr(
        '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
        ((('x' || right(booking_id::text, 10))::bit(40)::bigint >> 5 * place) & 31)::integer + 1,
        1
    ),
    '' ORDER BY place DESC
)
FROM generate_series(0, 7) place
$$;
