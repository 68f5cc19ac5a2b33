/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The options of servers and user mappings.
 *
 * Settings of librdkafka are code: some run programs, some load libraries,
 * some read files.  So this is an allow-list of exact names, with a syntax for
 * each value, and nothing else is accepted.
 *
 * A secret is the name of a file (secret.c), whose content is wiped once the
 * client has it; connection.c says to which servers it goes.
 *
 * The statement of an error here may hold a secret, whatever the error is
 * about: a misspelled option has its value, too.  So no error of the validator
 * brings its statement or context into the log.  What is written before the
 * validator is called (log_statement, an audit extension) cannot be prevented.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "kafka/brokers.h"
#include "kafka/options.h"
#include "kafka/secret.h"
#include "mapping/words.h"
#include "pg/guc.h"
#include "pg/printable.h"

PG_FUNCTION_INFO_V1(fluct_options_validator);

#define MAX_VALUE_LEN	4096

typedef enum Kind
{
	KIND_TEXT,					/* printable ASCII */
	KIND_BROKERS,				/* host:port, … */
	KIND_INT,
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
	{"socket_keepalive_enable", "socket.keepalive.enable", false, KIND_WORD, 0, 0,
	"true false"},
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

/* The option whose name is nearest, or NULL if none is near. */
static const Option *
find_near(const char *name)
{
	const Option *near = NULL;
	int			least = 5;		/* changes of a letter; more are another name */
	int			len = strlen(name);

	if (len > 64)
		return NULL;
	for (int i = 0; i < lengthof(options_known); i++)
	{
		const char *known = options_known[i].name;
		int			changes = varstr_levenshtein(name, len, known, strlen(known),
												 1, 1, 1, true);

		if (changes < least && changes <= len / 2)
		{
			near = &options_known[i];
			least = changes;
		}
	}
	return near;
}

static void
refuse_unknown(const char *name, bool user_mapping)
{
	StringInfoData known;
	char	   *underscored = pstrdup(name);
	const Option *near = find_near(name);

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
			 errmsg("unknown option \"%s\"", fluct_printable(name, strlen(name))),
			 find(underscored) ?
			 errhint("Write \"%s\": librdkafka's names have _ for . here.",
					 underscored) :
			 near ?
			 errhint("Perhaps you meant the option \"%s\" of a %s.", near->name,
					 near->user_mapping ? "user mapping" : "server") :
			 errhint("The options of a %s are %s.",
					 user_mapping ? "user mapping" : "server", known.data)));
}

static void
check_printable(const char *option, const char *value, bool lines)
{
	size_t		len = strlen(value);
	bool		good = len > 0 && len <= (lines ? FLUCT_MAX_SECRET : MAX_VALUE_LEN);

	for (const char *c = value; good && *c; c++)
		good = (*c >= 0x20 && *c < 0x7f) ||
			(lines && (*c == '\n' || *c == '\r'));
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be 1 to %d printable ASCII characters",
						option, lines ? FLUCT_MAX_SECRET : MAX_VALUE_LEN)));
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

/* The words of the list, each by itself. */
static const char **
split_words(const char *words, int *n)
{
	const char **list = palloc(sizeof(char *) * (strlen(words) / 2 + 1));
	char	   *rest;

	*n = 0;
	for (char *one = strtok_r(pstrdup(words), " ", &rest); one != NULL;
		 one = strtok_r(NULL, " ", &rest))
		list[(*n)++] = one;
	return list;
}

/* The word of the list, whatever case it was written in; or NULL. */
static char *
find_word(const char *words, const char *word)
{
	int			n;
	const char **list = split_words(words, &n);

	for (int i = 0; i < n; i++)
		if (pg_strcasecmp(list[i], word) == 0)
			return pstrdup(list[i]);
	return NULL;
}

static void
check_word(const Option *option, const char *value)
{
	StringInfoData list;
	const char **words;
	int			n;

	if (find_word(option->words, value) != NULL)
		return;
	initStringInfo(&list);
	words = split_words(option->words, &n);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be one of %s", option->name, list.data),
			 fluct_words_hint(value, words, n)));
}

/* Whether there is no broker before, behind or between commas. */
static bool
lacks_broker(const char *list)
{
	bool		lacking = true;

	for (; *list != '\0' && !(lacking && *list == ','); list++)
		lacking = *list == ',' || (lacking && *list == ' ');
	return lacking;
}

/* Each broker must be one that the administrator allows. */
static void
check_brokers(const char *name, const char *value)
{
	const char *list = value;
	const char *wrong;
	FluctBroker broker;
	bool		any = fluct_allowed_brokers[0] == '\0';

	while (fluct_brokers_next(&list, &broker))
		if (!any && !fluct_brokers_has(fluct_allowed_brokers, broker.host,
									   broker.port))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("broker \"%s:%d\" is not in fluct.allowed_brokers",
							broker.host, broker.port)));
	wrong = *list != '\0' ? list : lacks_broker(value) ? value : NULL;
	if (wrong)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is not a list of brokers: \"%s\"", name,
						fluct_printable(wrong, strlen(wrong))),
				 errhint(strstr(value, "://") ?
						 "Write host:port, host:port; the protocol is the option security_protocol." :
						 "Write host:port, host:port, with ports from 1 to 65535.")));
}

/* Whether it is the secret itself, and not the name of a file. */
static bool
is_literal_secret(const char *name, const char *value)
{
	const Option *option = find(name);

	return option != NULL && option->kind == KIND_SECRET &&
		fluct_secret_file(value) == NULL;
}

static void
refuse_literal_secret(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must not contain the secret itself", name),
			 errdetail("pg_dump prints user mappings, and log_statement or an audit extension may have written this statement to the server's log."),
			 errhint("Change the secret, and give CREATE USER MAPPING file:NAME, with the secret in that file in the folder of the role below fluct.secrets_dir.")));
}

static void
check_pem(const char *name, const char *value)
{
	if (strstr(value, "-----BEGIN ") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is not in PEM format", name),
				 errdetail("It has no line \"-----BEGIN ...-----\"."),
				 errhint("Write file:NAME, with the PEM in that file in the folder of the role below fluct.secrets_dir, or the PEM itself.")));
}

static void
check_content(const Option *option, const char *value)
{
	const char *file = fluct_secret_file(value);

	if (file)
	{
		fluct_secret_check_name(option->name, file);
		return;
	}
	check_printable(option->name, value, true);
	if (option->kind == KIND_PEM)
		check_pem(option->name, value);
}

static void
check_option(const char *name, const char *value, bool user_mapping)
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
			check_printable(name, value, false);
			break;
		case KIND_BROKERS:
			check_printable(name, value, false);
			check_brokers(name, value);
			break;
		case KIND_INT:
			check_int(option, value);
			break;
		case KIND_WORD:
			check_word(option, value);
			break;
		case KIND_PEM:
		case KIND_SECRET:
			check_content(option, value);
			break;
	}
}

/* ----- settings for librdkafka ----- */

char *
fluct_options_value(const DefElem *def)
{
	const Option *option = find(def->defname);
	char	   *value = strVal(def->arg);
	char	   *word = option != NULL && option->kind == KIND_WORD ?
	find_word(option->words, value) : NULL;

	return word ? word : value;
}

/* Appends to *settings what the option says; a file of secrets is read. */
static void
add_setting(FluctSettings *settings, const DefElem *def, const char *role)
{
	char	   *value = fluct_options_value(def);
	const Option *option = find(def->defname);
	const char *file = fluct_secret_file(value);
	bool		has_content;

	if (option == NULL || option->setting == NULL)
		return;
	has_content = option->kind == KIND_PEM || option->kind == KIND_SECRET;
	if (option->kind == KIND_BROKERS)
		check_brokers(def->defname, value);
	else if (has_content && file)
		value = fluct_secret_read(option->name, file, role);
	settings->settings[settings->count++] = (FluctSetting)
	{
		.name = option->setting,.value = value,.wipe = has_content
	};
	if (option->kind == KIND_PEM)
		check_pem(def->defname, value);
}

void
fluct_options_settings(List *options, const char *role, FluctSettings *settings)
{
	ListCell   *lc;

	settings->settings = palloc(sizeof(FluctSetting) * (list_length(options) + 1));
	settings->count = 0;
	foreach(lc, options)
		add_setting(settings, lfirst_node(DefElem, lc), role);
}

void
fluct_options_wipe(FluctSettings *settings)
{
	for (int i = 0; i < settings->count; i++)
		if (settings->settings[i].wipe)
			explicit_bzero(settings->settings[i].value,
						   strlen(settings->settings[i].value));
	settings->count = 0;
}

/* ----- the validator ----- */

/* For each error while the options are checked; see the head of this file. */
static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

static void
check_options(List *options, Oid catalog)
{
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

		if (!fluct_allow_literal_secrets &&
			is_literal_secret(def->defname, strVal(def->arg)))
			refuse_literal_secret(def->defname);
		check_option(def->defname, strVal(def->arg),
					 catalog == UserMappingRelationId);
		brokers = brokers || strcmp(def->defname, "bootstrap_servers") == 0;
	}
	if (catalog == ForeignServerRelationId && !brokers)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("a server of fluct_kafka needs the option \"bootstrap_servers\""),
				 errhint("OPTIONS (bootstrap_servers 'host:9092')")));
}

/* The VALIDATOR of the foreign data wrapper. */
Datum
fluct_options_validator(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = hide_statement
	};

	error_context_stack = &callback;
	check_options(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1));
	error_context_stack = callback.previous;
	PG_RETURN_VOID();
}
