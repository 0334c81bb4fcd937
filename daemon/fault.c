/*
 * fault.c - see fault.h. Only in builds with --enable-fault-injection.
 */
#include "daemon/fault.h"

#ifdef WITH_FAULT_INJECTION
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char name[96]; /* point:tenant */
	int at, passed;
} faults[FAULTS_MAX];
static int count = -1;

static void read_faults(void)
{
	const char *text = getenv("OUTBOXD_FAULT");
	char *copy = strdup(text ? text : ""), *rest = NULL;

	count = 0;
	for (char *item = strtok_r(copy, ",", &rest); item && count < FAULTS_MAX;
	     item = strtok_r(NULL, ",", &rest)) {
		char *number = strrchr(item, ':');

		if (!number)
			continue;
		*number++ = '\0';
		snprintf(faults[count].name, sizeof(faults[count].name), "%s", item);
		faults[count++].at = atoi(number);
	}
	free(copy);
}

bool fault_here(const char *point, const char *tenant)
{
	char name[96];
	bool now = false;

	snprintf(name, sizeof(name), "%s:%s", point, tenant);
	pthread_mutex_lock(&lock);
	if (count < 0)
		read_faults();
	for (int i = 0; i < count; i++) {
		if (strcmp(faults[i].name, name) == 0 && ++faults[i].passed == faults[i].at)
			now = true;
	}
	pthread_mutex_unlock(&lock);
	return now;
}
#else
typedef int fault_nothing_here; /* ISO C wants something in a file */
#endif
