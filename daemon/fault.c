/*
 * fault.c - see fault.h. Only in builds with --enable-fault-injection.
 */
#include "daemon/fault.h"

#ifdef WITH_FAULT_INJECTION
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 32
#define DEEP       40 /* calls between the fault and its cause */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char point[32], tenant[64], action[16];
	int at, passed;
	bool on; /* at each later passage too */
} faults[FAULTS_MAX];
static int count = -1;

static void read_fault(char *item)
{
	char *rest = NULL;
	const char *point = strtok_r(item, ":", &rest), *tenant = strtok_r(NULL, ":", &rest);
	const char *at = strtok_r(NULL, ":", &rest), *action = strtok_r(NULL, ":", &rest);

	if (!at || count == FAULTS_MAX)
		return;
	snprintf(faults[count].point, sizeof(faults[count].point), "%s", point);
	snprintf(faults[count].tenant, sizeof(faults[count].tenant), "%s", tenant);
	snprintf(faults[count].action, sizeof(faults[count].action), "%s", action ? action : "");
	faults[count].on = strchr(at, '+') != NULL;
	faults[count++].at = atoi(at);
}

static void read_faults(void)
{
	const char *text = getenv("OUTBOXD_FAULT");
	char *copy = strdup(text ? text : ""), *rest = NULL;

	count = 0;
	for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest))
		read_fault(item);
	free(copy);
}

static int descend(int left);
static int (*volatile deeper)(int) = descend; /* frames that the compiler cannot take away */

/* After left frames the thread ends, if its stack holds as many. */
static int descend(int left)
{
	volatile char frame[256];

	frame[0] = (char)left;
	if (left == 0)
		pthread_exit(NULL);
	return deeper(left - 1) + frame[0];
}

/* True for the first of whoever comes here, in any process. */
static bool take_token(void)
{
	const char *token = getenv("OUTBOXD_FAULT_TOKEN");

	return token && unlink(token) == 0;
}

/* Until the test has put the token back. */
static void wait_for_token(void)
{
	const char *token = getenv("OUTBOXD_FAULT_TOKEN");

	while (token && access(token, F_OK) != 0)
		poll(NULL, 0, 10);
}

static void act(const char *action)
{
	volatile uintptr_t nowhere = sizeof(int); /* nothing is mapped there */

	if (strcmp(action, "end") == 0) {
		descend(DEEP);
	} else if (strcmp(action, "overflow") == 0) {
		descend(INT_MAX);
	} else if (strcmp(action, "abort") == 0) {
		abort();
	} else if (strcmp(action, "segv") == 0) {
		*(volatile int *)nowhere = 1;
	} else if (strcmp(action, "kill") == 0) {
		if (take_token())
			kill(getpid(), SIGKILL);
	} else if (strcmp(action, "stall") == 0) {
		take_token(); /* who removed it is seen from outside */
		for (;;)
			pause();
	} else if (strcmp(action, "wait") == 0) {
		if (take_token())
			wait_for_token();
	}
}

bool fault_here(const char *point, const char *tenant)
{
	char action[16] = "";
	bool now = false;

	pthread_mutex_lock(&lock);
	if (count < 0)
		read_faults();
	for (int i = 0; i < count; i++) {
		if (strcmp(faults[i].point, point) != 0 ||
		    (strcmp(faults[i].tenant, tenant) != 0 && strcmp(faults[i].tenant, "*") != 0))
			continue;
		faults[i].passed++;
		if (faults[i].passed != faults[i].at && !(faults[i].on && faults[i].passed > faults[i].at))
			continue;
		now = true;
		memcpy(action, faults[i].action, sizeof(action));
	}
	pthread_mutex_unlock(&lock);
	act(action);
	return now;
}

int fault_number(const char *name, int usual)
{
	const char *text = getenv("OUTBOXD_FAULT");
	size_t length = strlen(name);

	for (; text && *text; text += strcspn(text, ","), text += *text == ',') {
		if (strncmp(text, name, length) == 0 && text[length] == '=')
			return atoi(text + length + 1);
	}
	return usual;
}
#else
typedef int fault_nothing_here; /* ISO C wants something in a file */
#endif
