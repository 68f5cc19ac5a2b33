/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  What a compiled mapping consists of: targets and their columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_SHAPE_H
#define FLUCT_MAPPING_SHAPE_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/execnodes.h"
#include "pgtime.h"
#include "utils/jsonb.h"

#include "base/message.h"
#include "json/json.h"

/*
 * The most bytes that the rows of a batch take, and so of one message, in
 * COPY's binary format: what is made of a batch is about as many times that as
 * there are copies of it on the way (the arrays of an INSERT).
 */
#define FLUCT_MAPPING_ROW_BYTES	((size_t) 64 * 1024 * 1024)

/* Where a column's value comes from. */
typedef enum FluctSource
{
	FLUCT_FROM_MESSAGE,			/* $.a.b */
	FLUCT_FROM_ROW,				/* @.a.b, or ^.a.b of the row that holds it */
	FLUCT_ROW_KEY,				/* @key */
	FLUCT_ROW_NUMBER,			/* # */
	FLUCT_FROM_ENVELOPE,		/* envelope.$.a.b */
	FLUCT_KAFKA_OFFSET,
	FLUCT_KAFKA_PARTITION,
	FLUCT_KAFKA_TIMESTAMP,
	FLUCT_KAFKA_KEY,
	FLUCT_KAFKA_TOPIC,
	FLUCT_KAFKA_HEADERS,
	FLUCT_KAFKA_SCHEMA_ID,		/* of the message's framing */
	FLUCT_KAFKA_HEADER,			/* kafka.headers.NAME */
	FLUCT_KAFKA_KEY_PATH,		/* kafka.key.$.a.b */
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
	FLUCT_FORM_OTHER			/* as text, for the type's input function */
} FluctForm;

typedef enum FluctFormat
{
	FLUCT_FORMAT_PLAIN,			/* what the column's type asks for */
	FLUCT_FORMAT_EPOCH_S,
	FLUCT_FORMAT_EPOCH_MS,
	FLUCT_FORMAT_EPOCH_US,
	FLUCT_FORMAT_EPOCH_NS,
	FLUCT_FORMAT_EPOCH_DAYS,
	FLUCT_FORMAT_TEXT,			/* a number that comes as a string */
	FLUCT_FORMAT_SCALAR,		/* `text` of a text column: any scalar */
	FLUCT_FORMAT_NUMBER,		/* a number, or one in a string */
	FLUCT_FORMAT_BOOLEAN,		/* also 0 and 1, also in strings */
	FLUCT_FORMAT_BASE64,
	FLUCT_FORMAT_HEX,
	FLUCT_FORMAT_DECIMAL,		/* Kafka Connect's, in base64 */
	FLUCT_FORMAT_JSON			/* JSON in a string */
} FluctFormat;

/* How a value becomes another one before its column's type takes it. */
typedef struct FluctReading
{
	int			scale;			/* of a decimal; -1 = each has its own */
	FluctJson  *decimal;		/* ... in an object with these fields */
	int			value_field;
	int			scale_field;
	const char *inner;			/* the path into JSON, in a string or not */
	FluctJson  *json;			/* for that; NULL = the value itself is read */
	int			field;
	int			nnulls;			/* strings that mean NULL */
	char	  **nulls;
} FluctReading;

/* What a column's path found since the mapping was compiled. */
typedef struct FluctFindings
{
	bool		found;			/* a value, if only null */
	bool		far;			/* a time more than a year from Kafka's */
} FluctFindings;

typedef struct FluctColumn
{
	char	   *name;
	AttrNumber	attnum;
	Oid			type;			/* as declared */
	Oid			base;			/* below its domains */
	int32		typmod;			/* of the base type */
	bool		is_array;
	const struct FluctColumn *element;	/* how its elements are taken */
	bool		writes_out;		/* its text may hold numbers of numeric's */
	int			padded;			/* to so many characters: char(n), or an
								 * element of it; else 0 */
	bool		as_text;		/* in the array of a statement's parameter */
	char		category;		/* as in pg_type: of the base type, of an
								 * array's elements, of a range's times */
	FmgrInfo	input;			/* its receive function, or for
								 * FLUCT_FORM_OTHER its input function */
	Oid			ioparam;
	Oid			collation;
	FluctForm	form;
	FluctFormat format;
	FluctReading *reading;		/* NULL = values are taken as they are */
	pg_tz	   *zone;			/* of times without an offset; NULL = UTC */
	FluctSource source;
	int			rowset;			/* whose the value is; FLUCT_JSON_ROOT for the
								 * message and for Kafka's */
	int			field;			/* of the scanner, for paths */
	const char *header;			/* its name */
	char	   *path;
	bool		required;
	bool		nullable;
	bool		key;			/* part of the target's unique key */
	FluctJsonValue *fallback;	/* the mapping's "default", or NULL */
	Node	   *default_expr;	/* the table's DEFAULT; or NULL */
	ExprState  *column_default; /* made of it by fluct_mapping_ready */
	FmgrInfo	send;			/* for column_default */
	FluctFindings *findings;
} FluctColumn;

typedef struct FluctTarget
{
	Oid			relid;
	char	   *name;			/* qualified and quoted */
	int			rowset;			/* FLUCT_JSON_ROOT: each message is a row */
	char	   *rows_path;		/* NULL for these */
	int			depth;			/* rowsets from the message to its rows */
	bool		optional;		/* nothing there is no rows */
	int			ncolumns;
	FluctColumn *columns;
	bool		by_copy;		/* COPY's machinery stores the rows */
	int			version;		/* place of the column by which a row is older
								 * than another; -1 = none */
	bool		keep;			/* what a message does not have stays as it is */
	int			nkeys;			/* columns of the arbiter's unique key */
	int		   *keys;			/* their places in columns */
	int			nparent_keys;	/* of a child whose rows are replaced: the */
	int		   *parent_keys;	/* places of the parent's key in columns */
	bool		keyed_by_time;	/* the last of them is the time of
								 * order_lines, beside that key */
	int			expected;		/* bytes of a batch's rows, from the last one */
} FluctTarget;

/* See kafka.c, envelope.c and where.c. */
typedef struct FluctKafkaJson FluctKafkaJson;
typedef struct FluctEnvelope FluctEnvelope;
typedef struct FluctWhere FluctWhere;

/* What stands before the JSON of a message; see framing.c. */
typedef enum FluctFraming
{
	FLUCT_FRAMING_NONE,
	FLUCT_FRAMING_REGISTRY
} FluctFraming;

/* What deletes rows. */
typedef struct FluctDeletes
{
	FluctWhere *where;			/* which messages; or NULL */
	bool		tombstones;		/* those without a value, too */
	FluctColumn **keys;			/* by target: the parent's key, as the target
								 * has it; NULL = its rows are not deleted */
} FluctDeletes;

typedef struct FluctMapping
{
	MemoryContext context;		/* holds all of this */
	FluctJson  *json;
	FluctKafkaJson *kafka;		/* NULL = no path into key or headers */
	FluctEnvelope *envelope;	/* in which the rows are; NULL = none */
	FluctWhere *where;			/* which messages are wanted; NULL = all */
	FluctDeletes *deletes;		/* NULL = nothing deletes */
	int			ntargets;
	FluctTarget *targets;		/* the parent first */
	ExprContext *econtext;		/* evaluates column defaults */
	size_t		made;			/* bytes of rows of the message at hand, and
								 * of blanks that pad them */
	bool		absent;			/* the field at hand is not in the message */
	FluctOutcome outcome;		/* of the last message that was decoded */
	FluctFraming framing;
	int32		schema_id;		/* of the message at hand, where it is framed */
} FluctMapping;

#endif							/* FLUCT_MAPPING_SHAPE_H */
