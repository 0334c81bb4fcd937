/*
 * session_envelope.c - what may be said in MAIL and RCPT, and how.
 *
 * What this server cannot be asked to take is refused here, with words and
 * without an attempt on the wire. Promises that no address can carry a command.
 */
#include <stdio.h>
#include <string.h>

#include "smtp/session_envelope.h"

/* "MAIL FROM:<" … "> SIZE=… BODY=8BITMIME": RFC 5321 4.5.3.1.4 has 512, RFC 1870 and 6152 add to it. */
#define ADDRESS_BYTES 480

static void refuse(struct outcome *outcome, enum scope scope, enum stage stage, const char *enhanced)
{
	outcome_clear(outcome);
	outcome->verdict = VERDICT_REFUSED;
	outcome->scope = scope;
	outcome->stage = stage;
	snprintf(outcome->enhanced, sizeof(outcome->enhanced), "%s", enhanced);
}

/* No control character, nothing that needs SMTPUTF8, nothing that ends the path. */
static bool is_path(const char *address)
{
	bool quoted = false;

	for (const char *at = address; *at; at++) {
		unsigned char c = (unsigned char)*at;

		if (c < ' ' || c > '~')
			return false;
		if (quoted && c == '\\' && at[1] >= ' ' && at[1] <= '~')
			at++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '<' || c == '>'))
			return false;
	}
	return !quoted && strlen(address) <= ADDRESS_BYTES;
}

bool session_check_message(const struct session *session, struct transaction *transaction)
{
	const struct capabilities *offers = &session->capabilities;
	struct outcome *outcome = &transaction->outcome;
	const char *host = session->tenant->host;

	if (transaction->smtputf8) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.6.7");
		outcome_say(outcome, "SMTPUTF8 is not built yet");
	} else if (!is_path(transaction->sender)) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.1.7");
		outcome_say(outcome, "the envelope sender is not an address that SMTP can carry");
	} else if (offers->size_limit > 0 && transaction->size > offers->size_limit) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.3.4");
		outcome_say(outcome, "the message has %lld octets, %s takes at most %lld",
		            (long long)transaction->size, host, offers->size_limit);
	} else if (transaction->eight_bit && !offers->eight_bit_mime) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.6.3");
		outcome_say(outcome, "the message is 8-bit and %s does not offer 8BITMIME", host);
	} else {
		return true;
	}
	return false;
}

bool session_check_recipient(struct recipient *recipient)
{
	if (recipient->address[0] && is_path(recipient->address))
		return true;
	refuse(&recipient->outcome, SCOPE_RECIPIENT, STAGE_RCPT, "5.1.3");
	outcome_say(&recipient->outcome, "not an address that SMTP can carry");
	return false;
}

enum error session_say_mail(struct session *session, const struct transaction *transaction)
{
	char size[40] = "";

	if (session->capabilities.size && transaction->size > 0)
		snprintf(size, sizeof(size), " SIZE=%lld", (long long)transaction->size);
	return session_say(session, "MAIL FROM:<%s>%s%s", transaction->sender, size,
	                   transaction->eight_bit ? " BODY=8BITMIME" : "");
}

enum error session_say_rcpt(struct session *session, const struct recipient *recipient)
{
	return session_say(session, "RCPT TO:<%s>", recipient->address);
}
