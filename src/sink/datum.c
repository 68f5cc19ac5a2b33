/*-------------------------------------------------------------------------
 *
 * datum.c
 *	  A field of COPY's binary format as a value of its column.
 *
 * A type's receive function does not trust what it gets.  The decoder's fields
 * are right already (valid UTF-8, numbers without zeros at their ends), so
 * what is left for the common types is another order of bytes.  All others,
 * and those with a modifier, such as varchar(3), go to their receive function.
 *
 * numeric.  Its packed form is private to numeric.c, but it is what stands on
 * disk, and has been the same since 9.1: a header of two bytes where the scale
 * and the weight are small, else of four, then the digits of base 10000.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "mapping/column.h"
#include "sink/datum.h"

/* Of the packed form. */
#define PACKED_SHORT			0x8000
#define PACKED_SHORT_NEGATIVE	0x2000
#define PACKED_SHORT_SCALE		7
#define PACKED_SHORT_MAX_SCALE	0x3f
#define PACKED_SHORT_WEIGHT_SIGN 0x40
#define PACKED_SHORT_WEIGHT		0x3f
#define PACKED_NEGATIVE			0x4000
#define PACKED_MAX_SCALE		0x3fff

bool
fluct_datum_is_simple(const FluctColumn *column)
{
	if (column->type != column->base || column->typmod >= 0)
		return false;
	switch (column->form)
	{
		case FLUCT_FORM_TEXT:
			return GetDatabaseEncoding() == PG_UTF8;
		case FLUCT_FORM_INT2:
		case FLUCT_FORM_INT4:
		case FLUCT_FORM_INT8:
		case FLUCT_FORM_NUMERIC:
		case FLUCT_FORM_FLOAT4:
		case FLUCT_FORM_FLOAT8:
		case FLUCT_FORM_BOOL:
		case FLUCT_FORM_TIMESTAMP:
		case FLUCT_FORM_DATE:
		case FLUCT_FORM_UUID:
		case FLUCT_FORM_BYTEA:
			return true;
		default:
			return false;
	}
}

static uint16
get16(const char *at)
{
	uint16		value;

	memcpy(&value, at, 2);
	return pg_ntoh16(value);
}

static uint32
get32(const char *at)
{
	uint32		value;

	memcpy(&value, at, 4);
	return pg_ntoh32(value);
}

static uint64
get64(const char *at)
{
	uint64		value;

	memcpy(&value, at, 8);
	return pg_ntoh64(value);
}

static Datum
read_varlena(const char *at, int len)
{
	struct varlena *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), at, len);
	return PointerGetDatum(value);
}

/* What numeric_recv makes of it; only of finite numbers without a modifier. */
static Datum
read_numeric(const char *at)
{
	int			ndigits = (int16) get16(at);
	int			weight = (int16) get16(at + 2);
	uint16		sign = get16(at + 4);
	uint16		scale = get16(at + 6);
	bool		small = scale <= PACKED_SHORT_MAX_SCALE &&
	weight >= -PACKED_SHORT_WEIGHT_SIGN && weight <= PACKED_SHORT_WEIGHT;
	int			header = small ? 1 : 2;
	Size		size = VARHDRSZ + sizeof(uint16) * (header + ndigits);
	struct varlena *value = palloc(size);
	uint16	   *words = (uint16 *) VARDATA(value);

	SET_VARSIZE(value, size);
	if (small)
		words[0] = PACKED_SHORT | (sign ? PACKED_SHORT_NEGATIVE : 0) |
			scale << PACKED_SHORT_SCALE |
			(weight < 0 ? PACKED_SHORT_WEIGHT_SIGN : 0) |
			(weight & PACKED_SHORT_WEIGHT);
	else
	{
		words[0] = sign | (scale & PACKED_MAX_SCALE);
		words[1] = (uint16) weight;
	}
	for (int i = 0; i < ndigits; i++)
		words[header + i] = get16(at + 8 + 2 * i);
	return PointerGetDatum(value);
}

/* A numeric that a default gave may be none that a message can hold. */
static bool
is_finite(const char *at)
{
	uint16		sign = get16(at + 4);

	return sign == 0 || sign == PACKED_NEGATIVE;
}

Datum
fluct_datum_read(const FluctColumn *column, bool simple, const char *at,
				 int len)
{
	pg_uuid_t  *uuid;
	uint32		bits;
	float4		single;

	if (!simple ||
		(column->form == FLUCT_FORM_NUMERIC && !is_finite(at)))
		return fluct_column_receive(column, at, len);
	switch (column->form)
	{
		case FLUCT_FORM_INT2:
			return Int16GetDatum((int16) get16(at));
		case FLUCT_FORM_INT4:
			return Int32GetDatum((int32) get32(at));
		case FLUCT_FORM_INT8:
		case FLUCT_FORM_TIMESTAMP:
			return Int64GetDatum((int64) get64(at));
		case FLUCT_FORM_NUMERIC:
			return read_numeric(at);
		case FLUCT_FORM_FLOAT4:
			bits = get32(at);
			memcpy(&single, &bits, 4);
			return Float4GetDatum(single);
		case FLUCT_FORM_FLOAT8:
			return Int64GetDatum((int64) get64(at));
		case FLUCT_FORM_BOOL:
			return BoolGetDatum(at[0] != 0);
		case FLUCT_FORM_DATE:
			return DateADTGetDatum((DateADT) (int32) get32(at));
		case FLUCT_FORM_UUID:
			uuid = palloc(sizeof(pg_uuid_t));
			memcpy(uuid->data, at, UUID_LEN);
			return UUIDPGetDatum(uuid);
		default:
			return read_varlena(at, len);
	}
}
