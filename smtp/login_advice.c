/*
 * login_advice.c - see login_advice.h.
 *
 * Microsoft's codes: learn.microsoft.com/exchange/client-developer/legacy-protocols/
 *   how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth (5.7.3, the service principal),
 *   learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/
 *   authenticated-client-smtp-submission (5.7.139) and techcommunity.microsoft.com/t5/
 *   exchange-team-blog, "Exchange Online to retire Basic auth for Client Submission (SMTP AUTH)" (5.7.30).
 * Google's: support.google.com/a/answer/3726730 (SMTP error reference); its replies end with "gsmtp".
 */
#include "smtp/login_advice.h"

#include <stddef.h>
#include <string.h>

enum shown { SHOWN_ANY, SHOWN_PASSWORD, SHOWN_BEARER };

/* The first that fits is told. */
static const struct known {
	int code;             /* 0 = any */
	const char *enhanced; /* NULL = any */
	const char *mark;     /* a part of the text, NULL = any */
	enum shown shown;
	const char *advice;
} answers[] = {
	{ 0, "5.7.30", NULL, SHOWN_ANY,
	  "basic authentication is switched off for this organisation: use auth = xoauth2 with an OAuth2 token" },
	{ 535, "5.7.139", "SmtpClientAuthentication is disabled", SHOWN_ANY,
	  "authenticated SMTP is switched off for the organisation or the mailbox: "
	  "Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false" },
	{ 535, "5.7.139", NULL, SHOWN_PASSWORD,
	  "a policy refuses passwords (security defaults, conditional access or basic authentication switched "
	  "off), or the password is wrong: use auth = xoauth2 with an OAuth2 token" },
	{ 535, "5.7.139", NULL, SHOWN_BEARER,
	  "a policy refuses this login: see the sign-in log of the application, and whether authenticated SMTP is "
	  "switched on for the mailbox" },
	{ 535, "5.7.3", NULL, SHOWN_BEARER,
	  "with Microsoft 365: the service principal must be registered with the object id of the enterprise "
	  "application, not of the app registration, have permission for the mailbox that username names, and the "
	  "token must be for SMTP.SendAsApp (an application) or SMTP.Send (a person)" },
	{ 535, "5.7.3", NULL, SHOWN_PASSWORD,
	  "with Microsoft 365: wrong name or password, or basic authentication is switched off: use auth = xoauth2 "
	  "with an OAuth2 token" },
	{ 534, "5.7.9", "gsmtp", SHOWN_PASSWORD,
	  "Google wants an app password, or auth = xoauth2 with an OAuth2 token" },
	{ 534, "5.7.14", "gsmtp", SHOWN_ANY,
	  "Google wants somebody to log in with a browser first, as the text says; or use OAuth2" },
	{ 535, "5.7.8", "gsmtp", SHOWN_PASSWORD,
	  "Google takes no password of an account here: use an app password, or auth = xoauth2 with an OAuth2 token" },
	{ 535, "5.7.8", "gsmtp", SHOWN_BEARER,
	  "Google refuses the token: it must be for the scope https://mail.google.com/ and for the mailbox that "
	  "username names" },
};

static bool fits(const struct known *known, int code, const char *enhanced, const char *text, bool bearer)
{
	return (known->code == 0 || known->code == code) &&
	       (!known->enhanced || strcmp(known->enhanced, enhanced) == 0) &&
	       (!known->mark || (text && strstr(text, known->mark))) &&
	       (known->shown == SHOWN_ANY || (known->shown == SHOWN_BEARER) == bearer);
}

const char *login_advice(int code, const char *enhanced, const char *text, bool bearer)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (fits(&answers[i], code, enhanced, text, bearer))
			return answers[i].advice;
	return NULL;
}
