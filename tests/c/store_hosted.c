/*
 * A store in the host's loop: one thread with one epoll set for the store and its queue. No thread appears, until threads
 * of the test's own call it beside the loop.
 */
#include "store.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>

enum { PUTS = 5000, AT_ONCE = 100, WRITERS = 4, WRITES = 50 };

static unsigned threads(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

static trimtab_store_status status_of(const trimtab_store *store)
{
    trimtab_store_status status;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    OK(trimtab_store_status_read(store, &status));
    return status;
}

static void watch(int set, int fd)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void submit(trimtab_store_queue *queue, unsigned number)
{
    char key[16];
    size_t taken = 0;
    snprintf(key, sizeof key, "%08u", number);
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, key, "a value of some length, so that segments fill");
    const trimtab_store_operation *pointers[] = {&put};
    put.user_data = number;
    OK(trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    CHECK(taken == 1);
}

/* Waits once, as long as the store says, and turns it. */
static void turn_the_loop(trimtab_store *store, int set)
{
    struct epoll_event event;
    int32_t timeout = 0;
    OK(trimtab_store_next_timeout(store, &timeout));
    CHECK(epoll_wait(set, &event, 1, timeout) >= 0);
    OK(trimtab_store_turn(store, 0, NULL));
}

static void a_loop(void)
{
    unsigned before = threads(), submitted = 0, answered = 0;
    trimtab_store *store = open_hosted("loop");
    trimtab_store_queue *queue = NULL;
    trimtab_store_answer *answer = NULL;
    int32_t store_fd = -1, queue_fd = -1;
    uint64_t user_data = 0, deadline = 0, now = 0, count = 0;
    int set = epoll_create1(EPOLL_CLOEXEC);
    CHECK(set >= 0);
    OK(trimtab_store_queue_new(store, AT_ONCE, &queue));
    OK(trimtab_store_poll_fd(store, &store_fd));
    OK(trimtab_store_queue_poll_fd(queue, &queue_fd));
    watch(set, store_fd);
    watch(set, queue_fd);
    while (answered < PUTS) {
        while (submitted < PUTS && submitted - answered < AT_ONCE) {
            submit(queue, submitted++);
        }
        turn_the_loop(store, set);
        while (is_readable(queue_fd)) {
            OK(trimtab_store_queue_next(queue, 0, &user_data, &answer));
            CHECK(user_data == answered++);
            trimtab_store_answer_free(answer);
        }
    }
    OK(trimtab_store_count(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &count));
    CHECK(count == PUTS);
    trimtab_store_status status = status_of(store);
    CHECK(status.durable == status.sequence && status.failure == TRIMTAB_OK);

    /* At rest nothing is to be done, and the deadline is that of a later day's reading. */
    size_t pieces = 1;
    while (pieces > 0) {
        OK(trimtab_store_turn(store, 0, &pieces));
    }
    CHECK(!is_readable(store_fd));
    OK(trimtab_store_next_deadline(store, &deadline));
    OK(trimtab_now(&now));
    CHECK(deadline != TRIMTAB_NO_TIME && deadline > now + 3600000000000u);

    /* What is put in memory alone comes to disk when its time has come. */
    trimtab_store_call call = new_call();
    call.durability = TRIMTAB_DURABILITY_MEMORY;
    OK(trimtab_store_put(store, BYTES("later"), BYTES("v"), &call, NULL));
    do {
        turn_the_loop(store, set);
        status = status_of(store);
    } while (status.durable < status.sequence);

    /* Calls that wait do it by themselves, and so does the end. */
    OK(trimtab_store_put(store, BYTES("now"), BYTES("v"), NULL, NULL));
    OK(trimtab_store_snapshot(store, 0, NULL));
    CHECK(status_of(store).snapshot > 0);
    OK(trimtab_store_put(store, BYTES("last"), BYTES("v"), &call, NULL));
    CHECK(threads() == before);
    OK(trimtab_store_close(store));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_turn(store, 0, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_poll_fd(store, &store_fd));
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
    close(set);
    store = open_store("loop");
    OK(trimtab_store_count(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &count));
    CHECK(count == PUTS + 3);
    trimtab_store_free(store);
}

static void *write_some(void *opaque)
{
    trimtab_store *store = opaque;
    for (unsigned at = 0; at < WRITES; at++) {
        OK(trimtab_store_increment(store, BYTES("n"), 1, NULL, NULL));
    }
    return NULL;
}

static void *turn_until_it_is_closed(void *opaque)
{
    trimtab_store *store = opaque;
    trimtab_status status;
    do {
        status = trimtab_store_turn(store, -1, NULL);
    } while (status == TRIMTAB_OK);
    CHECK(status == TRIMTAB_E_STATE);
    return NULL;
}

static void threads_beside_it(void)
{
    trimtab_store *store = open_hosted("threads");
    trimtab_store_result result = new_result();
    pthread_t turner, writers[WRITERS];
    CHECK(pthread_create(&turner, NULL, turn_until_it_is_closed, store) == 0);
    for (unsigned at = 0; at < WRITERS; at++) {
        CHECK(pthread_create(&writers[at], NULL, write_some, store) == 0);
    }
    for (unsigned at = 0; at < WRITERS; at++) {
        CHECK(pthread_join(writers[at], NULL) == 0);
    }
    OK(trimtab_store_increment(store, BYTES("n"), 0, NULL, &result));
    CHECK(result.number == WRITERS * WRITES);
    OK(trimtab_store_close(store));
    CHECK(pthread_join(turner, NULL) == 0);
    trimtab_store_free(store);
}

static void refusals(void)
{
    trimtab_store *store = open_store("refusals");
    trimtab_store_options *options = small_options();
    uint64_t deadline = 7;
    int32_t number = 7;
    size_t count = 7;
    EXPECT(TRIMTAB_E_STATE, trimtab_store_turn(store, 0, &count));
    CHECK(strstr(last_error(), "open it hosted") != NULL);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_poll_fd(store, &number));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_next_deadline(store, &deadline));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_next_timeout(store, &number));
    CHECK(deadline == 7 && number == 7 && count == 7);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_hosted(options, 2));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_hosted(options, -1));
    OK(trimtab_store_options_set_hosted(options, 0));
    trimtab_store_options_free(options);
    trimtab_store_free(store);
}

static void a_child(void)
{
    trimtab_store *store = open_hosted("fork");
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int32_t fd = -1;
        uint64_t deadline = 0;
        alarm(20);
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_turn(store, -1, NULL));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_poll_fd(store, &fd));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_next_deadline(store, &deadline));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_next_timeout(store, &fd));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
        trimtab_store_free(store);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    OK(trimtab_store_close(store));
    trimtab_store_free(store);
}

int main(void)
{
    make_folder();
    a_loop();
    threads_beside_it();
    refusals();
    a_child();
    remove_folder();
    printf("store_hosted: a loop, threads beside it, refusals, a fork\n");
    return 0;
}
