/*
 * daemon_monitor.c - the monitor with services made for the test: who ends how,
 * what becomes of it.
 *
 * A service tells which life it is through a shared page.
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/monitor.h"
#include "tests/unit/daemon_test.h"

struct shared {
	atomic_int lives;
	char why[512];
	int words[8];
};

static struct shared *shared;

static void set_up(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
}

static void tear_down(void)
{
	munmap(shared, sizeof(*shared));
}

static int monitor_with(int (*run)(const struct service_start *start))
{
	const struct monitor_settings settings = { .run = run, .ready_fd = -1 };

	return monitor_run(&settings);
}

static void say(const struct service_start *start, char word)
{
	ck_assert_int_eq(send(start->monitor_fd, &word, 1, MSG_NOSIGNAL), 1);
}

/* Waits for a word; 0 at the end of file. */
static char hear(const struct service_start *start)
{
	char word = 0;

	return recv(start->monitor_fd, &word, 1, 0) == 1 ? word : 0;
}

static int crashes_once(const struct service_start *start)
{
	int life = atomic_fetch_add(&shared->lives, 1);

	say(start, WORD_READY);
	if (life == 0)
		raise(SIGKILL);
	strcpy(shared->why, start->why ? start->why : "");
	shared->words[0] = start->restarted;
	return EX_OK;
}

START_TEST(a_crash_is_followed_by_a_new_service)
{
	ck_assert_int_eq(monitor_with(crashes_once), EX_OK);
	ck_assert_int_eq(atomic_load(&shared->lives), 2);
	ck_assert_str_eq(shared->why, "signal 9 (Killed)");
	ck_assert_int_eq(shared->words[0], 1);
}
END_TEST

static int asks_for_a_new_one(const struct service_start *start)
{
	int life = atomic_fetch_add(&shared->lives, 1);

	say(start, WORD_READY);
	strcpy(shared->why, start->why ? start->why : "");
	return life == 0 ? SERVICE_EXIT_AGAIN : EX_OK;
}

START_TEST(a_stalled_worker_means_a_new_service)
{
	ck_assert_int_eq(monitor_with(asks_for_a_new_one), EX_OK);
	ck_assert_int_eq(atomic_load(&shared->lives), 2);
	ck_assert_str_eq(shared->why, "a worker did not move");
}
END_TEST

static int refuses(const struct service_start *start)
{
	(void)start;
	atomic_fetch_add(&shared->lives, 1);
	return EX_TEMPFAIL;
}

START_TEST(a_refusal_before_ready_is_our_status)
{
	ck_assert_int_eq(monitor_with(refuses), EX_TEMPFAIL);
	ck_assert_int_eq(atomic_load(&shared->lives), 1);
}
END_TEST

static int stops_when_told(const struct service_start *start)
{
	say(start, WORD_READY);
	kill(getppid(), SIGHUP);
	shared->words[0] = hear(start);
	kill(getppid(), SIGUSR1);
	shared->words[1] = hear(start);
	kill(getppid(), SIGTERM);
	shared->words[2] = hear(start);
	kill(getppid(), SIGINT);
	shared->words[3] = hear(start);
	return EX_OK;
}

START_TEST(signals_become_words)
{
	ck_assert_int_eq(monitor_with(stops_when_told), EX_OK);
	ck_assert_int_eq(shared->words[0], WORD_RELOAD);
	ck_assert_int_eq(shared->words[1], WORD_STATUS);
	ck_assert_int_eq(shared->words[2], WORD_STOP);
	ck_assert_int_eq(shared->words[3], WORD_STOP_NOW);
}
END_TEST

static int dies_after_a_reload(const struct service_start *start)
{
	int life = atomic_fetch_add(&shared->lives, 1);

	say(start, WORD_READY);
	if (life == 0)
		kill(getppid(), SIGHUP);
	shared->words[life] = hear(start);
	if (life == 0)
		raise(SIGKILL);
	return EX_OK;
}

START_TEST(a_new_service_rereads_what_was_reread)
{
	ck_assert_int_eq(monitor_with(dies_after_a_reload), EX_OK);
	ck_assert_int_eq(atomic_load(&shared->lives), 2);
	ck_assert_int_eq(shared->words[0], WORD_RELOAD);
	ck_assert_int_eq(shared->words[1], WORD_RELOAD);
}
END_TEST

static int dies_while_stopping(const struct service_start *start)
{
	atomic_fetch_add(&shared->lives, 1);
	say(start, WORD_READY);
	kill(getppid(), SIGTERM);
	hear(start);
	raise(SIGKILL);
	return EX_OK;
}

START_TEST(a_death_by_signal_is_never_the_exit_status)
{
	ck_assert_int_eq(monitor_with(dies_while_stopping), EX_OK);
	ck_assert_int_eq(atomic_load(&shared->lives), 1);
}
END_TEST

/* Writes its id, then lives until somebody ends it. */
static int lives_on(const struct service_start *start)
{
	shared->words[0] = getpid();
	say(start, WORD_READY);
	hear(start);
	for (;;)
		pause();
	return EX_OK;
}

START_TEST(the_service_dies_with_its_monitor)
{
	pid_t monitor = fork();
	int64_t until = deadline_after_ms(20000);
	int status;

	if (monitor == 0)
		_exit(monitor_with(lives_on));
	while (!shared->words[0] && deadline_left_ms(until) > 0)
		poll(NULL, 0, 5);
	ck_assert_int_gt(shared->words[0], 0);
	kill(monitor, SIGKILL);
	ck_assert_int_eq(waitpid(monitor, &status, 0), monitor);
	/* Its own parent is gone: whoever adopts it reaps it; it is gone when no signal reaches it. */
	while (kill(shared->words[0], 0) == 0 && deadline_left_ms(until) > 0) {
		waitpid(shared->words[0], &status, WNOHANG);
		poll(NULL, 0, 5);
	}
	ck_assert_int_ne(kill(shared->words[0], 0), 0);
}
END_TEST

TCase *monitor_tests(void)
{
	TCase *tests = tcase_create("monitor");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_crash_is_followed_by_a_new_service);
	tcase_add_test(tests, a_stalled_worker_means_a_new_service);
	tcase_add_test(tests, a_refusal_before_ready_is_our_status);
	tcase_add_test(tests, signals_become_words);
	tcase_add_test(tests, a_new_service_rereads_what_was_reread);
	tcase_add_test(tests, a_death_by_signal_is_never_the_exit_status);
	tcase_add_test(tests, the_service_dies_with_its_monitor);
	return tests;
}
