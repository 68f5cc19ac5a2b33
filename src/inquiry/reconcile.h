/*-------------------------------------------------------------------------
 *
 * reconcile.h
 *	  reconcile_stream: whether every offset is accounted for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_RECONCILE_H
#define FLUCT_INQUIRY_RECONCILE_H

#include "postgres.h"

#include "inquiry/topic.h"

/* Answers the inquiry. */
extern void fluct_reconcile_answer(FluctTopic *topic);

#endif							/* FLUCT_INQUIRY_RECONCILE_H */
