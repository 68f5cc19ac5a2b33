/*-------------------------------------------------------------------------
 *
 * inbox.c
 *	  The folders of an inbox, and what lies in them.
 *
 * A folder is opened one step at a time, from fluct.inbox_root or, for roles
 * that may read and write any server file, from "/".  No step follows a link
 * or "..", and everything else is done through the descriptor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

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
#include "load/inbox.h"
#include "pg/argument.h"
#include "pg/guc.h"

PG_FUNCTION_INFO_V1(fluct_open_inbox);
PG_FUNCTION_INFO_V1(fluct_real_directory);
PG_FUNCTION_INFO_V1(fluct_list_folder);
PG_FUNCTION_INFO_V1(fluct_inbox_path);
PG_FUNCTION_INFO_V1(fluct_show_path);

/* ----- names ----- */

char *
fluct_inbox_name(text * shown)
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

void
fluct_inbox_refuse(const char *directory, const char *what)
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
		fluct_inbox_refuse(directory, base);
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

int
fluct_inbox_open(const char *directory, const char *sub, bool make)
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
			fluct_inbox_refuse(directory, name);
	}
	if (sub[0] != '\0' && (fd = open_step(fd, sub, make)) < 0 &&
		(make || errno != ENOENT))
		fluct_inbox_refuse(directory, sub);
	return fd;
}

/*
 * fluct._open_inbox(directory text): checks that the current user may use that
 * folder, and creates the folders for done and refused files in it.
 */
Datum
fluct_open_inbox(PG_FUNCTION_ARGS)
{
	char	   *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));

	close(fluct_inbox_open(directory, "", false));
	close(fluct_inbox_open(directory, "done", true));
	close(fluct_inbox_open(directory, "refused", true));
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

	close(fluct_inbox_open(directory, "", false));
	if (realpath(path, real) == NULL)
		fluct_inbox_refuse(directory, directory);
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
	char	   *only = PG_ARGISNULL(2) ? NULL : fluct_inbox_name(PG_GETARG_TEXT_PP(2));
	struct stat status;
	int			fd;
	DIR		   *dir;

	fluct_argument_require(fcinfo, 0, "directory");
	fluct_argument_require(fcinfo, 1, "sub");
	InitMaterializedSRF(fcinfo, 0);
	fd = fluct_inbox_open(text_to_cstring(PG_GETARG_TEXT_PP(0)),
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
								fluct_inbox_name(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_BYTEA_P(cstring_to_text(path));
}

/* fluct._show_path(path bytea): a path's bytes as text */
Datum
fluct_show_path(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(fluct_filename_show(fluct_files_path(PG_GETARG_BYTEA_PP(0)))));
}
