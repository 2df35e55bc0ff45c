/* What a server tells and may be asked meanwhile; how it drains; its pools from outside. */
#include "net.h"

static struct backend a, b;
static const struct backend *const both[] = {&a, &b};

/* --- a record of events --------------------------------------------------------------------------------- */

enum { RECORDS_MAX = 64 };

struct record {
    int32_t kind;
    uint32_t number;
    char text[256];
    pthread_t thread;
};

struct log {
    pthread_mutex_t lock;
    struct record records[RECORDS_MAX];
    unsigned count;
};

static void copy_text(char *to, size_t size, const char *text, size_t len)
{
    CHECK(text != NULL && strlen(text) == len);
    append(to, size, "|%s", text);
}

static void record(const trimtab_event *event, void *user_data)
{
    struct log *log = user_data;
    CHECK(event->struct_size == sizeof *event && event->reserved == 0);
    pthread_mutex_lock(&log->lock);
    CHECK(log->count < RECORDS_MAX);
    struct record *entry = &log->records[log->count++];
    entry->kind = event->kind;
    entry->number = event->number;
    entry->thread = pthread_self();
    entry->text[0] = '\0';
    copy_text(entry->text, sizeof entry->text, event->name, event->name_len);
    copy_text(entry->text, sizeof entry->text, event->listener, event->listener_len);
    copy_text(entry->text, sizeof entry->text, event->pool, event->pool_len);
    copy_text(entry->text, sizeof entry->text, event->backend, event->backend_len);
    copy_text(entry->text, sizeof entry->text, event->value, event->value_len);
    copy_text(entry->text, sizeof entry->text, event->detail, event->detail_len);
    pthread_mutex_unlock(&log->lock);
}

static void log_init(struct log *log)
{
    memset(log, 0, sizeof *log);
    CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
}

static void told(const struct log *log, unsigned at, int32_t kind, uint32_t number, const char *text)
{
    if (at >= log->count || log->records[at].kind != kind || log->records[at].number != number ||
        strcmp(log->records[at].text, text) != 0) {
        for (unsigned each = 0; each < log->count; each++) {
            fprintf(stderr, "%u: %d %u %s\n", each, (int)log->records[each].kind, (unsigned)log->records[each].number,
                    log->records[each].text);
        }
        fprintf(stderr, "expected at %u: %d %u %s\n", at, (int)kind, (unsigned)number, text);
        exit(1);
    }
}

static void every_kind(void)
{
    struct log log;
    char started[128] = "";
    char address[64];
    uint64_t id = 0;
    log_init(&log);
    trimtab_server *server = server_of(config_of(1, "", both, 2), record, &log);
    CHECK(log.count == 0);
    OK(trimtab_server_start(server));
    OK(trimtab_server_address_copy(server, STR("web"), address, sizeof address, NULL));
    append(started, sizeof started, "|started|||||web on %s", address);
    trimtab_pool *pool = pool_of(server, "app");
    uint64_t first = id_of(pool, "a");
    OK(trimtab_pool_set_admin(pool, first, TRIMTAB_ADMIN_DRAIN));
    OK(trimtab_pool_set_admin(pool, first, TRIMTAB_ADMIN_DRAIN)); /* changes nothing */
    OK(trimtab_pool_set_observed(pool, first, TRIMTAB_OBSERVED_DOWN));
    OK(trimtab_pool_set_weight(pool, first, 7));
    OK(trimtab_pool_set_maxconn(pool, first, 9));
    OK(trimtab_pool_set_tier(pool, first, 3));
    OK(trimtab_pool_add_backend(pool, STR("10.9.9.9:9"), 1, &id));
    OK(trimtab_pool_remove(pool, id));
    CHECK(pthread_equal(log.records[log.count - 1].thread, pthread_self()));
    OK(trimtab_server_drain(server, 1000));
    OK(trimtab_server_wait(server, -1));
    told(&log, 0, TRIMTAB_EVENT_STARTED, 0, started);
    told(&log, 1, TRIMTAB_EVENT_BACKEND_ADMIN, TRIMTAB_ADMIN_DRAIN, "|backend-admin||app|a|drain|");
    told(&log, 2, TRIMTAB_EVENT_BACKEND_OBSERVED, TRIMTAB_OBSERVED_DOWN, "|backend-observed||app|a|down|");
    told(&log, 3, TRIMTAB_EVENT_BACKEND_WEIGHT, 7, "|backend-weight||app|a|7|");
    told(&log, 4, TRIMTAB_EVENT_BACKEND_MAXCONN, 9, "|backend-maxconn||app|a|9|");
    told(&log, 5, TRIMTAB_EVENT_BACKEND_TIER, 3, "|backend-tier||app|a|3|");
    told(&log, 6, TRIMTAB_EVENT_BACKEND_ADDED, 0, "|backend-added||app|10.9.9.9:9||");
    told(&log, 7, TRIMTAB_EVENT_BACKEND_REMOVED, 0, "|backend-removed||app|10.9.9.9:9||");
    told(&log, 8, TRIMTAB_EVENT_DRAINING, 0, "|draining|||||");
    told(&log, 9, TRIMTAB_EVENT_STOPPED, 0, "|stopped|||||");
    CHECK(log.count == 10);
    trimtab_server_free(server);

    /* The pool goes on, and nobody is told any more. */
    OK(trimtab_pool_set_weight(pool, first, 8));
    CHECK(log.count == 10 && backend_statistics_of(pool, first).weight == 8);
    trimtab_pool_free(pool);
}

/* A tier that begins to panic, and one that no longer does. */
static void panic_is_told(void)
{
    char config[4096] = "";
    struct log log;
    log_init(&log);
    append(config, sizeof config, "%spanic_threshold = 60\n", config_of(1, "", NULL, 0));
    trimtab_server *server = server_of(config, record, &log);
    OK(trimtab_server_start(server));
    trimtab_pool *pool = pool_of(server, "app");
    uint64_t first = 0, second = 0;
    OK(trimtab_pool_add_backend(pool, STR("10.9.9.9:9"), 1, &first));
    OK(trimtab_pool_add_backend(pool, STR("10.9.9.9:10"), 1, &second));
    unsigned at = log.count;
    OK(trimtab_pool_set_observed(pool, first, TRIMTAB_OBSERVED_DOWN));
    OK(trimtab_pool_set_observed(pool, first, TRIMTAB_OBSERVED_UP));
    told(&log, at + 1, TRIMTAB_EVENT_PANIC_BEGAN, 0, "|panic-began||app||0|");
    told(&log, at + 3, TRIMTAB_EVENT_PANIC_ENDED, 0, "|panic-ended||app||0|");
    CHECK(log.count == at + 4);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
}

/* `free` alone ends a server that runs, and tells of it before it returns. */
static void the_end_is_told(void)
{
    struct log log;
    log_init(&log);
    trimtab_server *server = server_of(config_of(2, "", both, 2), record, &log);
    OK(trimtab_server_start(server));
    trimtab_server_free(server);
    CHECK(log.count == 2);
    told(&log, 1, TRIMTAB_EVENT_STOPPED, 0, "|stopped|||||");
}

/* --- what a callback may do ----------------------------------------------------------------------------- */

struct caller {
    trimtab_server *server;
    trimtab_pool *pool;
    unsigned depth;
    unsigned deepest;
    unsigned stopped;
};

static void call_everything(const trimtab_event *event, void *user_data)
{
    struct caller *caller = user_data;
    char text[8192];
    size_t count = 0;
    int32_t number = 0;
    uint64_t time = 0;
    if (event->kind == TRIMTAB_EVENT_STARTED) {
        caller->pool = pool_of(caller->server, "app");
    }
    int is_over = event->kind == TRIMTAB_EVENT_STOPPED;
    CHECK(state_of(caller->server) != TRIMTAB_SERVER_NEW);
    server_statistics_of(caller->server);
    listener_statistics_of(caller->server, "web");
    port_of(caller->server, "web");
    OK(trimtab_server_status_copy(caller->server, text, sizeof text, NULL));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_admin_address_copy(caller->server, text, sizeof text, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start(caller->server));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_turn(caller->server, 0, &count));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_poll_fd(caller->server, &number));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_next_deadline(caller->server, &time));
    /* On the server's own thread it would wait for itself; on another the time is over. */
    EXPECT(is_over ? TRIMTAB_E_STATE : TRIMTAB_E_TIMED_OUT, trimtab_server_wait(caller->server, 0));
    trimtab_server_free(caller->server);
    CHECK(state_of(caller->server) != TRIMTAB_SERVER_NEW);
    if (event->kind == TRIMTAB_EVENT_BACKEND_WEIGHT && event->number > 1) {
        /* A change from within tells again, from within. */
        caller->depth++;
        caller->deepest = caller->depth > caller->deepest ? caller->depth : caller->deepest;
        OK(trimtab_pool_set_weight(caller->pool, id_of(caller->pool, "a"), event->number - 1));
        caller->depth--;
    }
    if (event->kind == TRIMTAB_EVENT_DRAINING) {
        OK(trimtab_server_stop(caller->server));
    }
    __atomic_fetch_add(&caller->stopped, is_over, __ATOMIC_RELEASE);
}

static void from_within(void)
{
    struct caller caller = {0};
    caller.server = server_of(config_of(1, "", both, 2), call_everything, &caller);
    OK(trimtab_server_start(caller.server));
    OK(trimtab_pool_set_weight(caller.pool, id_of(caller.pool, "a"), 6));
    CHECK(caller.deepest == 5 && backend_statistics_of(caller.pool, id_of(caller.pool, "a")).weight == 1);
    OK(trimtab_server_drain(caller.server, 60000));
    OK(trimtab_server_wait(caller.server, -1));
    CHECK(__atomic_load_n(&caller.stopped, __ATOMIC_ACQUIRE) == 1);
    trimtab_pool_free(caller.pool);
    trimtab_server_free(caller.server);
}

/* --- free and a callback at once ------------------------------------------------------------------------ */

struct meeting {
    trimtab_server *server;
    trimtab_pool *pool;
    /* Told when the callback has begun, and when the server has stopped. */
    int begun[2];
    int stopped[2];
    int used;
};

static void wait_for_the_end(const trimtab_event *event, void *user_data)
{
    struct meeting *meeting = user_data;
    char byte;
    if (event->kind == TRIMTAB_EVENT_STOPPED) {
        CHECK(write(meeting->stopped[1], "x", 1) == 1);
    } else if (event->kind == TRIMTAB_EVENT_BACKEND_WEIGHT) {
        CHECK(write(meeting->begun[1], "x", 1) == 1);
        CHECK(read(meeting->stopped[0], &byte, 1) == 1);
        /* `free` has stopped the server and cannot return before this does: the handle is good. */
        server_statistics_of(meeting->server);
        port_of(meeting->server, "web");
        __atomic_store_n(&meeting->used, 1, __ATOMIC_RELEASE);
    }
}

static void *change_weight(void *argument)
{
    struct meeting *meeting = argument;
    OK(trimtab_pool_set_weight(meeting->pool, id_of(meeting->pool, "a"), 2));
    return NULL;
}

static void free_waits_for_the_callback(void)
{
    struct meeting meeting = {0};
    pthread_t changer;
    char byte;
    CHECK(pipe(meeting.begun) == 0 && pipe(meeting.stopped) == 0);
    meeting.server = server_of(config_of(1, "", both, 2), wait_for_the_end, &meeting);
    OK(trimtab_server_start(meeting.server));
    meeting.pool = pool_of(meeting.server, "app");
    CHECK(pthread_create(&changer, NULL, change_weight, &meeting) == 0);
    CHECK(read(meeting.begun[0], &byte, 1) == 1);
    trimtab_server_free(meeting.server);
    CHECK(__atomic_load_n(&meeting.used, __ATOMIC_ACQUIRE) == 1);
    CHECK(pthread_join(changer, NULL) == 0);
    trimtab_pool_free(meeting.pool);
    for (unsigned at = 0; at < 2; at++) {
        close(meeting.begun[at]);
        close(meeting.stopped[at]);
    }
}

/* --- drain ---------------------------------------------------------------------------------------------- */

/* The workers close their listeners soon after `drain` has returned. Until then a client is served, or turned
 * away when it was in a backlog. One whose handshake ends at that very moment the system may forget without a
 * word: it is told once it speaks. */
static void expect_refused(uint16_t port)
{
    uint64_t until = now_ms() + DEADLINE_S * 1000;
    int client = try_dial(port);
    while (client >= 0 && now_ms() < until) {
        CHECK(send(client, "x", 1, MSG_NOSIGNAL) == 1 || errno == ECONNRESET || errno == EPIPE);
        greeting(client);
        close(client);
        client = try_dial(port);
    }
    CHECK(client < 0);
}

static void drain_cuts_in_the_end(void)
{
    /* Long enough for the other clients to be turned away, on a busy machine too. */
    enum { DRAIN_MS = 3000 };
    trimtab_server *server = server_of(config_of(2, "drain = \"3s\"", both, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    uint16_t port = port_of(server, "web");
    int client = dial(port);
    CHECK(greeting(client) != 0);
    uint64_t began = now_ms();
    OK(trimtab_server_drain(server, -1));
    CHECK(state_of(server) == TRIMTAB_SERVER_DRAINING);
    expect_refused(port);
    CHECK(say(client, "still here"));
    is_ended(client);
    CHECK(now_ms() - began >= DRAIN_MS - 1);
    OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    CHECK(state_of(server) == TRIMTAB_SERVER_STOPPED);
    CHECK(listener_statistics_of(server, "web").closed_stopped >= 1);
    close(client);
    trimtab_server_free(server);
}

static void drain_ends_with_the_last_session(void)
{
    enum { LONG_MS = 600000 };
    trimtab_server *server = server_of(config_of(2, "", both, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    int client = dial(port_of(server, "web"));
    CHECK(greeting(client) != 0);
    OK(trimtab_server_drain(server, LONG_MS));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_server_wait(server, 20));
    CHECK(say(client, "last words"));
    close(client);
    OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    trimtab_server_free(server);

    /* A second drain sets the time anew. */
    server = server_of(config_of(1, "", both, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    client = dial(port_of(server, "web"));
    CHECK(greeting(client) != 0);
    OK(trimtab_server_drain(server, LONG_MS));
    OK(trimtab_server_drain(server, 0));
    is_ended(client);
    OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    close(client);
    trimtab_server_free(server);
}

/* --- a server's pool ------------------------------------------------------------------------------------ */

static void ignore(const trimtab_pool_event *event, void *user_data)
{
    (void)event;
    (void)user_data;
}

static void pool_of_a_running_server(void)
{
    trimtab_pool *pool = NULL;
    trimtab_pick pick = new_pick();
    uint64_t id = 0;
    struct backend c;
    backend_start(&c, 'c');
    trimtab_server *server = server_of(config_of(2, "", both, 2), NULL, NULL);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_pool(server, STR("nope"), &pool));
    CHECK(strstr(last_error(), "nope") != NULL && pool == NULL);
    OK(trimtab_server_start(server));
    uint16_t port = port_of(server, "web");
    pool = pool_of(server, "app");
    trimtab_pool *second = pool_of(server, "app");
    /* A server's pool is observed by its server. */
    EXPECT(TRIMTAB_E_STATE, trimtab_pool_observe(pool, ignore, NULL));

    /* Drained, a backend keeps what it has and gets nothing new. */
    int stays = -1;
    while (stays < 0) {
        stays = dial(port);
        if (greeting(stays) != 'a') {
            close(stays);
            stays = -1;
        }
    }
    OK(trimtab_pool_set_admin(pool, id_of(pool, "a"), TRIMTAB_ADMIN_DRAIN));
    unsigned begun = __atomic_load_n(&a.begun, __ATOMIC_ACQUIRE);
    for (unsigned at = 0; at < 30; at++) {
        CHECK(visit(port) == 'b');
    }
    CHECK(__atomic_load_n(&a.begun, __ATOMIC_ACQUIRE) == begun && say(stays, "still served"));
    CHECK(backend_statistics_of(pool, id_of(pool, "a")).in_flight == 1);
    close(stays);

    /* Added, one serves at once; removed, another is gone at once. */
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)c.port);
    OK(trimtab_pool_add_backend(second, STR(address), 1, &id));
    OK(trimtab_pool_remove(pool, id_of(pool, "b")));
    for (unsigned at = 0; at < 10; at++) {
        CHECK(visit(port) == 'c');
    }
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(pick.backend == id && pick.port == c.port);
    trimtab_pool_free(second);
    trimtab_server_free(server);

    /* Good after the server's end: what it had in flight came back with it. */
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    CHECK(statistics_of(pool).in_flight == 0 && statistics_of(pool).backends == 2);
    OK(trimtab_pool_remove(pool, id));
    trimtab_pool_free(pool);
    backend_stop(&c);
}

/* One place at each backend: others wait their turn, on whichever worker they are, and none waits for ever. */
static void *visitor(void *argument)
{
    uint16_t port = *(uint16_t *)argument;
    for (unsigned at = 0; at < 50; at++) {
        visit(port);
    }
    return NULL;
}

static void places(void)
{
    enum { VISITORS = 6 };
    pthread_t visitors[VISITORS];
    trimtab_server *server = server_of(config_of(2, "queue = \"20s\"", both, 2), NULL, NULL);
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "a"), 1));
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "b"), 1));
    OK(trimtab_server_start(server));
    uint16_t port = port_of(server, "web");
    for (unsigned at = 0; at < VISITORS; at++) {
        CHECK(pthread_create(&visitors[at], NULL, visitor, &port) == 0);
    }
    for (unsigned at = 0; at < VISITORS; at++) {
        CHECK(pthread_join(visitors[at], NULL) == 0);
    }
    expect_no_sessions(server);
    trimtab_listener_statistics web = listener_statistics_of(server, "web");
    CHECK(web.closed_finished == VISITORS * 50 && web.queued > 0);
    CHECK(server_statistics_of(server).waiting == 0);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
}

int main(void)
{
    alarm(120);
    backend_start(&a, 'a');
    backend_start(&b, 'b');
    every_kind();
    panic_is_told();
    the_end_is_told();
    from_within();
    free_waits_for_the_callback();
    drain_cuts_in_the_end();
    drain_ends_with_the_last_session();
    pool_of_a_running_server();
    places();
    expect_threads(3);
    backend_stop(&a);
    backend_stop(&b);
    printf("server_events: told in order, from within and to the end; drains; pools change while it runs\n");
    return 0;
}
