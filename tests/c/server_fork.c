/*
 * A process that forks while its server runs: in the child every call says so at once and nothing hangs, the
 * child makes servers of its own, and the parent goes on as if nothing had been. A child that hangs is killed
 * by its alarm, and its parent fails.
 *
 *     server_fork [ROUNDS]      default 30
 */
#include "net.h"

#include <sys/wait.h>

enum { CHILD_SECONDS = 20, ALL_SECONDS = 240, LOAD = 3 };

static struct backend a, b;
static const struct backend *const both[] = {&a, &b};

/* Waits for a child that should have ended well. */
static void join(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "server_fork: the child was ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
        exit(1);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static unsigned told;

static void count(const trimtab_event *event, void *user_data)
{
    (void)event;
    (void)user_data;
    __atomic_fetch_add(&told, 1, __ATOMIC_RELAXED);
}

/* Each function, on the parent's server in the child. */
static void refused_in_the_child(trimtab_server *server)
{
    static const char web[] = "web";
    char text[256];
    size_t length = 77;
    int32_t number = 77;
    uint64_t deadline = 77;
    trimtab_pool *pool = NULL;
    trimtab_server_statistics statistics = {0};
    trimtab_listener_statistics listener = {0};
    statistics.struct_size = sizeof statistics;
    listener.struct_size = sizeof listener;
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_adopt(server, STR(web), a.listening));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_start(server));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_start_hosted(server));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_drain(server, -1));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_stop(server));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_wait(server, -1));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_state(server, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_address_copy(server, STR(web), text, sizeof text, &length));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_admin_address_copy(server, text, sizeof text, &length));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_pool(server, STR("app"), &pool));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_poll_fd(server, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_next_deadline(server, &deadline));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_next_timeout(server, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_turn(server, -1, &length));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_statistics_read(server, &statistics));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_listener_statistics_read(server, STR(web), &listener));
    EXPECT(TRIMTAB_E_FORKED, trimtab_server_status_copy(server, text, sizeof text, &length));
    CHECK(strstr(last_error(), "fork") != NULL);
    CHECK(number == 77 && deadline == 77 && length == 77 && pool == NULL);
}

/* The pool is the child's own, and no server's. */
static void use_pool_in_the_child(trimtab_pool *pool)
{
    trimtab_pick pick = new_pick();
    uint64_t id = add(pool, 4711);
    unsigned before = __atomic_load_n(&told, __ATOMIC_RELAXED);
    OK(trimtab_pool_set_weight(pool, id, 7));
    OK(trimtab_pool_set_maxconn(pool, id, 50));
    for (unsigned at = 0; at < 50; at++) {
        if (trimtab_pool_pick(pool, NO_KEY, 0, &pick) == TRIMTAB_OK) {
            OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
        }
    }
    OK(trimtab_pool_set_maxconn(pool, id, 0));
    OK(trimtab_pool_remove(pool, id));
    CHECK(__atomic_load_n(&told, __ATOMIC_RELAXED) == before);
    trimtab_pool_free(pool);
}

/* Servers of its own, both kinds. */
static void own_servers_in_the_child(void)
{
    unsigned before = __atomic_load_n(&told, __ATOMIC_RELAXED);
    trimtab_server *own = server_of(config_of(2, "", both, 2), count, NULL);
    OK(trimtab_server_start(own));
    visit(port_of(own, "web"));
    OK(trimtab_server_drain(own, 1000));
    OK(trimtab_server_wait(own, -1));
    trimtab_server_free(own);
    own = server_of(config_of(1, "", both, 2), count, NULL);
    OK(trimtab_server_start_hosted(own));
    OK(trimtab_server_turn(own, 0, NULL));
    trimtab_server_free(own);
    CHECK(__atomic_load_n(&told, __ATOMIC_RELAXED) == before + 5);
}

static void child(trimtab_server *server, trimtab_pool *pool)
{
    alarm(CHILD_SECONDS);
    refused_in_the_child(server);
    use_pool_in_the_child(pool);
    own_servers_in_the_child();
    trimtab_server_free(server);
    _exit(0);
}

/* --- while it relays ------------------------------------------------------------------------------------ */

struct load {
    uint16_t port;
    int stop;
};

static void *visitor(void *argument)
{
    struct load *load = argument;
    while (!__atomic_load_n(&load->stop, __ATOMIC_ACQUIRE)) {
        visit(load->port);
    }
    return NULL;
}

/* Sessions begin and end, wait for places and change workers while the process forks. */
static void under_load(unsigned rounds)
{
    pthread_t visitors[LOAD];
    struct load load = {0, 0};
    trimtab_server *server = server_of(config_of(2, "queue = \"20s\"", both, 2), count, NULL);
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "a"), 1));
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "b"), 1));
    OK(trimtab_server_start(server));
    load.port = port_of(server, "web");
    for (unsigned at = 0; at < LOAD; at++) {
        CHECK(pthread_create(&visitors[at], NULL, visitor, &load) == 0);
    }
    fflush(NULL);
    for (unsigned round = 0; round < rounds; round++) {
        pid_t forked = fork();
        CHECK(forked >= 0);
        if (forked == 0) {
            child(server, pool);
        }
        join(forked);
    }
    __atomic_store_n(&load.stop, 1, __ATOMIC_RELEASE);
    for (unsigned at = 0; at < LOAD; at++) {
        CHECK(pthread_join(visitors[at], NULL) == 0);
    }
    expect_no_sessions(server);
    trimtab_server_statistics all = server_statistics_of(server);
    CHECK(all.failed == 0 && all.accepted == all.finished);
    OK(trimtab_server_drain(server, 1000));
    OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    trimtab_pool_free(pool);
    trimtab_server_free(server);
}

/* --- what the child holds open -------------------------------------------------------------------------- */

/* Forks a child that holds copies of everything until `release` is written to. */
static pid_t holder(int release[2])
{
    CHECK(pipe(release) == 0);
    fflush(NULL);
    pid_t forked = fork();
    CHECK(forked >= 0);
    if (forked == 0) {
        char byte;
        close(release[1]);
        alarm(CHILD_SECONDS);
        CHECK(read(release[0], &byte, 1) == 0);
        _exit(0);
    }
    close(release[0]);
    return forked;
}

static void let_go(pid_t forked, const int release[2])
{
    CHECK(waitpid(forked, NULL, WNOHANG) == 0);
    close(release[1]);
    join(forked);
}

/* A client of the parent sees its session end when the parent ends it, whoever holds a copy of the socket. */
static void ends_are_seen(int is_hosted)
{
    int release[2];
    struct backend own;
    const struct backend *const one[] = {&own};
    char byte;
    backend_start(&own, 'o');
    trimtab_server *server = server_of(config_of(1, "", one, 1), NULL, NULL);
    OK(is_hosted ? trimtab_server_start_hosted(server) : trimtab_server_start(server));
    uint16_t port = port_of(server, "web");
    int first = dial(port);
    int second = dial(port);
    while (is_hosted && server_statistics_of(server).bytes_to_clients < 2) {
        OK(trimtab_server_turn(server, 1, NULL));
    }
    CHECK(greeting(first) == 'o' && greeting(second) == 'o');
    pid_t forked = holder(release);

    /* The first one ends by itself: its half, then the backend's. */
    CHECK(shutdown(first, SHUT_WR) == 0);
    while (is_hosted && server_statistics_of(server).finished < 1) {
        OK(trimtab_server_turn(server, 1, NULL));
    }
    CHECK(is_ended(first) == 1);

    /* The second is cut with the server, and nobody is kept waiting at its port. */
    OK(trimtab_server_stop(server));
    if (is_hosted) {
        OK(trimtab_server_turn(server, 0, NULL));
    }
    OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    ssize_t more = recv(second, &byte, 1, 0);
    CHECK(more == 0 || (more < 0 && errno == ECONNRESET));
    CHECK(try_dial(port) < 0);
    trimtab_server_free(server);
    let_go(forked, release);
    close(first);
    close(second);
    backend_stop(&own);
}

/* What a child does with its copies ends nothing of the parent's. */
static void the_child_ends_nothing(int is_hosted)
{
    trimtab_server *server = server_of(config_of(1, "", both, 2), count, NULL);
    OK(is_hosted ? trimtab_server_start_hosted(server) : trimtab_server_start(server));
    int client = dial(port_of(server, "web"));
    while (is_hosted && server_statistics_of(server).bytes_to_clients < 1) {
        OK(trimtab_server_turn(server, 1, NULL));
    }
    CHECK(greeting(client) != 0);
    trimtab_pool *pool = pool_of(server, "app");
    fflush(NULL);
    pid_t forked = fork();
    CHECK(forked >= 0);
    if (forked == 0) {
        child(server, pool);
    }
    join(forked);
    CHECK(state_of(server) == TRIMTAB_SERVER_RUNNING);
    CHECK(write_all(client, "hello", 5));
    while (is_hosted && server_statistics_of(server).bytes_to_clients < 6) {
        OK(trimtab_server_turn(server, -1, NULL));
    }
    char heard[5];
    CHECK(read_all(client, heard, sizeof heard) && memcmp(heard, "hello", 5) == 0);
    close(client);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
}

static void *wait_for_its_end(void *argument)
{
    OK(trimtab_server_wait(argument, -1));
    return NULL;
}

/* Somebody waits for the parent's server when it forks. In the child, where nobody does, the memory that server
 * had is another's, and who waits for that one is woken. */
static void others_wait_in_the_parent(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        pthread_t waiters[LOAD];
        trimtab_server *server = server_of(config_of(1, "", both, 2), NULL, NULL);
        OK(trimtab_server_start(server));
        for (unsigned at = 0; at < LOAD; at++) {
            CHECK(pthread_create(&waiters[at], NULL, wait_for_its_end, server) == 0);
        }
        EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_server_wait(server, 5));
        pid_t forked = fork();
        CHECK(forked >= 0);
        if (forked == 0) {
            alarm(CHILD_SECONDS);
            trimtab_server_free(server);
            for (unsigned at = 0; at < 4; at++) {
                pthread_t waiter;
                trimtab_server *own = server_of(config_of(1, "", both, 2), NULL, NULL);
                OK(trimtab_server_start(own));
                CHECK(pthread_create(&waiter, NULL, wait_for_its_end, own) == 0);
                EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_server_wait(own, 5));
                OK(trimtab_server_stop(own));
                CHECK(pthread_join(waiter, NULL) == 0);
                trimtab_server_free(own);
            }
            _exit(0);
        }
        join(forked);
        OK(trimtab_server_stop(server));
        for (unsigned at = 0; at < LOAD; at++) {
            CHECK(pthread_join(waiters[at], NULL) == 0);
        }
        trimtab_server_free(server);
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 30;
    alarm(ALL_SECONDS);
    backend_start(&a, 'a');
    backend_start(&b, 'b');
    the_child_ends_nothing(0);
    the_child_ends_nothing(1);
    ends_are_seen(0);
    ends_are_seen(1);
    under_load(rounds);
    others_wait_in_the_parent(rounds);
    backend_stop(&a);
    backend_stop(&b);
    printf("server_fork: %u children of a server under load, none hung; what the parent ended was over\n", rounds);
    return 0;
}
