/*
 * supervisor_credential.h - tenants that log in as one user at one server share its
 * limits. Internal to the supervisor: its thread alone calls these; none of them blocks but
 * for a read of the database.
 *
 * What is shared is counts (messages of the minute, recipients of the day, sessions) and
 * the order of turns, and nothing else: connections, tokens, backoff, throttling, streaks
 * and pace stay each tenant's own.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_CREDENTIAL_H
#define OUTBOXD_DAEMON_SUPERVISOR_CREDENTIAL_H

#include "daemon/supervisor.h"

struct counted;

/* One for each (host, port, username) of the outbox; lives as long as it has a member or a session. */
struct credential {
	UT_hash_handle hh;
	struct quota *quota;     /* NULL: no member has had a limit yet */
	struct counted *counted; /* hash: those whose earlier usage the quota has */
	struct tenant *members;  /* by member_prev, member_next: the longest one first */
	struct worker *workers;  /* that may have a session, until they have ended */
	struct tenant *line[TURNS];
	int line_count[TURNS];
	int member_count;
	int unread;      /* members whose earlier usage is still to be read */
	int connections; /* of workers */
	int leaving;     /* of them: told to leave */
	int held;        /* kept for members that wait for a place */
	int max_connections, messages_per_minute, recipients_per_day; /* the smallest that are set */
	bool news;                    /* members or their limits are to be looked at */
	bool told;                    /* tenant.shares has been told as it is now */
	bool contended;               /* sessions are waited for, or there are too many */
	struct credential *next_news; /* of supervisor->credential_news */
	struct credential *contended_prev, *contended_next;
	size_t key_length;
	char key[]; /* tenant_settings_credential() */
};

/* The tenant's settings are new, or it has none: leaves one, joins another, where it is to. */
void credential_adopt(struct supervisor *supervisor, struct tenant *tenant);
/*
 * Limits are made those of the members there are: once for all settings that were read, before anything
 * goes by them, so that the cost of many changes at once is that of a look at each member.
 */
void credentials_settle(struct supervisor *supervisor);
/* What members' earlier sessions sent, where that is still to be read. */
void credential_read_usage(struct supervisor *supervisor, struct credential *credential);
/* Nobody needs it any more: frees it. */
void credential_check_use(struct supervisor *supervisor, struct credential *credential);
/* All workers have ended. */
void credentials_free_all(struct supervisor *supervisor);

#endif
