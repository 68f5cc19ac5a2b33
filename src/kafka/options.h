/*-------------------------------------------------------------------------
 *
 * options.h
 *	  The options of servers and user mappings, and their secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_OPTIONS_H
#define FLUCT_KAFKA_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "base/message.h"

/* One setting for librdkafka. */
typedef struct FluctSetting
{
	const char *name;
	char	   *value;
} FluctSetting;

/*
 * Refuses an option that is unknown, of invalid syntax, a literal secret, or
 * on the wrong kind of object (HV00D, 22023, 42501).
 */
extern void fluct_options_check(const char *name, const char *value,
								bool user_mapping);

/*
 * librdkafka's names and values of a list of DefElem, files of secrets read;
 * `group_id` is left out.  *count of them, in the current memory context.
 */
extern FluctSetting *fluct_options_settings(List *options, const char *role,
											int *count);

#endif							/* FLUCT_KAFKA_OPTIONS_H */
