/*-------------------------------------------------------------------------
 *
 * trouble.h
 *	  What went wrong last with the brokers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_TROUBLE_H
#define FLUCT_KAFKA_TROUBLE_H

#include "postgres.h"

#include "utils/timestamp.h"

struct rd_kafka_s;

/* A word, a fact, and when. */
typedef struct FluctTrouble
{
	char		reason[32];		/* "" = nothing */
	char		detail[192];
	TimestampTz at;
	int			lost_partition; /* its offset is not in Kafka's log; or -1 */
} FluctTrouble;

extern const FluctTrouble *fluct_kafka_trouble(void);
extern void fluct_kafka_clear_trouble(void);

/*
 * Whether something happened since fluct_kafka_assign after which a topic may
 * be another one of the same name: an established connection was lost, or a
 * broker did not know a partition.
 */
extern bool fluct_kafka_in_doubt(void);

/*
 * Whether a login to Kafka 4 fails because of this version of librdkafka,
 * while the broker says that the user name or the password is wrong.
 */
extern bool fluct_kafka_has_old_scram(void);

/*
 * For consumer.c.  A client is about to be opened; the brokers answered; the
 * partitions are assigned again.
 */
extern void fluct_trouble_begin(bool old_scram);
extern void fluct_trouble_connected(void);
extern void fluct_trouble_clear_doubt(void);

/* Notes an rd_kafka_resp_err_t; detail NULL = librdkafka's words for it. */
extern void fluct_trouble_note(int error, const char *detail);
extern void fluct_trouble_note_loss(int partition);

/* Whether ACLs refuse the group, which only the mirror needs. */
extern bool fluct_trouble_group_refused(void);

/* librdkafka's callbacks. */
extern void fluct_trouble_on_error(struct rd_kafka_s *client, int error,
								   const char *reason, void *opaque);
extern void fluct_trouble_on_log(const struct rd_kafka_s *client, int level,
								 const char *facility, const char *line);

#endif							/* FLUCT_KAFKA_TROUBLE_H */
