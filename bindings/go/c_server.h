// A server's functions, each in one crossing with the gate and the detail of a failure. See c.go.

#include <poll.h>

#include "c_events.h"

// A server is made.

typedef struct trimtab_go_server {
    trimtab_go_result result;
    trimtab_server *server;
} trimtab_go_server;

// Of the text `config`, which errors call `source`, or of the file whose path `config` is.
static trimtab_go_server trimtab_go_server_new(const char *config, size_t config_length, const char *source,
                                               size_t source_length, int is_file, trimtab_go_mailbox *mailbox) {
    trimtab_go_server made = {0};
    trimtab_str text = trimtab_go_str(config, config_length);
    made.result = trimtab_go_result_of(
        is_file ? trimtab_server_new_from_file(text, &made.server, trimtab_go_tell, mailbox)
                : trimtab_server_new(text, trimtab_go_str(source, source_length), &made.server, trimtab_go_tell, mailbox));
    return made;
}

static void trimtab_go_server_free(trimtab_server *server) {
    trimtab_server_free(server);
}

static trimtab_go_result trimtab_go_server_adopt(trimtab_go_gate *gate, const trimtab_server *server,
                                                 const char *listener, size_t listener_length, int descriptor) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_str name = trimtab_go_str(listener, listener_length);
    return trimtab_go_leave(calls, trimtab_server_adopt(server, name, descriptor));
}

// Orders.

enum {
    TRIMTAB_GO_START,
    TRIMTAB_GO_START_HOSTED,
    TRIMTAB_GO_DRAIN,
    TRIMTAB_GO_STOP,
    TRIMTAB_GO_WAIT,
};

static trimtab_go_result trimtab_go_server_order(trimtab_go_gate *gate, const trimtab_server *server, int what,
                                                 int64_t timeout_ms) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    switch (what) {
    case TRIMTAB_GO_START: status = trimtab_server_start(server); break;
    case TRIMTAB_GO_START_HOSTED: status = trimtab_server_start_hosted(server); break;
    case TRIMTAB_GO_DRAIN: status = trimtab_server_drain(server, timeout_ms); break;
    case TRIMTAB_GO_STOP: status = trimtab_server_stop(server); break;
    case TRIMTAB_GO_WAIT: status = trimtab_server_wait(server, timeout_ms); break;
    }
    return trimtab_go_leave(calls, status);
}

// Questions that a number answers.

enum {
    TRIMTAB_GO_STATE,
    TRIMTAB_GO_TURN,
    TRIMTAB_GO_POLL_FD,
    TRIMTAB_GO_NEXT_DEADLINE,
};

static trimtab_go_number trimtab_go_server_ask(trimtab_go_gate *gate, const trimtab_server *server, int what) {
    trimtab_go_number answer = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        answer.result = trimtab_go_closed();
        return answer;
    }
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    int32_t number = 0;
    size_t count = 0;
    switch (what) {
    case TRIMTAB_GO_STATE:
        status = trimtab_server_state(server, &number);
        answer.number = (uint64_t)number;
        break;
    case TRIMTAB_GO_TURN:
        status = trimtab_server_turn(server, 0, &count);
        answer.number = count;
        break;
    case TRIMTAB_GO_POLL_FD:
        status = trimtab_server_poll_fd(server, &number);
        answer.number = (uint64_t)number;
        break;
    case TRIMTAB_GO_NEXT_DEADLINE: status = trimtab_server_next_deadline(server, &answer.number); break;
    }
    answer.result = trimtab_go_leave(calls, status);
    return answer;
}

// The caller lets nobody turn the server meanwhile, which might close the descriptor.
static trimtab_go_copied trimtab_go_server_poll_copy(trimtab_go_gate *gate, const trimtab_server *server) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return (trimtab_go_copied){.result = trimtab_go_closed(), .descriptor = -1};
    int32_t descriptor = -1;
    trimtab_status status = trimtab_server_poll_fd(server, &descriptor);
    return trimtab_go_leave_with_copy(calls, status, descriptor);
}

// Whether a turn has something to do.
static int trimtab_go_is_readable(int descriptor) {
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    // What cannot be asked is for the turn to tell of.
    return poll(&watched, 1, 0) != 0;
}

// Questions that a text answers.

enum {
    TRIMTAB_GO_ADDRESS,
    TRIMTAB_GO_ADMIN_ADDRESS,
    TRIMTAB_GO_STATUS,
};

typedef struct trimtab_go_server_asked {
    const trimtab_server *server;
    int what;
    trimtab_str listener;
} trimtab_go_server_asked;

static trimtab_status trimtab_go_server_copy(const void *context, char *buffer, size_t size, size_t *length) {
    const trimtab_go_server_asked *asked = context;
    switch (asked->what) {
    case TRIMTAB_GO_ADDRESS:
        return trimtab_server_address_copy(asked->server, asked->listener, buffer, size, length);
    case TRIMTAB_GO_ADMIN_ADDRESS: return trimtab_server_admin_address_copy(asked->server, buffer, size, length);
    case TRIMTAB_GO_STATUS: return trimtab_server_status_copy(asked->server, buffer, size, length);
    }
    return TRIMTAB_E_INVALID_ARGUMENT;
}

static trimtab_go_result trimtab_go_server_text(trimtab_go_gate *gate, const trimtab_server *server, int what,
                                                const char *listener, size_t listener_length) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_go_server_asked asked = {
        .server = server,
        .what = what,
        .listener = trimtab_go_str(listener, listener_length),
    };
    return trimtab_go_leave_with_text(calls, trimtab_go_server_copy, &asked);
}

static trimtab_go_pool trimtab_go_server_pool(trimtab_go_gate *gate, const trimtab_server *server, const char *name,
                                              size_t name_length) {
    trimtab_go_pool got = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        got.result = trimtab_go_closed();
        return got;
    }
    trimtab_status status = trimtab_server_pool(server, trimtab_go_str(name, name_length), &got.pool);
    got.result = trimtab_go_leave(calls, status);
    return got;
}

// What a server counted.

typedef struct trimtab_go_server_counted {
    trimtab_go_result result;
    trimtab_server_statistics statistics;
} trimtab_go_server_counted;

static trimtab_go_server_counted trimtab_go_server_statistics(trimtab_go_gate *gate, const trimtab_server *server) {
    trimtab_go_server_counted counted = {.statistics = {.struct_size = sizeof counted.statistics}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        counted.result = trimtab_go_closed();
        return counted;
    }
    counted.result = trimtab_go_leave(calls, trimtab_server_statistics_read(server, &counted.statistics));
    return counted;
}

typedef struct trimtab_go_listener_counted {
    trimtab_go_result result;
    trimtab_listener_statistics statistics;
} trimtab_go_listener_counted;

static trimtab_go_listener_counted trimtab_go_listener_statistics(trimtab_go_gate *gate, const trimtab_server *server,
                                                                  const char *listener, size_t listener_length) {
    trimtab_go_listener_counted counted = {.statistics = {.struct_size = sizeof counted.statistics}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        counted.result = trimtab_go_closed();
        return counted;
    }
    trimtab_str name = trimtab_go_str(listener, listener_length);
    trimtab_status status = trimtab_server_listener_statistics_read(server, name, &counted.statistics);
    counted.result = trimtab_go_leave(calls, status);
    return counted;
}
