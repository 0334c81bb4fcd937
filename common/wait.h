/*
 * wait.h - the one function that waits.
 *
 * Every thread that waits for a descriptor, a signal of another thread or the
 * time does it here.  Threads of the service block WAKE_SIGNAL; it is let in
 * only inside wait_for(), so that a wake-up between the test of a condition
 * and the wait is never lost (ppoll(2)).
 */
#ifndef OUTBOXD_COMMON_WAIT_H
#define OUTBOXD_COMMON_WAIT_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define WAKE_SIGNAL SIGUSR2

/*
 * Who may call off a wait.  level is written by another thread, which then
 * wakes the waiter with wait_wake(); the wait ends with ERROR_INTERRUPTED once
 * *level >= threshold.  The owner of the waiting thread moves the threshold
 * (a transaction past the end of its data is only called off by a higher level).
 */
struct interrupt {
	const atomic_int *level;
	int threshold;
};

/*
 * Installs the empty handler of WAKE_SIGNAL; once a process, before any
 * thread.  Blocks WAKE_SIGNAL in the calling thread and so in all it starts.
 */
void wait_setup(void);

/* The calling thread never changes its signal mask from now on, so that its waits need not ask for it. */
void wait_keep_mask(void);

/*
 * What the calling thread can do without while it waits goes back by this function, once in each wait that
 * has lasted WAIT_LONG_MS.
 */
#define WAIT_LONG_MS 250
void wait_rest_with(void (*give_back)(void));

/* Wakes a thread from wait_for(); the thread must be alive. Does not block. */
void wait_wake(pthread_t thread);

/*
 * The same by gettid(2), of a thread that may have ended meanwhile: then nobody is woken, or a later thread
 * of this process that has got the number, for nothing. One system call.
 */
void wait_wake_number(pid_t process, pid_t thread);

/*
 * Blocks until events (POLLIN, POLLOUT) happen on fd, the deadline passes
 * (ERROR_TIMEOUT) or interrupt says so (ERROR_INTERRUPTED).  fd -1 waits for
 * the time or a wake-up alone.  interrupt may be NULL.  A wake-up that calls
 * nothing off answers ERROR_UNAVAILABLE if fd is -1 and goes on waiting otherwise.
 * POLLHUP and POLLERR count as ready; a descriptor that is none is ERROR_SYSTEM.
 * Once the deadline has passed the answer is ERROR_TIMEOUT even if fd is ready:
 * a peer that trickles cannot stretch a step.
 */
enum error wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt);

/* The same over several descriptors: revents are filled as by poll(2); OK if any is ready. */
enum error wait_for_any(struct pollfd *fds, unsigned count, int64_t deadline_ms,
                        const struct interrupt *interrupt);

/*
 * One wait of at most timeout_us microseconds (-1 = no limit), for who looks at
 * several things itself afterwards: OK if a descriptor is ready, ERROR_TIMEOUT,
 * ERROR_UNAVAILABLE after a wake-up of any kind.
 */
enum error wait_briefly(struct pollfd *fds, unsigned count, int64_t timeout_us);

#endif
