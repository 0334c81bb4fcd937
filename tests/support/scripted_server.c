/*
 * scripted_server.c - see scripted_server.h: listening, connections, counting.
 */
#include "tests/support/scripted_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/scripted_words.h"

#define TEXT_LIMIT    (64 << 20)
#define RECEIVE_BYTES 65536 /* the kernel's buffer: a text that is not read soon stops the client */

bool server_play(struct scripted_server *server, int index)
{
	struct play play = { .server = server };
	struct pollfd fd = { .fd = server->listener, .events = POLLIN };
	bool good = true;

	if (poll(&fd, 1, PEER_WAIT_MS) <= 0) {
		buffer_printf(&server->problem, "connection %d: the client did not come\n", index);
		return false;
	}
	peer_init(&play.peer, accept(server->listener, NULL, NULL));
	server->connections++;
	for (size_t i = 0; good && !play.over && i < server->page->count; i++) {
		play.line = &server->page->lines[i];
		if (play.line->part == PAGE_SERVER && play.line->index == index)
			good = play_line(&play);
	}
	if (good && !play.over)
		good = play_end(&play);
	peer_close(&play.peer);
	return good;
}

bool server_listen(struct scripted_server *server, const struct page *page,
                   const struct test_certificate *certificate)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	const int receive = RECEIVE_BYTES;

	*server = (struct scripted_server){ .page = page, .certificate = certificate };
	buffer_init(&server->heard, TEXT_LIMIT);
	buffer_init(&server->problem, TEXT_LIMIT);
	for (int i = 0; i < RECEIVED_MAX; i++)
		buffer_init(&server->received[i], TEXT_LIMIT);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(server->listener, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, length) < 0 ||
	    getsockname(server->listener, (struct sockaddr *)&address, &length) < 0)
		return false;
	server->port = ntohs(address.sin_port);
	return listen(server->listener, 16) == 0;
}

void server_stop_listening(struct scripted_server *server)
{
	if (server->listener >= 0)
		close(server->listener);
	server->listener = -1;
}

void server_fini(struct scripted_server *server)
{
	server_stop_listening(server);
	buffer_fini(&server->heard);
	buffer_fini(&server->problem);
	for (int i = 0; i < RECEIVED_MAX; i++)
		buffer_fini(&server->received[i]);
}

int server_heard(const struct scripted_server *server, const char *beginning)
{
	size_t length = strlen(beginning);
	int count = 0;

	for (const char *line = server->heard.length > 0 ? server->heard.data : ""; *line;) {
		count += strncmp(line, beginning, length) == 0;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return count;
}
