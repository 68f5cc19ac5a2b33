/*-------------------------------------------------------------------------
 *
 * envelope.c
 *	  Rows in the envelope of a change: "envelope": "debezium".
 *
 * The paths of the mapping are those of the row, and the row is
 *
 *	{"op", "before", "after", "source", ...}	after; of a deleted one, before
 *	{"schema", "payload": either of these}		what the payload has
 *	any other object							this itself; "__deleted" says
 *												whether it is deleted
 *
 * so a stream takes what the connector writes with and without schemas, and
 * what ExtractNewRecordState makes of it.  An envelope is known by its "op"
 * beside an object that is one of its three; a payload, by having nothing but a
 * schema beside it.
 *
 * A deleted row that the envelope does not have (a table without a replica
 * identity) is one without members: its key may still come from Kafka's.
 *
 * `envelope.$.source.lsn` is a path into the envelope itself, without its
 * payload; a row that came without an envelope has nothing there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/refusal.h"
#include "mapping/document.h"
#include "mapping/envelope.h"
#include "pg/alloc.h"

/* The fields of an envelope in one place: at the top, or in the payload. */
typedef struct Place
{
	const char *path;
	int			op;
	int			before;
	int			after;
	int			source;
} Place;

struct FluctEnvelope
{
	FluctJson  *json;
	Place		top;
	Place		inner;
	int			schema;
	int			payload;
	int			marked;			/* of mapping->json */
	FluctJson  *around;			/* the paths into the envelope; NULL = none */
};

static int
add_field(FluctJson *json, const char *path, const char *name)
{
	return fluct_json_add_field(json, FLUCT_JSON_ROOT, psprintf("%s.%s", path, name));
}

static void
add_place(FluctJson *json, const char *path, Place *place)
{
	place->path = path;
	place->op = add_field(json, path, "op");
	place->before = add_field(json, path, "before");
	place->after = add_field(json, path, "after");
	place->source = add_field(json, path, "source");
}

void
fluct_envelope_compile(FluctCompiler *c, JsonbContainer *document)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);
	char	   *name = fluct_document_text(document, "envelope");
	struct FluctEnvelope *envelope;

	if (name == NULL)
		return;
	if (strcmp(name, "debezium") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: unknown \"envelope\" \"%s\"", name),
				 errhint("It is debezium: the paths are those of the row.")));
	envelope = palloc0(sizeof(struct FluctEnvelope));
	envelope->json = fluct_json_create(&allocator);
	add_place(envelope->json, "$", &envelope->top);
	add_place(envelope->json, "$.payload", &envelope->inner);
	envelope->schema = add_field(envelope->json, "$", "schema");
	envelope->payload = add_field(envelope->json, "$", "payload");
	envelope->marked = add_field(c->mapping->json, "$", "__deleted");
	c->mapping->envelope = envelope;
}

int
fluct_envelope_compile_path(FluctCompiler *c, FluctColumn *column)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);
	struct FluctEnvelope *envelope = c->mapping->envelope;

	if (strncmp(column->path, "envelope.", 9) != 0)
		return 0;
	if (envelope == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s is mapped to %s, and the mapping has no \"envelope\"",
						column->name, c->target->name, column->path)));
	if (envelope->around == NULL)
		envelope->around = fluct_json_create(&allocator);
	column->source = FLUCT_FROM_ENVELOPE;
	column->field = fluct_json_add_field(envelope->around, FLUCT_JSON_ROOT, column->path + 9);
	return column->field < 0 ? -1 : 1;
}

/* ----- messages ----- */

static const FluctJsonValue nothing = {FLUCT_JSON_OBJECT, false, 2, "{}"};

static FluctJsonType
type_of(const FluctJson *json, int field)
{
	return fluct_json_field(json, field)->type;
}

static bool
is_envelope(const FluctJson *json, const Place *place)
{
	return type_of(json, place->op) == FLUCT_JSON_STRING &&
		(type_of(json, place->source) == FLUCT_JSON_OBJECT ||
		 type_of(json, place->before) == FLUCT_JSON_OBJECT ||
		 type_of(json, place->after) == FLUCT_JSON_OBJECT);
}

/* Whether the message has a payload, and beside it at most a schema. */
static bool
is_wrapped(const struct FluctEnvelope *envelope)
{
	const FluctJson *json = envelope->json;
	int			others;

	(void) fluct_json_unmapped(json, FLUCT_JSON_ROOT, 0, &others);
	return type_of(json, envelope->payload) == FLUCT_JSON_OBJECT && others == 0 &&
		type_of(json, envelope->top.op) == FLUCT_JSON_ABSENT &&
		type_of(json, envelope->top.before) == FLUCT_JSON_ABSENT &&
		type_of(json, envelope->top.after) == FLUCT_JSON_ABSENT &&
		type_of(json, envelope->top.source) == FLUCT_JSON_ABSENT;
}

static void
refuse_field(const Place *place, const char *name, FluctReason reason,
			 const char *detail, FluctRefusal *refusal)
{
	fluct_refuse(refusal, reason, psprintf("%s.%s", place->path, name), "%s", detail);
}

static bool
open_image(const FluctJson *json, const Place *place, bool deleted,
		   FluctJsonValue *row, FluctRefusal *refusal)
{
	const char *name = deleted ? "before" : "after";

	*row = *fluct_json_field(json, deleted ? place->before : place->after);
	if (row->type == FLUCT_JSON_OBJECT)
		return true;
	if (row->type == FLUCT_JSON_ABSENT || row->type == FLUCT_JSON_NULL)
	{
		if (!deleted)
			refuse_field(place, name, row->type == FLUCT_JSON_NULL ?
						 FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD,
						 "for the row", refusal);
		*row = nothing;
		return deleted;
	}
	refuse_field(place, name, FLUCT_WRONG_TYPE, row->type == FLUCT_JSON_STRING ?
				 "the row is a string, not an object: the format json, without \"envelope\", takes JSON in a string" :
				 "the row is not an object", refusal);
	return false;
}

static bool
open_envelope(const FluctJson *json, const Place *place, FluctJsonValue *row,
			  bool *deleted, FluctRefusal *refusal)
{
	const FluctJsonValue *op = fluct_json_field(json, place->op);
	char		kind = op->len == 1 ? op->text[0] : '\0';

	if (kind == 'm')			/* of pg_logical_emit_message */
		return false;
	*deleted = kind == 'd';
	if (kind != '\0' && strchr("crud", kind))
		return open_image(json, place, *deleted, row, refusal);
	refuse_field(place, "op", FLUCT_WRONG_TYPE, kind == 't' ?
				 "found \"t\": the table was truncated, which is not repeated here" :
				 psprintf("found \"%.*s\", expected c, r, u or d",
						  (int) Min(op->len, 100), op->text), refusal);
	return false;
}

bool
fluct_envelope_open(const FluctMapping *mapping, const char **bytes,
					size_t *len, bool *deleted, FluctRefusal *refusal)
{
	const struct FluctEnvelope *envelope = mapping->envelope;
	FluctJsonValue whole = {FLUCT_JSON_OBJECT, false, *len, *bytes};
	FluctJsonValue row = whole;
	bool		open = true;

	if (!fluct_json_scan(envelope->json, *bytes, *len, refusal))
		return false;
	if (is_envelope(envelope->json, &envelope->top))
		open = open_envelope(envelope->json, &envelope->top, &row, deleted, refusal);
	else if (is_envelope(envelope->json, &envelope->inner))
	{
		whole = *fluct_json_field(envelope->json, envelope->payload);
		open = open_envelope(envelope->json, &envelope->inner, &row, deleted, refusal);
	}
	else
	{
		whole = nothing;
		if (is_wrapped(envelope))
			row = *fluct_json_field(envelope->json, envelope->payload);
	}
	*bytes = row.text;
	*len = row.len;
	return open && (envelope->around == NULL ||
					fluct_json_parse(envelope->around, whole.text, whole.len, refusal));
}

bool
fluct_envelope_is_marked(const FluctMapping *mapping)
{
	const FluctJsonValue *value = fluct_json_field(mapping->json, mapping->envelope->marked);

	return (value->type == FLUCT_JSON_BOOL || value->type == FLUCT_JSON_STRING) &&
		value->len == 4 && memcmp(value->text, "true", 4) == 0;
}

const FluctJsonValue *
fluct_envelope_value(const FluctMapping *mapping, const FluctColumn *column)
{
	return fluct_json_field(mapping->envelope->around, column->field);
}
