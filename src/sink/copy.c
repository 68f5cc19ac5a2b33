/*-------------------------------------------------------------------------
 *
 * copy.c
 *	  Encoded rows into a table by COPY's machinery.
 *
 * CopyFrom brings multi-insert, triggers, partition routing and constraints.
 * It checks no permissions, so that is done here; insert.c decides where it
 * may be used at all.
 *
 * Its callback has no user pointer, hence the static `feed`.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "commands/copy.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "sink/copy.h"

static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
static const char copy_trailer[] = "\377\377";

#define COPY_HEADER_LEN		19
#define COPY_TRAILER_LEN	2

/* What CopyFrom reads: header, pieces, trailer. */
typedef struct Feed
{
	FluctPiece *pieces;
	int			npieces;
	int			at;				/* the piece being read */
	size_t		done;			/* bytes of it that are read */
} Feed;

static Feed feed;

static int
read_feed(void *outbuf, int minread, int maxread)
{
	int			copied = 0;

	while (copied < maxread && feed.at < feed.npieces)
	{
		FluctPiece *piece = &feed.pieces[feed.at];
		size_t		n = Min(piece->len - feed.done, maxread - copied);

		if (n > 0)				/* an empty piece may have no data */
			memcpy((char *) outbuf + copied, piece->data + feed.done, n);
		copied += n;
		feed.done += n;
		if (feed.done == piece->len)
		{
			feed.at++;
			feed.done = 0;
		}
	}
	return copied;
}

/* Adds to the last piece what follows it in memory. */
static void
add_piece(FluctPiece *pieces, int *n, const char *data, size_t len)
{
	if (*n > 0 && pieces[*n - 1].data + pieces[*n - 1].len == data)
		pieces[*n - 1].len += len;
	else
	{
		pieces[*n].data = data;
		pieces[*n].len = len;
		(*n)++;
	}
}

static uint64
copy_pieces(Oid relid, List *columns, const FluctPiece *pieces, int npieces)
{
	List	   *options = list_make2(makeDefElem("format",
												 (Node *) makeString("binary"), -1),
									 makeDefElem("encoding",
												 (Node *) makeString("utf8"), -1));
	Relation	rel = table_open(relid, RowExclusiveLock);
	ParseState *pstate = make_parsestate(NULL);
	CopyFromState state;
	uint64		processed;

	(void) addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock,
										 NULL, false, false);
	feed.pieces = palloc(sizeof(FluctPiece) * (npieces + 2));
	feed.npieces = 0;
	add_piece(feed.pieces, &feed.npieces, copy_header, COPY_HEADER_LEN);
	for (int i = 0; i < npieces; i++)
		add_piece(feed.pieces, &feed.npieces, pieces[i].data, pieces[i].len);
	add_piece(feed.pieces, &feed.npieces, copy_trailer, COPY_TRAILER_LEN);
	feed.at = 0;
	feed.done = 0;
	state = BeginCopyFrom(pstate, rel, NULL, NULL, false, read_feed, columns,
						  options);
	processed = CopyFrom(state);
	EndCopyFrom(state);
	free_parsestate(pstate);
	table_close(rel, NoLock);
	return processed;
}

void
fluct_copyrows_check_rights(Oid relid, List *columns)
{
	ListCell   *lc;

	if (pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) == ACLCHECK_OK)
		return;
	foreach(lc, columns)
		if (pg_attribute_aclcheck(relid, get_attnum(relid, strVal(lfirst(lc))),
								  GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
					   get_rel_name(relid));
}

void
fluct_copyrows_pieces(Oid relid, List *columns, const FluctPiece *pieces,
					  int npieces)
{
	fluct_copyrows_check_rights(relid, columns);
	if (npieces > 0)
		copy_pieces(relid, columns, pieces, npieces);
}
