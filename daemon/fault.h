/*
 * fault.h - places where a test build (--enable-fault-injection) fails on purpose.
 *
 * The environment names them: OUTBOXD_FAULT="worker-end:acme:2,…" = at the second
 * passage of tenant acme. In any other build there is nothing here.
 */
#ifndef OUTBOXD_DAEMON_FAULT_H
#define OUTBOXD_DAEMON_FAULT_H

#include <stdbool.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef WITH_FAULT_INJECTION
/* Whether the fault is to happen now. Any thread. */
bool fault_here(const char *point, const char *tenant);
#else
static inline bool fault_here(const char *point, const char *tenant)
{
	(void)point;
	(void)tenant;
	return false;
}
#endif

#endif
