/*-------------------------------------------------------------------------
 *
 * seek.h
 *	  seek_stream: where start_at begins, as numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_SEEK_H
#define FLUCT_INQUIRY_SEEK_H

#include "postgres.h"

#include "inquiry/topic.h"

/* Answers the inquiry. */
extern void fluct_seek_answer(FluctTopic *topic);

#endif							/* FLUCT_INQUIRY_SEEK_H */
