/*
 * auth_mechanism.h - between auth_choose.c (which mechanism) and auth.c (what it says).
 */
#ifndef OUTBOXD_SMTP_AUTH_MECHANISM_H
#define OUTBOXD_SMTP_AUTH_MECHANISM_H

#include "smtp/auth.h"

enum auth_kind {
	AUTH_KIND_LIBRARY,  /* GNU SASL's */
	AUTH_KIND_SCRAM,    /* smtp/scram.h */
	AUTH_KIND_BEARER,   /* smtp/bearer.h */
	AUTH_KIND_EXTERNAL, /* RFC 4422 A: the client certificate says who we are */
};

struct auth_mechanism {
	const char *name;
	enum auth_choice choice;
	enum auth_kind kind;
	bool shows_password;
	bool client_first; /* begins with the client's response */
	bool by_name;      /* auto does not take it: it wants another secret than a password */
	bool binds;        /* -PLUS */
};

/* NULL if there is none. */
const struct auth_mechanism *auth_mechanism_find(const char *name);

/* Whether the server's list has a -PLUS of SCRAM. */
bool auth_offers_binding(const char *offered);

/* Whether GNU SASL has a mechanism of AUTH_KIND_LIBRARY (auth.c). */
bool auth_library_has(const char *name);

#endif
