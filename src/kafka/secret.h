/*-------------------------------------------------------------------------
 *
 * secret.h
 *	  The files of secrets that user mappings name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_SECRET_H
#define FLUCT_KAFKA_SECRET_H

#include "postgres.h"

/* The longest secret, and the longest PEM, in bytes. */
#define FLUCT_MAX_SECRET	65536

/* NAME of file:NAME, or NULL. */
extern const char *fluct_secret_file(const char *value);

/* Whether it may be NAME; an ERROR names the option if not. */
extern void fluct_secret_check_name(const char *option, const char *name);

/*
 * The content of that file in the role's folder, without line ends behind it, in
 * the current memory context.  Errors name the option and the role, and nothing
 * of the content.
 */
extern char *fluct_secret_read(const char *option, const char *file,
							   const char *role);

#endif							/* FLUCT_KAFKA_SECRET_H */
