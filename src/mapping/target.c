/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The rights and the key that a target needs, and a mapping by default.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "json/binary.h"
#include "mapping/decode.h"
#include "mapping/relations.h"
#include "mapping/target.h"
#include "pg/pins.h"
#include "pg/relation.h"
#include "pg/rights.h"

PG_FUNCTION_INFO_V1(fluct_check_mapping);
PG_FUNCTION_INFO_V1(fluct_derive_mapping);
PG_FUNCTION_INFO_V1(fluct_find_child);
PG_FUNCTION_INFO_V1(fluct_find_target);
PG_FUNCTION_INFO_V1(fluct_is_keyed);
PG_FUNCTION_INFO_V1(fluct_mapped_keys);

/* ----- which one it is ----- */

Oid
fluct_target_find(const char *stream, const char *name)
{
	Oid			relid = fluct_relation_find(name, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s, the target of stream \"%s\", does not exist",
						name, stream),
				 errhint("Create it again or rename it back. If it has another name for good, drop the stream and create it with that target: it continues where it left off.")));
	return relid;
}

/* fluct._find_target(stream text, target text): fluct_target_find. */
Datum
fluct_find_target(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(fluct_target_find(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/* fluct._find_child(parent regclass, name text): fluct_mapping_find_child. */
Datum
fluct_find_child(PG_FUNCTION_ARGS)
{
	Oid			relid = fluct_mapping_find_child(PG_GETARG_OID(0),
												 text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (!OidIsValid(relid))
		PG_RETURN_NULL();
	PG_RETURN_OID(relid);
}

/* ----- what may be written ----- */

/* On all of it, or on one column at least: which, the statement itself says. */
static bool
may(Oid relid, AclMode mode)
{
	return pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), mode,
								  ACLMASK_ANY) == ACLCHECK_OK;
}

static void
require(Oid relid, AclMode mode)
{
	if (!may(relid, mode))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
}

void
fluct_target_check_rights(const FluctMapping *mapping, bool update, Oid raw)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		const FluctTarget *target = &mapping->targets[t];

		require(target->relid, ACL_INSERT);
		if (update || target->nkeys > 0)
			require(target->relid, ACL_SELECT);
		if (update && t == 0)
			require(target->relid, ACL_UPDATE);
		if (update && (t > 0 || mapping->deletes))
			require(target->relid, ACL_DELETE);
	}
	if (OidIsValid(raw))
		require(raw, ACL_INSERT);
}

void
fluct_target_check_key(const FluctMapping *mapping, const char *on_conflict)
{
	const FluctTarget *parent = &mapping->targets[0];

	if (parent->nkeys == 0 && strcmp(on_conflict, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the unique key of %s that on_conflict %s needs is gone",
						parent->name, on_conflict),
				 errdetail("Without it, a message that comes twice would be stored twice."),
				 errhint("Add the primary key or unique constraint again, over mapped NOT NULL columns; or SELECT fluct.alter_stream(..., on_conflict => 'error').")));
}

/* ----- the mapping of a table without one ----- */

/*
 * How Debezium writes a column's values by default where that is not plain
 * JSON, as members of the column's object; or NULL.
 */
static const char *
format_in_envelope(Form_pg_attribute att)
{
	int			precision = att->atttypmod;
	int			scale = att->atttypmod >= 0 ? (att->atttypmod - (int) VARHDRSZ) & 0x7ff : -1;

	switch (att->atttypid)
	{
		case BOOLOID:
			/* MySQL's tinyint(1) is 0 or 1 */
			return "\"format\": \"boolean\"";
		case DATEOID:
			return "\"format\": \"epoch_days\"";
		case TIMESTAMPOID:
			return precision >= 0 && precision <= 3 ?
				"\"format\": \"epoch_ms\"" : "\"format\": \"epoch_us\"";
		case BYTEAOID:
			return "\"format\": \"base64\"";
		case NUMERICOID:
			if (scale > 0 && scale <= FLUCT_DECIMAL_SCALE)
				return psprintf("\"format\": \"decimal\", \"scale\": %d", scale);
			return scale < 0 ? "\"format\": \"decimal\"" : NULL;
		default:
			return NULL;
	}
}

/* The mapping of each column to the top-level field of its name. */
static Jsonb *
derive(Oid target, bool envelope, bool rows)
{
	Relation	rel = fluct_relation_open(target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData text;
	bool		extra = false;
	const char *separator = "";

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"columns\": {");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		StringInfoData path;
		const char *format;

		if (att->attisdropped || att->attgenerated ||
			att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			continue;
		if (att->atttypid == JSONBOID &&
			strcmp(NameStr(att->attname), "extra") == 0)
		{
			extra = true;
			continue;
		}
		initStringInfo(&path);
		appendStringInfoString(&path, rows ? "@[" : "$[");
		escape_json(&path, NameStr(att->attname));
		appendStringInfoChar(&path, ']');
		if (NameStr(att->attname)[strspn(NameStr(att->attname),
										 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0')
		{
			resetStringInfo(&path);
			appendStringInfo(&path, "%c.%s", rows ? '@' : '$', NameStr(att->attname));
		}
		appendStringInfoString(&text, separator);
		escape_json(&text, NameStr(att->attname));
		appendStringInfoString(&text, ": ");
		format = envelope ? format_in_envelope(att) : NULL;
		appendStringInfoString(&text, format ? "{\"path\": " : "");
		escape_json(&text, path.data);
		if (format)
			appendStringInfo(&text, ", %s}", format);
		separator = ", ";
	}
	appendStringInfoString(&text, extra ? "}, \"extra\": \"extra\"}" : "}}");
	relation_close(rel, AccessShareLock);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(text.data)));
}

/* ----- what SQL calls ----- */

/* As the stream's owner, though nothing here executes anything of a user's. */
static FluctMapping *
check_as_owner(Oid target, Jsonb *document, const char *on_conflict, Oid owner,
			   const char *framing, const char *on_tombstone)
{
	FluctRights before = fluct_rights_take(owner);
	bool		update = strcmp(on_conflict, "update") == 0;
	FluctMapping *mapping;

	fluct_pins_set_here();
	mapping = fluct_mapping_compile(target, document, on_conflict, framing,
									on_tombstone, CurrentMemoryContext);
	if (update && mapping->targets[0].nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict update needs a unique key, and %s has none whose columns are all mapped",
						mapping->targets[0].name)));
	fluct_decode_check_fallbacks(mapping);
	fluct_relations_check(mapping, update, InvalidOid, false);
	fluct_rights_give_back(before);
	return mapping;
}

/* With the arguments of _check_mapping. */
static FluctMapping *
check_arguments(FunctionCallInfo fcinfo)
{
	return check_as_owner(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1),
						  text_to_cstring(PG_GETARG_TEXT_PP(2)),
						  PG_GETARG_OID(3),
						  text_to_cstring(PG_GETARG_TEXT_PP(4)),
						  text_to_cstring(PG_GETARG_TEXT_PP(5)));
}

/*
 * _check_mapping(target regclass, mapping jsonb, on_conflict text, owner oid,
 *				  framing text, on_tombstone text):
 * the names of all tables that the mapping writes to, or an error.
 */
Datum
fluct_check_mapping(PG_FUNCTION_ARGS)
{
	FluctMapping *mapping = check_arguments(fcinfo);
	Datum	   *names = palloc(sizeof(Datum) * mapping->ntargets);

	for (int t = 0; t < mapping->ntargets; t++)
		names[t] = CStringGetTextDatum(mapping->targets[t].name);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, mapping->ntargets, TEXTOID,
										  -1, false, TYPALIGN_INT));
}

/*
 * _is_keyed(target regclass, mapping jsonb, on_conflict text, owner oid,
 *			 framing text, on_tombstone text):
 * whether the target has a unique key, so that no message is stored twice.
 */
Datum
fluct_is_keyed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(check_arguments(fcinfo)->targets[0].nkeys > 0);
}

/*
 * _mapped_keys(target regclass, mapping jsonb)
 *	 RETURNS TABLE (relation text, key text[])
 *
 * The unique key by which rows of the target are replaced, and the columns in
 * which each child has it, in the same order.
 */
Datum
fluct_mapped_keys(PG_FUNCTION_ARGS)
{
	FluctMapping *mapping = check_as_owner(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1),
										   "update", GetUserId(), "none", "ignore");
	int			n = mapping->targets[0].nkeys;
	Datum	   *names = palloc(sizeof(Datum) * n);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int t = 0; t < mapping->ntargets; t++)
	{
		const FluctTarget *target = &mapping->targets[t];
		const int  *places = t == 0 ? target->keys : target->parent_keys;
		Datum		values[2];
		bool		nulls[2] = {false, false};

		for (int k = 0; k < n; k++)
			names[k] = CStringGetTextDatum(target->columns[places[k]].name);
		values[0] = CStringGetTextDatum(target->name);
		values[1] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false,
													TYPALIGN_INT));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* _derive_mapping(target regclass, owner oid, envelope boolean, rows boolean) */
Datum
fluct_derive_mapping(PG_FUNCTION_ARGS)
{
	FluctRights before = fluct_rights_take(PG_GETARG_OID(1));
	Jsonb	   *mapping = derive(PG_GETARG_OID(0), PG_GETARG_BOOL(2),
								 PG_GETARG_BOOL(3));

	fluct_rights_give_back(before);
	PG_RETURN_JSONB_P(mapping);
}
