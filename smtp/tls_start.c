/*
 * tls_start.c - what a tenant's settings ask of TLS, and a handshake in time.
 *
 * Promises that settings which cannot be kept are told before a connection is
 * made, and that a handshake ends at its deadline however the server trickles.
 * Fails as tls.h says, always with words.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtp/fingerprint.h"
#include "smtp/pem_file.h"
#include "smtp/tls_internal.h"

bool tls_verifies_chain(const struct tenant_settings *tenant)
{
	return tenant->tls != TLS_OPPORTUNISTIC && tenant->tls_verify == TLS_VERIFY_FULL;
}

/* Pins that are set count under full too: whoever writes one down wants it kept. */
bool tls_verifies_pins(const struct tenant_settings *tenant)
{
	if (tenant->tls == TLS_OPPORTUNISTIC || tenant->tls_verify == TLS_VERIFY_NONE)
		return false;
	return tenant->tls_verify == TLS_VERIFY_FINGERPRINT || tenant->tls_fingerprints;
}

/* GnuTLS opens that list itself and tells a missing one from a shortage of descriptors by nothing: we try. */
static enum error cannot_have_system_trust(enum error error, const struct words *why, struct words *words)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd < 0 && error_is_shortage(errno)) {
		words_set_errno(words, errno, "the list of trusted authorities cannot be read");
		return ERROR_UNAVAILABLE;
	}
	if (fd >= 0)
		close(fd);
	words_set(words, "this system has no list of trusted authorities (Debian: ca-certificates): %s",
	          why->text);
	return error;
}

enum error tls_trust_load(const char *ca_file, struct tls_trust **trust, struct words *words)
{
	struct buffer pem;
	struct words why;
	enum error error;

	*trust = NULL;
	if (!ca_file) {
		error = tls_trust_parse(NULL, trust, &why);
		return error == OK ? OK : cannot_have_system_trust(error, &why, words);
	}
	error = pem_file_read("tls_ca_file", ca_file, &pem, words);
	if (error == OK) {
		error = tls_trust_parse(&pem, trust, &why);
		if (error != OK)
			words_set(words, "tls_ca_file %s holds no certificate in PEM: %s", ca_file, why.text);
	}
	buffer_fini(&pem);
	return error;
}

static enum error check_pins(const struct tenant_settings *tenant, struct words *words)
{
	if (tenant->tls_fingerprints)
		return fingerprint_check(tenant->tls_fingerprints, words);
	if (!tls_verifies_pins(tenant))
		return OK;
	words_set(words, "tls_verify = fingerprint needs tls_fingerprints");
	return ERROR_INVALID;
}

/* The name as certificates and SNI have it; false if there is none that could be. */
static bool take_name(struct tls_peer *peer)
{
	const char *name = peer->tenant->tls_name ? peer->tenant->tls_name : peer->tenant->host;
	size_t length = name ? strlen(name) : 0;
	struct in6_addr address;

	if (length > 1 && name[0] == '[' && name[length - 1] == ']') {
		name++;
		length -= 2;
	} else if (length > 1 && name[length - 1] == '.') {
		length--;
	}
	if (length == 0 || length >= sizeof(peer->name))
		return false;
	memcpy(peer->name, name, length);
	/* RFC 6066 3: no literal in SNI */
	peer->is_address = inet_pton(AF_INET, peer->name, &address) == 1 ||
	                   inet_pton(AF_INET6, peer->name, &address) == 1;
	return true;
}

enum error tls_settings_check(const struct tenant_settings *tenant, struct words *words)
{
	enum error error = check_pins(tenant, words);

	if (error == OK)
		error = tls_check_priority(tenant, words);
	if (error == OK && !tenant->tls_cert_file != !tenant->tls_key_file) {
		words_set(words, "%s is set and %s is not (one file may hold both: then both name it)",
		          tenant->tls_cert_file ? "tls_cert_file" : "tls_key_file",
		          tenant->tls_cert_file ? "tls_key_file" : "tls_cert_file");
		error = ERROR_INVALID;
	}
	return error;
}

ssize_t tls_wire_pull(void *context, void *bytes, size_t capacity)
{
	struct tls_wire *wire = context;
	ssize_t got = recv(wire->fd, bytes, capacity, MSG_DONTWAIT);

	if (got > 0 && !wire->heard) {
		wire->heard = true;
		wire->first = *(unsigned char *)bytes;
	}
	return got;
}

ssize_t tls_wire_push(void *context, const struct iovec *parts, int count)
{
	struct tls_wire *wire = context;
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };

	return sendmsg(wire->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* RFC 8446 5.1: what comes first is a handshake record, or an alert. */
bool tls_wire_is_tls(const struct tls_wire *wire)
{
	return !wire->heard || wire->first == 22 || wire->first == 21;
}

void tls_tell_clear(const struct tenant_settings *tenant, struct words *words)
{
	words_set(words, "%s speaks in clear on port %d, where tls = implicit expects TLS", tenant->host,
	          tenant->port);
}

static enum error shake_hands(int fd, struct tls *tls, const char *host, int64_t deadline_ms,
                              const struct interrupt *interrupt, struct words *words)
{
	for (;;) {
		short want;
		enum error error = tls_handshake(tls, &want);

		if (error != OK || want == 0)
			return error;
		error = wait_for(fd, want, deadline_ms, interrupt);
		if (error == OK)
			continue;
		words_set(words, "%s%s", host,
		          error == ERROR_TIMEOUT ? " did not finish the TLS handshake in time"
		                                 : ": the TLS handshake was called off");
		return error;
	}
}

enum error tls_start(int fd, const struct tls_settings *settings, int64_t deadline_ms,
                     const struct interrupt *interrupt, struct tls **tls, struct words *words)
{
	const struct tenant_settings *tenant = settings->tenant;
	struct tls_peer peer = { .tenant = tenant };
	enum error error = check_pins(tenant, words);

	*tls = NULL;
	assert(settings->trust || !tls_verifies_chain(tenant));
	if (error != OK)
		return error;
	if (!take_name(&peer)) {
		words_set(words, "tls_name (or host) is not the name of a server");
		return ERROR_INVALID;
	}
	error = tls_create(fd, &peer, settings, words, tls);
	if (error != OK)
		return error;
	error = shake_hands(fd, *tls, tenant->host, deadline_ms, interrupt, words);
	if (error != OK)
		tls_close(tls);
	return error;
}
