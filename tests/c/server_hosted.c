/*
 * A server in the host's loop: one thread with one epoll set for the server, its clients and its backend. No
 * thread appears.
 */
#include "net.h"

#include <sys/epoll.h>
#include <sys/resource.h>

/* --- a loop with everything in it ----------------------------------------------------------------------- */

enum { CLIENTS = 50, WORDS = 8 };

/* What a descriptor in the set is. */
enum role { SERVER, LISTENER, BACKEND, CLIENT };

struct client {
    int fd;
    unsigned heard;
    int is_connected;
};

static int set;
static struct client clients[CLIENTS];
static unsigned finished;

static void watch(int fd, enum role role, unsigned index, uint32_t events)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = (uint64_t)role << 48 | (uint64_t)index << 32 | (uint32_t)fd;
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void serve_client(unsigned index)
{
    struct client *client = &clients[index];
    char bytes[64];
    if (!client->is_connected) {
        struct epoll_event event;
        int error = -1;
        socklen_t size = sizeof error;
        CHECK(getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
        client->is_connected = 1;
        memset(&event, 0, sizeof event);
        event.events = EPOLLIN;
        event.data.u64 = (uint64_t)CLIENT << 48 | (uint64_t)index << 32 | (uint32_t)client->fd;
        CHECK(epoll_ctl(set, EPOLL_CTL_MOD, client->fd, &event) == 0);
        CHECK(send(client->fd, "w", 1, MSG_NOSIGNAL) == 1);
        return;
    }
    ssize_t size = recv(client->fd, bytes, sizeof bytes, 0);
    CHECK(size >= 0);
    client->heard += (unsigned)size;
    if (size == 0) {
        CHECK(client->heard == WORDS);
        close(client->fd);
        finished++;
    } else if (client->heard == WORDS) {
        CHECK(shutdown(client->fd, SHUT_WR) == 0);
    } else {
        CHECK(send(client->fd, "w", 1, MSG_NOSIGNAL) == 1);
    }
}

static void serve_backend_session(int fd)
{
    char bytes[64];
    ssize_t size = recv(fd, bytes, sizeof bytes, 0);
    if (size <= 0) {
        close(fd);
        return;
    }
    CHECK(send(fd, bytes, (size_t)size, MSG_NOSIGNAL) == size);
}

/* Waits once, as long as the server says, and does what came. */
static void turn_the_loop(const trimtab_server *server, int backend)
{
    struct epoll_event events[16];
    int32_t timeout_ms = -2;
    OK(trimtab_server_next_timeout(server, &timeout_ms));
    CHECK(timeout_ms >= -1);
    int count = epoll_wait(set, events, 16, timeout_ms);
    CHECK(count >= 0);
    int is_servers = count == 0;
    for (int at = 0; at < count; at++) {
        unsigned role = (unsigned)(events[at].data.u64 >> 48);
        unsigned index = (unsigned)(events[at].data.u64 >> 32) & 0xffff;
        int fd = (int)(uint32_t)events[at].data.u64;
        if (role == SERVER) {
            is_servers = 1;
        } else if (role == LISTENER) {
            int session = accept4(backend, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            CHECK(session >= 0);
            watch(session, BACKEND, 0, EPOLLIN);
        } else if (role == BACKEND) {
            serve_backend_session(fd);
        } else {
            serve_client(index);
        }
    }
    if (is_servers) {
        OK(trimtab_server_turn(server, 0, NULL));
    }
}

static trimtab_server *hosted(const char *timeouts, uint16_t backend_port, trimtab_event_fn on_event, void *user_data)
{
    struct backend backend = {0};
    const struct backend *const one[] = {&backend};
    backend.letter = 'x';
    backend.port = backend_port;
    /* The workers it asks for are not made. */
    trimtab_server *server = server_of(config_of(4, timeouts, one, 1), on_event, user_data);
    OK(trimtab_server_start_hosted(server));
    return server;
}

/* Until the server's first session has reached the backend. */
static void turn_until_open(const trimtab_server *server, const struct backend *backend)
{
    while (__atomic_load_n(&backend->open, __ATOMIC_ACQUIRE) == 0) {
        OK(trimtab_server_turn(server, 1, NULL));
    }
}

static void everything_on_one_thread(void)
{
    uint16_t backend_port = 0;
    int32_t fd = -1;
    int32_t timeout_ms = -2;
    uint64_t deadline = 0;
    int backend = listen_anywhere(&backend_port);
    set = epoll_create1(EPOLL_CLOEXEC);
    CHECK(set >= 0);
    trimtab_server *server = hosted("", backend_port, NULL, NULL);
    CHECK(threads() == 1);
    CHECK(state_of(server) == TRIMTAB_SERVER_RUNNING);
    OK(trimtab_server_next_timeout(server, &timeout_ms));
    OK(trimtab_server_next_deadline(server, &deadline));
    CHECK(timeout_ms == -1 && deadline == TRIMTAB_NO_TIME);
    EXPECT(TRIMTAB_E_STATE, trimtab_server_wait(server, 0));
    CHECK(strstr(last_error(), "hosted") != NULL);
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start(server));

    OK(trimtab_server_poll_fd(server, &fd));
    watch(fd, SERVER, 0, EPOLLIN);
    watch(backend, LISTENER, 0, EPOLLIN);
    struct sockaddr_in address = loopback(port_of(server, "web"));
    for (unsigned at = 0; at < CLIENTS; at++) {
        clients[at].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(clients[at].fd >= 0);
        CHECK(connect(clients[at].fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
        watch(clients[at].fd, CLIENT, at, EPOLLOUT);
    }
    while (finished < CLIENTS) {
        turn_the_loop(server, backend);
        CHECK(threads() == 1);
    }
    CHECK(server_statistics_of(server).accepted == CLIENTS);
    while (server_statistics_of(server).sessions > 0) {
        turn_the_loop(server, backend);
    }
    CHECK(server_statistics_of(server).finished == CLIENTS);

    /* With nothing to wait for, a drain ends it in the next turn, for which the descriptor is readable. */
    OK(trimtab_server_drain(server, 1000));
    while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
        turn_the_loop(server, backend);
    }
    EXPECT(TRIMTAB_E_STATE, trimtab_server_poll_fd(server, &fd));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_turn(server, 0, NULL));
    CHECK(strstr(last_error(), "ended") != NULL);
    OK(trimtab_server_wait(server, 0));
    CHECK(threads() == 1);
    trimtab_server_free(server);
    close(backend);
    close(set);
}

/* --- deadlines and signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void time_passes(void)
{
    enum { IDLE_MS = 2000 };
    struct backend backend;
    size_t count = 99;
    int32_t timeout_ms = -2;
    uint64_t now = 0;
    uint64_t deadline = 0;
    sigset_t signal_of_the_test;
    sigemptyset(&signal_of_the_test);
    sigaddset(&signal_of_the_test, SIGUSR1);
    /* Not the backend's thread shall take it. */
    CHECK(pthread_sigmask(SIG_BLOCK, &signal_of_the_test, NULL) == 0);
    backend_start(&backend, 'x');
    CHECK(pthread_sigmask(SIG_UNBLOCK, &signal_of_the_test, NULL) == 0);
    trimtab_server *server = hosted("idle = \"2s\"", backend.port, NULL, NULL);

    uint64_t began = now_ms();
    OK(trimtab_server_turn(server, 30, &count));
    CHECK(count == 0 && now_ms() - began >= 30);
    began = now_ms();
    OK(trimtab_server_turn(server, 0, &count));
    CHECK(count == 0 && now_ms() - began < DEADLINE_S * 1000);

    /* A signal ends the wait early. */
    struct sigaction action;
    struct sigevent event;
    struct itimerspec soon = {{0, 0}, {0, 20000000}};
    timer_t timer;
    memset(&action, 0, sizeof action);
    memset(&event, 0, sizeof event);
    action.sa_handler = count_signal;
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &soon, NULL) == 0);
    OK(trimtab_server_turn(server, DEADLINE_S * 1000, &count));
    CHECK(signals == 1 && count == 0);
    CHECK(timer_delete(timer) == 0);

    /* Silence is ended by turns alone, made when the deadline says. */
    int client = dial(port_of(server, "web"));
    OK(trimtab_server_turn(server, -1, &count));
    CHECK(count >= 1);
    turn_until_open(server, &backend);
    OK(trimtab_now(&now));
    OK(trimtab_server_next_deadline(server, &deadline));
    OK(trimtab_server_next_timeout(server, &timeout_ms));
    CHECK(deadline != TRIMTAB_NO_TIME && deadline > now && deadline - now <= 1000000000u + IDLE_MS * 1000000u);
    CHECK(timeout_ms > 0 && timeout_ms <= 1000 + IDLE_MS);
    began = now_ms();
    while (server_statistics_of(server).sessions > 0) {
        OK(trimtab_server_turn(server, -1, NULL));
        CHECK(now_ms() - began < DEADLINE_S * 1000);
    }
    CHECK(listener_statistics_of(server, "web").closed_idle_timeout == 1);
    char byte;
    CHECK(recv(client, &byte, 1, 0) == 1 && byte == 'x');
    is_ended(client);
    close(client);
    trimtab_server_free(server);
    backend_stop(&backend);
}

/* --- other threads -------------------------------------------------------------------------------------- */

static void *stop_it(void *argument)
{
    OK(trimtab_server_stop(argument));
    return NULL;
}

/* The host waits in its own loop, without a timeout: an order by another thread must wake it, each time. */
static void woken_by_another_thread(void)
{
    enum { ROUNDS = 200 };
    uint16_t backend_port = 0;
    int backend = listen_anywhere(&backend_port);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t stopper;
        int32_t fd = -1;
        set = epoll_create1(EPOLL_CLOEXEC);
        CHECK(set >= 0);
        trimtab_server *server = hosted("", backend_port, NULL, NULL);
        OK(trimtab_server_poll_fd(server, &fd));
        watch(fd, SERVER, 0, EPOLLIN);
        watch(backend, LISTENER, 0, EPOLLIN);
        CHECK(pthread_create(&stopper, NULL, stop_it, server) == 0);
        while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
            turn_the_loop(server, backend);
        }
        CHECK(pthread_join(stopper, NULL) == 0);
        trimtab_server_free(server);
        close(set);
    }
    close(backend);
}

static void *turn_until_stopped(void *argument)
{
    const trimtab_server *server = argument;
    while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
        trimtab_status status = trimtab_server_turn(server, -1, NULL);
        /* The other thread may be in a turn of no time, or may have seen the end first. */
        CHECK(status == TRIMTAB_OK || status == TRIMTAB_E_STATE);
    }
    return NULL;
}

static void one_turn_at_a_time(void)
{
    pthread_t turner;
    int32_t number = -1;
    uint64_t deadline = 0;
    trimtab_server *server = hosted("", 9, NULL, NULL);
    CHECK(pthread_create(&turner, NULL, turn_until_stopped, server) == 0);
    trimtab_status status;
    uint64_t until = now_ms() + DEADLINE_S * 1000;
    do {
        status = trimtab_server_turn(server, 0, NULL);
        CHECK(now_ms() < until);
    } while (status == TRIMTAB_OK);
    CHECK(status == TRIMTAB_E_STATE && strstr(last_error(), "already") != NULL);
    /* It may be asked all the same. */
    OK(trimtab_server_poll_fd(server, &number));
    OK(trimtab_server_next_timeout(server, &number));
    OK(trimtab_server_next_deadline(server, &deadline));
    CHECK(state_of(server) == TRIMTAB_SERVER_RUNNING);
    OK(trimtab_server_stop(server));
    CHECK(pthread_join(turner, NULL) == 0);
    trimtab_server_free(server);
}

/* What another thread asks and orders meanwhile never makes a turn fail. */
static void *pester(void *argument)
{
    const trimtab_server *server = argument;
    for (unsigned at = 0; at < 20000; at++) {
        int32_t number = 0;
        OK(trimtab_server_drain(server, 600000));
        OK(trimtab_server_next_timeout(server, &number));
        OK(trimtab_server_poll_fd(server, &number));
    }
    OK(trimtab_server_stop(server));
    return NULL;
}

static void pestered(void)
{
    struct backend backend;
    pthread_t other;
    backend_start(&backend, 'x');
    trimtab_server *server = hosted("", backend.port, NULL, NULL);
    int client = dial(port_of(server, "web"));
    turn_until_open(server, &backend);
    CHECK(pthread_create(&other, NULL, pester, server) == 0);
    while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
        OK(trimtab_server_turn(server, -1, NULL));
    }
    CHECK(pthread_join(other, NULL) == 0);
    close(client);
    trimtab_server_free(server);
    backend_stop(&backend);
}

static void *free_it(void *argument)
{
    trimtab_server_free(argument);
    return NULL;
}

static void count_stopped(const trimtab_event *event, void *user_data)
{
    *(unsigned *)user_data += event->kind == TRIMTAB_EVENT_STOPPED;
}

/* Freed by another thread than the one that turned it, it ends as properly. */
static void freed_elsewhere(void)
{
    struct backend backend;
    pthread_t other;
    unsigned stopped = 0;
    backend_start(&backend, 'x');
    trimtab_server *server = hosted("", backend.port, count_stopped, &stopped);
    trimtab_pool *pool = pool_of(server, "app");
    int client = dial(port_of(server, "web"));
    turn_until_open(server, &backend);
    CHECK(statistics_of(pool).in_flight == 1);
    CHECK(pthread_create(&other, NULL, free_it, server) == 0);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(stopped == 1 && statistics_of(pool).in_flight == 0);
    CHECK(greeting(client) == 'x' || greeting(client) == 0);
    close(client);
    trimtab_pool_free(pool);
    backend_stop(&backend);
}

/* --- a callback within a turn --------------------------------------------------------------------------- */

struct within {
    trimtab_server *server;
    unsigned paused;
    unsigned resumed;
};

static void ask_within(const trimtab_event *event, void *user_data)
{
    struct within *within = user_data;
    char text[4096];
    int32_t number = -1;
    uint64_t deadline = 0;
    if (event->kind == TRIMTAB_EVENT_ACCEPT_PAUSED) {
        CHECK(strcmp(event->listener, "web") == 0 && event->detail_len > 0);
        OK(trimtab_server_poll_fd(within->server, &number));
        OK(trimtab_server_next_deadline(within->server, &deadline));
        OK(trimtab_server_next_timeout(within->server, &number));
        EXPECT(TRIMTAB_E_STATE, trimtab_server_turn(within->server, 0, NULL));
        EXPECT(TRIMTAB_E_STATE, trimtab_server_wait(within->server, -1));
        OK(trimtab_server_status_copy(within->server, text, sizeof text, NULL));
        CHECK(listener_statistics_of(within->server, "web").accept_errors == 1);
        trimtab_server_free(within->server);
        CHECK(state_of(within->server) == TRIMTAB_SERVER_RUNNING);
        within->paused++;
    }
    if (event->kind == TRIMTAB_EVENT_ACCEPT_RESUMED) {
        within->resumed++;
        /* Carried out by the next turn. */
        OK(trimtab_server_stop(within->server));
    }
}

static void from_within_a_turn(void)
{
    struct within within = {0};
    struct rlimit limit;
    uint16_t backend_port = 0;
    int backend = listen_anywhere(&backend_port);
    within.server = hosted("", backend_port, ask_within, &within);
    int client = dial(port_of(within.server, "web"));
    /* No descriptor is free: the lowest that would be is beyond the limit. */
    int lowest = dup(client);
    CHECK(lowest >= 0 && close(lowest) == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (within.paused == 0) {
        OK(trimtab_server_turn(within.server, -1, NULL));
    }
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (state_of(within.server) != TRIMTAB_SERVER_STOPPED) {
        OK(trimtab_server_turn(within.server, -1, NULL));
    }
    CHECK(within.paused == 1 && within.resumed == 1);
    close(client);
    close(backend);
    trimtab_server_free(within.server);
}

int main(void)
{
    alarm(120);
    unsigned before = descriptors();
    everything_on_one_thread();
    time_passes();
    woken_by_another_thread();
    one_turn_at_a_time();
    pestered();
    freed_elsewhere();
    from_within_a_turn();
    expect_threads(1);
    CHECK(descriptors() == before);
    printf("server_hosted: %d clients, their backend and the server on one thread\n", CLIENTS);
    return 0;
}
