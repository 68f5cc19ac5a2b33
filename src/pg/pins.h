/*-------------------------------------------------------------------------
 *
 * pins.h
 *	  The settings under which values are read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_PINS_H
#define FLUCT_PG_PINS_H

/* For the rest of the process. */
extern void fluct_pins_set(void);

/*
 * Until the current nest level of settings ends (fluct_rights_give_back).
 * Nothing to do in a process that has called fluct_pins_set: what users' code
 * sets there ends with such a level, too.
 */
extern void fluct_pins_set_here(void);

#endif							/* FLUCT_PG_PINS_H */
