/*
 * error.h - "this function could not do its work".
 *
 * What a mail server said is never an error: that is struct outcome in
 * common/message.h.  A function that can fail returns enum error; one that
 * can say why takes a struct words and fills it, without a final full stop
 * and without a newline, whenever it does not return OK.
 */
#ifndef OUTBOXD_COMMON_ERROR_H
#define OUTBOXD_COMMON_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum error {
	OK = 0,
	ERROR_TIMEOUT,     /* the deadline passed */
	ERROR_INTERRUPTED, /* the wait was called off: we are to stop */
	ERROR_CLOSED,      /* the peer closed or reset the connection */
	ERROR_PROTOCOL,    /* the peer said what may not be said here */
	ERROR_INVALID,     /* input refused; the words name the place */
	ERROR_LIMIT,       /* a bound on size or number was reached */
	ERROR_NOT_FOUND,   /* what was named is not there */
	ERROR_EXISTS,      /* what was to be made is there already */
	ERROR_BUSY,        /* another process holds it */
	ERROR_PERMISSION,  /* the system does not let us */
	ERROR_REFUSED,     /* a rule of the schema or the operator says no */
	ERROR_UNAVAILABLE, /* not now; the same call may do later */
	ERROR_SYSTEM,      /* a system or library call failed, see the words */
};

/* A sentence for people; always terminated, cut at a character's border. */
struct words {
	char text[512];
};

/*
 * Whether an errno says that this machine has too few descriptors or too little memory just
 * now: nobody's fault, so whoever met it waits (ERROR_UNAVAILABLE).
 */
bool error_is_shortage(int errno_value);

/* The name of an error in plain words, a constant string. */
const char *error_text(enum error error);

/* Formats into words, cutting what does not fit between UTF-8 characters. */
void words_set(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
void words_vset(struct words *words, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

/* words = formatted prefix + what the system says of errno_value. */
void words_set_errno(struct words *words, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
