/*-------------------------------------------------------------------------
 *
 * check.h
 *	  check_stream: whether a stream would find all that it needs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_CHECK_H
#define FLUCT_INQUIRY_CHECK_H

#include "postgres.h"

#include "inquiry/topic.h"

/* Answers the inquiry. */
extern void fluct_check_answer(FluctTopic *topic);

#endif							/* FLUCT_INQUIRY_CHECK_H */
