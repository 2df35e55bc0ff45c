/*
 * Servers under load from several threads while others change, ask, drain and stop them. Runs by itself and, with
 * the library and this file built for ThreadSanitizer, as `make test-tsan`.
 *
 *     server_load [ROUNDS]      default 30
 *     server_load --plant       two threads write to one place in the library, which ThreadSanitizer must find
 */
#include "net.h"

enum { CLIENTS = 4 };

static struct backend a, b, c;
static const struct backend *const both[] = {&a, &b};

struct load {
    uint16_t port;
    /* Set before the server is told to stop: from then on a session may break off. */
    int stopping;
    unsigned events;
    /* Behind the lock; each visit is told of. */
    unsigned visits;
    pthread_mutex_t lock;
    pthread_cond_t visited;
};

#define NEW_LOAD {0, 0, 0, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}

static void count(const trimtab_event *event, void *user_data)
{
    struct load *load = user_data;
    CHECK(event->name_len > 0);
    __atomic_fetch_add(&load->events, 1, __ATOMIC_RELAXED);
}

static int is_stopping(const struct load *load)
{
    return __atomic_load_n(&load->stopping, __ATOMIC_ACQUIRE);
}

/* Visits until the server is gone. */
static void *visitor(void *argument)
{
    struct load *load = argument;
    for (unsigned number = 0;; number++) {
        char letter = 0;
        int works = 0;
        int client = try_dial(load->port);
        if (client >= 0) {
            letter = greeting(client);
            works = letter != 0;
            for (unsigned word = 0; works && word < number % 4; word++) {
                works = say(client, "a few words");
            }
            /* Some leave without a word. */
            if (works && number % 3 != 0) {
                CHECK(shutdown(client, SHUT_WR) == 0);
                is_ended(client);
            }
            close(client);
        }
        if (!works) {
            CHECK(is_stopping(load));
            return NULL;
        }
        CHECK(letter >= 'a' && letter <= 'c');
        CHECK(pthread_mutex_lock(&load->lock) == 0);
        load->visits++;
        CHECK(pthread_cond_signal(&load->visited) == 0);
        CHECK(pthread_mutex_unlock(&load->lock) == 0);
    }
}

/* Everything that may be done to a server and its pool while they work. */
static void change(trimtab_server *server, trimtab_pool *pool, unsigned round)
{
    char text[4096];
    char address[32];
    uint64_t id = 0;
    trimtab_pick pick = new_pick();
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)c.port);
    OK(trimtab_pool_add_backend(pool, STR(address), 1 + round % 3, &id));
    OK(trimtab_pool_set_maxconn(pool, id, 2));
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "b"), 1 + round % 2));
    OK(trimtab_pool_set_admin(pool, id_of(pool, "a"), TRIMTAB_ADMIN_DRAIN));
    OK(trimtab_server_status_copy(server, text, sizeof text, NULL));
    if (trimtab_pool_pick(pool, NO_KEY, 0, &pick) == TRIMTAB_OK) {
        OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    }
    OK(trimtab_pool_set_weight(pool, id, 9));
    server_statistics_of(server);
    listener_statistics_of(server, "web");
    OK(trimtab_pool_set_admin(pool, id_of(pool, "a"), TRIMTAB_ADMIN_READY));
    OK(trimtab_pool_remove(pool, id));
    OK(trimtab_pool_set_maxconn(pool, id_of(pool, "b"), 0));
}

/* Waits until the clients have made so many visits more, or one of them has failed and ended the program. */
static void let_visit(struct load *load, unsigned more)
{
    CHECK(pthread_mutex_lock(&load->lock) == 0);
    unsigned until = load->visits + more;
    while (load->visits < until) {
        CHECK(pthread_cond_wait(&load->visited, &load->lock) == 0);
    }
    CHECK(pthread_mutex_unlock(&load->lock) == 0);
}

static void own_threads(unsigned rounds, int with_drain)
{
    pthread_t visitors[CLIENTS];
    struct load load = NEW_LOAD;
    trimtab_server *server = server_of(config_of(2, "queue = \"20s\"", both, 2), count, &load);
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_server_start(server));
    load.port = port_of(server, "web");
    for (unsigned at = 0; at < CLIENTS; at++) {
        CHECK(pthread_create(&visitors[at], NULL, visitor, &load) == 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        change(server, pool, round);
        let_visit(&load, 5);
    }
    __atomic_store_n(&load.stopping, 1, __ATOMIC_RELEASE);
    if (with_drain) {
        OK(trimtab_server_drain(server, 5000));
        OK(trimtab_server_wait(server, DEADLINE_S * 1000));
    } else {
        OK(trimtab_server_stop(server));
    }
    trimtab_server_free(server);
    for (unsigned at = 0; at < CLIENTS; at++) {
        CHECK(pthread_join(visitors[at], NULL) == 0);
    }
    CHECK(statistics_of(pool).in_flight == 0);
    trimtab_pool_free(pool);
    CHECK(load.events >= 2 + 8 * rounds);
}

static void *host(void *argument)
{
    const trimtab_server *server = argument;
    while (state_of(server) != TRIMTAB_SERVER_STOPPED) {
        OK(trimtab_server_turn(server, -1, NULL));
    }
    return NULL;
}

static void in_a_host(unsigned rounds)
{
    pthread_t visitors[CLIENTS];
    pthread_t turner;
    struct load load = NEW_LOAD;
    int32_t number = 0;
    trimtab_server *server = server_of(config_of(1, "queue = \"20s\"", both, 2), count, &load);
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_server_start_hosted(server));
    load.port = port_of(server, "web");
    CHECK(pthread_create(&turner, NULL, host, server) == 0);
    for (unsigned at = 0; at < CLIENTS; at++) {
        CHECK(pthread_create(&visitors[at], NULL, visitor, &load) == 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        change(server, pool, round);
        OK(trimtab_server_next_timeout(server, &number));
        OK(trimtab_server_poll_fd(server, &number));
        let_visit(&load, 5);
    }
    __atomic_store_n(&load.stopping, 1, __ATOMIC_RELEASE);
    OK(trimtab_server_stop(server));
    for (unsigned at = 0; at < CLIENTS; at++) {
        CHECK(pthread_join(visitors[at], NULL) == 0);
    }
    CHECK(pthread_join(turner, NULL) == 0);
    trimtab_server_free(server);
    CHECK(statistics_of(pool).in_flight == 0);
    trimtab_pool_free(pool);
}

static void *ask_the_time(void *argument)
{
    OK(trimtab_now(argument));
    return NULL;
}

static int plant(void)
{
    pthread_t askers[2];
    uint64_t now = 0;
    for (unsigned at = 0; at < 2; at++) {
        CHECK(pthread_create(&askers[at], NULL, ask_the_time, &now) == 0);
    }
    for (unsigned at = 0; at < 2; at++) {
        CHECK(pthread_join(askers[at], NULL) == 0);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--plant") == 0) {
        return plant();
    }
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 30;
    alarm(240);
    backend_start(&a, 'a');
    backend_start(&b, 'b');
    backend_start(&c, 'c');
    /* One life is ten rounds. */
    for (unsigned done = 0; done < rounds; done += 10) {
        own_threads(10, 0);
        own_threads(10, 1);
        in_a_host(10);
    }
    backend_stop(&a);
    backend_stop(&b);
    backend_stop(&c);
    printf("server_load: %u servers changed, asked and stopped under the load of %d clients\n",
           (rounds + 9) / 10 * 3, CLIENTS);
    return 0;
}
