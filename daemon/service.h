/*
 * service.h - the service process: the monitor's child that does the work.
 */
#ifndef OUTBOXD_DAEMON_SERVICE_H
#define OUTBOXD_DAEMON_SERVICE_H

#include "run/configuration.h"

struct crash_note;

/*
 * The words between monitor and service: single octets on a socketpair
 * (SOCK_STREAM). Its end of file means stop now.
 */
enum service_word {
	/* monitor to service */
	WORD_STOP = 's',     /* SIGTERM, SIGINT */
	WORD_STOP_NOW = 'S', /* the second one */
	WORD_RELOAD = 'r',   /* SIGHUP */
	WORD_STATUS = 'u',   /* SIGUSR1 */
	/* service to monitor */
	WORD_READY = 'R',    /* daemon.ready: every outbox was opened once */
	WORD_ALIVE = 'a',    /* the heartbeat, once a second */
	WORD_STOPPING = 't', /* a stop has begun */
};

/* Exit status of a service that wants to be started anew (a worker has stalled). */
#define SERVICE_EXIT_AGAIN 90

/*
 * Runs the service until it is told to stop; in the child, right after the
 * fork. options are for SIGHUP (read again). restarted: an earlier service of
 * this monitor was ready already, so a refused file is storage.failed, not an
 * exit. why (NULL at the first start) is what ended the one before: told as service.crashed.
 * Returns the exit status: 0, SERVICE_EXIT_AGAIN, or sysexits.h (73, 75, 77, 78).
 */
struct service_start {
	struct config *config;
	const struct config_options *options;
	int monitor_fd;
	bool restarted;
	const char *why;
	struct crash_note *note; /* where a crash is noted; may be NULL */
};
int service_run(const struct service_start *start);

#endif
