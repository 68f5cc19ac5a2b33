/*-------------------------------------------------------------------------
 *
 * files.c
 *	  Server files: opened safely, known by their content, read as rows.
 *
 * A file is what somebody put there, so nothing about it is believed:
 *
 * - Who has not the rights of pg_read_server_files reads below
 *	 fluct.inbox_root only: each folder on the way is opened from the one before
 *	 it, so neither a link nor ".." can lead out, and a file with a second name
 *	 is refused, which may be one outside.
 * - It is opened without following a link and without waiting (a FIFO would
 *	 block for ever), and looked at through the descriptor, never by name again.
 * - Its identity is the SHA-256 of its bytes.  fluct.files remembers that; who
 *	 reads the rows afterwards gives it back, and the same pass that splits the
 *	 bytes hashes them once more.  So what is loaded is what was identified,
 *	 byte for byte, whatever happened to the file in between; if it is not, the
 *	 last row says changed_while_read.
 * - What is wrong with its contents comes back as rows with a reason, not as
 *	 an error, because only the caller knows whether a bad row refuses the file,
 *	 and which of the bad ones is the first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "csv.h"
#include "files.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "value.h"

#define READ_SIZE		65536

/* Of the column names that are ignored, how many bytes are told. */
#define IGNORED_LEN		256

PG_FUNCTION_INFO_V1(fluct_file_identity);
PG_FUNCTION_INFO_V1(fluct_read_csv);

/* An open file, and the hash of what was read of it so far. */
struct FluctFile
{
	int			fd;
	char		name[MAXPGPATH];	/* without folders, as it can be printed */
	struct stat status;
	pg_cryptohash_ctx *hash;
	MemoryContextCallback end;
};

/* Where the rows of a file go. */
typedef struct RowSink
{
	ReturnSetInfo *rsinfo;
	MemoryContext row_context;
	int		   *columns;		/* of the file, in the order asked for */
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
} RowSink;

/* The file as a whole is refused. */
static void
refuse_file(const FluctFile *file, int sqlstate, const char *reason,
			const char *detail)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("file \"%s\" is refused: %s", file->name, reason),
			 errdetail("%s", detail)));
}

static void
refuse_outside(const FluctFile *file, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("file \"%s\" is refused: outside_root", file->name),
			 errdetail("%s", detail),
			 errhint("Only roles with privileges of pg_read_server_files may"
					 " load any file.")));
}

/* It could not be opened or read: errno tells why. */
static void
refuse_open(const FluctFile *file)
{
	char		detail[FLUCT_DETAIL_LEN];

	snprintf(detail, sizeof(detail), "It cannot be read: %s.",
			 strerror(errno));
	if (errno == ENOENT || errno == ENOTDIR)
		refuse_file(file, ERRCODE_UNDEFINED_FILE, "not_found",
					"There is no such file on the server.");
	else if (errno == ELOOP)
		refuse_file(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
					"It is a symbolic link.");
	else if (errno == ENXIO || errno == ENODEV)
		refuse_file(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
					detail);
	else if (errno == EACCES || errno == EPERM)
		refuse_file(file, ERRCODE_INSUFFICIENT_PRIVILEGE, "unreadable",
					detail);
	else
		refuse_file(file, ERRCODE_IO_ERROR, "unreadable", detail);
}

/*
 * What follows the root's folder in a path, or NULL if it is not below.  A
 * relative path is one from the root.
 */
static const char *
path_below_root(const char *path)
{
	size_t		len = strlen(fluct_inbox_root);

	if (!is_absolute_path(path))
		return path;
	while (len > 1 && fluct_inbox_root[len - 1] == '/')
		len--;
	if (len == 0 || strncmp(path, fluct_inbox_root, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

/* Opens a folder's member, and closes the folder. */
static int
open_member(int folder, const char *name, int flags)
{
	int			fd = openat(folder, name,
							O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
	int			save_errno = errno;

	close(folder);
	errno = save_errno;
	return fd;
}

/* Goes down from the root, one folder at a time. */
static int
open_below_root(const FluctFile *file, const char *path)
{
	int			fd;
	char	   *rest;
	char	   *name;

	if (path == NULL)
		refuse_outside(file, "It is not below fluct.inbox_root.");
	if (fluct_inbox_root[0] == '\0')
		refuse_file(file, ERRCODE_INVALID_NAME, "not_found",
					"A relative path; expected one that begins with \"/\","
					" as fluct.inbox_root is empty.");
	rest = pstrdup(path);
	fd = open(fluct_inbox_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && (name = strsep(&rest, "/")) != NULL)
	{
		if (strcmp(name, "..") == 0)
		{
			close(fd);
			refuse_outside(file, "Its path has \"..\" in it.");
		}
		if (rest == NULL)
			return open_member(fd, name, O_NONBLOCK);
		if (name[0] == '\0' || strcmp(name, ".") == 0)
			continue;
		fd = open_member(fd, name, O_DIRECTORY);
		if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
			refuse_outside(file, "A folder of its path is a link, or no"
						   " folder.");
	}
	return fd;
}

/* What kind of thing is no regular file. */
static const char *
describe_mode(mode_t mode)
{
	if (S_ISDIR(mode))
		return "It is a directory.";
	if (S_ISFIFO(mode))
		return "It is a FIFO.";
	if (S_ISSOCK(mode))
		return "It is a socket.";
	return "It is a device.";
}

/*
 * The callback in which the descriptor dies.  The hash is the resource
 * owner's, which is gone before the memory context when there was an ERROR.
 */
static void
end_file(void *arg)
{
	FluctFile  *file = arg;

	if (file->fd >= 0)
	{
		close(file->fd);
		ReleaseExternalFD();
	}
}

static void
check_kind(const FluctFile *file, bool any_file)
{
	if (!S_ISREG(file->status.st_mode))
		refuse_file(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
					describe_mode(file->status.st_mode));
	if (!any_file && file->status.st_nlink > 1)
		refuse_file(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
					"It has more than one name (hard link).");
}

/* Opens the file, which is closed with the current memory context. */
FluctFile *
fluct_files_open(const char *full)
{
	FluctFile  *file = palloc0(sizeof(FluctFile));
	const char *slash = strrchr(full, '/');
	bool		any_file = has_privs_of_role(GetUserId(),
											 ROLE_PG_READ_SERVER_FILES);

	fluct_copy_printable(file->name, sizeof(file->name),
						 slash != NULL ? slash + 1 : full);
	file->fd = -1;
	file->end.func = end_file;
	file->end.arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &file->end);
	if (!AcquireExternalFD())
		refuse_open(file);
	if (any_file && is_absolute_path(full))
		file->fd = open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	else
		file->fd = open_below_root(file, path_below_root(full));
	if (file->fd < 0)
	{
		ReleaseExternalFD();
		refuse_open(file);
	}
	if (fstat(file->fd, &file->status) != 0)
		refuse_open(file);
	check_kind(file, any_file);
	file->hash = pg_cryptohash_create(PG_SHA256);
	if (file->hash == NULL || pg_cryptohash_init(file->hash) < 0)
		elog(ERROR, "could not begin a SHA-256");
	return file;
}

static void
finish_hash(FluctFile *file, uint8 *digest)
{
	if (pg_cryptohash_final(file->hash, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not end a SHA-256");
	pg_cryptohash_free(file->hash);
	file->hash = NULL;
}

/* Reads on, hashing; 0 at the end.  A FluctCsvSource. */
size_t
fluct_files_read(void *arg, char *buffer, size_t size)
{
	FluctFile  *file = arg;
	ssize_t		n;

	CHECK_FOR_INTERRUPTS();
	do
		n = read(file->fd, buffer, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		refuse_open(file);
	if (pg_cryptohash_update(file->hash, (uint8 *) buffer, n) < 0)
		elog(ERROR, "could not go on with a SHA-256");
	return n;
}

const char *
fluct_files_name(const FluctFile *file)
{
	return file->name;
}

bool
fluct_files_unchanged(FluctFile *file, bytea *wanted)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *rest = palloc(READ_SIZE);

	while (fluct_files_read(file, rest, READ_SIZE) > 0)
		continue;
	pfree(rest);
	finish_hash(file, digest);
	return wanted == NULL ||
		(VARSIZE_ANY_EXHDR(wanted) == PG_SHA256_DIGEST_LENGTH &&
		 memcmp(VARDATA_ANY(wanted), digest, PG_SHA256_DIGEST_LENGTH) == 0);
}

static Datum
digest_datum(const uint8 *digest)
{
	bytea	   *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	memcpy(VARDATA(result), digest, PG_SHA256_DIGEST_LENGTH);
	return PointerGetDatum(result);
}

/*
 * fluct._file_identity(path text, OUT bytes bigint,
 *						OUT modified_at timestamptz, OUT sha256 bytea)
 *
 * Errors: not_found, unreadable, outside_root, not_regular_file.
 */
Datum
fluct_file_identity(PG_FUNCTION_ARGS)
{
	FluctFile  *file = fluct_files_open(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TupleDesc	tupdesc;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *buffer = palloc(READ_SIZE);
	int64		bytes = 0;
	size_t		n;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	while ((n = fluct_files_read(file, buffer, READ_SIZE)) > 0)
		bytes += n;
	finish_hash(file, digest);

	values[0] = Int64GetDatum(bytes);
	values[1] =
		TimestampTzGetDatum(time_t_to_timestamptz(file->status.st_mtime));
	values[2] = digest_datum(digest);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}

/* A field in the database's encoding. */
static Datum
field_datum(const FluctCsvField *field)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8 || field->len == 0)
		return PointerGetDatum(cstring_to_text_with_len(field->text,
														field->len));
	converted = pnstrdup(field->text, field->len);
	return CStringGetTextDatum(pg_any_to_server(converted, field->len,
												PG_UTF8));
}

/* Adds (line, fields, NULL, NULL, false). */
static void
put_record(RowSink *sink, const FluctCsvRecord *record)
{
	MemoryContext old = MemoryContextSwitchTo(sink->row_context);
	int			dims[1] = {sink->ncolumns};
	int			lbs[1] = {1};
	Datum		values[5] = {0};
	bool		nulls[5] = {false, false, true, true, false};

	for (int i = 0; i < sink->ncolumns; i++)
	{
		const FluctCsvField *field = &record->fields[sink->columns[i]];

		sink->nulls[i] = field->len == 0 && !field->quoted;
		if (!sink->nulls[i])
			sink->values[i] = field_datum(field);
	}
	values[0] = Int64GetDatum(record->line);
	values[1] = PointerGetDatum(construct_md_array(sink->values, sink->nulls,
												   1, dims, lbs, TEXTOID, -1,
												   false, TYPALIGN_INT));
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc,
						 values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sink->row_context);
}

/* Adds (line, NULL, reason, detail, fatal). */
static void
put_refusal(RowSink *sink, uint64_t line, const char *reason,
			const char *detail, bool fatal)
{
	Datum		values[5];
	bool		nulls[5] = {false, true, false, false, false};

	values[0] = Int64GetDatum(line);
	values[1] = (Datum) 0;
	values[2] = CStringGetTextDatum(reason);
	values[3] = CStringGetTextDatum(detail);
	values[4] = BoolGetDatum(fatal);
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc,
						 values, nulls);
}

static void
put_csv_refusal(RowSink *sink, const FluctCsvRefusal *refusal, bool fatal)
{
	put_refusal(sink, refusal->line, fluct_csv_reason_name(refusal->reason),
				refusal->detail, fatal);
}

/* Tells which columns of the header nobody asked for. */
static void
tell_ignored(const FluctFile *file, const RowSink *sink,
			 const FluctCsvRecord *header)
{
	StringInfoData names;
	char		shown[IGNORED_LEN];

	initStringInfo(&names);
	for (int i = 0; i < header->count; i++)
	{
		bool		wanted = false;

		for (int j = 0; j < sink->ncolumns; j++)
			wanted |= sink->columns[j] == i;
		if (!wanted)
			appendStringInfo(&names, "%s\"%.*s\"", names.len > 0 ? ", " : "",
							 (int) header->fields[i].len,
							 header->fields[i].text);
	}
	if (names.len == 0)
		return;
	fluct_copy_printable(shown, sizeof(shown), names.data);
	ereport(NOTICE,
			(errmsg("file \"%s\": columns ignored: %s", file->name, shown)));
}

/* A last line without its end may be whole, or what is left of a longer one. */
static void
take_last_record(RowSink *sink, const FluctFile *file, uint64_t line,
				 bool strict_end)
{
	if (strict_end)
		put_refusal(sink, line, "missing_column", "the file ends within this"
					" line, expected a line end; it may be cut", false);
	else
		ereport(WARNING,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("the last line of file \"%s\", line %llu, has no line"
						" end", file->name, (unsigned long long) line),
				 errdetail("It was read as it stands. A file that was cut"
						   " looks like this.")));
}

/* Reads the file through csv.c into the sink. */
static void
read_rows(FluctFile *file, const char *const *names, RowSink *sink,
		  bool strict_end)
{
	FluctAllocator allocator = fluct_alloc_in(CurrentMemoryContext);
	FluctCsvSource source = {fluct_files_read, file};
	FluctCsv   *csv = fluct_csv_create(&allocator, &source);
	FluctCsvRecord record;
	FluctCsvRefusal refusal;
	FluctCsvStatus status;

	if (!fluct_csv_read_header(csv, names, sink->ncolumns, sink->columns,
							   &record, &refusal))
	{
		put_csv_refusal(sink, &refusal, true);
		return;
	}
	tell_ignored(file, sink, &record);
	while ((status = fluct_csv_next(csv, &record, &refusal)) != FLUCT_CSV_END)
	{
		if (status != FLUCT_CSV_RECORD)
		{
			put_csv_refusal(sink, &refusal, status == FLUCT_CSV_BAD_FILE);
			if (status == FLUCT_CSV_BAD_FILE)
				return;
			continue;
		}
		if (record.unterminated)
			take_last_record(sink, file, record.line, strict_end);
		if (!record.unterminated || !strict_end)
			put_record(sink, &record);
	}
}

/* The wanted names as C strings. */
static char **
column_names(ArrayType *array, int *count)
{
	Datum	   *datums;
	char	  **names;

	if (array_contains_nulls(array))
		elog(ERROR, "column names must not be null");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL,
					  count);
	names = palloc_array(char *, *count);
	for (int i = 0; i < *count; i++)
		names[i] = TextDatumGetCString(datums[i]);
	return names;
}

/*
 * fluct._read_csv(path text, sha256 bytea, columns text[], strict_end boolean)
 * RETURNS TABLE (line bigint, fields text[], reason text, detail text,
 *				  fatal boolean)
 *
 * The wanted columns of each row, with its physical line from 1, in the order
 * of `columns`; an empty field without quotes is NULL.  A row that is refused
 * has a reason in place of fields; behind a fatal one nothing could be read.
 * sha256 is what the content must be, NULL = anything.
 */
Datum
fluct_read_csv(PG_FUNCTION_ARGS)
{
	bytea	   *wanted = PG_ARGISNULL(1) ? NULL : PG_GETARG_BYTEA_PP(1);
	FluctFile  *file;
	RowSink		sink = {(ReturnSetInfo *) fcinfo->resultinfo};
	char	  **names;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		elog(ERROR, "path, columns and strict_end must not be null");
	InitMaterializedSRF(fcinfo, 0);
	names = column_names(PG_GETARG_ARRAYTYPE_P(2), &sink.ncolumns);
	sink.columns = palloc_array(int, sink.ncolumns);
	sink.values = palloc_array(Datum, sink.ncolumns);
	sink.nulls = palloc_array(bool, sink.ncolumns);
	sink.row_context = AllocSetContextCreate(CurrentMemoryContext,
											 "fluct csv row",
											 ALLOCSET_DEFAULT_SIZES);

	file = fluct_files_open(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	read_rows(file, (const char *const *) names, &sink,
			  PG_GETARG_BOOL(3));
	if (!fluct_files_unchanged(file, wanted))
		put_refusal(&sink, 0, "changed_while_read",
					"its content is not what it was when the load began",
					true);
	return (Datum) 0;
}
