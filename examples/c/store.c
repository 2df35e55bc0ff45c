/*
 * A store in a directory: a counter that survives crashes, a change under a condition, a transaction, and what changed.
 *
 *     cc store.c $(pkg-config --cflags --libs trimtab) -o store && ./store [DIRECTORY]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <trimtab.h>

static void must(trimtab_status status, const char *what)
{
    char detail[256] = "";
    if (status != TRIMTAB_OK) {
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "%s: %s\n", what, detail);
        exit(1);
    }
}

static trimtab_bytes bytes(const char *text)
{
    return trimtab_bytes_of(text, strlen(text));
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "/tmp/trimtab-example-store";
    trimtab_store *store = NULL;
    trimtab_store_result result;
    memset(&result, 0, sizeof result);
    result.struct_size = sizeof result;
    must(trimtab_store_open(trimtab_str_of(directory), NULL, &store), "open");

    /* Follow what comes, from now on. */
    trimtab_store_watch *watch = NULL;
    must(trimtab_store_watch_new(store, TRIMTAB_RANGE_PREFIX, bytes("stock/"), bytes(""), 0, &watch), "watch");

    /* On disk before it is answered; run this again and it goes on. */
    must(trimtab_store_increment(store, bytes("runs"), 1, NULL, &result), "increment");
    printf("run %" PRId64 ", at sequence %" PRIu64 "\n", result.number, result.sequence);

    /* Only if nobody was faster. */
    must(trimtab_store_put(store, bytes("stock/apples"), bytes("3"), NULL, &result), "put");
    must(trimtab_store_compare_and_set(store, bytes("stock/apples"), result.version, bytes("2"), NULL, &result),
         "compare and set");
    printf("compare and set: %s\n", result.is_done ? "done" : "somebody was faster");

    /* Two changes, seen together or not at all. */
    trimtab_txn *txn = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_operation move;
    must(trimtab_txn_new(&txn), "transaction");
    must(trimtab_txn_compare_value(txn, bytes("stock/apples"), TRIMTAB_RELATION_NOT_EQUAL, bytes("0")), "compare");
    memset(&move, 0, sizeof move);
    move.struct_size = sizeof move;
    move.kind = TRIMTAB_OPERATION_INCREMENT;
    move.key = "stock/apples";
    move.key_len = strlen("stock/apples");
    move.by = -1;
    must(trimtab_txn_then(txn, &move), "then");
    move.key = "sold/apples";
    move.key_len = strlen("sold/apples");
    move.by = 1;
    must(trimtab_txn_then(txn, &move), "then");
    must(trimtab_store_commit(store, txn, NULL, &answer), "commit");
    must(trimtab_store_answer_read(answer, &result), "answer");
    printf("transaction: %s\n", result.is_done ? "sold" : "sold out");
    trimtab_store_answer_free(answer);
    trimtab_txn_free(txn);

    trimtab_store_change change;
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    while (trimtab_store_watch_next(watch, 0, &change) == TRIMTAB_OK) {
        printf("%.*s is %.*s\n", (int)change.key_len, (const char *)change.key, (int)change.value_len,
               (const char *)change.value);
    }
    trimtab_store_watch_free(watch);

    must(trimtab_store_close(store), "close");
    trimtab_store_free(store);
    return 0;
}
