/*
 * Stores that are opened, used in every way and closed leave nothing behind: memory, descriptors. Built with
 * AddressSanitizer as leaks.c is.
 *
 *     store_leaks [--plant]      with --plant: forgets one answer, to see that this is found
 */
#include "store.h"

#include <dirent.h>

enum { STORES = 20, SERVERS = 4, CLUSTERS = 3, NODES = 3, PATIENCE_MS = 60000 };

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *open = opendir("/proc/self/fd");
    CHECK(open != NULL);
    while (readdir(open) != NULL) {
        count++;
    }
    closedir(open);
    return count;
}

static void one_store(unsigned round)
{
    trimtab_store *store = round % 4 == 3 ? open_hosted("leaks") : open_store("leaks");
    trimtab_store_answer *answer = NULL;
    trimtab_store_queue *queue = NULL;
    trimtab_store_watch *watch = NULL;
    trimtab_store_scan *scan = NULL;
    trimtab_txn *txn = NULL;
    trimtab_store_entry entry = new_entry();
    trimtab_store_result result = new_result();
    trimtab_store_change change;
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "kept", "value");
    const trimtab_store_operation *pointers[] = {&put, &put};
    size_t taken = 0;
    int32_t more = 0;
    static char large[5000];
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;

    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_PREFIX, BYTES("k"), NO_BYTES, 0, &watch));
    OK(trimtab_store_put(store, BYTES("k"), trimtab_bytes_of(large, sizeof large), NULL, NULL));
    OK(trimtab_store_get_and_set(store, BYTES("k"), BYTES("v"), NULL, &answer));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(entry.value_len == sizeof large);
    trimtab_store_answer_free(answer);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_get(store, BYTES("nobody"), &answer));
    OK(trimtab_store_scan_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, (int32_t)(round % 2), &scan));
    OK(trimtab_store_scan_next(scan, &entry, &more));
    OK(trimtab_txn_new(&txn));
    OK(trimtab_txn_compare_value(txn, BYTES("k"), TRIMTAB_RELATION_EQUAL, BYTES("v")));
    OK(trimtab_txn_then(txn, &put));
    OK(trimtab_txn_otherwise(txn, &put));
    put.previous = 1;
    OK(trimtab_txn_then(txn, &put));
    OK(trimtab_store_commit(store, txn, NULL, &answer));
    OK(trimtab_store_answer_step_entry(answer, 1, 0, &entry));
    trimtab_store_answer_free(answer);
    OK(trimtab_store_queue_new(store, 16, &queue));
    OK(trimtab_store_queue_submit(queue, pointers, 2, NULL, &taken));
    OK(trimtab_store_queue_submit_txn(queue, txn, NULL, 1));
    OK(trimtab_store_queue_next(queue, -1, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    trimtab_store_answer_free(answer);
    OK(trimtab_store_watch_next(watch, 60000, &change));
    trimtab_txn_free(txn);
    /* Before the store or after it; with answers not taken, changes not told and a scan half done. */
    if (round % 2 == 0) {
        trimtab_store_free(store);
    }
    trimtab_store_queue_free(queue);
    trimtab_store_watch_free(watch);
    trimtab_store_scan_free(scan);
    if (round % 2 != 0) {
        trimtab_store_free(store);
    }
}

/* A server's store, whose handle goes before the server or after it. */
static void one_server(unsigned round)
{
    char config[256];
    trimtab_server *server = NULL;
    trimtab_store *store = NULL;
    trimtab_store_queue *queue = NULL;
    snprintf(config, sizeof config, "[runtime]\nworkers = 1\n\n[store]\ndir = \"%s/server\"\n", folder);
    OK(trimtab_server_new(STR(config), STR("leaks.toml"), &server, NULL, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_server_store(server, &store));
    OK(trimtab_server_start(server));
    OK(trimtab_server_store(server, &store));
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    OK(trimtab_store_queue_new(store, 16, &queue));
    if (round % 2 == 0) {
        trimtab_store_free(store);
        trimtab_store_queue_free(queue);
    }
    trimtab_server_free(server);
    if (round % 2 != 0) {
        trimtab_store_queue_free(queue);
        trimtab_store_free(store);
    }
}

/* A store that is a node of the cluster `round`, whose nodes have an address of this process's own, and a port each. */
static trimtab_store *join(unsigned round, unsigned node)
{
    char name[8], address[32], path[128];
    unsigned pid = (unsigned)getpid();
    trimtab_cluster_options *cluster = NULL;
    trimtab_store_options *options = small_options();
    trimtab_store *store = NULL;
    snprintf(name, sizeof name, "n%u", node);
    OK(trimtab_cluster_options_new(STR(name), &cluster));
    for (unsigned at = 0; at < NODES; at++) {
        snprintf(name, sizeof name, "n%u", at);
        snprintf(address, sizeof address, "127.%u.%u.%u:%u", 192 + (pid >> 16 & 0x3f), pid >> 8 & 0xff,
                 pid & 0xff, 7400 + NODES * round + at);
        OK(trimtab_cluster_options_add_member(cluster, STR(name), STR(address), 0));
    }
    OK(trimtab_cluster_options_set_insecure_plaintext(cluster, 0));
    OK(trimtab_cluster_options_set_patience_ms(cluster, PATIENCE_MS));
    OK(trimtab_cluster_options_set_message_bytes(cluster, 16 << 10));
    OK(trimtab_store_options_set_timeout_ms(options, PATIENCE_MS));
    snprintf(path, sizeof path, "%s/cluster-%u-%u", folder, round, node);
    OK(trimtab_store_join(STR(path), options, cluster, &store));
    trimtab_store_options_free(options);
    trimtab_cluster_options_free(cluster);
    return store;
}

/* Nodes of a cluster in one process, with writes passed on, answers and events not taken, closed one by one. */
static void one_cluster(unsigned round)
{
    trimtab_store *stores[NODES];
    trimtab_store_answer *answer = NULL;
    trimtab_store_queue *queue = NULL;
    trimtab_cluster *cluster = NULL;
    trimtab_cluster_events *events = NULL;
    trimtab_cluster_event event;
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "kept", "value");
    const trimtab_store_operation *pointers[] = {&put, &put};
    size_t taken = 0;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    for (unsigned node = 0; node < NODES; node++) {
        stores[node] = join(round, node);
    }
    for (unsigned node = 0; node < NODES; node++) {
        OK(trimtab_store_put(stores[node], BYTES("k"), BYTES("v"), NULL, NULL));
        OK(trimtab_store_get(stores[(node + 1) % NODES], BYTES("k"), &answer));
        trimtab_store_answer_free(answer);
    }
    OK(trimtab_cluster_events_new(stores[round % NODES], &events));
    OK(trimtab_cluster_events_next(events, PATIENCE_MS, &event));
    OK(trimtab_store_cluster(stores[round % NODES], &cluster));
    OK(trimtab_store_queue_new(stores[round % NODES], 16, &queue));
    OK(trimtab_store_queue_submit(queue, pointers, 2, NULL, &taken));
    /* Handles that go before their store, or after it. */
    if (round % 2 == 0) {
        trimtab_store_queue_free(queue);
        trimtab_cluster_events_free(events);
    }
    for (unsigned node = 0; node < NODES; node++) {
        trimtab_store_free(stores[node]);
    }
    if (round % 2 != 0) {
        trimtab_cluster_events_free(events);
        trimtab_store_queue_free(queue);
    }
    trimtab_cluster_free(cluster);
}

int main(int argc, char **argv)
{
    make_folder();
    if (argc > 1 && strcmp(argv[1], "--plant") == 0) {
        trimtab_store *store = open_store("plant");
        trimtab_store_answer *answer = NULL;
        OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
        OK(trimtab_store_get(store, BYTES("k"), &answer));
        answer = NULL;
        CHECK(answer == NULL);
        trimtab_store_free(store);
        remove_folder();
        return 0;
    }
    one_store(0);
    one_server(0);
    one_cluster(0);
    unsigned before = descriptors();
    for (unsigned round = 0; round < STORES; round++) {
        one_store(round);
    }
    for (unsigned round = 0; round < SERVERS; round++) {
        one_server(round);
    }
    for (unsigned round = 1; round <= CLUSTERS; round++) {
        one_cluster(round);
    }
    CHECK(descriptors() == before);
    remove_folder();
    printf("store_leaks: %u stores, %u servers with one, %u clusters\n", (unsigned)STORES, (unsigned)SERVERS,
           (unsigned)CLUSTERS);
    return 0;
}
