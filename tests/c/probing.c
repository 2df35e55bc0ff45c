/* Checks in the host's own loop: TCP, HTTP and Redis against a server in the same loop of poll, whose verdicts go into a
 * pool. Then the server goes away, falls silent, and answers what it should not. */
#include "net.h"

#define SECOND UINT64_C(1000000000)
#define TIMES "interval = \"50ms\", timeout = \"100ms\", rise = 2, fall = 2"

/* What the server does with those who connect. */
enum manner { ANSWERS, SILENT, WRONG, GONE };

struct server {
    int listener;
    int client; /* -1 for none */
    const char *request_end;
    const char *answer;
    char heard[4096];
    size_t heard_len;
    enum manner manner;
    unsigned accepted;
};

struct world {
    trimtab_check *check;
    trimtab_pool *pool;
    uint64_t id;
    struct server server;
    struct sockaddr_in target;
    int probe; /* -1 for none */
    int is_connected;
    int wants_write;
    unsigned changes;
    unsigned learnt;
};

static trimtab_check_status status_of(const trimtab_check *check)
{
    trimtab_check_status status;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    OK(trimtab_check_status_read(check, &status));
    return status;
}

static void serve(struct server *server)
{
    char buffer[1024];
    ssize_t got = recv(server->client, buffer, sizeof buffer, 0);
    if (got <= 0) {
        close(server->client);
        server->client = -1;
        server->heard_len = 0;
        return;
    }
    CHECK(server->heard_len + (size_t)got < sizeof server->heard);
    memcpy(server->heard + server->heard_len, buffer, (size_t)got);
    server->heard_len += (size_t)got;
    server->heard[server->heard_len] = '\0';
    if (server->manner == SILENT || strstr(server->heard, server->request_end) == NULL) {
        return;
    }
    const char *answer = server->manner == WRONG ? "-ERR no\r\n" : server->answer;
    CHECK(send(server->client, answer, strlen(answer), MSG_NOSIGNAL) == (ssize_t)strlen(answer));
    server->heard_len = 0;
}

/* Takes steps until there is nothing to do; gives the deadline. */
static uint64_t step(struct world *world)
{
    for (;;) {
        trimtab_check_step step;
        memset(&step, 0, sizeof step);
        step.struct_size = sizeof step;
        OK(trimtab_check_take_step(world->check, 0, &step));
        world->wants_write = 0;
        switch (step.kind) {
        case TRIMTAB_STEP_WAIT: return step.deadline_ns;
        case TRIMTAB_STEP_CONNECT:
            CHECK(world->probe == -1);
            world->probe = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            CHECK(world->probe >= 0);
            world->is_connected = 0;
            if (connect(world->probe, (struct sockaddr *)&world->target, sizeof world->target) != 0 &&
                errno != EINPROGRESS) {
                OK(trimtab_check_handle_failed(world->check, STR(strerror(errno)), 0));
            }
            break;
        case TRIMTAB_STEP_WRITE: {
            /* A byte at a time, to see that the rest comes again. */
            ssize_t sent = send(world->probe, step.data, 1, MSG_NOSIGNAL);
            if (sent < 0) {
                CHECK(errno == EAGAIN);
                world->wants_write = 1;
                return step.deadline_ns;
            }
            OK(trimtab_check_handle_written(world->check, (size_t)sent));
            break;
        }
        case TRIMTAB_STEP_CLOSE:
            close(world->probe);
            world->probe = -1;
            break;
        case TRIMTAB_STEP_CHANGE: {
            char why[256];
            OK(trimtab_check_reason_copy(world->check, why, sizeof why, NULL));
            trimtab_check_status status = status_of(world->check);
            OK(trimtab_pool_set_observed_with(world->pool, world->id, status.observed, STR(why), status.since_ns));
            world->changes++;
            break;
        }
        case TRIMTAB_STEP_LEARN: world->learnt++; break;
        default: CHECK(!"a step that is not known");
        }
    }
}

static void turn(struct world *world)
{
    uint64_t deadline = step(world);
    uint64_t now = 0;
    OK(trimtab_now(&now));
    int timeout = deadline <= now ? 0 : (int)((deadline - now + 999999) / 1000000);
    short out = world->is_connected && !world->wants_write ? 0 : POLLOUT;
    struct pollfd watched[3] = {
        {.fd = world->server.listener, .events = POLLIN},
        {.fd = world->server.client, .events = POLLIN},
        {.fd = world->probe, .events = (short)(POLLIN | out)},
    };
    CHECK(poll(watched, 3, timeout) >= 0);
    if (watched[2].revents != 0) {
        int error = 0;
        socklen_t length = sizeof error;
        CHECK(getsockopt(world->probe, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
        if (error != 0) {
            OK(trimtab_check_handle_failed(world->check, STR(strerror(error)), 0));
        } else if (!world->is_connected && (watched[2].revents & POLLOUT)) {
            world->is_connected = 1;
            OK(trimtab_check_handle_connected(world->check, 0));
        } else if (watched[2].revents & POLLIN) {
            char buffer[3];
            ssize_t got = recv(world->probe, buffer, sizeof buffer, 0);
            if (got > 0) {
                OK(trimtab_check_handle_bytes(world->check, trimtab_bytes_of(buffer, (size_t)got), 0));
            } else if (got == 0) {
                OK(trimtab_check_handle_end(world->check, 0));
            } else if (errno != EAGAIN) {
                OK(trimtab_check_handle_failed(world->check, STR(strerror(errno)), 0));
            }
        }
    }
    if (watched[0].revents & POLLIN) {
        int client = accept(world->server.listener, NULL, NULL);
        CHECK(client >= 0);
        if (world->server.client >= 0) close(world->server.client);
        world->server.client = client;
        world->server.heard_len = 0;
        world->server.accepted++;
    } else if (watched[1].revents != 0) {
        serve(&world->server);
    }
}

/* Until the pool has it so. */
static void until(struct world *world, int32_t observed, const char *reason)
{
    uint64_t end = now_ms() + DEADLINE_S * 1000;
    while (backend_statistics_of(world->pool, world->id).observed != observed) {
        CHECK(now_ms() < end);
        turn(world);
    }
    char why[256];
    OK(trimtab_pool_reason_copy(world->pool, world->id, why, sizeof why, NULL));
    if (strstr(why, reason) == NULL) {
        fprintf(stderr, "the reason \"%s\" has no \"%s\"\n", why, reason);
        exit(1);
    }
    trimtab_check_status status = status_of(world->check);
    CHECK(status.observed == observed && status.probes > 0);
    CHECK(backend_statistics_of(world->pool, world->id).observed_since_ns == status.since_ns);
}

/* A server that listens, and a pool of it alone. */
static void begin(struct world *world, char *address, size_t size)
{
    world->server.listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof world->target;
    world->target.sin_family = AF_INET;
    world->target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(world->server.listener, (struct sockaddr *)&world->target, length) == 0);
    CHECK(listen(world->server.listener, 8) == 0);
    CHECK(getsockname(world->server.listener, (struct sockaddr *)&world->target, &length) == 0);
    snprintf(address, size, "127.0.0.1:%u", ntohs(world->target.sin_port));
    world->pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    OK(trimtab_pool_add_backend(world->pool, STR(address), 1, &world->id));
}

static void end(struct world *world)
{
    if (world->server.listener >= 0) close(world->server.listener);
    if (world->probe >= 0) close(world->probe);
    if (world->server.client >= 0) close(world->server.client);
    trimtab_check_free(world->check);
    trimtab_pool_free(world->pool);
}

static void probe(const char *config, const char *request_end, const char *answer, int32_t role)
{
    struct world world;
    memset(&world, 0, sizeof world);
    world.probe = -1;
    world.server.client = -1;
    world.server.request_end = request_end;
    world.server.answer = answer;
    char address[64];
    begin(&world, address, sizeof address);
    OK(trimtab_check_new(STR(config), STR(address), 0, &world.check));
    char target[64];
    OK(trimtab_check_target_copy(world.check, target, sizeof target, NULL));
    CHECK(strcmp(target, address) == 0);

    until(&world, TRIMTAB_OBSERVED_UP, "2 good probes in a row");
    trimtab_check_status status = status_of(world.check);
    CHECK(status.role == role && status.failed == 0 && status.good_in_a_row >= 2 && world.changes == 1);
    CHECK(status.lag_ns == TRIMTAB_NO_TIME);
    char failure[256];
    OK(trimtab_check_failure_copy(world.check, failure, sizeof failure, NULL));
    CHECK(strcmp(failure, "") == 0);
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick(world.pool, NO_KEY, 0, &pick));
    OK(trimtab_pool_done(world.pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));

    if (answer != NULL) {
        world.server.manner = SILENT;
        until(&world, TRIMTAB_OBSERVED_DOWN, "timeout");
        EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(world.pool, NO_KEY, 0, &pick));
        world.server.manner = ANSWERS;
        until(&world, TRIMTAB_OBSERVED_UP, "good probes");
        world.server.manner = WRONG;
        until(&world, TRIMTAB_OBSERVED_DOWN, "answer");
        OK(trimtab_check_failure_copy(world.check, failure, sizeof failure, NULL));
        CHECK(strstr(failure, "answer") != NULL);
    }
    close(world.server.listener);
    world.server.listener = -1;
    if (answer == NULL) {
        until(&world, TRIMTAB_OBSERVED_DOWN, "cannot connect");
    }
    CHECK(world.server.accepted >= 2);
    end(&world);
}

/* An agent, whose orders come besides its verdict. */
static void agent(void)
{
    struct world world;
    memset(&world, 0, sizeof world);
    world.probe = world.server.client = -1;
    world.server.request_end = "status\n";
    world.server.answer = "up ready 75% maxconn:30\n";
    char address[64];
    begin(&world, address, sizeof address);
    OK(trimtab_check_new(STR("check = { kind = \"agent\", send = \"status\\n\", " TIMES " }"), STR(address), 0, &world.check));
    trimtab_check_status status = status_of(world.check);
    CHECK(status.ordered_admin == TRIMTAB_NOT_ORDERED && status.ordered_weight_percent == TRIMTAB_NOT_ORDERED);
    CHECK(status.ordered_maxconn == TRIMTAB_NOT_ORDERED);
    until(&world, TRIMTAB_OBSERVED_UP, "2 good probes in a row");
    status = status_of(world.check);
    CHECK(status.ordered_admin == TRIMTAB_ADMIN_READY && status.ordered_weight_percent == 75);
    CHECK(status.ordered_maxconn == 30 && world.learnt == 1);
    /* A host that knows less gets less. */
    trimtab_check_status less;
    memset(&less, 0x5a, sizeof less);
    less.struct_size = offsetof(trimtab_check_status, ordered_admin);
    OK(trimtab_check_status_read(world.check, &less));
    CHECK(less.observed == TRIMTAB_OBSERVED_UP && less.ordered_weight_percent == 0x5a5a5a5a);

    world.server.answer = "down drain maxconn:4294967295 # being replaced\n";
    until(&world, TRIMTAB_OBSERVED_DOWN, "being replaced");
    status = status_of(world.check);
    CHECK(status.ordered_admin == TRIMTAB_ADMIN_DRAIN && status.ordered_weight_percent == TRIMTAB_NOT_ORDERED);
    CHECK(status.ordered_maxconn == INT64_C(4294967295) && world.learnt == 2);
    world.server.answer = "up maint 0%\n";
    until(&world, TRIMTAB_OBSERVED_UP, "good probes");
    status = status_of(world.check);
    CHECK(status.ordered_admin == TRIMTAB_ADMIN_MAINTENANCE && status.ordered_weight_percent == 0);
    CHECK(status.ordered_maxconn == TRIMTAB_NOT_ORDERED);
    end(&world);
}

static void refusals(void)
{
    trimtab_check *check = NULL;
    EXPECT(TRIMTAB_E_CONFIG, trimtab_check_new(STR("check = { kind = \"http\", user = \"x\" }"), STR("10.0.0.1:80"), 0, &check));
    CHECK(strstr(last_error(), "<check>:1:") != NULL && strstr(last_error(), "user") != NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_check_new(STR(""), STR("10.0.0.1:80"), 0, &check));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_check_new(STR("check = {}"), STR("nowhere"), 0, &check));
    EXPECT(TRIMTAB_E_IO, trimtab_check_new(STR("check = { kind = \"redis\", password_file = \"/nowhere\" }"),
                                           STR("10.0.0.1:80"), 0, &check));
    CHECK(check == NULL);
    OK(trimtab_check_new(STR("check = { initial = \"down\" }"), STR("10.0.0.1:80"), SECOND, &check));
    trimtab_check_step step;
    memset(&step, 0x5a, sizeof step);
    step.struct_size = sizeof step - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_check_take_step(check, SECOND, &step));
    step.struct_size = sizeof step;
    OK(trimtab_check_take_step(check, SECOND, &step));
    CHECK(step.kind == TRIMTAB_STEP_CHANGE);
    trimtab_check_status status = status_of(check);
    CHECK(status.observed == TRIMTAB_OBSERVED_DOWN && status.since_ns == SECOND);
    status.struct_size = 8;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_check_status_read(check, &status));
    OK(trimtab_check_take_step(check, SECOND, &step));
    CHECK(step.kind == TRIMTAB_STEP_WAIT && step.deadline_ns >= SECOND && step.deadline_ns <= 3 * SECOND + 1);
    /* What happens to a connection that there is none of is nobody's. */
    OK(trimtab_check_handle_connected(check, SECOND));
    OK(trimtab_check_handle_abandoned(check, SECOND));
    OK(trimtab_check_handle_suspicion(check, SECOND));
    CHECK(status_of(check).probes == 0);
    trimtab_check_free(check);
}

int main(void)
{
    alarm(120);
    refusals();
    probe("check = { kind = \"tcp\", " TIMES " }", "", NULL, TRIMTAB_ROLE_UNKNOWN);
    probe("check = { kind = \"http\", path = \"/up\", " TIMES " }", "\r\n\r\n",
          "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", TRIMTAB_ROLE_UNKNOWN);
    probe("check = { kind = \"redis\", " TIMES " }", "PING\r\n", "+PONG\r\n", TRIMTAB_ROLE_UNKNOWN);
    agent();
    printf("probing: tcp, http, redis and an agent from a loop of the test's own\n");
    return 0;
}
