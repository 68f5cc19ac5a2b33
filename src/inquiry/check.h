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

/* Answers the session about fluct_subject. */
extern void fluct_check_answer(void);

#endif							/* FLUCT_INQUIRY_CHECK_H */
