/*
 * crash.h - fatal signals of our own making: SEGV, BUS, ABRT, ILL, FPE.
 *
 * Their handler runs on an alternate stack of each thread (a stack that overflowed
 * carries none), counts the crash in the journal's slots of the thread and writes a
 * note for the monitor; then the signal has its default effect. A signal that
 * another process sent is no crash. Off under sanitizers, which have handlers of
 * their own.
 */
#ifndef OUTBOXD_DAEMON_CRASH_H
#define OUTBOXD_DAEMON_CRASH_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "daemon/journal.h"

struct crash_note {
	int signal;   /* 0 = no crash was noted */
	pid_t sender; /* of a signal from outside, 0 = of our own making */
	char thread[16];
	struct journal_hand hand; /* what the thread had in hand */
};

/* Monitor, once, before the first service: the page that the note is written to. NULL: none can be had. */
struct crash_note *crash_note_create(void);
void crash_note_destroy(struct crash_note **note);

/* "signal 11 (Segmentation fault) in thread w:acme, which had message 42 of acme in hand". */
void crash_describe(const struct crash_note *note, int signal, struct words *words);

/* Service, first thread, once: the handlers. note may be NULL. */
void crash_setup(struct crash_note *note);

/* How large an alternate stack is. Any thread. */
size_t crash_stack_bytes(void);

/*
 * The calling thread's alternate stack, until it ends: so many octets of memory that outlive the thread, or
 * NULL for some of its own.
 */
void crash_thread_begin(void *memory);

/* Takes the five signals out of a set that is to be blocked: a blocked one gets no handler. */
void crash_unblock(sigset_t *set);

#endif
