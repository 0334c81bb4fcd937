/*
 * host.c - names and literals of hosts. Pure, but for the names of interfaces.
 *
 * Nothing is asked of anybody here. ERROR_INVALID with words for what is no name.
 */
#include "smtp/host.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

void host_add_address(struct resolved *resolved, const struct sockaddr *address, socklen_t length, int port)
{
	struct sockaddr_storage *to = &resolved->addresses[resolved->count];

	if (resolved->count == RESOLVED_MAX || length > sizeof(*to))
		return;
	memset(to, 0, sizeof(*to));
	memcpy(to, address, length);
	if (to->ss_family == AF_INET)
		((struct sockaddr_in *)(void *)to)->sin_port = htons((uint16_t)port);
	else if (to->ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)to)->sin6_port = htons((uint16_t)port);
	else
		return;
	resolved->lengths[resolved->count++] = length;
}

/* RFC 4007 11: the zone behind '%' is an interface. False if there is none of that name. */
static bool take_zone(char *text, uint32_t *zone)
{
	char *percent = strchr(text, '%');

	*zone = 0;
	if (!percent)
		return true;
	*percent = '\0';
	*zone = if_nametoindex(percent + 1);
	return *zone != 0;
}

bool host_parse_literal(const char *host, int port, struct resolved *resolved)
{
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	char text[HOST_BYTES];
	size_t length = strlen(host);

	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
		if (text_starts_nocase(host, "IPv6:")) { /* as RFC 5321 4.1.3 writes it */
			host += 5;
			length -= 5;
		}
	}
	if (length >= sizeof(text))
		return false;
	memcpy(text, host, length);
	text[length] = '\0';
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		host_add_address(resolved, (const struct sockaddr *)&four, sizeof(four), port);
	else if (take_zone(text, &six.sin6_scope_id) && inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
		host_add_address(resolved, (const struct sockaddr *)&six, sizeof(six), port);
	return resolved->count > 0;
}

/* The name as the DNS has it: RFC 5890 A-labels for what is not ASCII. */
enum error host_to_ascii(const char *host, char name[HOST_BYTES], struct words *words)
{
	char *converted = NULL;
	int rc;

	if (text_is_ascii(host, strlen(host))) {
		rc = snprintf(name, HOST_BYTES, "%s", host);
		if (rc > 0 && rc < HOST_BYTES)
			return OK;
		words_set(words, "'%.80s' is not the name of a host", host);
		return ERROR_INVALID;
	}
	rc = idn2_lookup_u8((const uint8_t *)host, (uint8_t **)&converted,
	                    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK) {
		words_set(words, "'%.80s' is not the name of a host: %s", host, idn2_strerror(rc));
		return ERROR_INVALID;
	}
	snprintf(name, HOST_BYTES, "%s", converted);
	idn2_free(converted);
	return OK;
}
