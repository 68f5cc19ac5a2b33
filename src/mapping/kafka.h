/*-------------------------------------------------------------------------
 *
 * kafka.h
 *	  What Kafka gives with a message: key, headers, and their paths.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_KAFKA_H
#define FLUCT_MAPPING_KAFKA_H

#include "mapping/compiler.h"

/*
 * Whether the column's path is one of `kafka.`; its source is set then.
 * -1: it begins so, and is not one.
 */
extern int	fluct_kafka_compile(FluctCompiler *c, FluctColumn *column);

/* Forgets what was read of the last message. */
extern void fluct_kafka_begin(FluctMapping *mapping);

/*
 * The value of `kafka.key.$...` or of `kafka.headers.NAME`, of which the last
 * one counts; *raw says that its bytes are in value->text as they came.
 */
extern FluctReason fluct_kafka_value(FluctMapping *mapping,
									 const FluctColumn *column,
									 const FluctMessage *message,
									 FluctJsonValue *value, bool *raw);

#endif							/* FLUCT_MAPPING_KAFKA_H */
