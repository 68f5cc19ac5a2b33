/*-------------------------------------------------------------------------
 *
 * json.c
 *	  A strict single-pass JSON scanner that picks out the wanted fields.
 *
 * One pass over the bytes checks everything that makes a message acceptable
 * (grammar, UTF-8, keys, depth, size of numbers) and notes where the wanted
 * values stand.  Nothing is copied and nothing is allocated per value.
 *
 * What is wanted
 *
 * The added paths form trees of keys: one for the message and one for each
 * rowset's element.  A Sheet is what such a tree fills: rows of cells.  The
 * message is sheet 0, with one row; rowset n is sheet n + 1.  While it scans,
 * the scanner carries for each value the node of the tree that it stands at,
 * or NO_NODE where nothing below is wanted, or UNMAPPED for a member of a
 * row's object that no path names.
 *
 * Finding a member
 *
 * Producers write the keys of their objects in one order, message after
 * message.  Each node remembers which node followed it last time, so a key is
 * compared with that one first, in place, with its closing quote; all else is
 * the slow way.
 *
 * Duplicate keys
 *
 * A key that matches a node sets the node's bit in the frame: no comparison.
 * The other keys of an open object stand on a stack, with those of the objects
 * around it below.  Few are compared one by one; from FEW_KEYS on they get a
 * hash table on a second stack.  Only the innermost open object adds keys, so
 * its table is the topmost one and can grow where it is.  The hash is SipHash
 * with a key of the process's own: a million keys made to collide would
 * otherwise cost hours, and a message comes from outside.
 *
 * Depth is bounded by FLUCT_JSON_MAX_DEPTH frames in an array; there is no
 * recursion.
 *
 *-------------------------------------------------------------------------
 */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "value.h"

#if defined(__SSE2__) && !defined(FLUCT_NO_SIMD)
#include <emmintrin.h>
#define FLUCT_USE_SSE2
#endif

/* In place of a node. */
#define NO_NODE				(-1)
#define UNMAPPED			(-2)

/* Up to here an object's keys are compared one by one. */
#define FEW_KEYS			16

/* The first hash table of an object, and the bits of Frame.seen. */
#define FIRST_TABLE			64
#define SEEN_BITS			64

/* What a vector may keep from one message to the next, in bytes. */
#define KEEP_BYTES			(1024 * 1024)

/* How much of a wrong text a detail shows. */
#define SHOWN_BYTES			40

#define NO_CELLS			UINT32_MAX

#define likely(x)			__builtin_expect((x) != 0, 1)
#define unlikely(x)			__builtin_expect((x) != 0, 0)

/* Off the hot path, which stays small enough to be inlined whole. */
#define NOINLINE			__attribute__((noinline))
#define COLD				__attribute__((cold, noinline))

/* A key that some path names, in the tree of its sheet. */
typedef struct Node
{
	const char *key;			/* unescaped */
	uint32_t	len;
	bool		plain;			/* needs no escapes, so it can be guessed */
	bool		root;			/* the message, or an element of a rowset */
	int			sheet;			/* whose cells it fills */
	int			field;			/* its cell, or -1 */
	int			rows;			/* the sheet that its elements fill, or -1 */
	int			first_child;
	int			next_sibling;
	int			first_seen;		/* guess: the child that comes first */
	int			successor;		/* guess: the sibling that comes next */
	uint64_t	bit;			/* in Frame.seen; 0 = on the stack of keys */
} Node;

typedef struct Row
{
	uint32_t	cells;			/* its first in Sheet.cells, or NO_CELLS */
	uint32_t	first_member;
	uint32_t	members;
	FluctJsonType type;
} Row;

/* A growing array: `room` and `size` count bytes of one element. */
typedef struct Vector
{
	char	   *data;
	size_t		count;
	size_t		room;
} Vector;

typedef struct Sheet
{
	FluctJsonType type;			/* of the value at the rowset's path */
	int			root;			/* node of its elements */
	int			fields;
	Vector		rows;			/* Row */
	Vector		cells;			/* FluctJsonValue, `fields` for a row */
	Vector		members;		/* FluctJsonMember */
} Sheet;

/* A key of an open object that matched no node. */
typedef struct Key
{
	uint32_t	at;				/* in the message, or in `unescaped` */
	uint32_t	len;
	uint32_t	hash;			/* set when the object has a table */
	bool		escaped;
} Key;

/* An open object or array. */
typedef struct Frame
{
	char		close;			/* the bracket that ends it */
	int			node;			/* its own node, or NO_NODE, or UNMAPPED */
	int			target;			/* node of the member or element at hand */
	int			last;			/* node of the last key that had one */
	int			guess;			/* node of the key expected next */
	uint64_t	seen;
	const char *start;
	const char *key;			/* of the member at hand, or NULL */
	size_t		key_len;
	bool		key_escaped;
	size_t		index;			/* of the element at hand, from 1 */
	size_t		first_key;		/* in Json.keys */
	size_t		unescaped;		/* where its part of Json.unescaped begins */
	size_t		table;			/* in Json.slots */
	size_t		table_size;		/* 0 = none */
} Frame;

struct FluctJson
{
	FluctAllocator allocator;
	uint64_t	secret[2];

	/* fixed once the paths are added */
	Vector		nodes;			/* Node */
	Vector		sheets;			/* Sheet */

	/* the message at hand */
	const char *bytes;
	const char *end;
	FluctRefusal *refusal;
	int			depth;
	Frame		frames[FLUCT_JSON_MAX_DEPTH];
	Vector		keys;			/* Key: a stack, as the next two */
	Vector		unescaped;		/* char: keys that were written escaped */
	Vector		slots;			/* uint32_t: hash tables, 1 + index of a key */
};

static const FluctJsonValue absent_value;

/*
 * Memory
 */

static void *
resize(FluctJson *json, void *p, size_t size)
{
	return json->allocator.resize(json->allocator.arg, p, size);
}

/* Room for n more elements; returns the first, which is not yet counted. */
static void *
reserve(FluctJson *json, Vector *vector, size_t n, size_t element)
{
	if (unlikely(vector->count + n > vector->room))
	{
		size_t		room = vector->room * 2;

		if (room < vector->count + n)
			room = vector->count + n + 8;
		vector->data = resize(json, vector->data, room * element);
		vector->room = room;
	}
	return vector->data + vector->count * element;
}

/* Forgets the contents, and gives back what one huge message needed. */
static void
reset(FluctJson *json, Vector *vector, size_t element)
{
	vector->count = 0;
	if (unlikely(vector->room * element > KEEP_BYTES))
	{
		vector->room = KEEP_BYTES / element;
		vector->data = resize(json, vector->data, vector->room * element);
	}
}

static inline Node *
node_at(const FluctJson *json, int node)
{
	return (Node *) json->nodes.data + node;
}

static inline Sheet *
sheet_at(const FluctJson *json, int sheet)
{
	return (Sheet *) json->sheets.data + sheet;
}

static inline Row *
last_row(const Sheet *sheet)
{
	return (Row *) sheet->rows.data + sheet->rows.count - 1;
}

/*
 * Refusals
 */

typedef struct Text
{
	char		data[2 * FLUCT_PATH_LEN];
	size_t		len;
} Text;

static void append(Text *text, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
append(Text *text, const char *format,...)
{
	va_list		args;
	int			n;

	va_start(args, format);
	n = vsnprintf(text->data + text->len, sizeof(text->data) - text->len,
				  format, args);
	va_end(args);
	if (n > 0)
		text->len += n;
	if (text->len >= sizeof(text->data))
		text->len = sizeof(text->data) - 1;
}

static bool
is_name(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char		c = key[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
			  (c >= '0' && c <= '9' && i > 0)))
			return false;
	}
	return len > 0;
}

/* Where the scanner stands, as `$.order_lines[1].volume`. */
static void
describe_place(const FluctJson *json, Text *path)
{
	path->len = 0;
	append(path, "$");
	for (int i = 0; i < json->depth; i++)
	{
		const Frame *frame = &json->frames[i];
		int			len = (int) frame->key_len;

		if (len > FLUCT_PATH_LEN)
			len = FLUCT_PATH_LEN;
		if (frame->close == ']' && frame->index > 0)
			append(path, "[%zu]", frame->index - 1);
		else if (frame->key != NULL && is_name(frame->key, frame->key_len))
			append(path, ".%.*s", len, frame->key);
		else if (frame->key != NULL)
			append(path, "[\"%.*s\"]", len, frame->key);
	}
}

static const char *refuse(FluctJson *json, FluctReason reason, const char *at,
						  const char *format,...)
			__attribute__((format(printf, 4, 5), cold, noinline));

/* Ends the scan: NULL, with the refusal filled. */
static const char *
refuse(FluctJson *json, FluctReason reason, const char *at,
	   const char *format,...)
{
	Text		path;
	char		detail[FLUCT_DETAIL_LEN];
	va_list		args;

	describe_place(json, &path);
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	fluct_refuse(json->refusal, reason, path.data, "%s at byte %zu", detail,
				 (size_t) (at - json->bytes));
	return NULL;
}

/* The byte at p is no valid UTF-8; at the start it tells of another format. */
static COLD const char *
refuse_encoding(FluctJson *json, const char *p)
{
	const unsigned char *u = (const unsigned char *) json->bytes;
	bool		first = p == json->bytes && json->end - p >= 2;

	if (first && ((u[0] == 0xFF && u[1] == 0xFE) ||
				  (u[0] == 0xFE && u[1] == 0xFF)))
		return refuse(json, FLUCT_INVALID_ENCODING, p,
					  "a UTF-16 byte order mark");
	return refuse(json, FLUCT_INVALID_ENCODING, p,
				  "byte 0x%02x is not valid UTF-8", (unsigned char) *p);
}

/* Something else than `expected` stands at p. */
static COLD const char *
refuse_found(FluctJson *json, const char *p, const char *expected)
{
	int			length;

	if (p >= json->end)
		return refuse(json, FLUCT_INVALID_JSON, p,
					  "the message ends where %s is expected", expected);
	if (*p == '\0')
		return refuse(json, FLUCT_NUL, p, p == json->bytes ?
					  "a NUL byte, as in schema-registry framing," :
					  "a NUL byte");
	length = fluct_value_utf8_char(p, json->end);
	if (length == 0)
		return refuse_encoding(json, p);
	if (p == json->bytes && length == 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
		return refuse(json, FLUCT_INVALID_JSON, p, "a byte order mark");
	if (length == 1 && (*p < 0x20 || *p == 0x7F))
		return refuse(json, FLUCT_INVALID_JSON, p,
					  "expected %s, found byte 0x%02x", expected,
					  (unsigned char) *p);
	return refuse(json, FLUCT_INVALID_JSON, p, "expected %s, found \"%.*s\"",
				  expected, length, p);
}

/*
 * Bytes
 */

static inline const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end &&
		   (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* Has one of the eight bytes its high bit set, or is a quote, ... ? */
static inline bool
has_special(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t highs = ones << 7;
	uint64_t	quote = word ^ ones * '"';
	uint64_t	slash = word ^ ones * '\\';

	/* the borrow can only err towards true, past a byte that is special */
	return ((word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) &
			highs) != 0;
}

/* To the next byte that is a quote, a backslash, a control, or not ASCII. */
static inline const char *
skip_plain(const char *p, const char *end)
{
#ifdef FLUCT_USE_SSE2
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\');
	const __m128i blank = _mm_set1_epi8(' ');

	for (; end - p >= 16; p += 16)
	{
		__m128i		v = _mm_loadu_si128((const __m128i *) p);
		__m128i		hit;
		int			mask;

		/* signed: bytes from 0x80 on are less than a blank, too */
		hit = _mm_or_si128(_mm_cmplt_epi8(v, blank),
						   _mm_or_si128(_mm_cmpeq_epi8(v, quote),
										_mm_cmpeq_epi8(v, slash)));
		mask = _mm_movemask_epi8(hit);
		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
#endif
	for (; end - p >= 8; p += 8)
	{
		uint64_t	word;

		memcpy(&word, p, 8);
		if (has_special(word))
			break;
	}
	while (p < end && (unsigned char) *p >= 0x20 &&
		   (unsigned char) *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Four hexadecimal digits at p, or -1. */
static int
read_hex4(const char *p, const char *end)
{
	int			value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i] | 0x20;

		if (is_digit(p[i]))
			value = value * 16 + (p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* p is at a `\u`; returns what follows the character. */
static const char *
scan_unicode_escape(FluctJson *json, const char *p)
{
	int			code = read_hex4(p + 2, json->end);
	int			low = -1;

	if (code < 0)
		return refuse(json, FLUCT_INVALID_JSON, p,
					  "\\u without four hexadecimal digits");
	if (code == 0)
		return refuse(json, FLUCT_NUL, p, "an escaped NUL, \\u0000,");
	if (code < 0xD800 || code > 0xDFFF)
		return p + 6;
	if (json->end - p >= 12 && p[6] == '\\' && p[7] == 'u')
		low = read_hex4(p + 8, json->end);
	if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
		return refuse(json, FLUCT_INVALID_JSON, p,
					  "half of a surrogate pair, \\u%04x,", code);
	return p + 12;
}

/* p is at a byte of a string that skip_plain stopped at, other than a quote. */
static const char *
scan_special(FluctJson *json, const char *p)
{
	int			length;

	if (*p == '\\')
	{
		if (json->end - p >= 2 && p[1] == 'u')
			return scan_unicode_escape(json, p);
		if (json->end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]))
			return p + 2;
		return refuse(json, FLUCT_INVALID_JSON, p, "an unknown escape");
	}
	if (*p == '\0')
		return refuse(json, FLUCT_NUL, p, "a NUL byte");
	if (*p > 0 && *p < 0x20)
		return refuse(json, FLUCT_INVALID_JSON, p,
					  "control character 0x%02x in a string", *p);
	do
	{
		length = fluct_value_utf8_char(p, json->end);
		if (length == 0)
			return refuse_encoding(json, p);
		p += length;
	} while (p < json->end && (unsigned char) *p >= 0x80);
	return p;
}

/* From behind the opening quote to the closing one. */
static inline const char *
scan_string(FluctJson *json, const char *p, bool *escaped)
{
	const char *start = p;

	*escaped = false;
	for (;;)
	{
		p = skip_plain(p, json->end);
		if (unlikely(p >= json->end))
			return refuse(json, FLUCT_INVALID_JSON, start - 1,
						  "the message ends in the string that begins");
		if (likely(*p == '"'))
			return p;
		*escaped |= *p == '\\';
		p = scan_special(json, p);
		if (p == NULL)
			return NULL;
	}
}

/* Digits, at least one. */
static inline const char *
scan_digits(FluctJson *json, const char *p)
{
	const char *start = p;

	while (p < json->end && is_digit(*p))
		p++;
	return likely(p > start) ? p : refuse_found(json, p, "a digit");
}

static NOINLINE const char *
scan_exponent(FluctJson *json, const char *p)
{
	p++;
	if (p < json->end && (*p == '+' || *p == '-'))
		p++;
	return scan_digits(json, p);
}

/* A number; its size is judged only where it could be too large. */
static inline const char *
scan_number(FluctJson *json, const char *p)
{
	const char *start = p;
	bool		judge = false;

	p += *p == '-';
	if (p < json->end && *p == '0')
		p++;
	else if ((p = scan_digits(json, p)) == NULL)
		return NULL;
	if (p < json->end && *p == '.' &&
		(p = scan_digits(json, p + 1)) == NULL)
		return NULL;
	if (p < json->end && (*p == 'e' || *p == 'E'))
	{
		judge = true;
		if ((p = scan_exponent(json, p)) == NULL)
			return NULL;
	}
	if (unlikely(judge || p - start > FLUCT_MAX_DIGITS) &&
		fluct_value_check_number(start, p - start) != FLUCT_OK)
		return refuse(json, FLUCT_OUT_OF_RANGE, start,
					  "%.*s%s has more than %d digits",
					  p - start > SHOWN_BYTES ? SHOWN_BYTES : (int) (p - start),
					  start, p - start > SHOWN_BYTES ? "..." : "",
					  FLUCT_MAX_DIGITS);
	return p;
}

/*
 * Keeping what was found
 */

static void
begin_row(FluctJson *json, Sheet *sheet)
{
	Row		   *row = reserve(json, &sheet->rows, 1, sizeof(Row));

	row->cells = NO_CELLS;
	row->first_member = (uint32_t) sheet->members.count;
	row->members = 0;
	row->type = FLUCT_JSON_ABSENT;
	sheet->rows.count++;
}

/* A row's cells come to be with the first one filled. */
static inline FluctJsonValue *
cell_to_fill(FluctJson *json, Sheet *sheet, int field)
{
	Row		   *row = last_row(sheet);

	if (row->cells == NO_CELLS)
	{
		FluctJsonValue *cells = reserve(json, &sheet->cells, sheet->fields,
										sizeof(FluctJsonValue));

		memset(cells, 0, sheet->fields * sizeof(FluctJsonValue));
		row->cells = (uint32_t) sheet->cells.count;
		sheet->cells.count += sheet->fields;
	}
	return (FluctJsonValue *) sheet->cells.data + row->cells + field;
}

/* A member that no path names; its object is the innermost open one. */
static void
keep_member(FluctJson *json, const FluctJsonValue *value)
{
	const Frame *frame = &json->frames[json->depth - 1];
	Sheet	   *sheet = sheet_at(json, node_at(json, frame->node)->sheet);
	FluctJsonMember *member = reserve(json, &sheet->members, 1,
									  sizeof(FluctJsonMember));

	member->key.type = FLUCT_JSON_STRING;
	member->key.escaped = frame->key_escaped;
	member->key.text = frame->key;
	member->key.len = frame->key_len;
	member->value = *value;
	sheet->members.count++;
	last_row(sheet)->members++;
}

/* A value is complete; its container is the innermost open one. */
static inline void
keep(FluctJson *json, int target, FluctJsonType type, const char *text,
	 const char *end, bool escaped)
{
	FluctJsonValue value = {type, escaped, end - text, text};
	const Node *node;

	if (target == NO_NODE)
		return;
	if (target == UNMAPPED)
	{
		keep_member(json, &value);
		return;
	}
	node = node_at(json, target);
	if (node->field >= 0)
		*cell_to_fill(json, sheet_at(json, node->sheet), node->field) = value;
	if (node->rows >= 0)
		sheet_at(json, node->rows)->type = type;
	if (node->root)
		last_row(sheet_at(json, node->sheet))->type = type;
}

/*
 * Duplicate keys
 */

#define ROTATE(x, n)	((x) << (n) | (x) >> (64 - (n)))

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTATE(v[1], 13) ^ v[0];
	v[0] = ROTATE(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATE(v[1], 17) ^ v[2];
	v[2] = ROTATE(v[2], 32);
}

/* SipHash-1-3 */
static uint32_t
hash_bytes(const FluctJson *json, const char *p, size_t len)
{
	uint64_t	v[4] = {
		json->secret[0] ^ UINT64_C(0x736f6d6570736575),
		json->secret[1] ^ UINT64_C(0x646f72616e646f6d),
		json->secret[0] ^ UINT64_C(0x6c7967656e657261),
		json->secret[1] ^ UINT64_C(0x7465646279746573)
	};
	uint64_t	word;
	size_t		left = len;

	for (; left >= 8; left -= 8, p += 8)
	{
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, p, left);
	word |= (uint64_t) len << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xFF;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t) (word ^ word >> 32);
}

static const char *
key_text(const FluctJson *json, const Key *key)
{
	return (key->escaped ? json->unescaped.data : json->bytes) + key->at;
}

static bool
same_key(const FluctJson *json, const Key *a, const Key *b)
{
	return a->len == b->len &&
		memcmp(key_text(json, a), key_text(json, b), a->len) == 0;
}

/* The slot that holds the key, or the empty one where it belongs. */
static uint32_t *
find_slot(const FluctJson *json, const Frame *frame, const Key *key)
{
	uint32_t   *table = (uint32_t *) json->slots.data + frame->table;
	const Key  *keys = (const Key *) json->keys.data;
	size_t		mask = frame->table_size - 1;

	for (size_t i = key->hash & mask;; i = (i + 1) & mask)
	{
		if (table[i] == 0 ||
			(keys[table[i] - 1].hash == key->hash &&
			 same_key(json, &keys[table[i] - 1], key)))
			return &table[i];
	}
}

/* Gives the frame, the innermost, a table twice as large as before. */
static void
grow_table(FluctJson *json, Frame *frame)
{
	Key		   *keys = (Key *) json->keys.data;
	size_t		size = frame->table_size * 2;

	if (size == 0)
	{
		size = FIRST_TABLE;
		frame->table = json->slots.count;
		for (size_t i = frame->first_key; i < json->keys.count; i++)
			keys[i].hash = hash_bytes(json, key_text(json, &keys[i]),
									  keys[i].len);
	}
	frame->table_size = size;
	json->slots.count = frame->table;
	memset(reserve(json, &json->slots, size, sizeof(uint32_t)), 0,
		   size * sizeof(uint32_t));
	json->slots.count += size;
	for (size_t i = frame->first_key; i < json->keys.count; i++)
		*find_slot(json, frame, &keys[i]) = (uint32_t) i + 1;
}

/* Adds a key to those of the innermost object; false if it is there. */
static bool
add_key(FluctJson *json, Frame *frame, const Key *added)
{
	Key		   *key = reserve(json, &json->keys, 1, sizeof(Key));
	size_t		count = json->keys.count - frame->first_key;

	*key = *added;
	if (count < FEW_KEYS)
	{
		for (size_t i = 1; i <= count; i++)
			if (same_key(json, key - i, key))
				return false;
	}
	else
	{
		uint32_t   *slot;

		if (count * 2 >= frame->table_size)
			grow_table(json, frame);
		key->hash = hash_bytes(json, key_text(json, key), key->len);
		slot = find_slot(json, frame, key);
		if (*slot != 0)
			return false;
		*slot = (uint32_t) json->keys.count + 1;
	}
	json->keys.count++;
	return true;
}

/*
 * Members
 */

static COLD const char *
refuse_duplicate(FluctJson *json, const Frame *frame)
{
	return refuse(json, FLUCT_DUPLICATE_KEY, frame->key - 1,
				  "the key stands here a second time,");
}

/* The child of the frame's node with this key, or -1. */
static int
find_child(const FluctJson *json, const Frame *frame, const char *key,
		   size_t len)
{
	int			child = NO_NODE;

	if (frame->node >= 0)
		child = node_at(json, frame->node)->first_child;
	while (child >= 0)
	{
		const Node *node = node_at(json, child);

		if (node->len == len && memcmp(node->key, key, len) == 0)
			break;
		child = node->next_sibling;
	}
	return child;
}

/* This child came where another one was guessed. */
static void
learn_order(FluctJson *json, const Frame *frame, int child)
{
	if (!node_at(json, child)->plain)
		return;
	if (frame->last == NO_NODE)
		node_at(json, frame->node)->first_seen = child;
	else
		node_at(json, frame->last)->successor = child;
}

/* The frame's member at hand is this child. */
static inline bool
take_child(FluctJson *json, Frame *frame, int child)
{
	const Node *node = node_at(json, child);

	frame->target = child;
	frame->last = child;
	frame->guess = node->successor;
	if (unlikely(frame->seen & node->bit))
		return false;
	frame->seen |= node->bit;
	return true;
}

/* A key that was not the guessed one; p is behind its opening quote. */
static NOINLINE const char *
read_other_key(FluctJson *json, Frame *frame, const char *p)
{
	const char *end = scan_string(json, p, &frame->key_escaped);
	Key			key;
	int			child;

	if (end == NULL)
		return NULL;
	frame->key = p;
	frame->key_len = end - p;
	key.at = (uint32_t) (p - json->bytes);
	key.len = (uint32_t) (end - p);
	key.hash = 0;
	key.escaped = frame->key_escaped;
	if (key.escaped)
	{
		char	   *out = reserve(json, &json->unescaped, key.len, 1);

		key.at = (uint32_t) json->unescaped.count;
		key.len = (uint32_t) fluct_value_unescape(p, key.len, out);
		json->unescaped.count += key.len;
	}

	child = find_child(json, frame, key_text(json, &key), key.len);
	if (child >= 0 && node_at(json, child)->bit != 0)
	{
		learn_order(json, frame, child);
		if (!take_child(json, frame, child))
			return refuse_duplicate(json, frame);
		return end;
	}
	frame->target = child;
	if (child < 0 && frame->node >= 0 && node_at(json, frame->node)->root)
		frame->target = UNMAPPED;
	if (!add_key(json, frame, &key))
		return refuse_duplicate(json, frame);
	return end;
}

/* From a key's opening quote to the first byte of its value. */
static inline const char *
read_key(FluctJson *json, Frame *frame, const char *p)
{
	const Node *guess;

	frame->key = NULL;
	if (unlikely(p >= json->end || *p != '"'))
		return refuse_found(json, p, "a key");
	p++;
	guess = frame->guess >= 0 ? node_at(json, frame->guess) : NULL;
	if (likely(guess != NULL) && json->end - p > guess->len &&
		p[guess->len] == '"' && memcmp(p, guess->key, guess->len) == 0)
	{
		frame->key = p;
		frame->key_len = guess->len;
		p += guess->len;
		if (!take_child(json, frame, frame->guess))
			return refuse_duplicate(json, frame);
	}
	else if ((p = read_other_key(json, frame, p)) == NULL)
		return NULL;
	p = skip_blanks(p + 1, json->end);
	if (unlikely(p >= json->end || *p != ':'))
		return refuse_found(json, p, "\":\"");
	return skip_blanks(p + 1, json->end);
}

/*
 * Values
 */

static const char *
scan_word(FluctJson *json, const char *p, const char *word, size_t len)
{
	if (json->end - p < (ptrdiff_t) len || memcmp(p, word, len) != 0)
		return refuse_found(json, p, "a value");
	return p + len;
}

/* An object or array begins at p; returns what follows the bracket. */
static const char *
open_container(FluctJson *json, const char *p, int target)
{
	Frame	   *frame;

	if (json->depth == FLUCT_JSON_MAX_DEPTH)
		return refuse(json, FLUCT_TOO_DEEP, p, "more than %d levels",
					  FLUCT_JSON_MAX_DEPTH);
	frame = &json->frames[json->depth++];
	frame->close = *p == '{' ? '}' : ']';
	frame->node = target;
	frame->target = NO_NODE;
	frame->last = NO_NODE;
	frame->guess = NO_NODE;
	frame->seen = 0;
	frame->start = p;
	frame->key = NULL;
	frame->key_len = 0;
	frame->key_escaped = false;
	frame->index = 0;
	frame->first_key = json->keys.count;
	frame->unescaped = json->unescaped.count;
	frame->table_size = 0;
	if (target >= 0)
	{
		const Node *node = node_at(json, target);

		if (*p == '{')
			frame->guess = node->first_seen;
		else if (node->rows >= 0)
			frame->target = sheet_at(json, node->rows)->root;
	}
	return p + 1;
}

/* p is at the bracket that ends the innermost container. */
static inline const char *
close_container(FluctJson *json, const char *p)
{
	const Frame *frame = &json->frames[--json->depth];

	json->keys.count = frame->first_key;
	json->unescaped.count = frame->unescaped;
	if (unlikely(frame->table_size > 0))
		json->slots.count = frame->table;
	keep(json, frame->node,
		 frame->close == '}' ? FLUCT_JSON_OBJECT : FLUCT_JSON_ARRAY,
		 frame->start, p + 1, false);
	return p + 1;
}

/*
 * Reads one value, or the bracket that opens one; *opened says which.
 */
static inline const char *
scan_value(FluctJson *json, const char *p, int target, bool *opened)
{
	const char *start = p;
	FluctJsonType type;
	bool		escaped = false;

	*opened = false;
	if (unlikely(p >= json->end))
		return refuse_found(json, p, "a value");
	switch (*p)
	{
		case '"':
			p = scan_string(json, p + 1, &escaped);
			if (p == NULL)
				return NULL;
			keep(json, target, FLUCT_JSON_STRING, start + 1, p, escaped);
			return p + 1;
		case '{':
		case '[':
			*opened = true;
			return open_container(json, p, target);
		case 't':
			type = FLUCT_JSON_BOOL;
			p = scan_word(json, p, "true", 4);
			break;
		case 'f':
			type = FLUCT_JSON_BOOL;
			p = scan_word(json, p, "false", 5);
			break;
		case 'n':
			type = FLUCT_JSON_NULL;
			p = scan_word(json, p, "null", 4);
			break;
		default:
			if (*p != '-' && !is_digit(*p))
				return refuse_found(json, p, "a value");
			type = FLUCT_JSON_NUMBER;
			p = scan_number(json, p);
			break;
	}
	if (p != NULL)
		keep(json, target, type, start, p, false);
	return p;
}

/*
 * From the end of a value, or from behind an opening bracket, to the first
 * byte of the next value; closes what ends between.  With depth 0 the document
 * is complete.
 */
static inline const char *
next_value(FluctJson *json, const char *p, bool opened)
{
	while (json->depth > 0)
	{
		Frame	   *frame = &json->frames[json->depth - 1];

		p = skip_blanks(p, json->end);
		if (p < json->end && *p == frame->close)
		{
			p = close_container(json, p);
			opened = false;
			continue;
		}
		if (!opened)
		{
			if (unlikely(p >= json->end || *p != ','))
				return refuse_found(json, p, frame->close == '}' ?
									"\",\" or \"}\"" : "\",\" or \"]\"");
			p = skip_blanks(p + 1, json->end);
		}
		if (frame->close == '}')
			return read_key(json, frame, p);
		frame->index++;
		if (frame->target >= 0)
			begin_row(json, sheet_at(json,
									 node_at(json, frame->target)->sheet));
		return p;
	}
	return p;
}

static const char *
scan_document(FluctJson *json, const char *p)
{
	int			target = 0;
	bool		opened;

	p = skip_blanks(p, json->end);
	if (p == json->end)
		return refuse(json, FLUCT_INVALID_JSON, p, "nothing but blanks");
	do
	{
		p = scan_value(json, p, target, &opened);
		if (unlikely(p == NULL))
			return NULL;
		p = next_value(json, p, opened);
		if (unlikely(p == NULL))
			return NULL;
		target = json->frames[json->depth > 0 ? json->depth - 1 : 0].target;
	} while (json->depth > 0);
	p = skip_blanks(p, json->end);
	if (p < json->end)
		return refuse_found(json, p, "the end of the message");
	return p;
}

/* Forgets the last message. */
static void
begin_message(FluctJson *json, const char *bytes, size_t len)
{
	json->bytes = bytes;
	json->end = bytes + len;
	json->depth = 0;
	reset(json, &json->keys, sizeof(Key));
	reset(json, &json->unescaped, 1);
	reset(json, &json->slots, sizeof(uint32_t));
	for (size_t i = 0; i < json->sheets.count; i++)
	{
		Sheet	   *sheet = sheet_at(json, i);

		sheet->type = FLUCT_JSON_ABSENT;
		reset(json, &sheet->rows, sizeof(Row));
		reset(json, &sheet->cells, sizeof(FluctJsonValue));
		reset(json, &sheet->members, sizeof(FluctJsonMember));
	}
	begin_row(json, sheet_at(json, 0));
}

bool
fluct_json_parse(FluctJson *json, const char *bytes, size_t len,
				 FluctRefusal *refusal)
{
	FluctJsonType type;

	json->refusal = refusal;
	begin_message(json, bytes, len);
	if (len > FLUCT_JSON_MAX_LEN)
	{
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$", "%zu bytes", len);
		return false;
	}
	if (scan_document(json, bytes) == NULL)
		return false;
	type = last_row(sheet_at(json, 0))->type;
	if (type != FLUCT_JSON_OBJECT)
	{
		static const char *const names[] = {
			"nothing", "null", "a boolean", "a number", "a string",
			"an array", "an object"
		};

		fluct_refuse(refusal, FLUCT_NOT_AN_OBJECT, "$",
					 "the message is %s", names[type]);
		return false;
	}
	return true;
}

/*
 * Results
 */

const FluctJsonValue *
fluct_json_field(const FluctJson *json, int field)
{
	return fluct_json_cell(json, FLUCT_JSON_ROOT, 0, field);
}

FluctJsonType
fluct_json_rowset_type(const FluctJson *json, int rowset)
{
	return sheet_at(json, rowset + 1)->type;
}

int
fluct_json_row_count(const FluctJson *json, int rowset)
{
	return (int) sheet_at(json, rowset + 1)->rows.count;
}

static const Row *
row_at(const Sheet *sheet, int row)
{
	return (const Row *) sheet->rows.data + row;
}

FluctJsonType
fluct_json_row_type(const FluctJson *json, int rowset, int row)
{
	return row_at(sheet_at(json, rowset + 1), row)->type;
}

const FluctJsonValue *
fluct_json_cell(const FluctJson *json, int rowset, int row, int field)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);
	uint32_t	cells = row_at(sheet, row)->cells;

	if (cells == NO_CELLS)
		return &absent_value;
	return (const FluctJsonValue *) sheet->cells.data + cells + field;
}

const FluctJsonMember *
fluct_json_unmapped(const FluctJson *json, int rowset, int row, int *count)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);
	const Row  *found = row_at(sheet, row);

	*count = (int) found->members;
	return (const FluctJsonMember *) sheet->members.data +
		found->first_member;
}

/*
 * Paths
 */

typedef struct Step
{
	char	   *key;
	size_t		len;
} Step;

/* A path taken apart: `start` is `$` or `@`. */
typedef struct Path
{
	char		start;
	bool		rows;			/* ends in `[*]` */
	int			count;
	Step		steps[FLUCT_JSON_MAX_DEPTH];
} Path;

static int
add_node(FluctJson *json, int sheet)
{
	Node	   *node = reserve(json, &json->nodes, 1, sizeof(Node));

	memset(node, 0, sizeof(Node));
	node->sheet = sheet;
	node->field = node->rows = -1;
	node->first_child = node->next_sibling = NO_NODE;
	node->first_seen = node->successor = NO_NODE;
	return (int) json->nodes.count++;
}

/* A sheet, with the node of its elements. */
static int
add_sheet(FluctJson *json)
{
	Sheet	   *sheet = reserve(json, &json->sheets, 1, sizeof(Sheet));
	int			number = (int) json->sheets.count++;

	memset(sheet, 0, sizeof(Sheet));
	sheet->root = add_node(json, number);
	node_at(json, sheet->root)->root = true;
	return number;
}

/* Does the key stand in every message as it does here? */
static bool
is_plain(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) key[i] < 0x20 || key[i] == '"' || key[i] == '\\')
			return false;
	return true;
}

/* The child of a node with that key, made if need be. */
static int
add_child(FluctJson *json, int parent, const Step *step)
{
	int			child = node_at(json, parent)->first_child;
	int			last = NO_NODE;
	int			count = 0;
	Node	   *node;

	for (; child >= 0; child = node_at(json, child)->next_sibling, count++)
	{
		node = node_at(json, child);
		if (node->len == step->len &&
			memcmp(node->key, step->key, step->len) == 0)
			return child;
		last = child;
	}
	child = add_node(json, node_at(json, parent)->sheet);
	node = node_at(json, child);
	node->key = step->key;
	node->len = (uint32_t) step->len;
	node->plain = is_plain(step->key, step->len);
	node->bit = count < SEEN_BITS ? UINT64_C(1) << count : 0;
	if (last >= 0)
		node_at(json, last)->next_sibling = child;
	else
		node_at(json, parent)->first_child = child;
	return child;
}

/* A string of a path, from behind its first quote: checked as in a message. */
static const char *
read_quoted_step(FluctJson *json, const char *p, Step *step)
{
	FluctRefusal ignored;
	bool		escaped;
	const char *end;

	json->bytes = p;
	json->end = p + strlen(p);
	json->refusal = &ignored;
	json->depth = 0;
	end = scan_string(json, p, &escaped);
	if (end == NULL || end[1] != ']')
		return NULL;
	step->key = resize(json, NULL, end - p + 1);
	step->len = fluct_value_unescape(p, end - p, step->key);
	return end + 2;
}

static const char *
read_plain_step(FluctJson *json, const char *p, Step *step)
{
	const char *end = p + strlen(p);
	const char *start = p;

	while (p < end && strchr(".[]\"'* ", *p) == NULL)
	{
		int			length = fluct_value_utf8_char(p, end);

		if (length == 0 || (unsigned char) *p < 0x20)
			return NULL;
		p += length;
	}
	if (p == start)
		return NULL;
	step->len = p - start;
	step->key = resize(json, NULL, step->len + 1);
	memcpy(step->key, start, step->len);
	return p;
}

static bool
read_path(FluctJson *json, const char *p, Path *path)
{
	path->start = *p;
	path->rows = false;
	path->count = 0;
	if (*p != '$' && *p != '@')
		return false;
	for (p++; p != NULL && *p != '\0' && !path->rows;)
	{
		Step	   *step = &path->steps[path->count];

		if (strcmp(p, "[*]") == 0)
		{
			path->rows = true;
			break;
		}
		if (path->count++ == FLUCT_JSON_MAX_DEPTH)
			return false;
		if (*p == '.')
			p = read_plain_step(json, p + 1, step);
		else if (p[0] == '[' && p[1] == '"')
			p = read_quoted_step(json, p + 2, step);
		else
			return false;
	}
	return p != NULL;
}

static int
add_path(FluctJson *json, int sheet, const Path *path)
{
	int			node = sheet_at(json, sheet)->root;

	for (int i = 0; i < path->count; i++)
		node = add_child(json, node, &path->steps[i]);
	return node;
}

FluctJson  *
fluct_json_create(const FluctAllocator *allocator)
{
	FluctJson  *json = allocator->resize(allocator->arg, NULL,
										 sizeof(FluctJson));

	memset(json, 0, sizeof(FluctJson));
	json->allocator = *allocator;
	json->secret[0] = (uint64_t) (uintptr_t) json ^ (uint64_t) time(NULL) << 32;
	json->secret[1] = (uint64_t) (uintptr_t) & json ^ (uint64_t) clock() << 40;
	(void) add_sheet(json);
	return json;
}

int
fluct_json_add_rowset(FluctJson *json, const char *path)
{
	Path		steps;
	int			node;

	if (!read_path(json, path, &steps) || steps.start != '$' || !steps.rows ||
		steps.count == 0)
		return -1;
	node = add_path(json, 0, &steps);
	if (node_at(json, node)->rows < 0)
	{
		int			sheet = add_sheet(json);

		node_at(json, node)->rows = sheet;
	}
	return node_at(json, node)->rows - 1;
}

int
fluct_json_add_field(FluctJson *json, int rowset, const char *path)
{
	Path		steps;
	Node	   *node;

	if (rowset < FLUCT_JSON_ROOT ||
		rowset + 1 >= (int) json->sheets.count ||
		!read_path(json, path, &steps) || steps.rows ||
		steps.start != (rowset == FLUCT_JSON_ROOT ? '$' : '@'))
		return -1;
	node = node_at(json, add_path(json, rowset + 1, &steps));
	if (node->field < 0)
		node->field = sheet_at(json, rowset + 1)->fields++;
	return node->field;
}
