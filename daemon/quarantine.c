/*
 * quarantine.c - see quarantine.h. What an earlier process left is read with care:
 * a name is compared within its bounds, a time is never further off than a delay.
 */
#include "daemon/quarantine.h"

#include <stdio.h>
#include <string.h>

#define FIRST_MS   60000
#define LONGEST_MS 3600000
#define FORGET_MS  (24 * INT64_C(3600000))

int64_t quarantine_delay_ms(int times)
{
	int64_t delay = FIRST_MS;

	for (int i = 1; i < times && delay < LONGEST_MS; i++)
		delay *= 2;
	return delay < LONGEST_MS ? delay : LONGEST_MS;
}

static int find(const struct quarantine_entry *table, const char *tenant)
{
	for (int i = 0; i < QUARANTINE_ENTRIES; i++) {
		if (strncmp(table[i].tenant, tenant, sizeof(table[i].tenant)) == 0)
			return i;
	}
	return -1;
}

/* A free entry, or the one that matters least. */
static int find_room(const struct quarantine_entry *table)
{
	int found = 0;

	for (int i = 0; i < QUARANTINE_ENTRIES; i++) {
		if (!table[i].tenant[0])
			return i;
		if (table[i].until_ms < table[found].until_ms)
			found = i;
	}
	return found;
}

int64_t quarantine_begin(struct quarantine_entry *table, const char *tenant, int64_t now_ms)
{
	int at = find(table, tenant);

	if (at < 0) {
		at = find_room(table);
		memset(&table[at], 0, sizeof(table[at]));
		snprintf(table[at].tenant, sizeof(table[at].tenant), "%s", tenant);
	} else if (table[at].until_ms + FORGET_MS < now_ms || table[at].times < 0) {
		table[at].times = 0;
	}
	if (table[at].times < INT32_MAX)
		table[at].times++;
	table[at].until_ms = now_ms + quarantine_delay_ms(table[at].times);
	return table[at].until_ms;
}

int64_t quarantine_end(const struct quarantine_entry *table, const char *tenant, int64_t now_ms)
{
	int at = find(table, tenant);
	int64_t latest;

	if (at < 0 || table[at].until_ms <= now_ms)
		return 0;
	latest = now_ms + quarantine_delay_ms(table[at].times);
	return table[at].until_ms < latest ? table[at].until_ms : latest;
}

void quarantine_clear(struct quarantine_entry *table, const char *tenant)
{
	int at = find(table, tenant);

	if (at >= 0)
		memset(&table[at], 0, sizeof(table[at]));
}
