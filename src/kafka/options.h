/*-------------------------------------------------------------------------
 *
 * options.h
 *	  The options of servers and user mappings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_OPTIONS_H
#define FLUCT_KAFKA_OPTIONS_H

#include "postgres.h"

#include "nodes/parsenodes.h"

#include "base/message.h"

/* One setting for librdkafka. */
typedef struct FluctSetting
{
	const char *name;
	char	   *value;
	bool		wipe;			/* it is, or may be, a secret */
} FluctSetting;

typedef struct FluctSettings
{
	FluctSetting *settings;
	int			count;
} FluctSettings;

/* The option's value, a word of a fixed list as librdkafka writes it. */
extern char *fluct_options_value(const DefElem *def);

/*
 * Fills *settings with librdkafka's names and values of a list of DefElem, in
 * the current memory context; files of secrets are read as the role's, and
 * `group_id` is left out.  *settings begins as {0}; after an ERROR as well, it
 * has what is to be wiped.
 */
extern void fluct_options_settings(List *options, const char *role,
								   FluctSettings *settings);
extern void fluct_options_wipe(FluctSettings *settings);

#endif							/* FLUCT_KAFKA_OPTIONS_H */
