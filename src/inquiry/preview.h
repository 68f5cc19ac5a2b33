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

#endif							/* FLUCT_INQUIRY_PREVIEW_H */
