/*
 * monitor.h - the process that watches the service and starts it again.
 *
 * One thread, no database. If it dies the service dies with it, at once. It
 * waits for an old service's end before it starts a new one. It alone speaks to
 * the service manager.
 */
#ifndef OUTBOXD_DAEMON_MONITOR_H
#define OUTBOXD_DAEMON_MONITOR_H

#include "daemon/service.h"

struct monitor_settings {
	struct config *config;
	const struct config_options *options;
	int (*run)(const struct service_start *start); /* service_run, or a test's */
	int ready_fd; /* --daemon: a 0 octet is written here at daemon.ready; -1 = none */
};

/*
 * Runs until told to stop; returns outboxd's exit status. Never in a process that
 * has threads (it forks without exec).
 */
int monitor_run(const struct monitor_settings *settings);

#endif
