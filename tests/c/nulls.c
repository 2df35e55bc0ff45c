/*
 * NULL for every pointer parameter of every function, one at a time: an error with a detail that names the
 * parameter, or fine where the header says so. Never a crash, and nothing else disturbed.
 *
 *     nulls [--names]      with --names: only lists the functions covered, for comparison with the header
 */
#include "store.h"

/* What every row can use. */
static trimtab_pool *pool;
static trimtab_pool_options *options;
static trimtab_backend *backend;
static const trimtab_backend *backends[1];
static uint64_t id;
static uint64_t number;
static int32_t aborted;
static int32_t flag;
static char buffer[4096];
static size_t length;
static trimtab_pick out;
static trimtab_pool_statistics pool_statistics;
static trimtab_backend_statistics backend_statistics;
static trimtab_server *server; /* started */
static trimtab_server *hosted;
static trimtab_server *made;
static trimtab_pool *shared;
static trimtab_server_statistics server_statistics;
static trimtab_listener_statistics listener_statistics;
static trimtab_outlier outlier;
static trimtab_check *check;
static trimtab_check *made_check;
static trimtab_check_step step;
static trimtab_check_status check_status;
static trimtab_adaptive adaptive;
static trimtab_store *store; /* with the key "k" and the lease 3 */
static trimtab_store *hosted_store;
static trimtab_store *made_store;
static trimtab_store_options *store_options;
static trimtab_store_options *made_options;
static trimtab_store_queue *queue;
static trimtab_store_queue *made_queue;
static trimtab_store *joined; /* a cluster of one */
static trimtab_cluster_options *cluster_options;
static trimtab_cluster_options *made_cluster_options;
static trimtab_cluster *cluster;
static trimtab_cluster *made_cluster;
static trimtab_cluster_events *cluster_events;
static trimtab_cluster_events *made_cluster_events;
static trimtab_cluster_status cluster_status;
static trimtab_cluster_node cluster_node;
static trimtab_cluster_event cluster_event;
static trimtab_store_watch *watch;
static trimtab_store_watch *made_watch;
static trimtab_store_scan *scan;
static trimtab_store_scan *made_scan;
static trimtab_store_answer *answer;
static trimtab_store_answer *made_answer;
static trimtab_txn *txn;
static trimtab_txn *made_txn;
static trimtab_store_call store_call;
static trimtab_store_result store_result;
static trimtab_store_status store_status;
static trimtab_store_report store_report;
static trimtab_promotion *promotion, *made_promotion;
static trimtab_promoted promoted;
static char promotable_path[128];
static trimtab_store_backup_report backup_report;
static trimtab_store_restore_options restore_options;
static trimtab_store_restored restored;
static char backup_path[128];
static char restored_path[128];
static char other_path[128];
static trimtab_store_entry store_entry;
static trimtab_store_change store_change;
static trimtab_store_operation store_put;
static const trimtab_store_operation *const store_puts[] = {&store_put};

/* A directory that is not there yet, another one each time. */
static const char *fresh_path(void)
{
    static char path[128];
    static unsigned count;
    snprintf(path, sizeof path, "%s/fresh-%u", folder, count++);
    return path;
}

#define CONFIG                                                                               \
    "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n"                   \
    "[[pool]]\nname = \"app\"\n[admin]\nbind = \"127.0.0.1:0\"\n"

#define CHECK_TEXT "check = { kind = \"tcp\" }"

static void told(const trimtab_pool_event *event, void *user_data)
{
    CHECK(event->struct_size >= sizeof *event && user_data == NULL);
}

/* Bytes that are not there. */
static trimtab_str missing_str(void)
{
    trimtab_str str = {NULL, 3};
    return str;
}

static trimtab_bytes missing_bytes(void)
{
    return trimtab_bytes_of(NULL, 3);
}

#define STR16 trimtab_bytes_of("sixteen bytes !!", 16)

/* BAD: the parameter must not be NULL. FINE: it may. NONE: the function has no pointer parameter. */
enum verdict { BAD, FINE, NONE };

struct row {
    const char *function;
    const char *parameter;
    enum verdict verdict;
    trimtab_status (*call)(void);
};

#define ROW(label, function, parameter, verdict, ...)                                        \
    static trimtab_status label(void)                                                        \
    {                                                                                        \
        return function(__VA_ARGS__);                                                        \
    }
/* For functions without a status. */
#define VOID_ROW(label, function, parameter, verdict, ...)                                   \
    static trimtab_status label(void)                                                        \
    {                                                                                        \
        (void)function(__VA_ARGS__);                                                         \
        return TRIMTAB_OK;                                                                   \
    }

/* ROWS(ROW, VOID_ROW): one row for each function and pointer parameter. */
#define COPY_ROWS(R, function, ...)                                                          \
    R(function##_buffer, function, buffer, BAD, __VA_ARGS__ NULL, sizeof buffer, &length)    \
    R(function##_nothing, function, buffer, FINE, __VA_ARGS__ NULL, 0, &length)              \
    R(function##_length, function, length_out, FINE, __VA_ARGS__ buffer, sizeof buffer, NULL)
#define OPTION_ROWS(R, name, ...)                                                            \
    R(options_set_##name, trimtab_pool_options_set_##name, options, BAD, NULL, __VA_ARGS__)
#define BACKEND_ROWS(R, name, ...)                                                           \
    R(backend_set_##name, trimtab_backend_set_##name, backend, BAD, NULL, __VA_ARGS__)
#define CHANGE_ROWS(R, name, ...)                                                            \
    R(pool_set_##name, trimtab_pool_set_##name, pool, BAD, NULL, id, __VA_ARGS__)
#define STORE_ROWS(R, V) \
    R(x_store_options_new_options_out, trimtab_store_options_new, options_out, BAD, NULL) \
    V(x_store_options_free_options, trimtab_store_options_free, options, FINE, NULL) \
    R(x_store_options_set_identity_options, trimtab_store_options_set_identity, options, BAD, NULL, STR16, 1) \
    R(x_store_options_set_identity_cluster, trimtab_store_options_set_identity, cluster, BAD, store_options, missing_bytes(), 1) \
    R(x_store_options_set_durability_options, trimtab_store_options_set_durability, options, BAD, NULL, TRIMTAB_DURABILITY_LOCAL) \
    R(x_store_options_set_timeout_ms_options, trimtab_store_options_set_timeout_ms, options, BAD, NULL, 1000) \
    R(x_store_options_set_waiting_max_options, trimtab_store_options_set_waiting_max, options, BAD, NULL, 16) \
    R(x_store_options_set_flush_interval_ms_options, trimtab_store_options_set_flush_interval_ms, options, BAD, NULL, 1000) \
    R(x_store_options_set_flush_bytes_options, trimtab_store_options_set_flush_bytes, options, BAD, NULL, 4096) \
    R(x_store_options_set_snapshot_bytes_options, trimtab_store_options_set_snapshot_bytes, options, BAD, NULL, 65536) \
    R(x_store_options_set_snapshot_retry_ms_options, trimtab_store_options_set_snapshot_retry_ms, options, BAD, NULL, 1000) \
    R(x_store_options_set_eviction_options, trimtab_store_options_set_eviction, options, BAD, NULL, TRIMTAB_EVICTION_LRU) \
    R(x_store_options_set_eviction_places_options, trimtab_store_options_set_eviction_places, options, BAD, NULL, 16) \
    R(x_store_options_set_memory_max_options, trimtab_store_options_set_memory_max, options, BAD, NULL, 0) \
    R(x_store_options_set_value_max_options, trimtab_store_options_set_value_max, options, BAD, NULL, 1024) \
    R(x_store_options_set_operations_max_options, trimtab_store_options_set_operations_max, options, BAD, NULL, 100) \
    R(x_store_options_set_clients_max_options, trimtab_store_options_set_clients_max, options, BAD, NULL, 100) \
    R(x_store_options_set_client_bytes_max_options, trimtab_store_options_set_client_bytes_max, options, BAD, NULL, 1024) \
    R(x_store_options_set_segment_bytes_options, trimtab_store_options_set_segment_bytes, options, BAD, NULL, 1048576) \
    R(x_store_options_set_pending_bytes_max_options, trimtab_store_options_set_pending_bytes_max, options, BAD, NULL, 65536) \
    R(x_store_options_set_disk_bytes_max_options, trimtab_store_options_set_disk_bytes_max, options, BAD, NULL, 0) \
    R(x_store_options_set_kept_bytes_options, trimtab_store_options_set_kept_bytes, options, BAD, NULL, 0) \
    R(x_store_options_set_disk_retry_ms_options, trimtab_store_options_set_disk_retry_ms, options, BAD, NULL, 1000) \
    R(x_store_options_set_history_bytes_max_options, trimtab_store_options_set_history_bytes_max, options, BAD, NULL, 0) \
    R(x_store_options_set_scrub_interval_ms_options, trimtab_store_options_set_scrub_interval_ms, options, BAD, NULL, 0) \
    R(x_store_options_set_scrub_bytes_options, trimtab_store_options_set_scrub_bytes_per_second, options, BAD, NULL, 65536) \
    R(x_store_options_set_hosted_options, trimtab_store_options_set_hosted, options, BAD, NULL, 1) \
    R(x_store_poll_fd_store, trimtab_store_poll_fd, store, BAD, NULL, &flag) \
    R(x_store_poll_fd_out, trimtab_store_poll_fd, fd_out, BAD, hosted_store, NULL) \
    R(x_store_next_deadline_store, trimtab_store_next_deadline, store, BAD, NULL, &number) \
    R(x_store_next_deadline_out, trimtab_store_next_deadline, deadline_ns_out, BAD, hosted_store, NULL) \
    R(x_store_next_timeout_store, trimtab_store_next_timeout, store, BAD, NULL, &flag) \
    R(x_store_next_timeout_out, trimtab_store_next_timeout, timeout_ms_out, BAD, hosted_store, NULL) \
    R(x_store_turn_store, trimtab_store_turn, store, BAD, NULL, 0, &length) \
    R(x_store_turn_count, trimtab_store_turn, count_out, FINE, hosted_store, 0, NULL) \
    R(y_options_new_node, trimtab_cluster_options_new, node, BAD, missing_str(), &made_cluster_options) \
    R(y_options_new_out, trimtab_cluster_options_new, options_out, BAD, STR("a"), NULL) \
    V(y_options_free, trimtab_cluster_options_free, options, FINE, NULL) \
    R(y_set_cluster_options, trimtab_cluster_options_set_cluster, options, BAD, NULL, STR("c")) \
    R(y_add_member_options, trimtab_cluster_options_add_member, options, BAD, NULL, STR("b"), STR(""), 0) \
    R(y_set_listen_options, trimtab_cluster_options_set_listen, options, BAD, NULL, STR("")) \
    R(y_set_tls_options, trimtab_cluster_options_set_tls, options, BAD, NULL, STR("c"), STR("k"), STR("a")) \
    R(y_set_insecure_plaintext_options, trimtab_cluster_options_set_insecure_plaintext, options, BAD, NULL, 0) \
    R(y_set_beginning_options, trimtab_cluster_options_set_beginning, options, BAD, NULL, 0) \
    R(y_set_directory_options, trimtab_cluster_options_set_directory, options, BAD, NULL, 0) \
    R(y_set_durability_options, trimtab_cluster_options_set_durability, options, BAD, NULL, 0) \
    R(y_set_nodes_options, trimtab_cluster_options_set_nodes, options, BAD, NULL, 1) \
    R(y_set_read_options, trimtab_cluster_options_set_read, options, BAD, NULL, 0, 0) \
    R(y_set_forwards_options, trimtab_cluster_options_set_forwards, options, BAD, NULL, 1) \
    R(y_set_patience_ms_options, trimtab_cluster_options_set_patience_ms, options, BAD, NULL, 1) \
    R(y_set_forward_max_options, trimtab_cluster_options_set_forward_max, options, BAD, NULL, 1) \
    R(y_set_client_address_options, trimtab_cluster_options_set_client_address, options, BAD, NULL, STR("")) \
    R(y_set_degrade_after_ms_options, trimtab_cluster_options_set_degrade_after_ms, options, BAD, NULL, 0) \
    R(y_set_transfer_timeout_ms_options, trimtab_cluster_options_set_transfer_timeout_ms, options, BAD, NULL, 10) \
    R(y_add_feed_from_options, trimtab_cluster_options_add_feed_from, options, BAD, NULL, STR("n")) \
    R(y_add_feed_from_node, trimtab_cluster_options_add_feed_from, node, BAD, cluster_options, missing_str()) \
    R(y_set_feed_timeout_ms_options, trimtab_cluster_options_set_feed_timeout_ms, options, BAD, NULL, 2000) \
    R(y_set_kept_bytes_max_options, trimtab_cluster_options_set_kept_bytes_max, options, BAD, NULL, 1024) \
    R(y_set_snapshot_rate_options, trimtab_cluster_options_set_snapshot_rate, options, BAD, NULL, 1024) \
    R(y_set_slow_flush_ms_options, trimtab_cluster_options_set_slow_flush_ms, options, BAD, NULL, 1024) \
    R(y_set_election_ticks_options, trimtab_cluster_options_set_election_ticks, options, BAD, NULL, 20) \
    R(y_promote_path, trimtab_store_promote_directory, path, BAD, missing_str(), &made_promotion) \
    R(y_promote_out, trimtab_store_promote_directory, promotion_out, FINE, STR(promotable_path), NULL) \
    R(y_promotion_read, trimtab_promotion_read, promotion, BAD, NULL, &promoted) \
    R(y_promotion_read_out, trimtab_promotion_read, promoted_out, BAD, promotion, NULL) \
    V(y_promotion_free, trimtab_promotion_free, promotion, FINE, NULL) \
    R(y_set_message_bytes_options, trimtab_cluster_options_set_message_bytes, options, BAD, NULL, 1024) \
    R(y_set_cluster_cluster, trimtab_cluster_options_set_cluster, cluster, BAD, cluster_options, missing_str()) \
    R(y_add_member_name, trimtab_cluster_options_add_member, name, BAD, cluster_options, missing_str(), STR(""), 0) \
    R(y_add_member_address, trimtab_cluster_options_add_member, address, BAD, cluster_options, STR("b"), missing_str(), 0) \
    R(y_set_listen_address, trimtab_cluster_options_set_listen, address, BAD, cluster_options, missing_str()) \
    R(y_set_tls_certificate, trimtab_cluster_options_set_tls, certificate, BAD, cluster_options, missing_str(), STR("k"), STR("a")) \
    R(y_set_tls_key, trimtab_cluster_options_set_tls, key, BAD, cluster_options, STR("c"), missing_str(), STR("a")) \
    R(y_set_tls_ca, trimtab_cluster_options_set_tls, ca, BAD, cluster_options, STR("c"), STR("k"), missing_str()) \
    R(y_set_client_address_address, trimtab_cluster_options_set_client_address, address, BAD, cluster_options, missing_str()) \
    R(y_join_path, trimtab_store_join, path, BAD, missing_str(), store_options, cluster_options, &made_store) \
    R(y_join_cluster, trimtab_store_join, cluster, BAD, STR("/dev/null/store"), store_options, NULL, &made_store) \
    R(y_join_out, trimtab_store_join, store_out, BAD, STR("/dev/null/store"), store_options, cluster_options, NULL) \
    R(y_cluster_store, trimtab_store_cluster, store, BAD, NULL, &made_cluster) \
    R(y_cluster_out, trimtab_store_cluster, cluster_out, BAD, joined, NULL) \
    V(y_cluster_free, trimtab_cluster_free, cluster, FINE, NULL) \
    R(y_status_cluster, trimtab_cluster_status_read, cluster, BAD, NULL, &cluster_status) \
    R(y_status_out, trimtab_cluster_status_read, status_out, BAD, cluster, NULL) \
    R(y_node_cluster, trimtab_cluster_node_read, cluster, BAD, NULL, 0, &cluster_node) \
    R(y_node_out, trimtab_cluster_node_read, node_out, BAD, cluster, 0, NULL) \
    R(y_reload, trimtab_store_reload_certificates, store, BAD, NULL) \
    R(y_transfer_store, trimtab_store_transfer, store, BAD, NULL, STR("a"), 0) \
    R(y_transfer_to, trimtab_store_transfer, to, BAD, joined, missing_str(), 0) \
    R(y_abort_transfer_store, trimtab_store_abort_transfer, store, BAD, NULL, &aborted) \
    R(y_abort_transfer_out, trimtab_store_abort_transfer, aborted_out, BAD, joined, NULL) \
    R(y_add_node_store, trimtab_store_add_node, store, BAD, NULL, STR("z"), STR(""), 0) \
    R(y_add_node_name, trimtab_store_add_node, name, BAD, joined, missing_str(), STR(""), 0) \
    R(y_add_node_address, trimtab_store_add_node, address, BAD, joined, STR("z"), missing_str(), 0) \
    R(y_promote_learner_store, trimtab_store_promote_learner, store, BAD, NULL, STR("z"), 0) \
    R(y_promote_learner_name, trimtab_store_promote_learner, name, BAD, joined, missing_str(), 0) \
    R(y_remove_node_store, trimtab_store_remove_node, store, BAD, NULL, STR("z"), 0) \
    R(y_remove_node_name, trimtab_store_remove_node, name, BAD, joined, missing_str(), 0) \
    R(y_replace_node_store, trimtab_store_replace_node, store, BAD, NULL, STR("z"), STR("y"), 0) \
    R(y_replace_node_lost, trimtab_store_replace_node, lost, BAD, joined, missing_str(), STR("y"), 0) \
    R(y_replace_node_with, trimtab_store_replace_node, with, BAD, joined, STR("z"), missing_str(), 0) \
    R(y_events_store, trimtab_cluster_events_new, store, BAD, NULL, &made_cluster_events) \
    R(y_events_out, trimtab_cluster_events_new, events_out, BAD, joined, NULL) \
    V(y_events_free, trimtab_cluster_events_free, events, FINE, NULL) \
    R(y_events_fd, trimtab_cluster_events_poll_fd, events, BAD, NULL, &flag) \
    R(y_events_fd_out, trimtab_cluster_events_poll_fd, fd_out, BAD, cluster_events, NULL) \
    R(y_events_next, trimtab_cluster_events_next, events, BAD, NULL, 0, &cluster_event) \
    R(y_events_next_out, trimtab_cluster_events_next, event_out, BAD, cluster_events, 0, NULL) \
    R(y_outcome_store, trimtab_store_outcome, store, BAD, NULL, &store_call, &flag, &made_answer) \
    R(y_outcome_call, trimtab_store_outcome, call, BAD, joined, NULL, &flag, &made_answer) \
    R(y_outcome_out, trimtab_store_outcome, outcome_out, BAD, joined, &store_call, NULL, &made_answer) \
    R(y_outcome_answer, trimtab_store_outcome, answer_out, BAD, joined, &store_call, &flag, NULL) \
    R(y_get_at_store, trimtab_store_get_at, store, BAD, NULL, trimtab_bytes_of("k", 1), NULL, &made_answer) \
    R(y_get_at_key, trimtab_store_get_at, key, BAD, joined, missing_bytes(), NULL, &made_answer) \
    R(y_get_at_out, trimtab_store_get_at, answer_out, BAD, joined, trimtab_bytes_of("k", 1), NULL, NULL) \
    R(y_is_fresh_store, trimtab_store_is_fresh, store, BAD, NULL, NULL, &flag) \
    R(y_is_fresh_read, trimtab_store_is_fresh, read, FINE, joined, NULL, &flag) \
    R(y_is_fresh_out, trimtab_store_is_fresh, fresh_out, BAD, joined, NULL, NULL) \
    R(y_submit_fresh_queue, trimtab_store_queue_submit_fresh, queue, BAD, NULL, NULL, 0) \
    R(y_submit_fresh_read, trimtab_store_queue_submit_fresh, read, FINE, queue, NULL, 0) \
    R(y_submit_get_at_queue, trimtab_store_queue_submit_get_at, queue, BAD, NULL, trimtab_bytes_of("k", 1), NULL, 0) \
    R(y_submit_get_at_key, trimtab_store_queue_submit_get_at, key, BAD, queue, missing_bytes(), NULL, 0) \
    R(y_submit_get_at_read, trimtab_store_queue_submit_get_at, read, FINE, queue, trimtab_bytes_of("k", 1), NULL, 0) \
    R(y_submit_count_at_queue, trimtab_store_queue_submit_count_at, queue, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL, 0) \
    R(y_submit_count_at_start, trimtab_store_queue_submit_count_at, start, BAD, queue, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, NULL, 0) \
    R(y_submit_count_at_end, trimtab_store_queue_submit_count_at, end, BAD, queue, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), NULL, 0) \
    R(y_submit_count_at_read, trimtab_store_queue_submit_count_at, read, FINE, queue, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL, 0) \
    R(y_submit_outcome_queue, trimtab_store_queue_submit_outcome, queue, BAD, NULL, &store_call, 0) \
    R(y_submit_outcome_call, trimtab_store_queue_submit_outcome, call, BAD, queue, NULL, 0) \
    R(y_lease_read_at_store, trimtab_store_lease_read_at, store, BAD, NULL, 3, NULL, &number, &number) \
    R(y_lease_read_at_read, trimtab_store_lease_read_at, read, FINE, store, 3, NULL, &number, &number) \
    R(y_lease_read_at_ttl, trimtab_store_lease_read_at, ttl_ms_out, FINE, store, 3, NULL, NULL, &number) \
    R(y_lease_read_at_deadline, trimtab_store_lease_read_at, deadline_ms_out, FINE, store, 3, NULL, &number, NULL) \
    R(y_count_at_store, trimtab_store_count_at, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL, &number) \
    R(y_count_at_start, trimtab_store_count_at, start, BAD, joined, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, NULL, &number) \
    R(y_count_at_end, trimtab_store_count_at, end, BAD, joined, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), NULL, &number) \
    R(y_count_at_read, trimtab_store_count_at, read, FINE, joined, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL, &number) \
    R(y_count_at_out, trimtab_store_count_at, count_out, BAD, joined, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL, NULL) \
    R(y_scan_at_store, trimtab_store_scan_new_at, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, 0, NULL, &made_scan) \
    R(y_scan_at_start, trimtab_store_scan_new_at, start, BAD, joined, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, 0, 0, NULL, &made_scan) \
    R(y_scan_at_out, trimtab_store_scan_new_at, scan_out, BAD, joined, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, 0, NULL, NULL) \
    R(x_store_open_path, trimtab_store_open, path, BAD, missing_str(), store_options, &made_store) \
    R(x_store_open_store_out, trimtab_store_open, store_out, BAD, STR("/dev/null/store"), store_options, NULL) \
    R(x_store_close_store, trimtab_store_close, store, BAD, NULL) \
    V(x_store_free_store, trimtab_store_free, store, FINE, NULL) \
    R(x_store_get_copy_store, trimtab_store_get_copy, store, BAD, NULL, trimtab_bytes_of("k", 1), buffer, sizeof buffer, &length, &number) \
    R(x_store_get_copy_key, trimtab_store_get_copy, key, BAD, store, missing_bytes(), buffer, sizeof buffer, &length, &number) \
    R(x_store_get_copy_buffer, trimtab_store_get_copy, buffer, BAD, store, trimtab_bytes_of("k", 1), NULL, sizeof buffer, &length, &number) \
    R(x_store_get_copy_length_out, trimtab_store_get_copy, length_out, FINE, store, trimtab_bytes_of("k", 1), buffer, sizeof buffer, NULL, &number) \
    R(x_store_get_copy_version_out, trimtab_store_get_copy, version_out, FINE, store, trimtab_bytes_of("k", 1), buffer, sizeof buffer, &length, NULL) \
    R(x_store_sync_store, trimtab_store_sync, store, BAD, NULL, 0, &number) \
    R(x_store_sync_sequence_out, trimtab_store_sync, sequence_out, FINE, store, 0, NULL) \
    R(x_store_wait_durable_store, trimtab_store_wait_durable, store, BAD, NULL, 0, 0, &number) \
    R(x_store_wait_durable_durable_out, trimtab_store_wait_durable, durable_out, FINE, store, 0, 0, NULL) \
    R(x_store_snapshot_store, trimtab_store_snapshot, store, BAD, NULL, 0, &number) \
    R(x_store_snapshot_sequence_out, trimtab_store_snapshot, sequence_out, FINE, store, 0, NULL) \
    R(x_store_scrub_store, trimtab_store_scrub, store, BAD, NULL, 0) \
    R(x_store_damage_copy_store, trimtab_store_damage_copy, store, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_store_damage_copy, store,) \
    R(x_store_backup_store, trimtab_store_backup, store, BAD, NULL, STR(backup_path), 0, &backup_report) \
    R(x_store_backup_to, trimtab_store_backup, to, BAD, store, missing_str(), 0, &backup_report) \
    R(x_store_backup_report_out, trimtab_store_backup, report_out, FINE, store, STR(backup_path), 0, NULL) \
    R(x_store_backup_closed_from, trimtab_store_backup_closed, from, BAD, missing_str(), STR(backup_path), 0, NULL) \
    R(x_store_backup_closed_to, trimtab_store_backup_closed, to, BAD, STR(restored_path), missing_str(), 0, NULL) \
    R(x_store_backup_closed_report_out, trimtab_store_backup_closed, report_out, FINE, STR(restored_path), STR(other_path), 0, NULL) \
    R(x_store_backup_verify_backup, trimtab_store_backup_verify, backup, BAD, missing_str(), &backup_report) \
    R(x_store_backup_verify_report_out, trimtab_store_backup_verify, report_out, FINE, STR(backup_path), NULL) \
    R(x_store_restore_backup, trimtab_store_restore, backup, BAD, missing_str(), STR(restored_path), &restore_options, &restored) \
    R(x_store_restore_to, trimtab_store_restore, to, BAD, STR(backup_path), missing_str(), &restore_options, &restored) \
    R(x_store_restore_options, trimtab_store_restore, options, FINE, STR(backup_path), STR(fresh_path()), NULL, &restored) \
    R(x_store_restore_restored_out, trimtab_store_restore, restored_out, FINE, STR(backup_path), STR(fresh_path()), &restore_options, NULL) \
    R(x_store_status_read_store, trimtab_store_status_read, store, BAD, NULL, &store_status) \
    R(x_store_status_read_status_out, trimtab_store_status_read, status_out, BAD, store, NULL) \
    R(x_store_report_read_store, trimtab_store_report_read, store, BAD, NULL, &store_report) \
    R(x_store_report_read_report_out, trimtab_store_report_read, report_out, BAD, store, NULL) \
    R(x_store_torn_file_copy_store, trimtab_store_torn_file_copy, store, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_store_torn_file_copy, store,) \
    R(x_store_covered_file_copy_store, trimtab_store_covered_file_copy, store, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_store_covered_file_copy, store,) \
    R(x_store_settings_refused_copy_store, trimtab_store_settings_refused_copy, store, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_store_settings_refused_copy, store,) \
    R(x_store_put_store, trimtab_store_put, store, BAD, NULL, trimtab_bytes_of("k", 1), NO_KEY, &store_call, &store_result) \
    R(x_store_put_key, trimtab_store_put, key, BAD, store, missing_bytes(), NO_KEY, &store_call, &store_result) \
    R(x_store_put_value, trimtab_store_put, value, BAD, store, trimtab_bytes_of("k", 1), missing_bytes(), &store_call, &store_result) \
    R(x_store_put_call, trimtab_store_put, call, FINE, store, trimtab_bytes_of("k", 1), NO_KEY, NULL, &store_result) \
    R(x_store_put_result_out, trimtab_store_put, result_out, FINE, store, trimtab_bytes_of("k", 1), NO_KEY, &store_call, NULL) \
    R(x_store_compare_and_set_store, trimtab_store_compare_and_set, store, BAD, NULL, trimtab_bytes_of("k", 1), 0, NO_KEY, &store_call, &store_result) \
    R(x_store_compare_and_set_key, trimtab_store_compare_and_set, key, BAD, store, missing_bytes(), 0, NO_KEY, &store_call, &store_result) \
    R(x_store_compare_and_set_value, trimtab_store_compare_and_set, value, BAD, store, trimtab_bytes_of("k", 1), 0, missing_bytes(), &store_call, &store_result) \
    R(x_store_compare_and_set_call, trimtab_store_compare_and_set, call, FINE, store, trimtab_bytes_of("k", 1), 0, NO_KEY, NULL, &store_result) \
    R(x_store_compare_and_set_result_out, trimtab_store_compare_and_set, result_out, BAD, store, trimtab_bytes_of("k", 1), 0, NO_KEY, &store_call, NULL) \
    R(x_store_get_and_set_store, trimtab_store_get_and_set, store, BAD, NULL, trimtab_bytes_of("k", 1), NO_KEY, &store_call, &made_answer) \
    R(x_store_get_and_set_key, trimtab_store_get_and_set, key, BAD, store, missing_bytes(), NO_KEY, &store_call, &made_answer) \
    R(x_store_get_and_set_value, trimtab_store_get_and_set, value, BAD, store, trimtab_bytes_of("k", 1), missing_bytes(), &store_call, &made_answer) \
    R(x_store_get_and_set_answer_out, trimtab_store_get_and_set, answer_out, BAD, store, trimtab_bytes_of("k", 1), NO_KEY, &store_call, NULL) \
    R(x_store_delete_store, trimtab_store_delete, store, BAD, NULL, trimtab_bytes_of("k", 1), &store_call, &store_result) \
    R(x_store_delete_key, trimtab_store_delete, key, BAD, store, missing_bytes(), &store_call, &store_result) \
    R(x_store_delete_call, trimtab_store_delete, call, FINE, store, trimtab_bytes_of("k", 1), NULL, &store_result) \
    R(x_store_delete_result_out, trimtab_store_delete, result_out, FINE, store, trimtab_bytes_of("k", 1), &store_call, NULL) \
    R(x_store_delete_range_store, trimtab_store_delete_range, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, &store_call, &store_result) \
    R(x_store_delete_range_start, trimtab_store_delete_range, start, BAD, store, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, 0, &store_call, &store_result) \
    R(x_store_delete_range_end, trimtab_store_delete_range, end, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), 0, &store_call, &store_result) \
    R(x_store_delete_range_call, trimtab_store_delete_range, call, FINE, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, NULL, &store_result) \
    R(x_store_delete_range_result_out, trimtab_store_delete_range, result_out, FINE, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, &store_call, NULL) \
    R(x_store_increment_store, trimtab_store_increment, store, BAD, NULL, trimtab_bytes_of("n", 1), 1, &store_call, &store_result) \
    R(x_store_increment_key, trimtab_store_increment, key, BAD, store, missing_bytes(), 1, &store_call, &store_result) \
    R(x_store_increment_call, trimtab_store_increment, call, FINE, store, trimtab_bytes_of("n", 1), 1, NULL, &store_result) \
    R(x_store_increment_result_out, trimtab_store_increment, result_out, FINE, store, trimtab_bytes_of("n", 1), 1, &store_call, NULL) \
    R(x_store_append_store, trimtab_store_append, store, BAD, NULL, trimtab_bytes_of("k", 1), NO_KEY, &store_call, &store_result) \
    R(x_store_append_key, trimtab_store_append, key, BAD, store, missing_bytes(), NO_KEY, &store_call, &store_result) \
    R(x_store_append_value, trimtab_store_append, value, BAD, store, trimtab_bytes_of("k", 1), missing_bytes(), &store_call, &store_result) \
    R(x_store_append_call, trimtab_store_append, call, FINE, store, trimtab_bytes_of("k", 1), NO_KEY, NULL, &store_result) \
    R(x_store_append_result_out, trimtab_store_append, result_out, FINE, store, trimtab_bytes_of("k", 1), NO_KEY, &store_call, NULL) \
    R(x_store_expire_store, trimtab_store_expire, store, BAD, NULL, trimtab_bytes_of("k", 1), 1000, &store_call, &store_result) \
    R(x_store_expire_key, trimtab_store_expire, key, BAD, store, missing_bytes(), 1000, &store_call, &store_result) \
    R(x_store_expire_call, trimtab_store_expire, call, FINE, store, trimtab_bytes_of("k", 1), 1000, NULL, &store_result) \
    R(x_store_expire_result_out, trimtab_store_expire, result_out, FINE, store, trimtab_bytes_of("k", 1), 1000, &store_call, NULL) \
    R(x_store_expire_at_store, trimtab_store_expire_at, store, BAD, NULL, trimtab_bytes_of("k", 1), 1, &store_call, &store_result) \
    R(x_store_expire_at_key, trimtab_store_expire_at, key, BAD, store, missing_bytes(), 1, &store_call, &store_result) \
    R(x_store_expire_at_call, trimtab_store_expire_at, call, FINE, store, trimtab_bytes_of("k", 1), 1, NULL, &store_result) \
    R(x_store_expire_at_result_out, trimtab_store_expire_at, result_out, FINE, store, trimtab_bytes_of("k", 1), 1, &store_call, NULL) \
    R(x_store_persist_store, trimtab_store_persist, store, BAD, NULL, trimtab_bytes_of("k", 1), &store_call, &store_result) \
    R(x_store_persist_key, trimtab_store_persist, key, BAD, store, missing_bytes(), &store_call, &store_result) \
    R(x_store_persist_call, trimtab_store_persist, call, FINE, store, trimtab_bytes_of("k", 1), NULL, &store_result) \
    R(x_store_persist_result_out, trimtab_store_persist, result_out, FINE, store, trimtab_bytes_of("k", 1), &store_call, NULL) \
    R(x_store_lease_grant_store, trimtab_store_lease_grant, store, BAD, NULL, 3, 1000, &store_call, &store_result) \
    R(x_store_lease_keep_alive_store, trimtab_store_lease_keep_alive, store, BAD, NULL, 3, &store_call, &store_result) \
    R(x_store_lease_keep_alive_call, trimtab_store_lease_keep_alive, call, FINE, store, 3, NULL, &store_result) \
    R(x_store_lease_keep_alive_result_out, trimtab_store_lease_keep_alive, result_out, FINE, store, 3, &store_call, NULL) \
    R(x_store_lease_revoke_store, trimtab_store_lease_revoke, store, BAD, NULL, 3, &store_call, &store_result) \
    R(x_store_lease_read_store, trimtab_store_lease_read, store, BAD, NULL, 3, &number, &number) \
    R(x_store_lease_read_ttl_ms_out, trimtab_store_lease_read, ttl_ms_out, FINE, store, 3, NULL, &number) \
    R(x_store_lease_read_deadline_ms_out, trimtab_store_lease_read, deadline_ms_out, FINE, store, 3, &number, NULL) \
    V(x_store_answer_free_answer, trimtab_store_answer_free, answer, FINE, NULL) \
    R(x_store_answer_read_answer, trimtab_store_answer_read, answer, BAD, NULL, &store_result) \
    R(x_store_answer_read_result_out, trimtab_store_answer_read, result_out, BAD, answer, NULL) \
    R(x_store_answer_entry_answer, trimtab_store_answer_entry, answer, BAD, NULL, 0, &store_entry) \
    R(x_store_answer_entry_entry_out, trimtab_store_answer_entry, entry_out, BAD, answer, 0, NULL) \
    R(x_store_answer_step_read_answer, trimtab_store_answer_step_read, answer, BAD, NULL, 0, &store_result) \
    R(x_store_answer_step_read_result_out, trimtab_store_answer_step_read, result_out, BAD, answer, 0, NULL) \
    R(x_store_answer_step_entry_answer, trimtab_store_answer_step_entry, answer, BAD, NULL, 0, 0, &store_entry) \
    R(x_store_answer_step_entry_entry_out, trimtab_store_answer_step_entry, entry_out, BAD, answer, 0, 0, NULL) \
    R(x_store_execute_store, trimtab_store_execute, store, BAD, NULL, &store_put, &store_call, &made_answer) \
    R(x_store_execute_operation, trimtab_store_execute, operation, BAD, store, NULL, &store_call, &made_answer) \
    R(x_store_execute_answer_out, trimtab_store_execute, answer_out, BAD, store, &store_put, &store_call, NULL) \
    R(x_store_get_store, trimtab_store_get, store, BAD, NULL, trimtab_bytes_of("k", 1), &made_answer) \
    R(x_store_get_key, trimtab_store_get, key, BAD, store, missing_bytes(), &made_answer) \
    R(x_store_get_answer_out, trimtab_store_get, answer_out, BAD, store, trimtab_bytes_of("k", 1), NULL) \
    R(x_store_count_store, trimtab_store_count, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, &number) \
    R(x_store_count_start, trimtab_store_count, start, BAD, store, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, &number) \
    R(x_store_count_end, trimtab_store_count, end, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), &number) \
    R(x_store_count_count_out, trimtab_store_count, count_out, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, NULL) \
    R(x_store_scan_new_store, trimtab_store_scan_new, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, 0, &made_scan) \
    R(x_store_scan_new_start, trimtab_store_scan_new, start, BAD, store, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, 0, 0, &made_scan) \
    R(x_store_scan_new_end, trimtab_store_scan_new, end, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), 0, 0, &made_scan) \
    R(x_store_scan_new_scan_out, trimtab_store_scan_new, scan_out, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, 0, NULL) \
    V(x_store_scan_free_scan, trimtab_store_scan_free, scan, FINE, NULL) \
    R(x_store_scan_next_scan, trimtab_store_scan_next, scan, BAD, NULL, &store_entry, &flag) \
    R(x_store_scan_next_entry_out, trimtab_store_scan_next, entry_out, BAD, scan, NULL, &flag) \
    R(x_store_scan_next_has_out, trimtab_store_scan_next, has_out, BAD, scan, &store_entry, NULL) \
    R(x_store_scan_sequence_scan, trimtab_store_scan_sequence, scan, BAD, NULL, &number) \
    R(x_store_scan_sequence_sequence_out, trimtab_store_scan_sequence, sequence_out, BAD, scan, NULL) \
    R(x_txn_new_txn_out, trimtab_txn_new, txn_out, BAD, NULL) \
    V(x_txn_free_txn, trimtab_txn_free, txn, FINE, NULL) \
    R(x_txn_compare_txn, trimtab_txn_compare, txn, BAD, NULL, trimtab_bytes_of("k", 1), 0, 0, 0) \
    R(x_txn_compare_key, trimtab_txn_compare, key, BAD, txn, missing_bytes(), 0, 0, 0) \
    R(x_txn_compare_value_txn, trimtab_txn_compare_value, txn, BAD, NULL, trimtab_bytes_of("k", 1), 0, NO_KEY) \
    R(x_txn_compare_value_key, trimtab_txn_compare_value, key, BAD, txn, missing_bytes(), 0, NO_KEY) \
    R(x_txn_compare_value_value, trimtab_txn_compare_value, value, BAD, txn, trimtab_bytes_of("k", 1), 0, missing_bytes()) \
    R(x_txn_then_txn, trimtab_txn_then, txn, BAD, NULL, &store_put) \
    R(x_txn_then_operation, trimtab_txn_then, operation, BAD, txn, NULL) \
    R(x_txn_otherwise_txn, trimtab_txn_otherwise, txn, BAD, NULL, &store_put) \
    R(x_txn_otherwise_operation, trimtab_txn_otherwise, operation, BAD, txn, NULL) \
    R(x_txn_set_continue_txn, trimtab_txn_set_continue, txn, BAD, NULL, 0) \
    R(x_store_commit_store, trimtab_store_commit, store, BAD, NULL, txn, &store_call, &made_answer) \
    R(x_store_commit_txn, trimtab_store_commit, txn, BAD, store, NULL, &store_call, &made_answer) \
    R(x_store_commit_answer_out, trimtab_store_commit, answer_out, BAD, store, txn, &store_call, NULL) \
    R(x_store_queue_new_store, trimtab_store_queue_new, store, BAD, NULL, 8, &made_queue) \
    R(x_store_queue_new_queue_out, trimtab_store_queue_new, queue_out, BAD, store, 8, NULL) \
    V(x_store_queue_free_queue, trimtab_store_queue_free, queue, FINE, NULL) \
    R(x_store_queue_poll_fd_queue, trimtab_store_queue_poll_fd, queue, BAD, NULL, &flag) \
    R(x_store_queue_poll_fd_fd_out, trimtab_store_queue_poll_fd, fd_out, BAD, queue, NULL) \
    R(x_store_queue_submit_queue, trimtab_store_queue_submit, queue, BAD, NULL, store_puts, 1, &store_call, &length) \
    R(x_store_queue_submit_operations, trimtab_store_queue_submit, operations, BAD, queue, NULL, 1, &store_call, &length) \
    R(x_store_queue_submit_call, trimtab_store_queue_submit, call, FINE, queue, store_puts, 1, NULL, &length) \
    R(x_store_queue_submit_taken_out, trimtab_store_queue_submit, taken_out, BAD, queue, store_puts, 1, &store_call, NULL) \
    R(x_store_queue_submit_txn_queue, trimtab_store_queue_submit_txn, queue, BAD, NULL, txn, &store_call, 0) \
    R(x_store_queue_submit_txn_txn, trimtab_store_queue_submit_txn, txn, BAD, queue, NULL, &store_call, 0) \
    R(x_store_queue_submit_txn_call, trimtab_store_queue_submit_txn, call, FINE, queue, txn, NULL, 0) \
    R(x_store_queue_submit_durable_queue, trimtab_store_queue_submit_durable, queue, BAD, NULL, 0, 0) \
    R(x_store_queue_cancel_queue, trimtab_store_queue_cancel, queue, BAD, NULL, 0, &length) \
    R(x_store_queue_cancel_count_out, trimtab_store_queue_cancel, count_out, FINE, queue, 0, NULL) \
    R(x_store_queue_next_queue, trimtab_store_queue_next, queue, BAD, NULL, 0, &number, &made_answer) \
    R(x_store_queue_next_answer_out, trimtab_store_queue_next, answer_out, BAD, queue, 0, &number, NULL) \
    R(x_store_queue_under_way_queue, trimtab_store_queue_under_way, queue, BAD, NULL, &length) \
    R(x_store_queue_under_way_count_out, trimtab_store_queue_under_way, count_out, BAD, queue, NULL) \
    R(x_store_watch_new_store, trimtab_store_watch_new, store, BAD, NULL, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, &made_watch) \
    R(x_store_watch_new_start, trimtab_store_watch_new, start, BAD, store, TRIMTAB_RANGE_BETWEEN, missing_bytes(), NO_KEY, 0, &made_watch) \
    R(x_store_watch_new_end, trimtab_store_watch_new, end, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), missing_bytes(), 0, &made_watch) \
    R(x_store_watch_new_watch_out, trimtab_store_watch_new, watch_out, BAD, store, TRIMTAB_RANGE_BETWEEN, trimtab_bytes_of("k", 1), NO_KEY, 0, NULL) \
    V(x_store_watch_free_watch, trimtab_store_watch_free, watch, FINE, NULL) \
    R(x_store_watch_poll_fd_watch, trimtab_store_watch_poll_fd, watch, BAD, NULL, &flag) \
    R(x_store_watch_poll_fd_fd_out, trimtab_store_watch_poll_fd, fd_out, BAD, watch, NULL) \
    R(x_store_watch_next_watch, trimtab_store_watch_next, watch, BAD, NULL, 0, &store_change) \
    R(x_store_watch_next_change_out, trimtab_store_watch_next, change_out, BAD, watch, 0, NULL) \
    R(x_store_watch_sequence_watch, trimtab_store_watch_sequence, watch, BAD, NULL, &number) \
    R(x_store_watch_sequence_sequence_out, trimtab_store_watch_sequence, sequence_out, BAD, watch, NULL)
#define ROWS(R, V)                                                                           \
    COPY_ROWS(R, trimtab_version_copy, )                                                     \
    V(abi_version, trimtab_abi_version, , NONE, )                                            \
    R(feature_name, trimtab_feature_has, name, BAD, missing_str(), &flag)                    \
    R(feature_out, trimtab_feature_has, has_out, BAD, STR("cli"), NULL)                      \
    R(now, trimtab_now, now_ns_out, BAD, NULL)                                               \
    COPY_ROWS(R, trimtab_last_error_copy, )                                                  \
    COPY_ROWS(R, trimtab_status_name_copy, TRIMTAB_E_NULL, )                                 \
    R(options_new, trimtab_pool_options_new, options_out, BAD, NULL)                         \
    V(options_free, trimtab_pool_options_free, options, FINE, NULL)                          \
    OPTION_ROWS(R, policy, TRIMTAB_POLICY_HASH)                                              \
    OPTION_ROWS(R, policy_name, STR("hash"))                                                 \
    R(options_policy_name, trimtab_pool_options_set_policy_name, name, BAD, options, missing_str()) \
    OPTION_ROWS(R, hash, TRIMTAB_HASH_RING)                                                  \
    OPTION_ROWS(R, bounded_load, 0)                                                          \
    OPTION_ROWS(R, backups, TRIMTAB_BACKUPS_ALL)                                             \
    OPTION_ROWS(R, formula, TRIMTAB_FORMULA_TRIMTAB)                                         \
    OPTION_ROWS(R, tick_ms, 1000)                                                            \
    OPTION_ROWS(R, blend, 0.5)                                                               \
    OPTION_ROWS(R, gain, 1)                                                                  \
    OPTION_ROWS(R, history, 8)                                                               \
    OPTION_ROWS(R, floor, 0.02)                                                              \
    OPTION_ROWS(R, stale_ms, 1000)                                                           \
    OPTION_ROWS(R, decay_ms, 1000)                                                           \
    OPTION_ROWS(R, seed, 1)                                                                  \
    OPTION_ROWS(R, hash_seed, 1)                                                             \
    OPTION_ROWS(R, lanes, 1)                                                                 \
    OPTION_ROWS(R, picks_max, 16)                                                            \
    R(backend_new_address, trimtab_backend_new, address, BAD, missing_str(), &backend)       \
    R(backend_new_out, trimtab_backend_new, backend_out, BAD, STR("10.0.0.9:80"), NULL)      \
    V(backend_free, trimtab_backend_free, backend, FINE, NULL)                               \
    BACKEND_ROWS(R, name, STR("web"))                                                        \
    R(backend_name, trimtab_backend_set_name, name, BAD, backend, missing_str())             \
    BACKEND_ROWS(R, weight, 1)                                                               \
    BACKEND_ROWS(R, maxconn, 1)                                                              \
    BACKEND_ROWS(R, tier, 1)                                                                 \
    BACKEND_ROWS(R, tag, 1)                                                                  \
    BACKEND_ROWS(R, admin, TRIMTAB_ADMIN_READY)                                              \
    BACKEND_ROWS(R, observed, TRIMTAB_OBSERVED_UP)                                           \
    R(pool_new_out, trimtab_pool_new, pool_out, BAD, options, NULL)                          \
    V(pool_free, trimtab_pool_free, pool, FINE, NULL)                                        \
    R(add_pool, trimtab_pool_add, pool, BAD, NULL, backend, &number)                         \
    R(add_backend, trimtab_pool_add, backend, BAD, pool, NULL, &number)                      \
    R(add_out, trimtab_pool_add, id_out, BAD, pool, backend, NULL)                           \
    R(add_backend_pool, trimtab_pool_add_backend, pool, BAD, NULL, STR("10.0.0.8:80"), 1, &number) \
    R(add_backend_address, trimtab_pool_add_backend, address, BAD, pool, missing_str(), 1, &number) \
    R(add_backend_out, trimtab_pool_add_backend, id_out, BAD, pool, STR("10.0.0.8:80"), 1, NULL) \
    R(add_all_pool, trimtab_pool_add_all, pool, BAD, NULL, backends, 1, &number)             \
    R(add_all_backends, trimtab_pool_add_all, backends, BAD, pool, NULL, 1, &number)         \
    R(add_all_none, trimtab_pool_add_all, backends, FINE, pool, NULL, 0, NULL)               \
    R(remove_pool, trimtab_pool_remove, pool, BAD, NULL, id)                                 \
    CHANGE_ROWS(R, weight, 2)                                                                \
    CHANGE_ROWS(R, maxconn, 2)                                                               \
    CHANGE_ROWS(R, tier, 0)                                                                  \
    CHANGE_ROWS(R, tag, 2)                                                                   \
    CHANGE_ROWS(R, admin, TRIMTAB_ADMIN_READY)                                               \
    CHANGE_ROWS(R, observed, TRIMTAB_OBSERVED_UP)                                            \
    R(find_pool, trimtab_pool_find, pool, BAD, NULL, STR("10.0.0.1:80"), &number)            \
    R(find_name, trimtab_pool_find, name, BAD, pool, missing_str(), &number)                 \
    R(find_out, trimtab_pool_find, id_out, BAD, pool, STR("10.0.0.1:80"), NULL)              \
    R(ids_pool, trimtab_pool_ids_copy, pool, BAD, NULL, &number, 1, &length)                 \
    R(ids_ids, trimtab_pool_ids_copy, ids, BAD, pool, NULL, 1, &length)                      \
    R(ids_none, trimtab_pool_ids_copy, ids, FINE, pool, NULL, 0, &length)                    \
    R(ids_count, trimtab_pool_ids_copy, count_out, FINE, pool, &number, 1, NULL)             \
    R(address_pool, trimtab_pool_address_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_address_copy, pool, id, )                                      \
    R(name_pool, trimtab_pool_name_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_name_copy, pool, id, )                                         \
    R(pick_pool, trimtab_pool_pick, pool, BAD, NULL, NO_KEY, 0, &out)                        \
    R(pick_key, trimtab_pool_pick, key, BAD, pool, missing_bytes(), 0, &out)                 \
    R(pick_out, trimtab_pool_pick, pick_out, BAD, pool, NO_KEY, 0, NULL)                     \
    R(avoid_pool, trimtab_pool_pick_avoiding, pool, BAD, NULL, NO_KEY, 0, &id, 1, &out)      \
    R(avoid_key, trimtab_pool_pick_avoiding, key, BAD, pool, missing_bytes(), 0, &id, 1, &out) \
    R(avoid_avoid, trimtab_pool_pick_avoiding, avoid, BAD, pool, NO_KEY, 0, NULL, 1, &out)   \
    R(avoid_out, trimtab_pool_pick_avoiding, pick_out, BAD, pool, NO_KEY, 0, &id, 1, NULL)   \
    R(done_pool, trimtab_pool_done, pool, BAD, NULL, out.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) \
    R(explain_pool, trimtab_pool_explain_copy, pool, BAD, NULL, NO_KEY, 0, buffer, sizeof buffer, &length) \
    R(explain_key, trimtab_pool_explain_copy, key, BAD, pool, missing_bytes(), 0, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_explain_copy, pool, NO_KEY, 0, )                               \
    R(statistics_pool, trimtab_pool_statistics_read, pool, BAD, NULL, &pool_statistics)      \
    R(statistics_out, trimtab_pool_statistics_read, statistics_out, BAD, pool, NULL)         \
    R(one_pool, trimtab_pool_backend_statistics_read, pool, BAD, NULL, id, &backend_statistics) \
    R(one_out, trimtab_pool_backend_statistics_read, statistics_out, BAD, pool, id, NULL)    \
    R(timeout_pool, trimtab_pool_handle_timeout, pool, BAD, NULL, 0)                         \
    R(deadline_pool, trimtab_pool_next_deadline, pool, BAD, NULL, &number)                   \
    R(deadline_out, trimtab_pool_next_deadline, deadline_ns_out, BAD, pool, NULL)            \
    OPTION_ROWS(R, panic_threshold, 50)                                                      \
    OPTION_ROWS(R, fail_open, 1)                                                             \
    OPTION_ROWS(R, slow_start_ms, 1000)                                                      \
    OPTION_ROWS(R, slow_start_aggression, 1)                                                 \
    OPTION_ROWS(R, slow_start_min, 0.1)                                                      \
    OPTION_ROWS(R, maxconn, 1)                                                               \
    OPTION_ROWS(R, connection_rate, 1, 1)                                                    \
    OPTION_ROWS(R, pending_max, 1)                                                           \
    OPTION_ROWS(R, retry_budget, 0.2)                                                        \
    OPTION_ROWS(R, retry_min, 3)                                                             \
    OPTION_ROWS(R, retries_max, 1)                                                           \
    OPTION_ROWS(R, outlier, &outlier)                                                        \
    OPTION_ROWS(R, adaptive, &adaptive)                                                      \
    R(options_set_off, trimtab_pool_options_set_retry_budget_off, options, BAD, NULL)        \
    R(options_no_outlier, trimtab_pool_options_set_outlier, outlier, FINE, options, NULL)    \
    R(options_no_adaptive, trimtab_pool_options_set_adaptive, adaptive, FINE, options, NULL) \
    R(outlier_defaults, trimtab_outlier_defaults_read, outlier_out, BAD, NULL)               \
    R(adaptive_defaults, trimtab_adaptive_defaults_read, adaptive_out, BAD, NULL)            \
    BACKEND_ROWS(R, connection_rate, 1, 1)                                                   \
    CHANGE_ROWS(R, connection_rate, 2, 2)                                                    \
    R(with_pool, trimtab_pool_set_observed_with, pool, BAD, NULL, id, TRIMTAB_OBSERVED_UP, STR("ok"), 0) \
    R(with_reason, trimtab_pool_set_observed_with, reason, BAD, pool, id, TRIMTAB_OBSERVED_UP, missing_str(), 0) \
    R(reason_pool, trimtab_pool_reason_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_reason_copy, pool, id, )                                       \
    R(begin_pool, trimtab_pool_retry_begin, pool, BAD, NULL, 0, &number)                     \
    R(begin_out, trimtab_pool_retry_begin, retry_out, BAD, pool, 0, NULL)                    \
    R(end_pool, trimtab_pool_retry_end, pool, BAD, NULL, 1)                                  \
    R(may_pool, trimtab_pool_may_retry, pool, BAD, NULL, 0, &flag)                           \
    R(may_out, trimtab_pool_may_retry, may_out, BAD, pool, 0, NULL)                          \
    R(want_pool, trimtab_pool_try_want, pool, BAD, NULL)                                     \
    R(unwant_pool, trimtab_pool_unwant, pool, BAD, NULL)                                     \
    R(observe_pool, trimtab_pool_observe, pool, BAD, NULL, told, NULL)                       \
    R(observe_fn, trimtab_pool_observe, event_fn, BAD, pool, NULL, NULL)                     \
    R(observe_data, trimtab_pool_observe, user_data, FINE, pool, told, NULL)                 \
    R(check_config, trimtab_check_new, config, BAD, missing_str(), STR("10.0.0.1:80"), 0, &made_check) \
    R(check_address, trimtab_check_new, address, BAD, STR(CHECK_TEXT), missing_str(), 0, &made_check) \
    R(check_out, trimtab_check_new, check_out, BAD, STR(CHECK_TEXT), STR("10.0.0.1:80"), 0, NULL) \
    V(check_free, trimtab_check_free, check, FINE, NULL)                                     \
    R(step_check, trimtab_check_take_step, check, BAD, NULL, 0, &step)                       \
    R(step_out, trimtab_check_take_step, step_out, BAD, check, 0, NULL)                      \
    R(connected_check, trimtab_check_handle_connected, check, BAD, NULL, 0)                  \
    R(written_check, trimtab_check_handle_written, check, BAD, NULL, 0)                      \
    R(bytes_check, trimtab_check_handle_bytes, check, BAD, NULL, NO_KEY, 0)                  \
    R(end_check, trimtab_check_handle_end, check, BAD, NULL, 0)                              \
    R(failed_check, trimtab_check_handle_failed, check, BAD, NULL, STR("no"), 0)             \
    R(abandoned_check, trimtab_check_handle_abandoned, check, BAD, NULL, 0)                  \
    R(suspicion_check, trimtab_check_handle_suspicion, check, BAD, NULL, 0)                  \
    R(bytes_bytes, trimtab_check_handle_bytes, bytes, BAD, check, missing_bytes(), 0)        \
    R(failed_why, trimtab_check_handle_failed, why, BAD, check, missing_str(), 0)            \
    R(status_check, trimtab_check_status_read, check, BAD, NULL, &check_status)                    \
    R(status_out, trimtab_check_status_read, status_out, BAD, check, NULL)                   \
    R(check_target_check, trimtab_check_target_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_target_copy, check, )                                         \
    R(check_reason_check, trimtab_check_reason_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_reason_copy, check, )                                         \
    R(check_failure_check, trimtab_check_failure_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_failure_copy, check, )                                        \
    R(server_config, trimtab_server_new, config, BAD, missing_str(), STR("x"), &made, NULL, NULL) \
    R(server_source, trimtab_server_new, source_name, BAD, STR(CONFIG), missing_str(), &made, NULL, NULL) \
    R(server_out, trimtab_server_new, server_out, BAD, STR(CONFIG), STR("x"), NULL, NULL, NULL) \
    R(server_path, trimtab_server_new_from_file, path, BAD, missing_str(), &made, NULL, NULL) \
    R(server_file_out, trimtab_server_new_from_file, server_out, BAD, STR("/dev/null"), NULL, NULL, NULL) \
    V(server_free, trimtab_server_free, server, FINE, NULL)                                  \
    R(adopt_server, trimtab_server_adopt, server, BAD, NULL, STR("web"), 0)                  \
    R(adopt_listener, trimtab_server_adopt, listener, BAD, server, missing_str(), 0)         \
    R(start_server, trimtab_server_start, server, BAD, NULL)                                 \
    R(start_hosted_server, trimtab_server_start_hosted, server, BAD, NULL)                   \
    R(drain_server, trimtab_server_drain, server, BAD, NULL, 0)                              \
    R(stop_server, trimtab_server_stop, server, BAD, NULL)                                   \
    R(wait_server, trimtab_server_wait, server, BAD, NULL, 0)                                \
    R(state_server, trimtab_server_state, server, BAD, NULL, &flag)                          \
    R(state_out, trimtab_server_state, state_out, BAD, server, NULL)                         \
    R(web_server, trimtab_server_address_copy, server, BAD, NULL, STR("web"), buffer, sizeof buffer, &length) \
    R(web_listener, trimtab_server_address_copy, listener, BAD, server, missing_str(), buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_address_copy, server, STR("web"), )                          \
    R(admin_server, trimtab_server_admin_address_copy, server, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_admin_address_copy, server, )                                \
    R(shared_server, trimtab_server_pool, server, BAD, NULL, STR("app"), &shared)            \
    R(shared_name, trimtab_server_pool, name, BAD, server, missing_str(), &shared)           \
    R(shared_out, trimtab_server_pool, pool_out, BAD, server, STR("app"), NULL)              \
    R(own_store_server, trimtab_server_store, server, BAD, NULL, &made_store)                \
    R(own_store_out, trimtab_server_store, store_out, BAD, server, NULL)                     \
    R(fd_server, trimtab_server_poll_fd, server, BAD, NULL, &flag)                           \
    R(fd_out, trimtab_server_poll_fd, fd_out, BAD, hosted, NULL)                             \
    R(next_server, trimtab_server_next_deadline, server, BAD, NULL, &number)                 \
    R(next_out, trimtab_server_next_deadline, deadline_ns_out, BAD, hosted, NULL)            \
    R(in_server, trimtab_server_next_timeout, server, BAD, NULL, &flag)                      \
    R(in_out, trimtab_server_next_timeout, timeout_ms_out, BAD, hosted, NULL)                \
    R(turn_server, trimtab_server_turn, server, BAD, NULL, 0, &length)                       \
    R(turn_count, trimtab_server_turn, count_out, FINE, hosted, 0, NULL)                     \
    R(totals_server, trimtab_server_statistics_read, server, BAD, NULL, &server_statistics)  \
    R(totals_out, trimtab_server_statistics_read, statistics_out, BAD, server, NULL)         \
    R(counts_server, trimtab_server_listener_statistics_read, server, BAD, NULL, STR("web"), &listener_statistics) \
    R(counts_listener, trimtab_server_listener_statistics_read, listener, BAD, server, missing_str(), \
      &listener_statistics)                                                                  \
    R(counts_out, trimtab_server_listener_statistics_read, statistics_out, BAD, server, STR("web"), NULL) \
    R(status_server, trimtab_server_status_copy, server, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_status_copy, server, )                                       \
    STORE_ROWS(R, V)

ROWS(ROW, VOID_ROW)

#define ENTRY(label, function, parameter, verdict, ...) {#function, #parameter, verdict, label},
static const struct row rows[] = {ROWS(ENTRY, ENTRY)};

/* Those whose success needs something cleaned up, or which have two calls that belong together. */
static void the_rest(void)
{
    trimtab_pool *made_pool = NULL;
    OK(trimtab_pool_new(NULL, &made_pool));
    trimtab_pool_free(made_pool);
    /* The callback and what goes with it may both be missing. */
    CHECK(made == NULL && shared == NULL);
    OK(trimtab_server_new(STR(CONFIG), STR(""), &made, NULL, NULL));
    trimtab_server_free(made);
    const trimtab_backend *holes[2] = {backend, NULL};
    EXPECT(TRIMTAB_E_NULL, trimtab_pool_add_all(pool, holes, 2, NULL));
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick_avoiding(pool, NO_KEY, 0, NULL, 0, &pick));
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
}

int main(int argc, char **argv)
{
    size_t count = sizeof rows / sizeof *rows;
    if (argc > 1 && strcmp(argv[1], "--names") == 0) {
        for (size_t at = 0; at < count; at++) {
            printf("%s\n", rows[at].function);
        }
        return 0;
    }
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_backend_new(STR("10.0.0.7:80"), &backend));
    backends[0] = backend;
    pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    id = add(pool, 1);
    out = new_pick();
    memset(&pool_statistics, 0, sizeof pool_statistics);
    pool_statistics.struct_size = sizeof pool_statistics;
    memset(&backend_statistics, 0, sizeof backend_statistics);
    backend_statistics.struct_size = sizeof backend_statistics;
    server_statistics.struct_size = sizeof server_statistics;
    listener_statistics.struct_size = sizeof listener_statistics;
    outlier.struct_size = sizeof outlier;
    adaptive.struct_size = sizeof adaptive;
    OK(trimtab_outlier_defaults_read(&outlier));
    step.struct_size = sizeof step;
    check_status.struct_size = sizeof check_status;
    OK(trimtab_check_new(STR(CHECK_TEXT), STR("10.0.0.1:80"), 0, &check));
    OK(trimtab_adaptive_defaults_read(&adaptive));
    OK(trimtab_server_new(STR(CONFIG), STR("nulls"), &server, NULL, NULL));
    OK(trimtab_server_start(server));
    OK(trimtab_server_new(STR(CONFIG), STR("nulls"), &hosted, NULL, NULL));
    OK(trimtab_server_start_hosted(hosted));

    make_folder();
    OK(trimtab_store_options_new(&store_options));
    store = open_store("nulls");
    hosted_store = open_hosted("nulls-hosted");
    OK(trimtab_cluster_options_new(STR("a"), &cluster_options));
    OK(trimtab_cluster_options_add_member(cluster_options, STR("a"), STR(""), 0));
    OK(trimtab_cluster_options_set_insecure_plaintext(cluster_options, 0));
    OK(trimtab_cluster_options_set_message_bytes(cluster_options, 16 << 10));
    char joined_path[128];
    snprintf(joined_path, sizeof joined_path, "%s/joined", folder);
    trimtab_store_options *joined_options = small_options();
    OK(trimtab_store_join(STR(joined_path), joined_options, cluster_options, &joined));
    snprintf(promotable_path, sizeof promotable_path, "%s/promotable", folder);
    trimtab_store *promotable = NULL;
    OK(trimtab_store_join(STR(promotable_path), joined_options, cluster_options, &promotable));
    OK(trimtab_store_put(promotable, BYTES("k"), BYTES("v"), NULL, NULL));
    trimtab_store_free(promotable);
    OK(trimtab_store_promote_directory(STR(promotable_path), &promotion));
    promoted.struct_size = sizeof promoted;
    trimtab_store_options_free(joined_options);
    OK(trimtab_store_cluster(joined, &cluster));
    OK(trimtab_cluster_events_new(joined, &cluster_events));
    cluster_status.struct_size = sizeof cluster_status;
    cluster_node.struct_size = sizeof cluster_node;
    cluster_event.struct_size = sizeof cluster_event;
    store_call.struct_size = sizeof store_call;
    store_result.struct_size = sizeof store_result;
    store_status.struct_size = sizeof store_status;
    store_report.struct_size = sizeof store_report;
    backup_report.struct_size = sizeof backup_report;
    restore_options.struct_size = sizeof restore_options;
    restored.struct_size = sizeof restored;
    store_entry.struct_size = sizeof store_entry;
    store_change.struct_size = sizeof store_change;
    store_put = operation(TRIMTAB_OPERATION_PUT, "k", "v");
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    snprintf(backup_path, sizeof backup_path, "%s/backup", folder);
    snprintf(restored_path, sizeof restored_path, "%s/restored", folder);
    snprintf(other_path, sizeof other_path, "%s/other", folder);
    OK(trimtab_store_backup(store, STR(backup_path), 0, NULL));
    OK(trimtab_store_restore(STR(backup_path), STR(restored_path), NULL, NULL));
    OK(trimtab_store_lease_grant(store, 3, 3600000, NULL, NULL));
    OK(trimtab_store_get(store, BYTES("k"), &answer));
    OK(trimtab_txn_new(&txn));
    OK(trimtab_store_queue_new(store, 8, &queue));
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_KEY, NO_KEY, 0, &watch));
    OK(trimtab_store_scan_new(store, TRIMTAB_RANGE_BETWEEN, NO_KEY, NO_KEY, 0, 0, &scan));

    for (size_t at = 0; at < count; at++) {
        const struct row *row = &rows[at];
        int keeps_detail = strcmp(row->function, "trimtab_last_error_copy") == 0 ||
                           strcmp(row->function, "trimtab_status_name_copy") == 0;
        char known[] = "made up so that there is a detail";
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_feature_has(STR(known), &flag));
        trimtab_status status = row->call();
        trimtab_status expected = row->verdict == BAD ? TRIMTAB_E_NULL : TRIMTAB_OK;
        const char *detail = last_error();
        if (status != expected) {
            fprintf(stderr, "%s with NULL for %s: expected %d, got %d: %s\n", row->function, row->parameter,
                    (int)expected, (int)status, detail);
            return 1;
        }
        if (row->verdict == BAD && !keeps_detail) {
            char said[64];
            snprintf(said, sizeof said, "%s is NULL", row->parameter);
            if (strcmp(detail, said) != 0) {
                fprintf(stderr, "%s: detail \"%s\" where \"%s\" belongs\n", row->function, detail, said);
                return 1;
            }
        }
        if (keeps_detail) {
            CHECK(strstr(detail, known) != NULL);
        }
    }
    the_rest();
    trimtab_pool_statistics after = statistics_of(pool);
    CHECK(after.backends == 1 && after.picks == 1 && after.in_flight == 0);
    CHECK(made_check == NULL);
    CHECK(made_store == NULL && made_answer == NULL && made_queue == NULL && made_watch == NULL && made_scan == NULL);
    CHECK(made_txn == NULL && made_options == NULL);
    CHECK(made_cluster_options == NULL && made_cluster == NULL && made_cluster_events == NULL);
    trimtab_cluster_events_free(cluster_events);
    trimtab_cluster_free(cluster);
    trimtab_cluster_options_free(cluster_options);
    trimtab_store_free(joined);
    trimtab_store_answer_free(answer);
    trimtab_txn_free(txn);
    trimtab_store_scan_free(scan);
    trimtab_store_watch_free(watch);
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
    trimtab_store_free(hosted_store);
    trimtab_store_options_free(store_options);
    remove_folder();
    trimtab_check_free(check);
    trimtab_backend_free(backend);
    trimtab_pool_options_free(options);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
    trimtab_server_free(hosted);
    printf("nulls: %zu cases\n", count);
    return 0;
}
