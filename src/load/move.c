/*-------------------------------------------------------------------------
 *
 * move.c
 *	  Files that go from one folder of an inbox to another.
 *
 * A file is moved only if it is still the one that was loaded (its inode), and
 * never onto another: a number is appended to a name that is taken.
 *
 * A move cannot be part of a transaction.  A scan moves after its commit; a
 * function that is called within a transaction requests the move here, and it
 * is done when the transaction has committed.  If the server dies in between,
 * the next scan finds the file where it was, and moves it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "load/filename.h"
#include "load/inbox.h"

/* The longest file name, and how many names are tried. */
#define NAME_LEN		255
#define MOST_NAMES		100000

/* Files that one transaction moves at its commit. */
#define MOST_MOVES		64

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

/*
 * Opens the folders of a move, both or, with an ERROR, none.  That of the files
 * moved to is created.
 */
static void
open_folders(const char *directory, const char *to_sub, const char *from_sub,
			 bool make_from, int *to, int *from)
{
	int			first = fluct_inbox_open(directory, to_sub, true);

	PG_TRY();
	{
		*from = fluct_inbox_open(directory, from_sub, make_from);
	}
	PG_CATCH();
	{
		close(first);
		PG_RE_THROW();
	}
	PG_END_TRY();
	*to = first;
}

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
	char	   *name = fluct_inbox_name(PG_GETARG_TEXT_PP(2));
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
		fluct_inbox_refuse(directory, to_sub);
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
	strlcpy(m->name, fluct_inbox_name(PG_GETARG_TEXT_PP(2)), sizeof(m->name));
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
