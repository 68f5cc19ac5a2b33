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

/* Answers the session about fluct_subject. */
extern void fluct_preview_answer(void);

#endif							/* FLUCT_INQUIRY_PREVIEW_H */
