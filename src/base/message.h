/*-------------------------------------------------------------------------
 *
 * message.h
 *	  The vocabulary that every layer shares.
 *
 * It needs nothing of PostgreSQL, so that the pure folders (base, json, csv)
 * can be compiled and fuzzed without a server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BASE_MESSAGE_H
#define FLUCT_BASE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Longest path and detail that a refusal carries; longer ones are truncated. */
#define FLUCT_PATH_LEN		256
#define FLUCT_DETAIL_LEN	256

/*
 * Why a message can never be stored.  The order is that of the table in
 * refusal.c, which gives each its word and its SQLSTATE.
 */
typedef enum FluctReason
{
	FLUCT_OK = 0,
	FLUCT_EMPTY_VALUE,
	FLUCT_INVALID_JSON,
	FLUCT_INVALID_ENCODING,
	FLUCT_NUL,
	FLUCT_NOT_AN_OBJECT,
	FLUCT_DUPLICATE_KEY,
	FLUCT_MISSING_FIELD,
	FLUCT_NULL_FIELD,
	FLUCT_WRONG_TYPE,
	FLUCT_NOT_FINITE,
	FLUCT_OUT_OF_RANGE,
	FLUCT_BAD_TIMESTAMP,
	FLUCT_EMPTY_KEY,
	FLUCT_TOO_LONG,
	FLUCT_TOO_DEEP,
	FLUCT_TOO_LARGE,
	FLUCT_CONSTRAINT,
	FLUCT_TRIGGER
} FluctReason;

/* How much is kept of a message that is too large: of key, value, headers. */
#define FLUCT_KEPT_OF_TOO_LARGE	65536

/* In place of the length of a message of which only that is left. */
#define FLUCT_LENGTH_UNKNOWN	SIZE_MAX

/* A refusal: the reason, where in the message, and what was found there. */
typedef struct FluctRefusal
{
	FluctReason reason;
	char		sqlstate[6];
	char		path[FLUCT_PATH_LEN];
	char		detail[FLUCT_DETAIL_LEN];
} FluctRefusal;

/* What became of a message. */
typedef enum FluctOutcome
{
	FLUCT_PENDING = 0,
	FLUCT_STORED,
	FLUCT_DUPLICATE,
	FLUCT_DEAD,
	FLUCT_TOMBSTONE,
	FLUCT_FILTERED				/* the mapping's "where" does not mean it */
} FluctOutcome;

/*
 * The time of a message that was kept without one: it had none, or one beyond
 * PostgreSQL's.
 */
#define FLUCT_TIME_NOT_KEPT	(-2)

/*
 * A message as Kafka delivered it, in the batch's memory.  One that is longer
 * than fluct.max_message_bytes, with its key and headers, is cut: full_len is
 * then its true length, and else value_len.
 */
typedef struct FluctMessage
{
	const char *topic;			/* outlives the message */
	int32_t		partition;
	int64_t		offset;
	int64_t		time_ms;		/* since 1970, UTC; -1 = none */
	const char *key;			/* NULL = none */
	size_t		key_len;
	const char *value;			/* NULL = tombstone */
	size_t		value_len;
	size_t		full_len;
	const char *headers;		/* JSON array of {"key", "value"}, or NULL */
	FluctOutcome outcome;
	FluctRefusal *refusal;		/* why it is dead, or NULL */
} FluctMessage;

/* Bytes that the message holds in memory, its headers too. */
static inline size_t
fluct_message_bytes(const FluctMessage *message)
{
	return message->key_len + message->value_len +
		(message->headers ? strlen(message->headers) : 0);
}

/* The caller's allocator: grows p to size bytes or does not return. */
typedef struct FluctAllocator
{
	void	   *(*resize) (void *arg, void *p, size_t size);
	void	   *arg;
} FluctAllocator;

#endif							/* FLUCT_BASE_MESSAGE_H */
