/*
 * outcome.h - the vocabulary for what a server said or did: stage, verdict, scope.
 *
 * An answer is never an error (common/error.h). Filled by smtp/, judged by daemon/,
 * written by storage/. Functions: any thread, no blocking.
 */
#ifndef OUTBOXD_COMMON_OUTCOME_H
#define OUTBOXD_COMMON_OUTCOME_H

/* Where in the conversation something happened, in its order. */
enum stage {
	STAGE_NONE,
	STAGE_RESOLVE,
	STAGE_CONNECT,
	STAGE_GREETING,
	STAGE_EHLO,
	STAGE_STARTTLS,
	STAGE_TLS, /* the handshake */
	STAGE_AUTH,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_TEXT, /* octets of the message are under way */
	STAGE_END,  /* after the end of the data, its reply is awaited */
	STAGE_COUNT
};
const char *stage_name(enum stage stage);  /* "mail", "starttls", … */
const char *stage_place(enum stage stage); /* for people: "at MAIL", "after the end of the message", … */

enum verdict {
	VERDICT_NONE, /* nothing is known yet */
	VERDICT_SENT,
	VERDICT_RETRY,     /* later */
	VERDICT_REFUSED,   /* never */
	VERDICT_UNCERTAIN, /* all was given, no reply came */
	VERDICT_UNTRIED,   /* nothing happened to it: at once, no attempt counted */
};

enum scope { SCOPE_NONE, SCOPE_RECIPIENT, SCOPE_MESSAGE, SCOPE_TENANT };

/* What more a verdict of scope TENANT tells the breaker. */
enum trouble { TROUBLE_NONE, TROUBLE_PLAIN, TROUBLE_AUTH_FAILED, TROUBLE_THROTTLED };

/* What the server said or did, judged (smtp/verdict.c). Owns text. */
struct outcome {
	enum verdict verdict;
	enum scope scope;
	enum trouble trouble; /* TROUBLE_NONE: the tenant's server is well */
	enum stage stage;
	int code;          /* SMTP reply code, 0 = none came */
	char enhanced[12]; /* "5.1.1" or "" */
	char *text;        /* one clean line for people: the reply's text or our words; NULL = none */
};
void outcome_clear(struct outcome *outcome);
void outcome_copy(struct outcome *to, const struct outcome *from);
/* Replaces the text by a formatted one. */
void outcome_say(struct outcome *outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
