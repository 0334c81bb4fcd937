/*
 * fuzz_loopback.c - whatever comes to the port that a browser comes back to.
 *
 * A code only with the state and from a whole GET; words without control characters; what is
 * decided stays decided when more comes after the header.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/loopback.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct secret code = { NULL, 0 };
	struct words words = { "" };
	char *octets = malloc(size + 1); /* so that a read behind the end is seen */
	enum loopback_request request;

	must(octets != NULL);
	if (size)
		memcpy(octets, data, size);
	request = loopback_read(octets, size, "state-of-ours", &code, &words);
	must(secret_is_set(&code) == (request == LOOPBACK_CODE));
	must((words.text[0] != '\0') == (request == LOOPBACK_DENIED));
	if (request == LOOPBACK_CODE || request == LOOPBACK_DENIED)
		must(memcmp(octets, "GET /?", 6) == 0 && memmem(octets, size, "\r\n\r\n", 4) != NULL);
	if (request == LOOPBACK_CODE)
		must(code.length > 0 && code.length <= LOOPBACK_CODE_BYTES &&
		     memchr(code.bytes, '\0', code.length) == NULL);
	for (const char *at = words.text; *at; at++)
		must((unsigned char)*at >= 0x20 && *at != 0x7f);
	secret_wipe(&code);
	if (request != LOOPBACK_MORE && size > 0) {
		octets[size] = 'x';
		must(loopback_read(octets, size + 1, "state-of-ours", &code, &words) == request);
		secret_wipe(&code);
	}
	free(octets);
	return 0;
}
