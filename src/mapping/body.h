/*-------------------------------------------------------------------------
 *
 * body.h
 *	  What is read of a message: which bytes, whether it is wanted, whether it
 *	  deletes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_BODY_H
#define FLUCT_MAPPING_BODY_H

#include "mapping/field.h"

/*
 * Scans the message with mapping->json.  False with *refusal filled when it is
 * refused, and when it is not wanted; mapping->outcome says what becomes of it
 * then.  *deletes says whether it deletes what its key names.
 */
extern bool fluct_body_read(FluctMapping *mapping, const FluctKafka *kafka,
							bool *deletes, FluctRefusal *refusal);

#endif							/* FLUCT_MAPPING_BODY_H */
