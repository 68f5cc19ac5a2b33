/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  Whether what a client was created with has changed since.
 *
 * A client keeps its settings for life, and one whose password is wrong tries
 * it for ever.  So a worker compares now and then, whatever its state, and
 * leaves its place to a successor with the new settings.  So it does when the
 * list of allowed brokers changes: it may be connected to one that was.
 *
 * The server and the user mapping are rows of the catalog: when one of them
 * changes, the caches are invalidated, and the options are read again.  A file
 * is polled, since nothing announces its change.  What is gone is not a change: a client
 * that works needs its file no longer, and one that could not be created for
 * want of it waits for it to be there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "kafka/changes.h"
#include "pg/guc.h"
#include "process/worker.h"

#define LOOK_INTERVAL		5000	/* ms between looks at files */
#define MOST_FILES			8
#define FILE_PREFIX			"file:"

/* What identifies the content of a file; all zeros if there is none. */
typedef struct FileVersion
{
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} FileVersion;

typedef struct Noted
{
	bool		valid;
	bool		invalidated;	/* the caches may have changed */
	Oid			owner;
	uint64		options;		/* hash of the catalog's rows */
	uint64		allowed;		/* hash of fluct.allowed_brokers */
	int			nfiles;
	char		files[MOST_FILES][MAXPGPATH];	/* below the role's folder */
	FileVersion versions[MOST_FILES];
	TimestampTz looked_at;
} Noted;

static Noted noted;

static void
on_invalidation(Datum arg, int cache, uint32 hash)
{
	noted.invalidated = true;
}

/* ----- the catalog ----- */

static List *
read_options(Oid server, Oid owner)
{
	List	   *options = GetForeignServer(server)->options;

	if (SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(owner),
							  ObjectIdGetDatum(server)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER,
							  ObjectIdGetDatum(InvalidOid),
							  ObjectIdGetDatum(server)))
		options = list_concat(options, GetUserMapping(owner, server)->options);
	return options;
}

static uint64
add_text(uint64 hash, const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text) + 1,
							   hash);
}

/* In a transaction.  0: there is no such server, perhaps by that name. */
static uint64
hash_options(const FluctStream *stream, List **options)
{
	Oid			server = get_foreign_server_oid(stream->server, true);
	uint64		hash;
	ListCell   *lc;

	*options = NIL;
	if (!OidIsValid(server))
		return 0;
	hash = hash_combine64(server, GetForeignServer(server)->owner);
	*options = read_options(server, noted.owner);
	foreach(lc, *options)
	{
		const DefElem *option = lfirst_node(DefElem, lc);

		hash = add_text(add_text(hash, option->defname), strVal(option->arg));
	}
	return Max(hash, 1);
}

/* ----- files ----- */

static FileVersion
version_of(const FluctStream *stream, const char *file)
{
	FileVersion version;
	char		path[MAXPGPATH];
	struct stat status;

	memset(&version, 0, sizeof(version));
	if (snprintf(path, sizeof(path), "%s/%s/%s", fluct_secrets_dir,
				 stream->owner, file) >= sizeof(path) ||
		stat(path, &status) != 0)
		return version;
	version.device = status.st_dev;
	version.inode = status.st_ino;
	version.size = status.st_size;
	version.modified = status.st_mtim;
	version.changed = status.st_ctim;
	return version;
}

static void
note_files(const FluctStream *stream, const List *options)
{
	ListCell   *lc;

	noted.nfiles = 0;
	foreach(lc, options)
	{
		const char *value = strVal(lfirst_node(DefElem, lc)->arg);

		if (strncmp(value, FILE_PREFIX, strlen(FILE_PREFIX)) != 0 ||
			noted.nfiles == MOST_FILES)
			continue;
		strlcpy(noted.files[noted.nfiles], value + strlen(FILE_PREFIX),
				MAXPGPATH);
		noted.versions[noted.nfiles] = version_of(stream,
												  noted.files[noted.nfiles]);
		noted.nfiles++;
	}
}

static bool
have_files_changed(const FluctStream *stream)
{
	static const FileVersion none;

	for (int i = 0; i < noted.nfiles; i++)
	{
		FileVersion now = version_of(stream, noted.files[i]);

		if (memcmp(&now, &none, sizeof(now)) != 0 &&
			memcmp(&now, &noted.versions[i], sizeof(now)) != 0)
			return true;
	}
	return false;
}

/* ----- both ----- */

void
fluct_changes_begin(const FluctStream *stream, Oid owner)
{
	static bool registered = false;
	List	   *options;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_invalidation, 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, on_invalidation, 0);
	}
	registered = true;
	noted.invalidated = false;
	noted.owner = owner;
	fluct_worker_begin();
	noted.options = hash_options(stream, &options);
	noted.allowed = add_text(0, fluct_allowed_brokers);
	note_files(stream, options);
	fluct_worker_commit();
	noted.looked_at = GetCurrentTimestamp();
	noted.valid = true;
}

static bool
have_options_changed(const FluctStream *stream)
{
	uint64		now;
	List	   *options;

	noted.invalidated = false;
	fluct_worker_begin();
	now = hash_options(stream, &options);
	fluct_worker_commit();
	return now != 0 && now != noted.options;
}

bool
fluct_changes_found(const FluctStream *stream)
{
	if (!noted.valid)
		return false;
	AcceptInvalidationMessages();
	if (noted.invalidated && have_options_changed(stream))
		return true;
	if (add_text(0, fluct_allowed_brokers) != noted.allowed)
		return true;
	if (fluct_worker_ms_since(noted.looked_at) < LOOK_INTERVAL)
		return false;
	noted.looked_at = GetCurrentTimestamp();
	return have_files_changed(stream);
}
