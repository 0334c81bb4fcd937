/*
 * monitor.c - see monitor.h.
 *
 * Trouble and its outcome: the service dies of a signal, ends on purpose
 * (SERVICE_EXIT_AGAIN) or gives no heartbeat → it is started anew, at once, and
 * with a growing delay if it fails again soon; it refuses to start (73, 75, 77, 78)
 * before anything was ready → its status is ours.
 */
#include "daemon/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "daemon/crash.h"
#include "daemon/fault.h"
#include "daemon/notify.h"

#define HEARTBEAT_LOST_MS  30000
#define SOON_MS            60000
#define STARTS_AT_ONCE     2 /* a message that crashes us does so twice, and is then known by name */
#define DELAY_FIRST_MS     100
#define DELAY_MAX_MS       30000
#define TRIES_BEFORE_READY 5

struct monitor {
	const struct monitor_settings *settings;
	int signal_fd;
	sigset_t old_mask;
	pid_t service;
	int service_fd;
	bool ready; /* some service of ours was */
	bool stopping;
	bool reloaded; /* by SIGHUP, at any time */
	int stops;     /* signals that asked for it */
	int failures;  /* in a row, each soon after the last */
	int64_t started_ms, heard_ms, watchdog_ms, silence_ms;
	struct crash_note *note; /* the service's handler of fatal signals writes it; NULL = none */
	bool killed_for_silence;
	struct words why;
};

static void open_signals(struct monitor *monitor)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &monitor->old_mask);
	monitor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The child: its own process group, and no life without the monitor. */
static int be_service(struct monitor *monitor, pid_t parent, int fd)
{
	struct service_start start = {
		.config = monitor->settings->config,
		.options = monitor->settings->options,
		.monitor_fd = fd,
		.note = monitor->note,
		.restarted = monitor->ready,
		.why = monitor->why.text[0] ? monitor->why.text : NULL,
	};

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EX_SOFTWARE);
	close(monitor->signal_fd);
	if (monitor->settings->ready_fd >= 0)
		close(monitor->settings->ready_fd);
	sigprocmask(SIG_SETMASK, &monitor->old_mask, NULL);
	return monitor->settings->run(&start);
}

static void tell(struct monitor *monitor, enum service_word word)
{
	char octet = (char)word;

	/* If it cannot hear us any more its end is on the way as SIGCHLD. */
	if (monitor->service > 0)
		(void)!send(monitor->service_fd, &octet, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool start_service(struct monitor *monitor)
{
	pid_t parent = getpid();
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return false;
	if (monitor->note)
		memset(monitor->note, 0, sizeof(*monitor->note));
	monitor->service = fork();
	if (monitor->service == 0) {
		close(fds[0]);
		exit(be_service(monitor, parent, fds[1]));
	}
	close(fds[1]);
	if (monitor->service < 0) {
		close(fds[0]);
		return false;
	}
	monitor->service_fd = fds[0];
	monitor->started_ms = monitor->heard_ms = clock_monotonic_ms();
	monitor->killed_for_silence = false;
	/* It was made with the first settings: what was reread since counts for it too. */
	if (monitor->reloaded)
		tell(monitor, WORD_RELOAD);
	return true;
}

static void hear_signals(struct monitor *monitor)
{
	struct signalfd_siginfo info;

	while (read(monitor->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			monitor->stopping = true;
			notify("STOPPING=1");
			tell(monitor, monitor->stops++ == 0 ? WORD_STOP : WORD_STOP_NOW);
			break;
		case SIGHUP:
			monitor->reloaded = true;
			tell(monitor, WORD_RELOAD);
			break;
		case SIGUSR1: tell(monitor, WORD_STATUS); break;
		default: /* SIGCHLD: reap() looks */ break;
		}
	}
}

static void become_ready(struct monitor *monitor)
{
	monitor->ready = true;
	notify("READY=1");
	if (monitor->settings->ready_fd >= 0)
		(void)!write(monitor->settings->ready_fd, "", 1);
}

static void hear_service(struct monitor *monitor)
{
	char words[64];
	ssize_t count = recv(monitor->service_fd, words, sizeof(words), MSG_DONTWAIT);

	for (ssize_t i = 0; i < count; i++) {
		monitor->heard_ms = clock_monotonic_ms();
		if (words[i] == WORD_READY)
			become_ready(monitor);
		else if (words[i] == WORD_STOPPING)
			notify("STOPPING=1");
	}
}

static bool ends_us(const struct monitor *monitor, int status)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) == SERVICE_EXIT_AGAIN)
		return monitor->stopping;
	return monitor->stopping || WEXITSTATUS(status) == EX_OK || !monitor->ready;
}

static void describe_end(struct monitor *monitor, int status)
{
	if (monitor->killed_for_silence)
		words_set(&monitor->why, "it gave no heartbeat for %d s and was killed",
		          (int)(monitor->silence_ms / 1000));
	else if (WIFSIGNALED(status) && monitor->note)
		crash_describe(monitor->note, WTERMSIG(status), &monitor->why);
	else if (WIFSIGNALED(status))
		words_set(&monitor->why, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == SERVICE_EXIT_AGAIN)
		words_set(&monitor->why, "a worker did not move");
	else
		words_set(&monitor->why, "exit status %d", WEXITSTATUS(status));
}

/* Waits out the delay before the next start; a stop cuts it short. */
static void wait_before_start(struct monitor *monitor)
{
	int doublings = monitor->failures - STARTS_AT_ONCE - 1;
	int64_t delay = doublings < 0 ? 0 : DELAY_FIRST_MS << (doublings < 9 ? doublings : 9);
	int64_t most = fault_number("restart-most-ms", DELAY_MAX_MS);
	int64_t until = deadline_after_ms(delay > most ? most : delay);

	while (!monitor->stopping && deadline_left_ms(until) > 0) {
		struct pollfd fd = { .fd = monitor->signal_fd, .events = POLLIN };

		poll(&fd, 1, deadline_left_ms(until));
		hear_signals(monitor);
	}
}

/* After a service's end: true to go on with a new one, else *status is ours. */
static bool go_on(struct monitor *monitor, int end, int *status)
{
	bool soon = clock_monotonic_ms() - monitor->started_ms < SOON_MS;

	close(monitor->service_fd);
	monitor->service = 0;
	monitor->service_fd = -1;
	if (ends_us(monitor, end)) {
		*status = WIFEXITED(end) && WEXITSTATUS(end) != SERVICE_EXIT_AGAIN ? WEXITSTATUS(end) : EX_OK;
		return false;
	}
	describe_end(monitor, end);
	monitor->failures = soon ? monitor->failures + 1 : 1;
	if (!monitor->ready && monitor->failures >= TRIES_BEFORE_READY) {
		fprintf(stderr, "outboxd: the service ended %d times before it was ready: %s\n",
		        monitor->failures, monitor->why.text);
		*status = EX_SOFTWARE;
		return false;
	}
	wait_before_start(monitor);
	*status = EX_OK;
	return !monitor->stopping;
}

static void watch_heart(struct monitor *monitor)
{
	int64_t now = clock_monotonic_ms();

	if (monitor->watchdog_ms > 0 && now - monitor->heard_ms < monitor->silence_ms)
		notify("WATCHDOG=1");
	if (now - monitor->heard_ms < monitor->silence_ms || monitor->killed_for_silence)
		return;
	monitor->killed_for_silence = true;
	kill(monitor->service, SIGKILL);
}

/* Watches one service to its end; returns its wait status. */
static int watch(struct monitor *monitor)
{
	int status = 0;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = monitor->signal_fd, .events = POLLIN },
			{ .fd = monitor->service_fd, .events = POLLIN },
		};
		int timeout = monitor->watchdog_ms > 0 && monitor->watchdog_ms < 1000
		                      ? (int)monitor->watchdog_ms
		                      : 1000;

		if (poll(fds, 2, timeout) < 0 && errno != EINTR)
			return 0;
		hear_signals(monitor);
		hear_service(monitor);
		if (waitpid(monitor->service, &status, WNOHANG) == monitor->service)
			return status;
		/* Its end of the words is closed: the end itself is a matter of moments. */
		if (fds[1].revents & POLLHUP)
			poll(NULL, 0, 10);
		watch_heart(monitor);
	}
}

int monitor_run(const struct monitor_settings *settings)
{
	struct monitor monitor = {
		.settings = settings,
		.service_fd = -1,
		.watchdog_ms = notify_watchdog_ms(),
		.silence_ms = fault_number("heartbeat-lost-ms", HEARTBEAT_LOST_MS),
		.note = crash_note_create(),
	};
	int status = EX_OK;

	open_signals(&monitor);
	do {
		if (!start_service(&monitor)) {
			fprintf(stderr, "outboxd: cannot start the service: %s\n", strerror(errno));
			status = EX_OSERR;
			break;
		}
	} while (go_on(&monitor, watch(&monitor), &status));
	close(monitor.signal_fd);
	sigprocmask(SIG_SETMASK, &monitor.old_mask, NULL);
	crash_note_destroy(&monitor.note);
	return status;
}
