/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The settings, fluct.*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_GUC_H
#define FLUCT_PG_GUC_H

#include "nodes/pg_list.h"

#include "base/message.h"

extern char *fluct_database;
extern int	fluct_max_workers;
extern bool fluct_enabled;
extern char *fluct_inbox_root;
extern char *fluct_secrets_dir;
extern char *fluct_allowed_brokers;
extern int	fluct_max_message_bytes;
extern bool fluct_allow_literal_secrets;
extern bool fluct_direct_path;
extern int	fluct_member_timeout;	/* milliseconds */
extern bool fluct_allow_missing;

extern void fluct_guc_init(void);

/*
 * The names in fluct.database, as String nodes in the current memory context,
 * each once; and whether one is in there.
 */
extern List *fluct_guc_databases(void);
extern bool fluct_guc_has_database(const char *name);

#endif							/* FLUCT_PG_GUC_H */
