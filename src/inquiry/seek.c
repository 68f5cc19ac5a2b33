/*-------------------------------------------------------------------------
 *
 * seek.c
 *	  seek_stream: where start_at begins, as numbers.
 *
 * The session moves the positions itself, in its own transaction: so that
 * what a person moves is rolled back with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "inquiry/seek.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"

void
fluct_seek_answer(void)
{
	fluct_client_open(fluct_subject.stream, fluct_subject.owner, &fluct_subject.client);
	if (!fluct_look_partitions() || !fluct_look_log() ||
		!fluct_look_start(fluct_subject.inquiry->start_at))
		fluct_look_throw_trouble();
	for (int i = 0; i < fluct_subject.npartitions; i++)
	{
		const char *fields[] = {
			psprintf("%d", i),
			psprintf(INT64_FORMAT, fluct_subject.begin[i].offset),
			psprintf(INT64_FORMAT, fluct_subject.end[i].offset),
			psprintf(INT64_FORMAT, fluct_subject.next[i]),
		};

		fluct_look_put_row(fields, lengthof(fields));
	}
}
