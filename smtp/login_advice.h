/*
 * login_advice.h - what well-known answers to AUTH mean, for who has to mend it. Pure.
 */
#ifndef OUTBOXD_SMTP_LOGIN_ADVICE_H
#define OUTBOXD_SMTP_LOGIN_ADVICE_H

#include <stdbool.h>

/*
 * Words that say what to change, a constant text, or NULL: nothing is known about this answer. text is
 * the reply's, may be NULL; bearer: an OAuth2 token was shown. Any thread.
 */
const char *login_advice(int code, const char *enhanced, const char *text, bool bearer);

#endif
