/*
 * A relay within a program, on threads of its own: two backends, one listener in front of them, six visits, one
 * backend drained, six visits more.
 *
 *     cc -std=c99 relay.c $(pkg-config --cflags --libs trimtab) -o relay && ./relay
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <trimtab.h>
#include <unistd.h>

enum { VISITS = 6 };

/* Where the configuration says port 0 the system chooses one. */
static const char configuration[] = "[[listener]]\n"
                                    "name = \"web\"\n"
                                    "bind = \"127.0.0.1:0\"\n"
                                    "pool = \"app\"\n"
                                    "[[pool]]\n"
                                    "name = \"app\"\n"
                                    "policy = \"round-robin\"\n";

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

/* --- two backends: each says its name and closes --------------------------------------------------------- */

struct backend {
    const char *name;
    int fd;
    uint16_t port;
    pthread_t thread;
};

static void *greet(void *argument)
{
    const struct backend *backend = argument;
    int client;
    while ((client = accept(backend->fd, NULL, NULL)) >= 0) {
        must(send(client, backend->name, strlen(backend->name), MSG_NOSIGNAL) > 0, "send");
        close(client);
    }
    return NULL;
}

static void start_backend(struct backend *backend, const char *name)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    backend->name = name;
    backend->fd = socket(AF_INET, SOCK_STREAM, 0);
    must(backend->fd >= 0, "socket");
    must(bind(backend->fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(backend->fd, 16) == 0, "listen");
    must(getsockname(backend->fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    backend->port = ntohs(address.sin_port);
    must(pthread_create(&backend->thread, NULL, greet, backend) == 0, "pthread_create");
}

static void stop_backend(const struct backend *backend)
{
    shutdown(backend->fd, SHUT_RDWR); /* ends its accept */
    pthread_join(backend->thread, NULL);
    close(backend->fd);
}

/* --- the relay ------------------------------------------------------------------------------------------- */

static void tell(const trimtab_event *event, void *user_data)
{
    (void)user_data; /* on a thread of the server's, or on the one whose call it comes from */
    printf("    event: %s %s %s\n", event->name, event->backend, event->value);
}

static void visit(uint16_t port)
{
    char name[16];
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    must(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    ssize_t size = recv(fd, name, sizeof name, MSG_WAITALL);
    must(size > 0, "recv");
    printf(" %.*s", (int)size, name);
    close(fd);
}

static void visits(const char *when, uint16_t port)
{
    printf("%s:", when);
    for (int number = 0; number < VISITS; number++) {
        visit(port);
    }
    printf("\n");
}

static uint64_t add(const trimtab_pool *pool, const struct backend *backend)
{
    char address[32];
    uint64_t id = 0;
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)backend->port);
    check(trimtab_pool_add_backend(pool, trimtab_str_of(address), 1, &id));
    return id;
}

int main(void)
{
    struct backend first, second;
    trimtab_server *server = NULL;
    trimtab_pool *pool = NULL;
    char where[64];
    trimtab_server_statistics statistics = {0};

    start_backend(&first, "first");
    start_backend(&second, "second");
    check(trimtab_server_new(trimtab_str_of(configuration), trimtab_str_of("relay.c"), &server, tell, NULL));
    check(trimtab_server_pool(server, trimtab_str_of("app"), &pool));
    uint64_t id = add(pool, &first);
    add(pool, &second);
    check(trimtab_server_start(server));
    check(trimtab_server_address_copy(server, trimtab_str_of("web"), where, sizeof where, NULL));
    uint16_t port = (uint16_t)atoi(strrchr(where, ':') + 1);

    visits("both", port);
    check(trimtab_pool_set_admin(pool, id, TRIMTAB_ADMIN_DRAIN));
    visits("first drained", port);

    check(trimtab_server_drain(server, -1)); /* sessions may end by themselves, for as long as configured */
    check(trimtab_server_wait(server, -1));
    statistics.struct_size = sizeof statistics;
    check(trimtab_server_statistics_read(server, &statistics));
    printf("%llu sessions, %llu failed\n", (unsigned long long)statistics.accepted,
           (unsigned long long)statistics.failed);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
    stop_backend(&first);
    stop_backend(&second);
    return statistics.accepted == 2 * VISITS && statistics.failed == 0 ? 0 : 1;
}
