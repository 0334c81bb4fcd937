/*
 * thread.h - how every thread of the service is started.
 */
#ifndef OUTBOXD_DAEMON_THREAD_H
#define OUTBOXD_DAEMON_THREAD_H

#include <pthread.h>

struct thread_stack;

#define THREAD_STACK_BYTES ((size_t)256 * 1024)

/*
 * pthread_create with a small stack (THREAD_STACK_BYTES; the sanitizers want the system's),
 * a name (cut at 15 octets), an alternate stack for fatal
 * signals (crash.h) and all other signals blocked; its long waits begin with thread_rest().
 * 0 or an errno. Any thread.
 */
int thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument);

/* The same on a stack of thread_stack.h, which stays the caller's; NULL = as thread_start(). */
int thread_start_on(struct thread_stack *stack, pthread_t *thread, const char *name, void *(*main)(void *),
                    void *argument);

/* The calling thread's new name, cut likewise. */
void thread_rename(const char *name);

/*
 * The calling thread is preferred to the others of this process by the scheduler (nice, ten less), where that
 * is permitted (CAP_SYS_NICE; LimitNICE= in the service's file): for who holds what other processes wait for,
 * and uses little. Where it is not, nothing happens. Does not block.
 */
void thread_prefer(void);

/*
 * The calling thread, when it wakes, waits until who has the processor sleeps or has had its time
 * (SCHED_BATCH): for the many that take turns all the time, where each turn taken in the middle of another's
 * costs both. It still takes an idle processor at once, and others still take it from this one. Does not
 * block.
 */
void thread_take_turns(void);

/*
 * The calling thread is about to wait for long: the pages of its stack below the caller's frame
 * go back to the system (a conversation with TLS touches 24 KiB and more). One system call;
 * the pages come back, empty, as they are touched. Of a thread of thread_start() alone.
 */
void thread_rest(void);

#endif
