// Transactions: made, submitted and ended in one crossing.

#ifndef TRIMTAB_GO_C_STORE_TXN_H
#define TRIMTAB_GO_C_STORE_TXN_H

#include "c_store_queue.h"

typedef struct trimtab_go_comparison {
    uint64_t key_length, value_length;
    // One of TRIMTAB_COMPARE_..., below 0 for the value.
    int32_t what;
    int32_t relation;
    uint64_t number;
} trimtab_go_comparison;

typedef struct trimtab_go_txn {
    size_t comparisons, then, otherwise;
    int32_t continues;
} trimtab_go_txn;

static inline trimtab_status trimtab_go_txn_fill(trimtab_txn *txn, const trimtab_go_txn *counts, const uint8_t *area,
                                                 const trimtab_go_comparison *compared,
                                                 const trimtab_store_operation *operations) {
    trimtab_status status = trimtab_txn_set_continue(txn, counts->continues);
    for (size_t at = 0; status == TRIMTAB_OK && at < counts->comparisons; at++) {
        const trimtab_go_comparison *one = &compared[at];
        trimtab_bytes key = trimtab_go_bytes(area, one->key_length);
        area += one->key_length;
        trimtab_bytes value = trimtab_go_bytes(area, one->value_length);
        area += one->value_length;
        status = one->what < 0 ? trimtab_txn_compare_value(txn, key, one->relation, value)
                               : trimtab_txn_compare(txn, key, one->what, one->relation, one->number);
    }
    for (size_t at = 0; status == TRIMTAB_OK && at < counts->then; at++)
        status = trimtab_txn_then(txn, &operations[at]);
    for (size_t at = 0; status == TRIMTAB_OK && at < counts->otherwise; at++)
        status = trimtab_txn_otherwise(txn, &operations[counts->then + at]);
    return status;
}

// `area` has the bytes of the comparisons, `operation_area` those of the operations of both branches.
static inline trimtab_go_result trimtab_go_queue_submit_txn(trimtab_go_gate *gate, const trimtab_store_queue *queue,
                                                            const trimtab_go_txn *counts, const uint8_t *area,
                                                            const trimtab_go_comparison *compared,
                                                            const uint8_t *operation_area,
                                                            const trimtab_go_operation *given,
                                                            const trimtab_go_call *how, uint64_t user_data) {
    trimtab_store_operation *operations =
        trimtab_go_operations_of(operation_area, given, counts->then + counts->otherwise);
    if (operations == NULL) return trimtab_go_no_memory();
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        free(operations);
        return trimtab_go_closed();
    }
    trimtab_txn *txn = NULL;
    trimtab_status status = trimtab_txn_new(&txn);
    if (status == TRIMTAB_OK) status = trimtab_go_txn_fill(txn, counts, area, compared, operations);
    if (status == TRIMTAB_OK) {
        trimtab_store_call call = trimtab_go_call_of(how);
        status = trimtab_store_queue_submit_txn(queue, txn, &call, user_data);
    }
    trimtab_go_result result = trimtab_go_leave(calls, status);
    trimtab_txn_free(txn);
    free(operations);
    return result;
}

#endif
