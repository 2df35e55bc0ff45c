/*
 * trimtab: load balancing, health and replicated state, linked in.
 *
 * Made from the sources by `make header`. Never edit this file.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef TRIMTAB_H
#define TRIMTAB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * How to read this file
 *
 * Ask a pool which backend takes the next connection, report how it went:
 *
 *     trimtab_pool *pool = NULL;
 *     trimtab_pool_new(NULL, &pool);
 *     trimtab_pool_add_backend(pool, trimtab_str_of("10.0.0.1:80"), 1, &id);
 *
 *     trimtab_pick pick = {0};
 *     pick.struct_size = sizeof pick;
 *     if (trimtab_pool_pick(pool, key, 0, &pick) == TRIMTAB_OK) {
 *         ... connect to pick.ip, pick.port ...
 *         trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0);
 *     }
 *
 * Or let a server listen, pick, connect and relay, on threads of its own or in the loop you have
 * (trimtab_server_start_hosted):
 *
 *     trimtab_server *server = NULL;
 *     trimtab_server_new_from_file(trimtab_str_of("trimtab.toml"), &server, NULL, NULL);
 *     trimtab_server_start(server);
 *     ...
 *     trimtab_server_drain(server, -1);
 *     trimtab_server_wait(server, -1);
 *     trimtab_server_free(server);
 *
 * Or keep keys and values in a directory (trimtab_store_open), that are there after a crash.
 *
 * Status. A function that can fail returns a trimtab_status. When it is not TRIMTAB_OK no `_out` parameter was
 * written, and nothing was changed, but for these: after TRIMTAB_E_TIMED_OUT what was waited for goes on; after
 * TRIMTAB_E_UNKNOWN_OUTCOME, TRIMTAB_E_PANIC, and TRIMTAB_E_IO of a disk that has failed, it may have been done,
 * or in part; what was done on behalf of a request before (TRIMTAB_E_STATE) stays done; and a function says so
 * where it takes or ends something even when it fails. trimtab_last_error_copy tells this thread more. The docs of each
 * function list its codes; beside these every function may return TRIMTAB_E_PANIC, and one that takes a
 * handle TRIMTAB_E_CLOSED or, for what is no handle of its type, TRIMTAB_E_INVALID_ARGUMENT.
 *
 * Handles. `_new` makes one, `_free` ends it and accepts NULL. A handle is one of the types declared here
 * without a body; never pass one to free().
 *
 * Text and bytes that go in come with their length and are read during the call only. NULL with a length
 * of 0 is empty.
 *
 * Text that comes out is copied to `buffer`, which has `size` bytes: as much as fits, cut before a character
 * that does not, and a closing NUL. `length_out` gets the length of the whole, without the NUL; when that is
 * not less than `size`, try again with more. It is TRIMTAB_OK both ways. `buffer` may be NULL when `size`
 * is 0, and `length_out` may be NULL.
 *
 * Structs that begin with `struct_size` are larger in later releases. Set it to sizeof the struct; fields
 * that one side does not know are left alone.
 *
 * Numbers that stand for a choice (TRIMTAB_POLICY_... and the like) are checked, so a wrong one is an error.
 */

/**
 * The release this header belongs to. `trimtab_version_copy` tells that of the library.
 */
#define TRIMTAB_VERSION_MAJOR 0

/**
 * The same.
 */
#define TRIMTAB_VERSION_MINOR 1

/**
 * The same.
 */
#define TRIMTAB_VERSION_PATCH 0

/**
 * Smooth weighted round robin; weights may change while in use. The default.
 */
#define TRIMTAB_POLICY_ROUND_ROBIN 0

/**
 * The same order over the weights the backends were added with; a change of weight is refused.
 */
#define TRIMTAB_POLICY_STATIC 1

/**
 * The first backend, in the order added, that has room below its `maxconn`.
 */
#define TRIMTAB_POLICY_FIRST 2

/**
 * At random, by weight.
 */
#define TRIMTAB_POLICY_RANDOM 3

/**
 * Fewest connections in flight for its weight.
 */
#define TRIMTAB_POLICY_LEAST_CONNECTIONS 4

/**
 * The less loaded of two drawn at random, by weight.
 */
#define TRIMTAB_POLICY_POWER_OF_TWO 5

/**
 * Two choices by peak EWMA of response time, times connections in flight.
 */
#define TRIMTAB_POLICY_PEAK_EWMA 6

/**
 * Shortest response time, with a floor share for every other backend.
 */
#define TRIMTAB_POLICY_FASTEST 7

/**
 * Shares in proportion to connections and response time together.
 */
#define TRIMTAB_POLICY_OBSERVED 8

/**
 * Observed, and the trend of the ranking: who improves gets more.
 */
#define TRIMTAB_POLICY_PREDICTIVE 9

/**
 * By hash of the client's address, which the key holds as 4 or 16 bytes in network order.
 */
#define TRIMTAB_POLICY_SOURCE 10

/**
 * By hash of the key.
 */
#define TRIMTAB_POLICY_HASH 11

/**
 * Consistent hash ring, the placement of ketama as nginx has it. The default.
 */
#define TRIMTAB_HASH_RING 0

/**
 * Maglev lookup table.
 */
#define TRIMTAB_HASH_MAGLEV 1

/**
 * Rendezvous (highest random weight); its cost grows with the number of backends.
 */
#define TRIMTAB_HASH_RENDEZVOUS 2

/**
 * One backup serves: the first usable one of the tier, in the order added. The default.
 */
#define TRIMTAB_BACKUPS_ONE 0

/**
 * All usable ones of the tier serve.
 */
#define TRIMTAB_BACKUPS_ALL 1

/**
 * All usable ones of every tier serve, which share by how many of its backends each has usable: a tier takes over
 * what those below it cannot carry, before they have none.
 */
#define TRIMTAB_BACKUPS_SPILL 2

/**
 * Connections and response time together. The default.
 */
#define TRIMTAB_FORMULA_TRIMTAB 0

/**
 * F5's article K6406: ratios by connection counts alone.
 */
#define TRIMTAB_FORMULA_F5_K6406 1

/**
 * The most picks a second that a limit can be.
 */
#define TRIMTAB_CONNECTION_RATE_MAX 1000000

/**
 * The most retries that can be in flight.
 */
#define TRIMTAB_RETRIES_MAX 65536

/**
 * An adaptive limit for each backend. The default.
 */
#define TRIMTAB_SCOPE_BACKEND 0

/**
 * One adaptive limit for the pool.
 */
#define TRIMTAB_SCOPE_POOL 1

/**
 * The most backends a pool takes.
 */
#define TRIMTAB_BACKENDS_MAX 65536

/**
 * The heaviest weight; the lightest is 1.
 */
#define TRIMTAB_WEIGHT_MAX 65535

/**
 * The largest `maxconn`.
 */
#define TRIMTAB_MAXCONN_MAX 1073741824

/**
 * The operator's order: may be picked. The default.
 */
#define TRIMTAB_ADMIN_READY 0

/**
 * No new picks; what is in flight goes on.
 */
#define TRIMTAB_ADMIN_DRAIN 1

/**
 * Out of service.
 */
#define TRIMTAB_ADMIN_MAINTENANCE 2

/**
 * What was observed: nothing yet. Picked, if ready. The default.
 */
#define TRIMTAB_OBSERVED_UNKNOWN 0

/**
 * It answers. Picked, if ready.
 */
#define TRIMTAB_OBSERVED_UP 1

/**
 * It does not answer. Not picked.
 */
#define TRIMTAB_OBSERVED_DOWN 2

/**
 * Set aside for a while because of its failures. Not picked.
 */
#define TRIMTAB_OBSERVED_EJECTED 3

/**
 * The longest key, in bytes.
 */
#define TRIMTAB_KEY_MAX 1048576

/**
 * A time that was not measured, and a deadline that there is not.
 */
#define TRIMTAB_NO_TIME 18446744073709551615ull

/**
 * The backend listens on a unix socket; `trimtab_pool_address_copy` gives its path.
 */
#define TRIMTAB_FAMILY_UNIX 0

/**
 * The backend has an IPv4 address.
 */
#define TRIMTAB_FAMILY_INET 4

/**
 * The backend has an IPv6 address.
 */
#define TRIMTAB_FAMILY_INET6 6

/**
 * The backend answered.
 */
#define TRIMTAB_OUTCOME_SUCCESS 0

/**
 * It could not be reached.
 */
#define TRIMTAB_OUTCOME_CONNECT_FAILED 1

/**
 * It answered with an error, or broke off.
 */
#define TRIMTAB_OUTCOME_FAILED 2

/**
 * It did not answer in time.
 */
#define TRIMTAB_OUTCOME_TIMED_OUT 3

/**
 * The client left, which says nothing about the backend.
 */
#define TRIMTAB_OUTCOME_CANCELLED 4

/**
 * A backend was added to a pool.
 */
#define TRIMTAB_EVENT_BACKEND_ADDED 6

/**
 * A backend was taken out.
 */
#define TRIMTAB_EVENT_BACKEND_REMOVED 7

/**
 * An operator's order; the number is one of `TRIMTAB_ADMIN_...`.
 */
#define TRIMTAB_EVENT_BACKEND_ADMIN 8

/**
 * Something was observed; the number is one of `TRIMTAB_OBSERVED_...`.
 */
#define TRIMTAB_EVENT_BACKEND_OBSERVED 9

/**
 * A backend has another weight; the number is the new one.
 */
#define TRIMTAB_EVENT_BACKEND_WEIGHT 10

/**
 * A backend has another `maxconn`; the number is the new one, 0 for no limit.
 */
#define TRIMTAB_EVENT_BACKEND_MAXCONN 11

/**
 * A backend has another tier; the number is the new one.
 */
#define TRIMTAB_EVENT_BACKEND_TIER 12

/**
 * A tier panics: it serves whatever is observed of its backends. The number is the tier.
 */
#define TRIMTAB_EVENT_PANIC_BEGAN 32

/**
 * A tier no longer panics. The number is the tier.
 */
#define TRIMTAB_EVENT_PANIC_ENDED 33

/**
 * A place below a limit may have come free, and somebody waits for one (`trimtab_pool_try_want`). Told by
 * `trimtab_pool_observe` only.
 */
#define TRIMTAB_EVENT_ROOM 34

/**
 * Nothing is to be done until something happens to the connection, or the deadline is there.
 */
#define TRIMTAB_STEP_WAIT 0

/**
 * Connect to `trimtab_check_target_copy`, without waiting for it, and tell how that went.
 */
#define TRIMTAB_STEP_CONNECT 1

/**
 * Write the data as far as the socket takes it, and tell how far. When it takes no more, wait for it to be writable, or
 * for the deadline.
 */
#define TRIMTAB_STEP_WRITE 2

/**
 * Close the connection, or give up making it. If there are data they may be written before, should the socket take
 * them at once.
 */
#define TRIMTAB_STEP_CLOSE 3

/**
 * The backend is observed to be something else: `trimtab_check_status_read` and `trimtab_check_reason_copy` tell what
 * and why, for `trimtab_pool_set_observed_with`.
 */
#define TRIMTAB_STEP_CHANGE 4

/**
 * A good probe learnt something new of the backend: its role, its lag or an agent's orders.
 */
#define TRIMTAB_STEP_LEARN 5

/**
 * The role is not known.
 */
#define TRIMTAB_ROLE_UNKNOWN 0

/**
 * It takes writes.
 */
#define TRIMTAB_ROLE_PRIMARY 1

/**
 * It follows a primary.
 */
#define TRIMTAB_ROLE_REPLICA 2

/**
 * An agent did not order anything of this kind: it is to stay as it is.
 */
#define TRIMTAB_NOT_ORDERED (-1)

/**
 * The server listens; the detail says where.
 */
#define TRIMTAB_EVENT_STARTED 0

/**
 * It accepts nothing new and waits for its sessions to end.
 */
#define TRIMTAB_EVENT_DRAINING 1

/**
 * It has ended: no session, no listener.
 */
#define TRIMTAB_EVENT_STOPPED 2

/**
 * A listener pauses, for the system has no descriptor or memory left; the detail tells which.
 */
#define TRIMTAB_EVENT_ACCEPT_PAUSED 3

/**
 * The listener goes on.
 */
#define TRIMTAB_EVENT_ACCEPT_RESUMED 4

/**
 * A thread of the server's own ended before it was told to; the detail says why. The others go on.
 */
#define TRIMTAB_EVENT_WORKER_FAILED 5

/**
 * Members could not be found out, by name or from a file; the detail says why. Those there were stay.
 */
#define TRIMTAB_EVENT_DISCOVERY_FAILED 13

/**
 * Sessions of a backend that went down were cut, by one of the workers; the number is how many.
 */
#define TRIMTAB_EVENT_SESSIONS_CUT 14

/**
 * The store takes no writes any more until it is opened again; the detail says why. Reading goes on.
 */
#define TRIMTAB_EVENT_STORE_FAILED 15

/**
 * There is no room on disk for the log's next segment; the detail says more. Once the present one is full the store takes no
 * writes; reading goes on.
 */
#define TRIMTAB_EVENT_STORE_FULL 16

/**
 * The store takes writes again.
 */
#define TRIMTAB_EVENT_STORE_RECOVERED 17

/**
 * A backup of the store has been taken; the number is the backup's, the detail says what was added.
 */
#define TRIMTAB_EVENT_STORE_BACKUP_ENDED 18

/**
 * A backup of the store could not be taken, and is as it was before; the number is the backup's, the detail says why.
 */
#define TRIMTAB_EVENT_STORE_BACKUP_FAILED 19

/**
 * Something that lies on the store's disk was found damaged; the detail says what, where, and what is done about it.
 */
#define TRIMTAB_EVENT_STORE_DAMAGED 20

/**
 * What was found damaged is not needed any more: a snapshot up to an entry, the number, stands for it.
 */
#define TRIMTAB_EVENT_STORE_MENDED 21

/**
 * The store was opened, and found something to be looked at: a torn tail that was cut off, a clock that is behind, settings
 * that are not in force; the detail says which.
 */
#define TRIMTAB_EVENT_STORE_OPENED 22

/**
 * This node of the store's cluster has another role; the number is one of `TRIMTAB_NODE_...`.
 */
#define TRIMTAB_EVENT_CLUSTER_ROLE 40

/**
 * `node` is primary, in the epoch that the number is; no name: none is known.
 */
#define TRIMTAB_EVENT_CLUSTER_PRIMARY 41

/**
 * Who is in the cluster has changed; the detail has who votes and who learns.
 */
#define TRIMTAB_EVENT_CLUSTER_MEMBERS 42

/**
 * This node takes no part in its cluster any more; the detail says why, and what to do.
 */
#define TRIMTAB_EVENT_CLUSTER_FENCED 43

/**
 * This node has forgotten what it promised, and votes for nobody until it is taken in again.
 */
#define TRIMTAB_EVENT_CLUSTER_FORGETFUL 44

/**
 * It was.
 */
#define TRIMTAB_EVENT_CLUSTER_READMITTED 45

/**
 * `node` has come to another state than the others, at an entry, the number, or before.
 */
#define TRIMTAB_EVENT_CLUSTER_DIFFERS 46

/**
 * Two processes run as `node`.
 */
#define TRIMTAB_EVENT_CLUSTER_TWO_PROCESSES 47

/**
 * This primary's disk is slow: it hands over to `node`.
 */
#define TRIMTAB_EVENT_CLUSTER_SLOW_DISK 48

/**
 * This learner is fed by `node` from now on; no name: by the primary.
 */
#define TRIMTAB_EVENT_CLUSTER_SOURCE 49

/**
 * A state from another node has taken the place of this one's, up to an entry, the number.
 */
#define TRIMTAB_EVENT_CLUSTER_INSTALLED 50

/**
 * A link to `node` is up.
 */
#define TRIMTAB_EVENT_CLUSTER_LINK_UP 51

/**
 * A link to `node` is over; the detail says why.
 */
#define TRIMTAB_EVENT_CLUSTER_LINK_DOWN 52

/**
 * `node`, as far as it said who it is, is not let in, does not let this one in or cannot be reached, or what it sends is not
 * taken; the detail says why, and what to do. The same is told once in ten minutes.
 */
#define TRIMTAB_EVENT_CLUSTER_REFUSED 53

/**
 * From an entry, the number, on writes are answered with fewer nodes than they asked for; the detail says which lack it.
 */
#define TRIMTAB_EVENT_CLUSTER_DEGRADED 54

/**
 * They are so no longer; the number is how many were.
 */
#define TRIMTAB_EVENT_CLUSTER_RECOVERED 55

/**
 * Too much happened to the cluster at once; the number is how many events of it are not told.
 */
#define TRIMTAB_EVENT_CLUSTER_MISSED 56

/**
 * Made, not started.
 */
#define TRIMTAB_SERVER_NEW 0

/**
 * Accepts and relays.
 */
#define TRIMTAB_SERVER_RUNNING 1

/**
 * Accepts nothing new; its sessions go on.
 */
#define TRIMTAB_SERVER_DRAINING 2

/**
 * Ended.
 */
#define TRIMTAB_SERVER_STOPPED 3

/**
 * What the store was opened with. The default.
 */
#define TRIMTAB_DURABILITY_DEFAULT 0

/**
 * In memory, and on its way to disk: a crash may take it, and what came later, but none of what came before.
 */
#define TRIMTAB_DURABILITY_MEMORY 1

/**
 * On this disk: it is there after a crash.
 */
#define TRIMTAB_DURABILITY_LOCAL 2

/**
 * On the disks of more than half of the voters of a cluster. `TRIMTAB_E_UNSUPPORTED` in a store of one node.
 */
#define TRIMTAB_DURABILITY_QUORUM 3

/**
 * On the disks of all voters of a cluster. `TRIMTAB_E_UNSUPPORTED` in a store of one node.
 */
#define TRIMTAB_DURABILITY_ALL 4

/**
 * Nothing goes: the write is refused. The default.
 */
#define TRIMTAB_EVICTION_REFUSE 0

/**
 * Keys go that were not used for long; those of leases stay.
 */
#define TRIMTAB_EVICTION_LRU 1

/**
 * Keys with a deadline go, the next due first; others stay.
 */
#define TRIMTAB_EVICTION_TTL 2

/**
 * It was done: the answer is what its retry would get.
 */
#define TRIMTAB_REQUEST_APPLIED 1

/**
 * It was not, as of now: it was refused, was lost, or has not come yet. One that is still under way may be done later.
 */
#define TRIMTAB_REQUEST_NOT_APPLIED 2

/**
 * That is not known any more: its number is too far below the client's highest, or nothing is remembered of the client where
 * others may have been forgotten.
 */
#define TRIMTAB_REQUEST_FORGOTTEN 3

/**
 * Puts `value` at `key`, under `condition`, with `lifetime`; with `previous` the answer has what was there.
 */
#define TRIMTAB_OPERATION_PUT 0

/**
 * Deletes `key`, under `condition`; with `previous` the answer has what was there.
 */
#define TRIMTAB_OPERATION_DELETE 1

/**
 * Adds `by` to the number at `key`.
 */
#define TRIMTAB_OPERATION_INCREMENT 2

/**
 * Appends `value` to what `key` has.
 */
#define TRIMTAB_OPERATION_APPEND 3

/**
 * Changes how long `key` lives, to `lifetime`, under `condition`.
 */
#define TRIMTAB_OPERATION_SET_LIFETIME 4

/**
 * Deletes the keys of `range`, at most `limit`.
 */
#define TRIMTAB_OPERATION_DELETE_RANGE 5

/**
 * Reads `key` in its place among the writes.
 */
#define TRIMTAB_OPERATION_GET 6

/**
 * Reads `range` in its place among the writes, at most `limit`; with `reverse` from the last to the first.
 */
#define TRIMTAB_OPERATION_RANGE 7

/**
 * Begins `lease` for `ttl_ms`. Not in a transaction.
 */
#define TRIMTAB_OPERATION_LEASE_GRANT 8

/**
 * Prolongs `lease`. Not in a transaction.
 */
#define TRIMTAB_OPERATION_LEASE_KEEP_ALIVE 9

/**
 * Ends `lease`. Not in a transaction.
 */
#define TRIMTAB_OPERATION_LEASE_REVOKE 10

/**
 * In any case. The default.
 */
#define TRIMTAB_CONDITION_ALWAYS 0

/**
 * If the key is not there.
 */
#define TRIMTAB_CONDITION_ABSENT 1

/**
 * If the key is there.
 */
#define TRIMTAB_CONDITION_PRESENT 2

/**
 * If the key has `version`; 0: if it is not there.
 */
#define TRIMTAB_CONDITION_VERSION 3

/**
 * Of a lifetime: if the key has no deadline.
 */
#define TRIMTAB_CONDITION_NO_DEADLINE 4

/**
 * Of a lifetime: if the key has a deadline.
 */
#define TRIMTAB_CONDITION_DEADLINE 5

/**
 * Of a lifetime: if the new deadline is later. No deadline is after all others.
 */
#define TRIMTAB_CONDITION_LATER 6

/**
 * Of a lifetime: if the new deadline is earlier.
 */
#define TRIMTAB_CONDITION_EARLIER 7

/**
 * Until it is deleted. The default.
 */
#define TRIMTAB_LIFETIME_UNBOUNDED 0

/**
 * As long as before; a new key until it is deleted.
 */
#define TRIMTAB_LIFETIME_KEEP 1

/**
 * Until `deadline_ms`.
 */
#define TRIMTAB_LIFETIME_UNTIL 2

/**
 * For `ttl_ms` from when it is asked for: for a transaction, from when that is committed or submitted.
 */
#define TRIMTAB_LIFETIME_FOR 3

/**
 * As long as `lease` does.
 */
#define TRIMTAB_LIFETIME_LEASE 4

/**
 * The keys from `start` (of an operation, `key`) on and before `end` (of an operation, `value`); an empty end is none,
 * so both empty is all keys. The default.
 */
#define TRIMTAB_RANGE_BETWEEN 0

/**
 * The keys that begin with `start` (of an operation, with `key`); `end` (`value`) must be empty.
 */
#define TRIMTAB_RANGE_PREFIX 1

/**
 * To the last that the backup holds. The default.
 */
#define TRIMTAB_RESTORE_END 0

/**
 * To how it was after the entry `at`.
 */
#define TRIMTAB_RESTORE_SEQUENCE 1

/**
 * To how it was at the time `at`, in milliseconds since 1970, by the store's clock.
 */
#define TRIMTAB_RESTORE_TIME 2

/**
 * The sequence of the key's last change; 0: it is not there.
 */
#define TRIMTAB_COMPARE_VERSION 0

/**
 * The sequence that created the key; 0: it is not there.
 */
#define TRIMTAB_COMPARE_CREATED 1

/**
 * How often it was changed, its creation included; 0: it is not there.
 */
#define TRIMTAB_COMPARE_CHANGES 2

/**
 * The key's lease; 0: none.
 */
#define TRIMTAB_COMPARE_LEASE 3

/**
 * What the key has is the same.
 */
#define TRIMTAB_RELATION_EQUAL 0

/**
 * It is not the same.
 */
#define TRIMTAB_RELATION_NOT_EQUAL 1

/**
 * What the key has is less.
 */
#define TRIMTAB_RELATION_LESS 2

/**
 * What the key has is greater.
 */
#define TRIMTAB_RELATION_GREATER 3

/**
 * What comes next is not kept any more: `sequence` is the first that can still be watched from. The watch stays where it
 * is, and says so again: end it, read the range (`trimtab_store_scan_new`), and watch from behind
 * `trimtab_store_scan_sequence`.
 */
#define TRIMTAB_CHANGE_COMPACTED 0

/**
 * A value was put.
 */
#define TRIMTAB_CHANGE_PUT 1

/**
 * A number was added to.
 */
#define TRIMTAB_CHANGE_INCREMENTED 2

/**
 * A value was appended to.
 */
#define TRIMTAB_CHANGE_APPENDED 3

/**
 * The lifetime was changed, the value not.
 */
#define TRIMTAB_CHANGE_LIFETIME_SET 4

/**
 * The key was deleted.
 */
#define TRIMTAB_CHANGE_DELETED 5

/**
 * The key, or its lease, has expired.
 */
#define TRIMTAB_CHANGE_EXPIRED 6

/**
 * The key was taken out to make room.
 */
#define TRIMTAB_CHANGE_EVICTED 7

/**
 * The lease of the key was revoked.
 */
#define TRIMTAB_CHANGE_REVOKED 8

/**
 * It orders the writes.
 */
#define TRIMTAB_NODE_PRIMARY 1

/**
 * It follows, and votes.
 */
#define TRIMTAB_NODE_REPLICA 2

/**
 * It asks for votes.
 */
#define TRIMTAB_NODE_CANDIDATE 3

/**
 * It follows without a vote.
 */
#define TRIMTAB_NODE_LEARNER 4

/**
 * It takes no part: it belongs to no cluster yet, or to none any more, or its log has stopped.
 */
#define TRIMTAB_NODE_IDLE 5

/**
 * It takes part.
 */
#define TRIMTAB_STANDING_ACTIVE 1

/**
 * It has forgotten something that it promised: it follows, and votes for nobody, until it is taken in again.
 */
#define TRIMTAB_STANDING_FORGETFUL 2

/**
 * It takes no part any more, as the others have decided.
 */
#define TRIMTAB_STANDING_FENCED 3

/**
 * Its log has stopped, or it met something that only a later release knows.
 */
#define TRIMTAB_STANDING_FAILED 4

/**
 * It begins a new cluster with others, and does not know yet that enough of them are new too: it votes for nobody.
 */
#define TRIMTAB_STANDING_FOUNDING 5

/**
 * The role, the epoch or the primary has changed: `role`, `epoch`, and `name`, the primary; NULL while none is known.
 */
#define TRIMTAB_CLUSTER_ROLE 1

/**
 * Who is in the cluster has changed: `name` has the names of those who vote, `detail` those of learners, with commas between
 * them.
 */
#define TRIMTAB_CLUSTER_MEMBERS 2

/**
 * This node takes no part any more: `detail` says why, and what to do.
 */
#define TRIMTAB_CLUSTER_FENCED 3

/**
 * This node has forgotten something, and asks to be taken in again.
 */
#define TRIMTAB_CLUSTER_FORGETFUL 4

/**
 * It was.
 */
#define TRIMTAB_CLUSTER_READMITTED 5

/**
 * The node `name` has come to another state than the others, at the entry `number` or before.
 */
#define TRIMTAB_CLUSTER_DIFFERS 6

/**
 * Two processes run as the node `name`.
 */
#define TRIMTAB_CLUSTER_TWO_PROCESSES 7

/**
 * This primary's disk is slow: it hands over to `name`.
 */
#define TRIMTAB_CLUSTER_SLOW_DISK 8

/**
 * A state from another node has taken the place of this one's, up to the entry `number`: watches begin anew.
 */
#define TRIMTAB_CLUSTER_INSTALLED 9

/**
 * A link to the node `name` is up.
 */
#define TRIMTAB_CLUSTER_LINK_UP 10

/**
 * A link to the node `name` is over: `detail` says why.
 */
#define TRIMTAB_CLUSTER_LINK_DOWN 11

/**
 * The node `name`, as far as it said who it is, is not let in, or does not let this one in: `detail` says why, and what to do.
 */
#define TRIMTAB_CLUSTER_REFUSED 12

/**
 * `number` events that nobody took went by.
 */
#define TRIMTAB_CLUSTER_MISSED 13

/**
 * This learner is fed by the node `name` from now on; NULL: by the primary.
 */
#define TRIMTAB_CLUSTER_SOURCE 14

/**
 * Something that lies on this node's disk was found damaged: `name` is the file (empty where none is to blame), `number` the
 * first byte in it that cannot be trusted, `detail` what is wrong and what is done about it.
 */
#define TRIMTAB_CLUSTER_DAMAGED 15

/**
 * What was found damaged is not needed any more: a snapshot up to the entry `number` stands for it.
 */
#define TRIMTAB_CLUSTER_MENDED 16

/**
 * Writes begin to be answered with fewer nodes than they asked for, see `trimtab_cluster_options_set_degrade_after_ms`: `number` is
 * the entry of the first, `name` has the names of the voters that lack it, with commas between them.
 */
#define TRIMTAB_CLUSTER_DEGRADED 17

/**
 * They do so no longer, since those have caught up, or this node is primary no longer: `number` writes were so answered.
 */
#define TRIMTAB_CLUSTER_RECOVERED 18

/**
 * The store's default.
 */
#define TRIMTAB_READ_DEFAULT 0

/**
 * It sees all that was answered at `TRIMTAB_DURABILITY_QUORUM` or more before the read, whichever node it is asked of.
 */
#define TRIMTAB_READ_PRIMARY 1

/**
 * It sees what is on this node, no older than `age_max_ms`.
 */
#define TRIMTAB_READ_REPLICA 2

/**
 * It sees what is on this node, however old.
 */
#define TRIMTAB_READ_LOCAL 3

/**
 * A node whose directory is empty begins a new cluster, with all others that are told so. The default.
 */
#define TRIMTAB_BEGINNING_NEW 0

/**
 * The cluster is there already: it waits to be added, or, as a member whose directory was lost, to be taken in again.
 */
#define TRIMTAB_BEGINNING_JOIN 1

/**
 * The directory has a store of one node, which becomes the first node of a new cluster, with all it has; the others are added
 * to it, and opened with `TRIMTAB_BEGINNING_JOIN`. Of no account later on.
 */
#define TRIMTAB_BEGINNING_ADOPT 2

/**
 * The file system says whether the directory was copied. The default.
 */
#define TRIMTAB_DIRECTORY_DETECT 0

/**
 * It is as the node left it, though it was moved.
 */
#define TRIMTAB_DIRECTORY_ORIGINAL 1

/**
 * It was put back from a copy: the node votes for nobody until the others have taken it in again.
 */
#define TRIMTAB_DIRECTORY_COPY 2

/**
 * The node is to be the primary, by force, with what is in it; all who voted before are out. For when they are gone for
 * good, and once.
 */
#define TRIMTAB_DIRECTORY_PROMOTED 3

/**
 * A backend to add to a pool. Adding copies it, so one description may be changed and added again, to this
 * pool or another.
 */
typedef struct trimtab_backend trimtab_backend;

/**
 * A health check of one backend, for a host that runs probes on its own loop. It has no socket, clock or thread: the
 * host tells what happened to the probe's connection, of which there is one at a time, and takes steps:
 *
 * ```c
 * for (;;) {
 *     trimtab_check_take_step(check, 0, &step);
 *     if (step.kind == TRIMTAB_STEP_WAIT) break;
 *     ... do it ...
 * }
 * ... wait for the connection, until step.deadline_ns at most ...
 * ```
 *
 * One thread at a time may use the same check. It keeps nothing that a child made by `fork` must not use.
 */
typedef struct trimtab_check trimtab_check;

/**
 * How a cluster was, as one of its nodes saw it, when `trimtab_store_cluster` made this. Any number of threads may read it.
 */
typedef struct trimtab_cluster trimtab_cluster;

/**
 * Follows what happens to the cluster of a store. It holds a position and a descriptor; a slow one delays nobody, and of more
 * than 1,024 events that it did not take it is told how many.
 *
 * One thread at a time may use the same one.
 */
typedef struct trimtab_cluster_events trimtab_cluster_events;

/**
 * How a store is a member of a cluster. Say who the members are and how links are secured, set what differs from the
 * defaults, hand it to `trimtab_store_join` as often as needed, free it. What does not fit together, or is out of range, is
 * refused there.
 *
 * The functions `trimtab_cluster_...`, `trimtab_store_join` and those for members are there in a library built with the
 * features `proxy` and `replication`, which every release is; `trimtab_feature_has` tells.
 */
typedef struct trimtab_cluster_options trimtab_cluster_options;

/**
 * A set of backends a policy picks from. Every function that takes one may be called by any thread at any
 * time; `trimtab_pool_free` alone must come last.
 *
 * A change takes effect as a whole, and when its function returns no pick that contradicts it is handed out
 * any more. Changes cost time in proportion to the number of backends; picks do not wait for them.
 *
 * After `fork` parent and child go on with a pool each, with the same backends and the picks then in
 * flight; the child's is no server's any more. Their draws go on in step too: make a pool per worker, or
 * fork first.
 */
typedef struct trimtab_pool trimtab_pool;

/**
 * How a pool is to be made. Set what differs from the defaults, hand it to `trimtab_pool_new` as often as
 * needed, free it. A pool keeps nothing of it.
 */
typedef struct trimtab_pool_options trimtab_pool_options;

/**
 * What a promotion by force came to, when `trimtab_store_promote_directory` made this. Any number of threads may read it.
 */
typedef struct trimtab_promotion trimtab_promotion;

/**
 * Listeners that relay connections to pools, made from one configuration. It runs on threads of its own
 * (`trimtab_server_start`) or on the caller's, in the caller's loop (`trimtab_server_start_hosted`).
 *
 * Any thread may call anything at any time, where a function says nothing else; `trimtab_server_free` alone
 * must come last.
 *
 * After `fork` the server is the parent's alone. In the child `trimtab_server_free` lets go of it, and every
 * other function answers `TRIMTAB_E_FORKED`; none of them waits.
 *
 * The functions `trimtab_server_...` are there in a library built with the feature `proxy`, which every
 * release is; `trimtab_feature_has` tells.
 */
typedef struct trimtab_server trimtab_server;

/**
 * Keys and values in memory, every change in a write-ahead log first: a store in a directory, opened by
 * `trimtab_store_open`, or that of a server, by `trimtab_server_store`.
 *
 * ```c
 * trimtab_store *store = NULL;
 * trimtab_store_open(trimtab_str_of("data"), NULL, &store);
 * trimtab_store_put(store, key, value, NULL, NULL);
 * trimtab_store_get_copy(store, key, buffer, sizeof buffer, &length, &version);
 * trimtab_store_close(store);
 * trimtab_store_free(store);
 * ```
 *
 * A key has 0 to 65536 bytes, a value 0 to `value_max`. Keys are in the order of their bytes.
 *
 * Any thread may call anything at any time; `trimtab_store_free` alone must come last. Reads wait for no disk. What was
 * made of the store (scans, queues, watches) may be freed before it or after.
 *
 * On a member of a cluster (`trimtab_store_join`, and a server's store that is one) `trimtab_store_get`, `..._get_copy`, `..._count`,
 * `..._scan_new` and `..._lease_read` block until what is here is as fresh as `trimtab_cluster_options_set_read` says, for the store's
 * `timeout_ms` at most, and for a primary no longer than `patience_ms` (3 s); not on a primary that holds its quorum. They return
 * then, beside what they list, what `trimtab_store_get_at` does: `TRIMTAB_E_NOT_PRIMARY`, `TRIMTAB_E_NO_QUORUM`, `TRIMTAB_E_STATE`
 * and `TRIMTAB_E_TIMED_OUT`. That one and its like (`..._count_at`, `..._scan_new_at`, `..._lease_read_at`) take a time of their own.
 *
 * Whatever takes a store or what was made of it may return, beside what it lists, `TRIMTAB_E_STATE` once the store is
 * closed. After `fork` it is the parent's alone: in the child each of them answers `TRIMTAB_E_FORKED`, and `_free` lets
 * go of it.
 *
 * Each function that writes may return, beside what it lists:
 *
 * - `TRIMTAB_E_INVALID_ARGUMENT`: a key or value that is too long, and the like; nothing was done;
 * - `TRIMTAB_E_UNSUPPORTED`: a durability that needs replication; nothing was done;
 * - `TRIMTAB_E_CAPACITY`: `memory_max`, `disk_bytes_max` or `waiting_max` is reached; nothing was done;
 * - `TRIMTAB_E_NOT_FOUND`: the lease has ended; nothing was done;
 * - `TRIMTAB_E_NOT_PRIMARY`, in a cluster, from a node that does not forward; nothing was done;
 * - `TRIMTAB_E_NO_QUORUM`, in a cluster: no primary was found within `patience_ms`, or it holds no quorum; nothing was done;
 * - `TRIMTAB_E_SUPERSEDED`, in a cluster: another primary's writes took the place of this one; it was not done, and will not be;
 * - `TRIMTAB_E_UNKNOWN_OUTCOME`, in a cluster: the primary was lost before it said what came of it; it may have been done, or
 *   still be;
 * - `TRIMTAB_E_TIMED_OUT`: it may be done, or not, or still be. In both cases it can be sent again if it had a `client` and a
 *   `number`, with the same ones, and is not done twice; or `trimtab_store_outcome` tells. Without, only what is there tells;
 * - `TRIMTAB_E_IO`: the disk is full, and nothing was done; or it has failed: nothing more is taken, and whether this was
 *   done is known when the store is opened again;
 * - `TRIMTAB_E_STATE`: the store is closed; or, of a request, its answer is forgotten, or is none of this kind of operation: a
 *   number names one request, see `trimtab_store_call`; the detail has `the request` then. This call did nothing
 *   either way; that of before, under the same number, may have.
 *
 * The functions `trimtab_store_...` and `trimtab_txn_...` are there in a library built with the feature `store`, which
 * every release is; `trimtab_feature_has` tells.
 */
typedef struct trimtab_store trimtab_store;

/**
 * What a call gave back: its result, and entries. Whoever got it ends it with `trimtab_store_answer_free`. It is not the
 * store's: it stays as it is when the store is closed or freed, and in a child made by `fork`.
 *
 * Any number of threads may read the same answer.
 */
typedef struct trimtab_store_answer trimtab_store_answer;

/**
 * How a store is to be opened. Set what differs from the defaults, hand it to `trimtab_store_open` as often as
 * needed, free it. A store keeps nothing of it.
 */
typedef struct trimtab_store_options trimtab_store_options;

/**
 * Calls under way, and those that are done and not taken, for hosts with a loop of their own: submit, wait for the
 * descriptor to be readable (`poll`, `epoll`), take what is done.
 *
 * Each call that was taken in is completed exactly once, also when the store is closed meanwhile. Any thread may use the
 * same queue at any time.
 */
typedef struct trimtab_store_queue trimtab_store_queue;

/**
 * The keys of a range, one after the other, as they were when it was made, whatever is written meanwhile:
 *
 * ```c
 * trimtab_store_scan_new(store, TRIMTAB_RANGE_PREFIX, trimtab_bytes_of("user/", 5), none, 0, 0, &scan);
 * while (trimtab_store_scan_next(scan, &entry, &has) == TRIMTAB_OK && has) {
 *     ... entry.key, entry.value ...
 * }
 * trimtab_store_scan_free(scan);
 * ```
 *
 * What has been replaced since stays in memory until it is freed. One thread at a time may use the same scan.
 */
typedef struct trimtab_store_scan trimtab_store_scan;

/**
 * Follows the keys of a range from a sequence on, in order and without a gap. It holds a position and a descriptor: a slow
 * one delays nobody, and is told (`TRIMTAB_CHANGE_COMPACTED`) when what it has not seen is not kept any more.
 *
 * One thread at a time may use the same watch.
 */
typedef struct trimtab_store_watch trimtab_store_watch;

/**
 * Operations on several keys that are seen whole or not at all: if all comparisons hold, those of `then`, in order, if
 * not, those of `otherwise`. Each sees what those before it have done.
 *
 * It is the caller's, belongs to no store, and may be committed as often as wanted. One thread at a time may change it.
 */
typedef struct trimtab_txn trimtab_txn;

/**
 * How a call went: 0 is good, errors are negative. A code keeps its number and its meaning for ever; new
 * ones may come, so treat one you do not know as an error.
 */
typedef int32_t trimtab_status;

/**
 * Text as it enters: UTF-8, no NUL needed. NULL with a length of 0 is the empty string. It is read during
 * the call only.
 */
typedef struct trimtab_str {
    /**
     * The first byte.
     */
    const char *data;
    /**
     * How many bytes.
     */
    size_t len;
} trimtab_str;

/**
 * When a backend that fails more than others is ejected, and for how long. What is observed of it is
 * `TRIMTAB_OBSERVED_EJECTED` meanwhile.
 */
typedef struct trimtab_outlier {
    /**
     * `sizeof(trimtab_outlier)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * How many errors in a row eject, 1 to 10000; 0 for any number. Default 5.
     */
    uint32_t consecutive_errors;
    /**
     * How often rates are compared, in milliseconds: 100 to 3600000. Default 10000.
     */
    uint64_t interval_ms;
    /**
     * How long the first ejection lasts, in milliseconds: 100 to 86400000. Default 30000. The next in a row lasts
     * twice as long, and so on.
     */
    uint64_t ejection_time_ms;
    /**
     * How long one lasts at most, in milliseconds: `ejection_time_ms` to 86400000. Default 300000.
     */
    uint64_t ejection_time_max_ms;
    /**
     * How much longer one may last, at random, in milliseconds: 0 to 3600000. Default 1000.
     */
    uint64_t ejection_jitter_ms;
    /**
     * How many of the backends may be ejected, in percent: 0 (never one) to 100. One may be from 1 on. Default 10.
     */
    uint32_t ejection_percent_max;
    /**
     * Whether success rates are compared with each other: 1, the default, or 0.
     */
    uint32_t success_rate;
    /**
     * How many standard deviations below the mean are too many: 0 to 10. Default 1.9.
     */
    double success_rate_factor;
    /**
     * How many backends must have had enough outcomes: 2 to 65536. Default 5.
     */
    uint32_t success_rate_hosts_min;
    /**
     * How many outcomes in an interval are enough: from 1 on. Default 100.
     */
    uint32_t success_rate_requests_min;
    /**
     * Which share of failures in an interval is too much, in percent: 1 to 100; 0, the default, for any.
     */
    uint32_t failure_percent;
    /**
     * How many backends must have had enough outcomes: 1 to 65536. Default 5.
     */
    uint32_t failure_hosts_min;
    /**
     * How many outcomes in an interval are enough: from 1 on. Default 50.
     */
    uint32_t failure_requests_min;
    /**
     * 0.
     */
    uint32_t reserved;
} trimtab_outlier;

/**
 * How the most picks in flight are found by response times.
 */
typedef struct trimtab_adaptive {
    /**
     * `sizeof(trimtab_adaptive)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Whose picks are limited: one of `TRIMTAB_SCOPE_...`. Default `TRIMTAB_SCOPE_BACKEND`.
     */
    int32_t scope;
    /**
     * The least the limit is, and where it starts, in picks: 1 to 1000000. Default 3.
     */
    uint32_t min;
    /**
     * The most it is, in picks: `min` to 1000000. Default 1000.
     */
    uint32_t max;
    /**
     * How often it is set anew, in milliseconds: 10 to 60000. Default 100.
     */
    uint64_t window_ms;
    /**
     * Which of a window's response times stands for them, a share: 0.01 to 1. Default 0.5.
     */
    double percentile;
    /**
     * How often the response time of a backend that is hardly used is measured, in milliseconds: 1000 to
     * 86400000. Default 60000.
     */
    uint64_t rtt_interval_ms;
    /**
     * How much later than that it may be, at random, a share: 0 to 1. Default 0.15.
     */
    double rtt_jitter;
    /**
     * How much slower than that is no reason for a lower limit, a share: 0 to 10. Default 0.25.
     */
    double rtt_buffer;
    /**
     * How many response times measuring takes: 1 to 1000000. Default 50.
     */
    uint32_t rtt_requests;
    /**
     * Whether the limit is `min` meanwhile: 1, the default, or 0.
     */
    uint32_t rtt_pins;
} trimtab_adaptive;

/**
 * Bytes as they enter. NULL with a length of 0 is empty. They are read during the call only.
 */
typedef struct trimtab_bytes {
    /**
     * The first byte.
     */
    const void *data;
    /**
     * How many bytes.
     */
    size_t len;
} trimtab_bytes;

/**
 * The answer to a pick. It counts as in flight on its backend until its token is given to
 * `trimtab_pool_done`.
 */
typedef struct trimtab_pick {
    /**
     * `sizeof(trimtab_pick)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * One of `TRIMTAB_FAMILY_...`.
     */
    uint32_t family;
    /**
     * Which backend: its id.
     */
    uint64_t backend;
    /**
     * The host's own number for it.
     */
    uint64_t tag;
    /**
     * What `trimtab_pool_done` takes.
     */
    uint64_t token;
    /**
     * The address in network order: the first 4 bytes for IPv4, all 16 for IPv6. The rest is 0.
     */
    uint8_t ip[16];
    /**
     * The zone of a link-local IPv6 address, else 0.
     */
    uint32_t scope_id;
    /**
     * In the host's byte order; 0 for a unix socket.
     */
    uint16_t port;
    /**
     * 0.
     */
    uint16_t reserved;
} trimtab_pick;

/**
 * How long a pick took, from when it began, in nanoseconds; `TRIMTAB_NO_TIME` for what was not measured or
 * never came. The response time that policies use is the first of `first_byte_ns`, `total_ns` and
 * `connect_ns` that is there.
 */
typedef struct trimtab_timings {
    /**
     * `sizeof(trimtab_timings)`, set by the caller.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Until the connection stood.
     */
    uint64_t connect_ns;
    /**
     * Until the first byte of the answer.
     */
    uint64_t first_byte_ns;
    /**
     * Until the last.
     */
    uint64_t total_ns;
} trimtab_timings;

/**
 * Something that happened in a pool; nothing is told per pick, except `TRIMTAB_EVENT_ROOM` while somebody waits. Each
 * text ends with a NUL that its `_len` does not count, is empty where there is nothing to say, and is never NULL.
 * Texts and struct are trimtab's: they are good until the callback returns.
 */
typedef struct trimtab_pool_event {
    /**
     * The size of this struct as the library has it: fields beyond it are not there.
     */
    uint32_t struct_size;
    /**
     * What happened: one of `TRIMTAB_EVENT_BACKEND_...`, `TRIMTAB_EVENT_PANIC_...` or `TRIMTAB_EVENT_ROOM`. Later
     * releases have more of them.
     */
    int32_t kind;
    /**
     * What there is now, as the kind tells; else 0.
     */
    uint32_t number;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The backend that it happened to; 0 where it is none.
     */
    uint64_t backend;
    /**
     * Its name.
     */
    const char *name;
    /**
     * Its length in bytes.
     */
    size_t name_len;
    /**
     * Why, in one line, when that was said.
     */
    const char *reason;
    /**
     * Its length in bytes.
     */
    size_t reason_len;
} trimtab_pool_event;

/**
 * Gets a pool's events, with the `user_data` that came with it.
 *
 * It runs on the thread whose call on the pool made the event happen, before that call returns, after the change took
 * effect. Two threads may be in it at once, and changes that two threads make at once may be told in either order. No
 * lock is held meanwhile, so it may call anything on the pool, which may tell more events before it returns;
 * `trimtab_pool_free` alone does nothing on a pool whose event this thread is being told. It must not block for long:
 * a pick or a done may be waiting. It must return: no exception and no `longjmp` may leave it. None runs after
 * `trimtab_pool_free` has returned. In a child made by `fork` it is told of what the child's copy of the pool does.
 */
typedef void (*trimtab_pool_event_fn)(const struct trimtab_pool_event *event, void *user_data);

/**
 * What a pool counted. The figures of one answer are read one after another, so under load they may differ
 * by what happened in between.
 */
typedef struct trimtab_pool_statistics {
    /**
     * `sizeof(trimtab_pool_statistics)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Backends in the pool.
     */
    uint32_t backends;
    /**
     * Backends that may be picked now.
     */
    uint32_t serving;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Picks made of the backends now in the pool.
     */
    uint64_t picks;
    /**
     * Of these, not reported done.
     */
    uint64_t in_flight;
    /**
     * Picks that found no backend.
     */
    uint64_t refused;
    /**
     * The most picks in flight now: the pool's `maxconn`, or a lower one found by response times; 0 for none.
     */
    uint32_t limit;
    /**
     * Whether a tier panics: it serves whatever is observed of its backends. 1 or 0; explain tells which tier.
     */
    uint32_t panic;
    /**
     * How many wait for a place.
     */
    uint64_t pending;
    /**
     * Retries in flight.
     */
    uint32_t retries;
    /**
     * Backends that are ejected now, by whoever it was.
     */
    uint32_t ejected;
    /**
     * Retries that were not within the budget.
     */
    uint64_t retries_refused;
    /**
     * How often a backend was ejected as an outlier.
     */
    uint64_t ejections;
} trimtab_pool_statistics;

/**
 * What was counted of one backend since it was added.
 */
typedef struct trimtab_backend_statistics {
    /**
     * `sizeof(trimtab_backend_statistics)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Its weight now.
     */
    uint32_t weight;
    /**
     * Its limit; 0 for none.
     */
    uint32_t maxconn;
    /**
     * Its tier.
     */
    uint32_t tier;
    /**
     * What was ordered, one of `TRIMTAB_ADMIN_...`.
     */
    int32_t admin;
    /**
     * What was observed, one of `TRIMTAB_OBSERVED_...`.
     */
    int32_t observed;
    /**
     * Whether it may be picked now, its `maxconn` aside: 1 or 0.
     */
    uint32_t serving;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Which one.
     */
    uint64_t id;
    /**
     * The host's own number for it.
     */
    uint64_t tag;
    /**
     * Picks made.
     */
    uint64_t picks;
    /**
     * Picks not reported done.
     */
    uint64_t in_flight;
    /**
     * Picks reported done, by how they went: it answered.
     */
    uint64_t success;
    /**
     * It could not be reached.
     */
    uint64_t connect_failed;
    /**
     * It answered with an error, or broke off.
     */
    uint64_t failed;
    /**
     * It did not answer in time.
     */
    uint64_t timed_out;
    /**
     * The client left.
     */
    uint64_t cancelled;
    /**
     * The mean of the response times reported with success, in nanoseconds; 0 when there was none.
     */
    uint64_t response_mean_ns;
    /**
     * The part of new picks it is due, 0 to 1: its weight over all, or what its policy measured.
     */
    double share;
    /**
     * The most picks in flight now: its `maxconn`, or a lower one found by response times; 0 for none.
     */
    uint32_t limit;
    /**
     * Errors in a row, where outliers are ejected.
     */
    uint32_t consecutive_errors;
    /**
     * The most picks a second; 0 for no limit.
     */
    uint32_t connection_rate;
    /**
     * How many of them may come at once; 0 for one second's.
     */
    uint32_t connection_burst;
    /**
     * When it came to be observed so, on the pool's clock; `TRIMTAB_NO_TIME` while nobody has said. The reason is
     * `trimtab_pool_reason_copy`'s.
     */
    uint64_t observed_since_ns;
    /**
     * The part of its weight that counts: below 1 while it starts slowly.
     */
    double slow_start;
} trimtab_backend_statistics;

/**
 * What a check wants done.
 */
typedef struct trimtab_check_step {
    /**
     * `sizeof(trimtab_check_step)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * One of `TRIMTAB_STEP_...`.
     */
    int32_t kind;
    /**
     * When to take the next step if nothing happens before, on the clock of the `now_ns` arguments, or
     * `TRIMTAB_NO_TIME` for never.
     */
    uint64_t deadline_ns;
    /**
     * What is to be written. It is the check's, good until the next call on it.
     */
    const void *data;
    /**
     * How many bytes.
     */
    size_t len;
} trimtab_check_step;

/**
 * How a backend stands by its check.
 */
typedef struct trimtab_check_status {
    /**
     * `sizeof(trimtab_check_status)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * What is observed: `TRIMTAB_OBSERVED_UNKNOWN`, `TRIMTAB_OBSERVED_UP` or `TRIMTAB_OBSERVED_DOWN`.
     */
    int32_t observed;
    /**
     * Since when, on the clock of the `now_ns` arguments.
     */
    uint64_t since_ns;
    /**
     * Good verdicts in a row.
     */
    uint32_t good_in_a_row;
    /**
     * Bad verdicts in a row.
     */
    uint32_t bad_in_a_row;
    /**
     * Probes begun.
     */
    uint64_t probes;
    /**
     * Bad verdicts, timeouts included.
     */
    uint64_t failed;
    /**
     * What the last good probe learnt: one of `TRIMTAB_ROLE_...`.
     */
    int32_t role;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * How far a replica is behind, in nanoseconds; `TRIMTAB_NO_TIME` where that is not told.
     */
    uint64_t lag_ns;
    /**
     * How far it is behind what it has received, in bytes of log; UINT64_MAX where that is not told.
     */
    uint64_t lag_bytes;
    /**
     * What the last answer of an agent ordered, one of `TRIMTAB_ADMIN_...` for `trimtab_pool_set_admin`, or
     * `TRIMTAB_NOT_ORDERED`. It is the host's to carry out.
     */
    int32_t ordered_admin;
    /**
     * The weight it ordered, in percent of the configured one, 0 to 10,000, or `TRIMTAB_NOT_ORDERED`. A server takes 0
     * for an order to drain.
     */
    int32_t ordered_weight_percent;
    /**
     * The most connections it ordered, 0 to 4,294,967,295, or `TRIMTAB_NOT_ORDERED`. A server takes `TRIMTAB_MAXCONN_MAX`
     * for what is above that.
     */
    int64_t ordered_maxconn;
} trimtab_check_status;

/**
 * Something an operator would want to know; nothing is told per connection. Each text ends with a NUL that
 * its `_len` does not count, is empty where there is nothing to say, and is never NULL. Texts and struct are
 * trimtab's: they are good until the callback returns.
 */
typedef struct trimtab_event {
    /**
     * The size of this struct as the library has it: fields beyond it are not there.
     */
    uint32_t struct_size;
    /**
     * What happened: one of `TRIMTAB_EVENT_...`. Later releases have more of them.
     */
    int32_t kind;
    /**
     * What a backend or a node changed to, how many, or an entry of the log, as the kind tells; else 0. What is more than
     * fits is the most that does: `value` has it whole.
     */
    uint32_t number;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The kind in a word for logs, like `backend-admin`.
     */
    const char *name;
    /**
     * Its length in bytes.
     */
    size_t name_len;
    /**
     * The listener that it happened to.
     */
    const char *listener;
    /**
     * Its length in bytes.
     */
    size_t listener_len;
    /**
     * The pool that it happened in.
     */
    const char *pool;
    /**
     * Its length in bytes.
     */
    size_t pool_len;
    /**
     * The name of the backend that it happened to.
     */
    const char *backend;
    /**
     * Its length in bytes.
     */
    size_t backend_len;
    /**
     * What a backend changed to, or how many, in a word or digits, like `drain` or `7`.
     */
    const char *value;
    /**
     * Its length in bytes.
     */
    size_t value_len;
    /**
     * More in words, one line.
     */
    const char *detail;
    /**
     * Its length in bytes.
     */
    size_t detail_len;
    /**
     * The name of the node of the store's cluster that it is about.
     */
    const char *node;
    /**
     * Its length in bytes.
     */
    size_t node_len;
} trimtab_event;

/**
 * Gets a server's events, with the `user_data` that came with it.
 *
 * It runs on the thread that made the event happen: one of the server's own, the one that turns a hosted
 * server, or one that is in a call on the server or on one of its pools. Two threads may be in it at once. No
 * lock is held meanwhile, so it may call anything on the server and its pools except `trimtab_server_turn`,
 * which answers `TRIMTAB_E_STATE`, and `trimtab_server_free`, which does nothing; `trimtab_server_wait`
 * answers `TRIMTAB_E_STATE` on a thread of the server's own. It must not block for long: that thread's
 * sessions wait. It must return: no exception and no `longjmp` may leave it. None runs after
 * `trimtab_server_free` has returned, nor in a child made by `fork`.
 */
typedef void (*trimtab_event_fn)(const struct trimtab_event *event, void *user_data);

/**
 * What a server counted since it was started, all listeners together. The figures of one answer are read one
 * after another, so under load they may differ by what happened in between.
 */
typedef struct trimtab_server_statistics {
    /**
     * `sizeof(trimtab_server_statistics)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Sessions at present.
     */
    uint64_t sessions;
    /**
     * Clients that wait for a place at a backend at present.
     */
    uint64_t waiting;
    /**
     * Connections accepted.
     */
    uint64_t accepted;
    /**
     * Sessions that ended after both sides had.
     */
    uint64_t finished;
    /**
     * Sessions that ended otherwise; the listeners' statistics tell how.
     */
    uint64_t failed;
    /**
     * Attempts at another backend after one could not be reached.
     */
    uint64_t retries;
    /**
     * Bytes delivered to backends.
     */
    uint64_t bytes_to_backends;
    /**
     * Bytes delivered to clients.
     */
    uint64_t bytes_to_clients;
} trimtab_server_statistics;

/**
 * What a server counted of one listener since it was started.
 */
typedef struct trimtab_listener_statistics {
    /**
     * `sizeof(trimtab_listener_statistics)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Its limit; 0 for none.
     */
    uint32_t maxconn;
    /**
     * Sessions at present.
     */
    uint64_t sessions;
    /**
     * Connections accepted.
     */
    uint64_t accepted;
    /**
     * Attempts to accept that failed: aborted connections, and each time no descriptor was free.
     */
    uint64_t accept_errors;
    /**
     * Attempts at another backend after one could not be reached.
     */
    uint64_t retries;
    /**
     * Sessions that had to wait for a place at a backend.
     */
    uint64_t queued;
    /**
     * Bytes delivered to backends.
     */
    uint64_t bytes_to_backends;
    /**
     * Bytes delivered to clients.
     */
    uint64_t bytes_to_clients;
    /**
     * Sessions that ended, by cause: both sides ended their half.
     */
    uint64_t closed_finished;
    /**
     * The client broke off.
     */
    uint64_t closed_client_reset;
    /**
     * The backend broke off.
     */
    uint64_t closed_backend_reset;
    /**
     * The client left before it had a backend.
     */
    uint64_t closed_client_left;
    /**
     * What should have been a PROXY header is none.
     */
    uint64_t closed_header_invalid;
    /**
     * The PROXY header took too long.
     */
    uint64_t closed_header_timeout;
    /**
     * No backend could be picked.
     */
    uint64_t closed_no_backend;
    /**
     * Backends could not be reached, as many as may be tried.
     */
    uint64_t closed_connect_failed;
    /**
     * The queue for a backend was full.
     */
    uint64_t closed_queue_full;
    /**
     * No backend came free in time.
     */
    uint64_t closed_queue_timeout;
    /**
     * Silence in both directions.
     */
    uint64_t closed_idle_timeout;
    /**
     * Silence after one side had ended its half.
     */
    uint64_t closed_half_closed_timeout;
    /**
     * The server stopped.
     */
    uint64_t closed_stopped;
    /**
     * The system had no descriptor or memory for the backend's connection.
     */
    uint64_t closed_no_descriptor;
    /**
     * A backend could not be reached, and the retry budget had no try at another one left.
     */
    uint64_t closed_retry_refused;
    /**
     * As many waited for the pool as may.
     */
    uint64_t closed_pending_full;
    /**
     * Its backend went down, and the pool's sessions are cut then.
     */
    uint64_t closed_backend_down;
} trimtab_listener_statistics;

/**
 * How a call that writes is to go. NULL in its place, and 0 in each field, is the default.
 */
typedef struct trimtab_store_call {
    /**
     * `sizeof(trimtab_store_call)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * What is to be reached before it is answered: one of `TRIMTAB_DURABILITY_...`; 0: what the store was opened with.
     */
    int32_t durability;
    /**
     * How long to wait for the answer, in milliseconds; 0: the store's `timeout_ms`, negative: for ever. What is
     * submitted to a queue does not wait, and leaves it unread.
     */
    int64_t timeout_ms;
    /**
     * The request's number, counted up by the client, one for each request. Read only if `client` is not all 0. It names that
     * one request for good: whoever sends it again sends the same operation. No more is compared than which kind of answer
     * that has: where another kind is remembered, as of a deletion for an increment, the call is `TRIMTAB_E_STATE`; where it
     * is the same kind, as of a put for a put of another key, nothing is done and the answer is what came of the first,
     * `is_repeated`.
     */
    uint64_t number;
    /**
     * Who asks, so that the call may be sent again without being done twice: any 16 bytes that no other client uses.
     * All 0: it will not be sent again.
     */
    uint8_t client[16];
    /**
     * In a cluster, on how many nodes' disks it is to be, learners among them, beside those of a quorum; 0: as `durability`
     * says.
     */
    uint32_t nodes;
    /**
     * 0.
     */
    uint32_t reserved;
} trimtab_store_call;

/**
 * How a store is.
 */
typedef struct trimtab_store_status {
    /**
     * `sizeof(trimtab_store_status)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Why nothing is taken any more: a status; `TRIMTAB_OK` while all is well.
     */
    int32_t failure;
    /**
     * Why there is no room for more at present: a status; `TRIMTAB_OK` while there is.
     */
    int32_t problem;
    /**
     * What the last snapshot failed with: a status; `TRIMTAB_OK` if it did not.
     */
    int32_t snapshot_failure;
    /**
     * The last entry of the log.
     */
    uint64_t sequence;
    /**
     * The last one on disk.
     */
    uint64_t durable;
    /**
     * The last one that readers see.
     */
    uint64_t applied;
    /**
     * The sequence of the last snapshot; 0: none.
     */
    uint64_t snapshot;
    /**
     * Keys, those included that have expired and not been taken out.
     */
    uint64_t keys;
    /**
     * Bytes of keys, values and what belongs to them, as `memory_max` bounds them.
     */
    uint64_t memory_bytes;
    /**
     * Bytes of segments and snapshots.
     */
    uint64_t disk_bytes;
    /**
     * Bytes that wait to be on disk.
     */
    uint64_t pending_bytes;
    /**
     * Passes over all that lies on disk that came to their end.
     */
    uint64_t scrub_passes;
    /**
     * Bytes found good by them.
     */
    uint64_t scrub_bytes;
    /**
     * When the last one ended, in milliseconds since 1970; 0: none has.
     */
    uint64_t scrub_finished_ms;
    /**
     * How often something was found damaged, or could not be read.
     */
    uint64_t scrub_damages;
    /**
     * What was found last: a status, whose words `trimtab_store_damage_copy` gives; `TRIMTAB_OK` once a later pass has
     * found all good.
     */
    int32_t scrub_failure;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * How often a snapshot took the place of what was found damaged; in a cluster also, whether opening did without what was.
     */
    uint64_t scrub_mended;
    /**
     * Commands taken. This and what follows was counted since the store was opened.
     */
    uint64_t submitted;
    /**
     * Commands that joined the same request on its way.
     */
    uint64_t joined;
    /**
     * Commands refused at once.
     */
    uint64_t refused;
    /**
     * Entries of the log that were applied.
     */
    uint64_t entries_applied;
    /**
     * Writes to disk, each with a sync.
     */
    uint64_t flushes;
    /**
     * Bytes of them.
     */
    uint64_t flushed_bytes;
    /**
     * Commands for which the clock had gone back, and stood still instead.
     */
    uint64_t clock_steps;
    /**
     * Commands that took out what had expired.
     */
    uint64_t expiries;
    /**
     * Commands that made room.
     */
    uint64_t evictions;
    /**
     * Snapshots written.
     */
    uint64_t snapshots_written;
    /**
     * Snapshots that failed.
     */
    uint64_t snapshots_failed;
} trimtab_store_status;

/**
 * What opening a store found.
 */
typedef struct trimtab_store_report {
    /**
     * `sizeof(trimtab_store_report)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 1: the store had been closed in order; 0: it had not, or is new.
     */
    int32_t is_closed;
    /**
     * 1: a batch that never became durable was cut off, in the file that `trimtab_store_torn_file_copy` gives; else 0. It is
     * told again each time the store is opened until something has been written.
     */
    int32_t is_torn;
    /**
     * Why the settings asked for are not in force, and those of before are: a status, whose words
     * `trimtab_store_settings_refused_copy` gives; `TRIMTAB_OK` when they are.
     */
    int32_t settings_refused;
    /**
     * How many segments hold records.
     */
    uint64_t segments;
    /**
     * How many records they hold.
     */
    uint64_t records;
    /**
     * The bytes of these.
     */
    uint64_t bytes;
    /**
     * The first entry of the log that can be read; 0: there is none.
     */
    uint64_t first;
    /**
     * The last entry, whether in the log or only in the snapshot; 0: there is none.
     */
    uint64_t last;
    /**
     * The snapshot's sequence; 0: there is none.
     */
    uint64_t snapshot;
    /**
     * The byte of that file where the log ends now; 0 unless `is_torn`.
     */
    uint64_t torn_offset;
    /**
     * How many bytes behind it were recognised as the batch's; 0 unless `is_torn`.
     */
    uint64_t torn_bytes;
    /**
     * Entries that were applied on top of the snapshot.
     */
    uint64_t replayed;
    /**
     * By how much the latest time in the store was ahead of the clock, in milliseconds: until the clock has come there,
     * time stands still in the store.
     */
    uint64_t ahead_ms;
    /**
     * How many segments were left out since there is damage in the last of them: the snapshot stands for all that is in them, and
     * nothing is lost. 0: none. `trimtab_store_covered_file_copy` gives the first file that is damaged.
     */
    uint64_t covered_segments;
    /**
     * The byte of that file where the damage is; 0 unless `covered_segments`.
     */
    uint64_t covered_offset;
} trimtab_store_report;

/**
 * What came of a call, or of a step of a transaction.
 */
typedef struct trimtab_store_result {
    /**
     * `sizeof(trimtab_store_result)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * What was reached, what was asked for or more: one of `TRIMTAB_DURABILITY_...`; the last two in a cluster alone. Of
     * `trimtab_store_get`, which does not ask how durable what it finds is: `TRIMTAB_DURABILITY_MEMORY`.
     */
    int32_t durability;
    /**
     * Where in the log it is. For a request sent again, that of the first time.
     */
    uint64_t sequence;
    /**
     * The version of the key now, which is the sequence of its last change; 0: it is not there.
     */
    uint64_t version;
    /**
     * The sum, of an increment; else 0.
     */
    int64_t number;
    /**
     * How many keys were deleted, or went with a lease; how many bytes the value has, after appending; how many steps of
     * a transaction were done; else 0.
     */
    uint64_t count;
    /**
     * When the lease ends without a keep-alive, in milliseconds since the beginning of 1970 in UTC; else 0.
     */
    uint64_t deadline_ms;
    /**
     * How many entries the answer has: what was there before, or what was read.
     */
    uint64_t entries;
    /**
     * 1: the condition held and it was done; 0: it did not, and nothing was changed. Of a deletion: whether there was
     * something to delete; of a transaction: whether all comparisons held; of what reads a key: whether it is there.
     */
    int32_t is_done;
    /**
     * 1: it had been done before, by an earlier sending of the same request, and this is its answer; else 0.
     */
    int32_t is_repeated;
    /**
     * 1: a limit left some of the range; else 0.
     */
    int32_t more;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * On how many nodes' disks it is known to be; 0 for what is in memory, and for what was read.
     */
    uint32_t nodes;
    /**
     * 1: in a cluster, it is on fewer nodes than was asked for, since the others did not answer in time; else 0.
     */
    int32_t is_degraded;
    /**
     * In a cluster, the epoch it was written in; with `entry` it is where it is, for `trimtab_store_read`.
     */
    uint64_t epoch;
    /**
     * The entry of the log that this sending came to; another than `sequence` for a request sent again.
     */
    uint64_t entry;
} trimtab_store_result;

/**
 * What a key has.
 */
typedef struct trimtab_store_entry {
    /**
     * `sizeof(trimtab_store_entry)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The key; NULL where whoever asked named it.
     */
    const void *key;
    /**
     * How many bytes.
     */
    size_t key_len;
    /**
     * The value.
     */
    const void *value;
    /**
     * How many bytes.
     */
    size_t value_len;
    /**
     * The sequence of its last change.
     */
    uint64_t version;
    /**
     * The sequence that created it.
     */
    uint64_t created;
    /**
     * How often it was changed since, its creation included.
     */
    uint64_t changes;
    /**
     * When it expires, in milliseconds since the beginning of 1970 in UTC; `TRIMTAB_NO_TIME`: not by itself.
     */
    uint64_t deadline_ms;
    /**
     * The lease it goes with; 0: none.
     */
    uint64_t lease;
} trimtab_store_entry;

/**
 * What to do. Set it all to 0, then `struct_size`, `kind` and what that kind reads; other fields are not looked at.
 */
typedef struct trimtab_store_operation {
    /**
     * `sizeof(trimtab_store_operation)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * One of `TRIMTAB_OPERATION_...`.
     */
    int32_t kind;
    /**
     * The key, or where a range begins; copied before return. NULL with a length of 0 is empty.
     */
    const void *key;
    /**
     * How many bytes.
     */
    size_t key_len;
    /**
     * The value, or where a range ends; copied before return. NULL with a length of 0 is empty.
     */
    const void *value;
    /**
     * How many bytes.
     */
    size_t value_len;
    /**
     * Which keys `key` and `value` mean, for ranges: one of `TRIMTAB_RANGE_...`.
     */
    int32_t range;
    /**
     * When to do so: one of `TRIMTAB_CONDITION_...`.
     */
    int32_t condition;
    /**
     * What the key must have, with `TRIMTAB_CONDITION_VERSION`.
     */
    uint64_t version;
    /**
     * How long the key is to live: one of `TRIMTAB_LIFETIME_...`.
     */
    int32_t lifetime;
    /**
     * Not 0: the answer has what was there before.
     */
    int32_t previous;
    /**
     * Milliseconds since the beginning of 1970 in UTC, with `TRIMTAB_LIFETIME_UNTIL`.
     */
    uint64_t deadline_ms;
    /**
     * Milliseconds. With `TRIMTAB_LIFETIME_FOR` any: 0 is gone at once, and what ends later than there is a number for is for
     * ever. Of a lease that begins: 1 to 2^48.
     */
    uint64_t ttl_ms;
    /**
     * The lease, with `TRIMTAB_LIFETIME_LEASE` and of operations on leases; from 1.
     */
    uint64_t lease;
    /**
     * What to add.
     */
    int64_t by;
    /**
     * The most keys; 0: all, and of a range that is read as many as have `value_max` bytes together.
     */
    uint64_t limit;
    /**
     * Not 0: from the last to the first.
     */
    int32_t reverse;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Comes back with the answer of what was submitted to a queue.
     */
    uint64_t user_data;
} trimtab_store_operation;

/**
 * What a backup holds, and what was added to it.
 */
typedef struct trimtab_store_backup_report {
    /**
     * `sizeof(trimtab_store_backup_report)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Into how many stretches it falls, between which something is missing; 0: it holds nothing.
     */
    uint32_t stretches;
    /**
     * The first entry of the last stretch that can be gone back to.
     */
    uint64_t first_sequence;
    /**
     * The last entry.
     */
    uint64_t last_sequence;
    /**
     * The earliest time of the last stretch, in milliseconds since 1970.
     */
    uint64_t first_ms;
    /**
     * The latest.
     */
    uint64_t last_ms;
    /**
     * The length of all its files.
     */
    uint64_t total_bytes;
    /**
     * Bytes that were added.
     */
    uint64_t bytes;
    /**
     * Entries that were added.
     */
    uint64_t entries;
    /**
     * The sequence of the snapshot that was added; 0: none.
     */
    uint64_t snapshot;
} trimtab_store_backup_report;

/**
 * How a backup is restored. NULL in its place, and 0 in each field, is the default.
 */
typedef struct trimtab_store_restore_options {
    /**
     * `sizeof(trimtab_store_restore_options)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * Where to go back to: one of `TRIMTAB_RESTORE_...`.
     */
    int32_t point;
    /**
     * The sequence or the time; unread with `TRIMTAB_RESTORE_END`.
     */
    uint64_t at;
    /**
     * 0: the restored store is node 1 of a new cluster, and nobody takes it for what it was. 1: it keeps the identity of
     * the store that was backed up, which must then never be opened again; refused for one that has replicated.
     */
    int32_t same_identity;
    /**
     * 0.
     */
    uint32_t reserved;
} trimtab_store_restore_options;

/**
 * What was restored.
 */
typedef struct trimtab_store_restored {
    /**
     * `sizeof(trimtab_store_restored)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The last entry of the restored store.
     */
    uint64_t sequence;
    /**
     * When it was written, in milliseconds since 1970.
     */
    uint64_t clock_ms;
    /**
     * The sequence of the snapshot it begins with; 0: none.
     */
    uint64_t snapshot;
    /**
     * How many entries came on top of that.
     */
    uint64_t entries;
    /**
     * The restored store's node.
     */
    uint64_t node;
    /**
     * And its cluster.
     */
    uint8_t cluster[16];
} trimtab_store_restored;

/**
 * One change of one key.
 */
typedef struct trimtab_store_change {
    /**
     * `sizeof(trimtab_store_change)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * One of `TRIMTAB_CHANGE_...`.
     */
    int32_t kind;
    /**
     * Where in the log it is: the version the key has then. Changes of one command have the same.
     */
    uint64_t sequence;
    /**
     * The sequence that created the key.
     */
    uint64_t created;
    /**
     * The key.
     */
    const void *key;
    /**
     * How many bytes.
     */
    size_t key_len;
    /**
     * The value the key has then; NULL if it is gone.
     */
    const void *value;
    /**
     * How many bytes.
     */
    size_t value_len;
    /**
     * 1: the next change is of the same command, and seen together with this one; else 0.
     */
    int32_t more;
    /**
     * 0.
     */
    uint32_t reserved;
} trimtab_store_change;

/**
 * How a cluster is, as one of its nodes sees it. Its texts are good until the `trimtab_cluster` they came from is freed, and
 * end with no NUL.
 */
typedef struct trimtab_cluster_status {
    /**
     * `sizeof(trimtab_cluster_status)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * What this node is: one of `TRIMTAB_NODE_...`.
     */
    int32_t role;
    /**
     * Whether it may be believed: one of `TRIMTAB_STANDING_...`.
     */
    int32_t standing;
    /**
     * How many nodes there are, this one too.
     */
    uint32_t nodes;
    /**
     * The cluster's name.
     */
    const char *cluster;
    /**
     * How many bytes.
     */
    size_t cluster_len;
    /**
     * This node's name.
     */
    const char *node;
    /**
     * How many bytes.
     */
    size_t node_len;
    /**
     * The name of the primary, as far as it is known; else NULL.
     */
    const char *primary;
    /**
     * How many bytes.
     */
    size_t primary_len;
    /**
     * Where clients reach the primary, as far as it said; else NULL.
     */
    const char *primary_address;
    /**
     * How many bytes.
     */
    size_t primary_address_len;
    /**
     * Why this node takes no part, and what to do; NULL while it does.
     */
    const char *trouble;
    /**
     * How many bytes.
     */
    size_t trouble_len;
    /**
     * The epoch.
     */
    uint64_t epoch;
    /**
     * Counts promotions by force.
     */
    uint64_t generation;
    /**
     * The last entry of the log.
     */
    uint64_t last;
    /**
     * The last that is committed, as far as it is known.
     */
    uint64_t committed;
    /**
     * The last that is applied: what this node shows.
     */
    uint64_t applied;
    /**
     * The last that is on its disk.
     */
    uint64_t durable;
    /**
     * How old what is applied may be, in nanoseconds; 0 on a primary that holds its quorum, `TRIMTAB_NO_TIME` when that is not
     * known.
     */
    uint64_t age_ns;
    /**
     * How long nobody else can be primary, in nanoseconds; `TRIMTAB_NO_TIME` when this node is not, or does not hold its
     * quorum.
     */
    uint64_t lease_ns;
    /**
     * Calls that wait for a primary.
     */
    uint64_t held;
    /**
     * Calls passed on to the primary and not answered.
     */
    uint64_t forwarded;
    /**
     * Frames of other nodes that were refused.
     */
    uint64_t refused_frames;
    /**
     * Frames that did not leave, since there was no link or too much waited.
     */
    uint64_t unsent_frames;
    /**
     * Connections of others that were refused.
     */
    uint64_t refused_peers;
    /**
     * Writes answered with fewer nodes than they asked for, since this node was opened: see
     * `trimtab_cluster_options_set_degrade_after_ms`.
     */
    uint64_t degraded_writes;
    /**
     * 1: that is so at present: this primary's last such write is not yet on as many nodes as it asked for; else 0.
     */
    int32_t is_degraded;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Who was refused last, from where and why; NULL: nobody was.
     */
    const char *last_refusal;
    /**
     * How many bytes.
     */
    size_t last_refusal_len;
} trimtab_cluster_status;

/**
 * A node of a cluster, as another one sees it. Its texts are as those of `trimtab_cluster_status`.
 */
typedef struct trimtab_cluster_node {
    /**
     * `sizeof(trimtab_cluster_node)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 1: it votes; 0: it follows without a vote.
     */
    int32_t is_voter;
    /**
     * 1: it is the primary; else 0.
     */
    int32_t is_primary;
    /**
     * 1: there is a link to it, or it is this node; else 0.
     */
    int32_t is_linked;
    /**
     * Its name.
     */
    const char *name;
    /**
     * How many bytes.
     */
    size_t name_len;
    /**
     * Where it listens, `ip:port` or `[ip]:port`; NULL: nowhere.
     */
    const char *address;
    /**
     * How many bytes.
     */
    size_t address_len;
    /**
     * Where its clients reach it, as far as it said; else NULL.
     */
    const char *client_address;
    /**
     * How many bytes.
     */
    size_t client_address_len;
    /**
     * Its number, made of its name.
     */
    uint64_t number;
    /**
     * The last entry known to be on its disk; `TRIMTAB_NO_TIME` where that is not known: on a primary, and of this node, it
     * is.
     */
    uint64_t matched;
    /**
     * How many entries it is behind; `TRIMTAB_NO_TIME` where that is not known: on a primary it is.
     */
    uint64_t lag;
    /**
     * Who feeds it instead of the primary; NULL: the primary does, or that is not known, as it is on a primary, and on the two of
     * them.
     */
    const char *source;
    /**
     * How many bytes.
     */
    size_t source_len;
    /**
     * Why there is no link to it, or why its frames, or others that came under its name, were refused last; NULL once a link has
     * come up since.
     */
    const char *trouble;
    /**
     * How many bytes.
     */
    size_t trouble_len;
} trimtab_cluster_node;

/**
 * Something that happened to a cluster. What its kind does not speak of is 0 or NULL; a kind of a later release may be none
 * of those below.
 */
typedef struct trimtab_cluster_event {
    /**
     * `sizeof(trimtab_cluster_event)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * One of `TRIMTAB_CLUSTER_...`.
     */
    int32_t kind;
    /**
     * One of `TRIMTAB_NODE_...`.
     */
    int32_t role;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The epoch.
     */
    uint64_t epoch;
    /**
     * An entry of the log, how many, or where in a file.
     */
    uint64_t number;
    /**
     * A node, or several, or a file. It ends with no NUL.
     */
    const char *name;
    /**
     * How many bytes.
     */
    size_t name_len;
    /**
     * More about it, in words. It ends with no NUL.
     */
    const char *detail;
    /**
     * How many bytes.
     */
    size_t detail_len;
} trimtab_cluster_event;

/**
 * What a promotion by force came to. Its texts are good until the `trimtab_promotion` they came from is freed, and end with
 * no NUL.
 */
typedef struct trimtab_promoted {
    /**
     * `sizeof(trimtab_promoted)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Counts promotions by force.
     */
    uint64_t generation;
    /**
     * The last entry that the node has.
     */
    uint64_t last;
    /**
     * The cluster's name.
     */
    const char *cluster;
    /**
     * How many bytes.
     */
    size_t cluster_len;
    /**
     * The name of the node that is its primary now.
     */
    const char *node;
    /**
     * How many bytes.
     */
    size_t node_len;
    /**
     * The names of those that voted beside it, and are out, one a line; they must not run any more. NULL: none.
     */
    const char *out;
    /**
     * How many bytes.
     */
    size_t out_len;
    /**
     * The names of those that follow it, one a line. NULL: none.
     */
    const char *learners;
    /**
     * How many bytes.
     */
    size_t learners_len;
} trimtab_promoted;

/**
 * How a call that reads is to go, in a cluster: in a store of one node it sees all that was written whatever is asked for.
 * NULL in its place, and 0 in each field, is the default.
 */
typedef struct trimtab_store_read {
    /**
     * `sizeof(trimtab_store_read)`, set by the caller before the call.
     */
    uint32_t struct_size;
    /**
     * How fresh what it sees is to be: one of `TRIMTAB_READ_...`; 0: as `trimtab_cluster_options_set_read` said.
     */
    int32_t level;
    /**
     * With `TRIMTAB_READ_REPLICA`, how old it may be at most, in milliseconds; else unread.
     */
    uint64_t age_max_ms;
    /**
     * Where a write was that it has to see: `epoch` of the write's result.
     */
    uint64_t epoch;
    /**
     * And `entry` of the write's result; 0: none.
     */
    uint64_t entry;
    /**
     * How long to wait for that, in milliseconds; 0: the store's `timeout_ms`, negative: for ever.
     */
    int64_t timeout_ms;
} trimtab_store_read;

/**
 * It worked.
 */
#define TRIMTAB_OK 0

/**
 * A pointer that must not be NULL was. Nothing was changed.
 */
#define TRIMTAB_E_NULL (-1)

/**
 * An argument cannot be right; the detail names it and says what would be. Nothing was changed.
 */
#define TRIMTAB_E_INVALID_ARGUMENT (-2)

/**
 * A backend with this name or address is in the pool already. Nothing was changed.
 */
#define TRIMTAB_E_EXISTS (-3)

/**
 * There is nothing with this name or number (any more).
 */
#define TRIMTAB_E_NOT_FOUND (-4)

/**
 * A named limit is reached; it can be tried again when something was given back. Nothing was changed.
 */
#define TRIMTAB_E_CAPACITY (-5)

/**
 * No backend may take this connection now; the detail says why, and explain tells it one by one.
 */
#define TRIMTAB_E_NO_BACKEND (-6)

/**
 * The pick was reported done before, or is none of this pool's. Nothing was counted.
 */
#define TRIMTAB_E_STALE_PICK (-7)

/**
 * A string is not UTF-8; the detail says from which byte. Nothing was changed.
 */
#define TRIMTAB_E_UTF8 (-8)

/**
 * A struct's `struct_size` is less than the first release's: it was not set, most likely.
 */
#define TRIMTAB_E_STRUCT_SIZE (-9)

/**
 * A bug in trimtab, stopped at this call, which may have done something. The handles it was given answer
 * `TRIMTAB_E_CLOSED` from now on.
 */
#define TRIMTAB_E_PANIC (-10)

/**
 * This handle saw a `TRIMTAB_E_PANIC`; it can only be freed.
 */
#define TRIMTAB_E_CLOSED (-11)

/**
 * A wait reached its deadline; what was waited for goes on. A write may be done, or not, or still be.
 */
#define TRIMTAB_E_TIMED_OUT (-12)

/**
 * The system refused something; the detail names it and gives the system's words.
 */
#define TRIMTAB_E_IO (-13)

/**
 * A configuration that cannot be; the detail gives file, line, column and what to do. Nothing was started.
 */
#define TRIMTAB_E_CONFIG (-14)

/**
 * The call does not fit the state of the handle: started twice, turned after its end.
 */
#define TRIMTAB_E_STATE (-15)

/**
 * The process forked since the handle was made: in the child it can only be freed.
 */
#define TRIMTAB_E_FORKED (-16)

/**
 * What was asked for, or what lies on disk, is of a kind this release does not know; the detail says which.
 */
#define TRIMTAB_E_UNSUPPORTED (-17)

/**
 * Data on disk are not what was written there; the detail gives file, offset and what to do. Nothing was changed.
 */
#define TRIMTAB_E_CORRUPT (-18)

/**
 * This node is not the cluster's primary; the detail names who is, where that is known. Nothing was changed.
 */
#define TRIMTAB_E_NOT_PRIMARY (-20)

/**
 * No primary holds a quorum of the cluster at present. Nothing was changed.
 */
#define TRIMTAB_E_NO_QUORUM (-21)

/**
 * Another primary's writes took the place of this one: it was not done, and will not be.
 */
#define TRIMTAB_E_SUPERSEDED (-22)

/**
 * The primary was lost before it said what came of a write: it may have been done, or still be. One with a client and a
 * number may be sent again, as it was, and is not done twice; `trimtab_store_outcome` tells too. Without, only what is
 * there tells.
 */
#define TRIMTAB_E_UNKNOWN_OUTCOME (-23)

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version as text, like `0.1.0`.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_version_copy(char *buffer, size_t size, size_t *length_out);

/**
 * The number of the binary interface: the N of `libtrimtab.so.N`. Functions, constants and fields at the
 * end of structs are added under the same number; nothing else changes under it.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, at any time. Does not block.
 */
uint32_t trimtab_abi_version(void);

/**
 * Whether the library was built with a part of it.
 *
 * - `name`: `balance`, `proxy`, `tls`, `http`, `store`, `replication` or `cli`.
 * - `has_out`: 1 when it was, else 0; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_NOT_FOUND` for a name that this
 * release does not know.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_feature_has(struct trimtab_str name,
                                   int32_t *has_out);

/**
 * The time that `now_ns` arguments mean: `CLOCK_MONOTONIC` in nanoseconds.
 *
 * - `now_ns_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_now(uint64_t *now_ns_out);

/**
 * What went wrong in this thread's last call that failed, in one line; empty after a call that worked.
 * Meant for people: its words may change, a program looks at the status.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Leaves the last error as it is, even when it fails itself; so do `trimtab_status_name_copy`,
 * `trimtab_abi_version` and every `_free`, which may come between the failure and this call.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time; each has its own last error. Does not block.
 */
trimtab_status trimtab_last_error_copy(char *buffer,
                                       size_t size,
                                       size_t *length_out);

/**
 * The name of a status, like `TRIMTAB_E_CAPACITY`.
 *
 * - `status`: what a function returned.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Leaves the last error as it is.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` for a status that this release does not
 * know.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_status_name_copy(trimtab_status status,
                                        char *buffer,
                                        size_t size,
                                        size_t *length_out);

/**
 * Makes options that hold the defaults.
 *
 * - `options_out`: written on success only; end it with `trimtab_pool_options_free`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_options_new(struct trimtab_pool_options **options_out);

/**
 * Ends options. Pools made with them go on.
 *
 * - `options`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `options`. Does not block.
 */
void trimtab_pool_options_free(struct trimtab_pool_options *options);

/**
 * Sets how the pool picks.
 *
 * - `policy`: one of `TRIMTAB_POLICY_...`; default `TRIMTAB_POLICY_ROUND_ROBIN`, which needs no measuring
 *   and surprises nobody.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_policy(struct trimtab_pool_options *options,
                                               int32_t policy);

/**
 * Sets how the pool picks, by the policy's name in configuration files.
 *
 * - `name`: `round-robin`, `static`, `first`, `random`, `least-connections`, `power-of-two`, `peak-ewma`,
 *   `fastest`, `observed`, `predictive`, `source` or `hash`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_INVALID_ARGUMENT` for another
 * name; the detail lists them.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_policy_name(struct trimtab_pool_options *options,
                                                    struct trimtab_str name);

/**
 * Sets how the policies source and hash place keys.
 *
 * - `hash`: one of `TRIMTAB_HASH_...`; default `TRIMTAB_HASH_RING`, the placement nginx and memcached
 *   clients share.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_hash(struct trimtab_pool_options *options,
                                             int32_t hash);

/**
 * Sets the most load a backend may have under the policies source and hash; a key whose backend has more
 * goes on to the next one.
 *
 * - `factor`: in times the backend's share of the mean, 1.01 to 10; 1.25 to 2 is sensible. 0, the default,
 *   is off: affinity first. `trimtab_pool_new` refuses it under another policy.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_bounded_load(struct trimtab_pool_options *options,
                                                     double factor);

/**
 * Sets which backends of a tier above 0 serve, and when: when the tiers below have none usable, or, with
 * `TRIMTAB_BACKUPS_SPILL`, when they cannot carry everything.
 *
 * - `backups`: one of `TRIMTAB_BACKUPS_...`; default `TRIMTAB_BACKUPS_ONE`: one standby takes over.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_backups(struct trimtab_pool_options *options,
                                                int32_t backups);

/**
 * Sets which reading of the policies observed and predictive is meant; F5 published two.
 *
 * - `formula`: one of `TRIMTAB_FORMULA_...`; default `TRIMTAB_FORMULA_TRIMTAB`: connections and response
 *   time, where the other counts connections only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_formula(struct trimtab_pool_options *options,
                                                int32_t formula);

/**
 * Sets how often fastest, observed and predictive weigh anew.
 *
 * - `tick_ms`: milliseconds, 10 to 60000; default 1000, the interval F5 publishes for predictive.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_tick_ms(struct trimtab_pool_options *options,
                                                uint64_t tick_ms);

/**
 * Sets the connections' part of the score of observed and predictive; the rest is response time's.
 *
 * - `blend`: a share, 0 to 1; default 0.5: both weigh the same.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_blend(struct trimtab_pool_options *options, double blend);

/**
 * Sets how strongly predictive follows the trend.
 *
 * - `gain`: 0 to 4; default 1, which leads a crossing by seconds. From 2 on it begins to oscillate.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_gain(struct trimtab_pool_options *options, double gain);

/**
 * Sets over how many ticks predictive fits the trend.
 *
 * - `history`: ticks, 2 to 32; default 8: a slope over fewer follows noise.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_history(struct trimtab_pool_options *options,
                                                uint32_t history);

/**
 * Sets the share of traffic that fastest leaves to each backend that is not the fastest.
 *
 * - `floor`: a share, 0.001 to 0.2; default 0.02: one pick in fifty finds a recovered server.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_floor(struct trimtab_pool_options *options, double floor);

/**
 * Sets after how long without a sample fastest halves a backend's response time.
 *
 * - `stale_ms`: milliseconds, 100 to 3600000; default 10000.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_stale_ms(struct trimtab_pool_options *options,
                                                 uint64_t stale_ms);

/**
 * Sets the time constant of peak EWMA: how fast a peak is forgotten.
 *
 * - `decay_ms`: milliseconds, 1 to 600000; default 10000, Finagle's.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_decay_ms(struct trimtab_pool_options *options,
                                                 uint64_t decay_ms);

/**
 * Sets where random draws and the first turn start.
 *
 * - `seed`: any; 0 gives the documented sequences from their beginning. Default: each pool draws one, so
 *   that many processes with the same backends do not walk in step.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_seed(struct trimtab_pool_options *options,
                                             uint64_t seed);

/**
 * Moves every key of Maglev and rendezvous. The ring, ketama's, has no seed.
 *
 * - `hash_seed`: any; default 0: balancers agree on placement unless told otherwise.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_hash_seed(struct trimtab_pool_options *options,
                                                  uint64_t hash_seed);

/**
 * Sets how many threads count on a lane of their own, which is quicker than sharing one. Threads beyond
 * these share half as many more. Each lane goes through the policy's order by itself.
 *
 * - `lanes`: 1 to 64; 0, the default, is one per core.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_lanes(struct trimtab_pool_options *options,
                                              uint32_t lanes);

/**
 * Sets the most picks of one lane that may await their done; beyond it a pick is refused with
 * `TRIMTAB_E_CAPACITY`.
 *
 * - `picks_max`: picks, 1 to 16777216; default 262144, above the descriptors a process has. Eight bytes
 *   each, of which only those ever used are touched.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_picks_max(struct trimtab_pool_options *options,
                                                  uint32_t picks_max);

/**
 * Sets below which share of a tier's ready backends being usable health is ignored for it, so that all of them
 * share what the few could not carry.
 *
 * - `percent`: percent, 0 to 100; 0, the default, is never: one survivor of three takes all.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_panic_threshold(struct trimtab_pool_options *options,
                                                        uint32_t percent);

/**
 * Sets whether the lowest tier with ready backends serves when no backend of the pool is usable.
 *
 * - `fail_open`: 1 or 0; default 0: a backend that is known to be down gets nothing.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_fail_open(struct trimtab_pool_options *options,
                                                  uint32_t fail_open);

/**
 * Sets over how long a backend that comes into service reaches its weight.
 *
 * - `slow_start_ms`: milliseconds, 100 to 3600000; 0, the default, is at once.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_slow_start_ms(struct trimtab_pool_options *options,
                                                      uint64_t slow_start_ms);

/**
 * Sets how steeply a slow start begins.
 *
 * - `aggression`: 0.1 to 10; default 1, a straight line; above it begins more steeply.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_slow_start_aggression(struct trimtab_pool_options *options,
                                                              double aggression);

/**
 * Sets the part of its weight a slow start begins with.
 *
 * - `min`: a share, 0.01 to 1; default 0.1: enough traffic to warm up with.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_slow_start_min(struct trimtab_pool_options *options,
                                                       double min);

/**
 * Sets the most picks in flight on all backends together. Each backend may have a limit of its own.
 *
 * - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_maxconn(struct trimtab_pool_options *options,
                                                uint32_t maxconn);

/**
 * Sets the most picks a second on all backends together: in any time `t` at most `burst + rate * t` go
 * through. Each backend may have a rate of its own.
 *
 * - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is no limit.
 * - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is one second's.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_connection_rate(struct trimtab_pool_options *options,
                                                        uint32_t rate,
                                                        uint32_t burst);

/**
 * Sets how many may wait for a place at once, see `trimtab_pool_try_want`.
 *
 * - `pending_max`: 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_pending_max(struct trimtab_pool_options *options,
                                                    uint32_t pending_max);

/**
 * Sets the most retries in flight in parts of the picks in flight and waiting, see `trimtab_pool_retry_begin`.
 *
 * - `share`: 0 to 1; default 0.2: retries must not double the load on what fails.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_retry_budget(struct trimtab_pool_options *options,
                                                     double share);

/**
 * Takes the retry budget away: only `retries_max` bounds retries then.
 *
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_retry_budget_off(struct trimtab_pool_options *options);

/**
 * Sets how many retries in flight are within the budget always.
 *
 * - `retry_min`: retries, 0 to `TRIMTAB_RETRIES_MAX`; default 100: all whom a backend that dies
 *   refuses at one moment are sent on.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_retry_min(struct trimtab_pool_options *options,
                                                  uint32_t retry_min);

/**
 * Sets the most retries in flight, whatever the load.
 *
 * - `retries_max`: retries, 1 to `TRIMTAB_RETRIES_MAX`; 0, the default, leaves it to the budget.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_retries_max(struct trimtab_pool_options *options,
                                                    uint32_t retries_max);

/**
 * Sets whether and how backends that fail more than others are ejected for a while. Off by default: what counts as
 * an error depends on the protocol.
 *
 * - `outlier`: copied before return; its `struct_size` is read. NULL is off. Begin with
 *   `trimtab_outlier_defaults_read`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_outlier(struct trimtab_pool_options *options,
                                                const struct trimtab_outlier *outlier);

/**
 * Sets whether and how the most picks in flight are found by response times. Off by default: it refuses picks
 * while it learns.
 *
 * - `adaptive`: copied before return; its `struct_size` is read. NULL is off. Begin with
 *   `trimtab_adaptive_defaults_read`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_pool_options_set_adaptive(struct trimtab_pool_options *options,
                                                 const struct trimtab_adaptive *adaptive);

/**
 * Writes the defaults of a `trimtab_outlier`, to change some of them and pass it to `trimtab_pool_options_set_outlier`.
 *
 * - `outlier_out`: its `struct_size` is read, and stays; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_outlier_defaults_read(struct trimtab_outlier *outlier_out);

/**
 * Writes the defaults of a `trimtab_adaptive`, to change some of them and pass it to `trimtab_pool_options_set_adaptive`.
 *
 * - `adaptive_out`: its `struct_size` is read, and stays; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_adaptive_defaults_read(struct trimtab_adaptive *adaptive_out);

/**
 * Describes a backend, with defaults for all but its address.
 *
 * - `address`: `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return. Names of
 *   hosts are not looked up.
 * - `backend_out`: written on success only; end it with `trimtab_backend_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_backend_new(struct trimtab_str address,
                                   struct trimtab_backend **backend_out);

/**
 * Ends a description. What was added from it stays in its pool.
 *
 * - `backend`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `backend`. Does not block.
 */
void trimtab_backend_free(struct trimtab_backend *backend);

/**
 * Names a backend.
 *
 * - `name`: 1 to 255 bytes without control characters, unique in its pool; copied before return. Default:
 *   the address. The hash policies place by address, not by name.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_name(struct trimtab_backend *backend,
                                        struct trimtab_str name);

/**
 * Sets the weight: the share relative to the others in the pool.
 *
 * - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`; default 1.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_weight(struct trimtab_backend *backend, uint32_t weight);

/**
 * Sets the most picks in flight.
 *
 * - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_maxconn(struct trimtab_backend *backend, uint32_t maxconn);

/**
 * Sets the most picks a second.
 *
 * - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is no limit.
 * - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is one second's.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_connection_rate(struct trimtab_backend *backend,
                                                   uint32_t rate,
                                                   uint32_t burst);

/**
 * Sets the tier. The lowest tier that has a usable backend serves.
 *
 * - `tier`: 0, the default, serves; 1 to 255 stand by.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_tier(struct trimtab_backend *backend, uint32_t tier);

/**
 * Sets the host's own number for the backend, which comes with every pick: an index or a pointer.
 *
 * - `tag`: any; default 0.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_tag(struct trimtab_backend *backend, uint64_t tag);

/**
 * Sets the operator's order it enters the pool with.
 *
 * - `admin`: one of `TRIMTAB_ADMIN_...`; default `TRIMTAB_ADMIN_READY`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_admin(struct trimtab_backend *backend, int32_t admin);

/**
 * Sets what is known of it when it enters the pool.
 *
 * - `observed`: one of `TRIMTAB_OBSERVED_...`; default `TRIMTAB_OBSERVED_UNKNOWN`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `backend`. Does not block.
 */
trimtab_status trimtab_backend_set_observed(struct trimtab_backend *backend, int32_t observed);

/**
 * Makes an empty pool.
 *
 * - `options`: copied before return; NULL for the defaults.
 * - `pool_out`: written on success only; end it with `trimtab_pool_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_INVALID_ARGUMENT` when two options contradict each
 * other (a bounded load goes with source and hash only).
 * Thread safety: any thread, while none changes `options`. Does not block.
 */
trimtab_status trimtab_pool_new(const struct trimtab_pool_options *options,
                                struct trimtab_pool **pool_out);

/**
 * Ends a pool and all that belongs to it; one of a server (`trimtab_server_pool`) goes on as long as the
 * server does. Its picks in flight need not be reported.
 *
 * - `pool`: may be NULL. Nothing happens to one whose event this thread is being told (`trimtab_pool_event_fn`).
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `pool`. Does not block.
 */
void trimtab_pool_free(struct trimtab_pool *pool);

/**
 * Adds a backend and gives its id.
 *
 * - `backend`: copied before return.
 * - `id_out`: written on success only. Ids start at 1, and a pool never uses one again.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_EXISTS` when its name or address is in the pool, or
 * `TRIMTAB_E_CAPACITY` at `TRIMTAB_BACKENDS_MAX`.
 * Thread safety: any thread, at any time, while none changes `backend`. Does not block.
 */
trimtab_status trimtab_pool_add(const struct trimtab_pool *pool,
                                const struct trimtab_backend *backend,
                                uint64_t *id_out);

/**
 * Adds a backend of which only address and weight are to be told, and gives its id. It is ready, so it gets
 * traffic at once.
 *
 * - `address`: `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return.
 * - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`, relative to the others in the pool.
 * - `id_out`: written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_INVALID_ARGUMENT`,
 * `TRIMTAB_E_EXISTS` when the address is in the pool, or `TRIMTAB_E_CAPACITY` at `TRIMTAB_BACKENDS_MAX`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_add_backend(const struct trimtab_pool *pool,
                                        struct trimtab_str address,
                                        uint32_t weight,
                                        uint64_t *id_out);

/**
 * Adds many backends in one change: all of them or, when one is refused, none. Far quicker than one by one.
 *
 * - `backends`: `count` of them, each copied before return; may be NULL when `count` is 0.
 * - `ids_out`: room for `count` ids, in the same order, written on success only; may be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_EXISTS` or
 * `TRIMTAB_E_CAPACITY`, as `trimtab_pool_add`.
 * Thread safety: any thread, at any time, while none changes `backends`. Does not block.
 */
trimtab_status trimtab_pool_add_all(const struct trimtab_pool *pool,
                                    const struct trimtab_backend *const *backends,
                                    size_t count,
                                    uint64_t *ids_out);

/**
 * Takes a backend out. Its picks in flight may still be reported done.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_remove(const struct trimtab_pool *pool, uint64_t id);

/**
 * Changes a weight.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`. To give a backend no new traffic, drain it.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND`, or `TRIMTAB_E_INVALID_ARGUMENT` for a
 * weight out of range and under the policy static.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_weight(const struct trimtab_pool *pool,
                                       uint64_t id,
                                       uint32_t weight);

/**
 * Changes the most picks in flight. Picks beyond a lowered limit go on.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0 is no limit.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_maxconn(const struct trimtab_pool *pool,
                                        uint64_t id,
                                        uint32_t maxconn);

/**
 * Changes the tier.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `tier`: 0 serves; 1 to 255 stand by, and serve when no lower tier has a usable backend.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_tier(const struct trimtab_pool *pool, uint64_t id, uint32_t tier);

/**
 * Changes the host's own number for a backend, which comes with every pick.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `tag`: any.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_tag(const struct trimtab_pool *pool, uint64_t id, uint64_t tag);

/**
 * Carries out an operator's order. Drained or in maintenance, a backend gets nothing new whatever is
 * observed of it.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `admin`: one of `TRIMTAB_ADMIN_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_admin(const struct trimtab_pool *pool,
                                      uint64_t id,
                                      int32_t admin);

/**
 * Takes note of what probes or traffic showed. Down or ejected, a backend gets nothing new. Who knows when and
 * why says so with `trimtab_pool_set_observed_with`.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `observed`: one of `TRIMTAB_OBSERVED_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_observed(const struct trimtab_pool *pool,
                                         uint64_t id,
                                         int32_t observed);

/**
 * The id of the backend of a name.
 *
 * - `name`: the name it was given, or its address when it was given none.
 * - `id_out`: written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_find(const struct trimtab_pool *pool,
                                 struct trimtab_str name,
                                 uint64_t *id_out);

/**
 * The ids of all backends, in the order added.
 *
 * - `ids`: room for `size` ids; as many as fit are written. May be NULL when `size` is 0.
 * - `count_out`: how many there are, which may be more than fit; may be NULL.
 *
 * Returns `TRIMTAB_OK`, also when not all fit, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_ids_copy(const struct trimtab_pool *pool,
                                     uint64_t *ids,
                                     size_t size,
                                     size_t *count_out);

/**
 * A backend's address as text, as it was given.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_address_copy(const struct trimtab_pool *pool,
                                         uint64_t id,
                                         char *buffer,
                                         size_t size,
                                         size_t *length_out);

/**
 * A backend's name; its address when it was given none.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_name_copy(const struct trimtab_pool *pool,
                                      uint64_t id,
                                      char *buffer,
                                      size_t size,
                                      size_t *length_out);

/**
 * Picks a backend.
 *
 * - `key`: what the hash policies place: at most `TRIMTAB_KEY_MAX` bytes; empty is a key like any other.
 *   Source takes the client's address: 4 or 16 bytes in network order. The others ignore it.
 * - `now_ns`: the time in nanoseconds, of one clock for all calls on one pool. With 0 trimtab reads
 *   `CLOCK_MONOTONIC`, 20 to 30 ns, if the policy needs it; round robin, static, first, random, and the
 *   hashes without a bounded load do not.
 * - `pick_out`: its `struct_size` is read; written on success only. Each success needs one
 *   `trimtab_pool_done`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT` for a key
 * too long, `TRIMTAB_E_NO_BACKEND`, or `TRIMTAB_E_CAPACITY` when `picks_max` picks of this thread's lane were
 * never reported done.
 * Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
 */
trimtab_status trimtab_pool_pick(const struct trimtab_pool *pool,
                                 struct trimtab_bytes key,
                                 uint64_t now_ns,
                                 struct trimtab_pick *pick_out);

/**
 * Picks a backend other than those tried already: for a retry. One of these is picked only when no other can
 * be.
 *
 * - `key`, `now_ns`, `pick_out`: as for `trimtab_pool_pick`.
 * - `avoid`: `avoid_count` ids; a short list, it is looked through for each candidate. May be NULL when
 *   `avoid_count` is 0.
 *
 * Returns what `trimtab_pool_pick` does.
 * Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
 */
trimtab_status trimtab_pool_pick_avoiding(const struct trimtab_pool *pool,
                                          struct trimtab_bytes key,
                                          uint64_t now_ns,
                                          const uint64_t *avoid,
                                          size_t avoid_count,
                                          struct trimtab_pick *pick_out);

/**
 * Reports how a pick went, which takes it out of flight. Also for backends removed since, and from any
 * thread.
 *
 * - `token`: from the pick; good once.
 * - `outcome`: one of `TRIMTAB_OUTCOME_...`.
 * - `timings`: its `struct_size` is read; NULL when nothing was measured.
 * - `now_ns`: as for `trimtab_pool_pick`; needed by peak EWMA, fastest, observed and predictive.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, or
 * `TRIMTAB_E_STALE_PICK` when the pick was reported before or is none of this pool's; nothing is counted
 * then.
 * Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
 */
trimtab_status trimtab_pool_done(const struct trimtab_pool *pool,
                                 uint64_t token,
                                 int32_t outcome,
                                 const struct trimtab_timings *timings,
                                 uint64_t now_ns);

/**
 * What the next pick by this thread would come to and why, as JSON: the policy, who would be picked or the
 * reason that nobody would, what was drawn, and of every backend its verdict, score, picks in flight and
 * share. Nothing is counted. Fields may be added in later releases.
 *
 * - `key`, `now_ns`: as for `trimtab_pool_pick`.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, also when nobody would be picked, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block; allocates.
 */
trimtab_status trimtab_pool_explain_copy(const struct trimtab_pool *pool,
                                         struct trimtab_bytes key,
                                         uint64_t now_ns,
                                         char *buffer,
                                         size_t size,
                                         size_t *length_out);

/**
 * Does what is due: weighs anew if fastest, observed or predictive have a tick due, takes the next step of a slow
 * start, ejects outliers and takes them back, sets adaptive limits anew. Pick and done do the same; a loop that calls
 * this at `trimtab_pool_next_deadline` keeps most of that off their path.
 *
 * - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_handle_timeout(const struct trimtab_pool *pool,
                                           uint64_t now_ns);

/**
 * When `trimtab_pool_handle_timeout` is next of use.
 *
 * - `deadline_ns_out`: on the clock of the `now_ns` arguments, `TRIMTAB_NO_TIME` when nothing
 *   is to be done; written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_next_deadline(const struct trimtab_pool *pool,
                                          uint64_t *deadline_ns_out);

/**
 * Changes the most picks a second. Another rate than before begins with all that may come at once.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is no limit.
 * - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is one second's.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_connection_rate(const struct trimtab_pool *pool,
                                                uint64_t id,
                                                uint32_t rate,
                                                uint32_t burst);

/**
 * Takes note of what probes or traffic showed, when and why: the host's own verdict. Slow start and the backend's
 * statistics count from that time; events and explain tell the reason.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `observed`: one of `TRIMTAB_OBSERVED_...`.
 * - `reason`: one line of at most 200 bytes is kept, control characters replaced; empty is none.
 * - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` or
 * `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_set_observed_with(const struct trimtab_pool *pool,
                                              uint64_t id,
                                              int32_t observed,
                                              struct trimtab_str reason,
                                              uint64_t now_ns);

/**
 * Why a backend is observed to be what it is, in one line; empty while nobody has said.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_reason_copy(const struct trimtab_pool *pool,
                                        uint64_t id,
                                        char *buffer,
                                        size_t size,
                                        size_t *length_out);

/**
 * Begins a retry: another pick, or another try at a connection, for what failed. It is in flight until
 * `trimtab_pool_retry_end`, and so many may be as the retry budget has. When it is refused, do not try again.
 *
 * - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
 * - `retry_out`: written on success only; good for one `trimtab_pool_retry_end`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_CAPACITY`, whose detail names the limit that is reached:
 * `retry_budget`, `retries_max` or `retries`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_retry_begin(const struct trimtab_pool *pool,
                                        uint64_t now_ns,
                                        uint64_t *retry_out);

/**
 * Ends a retry, however it went: a request's when it is answered, a lasting connection's when it stands.
 *
 * - `retry`: as `trimtab_pool_retry_begin` gave it.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STALE_PICK` when it ended before or is none of this pool's.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_retry_end(const struct trimtab_pool *pool,
                                      uint64_t retry);

/**
 * Whether `trimtab_pool_retry_begin` would find room in the budget now. Nothing is taken, and another thread may come
 * first.
 *
 * - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
 * - `may_out`: 1 or 0, written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_may_retry(const struct trimtab_pool *pool,
                                      uint64_t now_ns,
                                      int32_t *may_out);

/**
 * Says that one more waits for a place below a limit, which counts for the retry budget and has
 * `TRIMTAB_EVENT_ROOM` told when one may have come free. Pick once more after this, for a place may have come free
 * before it. Each is good for one `trimtab_pool_unwant`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_CAPACITY` when `pending_max` wait already.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_try_want(const struct trimtab_pool *pool);

/**
 * Says that one less waits for a place: it has one, or has given up.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` when nobody waits.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_unwant(const struct trimtab_pool *pool);

/**
 * Names the function that is told what happens in a pool: once for each pool, and for as long as it lives.
 *
 * - `event_fn`: see `trimtab_pool_event_fn`.
 * - `user_data`: goes to `event_fn` as it is; may be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` when the pool has one already, as a server's has its
 * server.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_pool_observe(const struct trimtab_pool *pool,
                                    trimtab_pool_event_fn event_fn,
                                    void *user_data);

/**
 * Reads what a pool counted.
 *
 * - `statistics_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block, and holds nobody up.
 */
trimtab_status trimtab_pool_statistics_read(const struct trimtab_pool *pool,
                                            struct trimtab_pool_statistics *statistics_out);

/**
 * Reads what was counted of one backend.
 *
 * - `id`: as `trimtab_pool_add` gave it.
 * - `statistics_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Does not block, and holds nobody up.
 */
trimtab_status trimtab_pool_backend_statistics_read(const struct trimtab_pool *pool,
                                                    uint64_t id,
                                                    struct trimtab_backend_statistics *statistics_out);

/**
 * Makes a check of one backend. Its first probe falls due within one `interval` of `now_ns`.
 *
 * - `config`: TOML, the keys `check`, `role` and `lag_max` as a `[[pool]]` of a configuration has them, like
 *   `check = { kind = "http", path = "/up" }`; copied before return.
 * - `address`: the backend's, `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return.
 * - `now_ns`: nanoseconds of `CLOCK_MONOTONIC`, or of a clock of the host's own, then in all calls on this check;
 *   with 0 trimtab reads the clock.
 * - `check_out`: written on success only; end it with `trimtab_check_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_CONFIG`, whose detail gives line, column and
 * what to write instead, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when a password cannot be read.
 * Thread safety: any thread, at any time. Blocks while a `password_file` is read.
 */
trimtab_status trimtab_check_new(struct trimtab_str config,
                                 struct trimtab_str address,
                                 uint64_t now_ns,
                                 struct trimtab_check **check_out);

/**
 * Ends a check. The probe's connection is the host's to close.
 *
 * - `check`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `check`. Does not block.
 */
void trimtab_check_free(struct trimtab_check *check);

/**
 * Does what is due, and says what to do next. Take steps until it is `TRIMTAB_STEP_WAIT`, or `TRIMTAB_STEP_WRITE` and
 * the socket takes no more now.
 *
 * - `now_ns`: as for `trimtab_check_new`.
 * - `step_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_take_step(struct trimtab_check *check,
                                       uint64_t now_ns,
                                       struct trimtab_check_step *step_out);

/**
 * The probe's connection stands.
 *
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_connected(struct trimtab_check *check, uint64_t now_ns);

/**
 * The socket took so much of a step's data.
 *
 * - `bytes`: how many, from the first on.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_written(struct trimtab_check *check, size_t bytes);

/**
 * This came on the probe's connection.
 *
 * - `bytes`: in whatever pieces they come; read during the call only.
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_bytes(struct trimtab_check *check,
                                          struct trimtab_bytes bytes,
                                          uint64_t now_ns);

/**
 * The backend ended its half of the probe's connection: nothing more will come.
 *
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_end(struct trimtab_check *check, uint64_t now_ns);

/**
 * The probe's connection could not be made, or broke: a bad verdict.
 *
 * - `why`: one line for the reason, like the system's words for the error.
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_failed(struct trimtab_check *check,
                                           struct trimtab_str why,
                                           uint64_t now_ns);

/**
 * The probe could not be made for a reason of the host's own, such as a want of descriptors. It is no verdict; the next
 * probe comes at its time.
 *
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_abandoned(struct trimtab_check *check,
                                              uint64_t now_ns);

/**
 * Traffic gave cause for doubt: the next probe comes as soon as `interval_transition` allows. However often it is said,
 * the backend is not asked more often than that.
 *
 * - `now_ns`: as for `trimtab_check_new`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_handle_suspicion(struct trimtab_check *check,
                                              uint64_t now_ns);

/**
 * Where the check's probes connect, as an address is written: the backend's address, or what the check asks for.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_target_copy(const struct trimtab_check *check,
                                         char *buffer,
                                         size_t size,
                                         size_t *length_out);

/**
 * How the backend stands.
 *
 * - `status_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_status_read(const struct trimtab_check *check,
                                         struct trimtab_check_status *status_out);

/**
 * Why the backend is observed to be what it is, in one line; empty while nothing is known.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_reason_copy(const struct trimtab_check *check,
                                         char *buffer,
                                         size_t size,
                                         size_t *length_out);

/**
 * Why the last bad probe was bad, in one line, though good ones may have followed; empty when there was none.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `check`. Does not block.
 */
trimtab_status trimtab_check_failure_copy(const struct trimtab_check *check,
                                          char *buffer,
                                          size_t size,
                                          size_t *length_out);

/**
 * Makes a server from a configuration's text, which the command `trimtab` takes as a file. Nothing is opened
 * and no thread made before it is started.
 *
 * - `config`: TOML; copied before return.
 * - `source_name`: what errors call the text, like the name of its file; copied before return. When it is
 *   empty they call it `config`.
 * - `server_out`: written on success only; end it with `trimtab_server_free`.
 * - `on_event`: gets the server's events; may be NULL.
 * - `user_data`: goes to `on_event` as it is; must be good until `trimtab_server_free` has returned.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_CONFIG`: the detail gives name,
 * line and column of the first thing wrong, what to do instead, and how many more there are.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_new(struct trimtab_str config,
                                  struct trimtab_str source_name,
                                  struct trimtab_server **server_out,
                                  trimtab_event_fn on_event,
                                  void *user_data);

/**
 * Makes a server from a configuration's file.
 *
 * - `path`: as the system has it: any bytes but NUL; read during the call only.
 * - `server_out`, `on_event`, `user_data`: as for `trimtab_server_new`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_CONFIG` as `trimtab_server_new` and for a file that is
 * not UTF-8 or too long, or `TRIMTAB_E_IO` when it cannot be read.
 * Thread safety: any thread, at any time. Blocks while the file is read.
 */
trimtab_status trimtab_server_new_from_file(struct trimtab_str path,
                                            struct trimtab_server **server_out,
                                            trimtab_event_fn on_event,
                                            void *user_data);

/**
 * Ends a server as `trimtab_server_stop` does, waits for its threads and for whoever is in its callback, and
 * gives back all that belongs to it. The callback is not called any more once this has returned. Pools got
 * by `trimtab_server_pool` go on.
 *
 * In a child made by `fork` it gives back what memory can be given back there, at once, and leaves alone
 * what is the parent's: the child keeps its copies of the descriptors until it ends.
 *
 * - `server`: may be NULL.
 *
 * In the server's own callback it does nothing: the call that waits for the callback is still on.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `server`. Blocks until its threads have ended, which they do
 * at once, and its callback has returned.
 */
void trimtab_server_free(struct trimtab_server *server);

/**
 * Hands over a socket that listens already, in place of the listener's `bind`: from a service manager, or
 * from the process that this one replaces.
 *
 * - `listener`: its name in the configuration.
 * - `fd`: the server takes a duplicate of it: the caller's stays the caller's, to close now or later. Both
 *   are one socket, which is non-blocking from now on. It stays open as long as one of them is, so clients
 *   that come after the server has ended wait for whoever holds the other.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` for a listener that the
 * configuration does not have, `TRIMTAB_E_INVALID_ARGUMENT` for a negative `fd`, `TRIMTAB_E_IO` for what is
 * no stream socket that listens, `TRIMTAB_E_STATE` once it is started, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_adopt(const struct trimtab_server *server,
                                    struct trimtab_str listener,
                                    int32_t fd);

/**
 * Starts it on threads of its own, as many as `runtime.workers` says, with all signals blocked. Every
 * listener listens when this returns.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO`: the detail says what could not be bound, and where
 * the configuration asks for it; nothing is left open then and it may be tried again, `TRIMTAB_E_STATE` when
 * it was started before, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Blocks while the log of its store is read, otherwise not.
 */
trimtab_status trimtab_server_start(const struct trimtab_server *server);

/**
 * Accepts nothing new and lets sessions end by themselves until the time is over, then ends them. Does not
 * wait for that: see `trimtab_server_wait`; a hosted server does it in its next turns. Called again it sets
 * the time anew.
 *
 * - `timeout_ms`: milliseconds; negative for the longest `timeouts.drain` of the listeners.
 *
 * Returns `TRIMTAB_OK`, also when it has ended already, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` before it is
 * started, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_drain(const struct trimtab_server *server,
                                    int64_t timeout_ms);

/**
 * Ends it: every session is cut. Does not wait for that: see `trimtab_server_wait`; a hosted server ends in
 * its next turn. Good in any state and more than once; a server that was not started never will be.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_stop(const struct trimtab_server *server);

/**
 * Waits until it has ended and its threads are gone.
 *
 * - `timeout_ms`: at most so many milliseconds; negative for ever, 0 only looks.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, `TRIMTAB_E_STATE` before it is started,
 * when it is hosted (turn it until `trimtab_server_state` says stopped) and on a thread of its own, or
 * `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_server_wait(const struct trimtab_server *server,
                                   int64_t timeout_ms);

/**
 * What it does.
 *
 * - `state_out`: one of `TRIMTAB_SERVER_...`; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_state(const struct trimtab_server *server, int32_t *state_out);

/**
 * Where a listener listens, as the configuration writes addresses: `ip:port`, `[ipv6]:port`, `unix:/path` or
 * `unix:@abstract`. Port 0 in the configuration has become the one that the system chose.
 *
 * - `listener`: its name in the configuration.
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND`, `TRIMTAB_E_STATE` before
 * it is started, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_address_copy(const struct trimtab_server *server,
                                           struct trimtab_str listener,
                                           char *buffer,
                                           size_t size,
                                           size_t *length_out);

/**
 * Where the admin socket listens, written as by `trimtab_server_address_copy`.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` when the configuration has no `[admin]`,
 * `TRIMTAB_E_STATE` before it is started, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_admin_address_copy(const struct trimtab_server *server,
                                                 char *buffer,
                                                 size_t size,
                                                 size_t *length_out);

/**
 * A pool of the server, to add, remove and change backends while it runs, to pick from, to ask: everything
 * that `trimtab_pool_...` can do. Changes hold for the relay at once. It is timed by `trimtab_now`: give its
 * functions a `now_ns` of that clock, or 0.
 *
 * - `name`: its name in the configuration.
 * - `pool_out`: written on success only; end it with `trimtab_pool_free`, before or after the server. The
 *   server's part in the pool ends with the server.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_pool(const struct trimtab_server *server,
                                   struct trimtab_str name,
                                   struct trimtab_pool **pool_out);

/**
 * Starts it on the caller's threads: it makes none, and relays only in `trimtab_server_turn`. Every listener
 * listens when this returns. A loop does three things:
 *
 * 1. wait until the descriptor of `trimtab_server_poll_fd` is readable, for as long as
 *    `trimtab_server_next_timeout` says at most;
 * 2. call `trimtab_server_turn` with 0;
 * 3. go on until `trimtab_server_state` says stopped.
 *
 * A drain or a stop, by whatever thread, makes the descriptor readable, and the next turn carries it out.
 *
 * Its store, if it has one, has no threads either: a turn does its work too, and waits for the disk where that writes. Only
 * a node of a cluster has threads of its own, and a backup ordered through the admin interface one while it is made.
 *
 * Returns what `trimtab_server_start` does.
 * Thread safety: any thread, at any time. Blocks while the log of its store is read, otherwise not.
 */
trimtab_status trimtab_server_start_hosted(const struct trimtab_server *server);

/**
 * The descriptor of a hosted server: it is readable when a turn has something to do. For poll, epoll, kqueue
 * and whatever is built on them, level-triggered.
 *
 * - `fd_out`: it stays the server's: neither read nor close it. It is closed in the turn that ends the
 *   server, or in `trimtab_server_free`; the system takes it out of an epoll set then. Written on success
 *   only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started or has ended,
 * or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_poll_fd(const struct trimtab_server *server,
                                      int32_t *fd_out);

/**
 * When `trimtab_server_turn` is needed even if the descriptor is not readable. Ask again after each turn;
 * what other threads do in between makes the descriptor readable.
 *
 * - `deadline_ns_out`: on the clock of `trimtab_now`; in the past (0, it may be) for at once;
 *   `TRIMTAB_NO_TIME` while nothing is pending. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started or has ended,
 * or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_next_deadline(const struct trimtab_server *server,
                                            uint64_t *deadline_ns_out);

/**
 * The same as `poll` and `epoll_wait` take it: how long from now.
 *
 * - `timeout_ms_out`: milliseconds, rounded up so that the deadline has come when they are over; 0 for at
 *   once, -1 while nothing is pending. Written on success only.
 *
 * Returns what `trimtab_server_next_deadline` does.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_next_timeout(const struct trimtab_server *server,
                                           int32_t *timeout_ms_out);

/**
 * Handles what has happened on a hosted server: accepts, relays, lets deadlines pass, turns its store. It returns early
 * when the thread takes a signal.
 *
 * - `timeout_ms`: waits at most so many milliseconds for something to happen; negative for as long as it
 *   takes, 0 not at all.
 * - `count_out`: how much there was; may be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started, has ended,
 * or is being turned already, by another thread or around this call (in a callback), `TRIMTAB_E_IO` when
 * the system refuses to wait, which ends it, or `TRIMTAB_E_FORKED`.
 * Thread safety: one thread at a time. Blocks for as long as `timeout_ms` allows, and for the disk where its store
 * writes.
 */
trimtab_status trimtab_server_turn(const struct trimtab_server *server,
                                   int64_t timeout_ms,
                                   size_t *count_out);

/**
 * Reads what a server counted; zeros before it is started.
 *
 * - `statistics_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block, and holds no session up.
 */
trimtab_status trimtab_server_statistics_read(const struct trimtab_server *server,
                                              struct trimtab_server_statistics *statistics_out);

/**
 * Reads what was counted of one listener.
 *
 * - `listener`: its name in the configuration.
 * - `statistics_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND`,
 * `TRIMTAB_E_STATE` before it is started, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block, and holds no session up.
 */
trimtab_status trimtab_server_listener_statistics_read(const struct trimtab_server *server,
                                                       struct trimtab_str listener,
                                                       struct trimtab_listener_statistics *statistics_out);

/**
 * Everything there is to see of a server, as JSON: what it does, its totals, its listeners, its pools and
 * their backends; what `trimtab ctl status` shows. Fields may be added in later releases.
 *
 * - `buffer`, `size`, `length_out`: see "Text that comes out" above. It may be longer each time.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block, and holds no session up; allocates.
 */
trimtab_status trimtab_server_status_copy(const struct trimtab_server *server,
                                          char *buffer,
                                          size_t size,
                                          size_t *length_out);

/**
 * Makes options that hold the defaults.
 *
 * - `options_out`: written on success only; end it with `trimtab_store_options_free`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_options_new(struct trimtab_store_options **options_out);

/**
 * Ends options. Stores opened with them go on.
 *
 * - `options`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `options`. Does not block.
 */
void trimtab_store_options_free(struct trimtab_store_options *options);

/**
 * Sets whose store it is. A directory of another is refused. Without it a directory keeps what it says, and a new one
 * gets a cluster at random and node 1.
 *
 * - `cluster`: 16 bytes, the same on all nodes of the cluster.
 * - `node`: its number, from 1.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_identity(struct trimtab_store_options *options,
                                                  struct trimtab_bytes cluster,
                                                  uint64_t node);

/**
 * Sets how durable a write is before it is answered that does not say so itself.
 *
 * - `durability`: `TRIMTAB_DURABILITY_MEMORY` or `TRIMTAB_DURABILITY_LOCAL`, the default: what was answered is there after a
 *   crash. The others are for members of a cluster, which have `trimtab_cluster_options_set_durability`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT` or `TRIMTAB_E_UNSUPPORTED`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_durability(struct trimtab_store_options *options,
                                                    int32_t durability);

/**
 * Sets how long a call waits that does not say so itself.
 *
 * - `timeout_ms`: milliseconds, 1 to 86400000; default 30000: who waits for a disk that hangs is told so.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_timeout_ms(struct trimtab_store_options *options,
                                                    uint64_t timeout_ms);

/**
 * Sets how many calls may wait until the log takes them; more are refused with `TRIMTAB_E_CAPACITY`.
 *
 * - `calls`: 1 to 16777216; default 65536, as many as may come together while a segment is made.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_waiting_max(struct trimtab_store_options *options,
                                                     size_t calls);

/**
 * Sets after how long writes in memory go to disk at the latest.
 *
 * - `interval_ms`: milliseconds, 1 to 3600000; default 1000: what a crash may take of them.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_flush_interval_ms(struct trimtab_store_options *options,
                                                           uint64_t interval_ms);

/**
 * Sets how much of them may come together before that.
 *
 * - `bytes`: 4096 to 4294967296; default 8388608: a burst does not wait for the interval.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_flush_bytes(struct trimtab_store_options *options,
                                                     uint64_t bytes);

/**
 * Sets how long the log may get, beyond the length of the last snapshot, before a snapshot is written.
 *
 * - `bytes`: 65536 to 2^48; default 268435456: what is written while a snapshot is made is copied in memory first.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_snapshot_bytes(struct trimtab_store_options *options,
                                                        uint64_t bytes);

/**
 * Sets how long after a snapshot that failed the next one is tried.
 *
 * - `retry_ms`: milliseconds, 1 to 86400000; default 10000.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_snapshot_retry_ms(struct trimtab_store_options *options,
                                                           uint64_t retry_ms);

/**
 * Sets what goes when `memory_max` is reached.
 *
 * - `eviction`: one of `TRIMTAB_EVICTION_...`; default `TRIMTAB_EVICTION_REFUSE`: nothing goes that nobody asked to go.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_eviction(struct trimtab_store_options *options,
                                                  int32_t eviction);

/**
 * Sets of how many keys it is remembered when they were used, with `TRIMTAB_EVICTION_LRU`.
 *
 * - `keys`: 1 to 268435456, four bytes each; default 1048576.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_eviction_places(struct trimtab_store_options *options,
                                                         size_t keys);

/**
 * Sets how much keys, values and what belongs to them may come to; writes beyond it are refused with
 * `TRIMTAB_E_CAPACITY`, or make others go (`trimtab_store_options_set_eviction`).
 *
 * - `bytes`: from 65536; default 0, no limit: a limit must fit the machine.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_memory_max(struct trimtab_store_options *options,
                                                    uint64_t bytes);

/**
 * Sets how long a value may be.
 *
 * - `bytes`: 1 to 536870912, and no more than three quarters of a segment; default 16777216.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_value_max(struct trimtab_store_options *options,
                                                   uint64_t bytes);

/**
 * Sets how many steps and comparisons one transaction may have.
 *
 * - `operations`: 1 to 1048576; default 10000: it is applied in one go.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_operations_max(struct trimtab_store_options *options,
                                                        uint64_t operations);

/**
 * Sets of how many clients the answers are remembered; who asked longest ago is forgotten first.
 *
 * - `clients`: 1 to 16777216; default 10000.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_clients_max(struct trimtab_store_options *options,
                                                     uint64_t clients);

/**
 * Sets how much the remembered answers may come to, of all clients.
 *
 * - `bytes`: 1024 to 2^48; default 67108864: answers may have values in them.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_client_bytes_max(struct trimtab_store_options *options,
                                                          uint64_t bytes);

/**
 * Sets the length of a segment's file. A directory keeps the one it was made with: opening it with another is refused.
 *
 * - `bytes`: 16384 to 1073741824, a multiple of 4096; default 67108864.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_segment_bytes(struct trimtab_store_options *options,
                                                       uint64_t bytes);

/**
 * Sets how much may be taken and not be on disk yet; then calls wait for their turn.
 *
 * - `bytes`: 65536 to 4294967296; default 67108864.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_pending_bytes_max(struct trimtab_store_options *options,
                                                           uint64_t bytes);

/**
 * Sets how much segments and snapshots may take together; writes that would need more are refused with
 * `TRIMTAB_E_CAPACITY`. A snapshot is written even so, since it is what makes room.
 *
 * - `bytes`: three segments or more, so set those first; default 0, no limit.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_disk_bytes_max(struct trimtab_store_options *options,
                                                        uint64_t bytes);

/**
 * Sets how much of the log is kept though a snapshot stands for it, in whole segments: so an incremental backup goes on
 * from the last one. It is read when the store is opened. Where `trimtab_store_options_set_disk_bytes_max` or the disk
 * itself leaves no room for what is to be written, it goes first.
 *
 * - `bytes`: up to 2^48; default 0, none.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_kept_bytes(struct trimtab_store_options *options,
                                                    uint64_t bytes);

/**
 * Sets how soon it is seen that a full disk has room again.
 *
 * - `retry_ms`: milliseconds, 1 to 3600000; default 1000.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_disk_retry_ms(struct trimtab_store_options *options,
                                                       uint64_t retry_ms);

/**
 * Sets how much is kept of changes, for watches that are behind.
 *
 * - `bytes`: from 0, 128 for a change counted beside its key and value; default 16777216.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_history_bytes_max(struct trimtab_store_options *options,
                                                           uint64_t bytes);

/**
 * Sets how long after one pass over all that lies on disk, which finds what has rotted, the next one begins.
 *
 * - `interval_ms`: milliseconds, 1 to 31622400000, or 0: only when it is asked for; default 86400000, a day.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_scrub_interval_ms(struct trimtab_store_options *options,
                                                           uint64_t interval_ms);

/**
 * Sets how much of it is read in a second.
 *
 * - `bytes`: 65536 to 2^40; default 8388608: a gigabyte in two minutes, and a disk hardly notices.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_scrub_bytes_per_second(struct trimtab_store_options *options,
                                                                uint64_t bytes);

/**
 * What came of a request, without sending it again: every write that was answered at `TRIMTAB_DURABILITY_QUORUM` before is seen.
 * Changes nothing. In a cluster the primary is asked.
 *
 * - `call`: `client`, not all 0, and `number` say which; `timeout_ms` how long to wait. The rest is left unread.
 * - `outcome_out`: one of `TRIMTAB_REQUEST_...`; written on success only.
 * - `answer_out`: with `TRIMTAB_REQUEST_APPLIED` what its retry would get, `is_repeated`, to be ended with
 *   `trimtab_store_answer_free`; otherwise NULL. In a cluster it stays, and `epoch` and `entry` are a place in the log that has
 *   it; in a store of one node `durability` says whether it is on the disk yet. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_STATE` when the store
 * is closed, `TRIMTAB_E_FORKED`, or in a cluster `TRIMTAB_E_NOT_PRIMARY` from a node that does not forward,
 * `TRIMTAB_E_NO_QUORUM` and `TRIMTAB_E_TIMED_OUT`.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows, in a cluster alone.
 */
trimtab_status trimtab_store_outcome(const struct trimtab_store *store,
                                     const struct trimtab_store_call *call,
                                     int32_t *outcome_out,
                                     struct trimtab_store_answer **answer_out);

/**
 * Opens the store in a directory, or makes one there.
 *
 * - `path`: the directory, as the system has it: any bytes but NUL; read during the call only. It and what is above
 *   it is made if it is not there.
 * - `options`: NULL for the defaults; nothing of it is kept.
 * - `store_out`: written on success only; end it with `trimtab_store_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is open already, here or in another process,
 * `TRIMTAB_E_INVALID_ARGUMENT` for a directory of another cluster, node or segment length, `TRIMTAB_E_UNSUPPORTED` when
 * a later release wrote it, `TRIMTAB_E_CORRUPT` when something that was durable is damaged: the detail says where and
 * what to do, or `TRIMTAB_E_IO`.
 * Thread safety: any thread, at any time. Blocks while it reads the log.
 */
trimtab_status trimtab_store_open(struct trimtab_str path,
                                  const struct trimtab_store_options *options,
                                  struct trimtab_store **store_out);

/**
 * Takes nothing more, writes what was taken, whatever durability it asked for, and frees the directory. Calls under way
 * are answered. Closing again does nothing.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO` when the log has failed: then writes in memory may be lost,
 * `TRIMTAB_E_STATE` for the store of a server, which closes it when it ends, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Blocks for the disk.
 */
trimtab_status trimtab_store_close(const struct trimtab_store *store);

/**
 * Closes a store as `trimtab_store_close` does, which tells what was lost, and gives back what belongs to it. Of a
 * server's store it gives back the handle alone.
 *
 * - `store`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `store`. Blocks for the disk, unless it is closed.
 */
void trimtab_store_free(struct trimtab_store *store);

/**
 * Copies what a key has.
 *
 * - `buffer`, `size`: where it goes, as much as fits, without a closing NUL. `buffer` may be NULL when `size` is 0.
 * - `length_out`: gets the length of the whole; when that is more than `size`, try again with more. May be NULL.
 * - `version_out`: gets the sequence of the key's last change, for `trimtab_store_compare_and_set`. May be NULL.
 *
 * Returns `TRIMTAB_OK`, also when it does not fit, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when the key is not there.
 * Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
 */
trimtab_status trimtab_store_get_copy(const struct trimtab_store *store,
                                      struct trimtab_bytes key,
                                      void *buffer,
                                      size_t size,
                                      size_t *length_out,
                                      uint64_t *version_out);

/**
 * Waits until all that was written before is on disk.
 *
 * - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
 * - `sequence_out`: gets the last sequence of it; may be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT` or `TRIMTAB_E_IO`.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_sync(const struct trimtab_store *store,
                                  int64_t timeout_ms,
                                  uint64_t *sequence_out);

/**
 * Waits until the log is on this disk up to a sequence, such as that of a write with `TRIMTAB_DURABILITY_MEMORY`. It hurries
 * nobody: such writes come there with the next flush, within `flush_interval_ms`; `trimtab_store_sync` has them come at once.
 * A sequence that is not written yet is waited for. In a cluster it is this node's log: what a primary that was lost has
 * written there may be replaced by others' entries, what was answered with `TRIMTAB_DURABILITY_QUORUM` is not.
 * `trimtab_store_queue_submit_durable` is the same without a thread that waits.
 *
 * - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
 * - `durable_out`: gets the sequence up to which it is; may be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, `TRIMTAB_E_CAPACITY` when `waiting_max` wait for that, or
 * `TRIMTAB_E_IO` when the log has failed.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_wait_durable(const struct trimtab_store *store,
                                          uint64_t sequence,
                                          int64_t timeout_ms,
                                          uint64_t *durable_out);

/**
 * Has a snapshot written of what is there now, beside everything else, and waits for it. The log lets go of what it
 * stands for. The store does so by itself when the log grows long.
 *
 * - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
 * - `sequence_out`: gets the snapshot's sequence; may be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`: it goes on, or `TRIMTAB_E_IO` when the disk is full or
 * has failed.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_snapshot(const struct trimtab_store *store,
                                      int64_t timeout_ms,
                                      uint64_t *sequence_out);

/**
 * How a store is.
 *
 * - `status_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_status_read(const struct trimtab_store *store,
                                         struct trimtab_store_status *status_out);

/**
 * What opening the store found. It does not change, and is told of a store that is closed too.
 *
 * - `report_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_report_read(const struct trimtab_store *store,
                                         struct trimtab_store_report *report_out);

/**
 * Copies the name of the file of which opening has cut off a torn tail; nothing when there was none.
 *
 * - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
 * - `length_out`: gets the length of the whole, without the NUL; may be NULL.
 *
 * Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_torn_file_copy(const struct trimtab_store *store,
                                            char *buffer,
                                            size_t size,
                                            size_t *length_out);

/**
 * Copies the name of the first file with damage that a snapshot stands for, so that opening has left it out; nothing when there was
 * none.
 *
 * - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
 * - `length_out`: gets the length of the whole, without the NUL; may be NULL.
 *
 * Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_covered_file_copy(const struct trimtab_store *store,
                                               char *buffer,
                                               size_t size,
                                               size_t *length_out);

/**
 * Copies why the settings that the store was opened with are not in force; nothing when they are.
 *
 * - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
 * - `length_out`: gets the length of the whole, without the NUL; may be NULL.
 *
 * Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_settings_refused_copy(const struct trimtab_store *store,
                                                   char *buffer,
                                                   size_t size,
                                                   size_t *length_out);

/**
 * Sets whether a store runs on its caller's threads: it makes none, and does what is due in `trimtab_store_turn` and in
 * calls that wait, on the thread that calls. A loop does three things:
 *
 * 1. wait until the descriptor of `trimtab_store_poll_fd` is readable, for as long as `trimtab_store_next_deadline` says at
 *    most;
 * 2. call `trimtab_store_turn` with 0;
 * 3. take what is done from its queues and watches, whose descriptors are readable then.
 *
 * Calls that wait may be made beside it, by any threads: one of them writes for all.
 *
 * - `is_hosted`: 1 or 0; default 0, threads of its own.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_store_options_set_hosted(struct trimtab_store_options *options,
                                                int32_t is_hosted);

/**
 * The descriptor of a hosted store: it is readable when a turn has something to do. For poll, epoll and whatever is
 * built on them, level-triggered.
 *
 * - `fd_out`: it stays the store's: neither read nor close it. It is closed in `trimtab_store_free`, or when the last of the
 *   store's queues and watches is freed, if that is later. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, or is a server's.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_poll_fd(const struct trimtab_store *store,
                                     int32_t *fd_out);

/**
 * When `trimtab_store_turn` is needed even if the descriptor is not readable. Ask again after each turn; what other
 * threads do in between makes the descriptor readable.
 *
 * - `deadline_ns_out`: on the clock of `trimtab_now`; now or in the past for at once; `TRIMTAB_NO_TIME` while nothing is
 *   pending. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, or is a server's.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_next_deadline(const struct trimtab_store *store,
                                           uint64_t *deadline_ns_out);

/**
 * The same as `poll` and `epoll_wait` take it: how long from now.
 *
 * - `timeout_ms_out`: milliseconds, rounded up so that the deadline has come when they are over; 0 for at once, -1 while
 *   nothing is pending. Written on success only.
 *
 * Returns what `trimtab_store_next_deadline` does.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_next_timeout(const struct trimtab_store *store,
                                          int32_t *timeout_ms_out);

/**
 * Does what is due on a hosted store, a bounded piece of each kind: one write and one sync for all that was taken; what
 * expires; a MiB of the next segment; a quarter of a MiB of a snapshot; a MiB read again. Queues and watches are told. It may
 * return early, after a signal or a minute.
 *
 * - `timeout_ms`: waits at most so many milliseconds for something to do; negative for as long as it takes, 0 not at all.
 * - `count_out`: how many pieces there were; may be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, is a server's, or is being turned already, by another
 * thread. What fails on the disk is told to those who wait for it, and stands in `trimtab_store_status`.
 * Thread safety: one thread at a time. Blocks for as long as `timeout_ms` allows, and for the disk.
 */
trimtab_status trimtab_store_turn(const struct trimtab_store *store,
                                  int64_t timeout_ms,
                                  size_t *count_out);

/**
 * Puts a value, in any case and until it is deleted. `trimtab_store_execute` puts under a condition, for a time, or with a
 * lease.
 *
 * - `key`, `value`: copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_put(const struct trimtab_store *store,
                                 struct trimtab_bytes key,
                                 struct trimtab_bytes value,
                                 const struct trimtab_store_call *call,
                                 struct trimtab_store_result *result_out);

/**
 * Puts a value if the key has a version; `is_done` of the result tells, and `version` which one it has now.
 *
 * - `key`, `value`: copied before return.
 * - `version`: as a result or `trimtab_store_get_copy` told it; 0: if the key is not there.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only, also when it was not put.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_compare_and_set(const struct trimtab_store *store,
                                             struct trimtab_bytes key,
                                             uint64_t version,
                                             struct trimtab_bytes value,
                                             const struct trimtab_store_call *call,
                                             struct trimtab_store_result *result_out);

/**
 * Puts a value, and gives what was there.
 *
 * - `key`, `value`: copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `answer_out`: its one entry is what was there; it has none if nothing was. Written on success only; end it with
 *   `trimtab_store_answer_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_get_and_set(const struct trimtab_store *store,
                                         struct trimtab_bytes key,
                                         struct trimtab_bytes value,
                                         const struct trimtab_store_call *call,
                                         struct trimtab_store_answer **answer_out);

/**
 * Deletes a key; `is_done` of the result tells whether it was there.
 *
 * - `key`: copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_delete(const struct trimtab_store *store,
                                    struct trimtab_bytes key,
                                    const struct trimtab_store_call *call,
                                    struct trimtab_store_result *result_out);

/**
 * Deletes the keys of a range, seen whole or not at all; `count` of the result tells how many, and `more` whether `limit`
 * left some.
 *
 * - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`.
 * - `limit`: the most to delete, the first ones; 0 for all.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_delete_range(const struct trimtab_store *store,
                                          int32_t range,
                                          struct trimtab_bytes start,
                                          struct trimtab_bytes end,
                                          uint64_t limit,
                                          const struct trimtab_store_call *call,
                                          struct trimtab_store_result *result_out);

/**
 * Adds to a number: a value of decimal digits, with a `-` before it if it is negative. No value is 0. `number` of the result
 * is the sum. The key lives as long as before.
 *
 * - `key`: copied before return.
 * - `by`: what to add. A sum beyond 64 bits, and a value that is no number, is `TRIMTAB_E_INVALID_ARGUMENT`.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_increment(const struct trimtab_store *store,
                                       struct trimtab_bytes key,
                                       int64_t by,
                                       const struct trimtab_store_call *call,
                                       struct trimtab_store_result *result_out);

/**
 * Appends to a value; no value is an empty one. `count` of the result is its length. The key lives as long as before.
 *
 * - `key`, `value`: copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_append(const struct trimtab_store *store,
                                    struct trimtab_bytes key,
                                    struct trimtab_bytes value,
                                    const struct trimtab_store_call *call,
                                    struct trimtab_store_result *result_out);

/**
 * Has a key expire; `is_done` of the result tells whether it was there.
 *
 * - `key`: copied before return.
 * - `ttl_ms`: from now on, in milliseconds; 0: it is gone at once.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_expire(const struct trimtab_store *store,
                                    struct trimtab_bytes key,
                                    uint64_t ttl_ms,
                                    const struct trimtab_store_call *call,
                                    struct trimtab_store_result *result_out);

/**
 * Has a key expire at a moment; `is_done` of the result tells whether it was there.
 *
 * - `key`: copied before return.
 * - `deadline_ms`: milliseconds since the beginning of 1970 in UTC; one that is over means that it is gone at once.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_expire_at(const struct trimtab_store *store,
                                       struct trimtab_bytes key,
                                       uint64_t deadline_ms,
                                       const struct trimtab_store_call *call,
                                       struct trimtab_store_result *result_out);

/**
 * Has a key live until it is deleted; `is_done` of the result tells whether it is there.
 *
 * - `key`: copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_persist(const struct trimtab_store *store,
                                     struct trimtab_bytes key,
                                     const struct trimtab_store_call *call,
                                     struct trimtab_store_result *result_out);

/**
 * Begins a lease. Keys put with it go when it ends. `deadline_ms` of the result tells when that is.
 *
 * - `lease`: its number, chosen by the caller; not 0, and none that is alive: that is `TRIMTAB_E_INVALID_ARGUMENT`.
 * - `ttl_ms`: how long it lives without a keep-alive, in milliseconds; 1 to 2^48.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_lease_grant(const struct trimtab_store *store,
                                         uint64_t lease,
                                         uint64_t ttl_ms,
                                         const struct trimtab_store_call *call,
                                         struct trimtab_store_result *result_out);

/**
 * Prolongs a lease to its whole time from now; `deadline_ms` of the result tells until when.
 *
 * - `lease`: its number.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_lease_keep_alive(const struct trimtab_store *store,
                                              uint64_t lease,
                                              const struct trimtab_store_call *call,
                                              struct trimtab_store_result *result_out);

/**
 * Ends a lease and deletes its keys; `count` of the result tells how many.
 *
 * - `lease`: its number.
 * - `call`: how it is to go; NULL for the defaults.
 * - `result_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_lease_revoke(const struct trimtab_store *store,
                                          uint64_t lease,
                                          const struct trimtab_store_call *call,
                                          struct trimtab_store_result *result_out);

/**
 * A lease, if it is alive.
 *
 * - `lease`: its number.
 * - `ttl_ms_out`: gets how long it lives without a keep-alive, in milliseconds; may be NULL.
 * - `deadline_ms_out`: gets when it ends without one, in milliseconds since the beginning of 1970 in UTC; may be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when it is not alive.
 * Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
 */
trimtab_status trimtab_store_lease_read(const struct trimtab_store *store,
                                        uint64_t lease,
                                        uint64_t *ttl_ms_out,
                                        uint64_t *deadline_ms_out);

/**
 * Ends an answer, and what its entries point to.
 *
 * - `answer`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `answer`. Does not block.
 */
void trimtab_store_answer_free(struct trimtab_store_answer *answer);

/**
 * What came of the call.
 *
 * - `result_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what a submitted call failed with, detail included.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_answer_read(const struct trimtab_store_answer *answer,
                                         struct trimtab_store_result *result_out);

/**
 * An entry of the answer: what was there before, what a key has, or one of a range, in the order asked for.
 *
 * - `at`: from 0 to below `entries` of the result.
 * - `entry_out`: its `struct_size` is read; written on success only. What it points to is good until
 *   `trimtab_store_answer_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there are not so many, or
 * what a submitted call failed with.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_answer_entry(const struct trimtab_store_answer *answer,
                                          uint64_t at,
                                          struct trimtab_store_entry *entry_out);

/**
 * What came of a step of a transaction.
 *
 * - `step`: from 0 to below `count` of the transaction's result, in the order in which they were added to the branch that
 *   was done.
 * - `result_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there are not so many, what
 * a submitted transaction failed with, or what this step was refused with, if the others were done even so.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_answer_step_read(const struct trimtab_store_answer *answer,
                                              uint64_t step,
                                              struct trimtab_store_result *result_out);

/**
 * An entry of what a step of a transaction answered.
 *
 * - `step`: as for `trimtab_store_answer_step_read`.
 * - `at`: from 0 to below `entries` of the step's result.
 * - `entry_out`: as for `trimtab_store_answer_entry`.
 *
 * Returns what `trimtab_store_answer_step_read` does.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_answer_step_entry(const struct trimtab_store_answer *answer,
                                               uint64_t step,
                                               uint64_t at,
                                               struct trimtab_store_entry *entry_out);

/**
 * Does whatever operation, and blocks until it is as durable as it asked to be. A transaction is
 * `trimtab_store_commit`'s.
 *
 * - `operation`: what to do; copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `answer_out`: gets the answer; end it with `trimtab_store_answer_free`. Written on success only.
 *
 * Returns `TRIMTAB_OK`, also when a condition did not hold, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write
 * may (see `trimtab_store`).
 * Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_execute(const struct trimtab_store *store,
                                     const struct trimtab_store_operation *operation,
                                     const struct trimtab_store_call *call,
                                     struct trimtab_store_answer **answer_out);

/**
 * Backs a store that is open up to a directory, beside everything else: all of it, or what came since the last time. All
 * that was answered before the call is in it. If it stops midway the backup is as it was before.
 *
 * - `to`: the backup's directory, as the system has it; made if it is not there. Read during the call only.
 * - `is_full`: 1 to begin anew with a snapshot, so that restoring is quick; else 0.
 * - `report_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_STATE` when another is adding to the backup or
 * when the store is behind it or has gone another way since, `TRIMTAB_E_INVALID_ARGUMENT` when there is something else in
 * the directory or a backup of another store, `TRIMTAB_E_CORRUPT` when what is read is damaged: the detail says where,
 * `TRIMTAB_E_TIMED_OUT`, or `TRIMTAB_E_IO`.
 * Thread safety: any thread, at any time. Blocks for the disk, and holds up nobody else.
 */
trimtab_status trimtab_store_backup(const struct trimtab_store *store,
                                    struct trimtab_str to,
                                    int32_t is_full,
                                    struct trimtab_store_backup_report *report_out);

/**
 * Backs up a store that nobody has open, as `trimtab_store_backup` does. Its directory is not changed.
 *
 * - `from`: the store's directory. Read during the call only, as the next.
 * - `to`, `is_full`, `report_out`: as there.
 *
 * Returns what that does, `TRIMTAB_E_STATE` also when somebody has the store open, or `TRIMTAB_E_NOT_FOUND` when there is no
 * store.
 * Thread safety: any thread, at any time. Blocks for the disk.
 */
trimtab_status trimtab_store_backup_closed(struct trimtab_str from,
                                           struct trimtab_str to,
                                           int32_t is_full,
                                           struct trimtab_store_backup_report *report_out);

/**
 * Reads all of a backup, and tells what it holds.
 *
 * - `backup`: its directory. Read during the call only.
 * - `report_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there is none,
 * `TRIMTAB_E_CORRUPT` when it is damaged: the detail says which file, and where, `TRIMTAB_E_UNSUPPORTED` when a later release
 * wrote it, or `TRIMTAB_E_IO`.
 * Thread safety: any thread, at any time. Blocks for the disk.
 */
trimtab_status trimtab_store_backup_verify(struct trimtab_str backup,
                                           struct trimtab_store_backup_report *report_out);

/**
 * Makes a store in a directory of a backup. Nothing may be in the directory but what an earlier restore left that did not
 * come to its end; until this has come to its end nobody opens it.
 *
 * - `backup`: the backup's directory. Read during the call only, as the next.
 * - `to`: the directory to restore into; made if it is not there.
 * - `options`: its `struct_size` is read; NULL for the defaults.
 * - `restored_out`: its `struct_size` is read; written on success only. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT` when there is something in `to`,
 * for a point that the backup does not hold (the detail says what it holds) or for the identity of a store that has
 * replicated, `TRIMTAB_E_NOT_FOUND` when there is no backup, `TRIMTAB_E_CORRUPT` when it is damaged, `TRIMTAB_E_UNSUPPORTED`
 * when a later release wrote it, or `TRIMTAB_E_IO`. `to` is as it was before then.
 * Thread safety: any thread, at any time. Blocks for the disk.
 */
trimtab_status trimtab_store_restore(struct trimtab_str backup,
                                     struct trimtab_str to,
                                     const struct trimtab_store_restore_options *options,
                                     struct trimtab_store_restored *restored_out);

/**
 * Has all that lies on a store's disk read again now, at `scrub_bytes_per_second`, and waits for it. The store does so by
 * itself (`trimtab_store_options_set_scrub_interval_ms`). When something has rotted a snapshot is written of what is in
 * memory, which is right, and stands for all that is older.
 *
 * - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
 *
 * Returns `TRIMTAB_OK` when all is good, `TRIMTAB_E_NULL`, `TRIMTAB_E_CORRUPT` when something is damaged: the detail says which
 * file, and where, `TRIMTAB_E_TIMED_OUT`: it goes on, or `TRIMTAB_E_IO` when something cannot be read.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_scrub(const struct trimtab_store *store,
                                   int64_t timeout_ms);

/**
 * Copies what was found damaged last, with file and offset; nothing once a later pass has found all good.
 *
 * - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
 * - `length_out`: gets the length of the whole, without the NUL; may be NULL.
 *
 * Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_damage_copy(const struct trimtab_store *store,
                                         char *buffer,
                                         size_t size,
                                         size_t *length_out);

/**
 * What a key has, of whatever length: a value of more than 1024 bytes is shared with the store, not copied.
 *
 * - `answer_out`: its one entry is what the key has; end it with `trimtab_store_answer_free`. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when the key is not there.
 * Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
 */
trimtab_status trimtab_store_get(const struct trimtab_store *store,
                                 struct trimtab_bytes key,
                                 struct trimtab_store_answer **answer_out);

/**
 * How many keys a range has.
 *
 * - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`.
 * - `count_out`: written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
 */
trimtab_status trimtab_store_count(const struct trimtab_store *store,
                                   int32_t range,
                                   struct trimtab_bytes start,
                                   struct trimtab_bytes end,
                                   uint64_t *count_out);

/**
 * Begins to go through the keys of a range.
 *
 * - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`. Copied before return.
 * - `limit`: the most keys to give; 0 for all.
 * - `reverse`: not 0 for from the last to the first.
 * - `scan_out`: written on success only; end it with `trimtab_store_scan_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
 */
trimtab_status trimtab_store_scan_new(const struct trimtab_store *store,
                                      int32_t range,
                                      struct trimtab_bytes start,
                                      struct trimtab_bytes end,
                                      uint64_t limit,
                                      int32_t reverse,
                                      struct trimtab_store_scan **scan_out);

/**
 * Ends a scan, and what its last entry points to.
 *
 * - `scan`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `scan`. Does not block.
 */
void trimtab_store_scan_free(struct trimtab_store_scan *scan);

/**
 * The next key.
 *
 * - `entry_out`: its `struct_size` is read; written when there is one. What it points to is good until the next call on
 *   this scan.
 * - `has_out`: 1 when there is one, 0 behind the last; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: one thread at a time for the same `scan`. Does not block.
 */
trimtab_status trimtab_store_scan_next(struct trimtab_store_scan *scan,
                                       struct trimtab_store_entry *entry_out,
                                       int32_t *has_out);

/**
 * The sequence of what a scan sees: a watch from the one behind it misses nothing that came later.
 *
 * - `sequence_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `scan`. Does not block.
 */
trimtab_status trimtab_store_scan_sequence(const struct trimtab_store_scan *scan,
                                           uint64_t *sequence_out);

/**
 * Makes a transaction without comparisons and operations.
 *
 * - `txn_out`: written on success only; end it with `trimtab_txn_free`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_txn_new(struct trimtab_txn **txn_out);

/**
 * Ends a transaction. What was committed or submitted of it goes on.
 *
 * - `txn`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `txn`. Does not block.
 */
void trimtab_txn_free(struct trimtab_txn *txn);

/**
 * Adds a comparison of a number.
 *
 * - `key`: copied before return.
 * - `what`: which number of the key: one of `TRIMTAB_COMPARE_...`.
 * - `relation`: how it must stand to `number`: one of `TRIMTAB_RELATION_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `txn`. Does not block.
 */
trimtab_status trimtab_txn_compare(struct trimtab_txn *txn,
                                   struct trimtab_bytes key,
                                   int32_t what,
                                   int32_t relation,
                                   uint64_t number);

/**
 * Adds a comparison of a value, byte by byte. That of a key that is not there is less than any.
 *
 * - `key`, `value`: copied before return.
 * - `relation`: how the key's value must stand to `value`: one of `TRIMTAB_RELATION_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `txn`. Does not block.
 */
trimtab_status trimtab_txn_compare_value(struct trimtab_txn *txn,
                                         struct trimtab_bytes key,
                                         int32_t relation,
                                         struct trimtab_bytes value);

/**
 * Adds an operation for when all comparisons hold, which they do when there is none.
 *
 * - `operation`: what to do; any but those on leases. Copied before return; `user_data` is not looked at.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `txn`. Does not block.
 */
trimtab_status trimtab_txn_then(struct trimtab_txn *txn,
                                const struct trimtab_store_operation *operation);

/**
 * Adds an operation for when a comparison does not hold.
 *
 * - `operation`: as for `trimtab_txn_then`.
 *
 * Returns what `trimtab_txn_then` does.
 * Thread safety: one thread at a time for the same `txn`. Does not block.
 */
trimtab_status trimtab_txn_otherwise(struct trimtab_txn *txn,
                                     const struct trimtab_store_operation *operation);

/**
 * Sets what an operation that is refused (a value that is no number, one that is too long) means for the others.
 *
 * - `continues`: 0, the default: nothing of the transaction is done, and the refusal is the answer. Not 0: the others are
 *   done, and `trimtab_store_answer_step_read` tells the refusal.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `txn`. Does not block.
 */
trimtab_status trimtab_txn_set_continue(struct trimtab_txn *txn,
                                        int32_t continues);

/**
 * Does a transaction, and blocks until it is as durable as it asked to be. `is_done` of the answer's result tells whether
 * the comparisons held; `trimtab_store_answer_step_read` tells what came of each operation.
 *
 * - `txn`: nothing of it is changed.
 * - `call`: how it is to go; NULL for the defaults.
 * - `answer_out`: gets the answer; end it with `trimtab_store_answer_free`. Written on success only.
 *
 * Returns `TRIMTAB_OK`, also when the comparisons did not hold, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each
 * write may (see `trimtab_store`); more comparisons and operations than `operations_max` are
 * `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, while none changes `txn`. Blocks until it is as durable as `call` says, or its time is over.
 */
trimtab_status trimtab_store_commit(const struct trimtab_store *store,
                                    const struct trimtab_txn *txn,
                                    const struct trimtab_store_call *call,
                                    struct trimtab_store_answer **answer_out);

/**
 * Makes a queue.
 *
 * - `capacity`: how many calls may be under way or done and not taken; 1 to 16777216.
 * - `queue_out`: written on success only; end it with `trimtab_store_queue_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when there is no descriptor.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_new(const struct trimtab_store *store,
                                       size_t capacity,
                                       struct trimtab_store_queue **queue_out);

/**
 * Ends a queue, and closes its descriptor. Writes under way go on; nobody is told what comes of them. What only waits is taken
 * back, as `trimtab_store_queue_cancel` does.
 *
 * - `queue`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `queue`. Does not block.
 */
void trimtab_store_queue_free(struct trimtab_store_queue *queue);

/**
 * The descriptor to wait with: readable while something is done and not taken, and once when the store is closed. It is the queue's: wait with it, and
 * neither read nor close it.
 *
 * - `fd_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_poll_fd(const struct trimtab_store_queue *queue,
                                           int32_t *fd_out);

/**
 * Submits operations, in order, as far as they can be taken in.
 *
 * - `operations`: `count` pointers; what they point to is copied before return. `user_data` of each comes back with its
 *   answer.
 * - `call`: how they are to go; NULL for the defaults. With a `client` the first has `number`, the next the one behind it,
 *   and so on, up to 2^64 - 1: beyond it is `TRIMTAB_E_INVALID_ARGUMENT`, and none is submitted. One whose number is
 *   remembered with another kind of answer fails with `TRIMTAB_E_STATE`, see `trimtab_store_call`.
 * - `taken_out`: how many were taken in, 1 at least if `count` is; fewer than `count` when the next one was refused: submit
 *   the rest again, and it says why. Written on success only.
 *
 * Returns `TRIMTAB_OK`, or why the first was not taken in: `TRIMTAB_E_CAPACITY` also when `capacity` is reached,
 * `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`). When one of `operations` is NULL
 * or cannot be, none is submitted.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit(const struct trimtab_store_queue *queue,
                                          const struct trimtab_store_operation *const *operations,
                                          size_t count,
                                          const struct trimtab_store_call *call,
                                          size_t *taken_out);

/**
 * Submits a transaction.
 *
 * - `txn`: nothing of it is changed; copied before return.
 * - `call`: how it is to go; NULL for the defaults.
 * - `user_data`: comes back with its answer.
 *
 * Returns what `trimtab_store_queue_submit` does.
 * Thread safety: any thread, while none changes `txn`. Does not block.
 */
trimtab_status trimtab_store_queue_submit_txn(const struct trimtab_store_queue *queue,
                                              const struct trimtab_txn *txn,
                                              const struct trimtab_store_call *call,
                                              uint64_t user_data);

/**
 * Asks to be told once the log is on this disk up to a sequence, as `trimtab_store_wait_durable` says. The `sequence` of its
 * answer is that up to which it is by then.
 *
 * - `user_data`: comes back with its answer.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_CAPACITY` when `capacity` is reached, or `waiting_max` wait for that, or
 * `TRIMTAB_E_IO` when the log has failed.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit_durable(const struct trimtab_store_queue *queue,
                                                  uint64_t sequence,
                                                  uint64_t user_data);

/**
 * Takes back waits that are not done: of what was submitted with `user_data`, what `trimtab_store_queue_submit_durable`, `_fresh`,
 * `_get_at`, `_count_at` and `_outcome` were asked. One that is taken back is never completed; its place in the queue is free, and so is
 * that among the `waiting_max` who wait in the store. So each wait is either counted here once, or completed once.
 *
 * Writes are left alone: they are done, and completed. So is what is done and not taken: it is to be taken as ever.
 *
 * - `user_data`: as it was submitted. Of several with the same all are taken back.
 * - `count_out`: how many were; 0 when there was none. May be NULL. Written on success only.
 *
 * Returns `TRIMTAB_OK`, also when the store is closed, or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_cancel(const struct trimtab_store_queue *queue,
                                          uint64_t user_data,
                                          size_t *count_out);

/**
 * Takes the next that is done, in the order in which they were.
 *
 * - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
 * - `user_data_out`: gets that of what was submitted; may be NULL. Written on success only.
 * - `answer_out`: gets its answer, also when it failed: `trimtab_store_answer_read` returns what it failed with. End it
 *   with `trimtab_store_answer_free`. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, or `TRIMTAB_E_STATE` once the store is closed and all are
 * taken.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_queue_next(const struct trimtab_store_queue *queue,
                                        int64_t timeout_ms,
                                        uint64_t *user_data_out,
                                        struct trimtab_store_answer **answer_out);

/**
 * How many were submitted and are not done.
 *
 * - `count_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_under_way(const struct trimtab_store_queue *queue,
                                             size_t *count_out);

/**
 * Begins to follow a range.
 *
 * - `range`, `start`, `end`: which keys; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`. Copied before return.
 * - `from_sequence`: the change at this sequence is the first it tells; 0: what comes from now on. Beyond the one that comes next it
 *   is of writes that a crash took, and the first change is `TRIMTAB_CHANGE_COMPACTED`; a replica may be behind, and waits for it.
 * - `watch_out`: written on success only; end it with `trimtab_store_watch_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when there is no descriptor.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_watch_new(const struct trimtab_store *store,
                                       int32_t range,
                                       struct trimtab_bytes start,
                                       struct trimtab_bytes end,
                                       uint64_t from_sequence,
                                       struct trimtab_store_watch **watch_out);

/**
 * Ends a watch, what its last change points to, and closes its descriptor.
 *
 * - `watch`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `watch`. Does not block.
 */
void trimtab_store_watch_free(struct trimtab_store_watch *watch);

/**
 * The descriptor to wait with, for hosts with a loop of their own. Take changes until there are none
 * (`TRIMTAB_E_TIMED_OUT`) before waiting: from then on it becomes readable when there may be one. It is the watch's: wait
 * with it, and neither read nor close it.
 *
 * - `fd_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `watch`. Does not block.
 */
trimtab_status trimtab_store_watch_poll_fd(const struct trimtab_store_watch *watch,
                                           int32_t *fd_out);

/**
 * The next change.
 *
 * - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
 * - `change_out`: its `struct_size` is read; written on success only. What it points to is good until the next call on
 *   this watch. Its `kind` may be `TRIMTAB_CHANGE_COMPACTED`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_TIMED_OUT`.
 * Thread safety: one thread at a time for the same `watch`. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_watch_next(struct trimtab_store_watch *watch,
                                        int64_t timeout_ms,
                                        struct trimtab_store_change *change_out);

/**
 * Where to watch on from later: everything before it was told. Amidst the changes of one command it is that command's, so
 * that none is missed.
 *
 * - `sequence_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `watch`. Does not block.
 */
trimtab_status trimtab_store_watch_sequence(const struct trimtab_store_watch *watch,
                                            uint64_t *sequence_out);

/**
 * The store in the server, open from the server's start until its end: everything that `trimtab_store_...` can do, to
 * the same keys that Redis clients see. Each call gives another handle of the same store.
 *
 * - `store_out`: written on success only. End it with `trimtab_store_free`, before the server or after it, which gives back
 *   the handle alone: `trimtab_store_close` is refused, for the server closes the store when it ends. Whatever takes the
 *   handle, or what was made of it, answers `TRIMTAB_E_STATE` from then on; calls under way are answered.
 *
 * A call that waits holds up its thread alone, so in a callback for events it holds up a worker.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` when the configuration has no `[store]`,
 * `TRIMTAB_E_STATE` before the server is started and once it has ended, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_server_store(const struct trimtab_server *server,
                                    struct trimtab_store **store_out);

/**
 * Opens the store in a directory as a member of a cluster, or makes one there. It does not wait until there is a primary:
 * calls do. Else it is a store like any other; every node takes reads and writes. `trimtab_store` lists what a write may come to
 * in a cluster, `TRIMTAB_E_UNKNOWN_OUTCOME` among it, after which it may have been done.
 *
 * - `path`, `options`: as for `trimtab_store_open`; NULL for the defaults.
 * - `cluster`: who is in the cluster; nothing of it is kept.
 * - `store_out`: written on success only; end it with `trimtab_store_free`. `trimtab_store_close` of a primary hands over before.
 *
 * Returns what `trimtab_store_open` does; `TRIMTAB_E_INVALID_ARGUMENT` also for the directory of another cluster or node or of
 * a store that is no member, for options of the cluster that are out of range or do not fit together, and for certificates that
 * the others would not take; `TRIMTAB_E_UNSUPPORTED` also for a hosted store.
 * Thread safety: any thread, at any time. Blocks while it reads the log.
 */
trimtab_status trimtab_store_join(struct trimtab_str path,
                                  const struct trimtab_store_options *options,
                                  const struct trimtab_cluster_options *cluster,
                                  struct trimtab_store **store_out);

/**
 * How the cluster of a store is.
 *
 * - `cluster_out`: written on success only; end it with `trimtab_cluster_free`. It does not change any more.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when the store is in no cluster.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_cluster(const struct trimtab_store *store,
                                     struct trimtab_cluster **cluster_out);

/**
 * Ends what `trimtab_store_cluster` made, and the texts that came from it.
 *
 * - `cluster`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `cluster`. Does not block.
 */
void trimtab_cluster_free(struct trimtab_cluster *cluster);

/**
 * The cluster as a whole.
 *
 * - `status_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_cluster_status_read(const struct trimtab_cluster *cluster,
                                           struct trimtab_cluster_status *status_out);

/**
 * One of the nodes.
 *
 * - `at`: from 0 to below `nodes` of the status. They are in the order of their numbers, which all nodes share.
 * - `node_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or `TRIMTAB_E_NOT_FOUND` when there are not so many.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_cluster_node_read(const struct trimtab_cluster *cluster,
                                         uint32_t at,
                                         struct trimtab_cluster_node *node_out);

/**
 * Hands over to another voter, which has all of the log by then. Writes wait while that one is about to take over; while it
 * does not answer, or is far behind, they go on.
 *
 * - `to`: its name.
 * - `timeout_ms`: waits at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever. When that is over the
 *   handover goes on; it is called off when it takes longer than `transfer_timeout_ms`, and by `trimtab_store_abort_transfer`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or what each change of the cluster may: `TRIMTAB_E_NOT_PRIMARY` from
 * another node than the primary, which is to be asked; `TRIMTAB_E_NO_QUORUM`; `TRIMTAB_E_NOT_FOUND` for a node that is not
 * known; `TRIMTAB_E_INVALID_ARGUMENT` for what cannot be; `TRIMTAB_E_STATE` also when the store is in no cluster, the
 * cluster is busy with another change, or the handover was called off; `TRIMTAB_E_TIMED_OUT` and `TRIMTAB_E_UNKNOWN_OUTCOME` when it is not known what came of
 * it.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_transfer(const struct trimtab_store *store,
                                      struct trimtab_str to,
                                      int64_t timeout_ms);

/**
 * Calls off the handover that is under way. Whoever waits for it gets `TRIMTAB_E_STATE`, and writes go on. The other node may
 * take over all the same, when it had been told to already.
 *
 * - `aborted_out`: 1 when there was one, otherwise 0; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_PRIMARY` from another node than the primary, which is to be asked,
 * `TRIMTAB_E_STATE` when the store is closed, in no cluster, or takes no part any more, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_abort_transfer(const struct trimtab_store *store,
                                            int32_t *aborted_out);

/**
 * Reads the certificates, key and authorities of the links anew, from the files that the options named. Links made from now on
 * use them; those that are up stay with what they were made with. Whole or not at all.
 *
 * Returns `TRIMTAB_OK`; `TRIMTAB_E_NULL`; `TRIMTAB_E_INVALID_ARGUMENT` for certificates that the other nodes would not take, and
 * `TRIMTAB_E_IO` for files that cannot be read: all is as before; `TRIMTAB_E_STATE` when the store is in no cluster, its links are
 * in plaintext, or it is closed; `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Blocks while files are read.
 */
trimtab_status trimtab_store_reload_certificates(const struct trimtab_store *store);

/**
 * Takes a node in, which follows without a vote: see `trimtab_store_promote_learner`. It is opened with
 * `TRIMTAB_BEGINNING_JOIN`, before or after.
 *
 * - `name`: a new one; what was removed comes back under another.
 * - `address`: where it listens; empty: nowhere, it dials the others.
 * - `timeout_ms`: as for `trimtab_store_transfer`.
 *
 * Returns what `trimtab_store_transfer` does.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_add_node(const struct trimtab_store *store,
                                      struct trimtab_str name,
                                      struct trimtab_str address,
                                      int64_t timeout_ms);

/**
 * Gives a learner a vote, as soon as it has caught up; waits for that until the time is over.
 *
 * - `name`: the learner.
 * - `timeout_ms`: as for `trimtab_store_transfer`.
 *
 * Returns what `trimtab_store_transfer` does.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_promote_learner(const struct trimtab_store *store,
                                             struct trimtab_str name,
                                             int64_t timeout_ms);

/**
 * Takes a node out, for good: its name is not used again. A primary is not taken out: have it hand over first.
 *
 * - `name`: the node.
 * - `timeout_ms`: as for `trimtab_store_transfer`.
 *
 * Returns what `trimtab_store_transfer` does.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_remove_node(const struct trimtab_store *store,
                                         struct trimtab_str name,
                                         int64_t timeout_ms);

/**
 * Gives the vote of a node that is lost to a learner that has caught up, and takes the other out: one change.
 *
 * - `lost`, `with`: the nodes.
 * - `timeout_ms`: as for `trimtab_store_transfer`.
 *
 * Returns what `trimtab_store_transfer` does.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_store_replace_node(const struct trimtab_store *store,
                                          struct trimtab_str lost,
                                          struct trimtab_str with,
                                          int64_t timeout_ms);

/**
 * Begins to follow what happens to the cluster of a store, from what is kept of it on: a role is told at once.
 *
 * - `events_out`: written on success only; end it with `trimtab_cluster_events_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO` when there is no descriptor, or `TRIMTAB_E_STATE` also when the store is
 * in no cluster.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_cluster_events_new(const struct trimtab_store *store,
                                          struct trimtab_cluster_events **events_out);

/**
 * Ends it, what its last event points to, and closes its descriptor.
 *
 * - `events`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `events`. Does not block.
 */
void trimtab_cluster_events_free(struct trimtab_cluster_events *events);

/**
 * The descriptor to wait with, for hosts with a loop of their own. Take events until there are none (`TRIMTAB_E_TIMED_OUT`)
 * before waiting: from then on it becomes readable when there may be one. It is this handle's: wait with it, and neither read
 * nor close it.
 *
 * - `fd_out`: written on success only.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `events`. Does not block.
 */
trimtab_status trimtab_cluster_events_poll_fd(const struct trimtab_cluster_events *events,
                                              int32_t *fd_out);

/**
 * The next event.
 *
 * - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
 * - `event_out`: its `struct_size` is read; written on success only. What it points to is good until the next call on this
 *   handle.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_TIMED_OUT`.
 * Thread safety: one thread at a time for the same `events`. Blocks for as long as `timeout_ms` allows.
 */
trimtab_status trimtab_cluster_events_next(struct trimtab_cluster_events *events,
                                           int64_t timeout_ms,
                                           struct trimtab_cluster_event *event_out);

/**
 * Makes options of a member.
 *
 * - `node`: the name of this node, one of those given to `trimtab_cluster_options_add_member`: 1 to 63 bytes of a to z, 0 to
 *   9, `-`, `_` and `.`, like `db-1`. A name is used once: what was removed comes back under another.
 * - `options_out`: written on success only; end it with `trimtab_cluster_options_free`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_cluster_options_new(struct trimtab_str node,
                                           struct trimtab_cluster_options **options_out);

/**
 * Ends options. Stores that joined with them go on.
 *
 * - `options`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `options`. Does not block.
 */
void trimtab_cluster_options_free(struct trimtab_cluster_options *options);

/**
 * Sets the name of the cluster, the same on all its nodes: nodes of another are refused.
 *
 * - `cluster`: 1 to 255 bytes; default `trimtab`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_cluster(struct trimtab_cluster_options *options,
                                                   struct trimtab_str cluster);

/**
 * Says of one more node, this one too. A new cluster begins with them, and all of them are told the same; later on who is
 * in the cluster is in its log, and these are where the others are found.
 *
 * - `name`: as for `trimtab_cluster_options_new`.
 * - `address`: where it listens, `ip:port` or `[ip]:port`; empty: nowhere, so that it dials the others.
 * - `is_learner`: 1 for one that follows without a vote, else 0.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_add_member(struct trimtab_cluster_options *options,
                                                  struct trimtab_str name,
                                                  struct trimtab_str address,
                                                  int32_t is_learner);

/**
 * Sets where this node listens, in place of its address among the members.
 *
 * - `address`: `ip:port` or `[ip]:port`; empty: that among the members, the default.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_listen(struct trimtab_cluster_options *options,
                                                  struct trimtab_str address);

/**
 * Secures the links with mutual TLS 1.3: both ends show a certificate for their names that an authority has signed. The files
 * are read when the store joins.
 *
 * - `certificate`: a PEM file with this node's certificate and what leads from it to the authority.
 * - `key`: the PEM file with its key; empty: `certificate` has it.
 * - `ca`: the PEM file with the authorities.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_tls(struct trimtab_cluster_options *options,
                                               struct trimtab_str certificate,
                                               struct trimtab_str key,
                                               struct trimtab_str ca);

/**
 * Leaves the links unsecured: whoever reaches the port can be any node, and whoever listens reads all.
 *
 * - `anywhere`: 0: on loopback addresses alone; 1: on any, for networks that are secured otherwise.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_insecure_plaintext(struct trimtab_cluster_options *options,
                                                              int32_t anywhere);

/**
 * Sets what a node does whose directory is empty.
 *
 * - `beginning`: one of `TRIMTAB_BEGINNING_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_beginning(struct trimtab_cluster_options *options,
                                                     int32_t beginning);

/**
 * Sets what is known of the directory.
 *
 * - `directory`: one of `TRIMTAB_DIRECTORY_...`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_directory(struct trimtab_cluster_options *options,
                                                     int32_t directory);

/**
 * Sets how durable a write is before it is answered that does not say so itself.
 *
 * - `durability`: one of `TRIMTAB_DURABILITY_...`; default `TRIMTAB_DURABILITY_QUORUM`: what was answered stays, whichever node
 *   is lost.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_durability(struct trimtab_cluster_options *options,
                                                      int32_t durability);

/**
 * Sets on how many nodes' disks a write is to be that does not say so itself, beside those of a quorum. Learners count.
 *
 * - `nodes`: 1 to 64; 0: as the durability says, the default. With more than there are no write is answered before its time
 *   is over, or `degrade_after_ms`.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_nodes(struct trimtab_cluster_options *options,
                                                 uint32_t nodes);

/**
 * Sets how fresh what a read sees is that does not say so itself: all reads but those that say `_at`.
 *
 * - `level`: one of `TRIMTAB_READ_...`; default `TRIMTAB_READ_PRIMARY`: a read on any node sees all that was answered before it.
 * - `age_max_ms`: with `TRIMTAB_READ_REPLICA`, how old it may be at most, in milliseconds; else unread.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_read(struct trimtab_cluster_options *options,
                                                int32_t level,
                                                uint64_t age_max_ms);

/**
 * Sets whether a node that is not primary passes writes and reads of the primary's freshness on to it.
 *
 * - `forwards`: 1, the default, or 0: they are refused with `TRIMTAB_E_NOT_PRIMARY`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_forwards(struct trimtab_cluster_options *options,
                                                    int32_t forwards);

/**
 * Sets how long a call waits for a primary before it is refused with `TRIMTAB_E_NO_QUORUM`.
 *
 * - `patience_ms`: milliseconds, up to an hour; default 3000, for an election takes less than a second.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_patience_ms(struct trimtab_cluster_options *options,
                                                       uint64_t patience_ms);

/**
 * Sets how many calls may wait for a primary or be passed on, and how many each other node may have passed on to this one.
 *
 * - `calls`: 1 to 16777216; default 65536.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_forward_max(struct trimtab_cluster_options *options,
                                                       uint32_t calls);

/**
 * Sets where clients of this node reach it, for the other nodes to tell theirs.
 *
 * - `address`: up to 128 bytes, whatever the clients understand; empty for none, the default.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_client_address(struct trimtab_cluster_options *options,
                                                          struct trimtab_str address);

/**
 * Sets after how long a write that is committed is answered although fewer nodes have it than were asked for. Its result
 * says that it is degraded.
 *
 * - `degrade_after_ms`: milliseconds; 0 for never, the default: it is answered when the call's time is over.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_degrade_after_ms(struct trimtab_cluster_options *options,
                                                            uint64_t degrade_after_ms);

/**
 * Adds a node by which this one is fed as long as it is a learner, instead of by the primary: the best first. It takes the
 * first that is up to date; when none is, the primary feeds it.
 *
 * - `node`: its name; at most eight.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_INVALID_ARGUMENT` for what is no name.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_add_feed_from(struct trimtab_cluster_options *options,
                                                     struct trimtab_str node);

/**
 * Sets after how long without anything new from where it is fed a learner is fed by the primary again.
 *
 * - `timeout_ms`: milliseconds, 400 to an hour; default 2000.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_feed_timeout_ms(struct trimtab_cluster_options *options,
                                                           uint64_t timeout_ms);

/**
 * Sets after how long a handover is called off.
 *
 * - `timeout_ms`: milliseconds, 10 to an hour; default 2000.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_transfer_timeout_ms(struct trimtab_cluster_options *options,
                                                               uint64_t timeout_ms);

/**
 * Sets how many bytes of entries one message to another node has at most, unless one entry is longer.
 *
 * - `message_bytes`: 1024 to 16777216, and no more than an eighth of a segment; default 262144.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_message_bytes(struct trimtab_cluster_options *options,
                                                         uint64_t message_bytes);

/**
 * Sets how many bytes of the log that a snapshot stands for are kept for nodes that are behind; one that needs more gets
 * the snapshot.
 *
 * - `bytes`: 0 to 2^48; default 256 MiB.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_kept_bytes_max(struct trimtab_cluster_options *options,
                                                          uint64_t bytes);

/**
 * Sets how many bytes of snapshots are sent in a second to nodes that catch up, to all of them together.
 *
 * - `bytes`: in a second; 0 for no limit, the default.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_snapshot_rate(struct trimtab_cluster_options *options,
                                                         uint64_t bytes);

/**
 * Sets how long a write to the primary's disk may take before it hands over to a node whose disk is quicker.
 *
 * - `slow_flush_ms`: milliseconds, 10 to an hour; 0 for as long as it takes; default 1000.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_slow_flush_ms(struct trimtab_cluster_options *options,
                                                         uint64_t slow_flush_ms);

/**
 * Sets after how many ticks of 20 ms without a word of the primary an election begins; after twice as many at the latest. More
 * of them suit nodes that are far from each other, or hosts that halt now and then; the same on all nodes.
 *
 * - `ticks`: 10 to 10000; default 20, so 400 to 800 ms. `trimtab_cluster_options_set_feed_timeout_ms` must not be less.
 *
 * Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
 * Thread safety: one thread at a time for the same `options`. Does not block.
 */
trimtab_status trimtab_cluster_options_set_election_ticks(struct trimtab_cluster_options *options,
                                                          uint32_t ticks);

/**
 * Makes the node whose directory this is the primary of its cluster, by force, with what is in it: it alone votes from now
 * on, learners follow it, and all others that voted are out, together with what they had and this one has not. For when
 * they are gone for good. Nobody may have the directory open; it is opened as ever then. `TRIMTAB_DIRECTORY_PROMOTED` does
 * the same as the store joins, and does not say who is out.
 *
 * - `path`: the directory, as for `trimtab_store_open`.
 * - `promotion_out`: written on success only; end it with `trimtab_promotion_free`. May be NULL.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when somebody has it open, `TRIMTAB_E_INVALID_ARGUMENT` when it
 * is no member's, or that of a node that was taken out, and what `trimtab_store_open` does.
 * Thread safety: any thread, at any time. Blocks while it reads the log.
 */
trimtab_status trimtab_store_promote_directory(struct trimtab_str path,
                                               struct trimtab_promotion **promotion_out);

/**
 * What it came to.
 *
 * - `promoted_out`: its `struct_size` is read; written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_promotion_read(const struct trimtab_promotion *promotion,
                                      struct trimtab_promoted *promoted_out);

/**
 * Ends what `trimtab_store_promote_directory` made, and the texts that came from it.
 *
 * - `promotion`: may be NULL.
 *
 * Leaves the last error as it is.
 * Thread safety: any thread, once no other uses `promotion`. Does not block.
 */
void trimtab_promotion_free(struct trimtab_promotion *promotion);

/**
 * What a key has, seen as fresh as is asked, else as `trimtab_store_get` has it. What asks for an age or an entry waits here for half
 * of its time, and an election's time (400 ms) at most; then the primary reads it, unless this node does not forward.
 *
 * - `read`: how it is to go; NULL for the default.
 * - `answer_out`: as for `trimtab_store_get`.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when the key is not there, or what each
 * read in a cluster may: `TRIMTAB_E_NOT_PRIMARY` when what is here is not as fresh as was asked by the end of the time, and
 * another node is primary that was not reached, or was not to be asked; of level `TRIMTAB_READ_PRIMARY` at once from a node
 * that does not forward; `TRIMTAB_E_NO_QUORUM` when no primary was found in
 * time, or it does not hold its quorum; `TRIMTAB_E_STATE` also when the write that it has to see was lost with a primary, or this
 * node takes no part any more; `TRIMTAB_E_TIMED_OUT`.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
 */
trimtab_status trimtab_store_get_at(const struct trimtab_store *store,
                                    struct trimtab_bytes key,
                                    const struct trimtab_store_read *read,
                                    struct trimtab_store_answer **answer_out);

/**
 * How many keys a range has, seen as fresh as is asked, else as `trimtab_store_count` has it.
 *
 * - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_count`.
 *
 * Returns what `trimtab_store_get_at` does, but for `TRIMTAB_E_NOT_FOUND`.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
 */
trimtab_status trimtab_store_count_at(const struct trimtab_store *store,
                                      int32_t range,
                                      struct trimtab_bytes start,
                                      struct trimtab_bytes end,
                                      const struct trimtab_store_read *read,
                                      uint64_t *count_out);

/**
 * Begins to go through the keys of a range, seen as fresh as is asked, else as `trimtab_store_scan_new` does. It is of this node:
 * when that is not as fresh in time, it waits on for what the primary has, and does not ask that to read.
 *
 * - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_scan_new`.
 *
 * Returns what `trimtab_store_count_at` does.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
 */
trimtab_status trimtab_store_scan_new_at(const struct trimtab_store *store,
                                         int32_t range,
                                         struct trimtab_bytes start,
                                         struct trimtab_bytes end,
                                         uint64_t limit,
                                         int32_t reverse,
                                         const struct trimtab_store_read *read,
                                         struct trimtab_store_scan **scan_out);

/**
 * A lease, if it is alive, seen as fresh as is asked, else as `trimtab_store_lease_read` has it. It is of this node, as what
 * `trimtab_store_scan_new_at` gives.
 *
 * - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_lease_read`.
 *
 * Returns what `trimtab_store_get_at` does; `TRIMTAB_E_NOT_FOUND` when it is not alive.
 * Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
 */
trimtab_status trimtab_store_lease_read_at(const struct trimtab_store *store,
                                           uint64_t lease,
                                           const struct trimtab_store_read *read,
                                           uint64_t *ttl_ms_out,
                                           uint64_t *deadline_ms_out);

/**
 * Whether a read sees what `read` asks for without a wait, as far as that can be told at a glance: on a primary that holds its
 * quorum, where what is here is no older than is asked, where it is that which is asked for, and in a store of one node. Then who reads with `TRIMTAB_READ_LOCAL` from now on sees
 * that, and does not block. Otherwise have a queue tell when it is so.
 *
 * - `read`: as for `trimtab_store_get_at`.
 * - `fresh_out`: 1 or 0, when it may have to be waited for. Written on success only.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_STATE` when the store is
 * closed, or `TRIMTAB_E_FORKED`.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_is_fresh(const struct trimtab_store *store,
                                      const struct trimtab_store_read *read,
                                      int32_t *fresh_out);

/**
 * Asks to be told once what is here is as fresh as is asked, for the read's `timeout_ms` at most. Who reads with
 * `TRIMTAB_READ_LOCAL`, and the same `epoch` and `entry`, once it is completed sees that and does not block: by
 * `trimtab_store_scan_new_at` and `trimtab_store_lease_read_at`, and by what else reads. It is of this node: when that is not as
 * fresh in time, it waits on for what the primary has. In a store of one node it is completed at once.
 *
 * - `read`: as for `trimtab_store_get_at`; copied before return.
 * - `user_data`: comes back with its answer, which fails with what `trimtab_store_scan_new_at` returns.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_CAPACITY` when `capacity` is reached, or what each
 * read in a cluster may that is known at once.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit_fresh(const struct trimtab_store_queue *queue,
                                                const struct trimtab_store_read *read,
                                                uint64_t user_data);

/**
 * As `trimtab_store_queue_submit_fresh`, for who reads a key then. When what is here is not as fresh in time the primary reads it,
 * as `trimtab_store_get_at` says: the answer has what that has found then, an entry, or `is_done` is 0 as the key is not there. With
 * `is_done` and without an entry it is here that the key is to be read.
 *
 * - `key`: copied before return. The others: as for `trimtab_store_queue_submit_fresh`.
 *
 * Returns what `trimtab_store_queue_submit_fresh` does.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit_get_at(const struct trimtab_store_queue *queue,
                                                 struct trimtab_bytes key,
                                                 const struct trimtab_store_read *read,
                                                 uint64_t user_data);

/**
 * As `trimtab_store_queue_submit_fresh`, for who counts the keys of a range then. When what is here is not as fresh in time the
 * primary counts them: the answer's `count` is what it has found, and `version` is not 0. With `version` 0 it is here that they
 * are to be counted.
 *
 * - `range`, `start`, `end`: as for `trimtab_store_count`; copied before return. The others: as for
 *   `trimtab_store_queue_submit_fresh`.
 *
 * Returns what `trimtab_store_queue_submit_fresh` does.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit_count_at(const struct trimtab_store_queue *queue,
                                                   int32_t range,
                                                   struct trimtab_bytes start,
                                                   struct trimtab_bytes end,
                                                   const struct trimtab_store_read *read,
                                                   uint64_t user_data);

/**
 * Asks the primary what came of a request, as `trimtab_store_outcome` says. The answer is what its retry would get, with
 * `is_repeated`, when it was applied. Without, it was not as of now when `is_done` is 1, and that is forgotten when it is 0.
 *
 * - `call`: as for `trimtab_store_outcome`; copied before return.
 * - `user_data`: comes back with its answer, which fails with what `trimtab_store_outcome` returns.
 *
 * Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_CAPACITY` when `capacity`
 * is reached, what `trimtab_store_outcome` returns that is known at once, or `TRIMTAB_E_STATE` also for a store in no cluster, where
 * that need not wait.
 * Thread safety: any thread, at any time. Does not block.
 */
trimtab_status trimtab_store_queue_submit_outcome(const struct trimtab_store_queue *queue,
                                                  const struct trimtab_store_call *call,
                                                  uint64_t user_data);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/** A C string as trimtab takes it; NULL is the empty string. */
static inline trimtab_str trimtab_str_of(const char *text)
{
    trimtab_str str;
    str.data = text;
    str.len = text != NULL ? strlen(text) : 0;
    return str;
}

/** `len` bytes as trimtab takes them. */
static inline trimtab_bytes trimtab_bytes_of(const void *data, size_t len)
{
    trimtab_bytes bytes;
    bytes.data = data;
    bytes.len = len;
    return bytes;
}

#endif  /* TRIMTAB_H */
