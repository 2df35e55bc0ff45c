"""The C header lists what the interface has; this binding has a counterpart of each, or says why not."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum

import pytest
import trimtab
import trimtab.aio
from conftest import ROOT
from peers import config

HEADER = ROOT / "include" / "trimtab.h"

# C function: its counterpart here, as `name`, `Class.member` or `Callable(parameter)`; or in words, after
# a dash, why there is none.
FUNCTIONS = {
    "trimtab_version_copy": "__version__",
    "trimtab_abi_version": "- the wheel shows no C interface",
    "trimtab_feature_has": "features",
    "trimtab_now": "- time.monotonic() reads the same clock",
    "trimtab_last_error_copy": "- str() of the exception",
    "trimtab_status_name_copy": "- the class of the exception",
    "trimtab_str_of": "- str",
    "trimtab_bytes_of": "- bytes",
    "trimtab_pool_options_new": "Pool",
    "trimtab_pool_options_free": "- keywords need no handle",
    "trimtab_pool_options_set_policy": "Pool(policy)",
    "trimtab_pool_options_set_policy_name": "Pool(policy)",
    "trimtab_pool_options_set_hash": "Pool(hash)",
    "trimtab_pool_options_set_bounded_load": "Pool(bounded_load)",
    "trimtab_pool_options_set_backups": "Pool(backups)",
    "trimtab_pool_options_set_formula": "Pool(formula)",
    "trimtab_pool_options_set_tick_ms": "Pool(tick)",
    "trimtab_pool_options_set_blend": "Pool(blend)",
    "trimtab_pool_options_set_gain": "Pool(gain)",
    "trimtab_pool_options_set_history": "Pool(history)",
    "trimtab_pool_options_set_floor": "Pool(floor)",
    "trimtab_pool_options_set_stale_ms": "Pool(stale)",
    "trimtab_pool_options_set_decay_ms": "Pool(decay)",
    "trimtab_pool_options_set_seed": "Pool(seed)",
    "trimtab_pool_options_set_hash_seed": "Pool(hash_seed)",
    "trimtab_pool_options_set_lanes": "Pool(lanes)",
    "trimtab_pool_options_set_picks_max": "Pool(picks_max)",
    "trimtab_backend_new": "Backend(address)",
    "trimtab_backend_free": "- the garbage collector",
    "trimtab_backend_set_name": "Backend(name)",
    "trimtab_backend_set_weight": "Backend(weight)",
    "trimtab_backend_set_maxconn": "Backend(maxconn)",
    "trimtab_backend_set_tier": "Backend(tier)",
    "trimtab_backend_set_tag": "Backend(tag)",
    "trimtab_backend_set_admin": "Backend(admin)",
    "trimtab_backend_set_observed": "Backend(observed)",
    "trimtab_pool_new": "Pool",
    "trimtab_pool_free": "Pool.close",
    "trimtab_pool_add": "Pool.add",
    "trimtab_pool_add_backend": "Pool.add",
    "trimtab_pool_add_all": "Pool.add_all",
    "trimtab_pool_remove": "Pool.remove",
    "trimtab_pool_set_weight": "Pool.set_weight",
    "trimtab_pool_set_maxconn": "Pool.set_maxconn",
    "trimtab_pool_set_tier": "Pool.set_tier",
    "trimtab_pool_set_tag": "Pool.set_tag",
    "trimtab_pool_set_admin": "Pool.set_admin",
    "trimtab_pool_set_observed": "Pool.set_observed",
    "trimtab_pool_find": "Pool.find",
    "trimtab_pool_ids_copy": "Pool.ids",
    "trimtab_pool_address_copy": "BackendStatistics.address",
    "trimtab_pool_name_copy": "BackendStatistics.name",
    "trimtab_pool_pick": "Pool.pick",
    "trimtab_pool_pick_avoiding": "Pool.pick(avoid)",
    "trimtab_pool_done": "Pool.done",
    "trimtab_pool_explain_copy": "Pool.explain",
    "trimtab_pool_statistics_read": "Pool.statistics",
    "trimtab_pool_backend_statistics_read": "Pool.backend",
    "trimtab_pool_handle_timeout": "Pool.handle_timeout",
    "trimtab_pool_next_deadline": "Pool.next_deadline",
    "trimtab_pool_options_set_panic_threshold": "Pool(panic_threshold)",
    "trimtab_pool_options_set_fail_open": "Pool(fail_open)",
    "trimtab_pool_options_set_slow_start_ms": "Pool(slow_start)",
    "trimtab_pool_options_set_slow_start_aggression": "Pool(slow_start_aggression)",
    "trimtab_pool_options_set_slow_start_min": "Pool(slow_start_min)",
    "trimtab_pool_options_set_maxconn": "Pool(maxconn)",
    "trimtab_pool_options_set_connection_rate": "Pool(connection_rate)",
    "trimtab_pool_options_set_pending_max": "Pool(pending_max)",
    "trimtab_pool_options_set_retry_budget": "Pool(retry_budget)",
    "trimtab_pool_options_set_retry_budget_off": "Pool(retry_budget)",
    "trimtab_pool_options_set_retry_min": "Pool(retry_min)",
    "trimtab_pool_options_set_retries_max": "Pool(retries_max)",
    "trimtab_pool_options_set_outlier": "Pool(outlier)",
    "trimtab_pool_options_set_adaptive": "Pool(adaptive)",
    "trimtab_outlier_defaults_read": "Outlier",
    "trimtab_adaptive_defaults_read": "Adaptive",
    "trimtab_backend_set_connection_rate": "Backend(connection_rate)",
    "trimtab_pool_set_connection_rate": "Pool.set_connection_rate",
    "trimtab_pool_set_observed_with": "Pool.set_observed(reason)",
    "trimtab_pool_retry_begin": "Pool.retry_begin",
    "trimtab_pool_retry_end": "Pool.retry_end",
    "trimtab_pool_may_retry": "Pool.may_retry",
    "trimtab_pool_try_want": "Pool.try_want",
    "trimtab_pool_unwant": "Pool.unwant",
    "trimtab_pool_reason_copy": "BackendStatistics.reason",
    "trimtab_pool_observe": "Pool(on_event)",
    "trimtab_check_new": "Check",
    "trimtab_check_free": "- the garbage collector",
    "trimtab_check_take_step": "Check.take_step",
    "trimtab_check_target_copy": "Check.target",
    "trimtab_check_status_read": "Check.status",
    "trimtab_check_reason_copy": "CheckState.reason",
    "trimtab_check_failure_copy": "CheckState.failure",
    "trimtab_check_handle_connected": "Check.handle_connected",
    "trimtab_check_handle_written": "Check.handle_written",
    "trimtab_check_handle_bytes": "Check.handle_bytes",
    "trimtab_check_handle_end": "Check.handle_end",
    "trimtab_check_handle_failed": "Check.handle_failed",
    "trimtab_check_handle_abandoned": "Check.handle_abandoned",
    "trimtab_check_handle_suspicion": "Check.handle_suspicion",
    "trimtab_server_new": "Server(on_event)",
    "trimtab_server_new_from_file": "Server.from_file(on_event)",
    "trimtab_server_free": "Server.close",
    "trimtab_server_adopt": "Server.adopt",
    "trimtab_server_start": "Server.start",
    "trimtab_server_drain": "Server.drain(timeout)",
    "trimtab_server_stop": "Server.stop",
    "trimtab_server_wait": "Server.wait(timeout)",
    "trimtab_server_state": "Server.state",
    "trimtab_server_address_copy": "Server.address",
    "trimtab_server_admin_address_copy": "Server.admin_address",
    "trimtab_server_pool": "Server.pool",
    "trimtab_server_start_hosted": "Server.start_hosted",
    "trimtab_server_poll_fd": "Server.fileno",
    "trimtab_server_next_deadline": "Server.next_deadline",
    "trimtab_server_next_timeout": "Server.next_timeout",
    "trimtab_server_turn": "Server.turn(timeout)",
    "trimtab_server_statistics_read": "Server.statistics",
    "trimtab_server_listener_statistics_read": "Server.listener_statistics",
    "trimtab_server_status_copy": "Server.status",
    "trimtab_store_options_new": "Store",
    "trimtab_store_options_free": "- keywords need no handle",
    "trimtab_store_options_set_identity": "Store(identity)",
    "trimtab_store_options_set_durability": "Store(durability)",
    "trimtab_store_options_set_timeout_ms": "Store(timeout)",
    "trimtab_store_options_set_waiting_max": "Store(waiting_max)",
    "trimtab_store_options_set_flush_interval_ms": "Store(flush_interval)",
    "trimtab_store_options_set_flush_bytes": "Store(flush_bytes)",
    "trimtab_store_options_set_snapshot_bytes": "Store(snapshot_bytes)",
    "trimtab_store_options_set_snapshot_retry_ms": "Store(snapshot_retry)",
    "trimtab_store_options_set_eviction": "Store(eviction)",
    "trimtab_store_options_set_eviction_places": "Store(eviction_places)",
    "trimtab_store_options_set_memory_max": "Store(memory_max)",
    "trimtab_store_options_set_value_max": "Store(value_max)",
    "trimtab_store_options_set_operations_max": "Store(operations_max)",
    "trimtab_store_options_set_clients_max": "Store(clients_max)",
    "trimtab_store_options_set_client_bytes_max": "Store(client_bytes_max)",
    "trimtab_store_options_set_segment_bytes": "Store(segment_bytes)",
    "trimtab_store_options_set_pending_bytes_max": "Store(pending_bytes_max)",
    "trimtab_store_options_set_disk_bytes_max": "Store(disk_bytes_max)",
    "trimtab_store_options_set_kept_bytes": "Store(kept_bytes)",
    "trimtab_store_options_set_disk_retry_ms": "Store(disk_retry)",
    "trimtab_store_options_set_history_bytes_max": "Store(history_bytes_max)",
    "trimtab_store_options_set_scrub_interval_ms": "Store(scrub_interval)",
    "trimtab_store_options_set_scrub_bytes_per_second": "Store(scrub_bytes_per_second)",
    "trimtab_store_options_set_hosted": "Store(hosted)",
    "trimtab_store_poll_fd": "Store.fileno",
    "trimtab_store_next_deadline": "Store.next_deadline",
    "trimtab_store_next_timeout": "Store.next_timeout",
    "trimtab_store_turn": "Store.turn(timeout)",
    "trimtab_server_store": "Server.store",
    "trimtab_cluster_options_new": "ClusterOptions(node)",
    "trimtab_cluster_options_free": "- the garbage collector",
    "trimtab_cluster_options_set_cluster": "ClusterOptions(cluster)",
    "trimtab_cluster_options_add_member": "ClusterOptions(members)",
    "trimtab_cluster_options_set_listen": "ClusterOptions(listen)",
    "trimtab_cluster_options_set_tls": "ClusterOptions(tls)",
    "trimtab_cluster_options_set_insecure_plaintext": "ClusterOptions(insecure_plaintext)",
    "trimtab_cluster_options_set_beginning": "ClusterOptions(beginning)",
    "trimtab_cluster_options_set_directory": "ClusterOptions(directory)",
    "trimtab_cluster_options_set_durability": "ClusterOptions(durability)",
    "trimtab_cluster_options_set_nodes": "ClusterOptions(durability)",
    "trimtab_cluster_options_set_read": "ClusterOptions(age_max)",
    "trimtab_cluster_options_set_forwards": "ClusterOptions(forwards)",
    "trimtab_cluster_options_set_patience_ms": "ClusterOptions(patience)",
    "trimtab_cluster_options_set_forward_max": "ClusterOptions(forward_max)",
    "trimtab_cluster_options_set_client_address": "ClusterOptions(client_address)",
    "trimtab_cluster_options_set_degrade_after_ms": "ClusterOptions(degrade_after)",
    "trimtab_cluster_options_set_transfer_timeout_ms": "ClusterOptions(transfer_timeout)",
    "trimtab_cluster_options_add_feed_from": "ClusterOptions(feed_from)",
    "trimtab_cluster_options_set_feed_timeout_ms": "ClusterOptions(feed_timeout)",
    "trimtab_cluster_options_set_message_bytes": "ClusterOptions(message_bytes)",
    "trimtab_cluster_options_set_kept_bytes_max": "ClusterOptions(kept_bytes_max)",
    "trimtab_cluster_options_set_snapshot_rate": "ClusterOptions(snapshot_rate)",
    "trimtab_cluster_options_set_slow_flush_ms": "ClusterOptions(slow_flush)",
    "trimtab_cluster_options_set_election_ticks": "ClusterOptions(election_ticks)",
    "trimtab_store_promote_directory": "promote_directory",
    "trimtab_promotion_read": "Promoted",
    "trimtab_promotion_free": "- the garbage collector",
    "trimtab_store_join": "Store(cluster)",
    "trimtab_store_cluster": "Store.cluster",
    "trimtab_cluster_free": "- the garbage collector",
    "trimtab_cluster_status_read": "ClusterStatus",
    "trimtab_cluster_node_read": "ClusterStatus.nodes",
    "trimtab_store_transfer": "Store.transfer(to)",
    "trimtab_store_outcome": "Store.outcome(request)",
    "trimtab_store_abort_transfer": "Store.abort_transfer",
    "trimtab_store_reload_certificates": "Store.reload_certificates",
    "trimtab_store_add_node": "Store.add_node(address)",
    "trimtab_store_promote_learner": "Store.promote_learner(name)",
    "trimtab_store_remove_node": "Store.remove_node(name)",
    "trimtab_store_replace_node": "Store.replace_node(lost)",
    "trimtab_cluster_events_new": "Store.cluster_events",
    "trimtab_cluster_events_free": "ClusterEvents.close",
    "trimtab_cluster_events_poll_fd": "ClusterEvents.fileno",
    "trimtab_cluster_events_next": "ClusterEvents.poll(timeout)",
    "trimtab_store_get_at": "Store.view(position)",
    "trimtab_store_count_at": "StoreView.count",
    "trimtab_store_scan_new_at": "StoreView.items",
    "trimtab_store_open": "Store(path)",
    "trimtab_store_close": "Store.close",
    "trimtab_store_free": "Store.close",
    "trimtab_store_get_copy": "Store.get",
    "trimtab_store_sync": "Store.sync(timeout)",
    "trimtab_store_wait_durable": "Store.wait_durable(timeout)",
    "trimtab_store_is_fresh": "- what waits tells whether there is something to wait for",
    "trimtab_store_queue_submit_fresh": "StoreQueue._submit_fresh",
    "trimtab_store_queue_submit_get_at": "aio.AsyncStore.entry",
    "trimtab_store_queue_submit_count_at": "aio.AsyncStore.count",
    "trimtab_store_queue_submit_outcome": "StoreQueue._submit_outcome",
    "trimtab_store_queue_submit_durable": "StoreQueue.submit_durable(user_data)",
    "trimtab_store_snapshot": "Store.snapshot(timeout)",
    "trimtab_store_status_read": "Store.status",
    "trimtab_store_report_read": "Store.report",
    "trimtab_store_torn_file_copy": "StoreReport.torn",
    "trimtab_store_covered_file_copy": "StoreReport.covered",
    "trimtab_store_settings_refused_copy": "StoreReport.settings_refused",
    "trimtab_store_backup": "Store.backup(full)",
    "trimtab_store_backup_closed": "backup_closed(full)",
    "trimtab_store_backup_verify": "backup_verify(backup)",
    "trimtab_store_restore": "restore(to)",
    "trimtab_store_scrub": "Store.scrub(timeout)",
    "trimtab_store_damage_copy": "StoreStatus.scrub_failure",
    "trimtab_store_put": "Store.put",
    "trimtab_store_compare_and_set": "Store.compare_and_set",
    "trimtab_store_get_and_set": "Store.get_and_set",
    "trimtab_store_delete": "Store.delete",
    "trimtab_store_delete_range": "Store.delete_range(prefix)",
    "trimtab_store_increment": "Store.increment(by)",
    "trimtab_store_append": "Store.append",
    "trimtab_store_expire": "Store.expire(ttl)",
    "trimtab_store_expire_at": "Store.expire(at)",
    "trimtab_store_persist": "Store.persist",
    "trimtab_store_lease_grant": "Store.lease_grant(ttl)",
    "trimtab_store_lease_keep_alive": "Lease.keep_alive",
    "trimtab_store_lease_revoke": "Lease.revoke",
    "trimtab_store_lease_read": "Store.lease(id)",
    "trimtab_store_lease_read_at": "Store.lease(id)",
    "trimtab_store_answer_free": "- the garbage collector",
    "trimtab_store_answer_read": "Completion.result",
    "trimtab_store_answer_entry": "StoreResult.entries",
    "trimtab_store_answer_step_read": "StoreResult.steps",
    "trimtab_store_answer_step_entry": "StoreResult.steps",
    "trimtab_store_execute": "Store.execute(operation)",
    "trimtab_store_get": "Store.entry",
    "trimtab_store_count": "Store.count(prefix)",
    "trimtab_store_scan_new": "Store.items(reverse)",
    "trimtab_store_scan_free": "- the garbage collector",
    "trimtab_store_scan_next": "StoreScan.__next__",
    "trimtab_store_scan_sequence": "StoreScan.sequence",
    "trimtab_txn_new": "Store.transaction",
    "trimtab_txn_free": "- the garbage collector",
    "trimtab_txn_compare": "Transaction.when(version)",
    "trimtab_txn_compare_value": "Transaction.when(value)",
    "trimtab_txn_then": "Transaction.then",
    "trimtab_txn_otherwise": "Transaction.otherwise",
    "trimtab_txn_set_continue": "Transaction.proceed",
    "trimtab_store_commit": "Transaction.commit",
    "trimtab_store_queue_new": "Store.queue(capacity)",
    "trimtab_store_queue_free": "StoreQueue.close",
    "trimtab_store_queue_poll_fd": "StoreQueue.fileno",
    "trimtab_store_queue_submit": "StoreQueue.submit_all",
    "trimtab_store_queue_submit_txn": "Transaction.operation",
    "trimtab_store_queue_cancel": "StoreQueue.cancel(user_data)",
    "trimtab_store_queue_next": "StoreQueue.take",
    "trimtab_store_queue_under_way": "StoreQueue.under_way",
    "trimtab_store_watch_new": "Store.watch(sequence)",
    "trimtab_store_watch_free": "StoreWatch.close",
    "trimtab_store_watch_poll_fd": "StoreWatch.fileno",
    "trimtab_store_watch_next": "StoreWatch.poll(timeout)",
    "trimtab_store_watch_sequence": "StoreWatch.next_sequence",
}

# C constant: the same.
CONSTANTS = {
    "TRIMTAB_H": "- the include guard",
    "TRIMTAB_OK": "- no exception",
    "TRIMTAB_E_NULL": "- there are no pointers; None is a TypeError",
    "TRIMTAB_E_UTF8": "- a str with a lone surrogate is an InvalidArgumentError",
    "TRIMTAB_E_STRUCT_SIZE": "- there are no structs",
    "TRIMTAB_NOT_ORDERED": "- None is not ordered",
    "TRIMTAB_NO_TIME": "- None",
    "TRIMTAB_BACKENDS_MAX": "BACKENDS_MAX",
    "TRIMTAB_WEIGHT_MAX": "WEIGHT_MAX",
    "TRIMTAB_KEY_MAX": "KEY_MAX",
    "TRIMTAB_MAXCONN_MAX": "MAXCONN_MAX",
    "TRIMTAB_CONNECTION_RATE_MAX": "CONNECTION_RATE_MAX",
    "TRIMTAB_RETRIES_MAX": "RETRIES_MAX",
    "TRIMTAB_VERSION_MAJOR": "__version__",
    "TRIMTAB_VERSION_MINOR": "__version__",
    "TRIMTAB_VERSION_PATCH": "__version__",
    "TRIMTAB_DURABILITY_DEFAULT": "- None",
    "TRIMTAB_READ_DEFAULT": "- None",
    "TRIMTAB_OPERATION_PUT": "Operation.put",
    "TRIMTAB_OPERATION_DELETE": "Operation.delete",
    "TRIMTAB_OPERATION_INCREMENT": "Operation.increment",
    "TRIMTAB_OPERATION_APPEND": "Operation.append",
    "TRIMTAB_OPERATION_SET_LIFETIME": "Operation.set_lifetime",
    "TRIMTAB_OPERATION_DELETE_RANGE": "Operation.delete_range",
    "TRIMTAB_OPERATION_GET": "Operation.get",
    "TRIMTAB_OPERATION_RANGE": "Operation.range",
    "TRIMTAB_OPERATION_LEASE_GRANT": "Operation.lease_grant",
    "TRIMTAB_OPERATION_LEASE_KEEP_ALIVE": "Operation.lease_keep_alive",
    "TRIMTAB_OPERATION_LEASE_REVOKE": "Operation.lease_revoke",
    "TRIMTAB_CONDITION_ALWAYS": "LifetimeCondition.ALWAYS",
    "TRIMTAB_CONDITION_ABSENT": "Store.put(absent)",
    "TRIMTAB_CONDITION_PRESENT": "Store.put(present)",
    "TRIMTAB_CONDITION_VERSION": "Store.put(version)",
    "TRIMTAB_CONDITION_NO_DEADLINE": "LifetimeCondition.NO_DEADLINE",
    "TRIMTAB_CONDITION_DEADLINE": "LifetimeCondition.DEADLINE",
    "TRIMTAB_CONDITION_LATER": "LifetimeCondition.LATER",
    "TRIMTAB_CONDITION_EARLIER": "LifetimeCondition.EARLIER",
    "TRIMTAB_LIFETIME_UNBOUNDED": "- none of ttl, at and lease",
    "TRIMTAB_LIFETIME_KEEP": "Store.put(keep_lifetime)",
    "TRIMTAB_LIFETIME_UNTIL": "Store.put(at)",
    "TRIMTAB_LIFETIME_FOR": "Store.put(ttl)",
    "TRIMTAB_LIFETIME_LEASE": "Store.put(lease)",
    "TRIMTAB_RANGE_BETWEEN": "Store.items(start)",
    "TRIMTAB_RANGE_PREFIX": "Store.items(prefix)",
    "TRIMTAB_RESTORE_END": "- neither sequence nor at",
    "TRIMTAB_RESTORE_SEQUENCE": "restore(sequence)",
    "TRIMTAB_RESTORE_TIME": "restore(at)",
    "TRIMTAB_COMPARE_VERSION": "Transaction.when(version)",
    "TRIMTAB_COMPARE_CREATED": "Transaction.when(created)",
    "TRIMTAB_COMPARE_CHANGES": "Transaction.when(changes)",
    "TRIMTAB_COMPARE_LEASE": "Transaction.when(lease)",
}

ENUMERATIONS: dict[str, type[IntEnum]] = {
    "POLICY": trimtab.Policy,
    "HASH": trimtab.Hash,
    "BACKUPS": trimtab.Backups,
    "FORMULA": trimtab.Formula,
    "ADMIN": trimtab.Admin,
    "OBSERVED": trimtab.Observed,
    "OUTCOME": trimtab.Outcome,
    "FAMILY": trimtab.Family,
    "SERVER": trimtab.ServerState,
    "EVENT": trimtab.EventKind,
    "SCOPE": trimtab.Scope,
    "STEP": trimtab.Step,
    "ROLE": trimtab.Role,
    "DURABILITY": trimtab.Durability,
    "REQUEST": trimtab.RequestState,
    "EVICTION": trimtab.Eviction,
    "RELATION": trimtab.Relation,
    "CHANGE": trimtab.ChangeKind,
    "READ": trimtab.ReadLevel,
    "BEGINNING": trimtab.Beginning,
    "DIRECTORY": trimtab.Directory,
    "NODE": trimtab.NodeRole,
    "STANDING": trimtab.Standing,
    "CLUSTER": trimtab.ClusterEventKind,
}

# C struct: the class that comes in its place, or in words, after a dash, why there is none.
STRUCTS: dict[str, type | str] = {
    "trimtab_str": "- str",
    "trimtab_bytes": "- bytes",
    "trimtab_timings": "- keywords of done",
    "trimtab_pick": trimtab.Pick,
    "trimtab_pool_statistics": trimtab.PoolStatistics,
    "trimtab_backend_statistics": trimtab.BackendStatistics,
    "trimtab_server_statistics": trimtab.ServerStatistics,
    "trimtab_listener_statistics": trimtab.ListenerStatistics,
    "trimtab_event": trimtab.Event,
    "trimtab_pool_event": trimtab.PoolEvent,
    "trimtab_outlier": trimtab.Outlier,
    "trimtab_adaptive": trimtab.Adaptive,
    "trimtab_check_step": trimtab.CheckStep,
    "trimtab_check_status": trimtab.CheckState,
    "trimtab_store_status": trimtab.StoreStatus,
    "trimtab_store_report": trimtab.StoreReport,
    "trimtab_store_call": "- keywords of each write",
    "trimtab_store_result": trimtab.StoreResult,
    "trimtab_store_entry": trimtab.Entry,
    "trimtab_store_operation": "- parameters of Operation's functions",
    "trimtab_store_change": trimtab.Change,
    "trimtab_store_backup_report": trimtab.BackupReport,
    "trimtab_store_restore_options": "- parameters of restore",
    "trimtab_store_restored": trimtab.Restored,
    "trimtab_store_read": "- keywords of Store.view",
    "trimtab_cluster_status": trimtab.ClusterStatus,
    "trimtab_promoted": trimtab.Promoted,
    "trimtab_cluster_node": trimtab.ClusterNode,
    "trimtab_cluster_event": trimtab.ClusterEvent,
}

# Fields of those structs that have another name there, or none.
FIELDS = {
    ("trimtab_pick", "ip"): "host",
    ("trimtab_pick", "scope_id"): "host",
    ("trimtab_backend_statistics", "response_mean_ns"): "response_mean",
    ("trimtab_backend_statistics", "observed_since_ns"): "observed_since",
    ("trimtab_pool_event", "number"): "value",
    ("trimtab_outlier", "interval_ms"): "interval",
    ("trimtab_outlier", "ejection_time_ms"): "ejection_time",
    ("trimtab_outlier", "ejection_time_max_ms"): "ejection_time_max",
    ("trimtab_outlier", "ejection_jitter_ms"): "ejection_jitter",
    ("trimtab_outlier", "success_rate_factor"): "success_rate",
    ("trimtab_outlier", "success_rate_hosts_min"): "success_rate",
    ("trimtab_outlier", "success_rate_requests_min"): "success_rate",
    ("trimtab_outlier", "failure_percent"): "failure_percentage",
    ("trimtab_outlier", "failure_hosts_min"): "failure_percentage",
    ("trimtab_outlier", "failure_requests_min"): "failure_percentage",
    ("trimtab_adaptive", "window_ms"): "window",
    ("trimtab_adaptive", "rtt_interval_ms"): "rtt_interval",
    ("trimtab_check_step", "deadline_ns"): "deadline",
    ("trimtab_check_status", "since_ns"): "since",
    ("trimtab_check_status", "lag_ns"): "lag",
    ("trimtab_event", "name"): "kind",
    ("trimtab_event", "number"): "value",
    ("trimtab_store_result", "deadline_ms"): "deadline",
    ("trimtab_store_entry", "deadline_ms"): "deadline",
    ("trimtab_store_status", "scrub_finished_ms"): "scrub_finished",
    ("trimtab_store_status", "submitted"): "counts",
    ("trimtab_store_status", "joined"): "counts",
    ("trimtab_store_status", "refused"): "counts",
    ("trimtab_store_status", "entries_applied"): "counts",
    ("trimtab_store_status", "flushes"): "counts",
    ("trimtab_store_status", "flushed_bytes"): "counts",
    ("trimtab_store_status", "clock_steps"): "counts",
    ("trimtab_store_status", "expiries"): "counts",
    ("trimtab_store_status", "evictions"): "counts",
    ("trimtab_store_status", "snapshots_written"): "counts",
    ("trimtab_store_status", "snapshots_failed"): "counts",
    ("trimtab_store_report", "is_torn"): "torn",
    ("trimtab_store_report", "torn_offset"): "torn",
    ("trimtab_store_report", "covered_offset"): "covered",
    ("trimtab_store_report", "ahead_ms"): "ahead",
    ("trimtab_store_backup_report", "first_ms"): "first_time",
    ("trimtab_store_backup_report", "last_ms"): "last_time",
    ("trimtab_store_restored", "clock_ms"): "time",
    ("trimtab_store_restored", "node"): "identity",
    ("trimtab_store_restored", "cluster"): "identity",
    ("trimtab_cluster_status", "age_ns"): "age",
    ("trimtab_cluster_status", "lease_ns"): "lease",
    ("trimtab_store_result", "epoch"): "position",
    ("trimtab_store_result", "entry"): "position",
}
def header() -> str:
    """The header without its comments and without what only a test build has."""
    text = HEADER.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    return re.sub(r"#if defined\(TRIMTAB_TEST_HOOK\).*?#endif", "", text, flags=re.DOTALL)


def functions() -> list[str]:
    return sorted(set(re.findall(r"\b(trimtab_\w+)\s*\(", header())))


def constants() -> dict[str, str]:
    text = header()
    found = dict(re.findall(r"^#define\s+(TRIMTAB_\w+)[ \t]*(.*)$", text, re.MULTILINE))
    found.update(re.findall(r"\bconst\s+\w+\s+(TRIMTAB_\w+)\s*=\s*([^;]+);", text))
    found.update(re.findall(r"^\s*(TRIMTAB_\w+)\s*=\s*([^,}\n]+)", text, re.MULTILINE))
    return found


def structs() -> dict[str, list[str]]:
    """The fields of each struct, without those that only C needs: sizes, lengths and filling."""
    found = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\}", header(), re.DOTALL):
        fields = re.findall(r"(\w+)(?:\[\d+\])?;", body)
        lengths = {"len", *(f"{field}_len" for field in fields)}
        found[name] = [field for field in fields if field not in {"struct_size", "reserved", *lengths}]
    return found


def has(counterpart: str) -> bool:
    """Whether the package has what an entry names."""
    path, _, parameter = counterpart.rstrip(")").partition("(")
    thing: object = trimtab
    for name in path.split("."):
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return not parameter or (callable(thing) and parameter in inspect.signature(thing).parameters)


@pytest.mark.parametrize("name", functions())
def test_every_function_has_its_counterpart(name: str) -> None:
    assert name in FUNCTIONS, f"{name} is new: bind it, or say in FUNCTIONS why not"
    counterpart = FUNCTIONS[name]
    assert counterpart.startswith("- ") or has(counterpart), f"{name}: trimtab has no {counterpart}"


@pytest.mark.parametrize(("name", "value"), constants().items())
def test_every_constant_has_its_counterpart(name: str, value: str) -> None:
    kind, _, member = name.removeprefix("TRIMTAB_").partition("_")
    if kind in ENUMERATIONS and name not in CONSTANTS:
        assert member in ENUMERATIONS[kind].__members__, f"{name} has no member"
        assert ENUMERATIONS[kind][member] == number(value)
        return
    if kind == "E" and name not in CONSTANTS:
        statuses = {error.status for error in errors()}
        assert number(value) in statuses, f"{name} has no exception"
        return
    assert name in CONSTANTS, f"{name} is new: bind it, or say in CONSTANTS why not"
    counterpart = CONSTANTS[name]
    assert counterpart.startswith("- ") or has(counterpart), f"{name}: trimtab has no {counterpart}"
    known = getattr(trimtab, counterpart.split(".")[0], None)
    if name.endswith("_MAX"):
        assert known == number(value)
    elif isinstance(known, type) and issubclass(known, IntEnum):
        assert known[counterpart.split(".")[1]] == number(value)


@pytest.mark.parametrize(("name", "fields"), structs().items())
def test_every_field_of_a_struct_has_its_counterpart(name: str, fields: list[str]) -> None:
    assert name in STRUCTS, f"{name} is new: bind it, or say in STRUCTS why not"
    counterpart = STRUCTS[name]
    if isinstance(counterpart, str):
        assert counterpart.startswith("- ")
        return
    # Of a dataclass only the annotations tell what has no default.
    known = {*dir(counterpart), *inspect.get_annotations(counterpart)}
    causes = [field for field in fields if field.startswith("closed_")]
    for field in fields:
        if field not in causes:
            assert FIELDS.get((name, field), field) in known, f"{name}.{field}"
    if causes:
        with trimtab.Server(config()) as server:
            closed = server.listener_statistics("web").closed
        assert {f"closed_{cause}" for cause in closed} == set(causes)


def test_no_entry_is_left_over() -> None:
    assert set(FUNCTIONS) <= set(functions())
    assert set(CONSTANTS) <= set(constants())
    assert set(STRUCTS) == set(structs())
    assert {(name, field) for name, fields in structs().items() for field in fields} >= set(FIELDS)
    declared = {name.removeprefix("TRIMTAB_") for name in constants()}
    for kind, enumeration in ENUMERATIONS.items():
        for member in enumeration.__members__:
            assert f"{kind}_{member}" in declared


def errors() -> list[type[trimtab.TrimtabError]]:
    found = (getattr(trimtab, name) for name in trimtab.__all__)
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, trimtab.TrimtabError)]


def number(value: str) -> int:
    """A C integer constant: in parentheses, cast, with a suffix, perhaps."""
    found = re.search(r"-?(?:0x[0-9a-fA-F]+|\b\d+)(?=[uUlL]*\)*\s*$)", value.strip())
    assert found, f"{value!r} is no number"
    return int(found[0], 0)
