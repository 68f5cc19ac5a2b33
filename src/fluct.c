/*-------------------------------------------------------------------------
 *
 * fluct.c
 *	  _PG_init: wires everything; nobody includes this file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;
