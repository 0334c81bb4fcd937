/*
 * session_mask.c - secrets in what the server says.
 *
 * Promises: the password, plain or in base64, and whatever SASL said, likewise, is masked
 * in each reply before anybody sees its text. Cannot fail.
 */
#include "smtp/session_mask.h"

#include <string.h>

#include "common/text.h"

#define SAID_BYTES 8 /* what is shorter is a password, which is masked by itself, or nothing */

void session_remember(struct session *session, const struct buffer *response)
{
	const char *username = session->tenant->username ? session->tenant->username : "";
	struct buffer plain;

	buffer_init(&plain, SECRET_MAX_BYTES);
	if (session->said_count < SAID_MAX && response->length > 0 &&
	    text_base64_decode(&plain, response->data, response->length) && plain.length >= SAID_BYTES &&
	    (plain.length != strlen(username) || memcmp(plain.data, username, plain.length) != 0))
		secret_set(&session->said[session->said_count++], plain.data, plain.length);
	if (plain.length > 0)
		explicit_bzero(plain.data, plain.length);
	buffer_fini(&plain);
}

void session_mask(const struct session *session, char *text)
{
	/* the longest first: what a shorter one leaves of it would not be recognised any more */
	for (int i = 0; i < session->said_count; i++)
		secret_mask(&session->said[i], text);
	if (secret_is_set(&session->password))
		secret_mask(&session->password, text);
}

/* As many octets as a secret takes in base64. */
static size_t longest_secret(const struct session *session)
{
	size_t longest = session->password.length;

	for (int i = 0; i < session->said_count; i++)
		if (session->said[i].length > longest)
			longest = session->said[i].length;
	return longest / 3 * 4 + 8;
}

/*
 * A text that was cut may end in a part of the secret, which no mask would
 * recognise: as much as its base64 takes is dropped with it.
 */
void session_mask_reply(struct session *session)
{
	struct reply *reply = &session->reply;
	size_t doubtful = longest_secret(session);
	bool cut = reply->length == REPLY_TEXT_BYTES - 1;

	if (!secret_is_set(&session->password) && session->said_count == 0)
		return;
	session_mask(session, reply->text);
	reply->length = strlen(reply->text);
	/* Only now: what is dropped first could leave a part of the one before. Up to a mask all is known to
	 * be good. */
	while (cut && doubtful-- > 0 && reply->length > 0 &&
	       !(reply->length >= 3 && memcmp(reply->text + reply->length - 3, "***", 3) == 0))
		reply->length--;
	reply->text[reply->length] = '\0';
}
