/*
 * fault.h - places where a test build (--enable-fault-injection) fails on purpose.
 *
 * The environment names them, OUTBOXD_FAULT="POINT:TENANT:N[:ACTION],…" = at the Nth
 * passage of the tenant (in each process), N+ = at that and each later one, * = any
 * tenant. Points: worker-end worker-stall deliver-taken (a message is in hand),
 * deliver-compose (it was read), deliver-mail (before MAIL), deliver-data (all but the end of the
 * data is given), deliver-past-end (the end may go), each of the latter also as stall-… and error-…
 * (the step fails; not compose), supervisor (a result is judged), storage (a batch is committed), settled
 * (it is, and nobody has heard of it), heartbeat (tenant -), journal (a slot was changed), unheard (a
 * change of its settings is passed over), stalling (its worker has stalled), late (its worker is past its
 * deadline: there is no grace), and what older tests name. Actions: end (pthread_exit deep
 * inside), abort, segv (a wild pointer), overflow (of the stack), stall (which removes the file
 * OUTBOXD_FAULT_TOKEN, if there is one), kill (SIGKILL by whoever can remove it), wait (who can remove it
 * goes on when it is there again); without one the point's own. NAME=NUMBER
 * changes a figure: heartbeat-lost-ms=2000, metrics-ms (how often figures are written), count-us (what
 * counting a queue costs), turn-ms (of a tenant that keeps its place), restart-most-ms (between two
 * services), poll-ms, scan-ms, give-up-ms, aside-ms (in which who was told to leave has to end),
 * disk-hang-ms, stall-drain-ms, commit-ms, quick-us (an answer after which the next message is read ahead),
 * slots (of the in-flight journal, to be handed out), wal-held-bytes, wal-held-ms, spare-files
 * (descriptors.h). In any other build there is nothing here.
 */
#ifndef OUTBOXD_DAEMON_FAULT_H
#define OUTBOXD_DAEMON_FAULT_H

#include <stdbool.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef WITH_FAULT_INJECTION
/* Whether the fault is to happen now; its action, if it has one, happens inside. Any thread. */
bool fault_here(const char *point, const char *tenant);

/* A figure that a test may set, else usual. */
int fault_number(const char *name, int usual);
#else
static inline bool fault_here(const char *point, const char *tenant)
{
	(void)point;
	(void)tenant;
	return false;
}

static inline int fault_number(const char *name, int usual)
{
	(void)name;
	return usual;
}
#endif

#endif
