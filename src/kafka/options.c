/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The options of servers and user mappings, and their secrets.
 *
 * Settings of librdkafka are code: some run programs, some load libraries,
 * some read files.  So this is an allow-list of exact names, with a syntax for
 * each value, and nothing else is accepted.
 *
 * A secret is the name of a file, `file:NAME`, in the folder of the stream's
 * owner below fluct.secrets_dir.  Without a folder for each role, anybody who
 * can create a server could send another role's secret to their own broker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "kafka/options.h"
#include "pg/guc.h"

PG_FUNCTION_INFO_V1(fluct_options_validator);

#define MAX_VALUE_LEN	4096
#define MAX_SECRET_LEN	65536

typedef enum Kind
{
	KIND_TEXT,					/* printable ASCII */
	KIND_BROKERS,				/* host:port, … */
	KIND_INT,
	KIND_BOOL,
	KIND_WORD,					/* one of `words` */
	KIND_PEM,					/* PEM text or file:NAME, not secret */
	KIND_SECRET					/* file:NAME */
} Kind;

typedef struct Option
{
	const char *name;			/* with _ for . */
	const char *setting;		/* librdkafka's; NULL = fluct's own */
	bool		user_mapping;
	Kind		kind;
	int			min,
				max;
	const char *words;			/* separated by blanks */
} Option;

static const Option options_known[] = {
	{"bootstrap_servers", "bootstrap.servers", false, KIND_BROKERS},
	{"group_id", NULL, false, KIND_TEXT},
	{"client_id", "client.id", false, KIND_TEXT},
	{"security_protocol", "security.protocol", false, KIND_WORD, 0, 0,
	"plaintext ssl sasl_plaintext sasl_ssl"},
	{"sasl_mechanism", "sasl.mechanism", false, KIND_WORD, 0, 0,
	"PLAIN SCRAM-SHA-256 SCRAM-SHA-512"},
	{"ssl_ca_pem", "ssl.ca.pem", false, KIND_PEM},
	{"broker_address_family", "broker.address.family", false, KIND_WORD, 0, 0,
	"any v4 v6"},
	{"socket_timeout_ms", "socket.timeout.ms", false, KIND_INT, 1000, 300000},
	{"socket_keepalive_enable", "socket.keepalive.enable", false, KIND_BOOL},
	{"socket_connection_setup_timeout_ms",
	"socket.connection.setup.timeout.ms", false, KIND_INT, 1000, 300000},
	{"reconnect_backoff_ms", "reconnect.backoff.ms", false, KIND_INT,
	0, 60000},
	{"reconnect_backoff_max_ms", "reconnect.backoff.max.ms", false, KIND_INT,
	0, 60000},
	{"fetch_wait_max_ms", "fetch.wait.max.ms", false, KIND_INT, 0, 10000},
	{"fetch_min_bytes", "fetch.min.bytes", false, KIND_INT, 1, 1000000},
	{"sasl_username", "sasl.username", true, KIND_TEXT},
	{"sasl_password", "sasl.password", true, KIND_SECRET},
	{"ssl_certificate_pem", "ssl.certificate.pem", true, KIND_PEM},
	{"ssl_key_pem", "ssl.key.pem", true, KIND_SECRET},
	{"ssl_key_password", "ssl.key.password", true, KIND_SECRET},
};

static const Option *
find(const char *name)
{
	for (int i = 0; i < lengthof(options_known); i++)
		if (strcmp(options_known[i].name, name) == 0)
			return &options_known[i];
	return NULL;
}

static void
refuse_unknown(const char *name, bool user_mapping)
{
	StringInfoData known;
	char	   *underscored = pstrdup(name);

	initStringInfo(&known);
	for (int i = 0; i < lengthof(options_known); i++)
		if (options_known[i].user_mapping == user_mapping)
			appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "",
							 options_known[i].name);
	for (char *c = underscored; *c; c++)
		if (*c == '.')
			*c = '_';
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("unknown option \"%s\"", name),
			 find(underscored) ?
			 errhint("Write \"%s\": librdkafka's names have _ for . here.",
					 underscored) :
			 errhint("The options of a %s are %s.",
					 user_mapping ? "user mapping" : "server", known.data)));
}

/* NAME of file:NAME, or NULL. */
static const char *
secret_file(const char *value)
{
	return strncmp(value, "file:", 5) == 0 ? value + 5 : NULL;
}

static void
check_file_name(const char *option, const char *name)
{
	if (name[0] == '\0' || name[0] == '.' || strlen(name) > 200 ||
		name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" does not name a file", option),
				 errhint("Write file:NAME, where NAME consists of letters, digits, _ . - and is a file in the folder of the role below fluct.secrets_dir.")));
}

static void
check_printable(const char *option, const char *value, bool lines)
{
	size_t		len = strlen(value);
	bool		good = len > 0 && len <= (lines ? MAX_SECRET_LEN : MAX_VALUE_LEN);

	for (const char *c = value; good && *c; c++)
		good = (*c >= 0x20 && *c < 0x7f) ||
			(lines && (*c == '\n' || *c == '\r'));
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be 1 to %d printable ASCII characters",
						option, lines ? MAX_SECRET_LEN : MAX_VALUE_LEN)));
}

static void
check_int(const Option *option, const char *value)
{
	char	   *end;
	long		number = strtol(value, &end, 10);

	if (*value == '\0' || *end != '\0' || number < option->min ||
		number > option->max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be a whole number from %d to %d",
						option->name, option->min, option->max)));
}

static bool
has_word(const char *words, const char *word)
{
	size_t		len = strlen(word);

	while (len > 0 && (words = strstr(words, word)) != NULL)
	{
		if (words[len] == ' ' || words[len] == '\0')
			return true;
		words += len;
	}
	return false;
}

/* Each broker must be one that the administrator allows. */
static void
check_brokers(const char *value)
{
	char	   *list = pstrdup(value);
	char	   *save;

	if (fluct_allowed_brokers == NULL || fluct_allowed_brokers[0] == '\0')
		return;
	for (char *one = strtok_r(list, ", ", &save); one;
		 one = strtok_r(NULL, ", ", &save))
	{
		char	   *allowed = pstrdup(fluct_allowed_brokers);
		char	   *save2;
		bool		found = false;

		for (char *other = strtok_r(allowed, ", ", &save2); other && !found;
			 other = strtok_r(NULL, ", ", &save2))
			found = strcmp(one, other) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("broker \"%s\" is not in fluct.allowed_brokers",
							one)));
	}
}

static void
check_secret(const Option *option, const char *value)
{
	const char *file = secret_file(value);

	if (file)
		check_file_name(option->name, file);
	else if (!fluct_allow_literal_secrets && option->kind == KIND_SECRET)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not contain the secret itself",
						option->name),
				 errdetail("pg_dump prints user mappings, and the statement may appear in the server's log."),
				 errhint("Write file:NAME, with the secret in that file in the folder of the role below fluct.secrets_dir.")));
	else
		check_printable(option->name, value, true);
}

void
fluct_options_check(const char *name, const char *value, bool user_mapping)
{
	const Option *option = find(name);

	if (option == NULL)
		refuse_unknown(name, user_mapping);
	if (option->user_mapping != user_mapping)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" belongs to the %s", name,
						user_mapping ? "server" : "user mapping"),
				 errhint("User names and secrets belong to CREATE USER MAPPING, everything else to CREATE SERVER.")));
	switch (option->kind)
	{
		case KIND_TEXT:
		case KIND_BROKERS:
			check_printable(name, value, false);
			if (option->kind == KIND_BROKERS)
				check_brokers(value);
			break;
		case KIND_INT:
			check_int(option, value);
			break;
		case KIND_BOOL:
		case KIND_WORD:
			if (!has_word(option->words ? option->words : "true false", value))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("option \"%s\" must be one of: %s", name,
								option->words ? option->words : "true false")));
			break;
		case KIND_PEM:
		case KIND_SECRET:
			check_secret(option, value);
			break;
	}
}

/* ----- settings for librdkafka ----- */

static char *
read_secret(const char *option, const char *file, const char *role)
{
	char		path[MAXPGPATH];
	char	   *content = palloc(MAX_SECRET_LEN + 1);
	int			fd;
	int			len;

	if (fluct_secrets_dir == NULL || fluct_secrets_dir[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("option \"%s\" names a file, but fluct.secrets_dir is empty",
						option)));
	check_file_name(option, file);
	if (strchr(role, '/') || role[0] == '.' ||
		snprintf(path, sizeof(path), "%s/%s/%s", fluct_secrets_dir, role,
				 file) >= sizeof(path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("role \"%s\" cannot have a folder of secrets", role)));
	fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("could not open the file of option \"%s\" for role \"%s\": %m",
						option, role)));
	len = read(fd, content, MAX_SECRET_LEN + 1);
	CloseTransientFile(fd);
	if (len < 0 || len > MAX_SECRET_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("could not read the file of option \"%s\" for role \"%s\"",
						option, role)));
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	content[len] = '\0';
	return content;
}

FluctSetting *
fluct_options_settings(List *options, const char *role, int *count)
{
	FluctSetting *settings = palloc(sizeof(FluctSetting) *
									(list_length(options) + 1));
	ListCell   *lc;

	*count = 0;
	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		char	   *value = defGetString(def);
		const Option *option = find(def->defname);
		const char *file;

		if (option == NULL || option->setting == NULL)
			continue;
		if (option->kind == KIND_BROKERS)
			check_brokers(value);
		file = option->kind == KIND_PEM || option->kind == KIND_SECRET ?
			secret_file(value) : NULL;
		settings[*count].name = option->setting;
		settings[*count].value = file ?
			read_secret(def->defname, file, role) : value;
		(*count)++;
	}
	return settings;
}

/* The VALIDATOR of the foreign data wrapper. */
Datum
fluct_options_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;
	bool		brokers = false;

	if (options != NIL && catalog != ForeignServerRelationId &&
		catalog != UserMappingRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("only servers and user mappings of fluct_kafka have options")));
	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		fluct_options_check(def->defname, strVal(def->arg),
							catalog == UserMappingRelationId);
		brokers = brokers || strcmp(def->defname, "bootstrap_servers") == 0;
	}
	if (catalog == ForeignServerRelationId && !brokers)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("a server of fluct_kafka needs the option \"bootstrap_servers\""),
				 errhint("OPTIONS (bootstrap_servers 'host:9092')")));
	PG_RETURN_VOID();
}
