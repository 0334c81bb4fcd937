/*
 * wait.c - the one function that waits.
 *
 * Promises that no wake-up between the test of a condition and the wait is
 * lost, and that a deadline is never stretched: once it has passed no call
 * answers OK, however much a peer trickles.  ERROR_SYSTEM if the kernel refuses.
 */
#include "common/wait.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "common/clock.h"

static void woken(int number)
{
	(void)number; /* it has ended ppoll(2), and that is all it is for */
}

void wait_setup(void)
{
	struct sigaction action = { .sa_handler = woken }; /* no SA_RESTART */
	sigset_t wake;
	int rc;

	sigemptyset(&action.sa_mask);
	rc = sigaction(WAKE_SIGNAL, &action, NULL);
	assert(rc == 0);
	sigemptyset(&wake);
	sigaddset(&wake, WAKE_SIGNAL);
	rc = pthread_sigmask(SIG_BLOCK, &wake, NULL);
	assert(rc == 0);
	(void)rc;
}

void wait_wake(pthread_t thread)
{
	int rc = pthread_kill(thread, WAKE_SIGNAL);

	/* EAGAIN: the queue of signals is full, so one is pending anyway */
	assert(rc == 0 || rc == EAGAIN);
	(void)rc;
}

void wait_wake_number(pid_t process, pid_t thread)
{
	int rc = tgkill(process, thread, WAKE_SIGNAL);

	assert(rc == 0 || errno == EAGAIN || errno == ESRCH);
	(void)rc;
}

/* Of this thread, with WAKE_SIGNAL let in; once it is kept. */
static _Thread_local sigset_t kept_mask;
static _Thread_local bool mask_is_kept;

static void ask_mask(sigset_t *mask)
{
	pthread_sigmask(SIG_BLOCK, NULL, mask);
	sigdelset(mask, WAKE_SIGNAL);
}

void wait_keep_mask(void)
{
	ask_mask(&kept_mask);
	mask_is_kept = true;
}

static _Thread_local void (*rest)(void);

void wait_rest_with(void (*give_back)(void))
{
	rest = give_back;
}

static bool called_off(const struct interrupt *interrupt)
{
	return interrupt && interrupt->level && atomic_load(interrupt->level) >= interrupt->threshold;
}

static bool has_descriptor(const struct pollfd *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (fds[i].fd >= 0)
			return true;
	return false;
}

/* ppoll until ready, woken (errno EINTR) or for timeout_us, -1 = no limit; as poll(2). */
static int poll_once(struct pollfd *fds, unsigned count, int64_t timeout_us)
{
	struct timespec left = { .tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000 };
	sigset_t asked;

	if (!mask_is_kept)
		ask_mask(&asked);
	return ppoll(fds, count, timeout_us < 0 ? NULL : &left, mask_is_kept ? &kept_mask : &asked);
}

enum error wait_briefly(struct pollfd *fds, unsigned count, int64_t timeout_us)
{
	int ready = poll_once(fds, count, timeout_us);

	if (ready > 0)
		return OK;
	if (ready == 0)
		return ERROR_TIMEOUT;
	return errno == EINTR ? ERROR_UNAVAILABLE : ERROR_SYSTEM;
}

enum error wait_for_any(struct pollfd *fds, unsigned count, int64_t deadline_ms,
                        const struct interrupt *interrupt)
{
	bool may_rest = rest != NULL;

	for (;;) {
		int left_ms, ready;

		if (called_off(interrupt))
			return ERROR_INTERRUPTED;
		left_ms = deadline_left_ms(deadline_ms);
		if (left_ms == 0)
			return ERROR_TIMEOUT;
		if (may_rest && (left_ms < 0 || left_ms > WAIT_LONG_MS))
			left_ms = WAIT_LONG_MS;
		ready = poll_once(fds, count, left_ms < 0 ? -1 : left_ms * INT64_C(1000));
		if (ready > 0)
			return OK;
		if (ready == 0 && may_rest && left_ms == WAIT_LONG_MS) {
			rest();
			may_rest = false;
		}
		if (ready == 0)
			continue; /* the deadline, or the cap of an int */
		if (errno != EINTR)
			return ERROR_SYSTEM;
		if (called_off(interrupt))
			return ERROR_INTERRUPTED;
		if (!has_descriptor(fds, count))
			return ERROR_UNAVAILABLE;
	}
}

enum error wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt)
{
	struct pollfd one = { .fd = fd, .events = events };
	enum error error = wait_for_any(&one, fd >= 0, deadline_ms, interrupt);

	return error == OK && one.revents & POLLNVAL ? ERROR_SYSTEM : error;
}
