/*-------------------------------------------------------------------------
 *
 * skipped.c
 *	  The offsets at which Kafka delivered nothing: fluct.skipped_offsets.
 *
 * Offsets are not a count: markers of transactions, aborted messages and what
 * compaction removed have offsets, and are never delivered.  Each jump is
 * kept, so that reconcile_stream can look there again: what Kafka delivers
 * there then was missed.
 *
 * How many rows.  A transactional producer leaves a marker, hence a jump, in
 * every transaction, perhaps hundreds a second.  So a row holds a multirange,
 * which is also what merges neighbours: the jumps of a batch are added to the
 * partition's last row, and a new row is begun when that one has grown to 2
 * KB, beyond which it would be toasted and rewritten as a whole for each
 * batch.  That is about a hundred jumps a row.  A batch without jumps costs
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "bookkeeping/skipped.h"
#include "pg/query.h"

void
fluct_skipped_note(FluctPosition *position, int64 from, int64 to,
				   MemoryContext context)
{
	if (position->nskipped == position->max_skipped)
	{
		int			max = Max(16, position->max_skipped * 2);
		Size		size = sizeof(FluctInterval) * max;

		position->skipped = position->skipped ?
			repalloc_huge(position->skipped, size) :
			MemoryContextAlloc(context, size);
		position->max_skipped = max;
	}
	position->skipped[position->nskipped].from = from;
	position->skipped[position->nskipped].to = to;
	position->nskipped++;
}

/* In the text form of int8multirange. */
static char *
write_intervals(const FluctInterval *intervals, int count)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < count; i++)
		appendStringInfo(&out, "%c[" INT64_FORMAT "," INT64_FORMAT ")",
						 i == 0 ? '{' : ',', intervals[i].from, intervals[i].to);
	appendStringInfoChar(&out, '}');
	return out.data;
}

static void
store(const char *stream, const FluctPosition *position)
{
	static SPIPlanPtr grow = NULL;
	static SPIPlanPtr add = NULL;
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, position->partition);
	fluct_query_add_int(&query, position->epoch);
	fluct_query_add_text(&query, write_intervals(position->skipped,
												 position->nskipped));
	fluct_query_add_text(&query, position->topic);
	if (fluct_query_run_kept(&query, &grow,
							 "UPDATE fluct.skipped_offsets k SET"
							 " intervals = k.intervals + $4::int8multirange,"
							 " to_offset = upper($4::int8multirange)"
							 " WHERE k.stream = $1 AND k.topic = $5"
							 "  AND k.partition = $2 AND k.epoch = $3"
							 "  AND k.from_offset = (SELECT max(l.from_offset)"
							 "   FROM fluct.skipped_offsets l WHERE l.stream = $1 AND l.topic = $5"
							 "    AND l.partition = $2 AND l.epoch = $3)"
							 "  AND pg_column_size(k.intervals) < 2000") > 0)
		return;
	fluct_query_run_kept(&query, &add,
						 "INSERT INTO fluct.skipped_offsets (stream, partition, epoch,"
						 " intervals, from_offset, to_offset, topic)"
						 " VALUES ($1, $2, $3, $4::int8multirange,"
						 "  lower($4::int8multirange), upper($4::int8multirange), $5)");
}

void
fluct_skipped_store(const char *stream, const FluctPosition *positions, int count)
{
	for (int i = 0; i < count; i++)
		if (positions[i].nskipped > 0)
			store(stream, &positions[i]);
}
