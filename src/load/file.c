/*-------------------------------------------------------------------------
 *
 * file.c
 *	  Server files: opened safely, identified by their content.
 *
 * Anybody may have put a file there, so nothing about it is trusted:
 *
 * - A role without pg_read_server_files may read only below fluct.inbox_root:
 *	 each folder on the way is opened from the one before it, so neither a link
 *	 nor ".." can lead out, and a file with another hard link, which may be
 *	 outside, is refused.
 * - It is opened without following a link and without waiting (a FIFO would
 *	 block for ever), and examined through the descriptor, never by name again.
 * - Its identity is the SHA-256 of its bytes.  fluct.files stores it; the
 *	 function that reads the rows is given it, and hashes the bytes again in the
 *	 pass that splits them.  So what is loaded is what was identified, byte for
 *	 byte, whatever happened to the file in between; otherwise the last row says
 *	 changed_while_read.
 * - Before the load is recorded, its name must still lead to the same file, of
 *	 the same size and time (fluct._is_same): a file that was replaced, appended
 *	 to or deleted meanwhile is changed_while_read.
 *
 * A path is bytes, as the operating system has it: names need not be text in
 * the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/text.h"
#include "load/file.h"
#include "load/progress.h"
#include "pg/guc.h"

#define READ_SIZE		65536

PG_FUNCTION_INFO_V1(fluct_file_identity);
PG_FUNCTION_INFO_V1(fluct_file_is_same);

/* An open file, and the hash of what was read of it so far. */
struct FluctFile
{
	int			fd;
	bool		is_counted;		/* among the process's descriptors */
	char		name[MAXPGPATH];	/* without folders, printable */
	struct stat status;
	pg_cryptohash_ctx *hash;
	MemoryContextCallback end;
};

void
fluct_files_refuse(const FluctFile *file, int sqlstate, const char *reason,
				   const char *detail)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("file \"%s\" is refused: %s", file->name, reason),
			 errdetail("%s", detail)));
}

char *
fluct_files_root_hint(const char *others)
{
	return fluct_inbox_root[0] ?
		psprintf("fluct.inbox_root is \"%s\". Only roles with privileges of %s.",
				 fluct_inbox_root, others) :
		psprintf("fluct.inbox_root is empty. Put a line such as fluct.inbox_root = '/srv/fluct' in"
				 " postgresql.conf and SELECT pg_reload_conf(); otherwise only roles with privileges"
				 " of %s.", others);
}

static void
refuse_outside(const FluctFile *file, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("file \"%s\" is refused: outside_root", file->name),
			 errdetail("%s", detail),
			 errhint("%s", fluct_files_root_hint("pg_read_server_files may load other files"))));
}

/* It could not be opened or read: errno says why. */
static void
refuse_open(const FluctFile *file)
{
	char		detail[FLUCT_DETAIL_LEN];

	snprintf(detail, sizeof(detail), "It cannot be read: %s.",
			 strerror(errno));
	if (errno == ENOENT || errno == ENOTDIR)
		fluct_files_refuse(file, ERRCODE_UNDEFINED_FILE, "not_found",
						   "There is no such file on the server.");
	else if (errno == ELOOP)
		fluct_files_refuse(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
						   "It is a symbolic link.");
	else if (errno == ENXIO || errno == ENODEV)
		fluct_files_refuse(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
						   detail);
	else if (errno == EACCES || errno == EPERM)
		fluct_files_refuse(file, ERRCODE_INSUFFICIENT_PRIVILEGE, "unreadable",
						   detail);
	else
		fluct_files_refuse(file, ERRCODE_IO_ERROR, "unreadable", detail);
}

static const char *
what_follows(const char *path, const char *root)
{
	size_t		len = strlen(root);

	while (len > 1 && root[len - 1] == '/')
		len--;
	if (len == 0 || strncmp(path, root, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

/*
 * What follows the root's folder in a path, or NULL if it is not below.  A
 * relative path begins at the root.  The root may be a link: then both its
 * name and the folder it leads to will do, as inboxes keep the latter.
 */
const char *
fluct_files_below_root(const char *path)
{
	const char *rest;
	char	   *real;

	if (!is_absolute_path(path))
		return path;
	rest = what_follows(path, fluct_inbox_root);
	if (rest == NULL && (real = realpath(fluct_inbox_root, NULL)) != NULL)
	{
		rest = what_follows(path, real);
		free(real);
	}
	return rest;
}

/* Opens a member of a folder, and closes the folder. */
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
		fluct_files_refuse(file, ERRCODE_INVALID_NAME, "not_found",
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

/* What it is, if it is not a regular file. */
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
 * The callback in which the descriptor is closed.  The hash belongs to the
 * resource owner, which is gone before the memory context after an ERROR.
 */
static void
end_file(void *arg)
{
	FluctFile  *file = arg;

	if (file->fd >= 0)
		close(file->fd);
	if (file->is_counted)
		ReleaseExternalFD();
}

static void
check_kind(const FluctFile *file, bool any_file)
{
	if (!S_ISREG(file->status.st_mode))
		fluct_files_refuse(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
						   describe_mode(file->status.st_mode));
	if (!any_file && file->status.st_nlink > 1)
		fluct_files_refuse(file, ERRCODE_WRONG_OBJECT_TYPE, "not_regular_file",
						   "It has more than one name (hard link).");
}

/* Opens the path into file->fd, -1 with errno on failure. */
static void
open_path(FluctFile *file, const char *full, bool any_file)
{
	file->fd = -1;
	file->end.func = end_file;
	file->end.arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &file->end);
	file->is_counted = AcquireExternalFD();
	if (!file->is_counted)
		return;
	if (any_file && is_absolute_path(full))
		file->fd = open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	else
		file->fd = open_below_root(file, fluct_files_below_root(full));
}

static FluctFile *
new_file(const char *full)
{
	FluctFile  *file = palloc0(sizeof(FluctFile));
	const char *slash = strrchr(full, '/');

	fluct_text_printable(file->name, sizeof(file->name),
						 slash != NULL ? slash + 1 : full);
	return file;
}

/* Opens the file, which is closed with the current memory context. */
FluctFile *
fluct_files_open(const char *full)
{
	FluctFile  *file = new_file(full);
	bool		any_file = has_privs_of_role(GetUserId(),
											 ROLE_PG_READ_SERVER_FILES);

	open_path(file, full, any_file);
	if (file->fd < 0 || fstat(file->fd, &file->status) != 0)
		refuse_open(file);
	check_kind(file, any_file);
	fluct_progress_open(file->name, file->status.st_size);
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
	fluct_progress_bytes(n);
	return n;
}

/* A path's bytes; one with a NUL in it leads nowhere. */
char *
fluct_files_path(bytea *path)
{
	size_t		len = VARSIZE_ANY_EXHDR(path);

	if (memchr(VARDATA_ANY(path), '\0', len) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("a path must not hold a NUL byte")));
	return pnstrdup(VARDATA_ANY(path), len);
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

/* To the microsecond, as a timestamp has it. */
TimestampTz
fluct_files_time(const struct timespec *time)
{
	return time_t_to_timestamptz(time->tv_sec) + time->tv_nsec / 1000;
}

/*
 * fluct.__identify(path bytea, OUT bytes bigint,
 *					 OUT modified_at timestamptz, OUT inode bigint,
 *					 OUT sha256 bytea)
 *
 * Errors: not_found, unreadable, outside_root, not_regular_file.
 */
Datum
fluct_file_identity(PG_FUNCTION_ARGS)
{
	FluctFile  *file = fluct_files_open(fluct_files_path(PG_GETARG_BYTEA_PP(0)));
	TupleDesc	tupdesc;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *buffer = palloc(READ_SIZE);
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	while (fluct_files_read(file, buffer, READ_SIZE) > 0)
		continue;
	finish_hash(file, digest);

	values[0] = Int64GetDatum(file->status.st_size);
	values[1] = TimestampTzGetDatum(fluct_files_time(&file->status.st_mtim));
	values[2] = Int64GetDatum(file->status.st_ino);
	values[3] = digest_datum(digest);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}

/*
 * fluct.__is_same(path bytea, bytes bigint, modified_at timestamptz,
 *				   inode bigint)
 *
 * Whether that path leads to that file, unchanged.
 */
Datum
fluct_file_is_same(PG_FUNCTION_ARGS)
{
	char	   *path = fluct_files_path(PG_GETARG_BYTEA_PP(0));
	FluctFile  *file = new_file(path);
	struct stat *status = &file->status;

	open_path(file, path, has_privs_of_role(GetUserId(),
											ROLE_PG_READ_SERVER_FILES));
	PG_RETURN_BOOL(file->fd >= 0 && fstat(file->fd, status) == 0 &&
				   status->st_size == PG_GETARG_INT64(1) &&
				   fluct_files_time(&status->st_mtim) ==
				   PG_GETARG_TIMESTAMPTZ(2) &&
				   (int64) status->st_ino == PG_GETARG_INT64(3));
}
