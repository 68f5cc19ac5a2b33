/*-------------------------------------------------------------------------
 *
 * refusal.h
 *	  Reasons by name, and refusals filled with printable text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BASE_REFUSAL_H
#define FLUCT_BASE_REFUSAL_H

#include "base/message.h"

extern const char *fluct_reason_name(FluctReason reason);
extern const char *fluct_reason_sqlstate(FluctReason reason);

/* Fills a refusal; path may be NULL, detail is a printf format. */
extern void fluct_refuse(FluctRefusal *refusal, FluctReason reason,
						 const char *path, const char *detail,...)
			__attribute__((format(printf, 4, 5)));

#endif							/* FLUCT_BASE_REFUSAL_H */
