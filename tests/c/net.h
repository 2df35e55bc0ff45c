/* What the tests of the server share: plain blocking sockets, small backends on threads of the test, counts of
 * what the process holds. No wait is without an end: sockets give up after DEADLINE_S, and the alarm of `main`
 * ends everything. Include it first: it asks for more than C99 has. */
#ifndef NET_H
#define NET_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { DEADLINE_S = 20, SESSIONS_MAX = 256 };

static MAYBE_UNUSED uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Between two looks at what nobody tells of. Not sched_yield: in a loop it is always ready to run, and takes time from
 * the threads it waits for. */
static MAYBE_UNUSED void nap(void)
{
    const struct timespec time = {0, 1000000};
    nanosleep(&time, NULL);
}

static MAYBE_UNUSED unsigned entries_of(const char *folder)
{
    unsigned count = 0;
    DIR *open = opendir(folder);
    CHECK(open != NULL);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        count += entry->d_name[0] != '.';
    }
    closedir(open);
    return count;
}

/* How many threads the process has. */
static MAYBE_UNUSED unsigned threads(void)
{
    return entries_of("/proc/self/task");
}

/* How many descriptors are open, the one that looks included. */
static MAYBE_UNUSED unsigned descriptors(void)
{
    return entries_of("/proc/self/fd");
}

/* The system lists a thread for a moment after it was joined. */
static MAYBE_UNUSED void expect_threads(unsigned count)
{
    uint64_t until = now_ms() + DEADLINE_S * 1000;
    while (threads() > count && now_ms() < until) {
        nap();
    }
    CHECK(threads() == count);
}

/* A backend on a thread of its own sees the end of its last session a moment later. */
static MAYBE_UNUSED void expect_descriptors(unsigned count)
{
    uint64_t until = now_ms() + DEADLINE_S * 1000;
    while (descriptors() > count && now_ms() < until) {
        nap();
    }
    CHECK(descriptors() == count);
}

static MAYBE_UNUSED void give_up_after(int fd, int seconds)
{
    struct timeval time = {seconds, 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
}

static MAYBE_UNUSED struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

/* A socket that listens on a port of the system's choice. */
static MAYBE_UNUSED int listen_anywhere(uint16_t *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&address, size) == 0);
    CHECK(listen(fd, 128) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* Connects; -1 when that is refused. */
static MAYBE_UNUSED int try_dial(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    give_up_after(fd, DEADLINE_S);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Linux may forget to tell of a connection that arrives just when the listening socket is closed. Who asks after
     * a second of silence is told then; a session that is held open and says nothing is still a failure. */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof one) == 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        CHECK(errno == ECONNREFUSED || errno == ECONNRESET);
        close(fd);
        return -1;
    }
    return fd;
}

static MAYBE_UNUSED int dial(uint16_t port)
{
    int fd = try_dial(port);
    CHECK(fd >= 0);
    return fd;
}

/* Reads exactly `size` bytes; 0 when the other side ended or broke off before. */
static MAYBE_UNUSED int read_all(int fd, void *bytes, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t more = recv(fd, (char *)bytes + have, size - have, 0);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        /* A deadline passed: the test waits for what does not come. */
        CHECK(!(more < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)));
        if (more <= 0) {
            return 0;
        }
        have += (size_t)more;
    }
    return 1;
}

/* Writes all of it; 0 when the other side broke off. */
static MAYBE_UNUSED int write_all(int fd, const void *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t more = send(fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        CHECK(!(more < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)));
        if (more < 0) {
            return 0;
        }
        done += (size_t)more;
    }
    return 1;
}

/* Waits for the other side's end, after which nothing comes: 1 for a FIN, 0 for a reset. */
static MAYBE_UNUSED int is_ended(int fd)
{
    char byte;
    ssize_t more = recv(fd, &byte, 1, 0);
    CHECK(more <= 0);
    CHECK(!(more < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)));
    return more == 0;
}

/* --- backends ------------------------------------------------------------------------------------------- */

/* Greets each client with its letter, then says everything back to it. */
struct backend {
    char letter;
    uint16_t port;
    int listening;
    int stop[2];
    pthread_t thread;
    /* Sessions begun, and those open. */
    unsigned begun;
    unsigned open;
};

static void end_session(struct backend *backend, struct pollfd *polled, nfds_t *count, nfds_t at)
{
    /* A child of the process may hold a copy. */
    shutdown(polled[at].fd, SHUT_RDWR);
    close(polled[at].fd);
    polled[at] = polled[--*count];
    __atomic_fetch_sub(&backend->open, 1, __ATOMIC_RELEASE);
}

static void *serve_backend(void *argument)
{
    struct backend *backend = argument;
    struct pollfd polled[2 + SESSIONS_MAX];
    nfds_t count = 2;
    polled[0].fd = backend->stop[0];
    polled[1].fd = backend->listening;
    polled[0].events = polled[1].events = POLLIN;
    for (;;) {
        CHECK(poll(polled, count, -1) > 0 || errno == EINTR);
        if (polled[0].revents != 0) {
            break;
        }
        if (polled[1].revents != 0) {
            int fd = accept(backend->listening, NULL, NULL);
            CHECK(fd >= 0 && count < 2 + SESSIONS_MAX);
            give_up_after(fd, DEADLINE_S);
            __atomic_fetch_add(&backend->begun, 1, __ATOMIC_RELEASE);
            __atomic_fetch_add(&backend->open, 1, __ATOMIC_RELEASE);
            polled[count].fd = fd;
            polled[count].revents = 0;
            polled[count++].events = POLLIN;
            (void)write_all(fd, &backend->letter, 1);
        }
        for (nfds_t at = count; at-- > 2;) {
            char bytes[16384];
            if (polled[at].revents == 0) {
                continue;
            }
            ssize_t size = recv(polled[at].fd, bytes, sizeof bytes, 0);
            if (size <= 0 || !write_all(polled[at].fd, bytes, (size_t)size)) {
                end_session(backend, polled, &count, at);
            }
        }
    }
    while (count > 2) {
        end_session(backend, polled, &count, count - 1);
    }
    return NULL;
}

static MAYBE_UNUSED void backend_start(struct backend *backend, char letter)
{
    memset(backend, 0, sizeof *backend);
    backend->letter = letter;
    backend->listening = listen_anywhere(&backend->port);
    CHECK(pipe2(backend->stop, O_CLOEXEC) == 0);
    CHECK(pthread_create(&backend->thread, NULL, serve_backend, backend) == 0);
}

/* Its sessions end with it, and its port refuses. */
static MAYBE_UNUSED void backend_stop(struct backend *backend)
{
    CHECK(write(backend->stop[1], "x", 1) == 1);
    CHECK(pthread_join(backend->thread, NULL) == 0);
    close(backend->stop[0]);
    close(backend->stop[1]);
    close(backend->listening);
}

/* --- servers -------------------------------------------------------------------------------------------- */

/* Appends to a text of `size` bytes. */
static MAYBE_UNUSED void append(char *text, size_t size, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
    CHECK(more >= 0 && length + (size_t)more < size);
}

/* A configuration: `workers`, one listener "web" on a port of the system's choice with `timeouts` (may be
 * empty), one pool "app" by round robin of these backends, each named after its letter. */
static MAYBE_UNUSED const char *config_of(unsigned workers, const char *timeouts, const struct backend *const *backends,
                                          unsigned count)
{
    static __thread char text[4096];
    text[0] = '\0';
    append(text, sizeof text, "[runtime]\nworkers = %u\n\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n",
           workers);
    append(text, sizeof text, "pool = \"app\"\ntimeouts = { %s }\n\n[[pool]]\nname = \"app\"\nseed = 0\n", timeouts);
    for (unsigned at = 0; at < count; at++) {
        append(text, sizeof text, "[[pool.backend]]\nname = \"%c\"\naddress = \"127.0.0.1:%u\"\n", backends[at]->letter,
               (unsigned)backends[at]->port);
    }
    return text;
}

static MAYBE_UNUSED trimtab_server *server_of(const char *config, trimtab_event_fn on_event, void *user_data)
{
    trimtab_server *server = NULL;
    OK(trimtab_server_new(STR(config), STR("test.toml"), &server, on_event, user_data));
    return server;
}

/* The port of "127.0.0.1:PORT". */
static MAYBE_UNUSED uint16_t port_in(const char *address)
{
    const char *colon = strrchr(address, ':');
    CHECK(strncmp(address, "127.0.0.1:", 10) == 0 && colon != NULL);
    unsigned long port = strtoul(colon + 1, NULL, 10);
    CHECK(port > 0 && port < 65536);
    return (uint16_t)port;
}

static MAYBE_UNUSED uint16_t port_of(const trimtab_server *server, const char *listener)
{
    char address[64];
    OK(trimtab_server_address_copy(server, STR(listener), address, sizeof address, NULL));
    return port_in(address);
}

static MAYBE_UNUSED int32_t state_of(const trimtab_server *server)
{
    int32_t state = -1;
    OK(trimtab_server_state(server, &state));
    return state;
}

static MAYBE_UNUSED trimtab_server_statistics server_statistics_of(const trimtab_server *server)
{
    trimtab_server_statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    OK(trimtab_server_statistics_read(server, &statistics));
    return statistics;
}

static MAYBE_UNUSED trimtab_listener_statistics listener_statistics_of(const trimtab_server *server,
                                                                       const char *listener)
{
    trimtab_listener_statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    OK(trimtab_server_listener_statistics_read(server, STR(listener), &statistics));
    return statistics;
}

static MAYBE_UNUSED trimtab_pool *pool_of(const trimtab_server *server, const char *name)
{
    trimtab_pool *pool = NULL;
    OK(trimtab_server_pool(server, STR(name), &pool));
    return pool;
}

static MAYBE_UNUSED uint64_t id_of(const trimtab_pool *pool, const char *name)
{
    uint64_t id = 0;
    OK(trimtab_pool_find(pool, STR(name), &id));
    return id;
}

/* A session through the server: the letter of the backend it leads to; 0 when it broke off. */
static MAYBE_UNUSED char greeting(int client)
{
    char letter = 0;
    return read_all(client, &letter, 1) ? letter : (char)0;
}

/* Says something and hears it back; 0 when the session broke off. */
static MAYBE_UNUSED int say(int client, const char *text)
{
    char heard[256];
    size_t size = strlen(text);
    CHECK(size <= sizeof heard);
    if (!write_all(client, text, size) || !read_all(client, heard, size)) {
        return 0;
    }
    CHECK(memcmp(heard, text, size) == 0);
    return 1;
}

/* One whole session: the letter of the backend. */
static MAYBE_UNUSED char visit(uint16_t port)
{
    int client = dial(port);
    char letter = greeting(client);
    CHECK(letter != 0);
    CHECK(say(client, "hello"));
    CHECK(shutdown(client, SHUT_WR) == 0);
    CHECK(is_ended(client) == 1);
    close(client);
    return letter;
}

/* Waits until the server counts no session. A client sees its end a moment before it is counted. */
static MAYBE_UNUSED void expect_no_sessions(const trimtab_server *server)
{
    uint64_t until = now_ms() + DEADLINE_S * 1000;
    while (server_statistics_of(server).sessions > 0 && now_ms() < until) {
        nap();
    }
    CHECK(server_statistics_of(server).sessions == 0);
}

#endif
