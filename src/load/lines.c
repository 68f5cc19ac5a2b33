/*-------------------------------------------------------------------------
 *
 * lines.c
 *	  A server file by its lines, each a message of JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "csv/header.h"
#include "load/lines.h"
#include "pg/guc.h"

#define READ_SIZE		1048576

void
fluct_lines_refuse(const FluctLines *lines, int64 number, const FluctRefusal *refusal)
{
	const char *s = refusal->sqlstate;

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])),
			 errmsg("file \"%s\" is refused at line %lld: %s",
					fluct_files_name(lines->file), (long long) number,
					fluct_reason_name(refusal->reason)),
			 errdetail("%s%s%s", refusal->path,
					   refusal->path[0] ? ": " : "", refusal->detail)));
}

void
fluct_lines_close(FluctLines *lines, bytea *sha256)
{
	if (!fluct_files_unchanged(lines->file, sha256))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("file \"%s\" is refused: changed_while_read",
						fluct_files_name(lines->file)),
				 errdetail("Its content is not what it was when the load began.")));
	pfree(lines->buffer);
}

/* Makes room, and reads more into the buffer. */
static void
read_more(FluctLines *lines)
{
	size_t		n;

	memmove(lines->buffer, lines->buffer + lines->at, lines->end - lines->at);
	lines->end -= lines->at;
	lines->at = 0;
	if (lines->end == lines->capacity)
	{
		lines->capacity *= 2;
		lines->buffer = repalloc_huge(lines->buffer, lines->capacity);
	}
	n = fluct_reader_read(lines->reader, lines->buffer + lines->end,
						  lines->capacity - lines->end);
	lines->end += n;
	lines->eof = n == 0;
}

/* Names a file that does not hold text, by its first bytes. */
static void
check_kind(FluctLines *lines)
{
	const char *kind;
	bool		is_text;

	read_more(lines);
	kind = fluct_csv_kind(lines->buffer, lines->end, &is_text);
	if (kind != NULL)
		fluct_files_refuse(lines->file, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						   "bad_encoding",
						   psprintf("It looks like %s, expected lines of JSON.%s",
									kind, strncmp(kind, "gzip", 4) == 0 ?
									" If it is right, name it *.gz, or pass compression => 'gzip'." : ""));
}

void
fluct_lines_open(FluctLines *lines, bytea *path, text * encoding, bool gzip)
{
	memset(lines, 0, sizeof(FluctLines));
	lines->reader = fluct_reader_open(fluct_files_path(path),
									  text_to_cstring(encoding), gzip);
	lines->file = fluct_reader_file(lines->reader);
	lines->capacity = READ_SIZE;
	lines->buffer = palloc(lines->capacity);
	check_kind(lines);
}

/*
 * Where the line at hand ends; NULL at the end of the file.  Of one that is too
 * large no more is held than its beginning.
 */
static char *
find_end(FluctLines *lines)
{
	size_t		searched = 0;

	lines->too_large = false;
	for (;;)
	{
		char	   *from = lines->buffer + lines->at;
		char	   *stop = memchr(from + searched, '\n', lines->end - lines->at - searched);

		if (stop || lines->eof)
			return stop;
		searched = lines->end - lines->at;
		if (searched > (size_t) fluct_max_message_bytes + 1)
		{
			lines->too_large = true;
			searched = Min(searched, FLUCT_KEPT_OF_TOO_LARGE);
			lines->end = lines->at + searched;
		}
		read_more(lines);
	}
}

/* The next line without its end; false at the end of the file. */
static bool
next_raw_line(FluctLines *lines, char **line, size_t *len)
{
	char	   *stop = find_end(lines);

	if (stop == NULL && lines->at == lines->end)
		return false;
	*line = lines->buffer + lines->at;
	*len = (stop ? stop : lines->buffer + lines->end) - *line;
	lines->at += *len + (stop ? 1 : 0);
	if (*len > 0 && (*line)[*len - 1] == '\r')
		(*len)--;
	lines->too_large |= *len > (size_t) fluct_max_message_bytes;
	lines->read++;
	if (lines->read == 1 && *len >= 3 &&
		memcmp(*line, "\xEF\xBB\xBF", 3) == 0)
	{
		*line += 3;				/* a byte order mark */
		*len -= 3;
	}
	return true;
}

static bool
is_blank(const char *line, size_t len)
{
	while (len > 0 && strchr(" \t\r", line[len - 1]) && line[len - 1] != '\0')
		len--;
	return len == 0;
}

/*
 * Reads up to a line that is not blank, since blank lines count only where one
 * follows.
 */
static bool
hold_line(FluctLines *lines)
{
	while (next_raw_line(lines, &lines->held, &lines->held_len))
		if (!is_blank(lines->held, lines->held_len))
			return true;
	lines->held = NULL;
	return false;
}

bool
fluct_lines_next_row(FluctLines *lines, char **line, size_t *len,
					 FluctRefusal *refusal)
{
	refusal->reason = FLUCT_OK;
	if (lines->held == NULL && !hold_line(lines))
	{
		if (lines->number == 0)
			ereport(ERROR,
					(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
					 errmsg("file \"%s\" is refused: empty_file",
							fluct_files_name(lines->file)),
					 errdetail("It has no lines.")));
		return false;
	}
	*line = lines->held;
	*len = 0;
	if (++lines->number < lines->read)
		fluct_refuse(refusal, FLUCT_EMPTY_VALUE, NULL, "the line is blank");
	else
	{
		*len = lines->held_len;
		lines->held = NULL;
		if (lines->too_large)
			fluct_refuse(refusal, FLUCT_TOO_LARGE, NULL,
						 "the line is longer than fluct.max_message_bytes, %d",
						 fluct_max_message_bytes);
	}
	return true;
}

bool
fluct_lines_next(FluctLines *lines, char **line, size_t *len)
{
	FluctRefusal refusal;

	if (!fluct_lines_next_row(lines, line, len, &refusal))
		return false;
	if (refusal.reason != FLUCT_OK)
		fluct_lines_refuse(lines, lines->number, &refusal);
	return true;
}
