/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  A server file's bytes as UTF-8, whatever its encoding and compression.
 *
 * Three layers, each a function that fills a buffer: the file, which hashes
 * what it reads (so a file is identified by the bytes on the disk); gzip; the
 * encoding.  Memory is bounded in each, however much comes of a few bytes.
 *
 * Who drops a file does not always do as the options say.  What its first bytes
 * show to be something else (another kind of file, another encoding) goes on as
 * it is, for the reader to name it (csv/header.c).  What cannot be decoded goes
 * on as FLUCT_CSV_UNDECODED, so that the reader names its line.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <zlib.h>

#include "catalog/namespace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "csv/header.h"
#include "csv/utf16.h"
#include "load/reader.h"

/* What is read at a time, and the most that is made of it. */
#define READ_SIZE		16384
#define DECODED_SIZE	(READ_SIZE * MAX_CONVERSION_GROWTH + 16)

/* gzip's own header, and the largest window. */
#define GZIP_WINDOW		(15 + 16)

PG_FUNCTION_INFO_V1(fluct_file_encoding);

struct FluctReader
{
	FluctFile  *file;

	/* gzip */
	z_stream   *zip;			/* NULL = it is not compressed */
	char	   *packed;
	bool		in_member;

	/* the encoding */
	bool		is_utf8;
	bool		is_utf16;
	FluctUtf16Order order;
	int			encoding;		/* PostgreSQL's, unless it is UTF-16 */
	Oid			conversion;
	bool		begun;
	bool		ended;
	char	   *raw;			/* read, and not decoded */
	size_t		raw_len;
	char	   *decoded;
	size_t		decoded_at;
	size_t		decoded_len;
};

/* ----- gzip ----- */

static void *
zip_alloc(void *arg, unsigned count, unsigned size)
{
	return MemoryContextAllocExtended(arg, (Size) count * size, MCXT_ALLOC_NO_OOM);
}

static void
zip_free(void *arg, void *pointer)
{
	pfree(pointer);
}

static void
open_gzip(FluctReader *reader)
{
	reader->zip = palloc0(sizeof(z_stream));
	reader->zip->zalloc = zip_alloc;
	reader->zip->zfree = zip_free;
	reader->zip->opaque = CurrentMemoryContext;
	if (inflateInit2(reader->zip, GZIP_WINDOW) != Z_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not begin to decompress")));
	reader->packed = palloc(READ_SIZE);
}

/* Compressed bytes for the next step; false at the end of the file. */
static bool
have_packed(FluctReader *reader)
{
	z_stream   *zip = reader->zip;

	if (zip->avail_in == 0)
	{
		zip->next_in = (Bytef *) reader->packed;
		zip->avail_in = fluct_files_read(reader->file, reader->packed,
										 READ_SIZE);
	}
	if (zip->avail_in == 0 && reader->in_member)
		fluct_files_refuse(reader->file, ERRCODE_BAD_COPY_FILE_FORMAT,
						   "bad_compression",
						   "It ends within its gzip data; it may be truncated.");
	return zip->avail_in > 0;
}

/*
 * Several files that were compressed one by one and put together are one;
 * zeros between and behind them are padding.
 */
static bool
begin_member(FluctReader *reader)
{
	z_stream   *zip = reader->zip;

	while (zip->total_in > 0 && zip->avail_in > 0 && *zip->next_in == 0)
	{
		zip->next_in++;
		zip->avail_in--;
	}
	if (zip->avail_in == 0)
		return false;
	reader->in_member = true;
	return true;
}

static size_t
read_gzip(FluctReader *reader, char *buffer, size_t size)
{
	z_stream   *zip = reader->zip;

	zip->next_out = (Bytef *) buffer;
	zip->avail_out = size;
	while (zip->avail_out == size && have_packed(reader))
	{
		int			result;

		CHECK_FOR_INTERRUPTS();
		if (!reader->in_member && !begin_member(reader))
			continue;
		result = inflate(zip, Z_NO_FLUSH);
		if (result == Z_STREAM_END)
		{
			uLong		total = zip->total_in;

			reader->in_member = false;
			(void) inflateReset(zip);
			zip->total_in = total;
		}
		else if (result != Z_OK && result != Z_BUF_ERROR)
			fluct_files_refuse(reader->file, ERRCODE_BAD_COPY_FILE_FORMAT,
							   "bad_compression",
							   psprintf("It is not valid gzip data: %s.",
										zip->msg ? zip->msg : "out of memory"));
	}
	return size - zip->avail_out;
}

static size_t
read_plain(FluctReader *reader, char *buffer, size_t size)
{
	return reader->zip != NULL ? read_gzip(reader, buffer, size) :
		fluct_files_read(reader->file, buffer, size);
}

/* ----- the encoding ----- */

/* Whether a name means UTF-16, and in which order. */
static bool
is_utf16_name(const char *name, FluctUtf16Order *order)
{
	static const struct
	{
		const char *name;
		FluctUtf16Order order;
	}			names[] = {
		{"UTF16", FLUCT_UTF16_BY_MARK},
		{"UTF16LE", FLUCT_UTF16_LITTLE},
		{"UTF16BE", FLUCT_UTF16_BIG},
	};
	char		plain[16];
	size_t		n = 0;

	for (; *name != '\0' && n < sizeof(plain) - 1; name++)
		if (*name != '-' && *name != '_')
			plain[n++] = pg_toupper(*name);
	plain[n] = '\0';
	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(plain, names[i].name) == 0)
		{
			*order = names[i].order;
			return true;
		}
	return false;
}

/* Goes on with the bytes as they are, for the reader to name the file. */
static void
give_raw(FluctReader *reader)
{
	reader->is_utf8 = true;
	memcpy(reader->decoded, reader->raw, reader->raw_len);
	reader->decoded_len = reader->raw_len;
}

/* In UTF-16, a delimiter or a line end has a NUL. */
static bool
is_ascii_text(const FluctReader *reader)
{
	size_t		n = Min(reader->raw_len, 64);

	for (size_t i = 0; i < n; i++)
		if (reader->raw[i] == '\0' || IS_HIGHBIT_SET(reader->raw[i]))
			return false;
	return n >= 2;
}

/* At the first bytes: skips UTF-16's mark, or gives the decoding up. */
static void
begin_decoding(FluctReader *reader)
{
	bool		is_text;
	size_t		mark = reader->is_utf16 ?
	fluct_utf16_mark(&reader->order, reader->raw, reader->raw_len) : 0;

	reader->begun = true;
	if (mark > 0)
	{
		reader->raw_len -= mark;
		memmove(reader->raw, reader->raw + mark, reader->raw_len);
	}
	else if (fluct_csv_kind(reader->raw, reader->raw_len, &is_text) != NULL ||
			 (reader->raw_len >= 3 && memcmp(reader->raw, "\xEF\xBB\xBF", 3) == 0))
		give_raw(reader);
	else if (reader->is_utf16 && is_ascii_text(reader))
		fluct_files_refuse(reader->file, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						   "bad_encoding",
						   "It is not UTF-16 text: leave encoding out, or pass another one.");
}

static void
put_undecoded(FluctReader *reader, char byte)
{
	reader->decoded[reader->decoded_len++] = FLUCT_CSV_UNDECODED;
	reader->decoded[reader->decoded_len++] = byte | 0x80;
}

/*
 * What cannot be converted, at place n: a NUL, a byte that is not valid, a
 * character without a counterpart.  Returns how many bytes it takes, 0 if it
 * may only be incomplete.
 */
static size_t
take_strange(FluctReader *reader, size_t n, size_t valid)
{
	size_t		left = reader->raw_len - n;

	if (n == valid && reader->raw[n] != '\0' && !reader->ended &&
		left < pg_encoding_max_length(reader->encoding))
		return 0;
	if (reader->raw[n] == '\0')
		reader->decoded[reader->decoded_len++] = '\0';
	else
		put_undecoded(reader, reader->raw[n]);
	if (n == valid)
		return 1;
	return Min(left, pg_encoding_mblen(reader->encoding, reader->raw + n));
}

/* Converts up to what is strange, and that. */
static size_t
convert(FluctReader *reader)
{
	int			valid = pg_encoding_verifymbstr(reader->encoding, reader->raw,
												reader->raw_len);
	int			n = 0;

	if (valid > 0)
	{
		n = pg_do_encoding_conversion_buf(reader->conversion, reader->encoding,
										  PG_UTF8,
										  (unsigned char *) reader->raw, valid,
										  (unsigned char *) reader->decoded,
										  DECODED_SIZE, true);
		reader->decoded_len = strlen(reader->decoded);
	}
	if (n < reader->raw_len)
		n += take_strange(reader, n, valid);
	return n;
}

/* Fills the decoded bytes; leaves none at the end of the file. */
static void
decode_more(FluctReader *reader)
{
	size_t		used;

	reader->decoded_at = reader->decoded_len = 0;
	while (reader->decoded_len == 0 && !(reader->ended && reader->raw_len == 0))
	{
		while (!reader->ended && reader->raw_len < READ_SIZE)
		{
			size_t		n = read_plain(reader, reader->raw + reader->raw_len,
									   READ_SIZE - reader->raw_len);

			reader->ended = n == 0;
			reader->raw_len += n;
		}
		if (!reader->begun)
			begin_decoding(reader);
		if (reader->is_utf8)
			return;
		if (reader->is_utf16)
			reader->decoded_len = fluct_utf16_decode(&reader->order, reader->raw,
													 reader->raw_len,
													 reader->ended,
													 reader->decoded,
													 DECODED_SIZE, &used);
		else
			used = convert(reader);
		reader->raw_len -= used;
		memmove(reader->raw, reader->raw + used, reader->raw_len);
	}
}

/* ----- outside ----- */

FluctReader *
fluct_reader_open(const char *path, const char *encoding, bool gzip)
{
	FluctReader *reader = palloc0(sizeof(FluctReader));

	reader->file = fluct_files_open(path);
	if (gzip)
		open_gzip(reader);
	reader->is_utf16 = is_utf16_name(encoding, &reader->order);
	reader->encoding = reader->is_utf16 ? PG_UTF8 : pg_char_to_encoding(encoding);
	reader->is_utf8 = !reader->is_utf16 && reader->encoding == PG_UTF8;
	if (reader->is_utf8)
		return reader;
	reader->raw = palloc(READ_SIZE);
	reader->decoded = palloc(DECODED_SIZE);
	if (!reader->is_utf16)
		reader->conversion = FindDefaultConversionProc(reader->encoding, PG_UTF8);
	if (!reader->is_utf16 && !OidIsValid(reader->conversion))
		elog(ERROR, "files cannot be read in encoding \"%s\"", encoding);
	return reader;
}

size_t
fluct_reader_read(void *arg, char *buffer, size_t size)
{
	FluctReader *reader = arg;

	if (reader->decoded_at == reader->decoded_len)
	{
		if (reader->is_utf8)
			return read_plain(reader, buffer, size);
		decode_more(reader);
	}
	size = Min(size, reader->decoded_len - reader->decoded_at);
	memcpy(buffer, reader->decoded + reader->decoded_at, size);
	reader->decoded_at += size;
	return size;
}

FluctFile *
fluct_reader_file(const FluctReader *reader)
{
	return reader->file;
}

/*
 * fluct._file_encoding(name text)
 *
 * The usual name of that encoding, from which there is a conversion to UTF-8;
 * NULL if there is none.
 */
Datum
fluct_file_encoding(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FluctUtf16Order order;
	int			encoding = pg_char_to_encoding(name);

	if (is_utf16_name(name, &order))
		PG_RETURN_TEXT_P(cstring_to_text(order == FLUCT_UTF16_BY_MARK ? "UTF16" :
										 order == FLUCT_UTF16_BIG ? "UTF16BE" :
										 "UTF16LE"));
	if (encoding < 0 || encoding == PG_SQL_ASCII ||
		(encoding != PG_UTF8 &&
		 !OidIsValid(FindDefaultConversionProc(encoding, PG_UTF8))))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pg_encoding_to_char(encoding)));
}
