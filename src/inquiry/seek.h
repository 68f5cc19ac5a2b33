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

/* Answers the session about fluct_subject. */
extern void fluct_seek_answer(void);

#endif							/* FLUCT_INQUIRY_SEEK_H */
