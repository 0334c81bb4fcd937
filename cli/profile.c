/*
 * profile.c - see profile.h.
 *
 * Only what a provider publishes is set, each with its source; what depends on an account or a
 * plan is left to the operator. tls is not set: it follows from the port (465 implicit, else
 * STARTTLS), so that whoever gives another of the provider's ports gets the right one with it.
 */
#include "cli/profile.h"

#include <string.h>

struct profile {
	const char *name;
	const char *host; /* NULL: depends on the account */
	const char *host_words;
	struct admin_setting settings[PROFILE_SETTINGS]; /* up to the first without a column */
};

static const struct profile profiles[] = {
	/*
	 * Microsoft 365, authenticated client submission with OAuth2.
	 * Host and port 587: learn.microsoft.com/exchange/mail-flow-best-practices/
	 *   how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
	 * 3 connections, 30 messages a minute, 10,000 recipients a day, each a mailbox:
	 *   learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements
	 * Basic authentication ends: techcommunity.microsoft.com/t5/exchange-team-blog/
	 *   exchange-online-to-retire-basic-auth-for-client-submission-smtp/ba-p/4114750
	 */
	{ "m365",
	  "smtp.office365.com",
	  NULL,
	  { { "port", "587" },
	    { "auth", "xoauth2" },
	    { "max_connections", "3" },
	    { "messages_per_minute", "30" },
	    { "recipients_per_day", "10000" } } },
	/*
	 * Gmail and Google Workspace, a mailbox.
	 * Host, ports 465 and 587, XOAUTH2: developers.google.com/workspace/gmail/imap/imap-smtp
	 * 2,000 messages a day of a paid Workspace account (500 of a trial or a personal one), any of which
	 * has one recipient or more; 10,000 recipients a day; at most 100 of one message by SMTP:
	 *   support.google.com/a/answer/166852
	 */
	{ "gmail",
	  "smtp.gmail.com",
	  NULL,
	  { { "port", "465" }, { "auth", "xoauth2" }, { "recipients_per_day", "2000" } } },
	/*
	 * Google Workspace's relay. The network's address or a login opens it, so auth is left alone.
	 * Host, port 587 with TLS; 10,000 messages and 10,000 recipients a day of a user, 550 5.4.5 after it:
	 *   support.google.com/a/answer/2956491
	 */
	{ "google-relay",
	  "smtp-relay.gmail.com",
	  NULL,
	  { { "port", "587" }, { "recipients_per_day", "10000" } } },
	/*
	 * Amazon SES. A host a region, and credentials of a region; ports 465 and 2465 with TLS from the
	 * first byte, 25, 587 and 2587 with STARTTLS: docs.aws.amazon.com/ses/latest/dg/smtp-connect.html
	 * Rates are an account's (in the sandbox 1 a second, 200 a day):
	 *   docs.aws.amazon.com/ses/latest/dg/quotas.html
	 */
	{ "ses", NULL, "email-smtp.REGION.amazonaws.com", { { "port", "465" } } },
	/*
	 * Mailgun; smtp.eu.mailgun.org for a domain in its European region. 587 is the port it recommends,
	 * with "plain text" authentication; also 25 and 2525 with STARTTLS and 465 with TLS from the first
	 * byte: documentation.mailgun.com (Sending via SMTP),
	 * mailgun.com/blog/which-smtp-port-understanding-ports-25-465-587 No rate is published.
	 */
	{ "mailgun", "smtp.mailgun.org", NULL, { { "port", "587" }, { "auth", "plain" } } },
	/*
	 * Postmark, transactional messages; smtp-broadcasts.postmarkapp.com for broadcasts. Ports 25, 2525
	 * and 587, all with STARTTLS; CRAM-MD5, DIGEST-MD5, PLAIN with a server's token as name and password,
	 * or an SMTP token: postmarkapp.com/developer/user-guide/send-email-with-smtp At most 50 recipients a
	 * message (postmarkapp.com/developer); no rate is published.
	 */
	{ "postmark", "smtp.postmarkapp.com", NULL, { { "port", "587" }, { "auth", "plain" } } },
	/*
	 * Fastmail, with an app password. Host, port 465, TLS from the first byte, PLAIN:
	 *   fastmail.com/help/technical/servernamesandports.html
	 * How much may be sent depends on the plan: fastmail.com/help/account/limits.html
	 */
	{ "fastmail", "smtp.fastmail.com", NULL, { { "port", "465" }, { "auth", "plain" } } },
};

#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

static const struct profile *find_profile(const char *name)
{
	for (size_t i = 0; i < PROFILES; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

static const char *value_among(const char *column, const struct admin_setting *given, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(given[i].column, column) == 0)
			return given[i].value;
	return NULL;
}

enum error profile_settings(const char *name, const struct admin_setting *given, size_t given_count,
                            struct admin_setting settings[PROFILE_SETTINGS], size_t *count,
                            struct words *words)
{
	const struct profile *profile = find_profile(name);

	*count = 0;
	if (!profile) {
		words_set(words, "there is no such profile: m365, gmail, google-relay, ses, mailgun, "
		                 "postmark and fastmail are known");
		return ERROR_INVALID;
	}
	if (!profile->host && !value_among("host", given, given_count)) {
		words_set(words, "--profile %s needs --host %s", name, profile->host_words);
		return ERROR_INVALID;
	}
	if (profile->host && !value_among("host", given, given_count))
		settings[(*count)++] = (struct admin_setting){ "host", profile->host };
	for (const struct admin_setting *at = profile->settings; at->column; at++)
		if (!value_among(at->column, given, given_count))
			settings[(*count)++] = *at;
	return OK;
}
