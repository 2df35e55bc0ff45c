/*
 * A thousand servers made, started, used once and freed, on threads of their own and hosted by turns, leave no
 * thread, descriptor or memory behind. Built with AddressSanitizer, as leaks.c is, which see.
 *
 *     server_leaks [--plant]      with --plant: forgets one server, to see that this is found
 */
#include "net.h"

enum { SERVERS = 1000 };

static struct backend a, b;
static const struct backend *const both[] = {&a, &b};

static void count(const trimtab_event *event, void *user_data)
{
    unsigned *events = user_data;
    CHECK(event->name_len > 0);
    __atomic_fetch_add(events, 1, __ATOMIC_RELAXED);
}

/* One session, turned by hand: the client speaks before anybody reads. */
static void use_hosted(trimtab_server *server)
{
    char heard[6];
    int client = dial(port_of(server, "web"));
    CHECK(write_all(client, "hello", 5) && shutdown(client, SHUT_WR) == 0);
    while (server_statistics_of(server).finished == 0) {
        OK(trimtab_server_turn(server, -1, NULL));
    }
    CHECK(read_all(client, heard, sizeof heard) && memcmp(heard + 1, "hello", 5) == 0 && is_ended(client) == 1);
    close(client);
}

/* Fails in each way that leaves something to clean up. */
static void fail(trimtab_server *server, uint16_t port)
{
    char config[256] = "";
    trimtab_server *other = NULL;
    trimtab_pool *pool = NULL;
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new(STR("[[pool]]\nname = 3\n"), STR("a name"), &other, count, NULL));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_pool(server, STR("none of them"), &pool));
    EXPECT(TRIMTAB_E_IO, trimtab_server_new_from_file(STR("/nowhere/at.all"), &other, count, NULL));
    append(config, sizeof config,
           "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:%u\"\npool = \"app\"\n[[pool]]\nname = \"app\"\n",
           (unsigned)port);
    other = server_of(config, NULL, NULL);
    EXPECT(TRIMTAB_E_IO, trimtab_server_start(other));
    EXPECT(TRIMTAB_E_IO, trimtab_server_adopt(other, STR("web"), 0));
    OK(trimtab_server_adopt(other, STR("web"), a.listening));
    trimtab_server_free(other);
}

static void one_server(unsigned round)
{
    unsigned events = 0;
    char status[256];
    int cut = -1;
    uint64_t id = 0;
    trimtab_server *server = server_of(config_of(1 + round % 3, "", both, 2), count, &events);
    int is_hosted = round % 2 == 0;
    if (is_hosted) {
        OK(trimtab_server_start_hosted(server));
        use_hosted(server);
    } else {
        OK(trimtab_server_start(server));
        visit(port_of(server, "web"));
    }
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_pool_add_backend(pool, STR("10.0.0.9:9"), 1, &id));
    OK(trimtab_pool_set_admin(pool, id, TRIMTAB_ADMIN_MAINTENANCE));
    OK(trimtab_server_status_copy(server, status, sizeof status, NULL));
    if (round % 10 == 1) {
        fail(server, port_of(server, "web"));
    }
    switch (round / 2 % 4) {
    case 0: /* in the middle of a session */
        cut = dial(port_of(server, "web"));
        if (!is_hosted) {
            CHECK(greeting(cut) != 0);
        }
        break;
    case 1:
        OK(trimtab_server_drain(server, 1000));
        break;
    case 2:
        OK(trimtab_server_stop(server));
        break;
    default:
        trimtab_pool_free(pool);
        pool = NULL;
        break;
    }
    trimtab_server_free(server);
    CHECK(events >= 4);
    if (pool != NULL) {
        OK(trimtab_pool_remove(pool, id));
        trimtab_pool_free(pool);
    }
    if (cut >= 0) {
        close(cut);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--plant") == 0) {
        trimtab_server *forgotten = server_of("[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n"
                                              "[[pool]]\nname = \"app\"\n",
                                              NULL, NULL);
        forgotten = NULL;
        printf("server_leaks: one server forgotten\n");
        return forgotten != NULL;
    }
    alarm(240);
    backend_start(&a, 'a');
    backend_start(&b, 'b');
    /* What is made once for all, if anything is, is made by the first. */
    one_server(0);
    one_server(1);
    unsigned before = descriptors() - __atomic_load_n(&a.open, __ATOMIC_ACQUIRE);
    before -= __atomic_load_n(&b.open, __ATOMIC_ACQUIRE);
    for (unsigned round = 0; round < SERVERS; round++) {
        one_server(round);
    }
    expect_threads(3);
    expect_descriptors(before);
    backend_stop(&a);
    backend_stop(&b);
    printf("server_leaks: %d servers made, used and freed\n", SERVERS);
    return 0;
}
