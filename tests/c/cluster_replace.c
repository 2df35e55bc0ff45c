/*
 * A node that dies is replaced by a learner, in one joint change, and the cluster is as good as before: it outlives the next
 * one that dies. Those two are processes, which are killed; the one that has to be primary and the learner are here.
 */
#include "cluster.h"

#include <signal.h>
#include <sys/wait.h>

enum { STAYS = 0, FIRST = 1, SECOND = 2, KEYS = 100, ALL_SECONDS = 280 };

static const char *const before[] = {"a", "b", "c"}, *const after[] = {"a", "c", "d"};
static pid_t processes[NODES];
/* Each process says here that it votes. */
static int votes[2];

/* Also when a check fails. */
static void kill_processes(void)
{
    for (unsigned at = 0; at < NODES; at++) {
        if (processes[at] > 0) {
            kill(processes[at], SIGKILL);
        }
    }
}

/* A node that hands over to the one that stays whenever it is primary, until it is killed. */
static void be_a_node(unsigned node)
{
    trimtab_cluster_events *events = NULL;
    trimtab_cluster_event event = new_event();
    open_node(node);
    wait_for_voters(stores[node], before, 3);
    CHECK(write(votes[1], names[node], 1) == 1);
    OK(trimtab_cluster_events_new(stores[node], &events));
    for (;;) {
        trimtab_cluster *cluster = NULL;
        OK(trimtab_store_cluster(stores[node], &cluster));
        int is_primary = status_of(cluster).role == TRIMTAB_NODE_PRIMARY;
        trimtab_cluster_free(cluster);
        /* What comes between, such as a change of who is in it, passes. */
        if (!is_primary || trimtab_store_transfer(stores[node], STR(names[STAYS]), PATIENCE_MS) == TRIMTAB_OK) {
            OK(trimtab_cluster_events_next(events, -1, &event));
        }
    }
}

static void start_process(unsigned node)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        memset(processes, 0, sizeof processes);
        alarm(ALL_SECONDS);
        be_a_node(node);
        _exit(1);
    }
    processes[node] = child;
}

static void kill_process(unsigned node)
{
    int status = 0;
    CHECK(kill(processes[node], SIGKILL) == 0);
    CHECK(waitpid(processes[node], &status, 0) == processes[node]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    processes[node] = 0;
}

static void wait_for_link_down(const char *node)
{
    trimtab_cluster_events *events = NULL;
    OK(trimtab_cluster_events_new(stores[STAYS], &events));
    trimtab_cluster *cluster = NULL;
    OK(trimtab_store_cluster(stores[STAYS], &cluster));
    int is_linked = node_of(cluster, node).is_linked;
    trimtab_cluster_free(cluster);
    if (is_linked) {
        wait_for(events, TRIMTAB_CLUSTER_LINK_DOWN, node, NULL);
    }
    trimtab_cluster_events_free(events);
}

static void check_keys(unsigned count)
{
    for (unsigned key = 0; key < count; key++) {
        char name[16];
        snprintf(name, sizeof name, "key-%u", key);
        CHECK(has(stores[STAYS], name, "v") && has(stores[LEARNER], name, "v"));
    }
}

static void put_keys(unsigned from, unsigned to, trimtab_store_call *call)
{
    for (unsigned key = from; key < to; key++) {
        char name[16];
        snprintf(name, sizeof name, "key-%u", key);
        /* The learner passes on what it is told. */
        OK(trimtab_store_put(stores[key % 2 == 0 ? STAYS : LEARNER], BYTES(name), BYTES("v"), call, NULL));
    }
}

int main(void)
{
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    call.timeout_ms = PATIENCE_MS;
    alarm(ALL_SECONDS);
    make_folder();
    choose_addresses();
    atexit(kill_processes);
    CHECK(pipe(votes) == 0);
    /* Before there is a thread here. */
    start_process(FIRST);
    start_process(SECOND);
    open_node(STAYS);
    open_node(LEARNER);
    wait_for_voters(stores[STAYS], before, 3);
    for (unsigned others = 0; others < 2; others++) {
        char name = 0;
        CHECK(read(votes[0], &name, 1) == 1);
    }
    while (wait_for_primary(STAYS, -1) != STAYS) {
    }
    put_keys(0, KEYS, &call);

    /* Who has a vote gives none, and who has none gives none. */
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_replace_node(stores[STAYS], STR(names[FIRST]), STR(names[SECOND]), 0));
    CHECK(strstr(last_error(), "no learner") != NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_replace_node(stores[STAYS], STR(names[LEARNER]), STR(names[FIRST]), 0));
    CHECK(strstr(last_error(), "no vote") != NULL);
    EXPECT(TRIMTAB_E_NOT_PRIMARY, trimtab_store_replace_node(stores[LEARNER], STR(names[FIRST]), STR(names[LEARNER]), 0));

    kill_process(FIRST);
    wait_for_link_down(names[FIRST]);
    /* All that are left have it, so the learner has caught up. */
    call.nodes = 3;
    OK(trimtab_store_put(stores[STAYS], BYTES("three"), BYTES("v"), &call, &result));
    CHECK(result.nodes == 3);
    OK(trimtab_store_replace_node(stores[STAYS], STR(names[FIRST]), STR(names[LEARNER]), PATIENCE_MS));
    for (unsigned node = STAYS; node <= LEARNER; node += LEARNER) {
        wait_for_voters(stores[node], after, 3);
        trimtab_cluster *cluster = NULL;
        OK(trimtab_store_cluster(stores[node], &cluster));
        CHECK(status_of(cluster).nodes == 3 && node_of(cluster, names[FIRST]).name == NULL);
        CHECK(status_of(cluster).role == (node == STAYS ? TRIMTAB_NODE_PRIMARY : TRIMTAB_NODE_REPLICA));
        trimtab_cluster_free(cluster);
    }
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_replace_node(stores[STAYS], STR(names[FIRST]), STR(names[LEARNER]), 0));

    /* Of the three that there were at first one is left; with the new one it is a majority. */
    kill_process(SECOND);
    wait_for_link_down(names[SECOND]);
    call.nodes = 0;
    put_keys(KEYS, 2 * KEYS, &call);
    check_keys(2 * KEYS);
    OK(trimtab_store_transfer(stores[STAYS], STR(names[LEARNER]), PATIENCE_MS));
    OK(trimtab_store_put(stores[LEARNER], BYTES("three"), BYTES("two"), &call, &result));
    CHECK(result.nodes == 2 && has(stores[STAYS], "three", "two"));
    trimtab_store_free(stores[STAYS]);
    trimtab_store_free(stores[LEARNER]);
    remove_folder();
    printf("cluster_replace: a node that was killed is replaced, and another one is killed\n");
    return 0;
}
