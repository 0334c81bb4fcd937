/*
 * replay.c - runs a fuzz target over files, without libFuzzer: `make check`.
 *
 * fuzz_NAME [FILE]...
 *
 * Without arguments, all of tests/fuzz/corpus/NAME in $OUTBOXD_SOURCE. A
 * target that finds something wrong aborts; a corpus that is not there, or is
 * empty, is a failure too.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16 << 20)

static void replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct buffer input;
	char chunk[65536];
	uint8_t *exact;
	size_t got;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	buffer_init(&input, INPUT_MAX);
	while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0) {
		if (!buffer_append(&input, chunk, got)) {
			fprintf(stderr, "%s: too large\n", path);
			exit(EXIT_FAILURE);
		}
	}
	fclose(file);
	/* an exact copy, so that a sanitizer sees a read beyond the end; told first, should it abort */
	fprintf(stderr, "%s\n", path);
	exact = malloc(input.length ? input.length : 1);
	if (!exact)
		abort();
	if (input.length > 0)
		memcpy(exact, input.data, input.length);
	LLVMFuzzerTestOneInput(exact, input.length);
	free(exact);
	buffer_fini(&input);
}

static int replay_corpus(const char *folder)
{
	DIR *directory = opendir(folder);
	const struct dirent *entry;
	int files = 0;

	if (!directory) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		return 0;
	}
	while ((entry = readdir(directory)) != NULL) {
		struct buffer path;

		if (entry->d_name[0] == '.')
			continue;
		buffer_init(&path, SIZE_MAX);
		buffer_printf(&path, "%s/%s", folder, entry->d_name);
		replay(path.data);
		buffer_fini(&path);
		files++;
	}
	closedir(directory);
	return files;
}

int main(int argc, char **argv)
{
	const char *source = getenv("OUTBOXD_SOURCE");
	const char *name = strrchr(argv[0], '/');
	struct buffer folder;
	int files = argc - 1;

	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc == 1) {
		name = name ? name + 1 : argv[0];
		name = strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
		buffer_init(&folder, SIZE_MAX);
		buffer_printf(&folder, "%s/tests/fuzz/corpus/%s", source ? source : ".", name);
		files = replay_corpus(folder.data);
		buffer_fini(&folder);
	}
	printf("%d inputs\n", files);
	return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
