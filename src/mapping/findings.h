/*-------------------------------------------------------------------------
 *
 * findings.h
 *	  What the messages so far had of the paths of a mapping.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_FINDINGS_H
#define FLUCT_MAPPING_FINDINGS_H

#include "mapping/shape.h"

/*
 * Whether a path of messages has found something since the mapping was
 * compiled; or there is none, so that nothing can be found.
 */
extern bool fluct_findings_any(const FluctMapping *mapping);

/*
 * The paths that have found nothing since then, and the columns in which times
 * are more than a year from Kafka's, as lists for a person; NULL for none.
 */
extern char *fluct_findings_missing_paths(const FluctMapping *mapping);
extern char *fluct_findings_far_columns(const FluctMapping *mapping);

#endif							/* FLUCT_MAPPING_FINDINGS_H */
