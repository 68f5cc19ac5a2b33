/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  A mapping, compiled against its tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_MAPPING_H
#define FLUCT_MAPPING_MAPPING_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"

#include "base/message.h"
#include "json/json.h"

/* Where a column's value comes from. */
typedef enum FluctSource
{
	FLUCT_FROM_MESSAGE,			/* $.a.b */
	FLUCT_FROM_ROW,				/* @.a.b */
	FLUCT_ROW_NUMBER,			/* # */
	FLUCT_KAFKA_OFFSET,
	FLUCT_KAFKA_PARTITION,
	FLUCT_KAFKA_TIMESTAMP,
	FLUCT_KAFKA_KEY,
	FLUCT_KAFKA_TOPIC,
	FLUCT_KAFKA_HEADERS,
	FLUCT_EXTRA					/* the fields that are not mapped */
} FluctSource;

/* The binary form in which a value goes to PostgreSQL. */
typedef enum FluctForm
{
	FLUCT_FORM_TEXT,
	FLUCT_FORM_INT2,
	FLUCT_FORM_INT4,
	FLUCT_FORM_INT8,
	FLUCT_FORM_NUMERIC,
	FLUCT_FORM_FLOAT4,
	FLUCT_FORM_FLOAT8,
	FLUCT_FORM_BOOL,
	FLUCT_FORM_TIMESTAMP,
	FLUCT_FORM_DATE,
	FLUCT_FORM_UUID,
	FLUCT_FORM_BYTEA,
	FLUCT_FORM_JSON,
	FLUCT_FORM_JSONB,
	FLUCT_FORM_OTHER			/* as text; the INSERT casts it */
} FluctForm;

typedef enum FluctFormat
{
	FLUCT_FORMAT_PLAIN,			/* what the column's type asks for */
	FLUCT_FORMAT_EPOCH_S,
	FLUCT_FORMAT_EPOCH_MS,
	FLUCT_FORMAT_TEXT			/* a number that comes as a string */
} FluctFormat;

typedef struct FluctColumn
{
	char	   *name;
	AttrNumber	attnum;
	Oid			type;			/* as declared */
	Oid			array_element;	/* what unnest yields: base type, or text */
	Oid			collation;
	FluctForm	form;
	FluctFormat format;
	FluctSource source;
	int			field;			/* of the scanner, for the first two sources */
	char	   *path;
	bool		required;
	bool		nullable;
	bool		key;			/* part of the target's unique key */
	FluctJsonValue *fallback;	/* the mapping's "default", or NULL */
	Node	   *default_expr;	/* the table's DEFAULT; or NULL */
	ExprState  *column_default; /* made of it by fluct_mapping_ready */
	FmgrInfo	send;			/* for column_default */
} FluctColumn;

typedef struct FluctTarget
{
	Oid			relid;
	char	   *name;			/* qualified and quoted */
	int			rowset;			/* FLUCT_JSON_ROOT for the parent */
	char	   *rows_path;		/* NULL for the parent */
	int			ncolumns;
	FluctColumn *columns;
	bool		by_copy;		/* COPY's machinery stores the rows */
	int			nkeys;			/* columns of the arbiter's unique key */
	int		   *keys;			/* their places in columns */
	int			expected;		/* bytes of a batch's rows, from the last one */
} FluctTarget;

typedef struct FluctMapping
{
	MemoryContext context;		/* holds all of this */
	FluctJson  *json;
	int			ntargets;
	FluctTarget *targets;		/* the parent first */
	ExprContext *econtext;		/* evaluates column defaults */
} FluctMapping;

/*
 * Compiles in a new child of `parent`, from what the catalogs say: no code of
 * the table's runs.  on_conflict is nothing, error or update.  Errors name the
 * table and the column: 22023 for an invalid mapping, 42703 for a column that
 * does not exist, 42P01 for such a table.
 */
extern FluctMapping *fluct_mapping_compile(Oid target, Jsonb *mapping,
										   const char *on_conflict,
										   MemoryContext parent);

/*
 * Makes it ready to decode messages.  Defaults are planned here, and planning
 * executes what is immutable in them: so this is for the current user to have
 * taken the rights of the stream's owner.
 */
extern void fluct_mapping_ready(FluctMapping *mapping);

/* The table of that name, quoted and qualified as SQL has it; or 42P01. */
extern Oid	fluct_mapping_find_relation(const char *name);

#endif							/* FLUCT_MAPPING_MAPPING_H */
