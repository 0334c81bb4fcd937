/*
 * session_envelope.c - what may be said in MAIL and RCPT, and how.
 *
 * What this server cannot be asked to take is refused here, with words and
 * without an attempt on the wire. Promises that no address can carry a command.
 */
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "smtp/session_envelope.h"

/* "MAIL FROM:<" … ">": RFC 5321 4.5.3.1.4 has 512; RFC 1870, 6152, 6531 and 3461 add to it what they add. */
#define ADDRESS_BYTES 480

static void refuse(struct outcome *outcome, enum scope scope, enum stage stage, const char *enhanced)
{
	outcome_clear(outcome);
	outcome->verdict = VERDICT_REFUSED;
	outcome->scope = scope;
	outcome->stage = stage;
	snprintf(outcome->enhanced, sizeof(outcome->enhanced), "%s", enhanced);
}

static bool is_ascii(const char *address)
{
	return text_is_ascii(address, strlen(address));
}

/* No control character, nothing that ends the path; beyond ASCII what RFC 6531 3.3 allows. */
static bool is_path(const char *address)
{
	size_t length = strlen(address);
	bool quoted = false;

	for (size_t at = 0; at < length;) {
		uint32_t point;
		size_t octets = text_utf8_next(address + at, length - at, &point);

		if (octets == 0 || text_is_control(point))
			return false;
		at += octets;
		if (quoted && point == '\\' && address[at] >= ' ' && address[at] <= '~')
			at++;
		else if (point == '"')
			quoted = !quoted;
		else if (!quoted && (point == ' ' || point == '<' || point == '>'))
			return false;
	}
	return !quoted && length <= ADDRESS_BYTES;
}

/*
 * Without SMTPUTF8 (RFC 6531 3.5): an address that is not ASCII goes nowhere. The sender's stops
 * the message, and so does a header that needs it; a recipient's stops that recipient alone, who
 * then stands in no field of the header.
 */
static bool check_smtputf8(const struct session *session, struct transaction *transaction)
{
	struct outcome *outcome = &transaction->outcome;
	const char *host = session->tenant->host;

	if (session->capabilities.smtputf8)
		return true;
	if (!is_ascii(transaction->sender)) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.6.7");
		outcome_say(outcome,
		            "the sender %s is not ASCII before the @, and %s does not offer SMTPUTF8",
		            transaction->sender, host);
		return false;
	}
	if (transaction->smtputf8) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.6.7");
		outcome_say(outcome,
		            "the header has addresses or text beyond ASCII that cannot be encoded, and %s "
		            "does not offer SMTPUTF8",
		            host);
		return false;
	}
	return true;
}

bool session_check_message(const struct session *session, struct transaction *transaction)
{
	const struct capabilities *offers = &session->capabilities;
	struct outcome *outcome = &transaction->outcome;
	const char *host = session->tenant->host;

	if (!is_path(transaction->sender)) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.1.7");
		outcome_say(outcome, "the envelope sender is not an address that SMTP can carry");
	} else if (!check_smtputf8(session, transaction)) {
		return false;
	} else if (offers->size_limit > 0 && transaction->size > offers->size_limit) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.3.4");
		outcome_say(outcome, "the message has %lld octets, %s takes at most %lld",
		            (long long)transaction->size, host, offers->size_limit);
	} else if (transaction->eight_bit && !offers->eight_bit_mime) {
		refuse(outcome, SCOPE_MESSAGE, STAGE_MAIL, "5.6.3");
		/* not guessed: 8 bits in a server that has it not arrive damaged */
		outcome_say(outcome, "the message is 8-bit and %s does not offer 8BITMIME%s", host,
		            offers->smtputf8 ? ", as a server that offers SMTPUTF8 must (RFC 6531 3.1)" : "");
	} else {
		return true;
	}
	return false;
}

bool session_check_recipient(const struct session *session, struct recipient *recipient)
{
	struct outcome *outcome = &recipient->outcome;

	if (!recipient->address[0] || !is_path(recipient->address)) {
		refuse(outcome, SCOPE_RECIPIENT, STAGE_RCPT, "5.1.3");
		outcome_say(outcome, "not an address that SMTP can carry");
	} else if (!session->capabilities.smtputf8 && !is_ascii(recipient->address)) {
		refuse(outcome, SCOPE_RECIPIENT, STAGE_RCPT, "5.6.7");
		outcome_say(outcome, "%s is not ASCII before the @, and %s does not offer SMTPUTF8",
		            recipient->address, session->tenant->host);
	} else {
		return true;
	}
	return false;
}

/* RFC 6531 3.4: said where something needs it, and nowhere else. */
static bool needs_smtputf8(const struct transaction *transaction)
{
	if (transaction->smtputf8 || !is_ascii(transaction->sender))
		return true;
	for (size_t i = 0; i < transaction->recipient_count; i++)
		if (transaction->recipients[i].wanted &&
		    transaction->recipients[i].outcome.verdict == VERDICT_NONE &&
		    !is_ascii(transaction->recipients[i].address))
			return true;
	return false;
}

enum error session_say_mail(struct session *session, const struct transaction *transaction)
{
	char size[40] = "", dsn[DSN_MAIL_BYTES] = "";

	if (session->capabilities.size && transaction->size > 0)
		snprintf(size, sizeof(size), " SIZE=%lld", (long long)transaction->size);
	if (session->capabilities.dsn && transaction->dsn)
		dsn_mail_parameters(transaction->dsn, dsn);
	return session_say(session, "MAIL FROM:<%s>%s%s%s%s", transaction->sender, size,
	                   transaction->eight_bit ? " BODY=8BITMIME" : "",
	                   needs_smtputf8(transaction) ? " SMTPUTF8" : "", dsn);
}

enum error session_say_rcpt(struct session *session, const struct transaction *transaction,
                            const struct recipient *recipient)
{
	char dsn[DSN_RCPT_BYTES] = "";

	if (session->capabilities.dsn && transaction->dsn)
		dsn_rcpt_parameters(transaction->dsn, recipient->address, dsn);
	return session_say(session, "RCPT TO:<%s>%s", recipient->address, dsn);
}
