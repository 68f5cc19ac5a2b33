/*-------------------------------------------------------------------------
 *
 * vitals.h
 *	  What only the server knows about itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_VITALS_H
#define FLUCT_PROCESS_VITALS_H

/*
 * A line in the log if the extension in this database is of another version
 * than this library, once in the life of the process; within a transaction.
 */
extern void fluct_vitals_tell_version(void);

#endif							/* FLUCT_PROCESS_VITALS_H */
