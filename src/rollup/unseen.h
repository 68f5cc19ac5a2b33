/*-------------------------------------------------------------------------
 *
 * unseen.h
 *	  What the rollup's triggers do not see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_UNSEEN_H
#define FLUCT_ROLLUP_UNSEEN_H

#include "commands/trigger.h"
#include "utils/rel.h"

/* Whether the AFTER trigger that books this statement's changes will fire. */
extern bool fluct_unseen_is_booked(const TriggerData *data);

/*
 * Marks the rollup as not valid if rows of the table (orders, or else the
 * industries of customers) can come and go without its triggers.  Called with
 * the rights of the rollup's owner.
 */
extern void fluct_unseen_note(Relation relation, bool is_orders);

#endif							/* FLUCT_ROLLUP_UNSEEN_H */
