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

/* Answers the session about fluct_subject. */
extern void fluct_reconcile_answer(void);

#endif							/* FLUCT_INQUIRY_RECONCILE_H */
