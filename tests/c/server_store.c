/*
 * A server's own store, for the program that the server is part of: the same keys that Redis clients see, for as long
 * as the server runs, and no longer.
 */
#include "net.h"

#include "store.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

enum { CHILD_SECONDS = 20, ALL_SECONDS = 240, WRITERS = 4, WRITES = 200 };

/* A configuration with a store in `folder`/`name`, which Redis clients reach on a port of the system's choice. */
static const char *with_store(const char *name)
{
    static char text[1024];
    text[0] = '\0';
    append(text, sizeof text, "[runtime]\nworkers = 2\n\n[store]\ndir = \"%s/%s\"\nresp = \"127.0.0.1:0\"\n", folder, name);
    return text;
}

static trimtab_server *started(const char *name)
{
    trimtab_server *server = server_of(with_store(name), NULL, NULL);
    OK(trimtab_server_start(server));
    return server;
}

static trimtab_store *store_of(const trimtab_server *server)
{
    trimtab_store *store = NULL;
    OK(trimtab_server_store(server, &store));
    return store;
}

/* Where Redis clients are served, as the status has it. */
static uint16_t resp_port(const trimtab_server *server)
{
    static const char before[] = "\"clients\":{\"address\":\"";
    char status[8192];
    char *address;
    OK(trimtab_server_status_copy(server, status, sizeof status, NULL));
    address = strstr(status, before);
    CHECK(address != NULL);
    address += sizeof before - 1;
    *strchr(address, '"') = '\0';
    return port_in(address);
}

/* Sends `command` and expects this answer. */
static void ask(int client, const char *command, const char *expected)
{
    char answer[256];
    size_t size = strlen(expected);
    CHECK(size < sizeof answer && write_all(client, command, strlen(command)) && read_all(client, answer, size));
    CHECK(memcmp(answer, expected, size) == 0);
}

static void end(trimtab_server *server)
{
    OK(trimtab_server_stop(server));
    OK(trimtab_server_wait(server, -1));
}

static void the_same_keys(void)
{
    trimtab_server *server = started("keys");
    trimtab_store *store = store_of(server), *other = store_of(server);
    trimtab_store_queue *queue = NULL;
    trimtab_store_watch *watch = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "queued", "4");
    const trimtab_store_operation *pointers[] = {&put};
    trimtab_store_change change;
    size_t taken = 0;
    uint64_t count = 0;
    int32_t fd = -1;
    int client = dial(resp_port(server));
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    CHECK(store != other);

    OK(trimtab_store_put(store, BYTES("ours"), BYTES("1"), NULL, &result));
    CHECK(result.durability == TRIMTAB_DURABILITY_LOCAL);
    ask(client, "GET ours\r\n", "$1\r\n1\r\n");
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, &watch));
    ask(client, "SET theirs 2\r\n", "+OK\r\n");
    CHECK(has(store, "theirs", "2") && has(other, "theirs", "2"));
    OK(trimtab_store_watch_next(watch, 60000, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_PUT && is(change.key, change.key_len, "theirs"));
    ask(client, "INCR theirs\r\n", ":3\r\n");
    OK(trimtab_store_increment(other, BYTES("theirs"), 1, NULL, &result));
    CHECK(result.number == 4);
    OK(trimtab_store_queue_new(store, 4, &queue));
    OK(trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    OK(trimtab_store_queue_next(queue, -1, NULL, &answer));
    trimtab_store_answer_free(answer);
    ask(client, "GET queued\r\n", "$1\r\n4\r\n");
    OK(trimtab_store_count(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &count));
    CHECK(count == 3);

    /* It is no hosted one, and not the embedder's to close. */
    EXPECT(TRIMTAB_E_STATE, trimtab_store_turn(store, 0, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_poll_fd(store, &fd));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_close(store));
    CHECK(strstr(last_error(), "server") != NULL);
    CHECK(has(store, "ours", "1"));

    /* A handle that goes closes nothing; what was made of it goes on. */
    trimtab_store_free(store);
    ask(client, "GET ours\r\n", "$1\r\n1\r\n");
    CHECK(has(other, "ours", "1"));
    OK(trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    OK(trimtab_store_queue_next(queue, -1, NULL, &answer));
    trimtab_store_answer_free(answer);
    trimtab_store_queue_free(queue);
    trimtab_store_watch_free(watch);
    trimtab_store_free(other);
    close(client);
    trimtab_server_free(server);
}

static void its_life(void)
{
    trimtab_store_call call = new_call();
    struct backend backend;
    const struct backend *const one[] = {&backend};
    trimtab_store *store = NULL, *later = NULL;
    backend_start(&backend, 'a');
    trimtab_server *server = server_of(config_of(1, "", one, 1), NULL, NULL);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_store(server, &store));
    CHECK(strstr(last_error(), "[store]") != NULL);
    OK(trimtab_server_start(server));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_store(server, &store));
    trimtab_server_free(server);
    backend_stop(&backend);

    server = server_of(with_store("life"), NULL, NULL);
    EXPECT(TRIMTAB_E_STATE, trimtab_server_store(server, &store));
    CHECK(strstr(last_error(), "not started") != NULL && store == NULL);
    OK(trimtab_server_start(server));
    store = store_of(server);
    /* What was answered is on disk when the server has ended, whatever it asked for. */
    call.durability = TRIMTAB_DURABILITY_MEMORY;
    for (unsigned at = 0; at < 1000; at++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", at);
        OK(trimtab_store_put(store, BYTES(key), BYTES("v"), &call, NULL));
    }
    end(server);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(store, BYTES("late"), BYTES("v"), NULL, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_sync(store, 0, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_store(server, &later));
    CHECK(strstr(last_error(), "ended") != NULL && later == NULL);
    trimtab_server_free(server);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(store, BYTES("late"), BYTES("v"), NULL, NULL));
    trimtab_store_free(store);

    char path[128];
    uint64_t count = 0;
    snprintf(path, sizeof path, "%s/life", folder);
    OK(trimtab_store_open(STR(path), NULL, &store));
    OK(trimtab_store_count(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &count));
    CHECK(count == 1000);
    trimtab_store_free(store);
}

/* Threads that write until the store is closed: what was answered is counted. */
static void *write_until_it_ends(void *opaque)
{
    trimtab_store *store = opaque;
    uintptr_t done = 0;
    trimtab_status status;
    while ((status = trimtab_store_increment(store, BYTES("n"), 1, NULL, NULL)) == TRIMTAB_OK) {
        done++;
    }
    CHECK(status == TRIMTAB_E_STATE);
    return (void *)done;
}

static void *watch_until_it_ends(void *opaque)
{
    trimtab_store_watch *watch = opaque;
    trimtab_store_change change;
    trimtab_status status;
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    while ((status = trimtab_store_watch_next(watch, -1, &change)) == TRIMTAB_OK) {
    }
    CHECK(status == TRIMTAB_E_STATE);
    return NULL;
}

static void calls_under_way(void)
{
    trimtab_server *server = started("under-way");
    trimtab_store *store = store_of(server);
    trimtab_store_watch *watch = NULL;
    trimtab_store_result result = new_result();
    pthread_t writers[WRITERS], watcher;
    uintptr_t done = 0;
    char path[128];
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_PREFIX, BYTES("nothing of"), NO_BYTES, 0, &watch));
    CHECK(pthread_create(&watcher, NULL, watch_until_it_ends, watch) == 0);
    for (unsigned at = 0; at < WRITERS; at++) {
        CHECK(pthread_create(&writers[at], NULL, write_until_it_ends, store) == 0);
    }
    do {
        OK(trimtab_store_increment(store, BYTES("n"), 0, NULL, &result));
    } while (result.number < WRITES);
    end(server);
    for (unsigned at = 0; at < WRITERS; at++) {
        void *answered = NULL;
        CHECK(pthread_join(writers[at], &answered) == 0);
        done += (uintptr_t)answered;
    }
    CHECK(pthread_join(watcher, NULL) == 0);
    trimtab_server_free(server);
    trimtab_store_watch_free(watch);
    trimtab_store_free(store);
    snprintf(path, sizeof path, "%s/under-way", folder);
    OK(trimtab_store_open(STR(path), NULL, &store));
    OK(trimtab_store_increment(store, BYTES("n"), 0, NULL, &result));
    CHECK((uintptr_t)result.number == done);
    trimtab_store_free(store);
}

/* What a callback for events may do. */
struct told {
    trimtab_server *server;
    unsigned started, stopped;
};

static void use_it(const trimtab_event *event, void *user_data)
{
    struct told *told = user_data;
    trimtab_store *store = NULL;
    if (event->kind == TRIMTAB_EVENT_STARTED) {
        store = store_of(told->server);
        OK(trimtab_store_put(store, BYTES("begun"), BYTES("v"), NULL, NULL));
        trimtab_store_free(store);
        told->started++;
    } else if (event->kind == TRIMTAB_EVENT_STOPPED) {
        EXPECT(TRIMTAB_E_STATE, trimtab_server_store(told->server, &store));
        told->stopped++;
    }
}

static void in_a_callback(void)
{
    struct told told = {0};
    told.server = server_of(with_store("callback"), use_it, &told);
    OK(trimtab_server_start(told.server));
    trimtab_store *store = store_of(told.server);
    CHECK(told.started == 1 && has(store, "begun", "v"));
    trimtab_store_free(store);
    end(told.server);
    CHECK(told.stopped == 1);
    trimtab_server_free(told.server);
}

/* Turns the server until so many bytes have come to `client`. */
static void turn_until_answered(trimtab_server *server, int client, int size)
{
    int available = 0;
    while (available < size) {
        OK(trimtab_server_turn(server, -1, NULL));
        CHECK(ioctl(client, FIONREAD, &available) == 0);
    }
}

/* Calls that wait are answered on their own threads, whoever turns the server. */
static void *put_beside(void *argument)
{
    trimtab_store_call call = new_call();
    call.durability = TRIMTAB_DURABILITY_LOCAL;
    for (int round = 0; round < WRITES; round++) {
        OK(trimtab_store_put(argument, BYTES("beside"), BYTES("v"), &call, NULL));
    }
    return NULL;
}

static void in_the_hosts_loop(void)
{
    static const char set[] = "*3\r\n$3\r\nSET\r\n$3\r\nred\r\n$1\r\nv\r\n";
    static const char get[] = "*2\r\n$3\r\nGET\r\n$3\r\nred\r\n";
    trimtab_server *server = server_of(with_store("loop"), NULL, NULL);
    unsigned before = threads();
    pthread_t writer;
    uint64_t deadline = 0;
    int32_t number = 0;
    OK(trimtab_server_start_hosted(server));
    CHECK(threads() == before);
    trimtab_store *store = store_of(server);
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    CHECK(has(store, "k", "v"));
    /* It is turned with the server and not by itself. */
    EXPECT(TRIMTAB_E_STATE, trimtab_store_turn(store, 0, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_poll_fd(store, &number));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_next_deadline(store, &deadline));
    /* A Redis client, whose writes are on disk when they are answered. */
    int client = dial(resp_port(server));
    CHECK(write_all(client, set, sizeof set - 1) && write_all(client, get, sizeof get - 1));
    turn_until_answered(server, client, 5 + 7);
    ask(client, "", "+OK\r\n$1\r\nv\r\n");
    CHECK(threads() == before);
    /* Beside another thread that writes. */
    CHECK(pthread_create(&writer, NULL, put_beside, store) == 0);
    for (int round = 0; round < WRITES; round++) {
        CHECK(write_all(client, set, sizeof set - 1));
        turn_until_answered(server, client, 5);
        ask(client, "", "+OK\r\n");
    }
    CHECK(pthread_join(writer, NULL) == 0);
    close(client);
    OK(trimtab_server_stop(server));
    while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
        OK(trimtab_server_turn(server, -1, NULL));
    }
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    trimtab_server_free(server);
    trimtab_store_free(store);
    server = started("loop");
    store = store_of(server);
    CHECK(has(store, "k", "v") && has(store, "red", "v") && has(store, "beside", "v"));
    trimtab_store_free(store);
    end(server);
    trimtab_server_free(server);
}

static void join(pid_t child)
{
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_child(void)
{
    trimtab_server *server = started("fork");
    trimtab_store *store = store_of(server), *none = NULL;
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    pid_t child = fork();
    if (child == 0) {
        char buffer[8];
        alarm(CHILD_SECONDS);
        EXPECT(TRIMTAB_E_FORKED, trimtab_server_store(server, &none));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(store, BYTES("k"), BYTES("w"), NULL, NULL));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_get_copy(store, BYTES("k"), buffer, sizeof buffer, NULL, NULL));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_close(store));
        trimtab_server_free(server);
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(store, BYTES("k"), BYTES("w"), NULL, NULL));
        trimtab_store_free(store);
        _exit(0);
    }
    join(child);
    CHECK(has(store, "k", "v"));
    OK(trimtab_store_put(store, BYTES("k"), BYTES("w"), NULL, NULL));
    trimtab_server_free(server);
    /* Now the handle is all there is of the store. */
    child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(store, BYTES("k"), BYTES("x"), NULL, NULL));
        trimtab_store_free(store);
        _exit(0);
    }
    join(child);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(store, BYTES("k"), BYTES("x"), NULL, NULL));
    trimtab_store_free(store);
}

int main(void)
{
    alarm(ALL_SECONDS);
    make_folder();
    the_same_keys();
    its_life();
    calls_under_way();
    in_a_callback();
    in_the_hosts_loop();
    a_child();
    remove_folder();
    printf("server_store: the same keys, its life, calls under way, a callback, the host's loop, a fork\n");
    return 0;
}
