/*-------------------------------------------------------------------------
 *
 * inbox.c
 *	  Folders: their files, and moving a file from one to another.
 *
 * - A folder is opened one step at a time, from fluct.inbox_root or, for roles
 *	 that may read and write any server file, from "/".  No step follows a link
 *	 or "..", and everything else is done through the descriptor.
 * - A file is moved only if it is still the one that was loaded (its inode), and
 *	 never onto another: a number is appended to a name that is taken.
 * - A move cannot be part of a transaction.  A scan moves after its commit; a
 *	 function that is called within a transaction requests the move here, and it
 *	 is done when the transaction has committed.  If the server dies in
 *	 between, the next scan finds the file where it was, and moves it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "common/file_perm.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "load/file.h"
#include "load/filename.h"
#include "pg/argument.h"
#include "pg/guc.h"

/* The longest file name, and how many names are tried. */
#define NAME_LEN		255
#define MOST_NAMES		100000

/* Files that one transaction moves at its commit. */
#define MOST_MOVES		64

PG_FUNCTION_INFO_V1(fluct_open_inbox);
PG_FUNCTION_INFO_V1(fluct_real_directory);
PG_FUNCTION_INFO_V1(fluct_list_folder);
PG_FUNCTION_INFO_V1(fluct_inbox_path);
PG_FUNCTION_INFO_V1(fluct_show_path);
PG_FUNCTION_INFO_V1(fluct_move_file);
PG_FUNCTION_INFO_V1(fluct_move_at_commit);
PG_FUNCTION_INFO_V1(fluct_in_transaction_block);

/* A move that waits for the commit, with its folders held open. */
typedef struct Move
{
	int			from;
	int			to;
	char		name[NAME_LEN + 1];
	int64		inode;
	SubTransactionId subid;
} Move;

static Move moves[MOST_MOVES];
static int	nmoves = 0;

/* ----- names ----- */

/* A file name given by SQL, not a path. */
static char *
name_argument(text * shown)
{
	char	   *name = fluct_filename_read(text_to_cstring(shown));

	if (name[0] == '\0' || strchr(name, '/') != NULL ||
		strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" is not a valid file name", fluct_filename_show(name)),
				 errhint("Give the name without folders, as fluct.files shows it.")));
	return name;
}

/* ----- folders ----- */

static void
refuse_folder(const char *directory, int sqlstate, const char *detail,
			  const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("directory \"%s\" cannot be used", fluct_filename_show(directory)),
			 errdetail("%s", detail), hint ? errhint("%s", hint) : 0));
}

/* A folder could not be opened or created: errno says why. */
static void
refuse_errno(const char *directory, const char *what)
{
	int			sqlstate = ERRCODE_IO_ERROR;
	const char *hint = NULL;

	if (errno == ENOENT)
	{
		sqlstate = ERRCODE_UNDEFINED_FILE;
		hint = "Create the folder on the server, for the operating system user of the server.";
	}
	else if (errno == ELOOP || errno == ENOTDIR)
		refuse_folder(directory, ERRCODE_INSUFFICIENT_PRIVILEGE,
					  psprintf("\"%s\" is a symbolic link, or no folder.",
							   fluct_filename_show(what)), "Give the path without links.");
	else if (errno == EACCES || errno == EPERM || errno == EROFS)
	{
		sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		hint = "The operating system user of the server must be able to read and write it.";
	}
	else if (errno == ENOSPC || errno == EDQUOT)
		sqlstate = ERRCODE_DISK_FULL;
	refuse_folder(directory, sqlstate,
				  psprintf("\"%s\": %s.", fluct_filename_show(what), strerror(errno)), hint);
}

/* Where the walk to a folder begins; *rest is what is left to go. */
static int
open_base(const char *directory, char **rest)
{
	bool		any = has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES) &&
	has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES);
	const char *base = "/";
	const char *below;
	int			fd;

	if (any && is_absolute_path(directory))
		below = directory + 1;
	else
	{
		base = fluct_inbox_root;
		below = base[0] ? fluct_files_below_root(directory) : NULL;
		if (below == NULL)
			refuse_folder(directory, ERRCODE_INSUFFICIENT_PRIVILEGE,
						  "It is not below fluct.inbox_root.",
						  fluct_files_root_hint("pg_read_server_files and pg_write_server_files"
												" may use other folders"));
	}
	*rest = pstrdup(below);
	fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		refuse_errno(directory, base);
	return fd;
}

/*
 * A step down; the folder above is closed.  A missing one is created if `make`
 * says so, with the permissions of the folder above.
 */
static int
open_step(int fd, const char *name, bool make)
{
	int			flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int			next = openat(fd, name, flags);
	struct stat status;
	int			save_errno;

	if (next < 0 && errno == ENOENT && make &&
		mkdirat(fd, name, pg_dir_create_mode) == 0)
	{
		next = openat(fd, name, flags);
		if (next >= 0 && fstat(fd, &status) == 0)
			(void) fchmod(next, status.st_mode & 0777);
	}
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return next;
}

/*
 * Opens the folder `sub` ("" = itself) of an inbox's directory as the current
 * user may; `make` creates `sub`.
 */
static int
open_folder(const char *directory, const char *sub, bool make)
{
	int			fd;
	char	   *path;
	char	   *name;

	if (sub[0] != '\0' && strcmp(sub, "done") != 0 && strcmp(sub, "refused") != 0)
		elog(ERROR, "an inbox has no such folder");
	fd = open_base(directory, &path);
	while ((name = strsep(&path, "/")) != NULL)
	{
		if (name[0] == '\0' || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
		{
			close(fd);
			refuse_folder(directory, ERRCODE_INVALID_NAME,
						  "It has \"..\" in it.", NULL);
		}
		if ((fd = open_step(fd, name, false)) < 0)
			refuse_errno(directory, name);
	}
	if (sub[0] != '\0' && (fd = open_step(fd, sub, make)) < 0 &&
		(make || errno != ENOENT))
		refuse_errno(directory, sub);
	return fd;
}

/*
 * Opens the folders of a move, both or, with an ERROR, none.  That of the files
 * moved to is created.
 */
static void
open_folders(const char *directory, const char *to_sub, const char *from_sub,
			 bool make_from, int *to, int *from)
{
	int			first = open_folder(directory, to_sub, true);

	PG_TRY();
	{
		*from = open_folder(directory, from_sub, make_from);
	}
	PG_CATCH();
	{
		close(first);
		PG_RE_THROW();
	}
	PG_END_TRY();
	*to = first;
}

/*
 * fluct._open_inbox(directory text): checks that the current user may use that
 * folder, and creates the folders for done and refused files in it.
 */
Datum
fluct_open_inbox(PG_FUNCTION_ARGS)
{
	char	   *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));

	close(open_folder(directory, "", false));
	close(open_folder(directory, "done", true));
	close(open_folder(directory, "refused", true));
	PG_RETURN_VOID();
}

/*
 * fluct._real_directory(directory text): the path of that folder by which all
 * of its spellings are the same.
 */
Datum
fluct_real_directory(PG_FUNCTION_ARGS)
{
	char	   *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *path = is_absolute_path(directory) ? directory :
	psprintf("%s/%s", fluct_inbox_root, directory);
	char		real[PATH_MAX];

	close(open_folder(directory, "", false));
	if (realpath(path, real) == NULL)
		refuse_errno(directory, directory);
	PG_RETURN_TEXT_P(cstring_to_text(real));
}

/* ----- what lies in a folder ----- */

static void
put_file(ReturnSetInfo *rsinfo, const char *name, const struct stat *status)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = CStringGetTextDatum(fluct_filename_show(name));
	values[1] = Int64GetDatum(status->st_size);
	values[2] = TimestampTzGetDatum(fluct_files_time(&status->st_mtim));
	values[3] = Int64GetDatum(status->st_ino);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
list(ReturnSetInfo *rsinfo, DIR *dir)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fluct folder",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL)
	{
		struct stat status;

		CHECK_FOR_INTERRUPTS();
		if (entry->d_name[0] == '.' ||
			fstatat(dirfd(dir), entry->d_name, &status,
					AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(status.st_mode))
			continue;
		put_file(rsinfo, entry->d_name, &status);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * fluct._list_folder(directory text, sub text, only text)
 * RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
 *
 * The files there, except hidden ones; only one of them, if `only` is not NULL.
 * No rows if `sub` does not exist.
 */
Datum
fluct_list_folder(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *only = PG_ARGISNULL(2) ? NULL : name_argument(PG_GETARG_TEXT_PP(2));
	struct stat status;
	int			fd;
	DIR		   *dir;

	fluct_argument_require(fcinfo, 0, "directory");
	fluct_argument_require(fcinfo, 1, "sub");
	InitMaterializedSRF(fcinfo, 0);
	fd = open_folder(text_to_cstring(PG_GETARG_TEXT_PP(0)),
					 text_to_cstring(PG_GETARG_TEXT_PP(1)), false);
	if (fd < 0)
		return (Datum) 0;
	if (only != NULL)
	{
		int			found = fstatat(fd, only, &status, AT_SYMLINK_NOFOLLOW);

		close(fd);
		if (found == 0 && !S_ISDIR(status.st_mode))
			put_file(rsinfo, only, &status);
		return (Datum) 0;
	}
	dir = fdopendir(fd);
	if (dir == NULL)
	{
		close(fd);
		elog(ERROR, "could not read a folder: %m");
	}
	PG_TRY();
	{
		list(rsinfo, dir);
	}
	PG_FINALLY();
	{
		closedir(dir);
	}
	PG_END_TRY();
	return (Datum) 0;
}

/* fluct._inbox_path(directory text, sub text, name text): a path's bytes */
Datum
fluct_inbox_path(PG_FUNCTION_ARGS)
{
	char	   *sub = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *path = psprintf("%s/%s%s%s", text_to_cstring(PG_GETARG_TEXT_PP(0)),
								sub, sub[0] ? "/" : "",
								name_argument(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_BYTEA_P(cstring_to_text(path));
}

/* fluct._show_path(path bytea): a path's bytes as text */
Datum
fluct_show_path(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(fluct_filename_show(fluct_files_path(PG_GETARG_BYTEA_PP(0)))));
}

/* ----- moving ----- */

/* The n-th name to try: the name itself, then with a number appended. */
static void
candidate(char *out, const char *name, int n)
{
	char		number[16] = "";
	size_t		len = strlen(name);
	size_t		room;

	if (n > 1)
		snprintf(number, sizeof(number), ".%d", n);
	room = NAME_LEN - strlen(number);
	if (len > room)
	{
		len = room;
		while (len > 0 && (name[len] & 0xc0) == 0x80)
			len--;
	}
	len = len > 0 ? len : room;
	memcpy(out, name, len);
	strcpy(out + len, number);
}

/* Renames, but does not overwrite (EEXIST). */
static int
rename_new(int from, const char *name, int to, const char *new_name)
{
	struct stat status;

	if (renameat2(from, name, to, new_name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;

	/* a file system that does not support it */
	if (fstatat(to, new_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
	{
		errno = EEXIST;
		return -1;
	}
	return errno == ENOENT ? renameat(from, name, to, new_name) : -1;
}

static bool
is_inode(int folder, const char *name, int64 inode)
{
	struct stat status;

	return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		(int64) status.st_ino == inode;
}

/*
 * Moves the file with that inode; its new name in new_name.  False if it is
 * gone or replaced, or with *error if it cannot be moved.
 */
static bool
move(int from, int to, const char *name, int64 inode, char *new_name,
	 int *error)
{
	*error = 0;
	for (int n = 1; n < MOST_NAMES; n++)
	{
		if (!is_inode(from, name, inode))
			return false;
		candidate(new_name, name, n);
		if (rename_new(from, name, to, new_name) == 0)
		{
			if (is_inode(to, new_name, inode))
				return true;
			/* somebody replaced it in between: put that back */
			(void) rename_new(to, new_name, from, name);
			return false;
		}
		if (errno != EEXIST)
			break;
	}
	*error = errno;
	return false;
}

/*
 * fluct._move_file(directory text, from_sub text, name text, to_sub text,
 *					inode bigint)
 * RETURNS text
 *
 * The file's new name, as text; NULL if it is no longer there.
 */
Datum
fluct_move_file(PG_FUNCTION_ARGS)
{
	char	   *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *name = name_argument(PG_GETARG_TEXT_PP(2));
	char	   *to_sub = text_to_cstring(PG_GETARG_TEXT_PP(3));
	char	   *from_sub = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int			to;
	int			from;
	char		new_name[NAME_LEN + 1];
	int			error;
	bool		moved;

	open_folders(directory, to_sub, from_sub, false, &to, &from);
	moved = move(from, to, name, PG_GETARG_INT64(4), new_name, &error);
	if (from >= 0)
		close(from);
	close(to);
	errno = error;
	if (error != 0)
		refuse_errno(directory, to_sub);
	if (!moved)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fluct_filename_show(new_name)));
}

/* ----- moving at the commit ----- */

static void
end_move(const Move *m, bool commit)
{
	char		new_name[NAME_LEN + 1];
	int			error = 0;

	if (commit)
		move(m->from, m->to, m->name, m->inode, new_name, &error);
	if (error != 0)
		ereport(WARNING,
				(errmsg("could not move a file: %s", strerror(error)),
				 errhint("The next scan_inbox() tries to move it again.")));
	close(m->from);
	close(m->to);
}

static void
after_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	for (; nmoves > 0; nmoves--)
		end_move(&moves[nmoves - 1], event == XACT_EVENT_COMMIT);
}

static void
after_subtransaction(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (; nmoves > 0 && moves[nmoves - 1].subid >= subid; nmoves--)
		end_move(&moves[nmoves - 1], false);
}

/*
 * fluct._move_at_commit(directory text, from_sub text, name text, to_sub text,
 *						 inode bigint)
 *
 * The same, once this transaction has committed.
 */
Datum
fluct_move_at_commit(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	char	   *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Move	   *m = &moves[nmoves];

	if (nmoves == MOST_MOVES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many files in one transaction"),
				 errdetail("At most %d are moved at its commit.", MOST_MOVES)));
	if (!registered)
	{
		RegisterXactCallback(after_transaction, NULL);
		RegisterSubXactCallback(after_subtransaction, NULL);
		registered = true;
	}
	strlcpy(m->name, name_argument(PG_GETARG_TEXT_PP(2)), sizeof(m->name));
	m->inode = PG_GETARG_INT64(4);
	m->subid = GetCurrentSubTransactionId();
	open_folders(directory, text_to_cstring(PG_GETARG_TEXT_PP(3)),
				 text_to_cstring(PG_GETARG_TEXT_PP(1)), true, &m->to, &m->from);
	nmoves++;
	PG_RETURN_VOID();
}

/* Whether this is a transaction block, which only the user may commit. */
Datum
fluct_in_transaction_block(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsTransactionBlock());
}
