/*
 * smtp_login_advice.c - the providers' answers as they are seen, and what they mean.
 */
#include "smtp/login_advice.h"

#include <string.h>

#include "tests/unit/smtp_test.h"

static const struct {
	int code;
	const char *enhanced, *text;
	bool bearer;
	const char *said; /* a part of the advice, NULL = none */
} answers[] = {
	{ 535, "5.7.3", "Authentication unsuccessful [FR3P281CA0012.DEUP281.PROD.OUTLOOK.COM]", true,
	  "object id of the enterprise application" },
	{ 535, "5.7.3", "Authentication unsuccessful", false, "wrong name or password" },
	{ 550, "5.7.30", "Basic authentication is not supported for Client Submission.", false,
	  "basic authentication is switched off for this organisation" },
	{ 535, "5.7.30", NULL, false, "basic authentication is switched off for this organisation" },
	{ 535, "5.7.139", "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
	  true, "SmtpClientAuthenticationDisabled $false" },
	{ 535, "5.7.139",
	  "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", false,
	  "SmtpClientAuthenticationDisabled $false" },
	{ 535, "5.7.139", "Authentication unsuccessful, basic authentication is disabled.", false,
	  "use auth = xoauth2" },
	{ 535, "5.7.139", "Authentication unsuccessful, the request did not meet the criteria", true,
	  "sign-in log" },
	{ 534, "5.7.9", "Application-specific password required. For more information, go to - gsmtp", false,
	  "app password" },
	{ 534, "5.7.9", "Authentication mechanism is too weak", false, NULL },
	{ 534, "5.7.14", "Please log in via your web browser and then try again. - gsmtp", false, "browser" },
	{ 535, "5.7.8", "Username and Password not accepted. For more information, go to - gsmtp", false,
	  "app password" },
	{ 535, "5.7.8", "Username and Password not accepted. - gsmtp", true, "https://mail.google.com/" },
	{ 535, "5.7.8", "Error: authentication failed", false, NULL },
	{ 535, "", "no", true, NULL },
	{ 454, "4.7.0", "Temporary authentication failure", true, NULL },
	{ 535, "5.7.8", NULL, false, NULL },
};

START_TEST(a_known_answer_says_what_to_change)
{
	const char *advice = login_advice(answers[_i].code, answers[_i].enhanced, answers[_i].text,
	                                  answers[_i].bearer);

	if (!answers[_i].said)
		ck_assert_ptr_null(advice);
	else
		ck_assert_msg(advice && strstr(advice, answers[_i].said), "%s", advice ? advice : "nothing");
}
END_TEST

TCase *smtp_login_advice_cases(void)
{
	TCase *cases = tcase_create("login advice");

	tcase_add_loop_test(cases, a_known_answer_says_what_to_change, 0, COUNT(answers));
	return cases;
}
