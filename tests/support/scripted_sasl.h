/*
 * scripted_sasl.h - the scripted server's side of SASL, by GNU SASL's own server.
 */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRIPTED_SASL_H
#define OUTBOXD_TESTS_SUPPORT_SCRIPTED_SASL_H

#include "tests/support/scripted_words.h"

/*
 * "MECHANISM USER PASSWORD [foreign]": AUTH to its end, 235 or 535. The login is bound to the
 * TLS session of this connection; with "foreign" to another, as if somebody stood in between.
 */
bool sasl_play(struct play *play, const char *rest);

#endif
