/*-------------------------------------------------------------------------
 *
 * preview.h
 *	  preview_stream: what messages become, without storing them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_PREVIEW_H
#define FLUCT_INQUIRY_PREVIEW_H

#include "postgres.h"

#include "inquiry/topic.h"

/* Answers the inquiry. */
extern void fluct_preview_answer(FluctTopic *topic);

/*
 * What these messages say against the stream's mapping, in the current memory
 * context; NULL for nothing.  Outside of a transaction.
 */
extern char *fluct_preview_doubts(const FluctTopic *topic,
								  const FluctMessage *messages, int count);

#endif							/* FLUCT_INQUIRY_PREVIEW_H */
