/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The settings, fluct.*.
 *
 * All can be changed by a reload.  None is a secret: secrets are files below
 * fluct.secrets_dir that user mappings name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "pg/guc.h"

/* The number of worker processes that shared memory has room for. */
#define MAX_WORKERS			64

char	   *fluct_database = NULL;
int			fluct_max_workers = 4;
bool		fluct_enabled = true;
char	   *fluct_inbox_root = NULL;
char	   *fluct_secrets_dir = NULL;
char	   *fluct_allowed_brokers = NULL;
int			fluct_max_message_bytes = 16 * 1024 * 1024;
bool		fluct_allow_literal_secrets = false;
bool		fluct_direct_path = true;
int			fluct_member_timeout = 10000;
bool		fluct_allow_missing = false;

/* ----- fluct.database ----- */

static bool
check_databases(char **value, void **extra, GucSource source)
{
	char	   *text = pstrdup(*value);
	List	   *names;
	bool		valid = SplitIdentifierString(text, ',', &names);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(text);
	return valid;
}

List *
fluct_guc_databases(void)
{
	List	   *names = NIL;
	List	   *distinct = NIL;
	ListCell   *lc;

	/* what the check has refused is not here */
	(void) SplitIdentifierString(pstrdup(fluct_database), ',', &names);
	foreach(lc, names)
		distinct = list_append_unique(distinct, makeString(lfirst(lc)));
	return distinct;
}

bool
fluct_guc_has_database(const char *name)
{
	char	   *text = pstrdup(fluct_database);
	List	   *names;
	ListCell   *lc;
	bool		found = false;

	(void) SplitIdentifierString(text, ',', &names);
	foreach(lc, names)
		found = found || strcmp(lfirst(lc), name) == 0;
	list_free(names);
	pfree(text);
	return found;
}

/* ----- all of them ----- */

static void
define_string(const char *name, const char *what, const char *more,
			  char **variable, GucContext context)
{
	DefineCustomStringVariable(name, what, more, variable, "", context, 0,
							   NULL, NULL, NULL);
}

static void
define_bool(const char *name, const char *what, const char *more,
			bool *variable, bool value, GucContext context)
{
	DefineCustomBoolVariable(name, what, more, variable, value, context, 0,
							 NULL, NULL, NULL);
}

void
fluct_guc_init(void)
{
	DefineCustomStringVariable("fluct.database",
							   "Databases whose streams run.",
							   "A list as in search_path. Empty: none.",
							   &fluct_database, "", PGC_SIGHUP,
							   GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomIntVariable("fluct.max_workers",
							"Maximum number of stream workers that run at once.",
							"Of all databases together; each takes one of max_worker_processes.",
							&fluct_max_workers, 4, 0, MAX_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_bool("fluct.enabled",
				"Whether streams run at all.",
				"Off: every stream worker exits.",
				&fluct_enabled, true, PGC_SIGHUP);
	define_string("fluct.inbox_root",
				  "Folder below which files may be loaded.",
				  "Empty: loading needs the role pg_read_server_files.",
				  &fluct_inbox_root, PGC_SIGHUP);
	define_string("fluct.secrets_dir",
				  "Folder whose subfolder ROLE holds the secrets of a role.",
				  "A user mapping names them as file:NAME. Empty: none.",
				  &fluct_secrets_dir, PGC_SIGHUP);
	define_string("fluct.allowed_brokers",
				  "Comma-separated host:port that servers may name.",
				  "Empty: any.", &fluct_allowed_brokers, PGC_SIGHUP);
	DefineCustomIntVariable("fluct.max_message_bytes",
							"Maximum length of a message that is stored.",
							"A longer one becomes a dead letter, too_large.",
							&fluct_max_message_bytes, 16 * 1024 * 1024,
							1024, 512 * 1024 * 1024, PGC_SIGHUP,
							GUC_UNIT_BYTE, NULL, NULL, NULL);
	define_bool("fluct.allow_literal_secrets",
				"Whether user mappings may hold secrets.",
				"They appear in dumps and in the log.",
				&fluct_allow_literal_secrets, false, PGC_SUSET);
	define_bool("fluct.direct_path",
				"Whether rows go into plain tables by the short way.",
				"Off: by COPY's machinery, as into all other tables.",
				&fluct_direct_path, true, PGC_SUSET);
	DefineCustomIntVariable("fluct.member_timeout",
							"Time within which a member must answer.",
							"All members are asked at the same time.",
							&fluct_member_timeout, 10000, 1, INT_MAX / 2,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	define_bool("fluct.allow_missing",
				"Whether rankings go without members that do not answer.",
				"Then with a WARNING, and not complete. Off: an error.",
				&fluct_allow_missing, false, PGC_USERSET);
	MarkGUCPrefixReserved("fluct");
}
