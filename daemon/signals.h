/*
 * signals.h - SIGTERM, SIGINT, SIGHUP and SIGUSR1 of the service, as octets of a pipe.
 *
 * Of a signalfd(2) the kernel wakes the reader at each signal that any thread of the process gets, and
 * workers are woken by signals: it would run for each of them.
 */
#ifndef OUTBOXD_DAEMON_SIGNALS_H
#define OUTBOXD_DAEMON_SIGNALS_H

/*
 * Once a process, before its threads are started (thread.h), which do not hear them: a descriptor that is
 * readable when there is one, -1 without any. SIGPIPE and SIGXFSZ are ignored from then on: a file beyond the
 * limit of its size is a write that fails.
 */
int signals_open(void);

/* The next one's number, 0 = none. Does not block. */
int signals_next(int fd);

#endif
