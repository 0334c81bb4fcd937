/*
 * crash.c - see crash.h. The handler calls nothing but what signal-safety(7)
 * allows, and plain memory of its own process.
 */
#include "daemon/crash.h"

#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define STACK_BYTES 16384 /* beside what the kernel writes there */

static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };

struct crash_note *crash_note_create(void)
{
	void *page = mmap(NULL, sizeof(struct crash_note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                  -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	return page;
}

void crash_note_destroy(struct crash_note **note)
{
	if (*note)
		munmap(*note, sizeof(**note));
	*note = NULL;
}

void crash_describe(const struct crash_note *note, int signal, struct words *words)
{
	const struct journal_hand *hand = &note->hand;
	struct words in_hand = { "" };

	if (note->signal != signal)
		words_set(words, "signal %d (%s)", signal, strsignal(signal));
	else if (note->sender)
		words_set(words, "signal %d (%s), sent by process %ld", signal, strsignal(signal),
		          (long)note->sender);
	else {
		if (hand->count == 1)
			words_set(&in_hand, ", which had message %lld of %.63s in hand", (long long)hand->id,
			          hand->tenant);
		else if (hand->count > 1)
			words_set(&in_hand, ", which had %d messages in hand, %lld of %.63s among them",
			          hand->count, (long long)hand->id, hand->tenant);
		words_set(words, "signal %d (%s) in thread %.15s%s", signal, strsignal(signal), note->thread,
		          in_hand.text);
	}
}

void crash_unblock(sigset_t *set)
{
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigdelset(set, fatal[i]);
}

#ifndef WITH_SANITIZER
static struct crash_note *written; /* constant once the handlers are there */
static pthread_key_t stack_key;
static bool ready;

static void on_fatal_signal(int number, siginfo_t *info, void *context)
{
	/* abort(3) and the C library's own checks send it to themselves. */
	bool ours = info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());
	struct journal_hand hand = { 0 };

	(void)context;
	if (ours)
		journal_crashed(&hand);
	/* Two threads may crash at once: the first one tells. */
	if (written && written->signal == 0) {
		written->sender = ours ? 0 : info->si_pid;
		prctl(PR_GET_NAME, written->thread);
		written->hand = hand;
		written->signal = number;
	}
	/* The handler was for once: this one has the default effect. */
	raise(number);
}

static void free_stack(void *stack)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	sigaltstack(&none, NULL);
	munmap(stack, crash_stack_bytes());
}

size_t crash_stack_bytes(void)
{
	return STACK_BYTES + (size_t)getauxval(AT_MINSIGSTKSZ);
}

void crash_setup(struct crash_note *note)
{
	struct sigaction action = {
		.sa_sigaction = on_fatal_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND,
	};

	written = note;
	if (pthread_key_create(&stack_key, free_stack) != 0)
		return; /* without it: a restart that names nobody */
	ready = true;
	crash_thread_begin(NULL);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &action, NULL);
}

void crash_thread_begin(void *memory)
{
	stack_t stack = { .ss_sp = memory, .ss_size = crash_stack_bytes() };

	if (!ready)
		return;
	if (memory) {
		(void)sigaltstack(&stack, NULL); /* gone with the thread */
		return;
	}
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Without memory for it the thread works all the same: an overflow names nobody. */
	if (stack.ss_sp == MAP_FAILED)
		return;
	if (pthread_setspecific(stack_key, stack.ss_sp) != 0 || sigaltstack(&stack, NULL) != 0) {
		pthread_setspecific(stack_key, NULL);
		munmap(stack.ss_sp, stack.ss_size);
	}
}
#else
void crash_setup(struct crash_note *note)
{
	(void)note;
}

size_t crash_stack_bytes(void)
{
	return 0;
}

void crash_thread_begin(void *memory)
{
	(void)memory;
}
#endif
