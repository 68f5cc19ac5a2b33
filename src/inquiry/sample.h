/*-------------------------------------------------------------------------
 *
 * sample.h
 *	  suggest_mapping: the newest messages of a topic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_SAMPLE_H
#define FLUCT_INQUIRY_SAMPLE_H

#include "postgres.h"

#include "inquiry/topic.h"

/* Answers the inquiry, which names a server and a topic in place of a stream. */
extern void fluct_sample_answer(FluctTopic *topic);

#endif							/* FLUCT_INQUIRY_SAMPLE_H */
