/*
 * descriptors.c - the limit of open files, see descriptors.h.
 */
#include "daemon/descriptors.h"

#include <sys/resource.h>

#include "daemon/loader_line.h"

#define A_SESSION 2 /* socket, spool file */
/*
 * The process beside sessions: its own (standard streams, monitor, signals, news, log, figures, files that
 * libraries read), 64 log files of tenants, and for each loader, also those that a mount holds up, a folder
 * and a file or both ends of a program's pipe.
 */
#define THE_PROCESS (32 + 64 + 2 * (LOADER_THREADS + LOADER_LATE_MAX))
/*
 * 11 connections with two files each and the -shm that they share, the lock, the journal, inotify, letters to
 * the supervisor and to the storage threads; a few while files are checked.
 */
#define AN_OUTBOX 40

int64_t descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return -1;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
		return -1;
	return (int64_t)limit.rlim_cur;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

struct descriptor_share descriptors_share(int64_t limit, size_t databases, int max_workers, int max_probes)
{
	int64_t others = THE_PROCESS + (int64_t)databases * AN_OUTBOX;
	int64_t of_sessions = limit - least(others, limit / 2), sessions = of_sessions / A_SESSION;
	int64_t probes = least(max_probes, sessions / 8);
	int64_t workers = least(max_workers, sessions - 2 * probes);

	if (limit < 0)
		return (struct descriptor_share){ max_workers, max_probes, INT32_MAX };
	return (struct descriptor_share){ .workers = workers > 0 ? (int)workers : 1,
		                          .probes = probes > 0 ? (int)probes : 1,
		                          .files = (int)(of_sessions - (workers + 2 * probes) * A_SESSION) };
}
