/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The worker that answers a session's inquiry about a stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_WORKER_H
#define FLUCT_INQUIRY_WORKER_H

#include "postgres.h"

/* Entry point of the process; the argument is a dsm_handle. */
extern PGDLLEXPORT void FluctInquiryMain(Datum arg);

#endif							/* FLUCT_INQUIRY_WORKER_H */
