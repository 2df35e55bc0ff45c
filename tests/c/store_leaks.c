/*
 * Stores that are opened, used in every way and closed leave nothing behind: memory, descriptors. Built with
 * AddressSanitizer as leaks.c is.
 *
 *     store_leaks [--plant]      with --plant: forgets one answer, to see that this is found
 */
#include "store.h"

#include <dirent.h>

enum { STORES = 20, SERVERS = 4 };

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
    unsigned before = descriptors();
    for (unsigned round = 0; round < STORES; round++) {
        one_store(round);
    }
    for (unsigned round = 0; round < SERVERS; round++) {
        one_server(round);
    }
    CHECK(descriptors() == before);
    remove_folder();
    printf("store_leaks: %u stores, %u servers with one\n", (unsigned)STORES, (unsigned)SERVERS);
    return 0;
}
