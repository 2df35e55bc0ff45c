/*
 * A relay within a program that has a loop of its own: one epoll set holds the server's one descriptor beside the
 * program's. Nothing here makes a thread, and nothing is done but in this loop.
 *
 *     cc -std=c99 epoll_loop.c $(pkg-config --cflags --libs trimtab) -o epoll_loop && ./epoll_loop
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <trimtab.h>
#include <unistd.h>

enum { VISITS = 10, TEXT = 128 };

static void check(trimtab_status status)
{
    if (status != TRIMTAB_OK) {
        char detail[512];
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "error %d: %s\n", (int)status, detail);
        exit(1);
    }
}

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

/* What the program's descriptors are for. */
enum role { SERVER, BACKEND, SESSION, CLIENT };

static int set;

static void watch(int fd, enum role role)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.u64 = (uint64_t)role << 32 | (uint32_t)fd;
    must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    must(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    return fd;
}

/* The program's own backend: it answers what it hears. */
static int listen_anywhere(uint16_t *port_out)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fd, 16) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    *port_out = ntohs(address.sin_port);
    return fd;
}

int main(void)
{
    char configuration[512], where[64], text[TEXT];
    uint16_t backend_port;
    int backend = listen_anywhere(&backend_port);
    trimtab_server *server = NULL;
    int32_t state = TRIMTAB_SERVER_NEW, fd = -1;
    int visits = 0, answers = 0;

    snprintf(configuration, sizeof configuration,
             "listener = [{ name = \"web\", bind = \"127.0.0.1:0\", pool = \"app\" }]\n"
             "[[pool]]\nname = \"app\"\nbackend = [{ address = \"127.0.0.1:%u\" }]\n",
             (unsigned)backend_port);
    check(trimtab_server_new(trimtab_str_of(configuration), trimtab_str_of("epoll_loop.c"), &server, NULL, NULL));
    check(trimtab_server_start_hosted(server));
    check(trimtab_server_poll_fd(server, &fd));
    check(trimtab_server_address_copy(server, trimtab_str_of("web"), where, sizeof where, NULL));
    uint16_t port = (uint16_t)atoi(strrchr(where, ':') + 1);

    set = epoll_create1(EPOLL_CLOEXEC);
    must(set >= 0, "epoll_create1");
    watch(fd, SERVER);
    watch(backend, BACKEND);

    while (state != TRIMTAB_SERVER_STOPPED) {
        struct epoll_event events[16];
        int32_t timeout_ms = -1;
        if (visits < VISITS && answers == visits) {
            int client = connect_to(port);
            snprintf(text, sizeof text, "visit %d", ++visits);
            must(send(client, text, strlen(text), MSG_NOSIGNAL) > 0, "send");
            watch(client, CLIENT);
        }
        check(trimtab_server_next_timeout(server, &timeout_ms));
        int count = epoll_wait(set, events, 16, timeout_ms);
        must(count >= 0, "epoll_wait");
        for (int at = 0; at < count; at++) {
            int ready = (int)(uint32_t)events[at].data.u64;
            switch ((enum role)(events[at].data.u64 >> 32)) {
            case SERVER:
                break; /* its turn comes below, as it does when only time has passed */
            case BACKEND:
                ready = accept(backend, NULL, NULL);
                must(ready >= 0, "accept");
                watch(ready, SESSION);
                break;
            case SESSION: {
                ssize_t size = recv(ready, text, sizeof text, 0);
                if (size > 0) {
                    must(send(ready, text, (size_t)size, MSG_NOSIGNAL) == size, "send");
                } else {
                    close(ready);
                }
                break;
            }
            case CLIENT: {
                ssize_t size = recv(ready, text, sizeof text, 0);
                must(size > 0, "recv");
                printf("answered: %.*s\n", (int)size, text);
                close(ready);
                answers++;
                if (answers == VISITS) {
                    check(trimtab_server_drain(server, -1));
                }
                break;
            }
            }
        }
        check(trimtab_server_turn(server, 0, NULL));
        check(trimtab_server_state(server, &state));
    }

    trimtab_server_statistics statistics = {0};
    statistics.struct_size = sizeof statistics;
    check(trimtab_server_statistics_read(server, &statistics));
    printf("%llu sessions, %llu failed, no thread but this one\n", (unsigned long long)statistics.accepted,
           (unsigned long long)statistics.failed);
    trimtab_server_free(server);
    close(set);
    close(backend);
    return statistics.accepted == VISITS && answers == VISITS ? 0 : 1;
}
