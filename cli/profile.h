/*
 * profile.h - what well-known providers publish about their servers, as settings of a tenant. Pure.
 */
#ifndef OUTBOXD_CLI_PROFILE_H
#define OUTBOXD_CLI_PROFILE_H

#include <stddef.h>

#include "common/error.h"
#include "storage/admin.h"

#define PROFILE_SETTINGS 8 /* more than any profile has */

/* For the help: each name, and what it sets. */
#define PROFILE_HELP                                                                                         \
	"--profile sets what a provider publishes; options beside it win over it:\n"                         \
	"  m365          smtp.office365.com:587, XOAUTH2, 3 connections,\n"                                  \
	"                30 messages a minute, 10000 recipients a day\n"                                     \
	"  gmail         smtp.gmail.com:465, XOAUTH2, 2000 recipients a day (a personal\n"                   \
	"                account may send 500 messages: --recipients-per-day 500)\n"                         \
	"  google-relay  smtp-relay.gmail.com:587, 10000 recipients a day\n"                                 \
	"  ses           port 465; needs --host email-smtp.REGION.amazonaws.com\n"                           \
	"  mailgun       smtp.mailgun.org:587, PLAIN (in Europe: --host smtp.eu.mailgun.org)\n"              \
	"  postmark      smtp.postmarkapp.com:587, PLAIN\n"                                                  \
	"  fastmail      smtp.fastmail.com:465, PLAIN"

/*
 * The settings of the named profile that are not among the given ones, which win; constant
 * texts. ERROR_INVALID with words: there is no such profile, or it needs a host to be given.
 */
enum error profile_settings(const char *name, const struct admin_setting *given, size_t given_count,
                            struct admin_setting settings[PROFILE_SETTINGS], size_t *count,
                            struct words *words);

#endif
