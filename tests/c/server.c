/* A server on threads of its own: what it refuses, what it relays, what it counts. */
#include "net.h"

#include <sys/stat.h>

static struct backend a, b;
static const struct backend *const both[] = {&a, &b};

static int mentions(const char *part)
{
    return strstr(last_error(), part) != NULL;
}

/* --- refusals ------------------------------------------------------------------------------------------- */

static void write_file(int file, const char *text)
{
    CHECK(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    CHECK(write(file, text, strlen(text)) == (ssize_t)strlen(text));
}

static void wrong_configurations(void)
{
    static const char wrong[] = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"nobody\"\n\n"
                                "[[pool]]\nname = \"app\"\nbogus = 1\n";
    trimtab_server *const untouched = (trimtab_server *)(void *)&a;
    trimtab_server *server = untouched;
    char path[] = "/tmp/trimtab-server-XXXXXX";
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new(STR(wrong), STR("web.toml"), &server, NULL, NULL));
    CHECK(mentions("web.toml:4:8: ") && mentions("nobody") && mentions("(and 1 more)"));
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new(STR("listener = 3"), STR(""), &server, NULL, NULL));
    CHECK(strncmp(last_error(), "config:1:12: ", 13) == 0);
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new(STR("[[listener]"), STR("x"), &server, NULL, NULL));
    CHECK(strncmp(last_error(), "x:1:", 4) == 0);
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new(STR(""), STR("empty.toml"), &server, NULL, NULL));
    CHECK(mentions("empty.toml"));
    EXPECT(TRIMTAB_E_UTF8, trimtab_server_new(STR("# \xff"), STR("x"), &server, NULL, NULL));
    EXPECT(TRIMTAB_E_UTF8, trimtab_server_new(STR("#"), STR("\xff"), &server, NULL, NULL));

    int file = mkstemp(path);
    CHECK(file >= 0);
    write_file(file, wrong);
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new_from_file(STR(path), &server, NULL, NULL));
    CHECK(mentions(path) && mentions(":4:8: "));
    write_file(file, "\xff\xfe");
    EXPECT(TRIMTAB_E_CONFIG, trimtab_server_new_from_file(STR(path), &server, NULL, NULL));
    CHECK(mentions(path));
    CHECK(server == untouched);
    write_file(file, config_of(1, "", both, 2));
    OK(trimtab_server_new_from_file(STR(path), &server, NULL, NULL));
    CHECK(state_of(server) == TRIMTAB_SERVER_NEW);
    trimtab_server_free(server);
    close(file);
    CHECK(unlink(path) == 0);

    server = untouched;
    EXPECT(TRIMTAB_E_IO, trimtab_server_new_from_file(STR(path), &server, NULL, NULL));
    CHECK(mentions(path));
    EXPECT(TRIMTAB_E_IO, trimtab_server_new_from_file(STR("/tmp/no\xffwhere/x.toml"), &server, NULL, NULL));
    trimtab_str with_nul = {"/tmp\0/x", 7};
    EXPECT(TRIMTAB_E_IO, trimtab_server_new_from_file(with_nul, &server, NULL, NULL));
    CHECK(server == untouched);
}

/* What needs a hosted server says so. */
static void not_hosted(const trimtab_server *server, const char *why)
{
    int32_t number = -7;
    uint64_t deadline = 7;
    size_t count = 7;
    EXPECT(TRIMTAB_E_STATE, trimtab_server_poll_fd(server, &number));
    CHECK(mentions(why));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_next_timeout(server, &number));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_next_deadline(server, &deadline));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_turn(server, 0, &count));
    CHECK(mentions(why) && number == -7 && deadline == 7 && count == 7);
}

static void states(void)
{
    char text[4096];
    trimtab_listener_statistics listener = {0};
    trimtab_server *server = server_of(config_of(2, "", both, 2), NULL, NULL);
    listener.struct_size = sizeof listener;
    CHECK(state_of(server) == TRIMTAB_SERVER_NEW);
    CHECK(server_statistics_of(server).accepted == 0);
    EXPECT(TRIMTAB_E_STATE, trimtab_server_drain(server, 0));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_wait(server, 0));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_address_copy(server, STR("web"), text, sizeof text, NULL));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_address_copy(server, STR("ftp"), text, sizeof text, NULL));
    CHECK(mentions("ftp"));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_listener_statistics_read(server, STR("web"), &listener));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_listener_statistics_read(server, STR("ftp"), &listener));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_admin_address_copy(server, text, sizeof text, NULL));
    CHECK(mentions("[admin]"));
    not_hosted(server, "not started");
    OK(trimtab_server_status_copy(server, text, sizeof text, NULL));
    CHECK(strstr(text, "\"state\":\"new\"") != NULL);

    OK(trimtab_server_start(server));
    CHECK(state_of(server) == TRIMTAB_SERVER_RUNNING);
    CHECK(threads() == 5); /* this one, two backends, two workers */
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start(server));
    CHECK(mentions("started already"));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start_hosted(server));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_adopt(server, STR("web"), a.listening));
    not_hosted(server, "threads of its own");
    uint64_t began = now_ms();
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_server_wait(server, 0));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_server_wait(server, 30));
    CHECK(now_ms() - began >= 30);
    OK(trimtab_server_stop(server));
    OK(trimtab_server_wait(server, -1));
    expect_threads(3);
    CHECK(state_of(server) == TRIMTAB_SERVER_STOPPED);
    OK(trimtab_server_stop(server));
    OK(trimtab_server_drain(server, 0));
    OK(trimtab_server_wait(server, 0));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start(server));
    CHECK(mentions("ended"));
    not_hosted(server, "ended");
    trimtab_server_free(server);

    /* Stopped before it was started, it never will be. */
    server = server_of(config_of(1, "", both, 2), NULL, NULL);
    OK(trimtab_server_stop(server));
    CHECK(state_of(server) == TRIMTAB_SERVER_STOPPED);
    OK(trimtab_server_wait(server, 0));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_start(server));
    trimtab_server_free(server);
    trimtab_server_free(NULL);
}

static void handles_of_another_type(void)
{
    int32_t state = 0;
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_RANDOM);
    trimtab_server *server = server_of(config_of(1, "", both, 2), NULL, NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_server_state((const trimtab_server *)(const void *)pool, &state));
    CHECK(mentions("server"));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_remove((const trimtab_pool *)(const void *)server, 1));
    /* Freed as what they are not, they are left alone. */
    trimtab_server_free((trimtab_server *)(void *)pool);
    trimtab_pool_free((trimtab_pool *)(void *)server);
    OK(trimtab_server_state(server, &state));
    CHECK(statistics_of(pool).backends == 0);
    trimtab_server_free(server);
    trimtab_pool_free(pool);
}

/* A struct of a later release, with room behind what this one knows. */
static void struct_sizes(void)
{
    struct {
        trimtab_server_statistics known;
        uint64_t later[4];
    } grown;
    struct {
        trimtab_listener_statistics known;
        uint64_t later[4];
    } listener;
    trimtab_server *server = server_of(config_of(1, "", both, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    memset(&grown, 0xee, sizeof grown);
    memset(&listener, 0xee, sizeof listener);
    grown.known.struct_size = sizeof grown;
    listener.known.struct_size = sizeof listener;
    OK(trimtab_server_statistics_read(server, &grown.known));
    OK(trimtab_server_listener_statistics_read(server, STR("web"), &listener.known));
    CHECK(grown.known.struct_size == sizeof grown && grown.known.bytes_to_clients == 0 && grown.known.reserved == 0);
    CHECK(grown.later[0] == 0xeeeeeeeeeeeeeeeeu && listener.later[0] == 0xeeeeeeeeeeeeeeeeu);
    CHECK(listener.known.closed_no_descriptor == 0 && listener.known.closed_backend_down == 0);
    grown.known.struct_size = sizeof grown.known - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_server_statistics_read(server, &grown.known));
    /* One of before there were all causes: it gets those it knows, and nothing behind them. */
    memset(&listener, 0xee, sizeof listener);
    listener.known.struct_size = offsetof(trimtab_listener_statistics, closed_retry_refused);
    OK(trimtab_server_listener_statistics_read(server, STR("web"), &listener.known));
    CHECK(listener.known.closed_no_descriptor == 0 && listener.known.closed_retry_refused == 0xeeeeeeeeeeeeeeeeu);
    listener.known.struct_size = offsetof(trimtab_listener_statistics, closed_retry_refused) - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_server_listener_statistics_read(server, STR("web"), &listener.known));
    trimtab_server_free(server);
}

static void port_in_use(void)
{
    char config[512] = "";
    uint16_t port = 0;
    int other = listen_anywhere(&port);
    append(config, sizeof config,
           "[[listener]]\nname = \"free\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n"
           "[[listener]]\nname = \"taken\"\nbind = \"127.0.0.1:%u\"\npool = \"app\"\n[[pool]]\nname = \"app\"\n",
           (unsigned)port);
    trimtab_server *server = server_of(config, NULL, NULL);
    unsigned before = descriptors();
    EXPECT(TRIMTAB_E_IO, trimtab_server_start(server));
    CHECK(mentions("listener taken") && mentions("test.toml:7:8") && mentions("in use"));
    EXPECT(TRIMTAB_E_IO, trimtab_server_start_hosted(server));
    CHECK(descriptors() == before && threads() == 3);
    CHECK(state_of(server) == TRIMTAB_SERVER_NEW);
    close(other);
    OK(trimtab_server_start(server));
    CHECK(port_of(server, "taken") == port && port_of(server, "free") != port);
    trimtab_server_free(server);
}

/* --- what works ----------------------------------------------------------------------------------------- */

static void *send_much(void *argument)
{
    static char bytes[1 << 20];
    int client = *(int *)argument;
    for (size_t at = 0; at < sizeof bytes; at++) {
        bytes[at] = (char)(at * 31 >> 3);
    }
    CHECK(write_all(client, bytes, sizeof bytes));
    CHECK(shutdown(client, SHUT_WR) == 0);
    return NULL;
}

static void relay(void)
{
    enum { VISITS = 40, MUCH = 1 << 20 };
    static char heard[MUCH];
    char text[8192];
    pthread_t sender;
    trimtab_server *server = server_of(config_of(2, "", both, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    uint16_t port = port_of(server, "web");
    unsigned counts[2] = {0, 0};
    for (unsigned at = 0; at < VISITS; at++) {
        char letter = visit(port);
        CHECK(letter == 'a' || letter == 'b');
        counts[letter - 'a']++;
    }
    CHECK(counts[0] == VISITS / 2 && counts[1] == VISITS / 2);

    int client = dial(port);
    CHECK(greeting(client) != 0);
    CHECK(pthread_create(&sender, NULL, send_much, &client) == 0);
    CHECK(read_all(client, heard, MUCH) && is_ended(client) == 1);
    CHECK(pthread_join(sender, NULL) == 0);
    for (size_t at = 0; at < MUCH; at++) {
        CHECK(heard[at] == (char)(at * 31 >> 3));
    }
    close(client);

    client = dial(port);
    CHECK(greeting(client) != 0);
    CHECK(server_statistics_of(server).sessions >= 1);
    close(client);
    expect_no_sessions(server);
    trimtab_server_statistics all = server_statistics_of(server);
    trimtab_listener_statistics web = listener_statistics_of(server, "web");
    CHECK(all.accepted == VISITS + 2 && all.finished == VISITS + 2 && all.failed == 0 && all.retries == 0);
    CHECK(all.bytes_to_backends == VISITS * 5 + MUCH && all.bytes_to_clients == VISITS * 6 + MUCH + 2);
    CHECK(web.accepted == all.accepted && web.closed_finished == all.finished && web.sessions == 0);
    CHECK(web.bytes_to_backends == all.bytes_to_backends && web.bytes_to_clients == all.bytes_to_clients);
    size_t length = 0;
    OK(trimtab_server_status_copy(server, text, sizeof text, &length));
    CHECK(length < sizeof text && strlen(text) == length && text[length - 1] == '}');
    CHECK(strstr(text, "\"state\":\"running\"") != NULL && strstr(text, "\"workers\":2") != NULL);
    CHECK(strstr(text, "\"accepted\":42") != NULL);
    OK(trimtab_server_status_copy(server, NULL, 0, &length));
    CHECK(length == strlen(text));
    trimtab_server_free(server);
}

/* A backend that refuses is tried and left; with nobody there the session ends. */
static void failures(void)
{
    struct backend gone;
    const struct backend *const one_gone[] = {&gone, &a};
    backend_start(&gone, 'g');
    backend_stop(&gone);
    trimtab_server *server = server_of(config_of(1, "", one_gone, 2), NULL, NULL);
    OK(trimtab_server_start(server));
    for (unsigned at = 0; at < 4; at++) {
        CHECK(visit(port_of(server, "web")) == 'a');
    }
    /* The one who refused was tried, and each time another: by turns, so not every time. */
    CHECK(server_statistics_of(server).retries >= 1 && server_statistics_of(server).retries <= 4);
    trimtab_pool *pool = pool_of(server, "app");
    OK(trimtab_pool_set_admin(pool, id_of(pool, "a"), TRIMTAB_ADMIN_DRAIN));
    OK(trimtab_pool_set_admin(pool, id_of(pool, "g"), TRIMTAB_ADMIN_MAINTENANCE));
    int client = dial(port_of(server, "web"));
    is_ended(client);
    close(client);
    expect_no_sessions(server);
    CHECK(listener_statistics_of(server, "web").closed_no_backend == 1);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
}

static void adoption(void)
{
    uint16_t port = 0;
    int listening = listen_anywhere(&port);
    int no_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int gone = dup(no_listener);
    close(gone);
    trimtab_server *server = server_of(config_of(2, "", both, 2), NULL, NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_server_adopt(server, STR("web"), -1));
    CHECK(mentions("fd") && mentions("-1"));
    EXPECT(TRIMTAB_E_IO, trimtab_server_adopt(server, STR("web"), gone));
    EXPECT(TRIMTAB_E_IO, trimtab_server_adopt(server, STR("web"), no_listener));
    CHECK(mentions("listens"));
    EXPECT(TRIMTAB_E_IO, trimtab_server_adopt(server, STR("web"), datagrams));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_server_adopt(server, STR("ftp"), listening));
    OK(trimtab_server_adopt(server, STR("web"), listening));
    OK(trimtab_server_start(server));
    CHECK(port_of(server, "web") == port);
    visit(port);
    trimtab_server_free(server);

    /* The caller's descriptor is open still, and its socket listens: the client finds nobody but the caller. */
    int client = dial(port);
    int accepted = -1;
    struct pollfd polled = {listening, POLLIN, 0};
    CHECK(poll(&polled, 1, DEADLINE_S * 1000) == 1);
    accepted = accept(listening, NULL, NULL);
    CHECK(accepted >= 0);
    close(accepted);
    close(client);

    /* With the caller's closed the server's duplicate alone holds it. */
    server = server_of(config_of(1, "", both, 2), NULL, NULL);
    OK(trimtab_server_adopt(server, STR("web"), listening));
    close(listening);
    OK(trimtab_server_start(server));
    visit(port);
    trimtab_server_free(server);
    CHECK(try_dial(port) < 0);
    close(no_listener);
    close(datagrams);
}

static void unix_sockets(void)
{
    char folder[] = "/tmp/trimtab-server-XXXXXX";
    char config[1024] = "";
    char text[128];
    char expected[128] = "";
    struct sockaddr_un address;
    size_t length = 0;
    CHECK(mkdtemp(folder) != NULL);
    append(config, sizeof config,
           "[[listener]]\nname = \"local\"\nbind = \"unix:%s/web\"\npool = \"app\"\n"
           "[[pool]]\nname = \"app\"\n[[pool.backend]]\naddress = \"127.0.0.1:%u\"\n[admin]\nbind = \"unix:%s/admin\"\n",
           folder, (unsigned)a.port, folder);
    trimtab_server *server = server_of(config, NULL, NULL);
    EXPECT(TRIMTAB_E_STATE, trimtab_server_admin_address_copy(server, text, sizeof text, NULL));
    OK(trimtab_server_start(server));
    append(expected, sizeof expected, "unix:%s/admin", folder);
    OK(trimtab_server_admin_address_copy(server, text, sizeof text, &length));
    CHECK(strcmp(text, expected) == 0 && length == strlen(expected));
    OK(trimtab_server_address_copy(server, STR("local"), text, 6, &length));
    CHECK(strcmp(text, "unix:") == 0 && length == strlen(folder) + 9);

    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/web", folder);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    give_up_after(client, DEADLINE_S);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(greeting(client) == 'a' && say(client, "by path"));
    close(client);
    trimtab_server_free(server);
    /* The server took its files away. */
    CHECK(rmdir(folder) == 0);
}

int main(void)
{
    alarm(120);
    backend_start(&a, 'a');
    backend_start(&b, 'b');
    unsigned before = descriptors();
    wrong_configurations();
    states();
    handles_of_another_type();
    struct_sizes();
    port_in_use();
    relay();
    failures();
    adoption();
    unix_sockets();
    expect_threads(3);
    expect_descriptors(before);
    backend_stop(&a);
    backend_stop(&b);
    printf("server: refuses, relays, adopts and ends as told\n");
    return 0;
}
