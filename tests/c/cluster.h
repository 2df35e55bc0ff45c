/* What the tests of clusters share: nodes on loopback in this process, and what is waited for as events tell. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "store.h"

enum { NODES = 4, LEARNER = 3, PATIENCE_MS = 60000 };

static const char *const names[NODES] = {"a", "b", "c", "d"};
static char addresses[NODES][32];
static trimtab_store *stores[NODES];

/* An address of this machine for each process, all of whose number is in it, and a port for each node. */
static MAYBE_UNUSED void choose_addresses(void)
{
    unsigned pid = (unsigned)getpid();
    for (unsigned at = 0; at < NODES; at++) {
        snprintf(addresses[at], sizeof addresses[at], "127.%u.%u.%u:%u", 128 + (pid >> 16 & 0x3f), pid >> 8 & 0xff,
                 pid & 0xff, 7400 + at);
    }
}

static MAYBE_UNUSED trimtab_cluster_options *member_options(unsigned node)
{
    trimtab_cluster_options *options = NULL;
    OK(trimtab_cluster_options_new(STR(names[node]), &options));
    for (unsigned at = 0; at < NODES; at++) {
        OK(trimtab_cluster_options_add_member(options, STR(names[at]), STR(addresses[at]), at == LEARNER));
    }
    OK(trimtab_cluster_options_set_cluster(options, STR("of c")));
    OK(trimtab_cluster_options_set_insecure_plaintext(options, 0));
    OK(trimtab_cluster_options_set_patience_ms(options, PATIENCE_MS));
    OK(trimtab_cluster_options_set_message_bytes(options, 16 << 10));
    OK(trimtab_cluster_options_set_transfer_timeout_ms(options, PATIENCE_MS));
    return options;
}

static MAYBE_UNUSED trimtab_status join_as(const char *name, trimtab_cluster_options *cluster, trimtab_store **store)
{
    char path[128];
    trimtab_store_options *options = small_options();
    OK(trimtab_store_options_set_timeout_ms(options, PATIENCE_MS));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    trimtab_status status = trimtab_store_join(STR(path), options, cluster, store);
    trimtab_store_options_free(options);
    return status;
}

static MAYBE_UNUSED void open_node(unsigned node)
{
    char client[32];
    trimtab_cluster_options *options = member_options(node);
    snprintf(client, sizeof client, "clients-of-%s", names[node]);
    OK(trimtab_cluster_options_set_client_address(options, STR(client)));
    OK(join_as(names[node], options, &stores[node]));
    trimtab_cluster_options_free(options);
}

static MAYBE_UNUSED trimtab_cluster_status status_of(const trimtab_cluster *cluster)
{
    trimtab_cluster_status status;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    OK(trimtab_cluster_status_read(cluster, &status));
    return status;
}

static MAYBE_UNUSED trimtab_cluster_event new_event(void)
{
    trimtab_cluster_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    return event;
}

static MAYBE_UNUSED trimtab_store_read new_read(int32_t level)
{
    trimtab_store_read read;
    memset(&read, 0, sizeof read);
    read.struct_size = sizeof read;
    read.level = level;
    read.timeout_ms = PATIENCE_MS;
    return read;
}

/* Waits, as events tell, until a node knows of a primary that is not `but`; gives which. */
static MAYBE_UNUSED unsigned wait_for_primary(unsigned node, int but)
{
    trimtab_cluster_events *events = NULL;
    trimtab_cluster_event event = new_event();
    OK(trimtab_cluster_events_new(stores[node], &events));
    for (;;) {
        OK(trimtab_cluster_events_next(events, PATIENCE_MS, &event));
        if (event.kind != TRIMTAB_CLUSTER_ROLE || event.name == NULL) {
            continue;
        }
        /* It may be of before. */
        trimtab_cluster *cluster = NULL;
        OK(trimtab_store_cluster(stores[node], &cluster));
        trimtab_cluster_status status = status_of(cluster);
        for (int at = 0; at < NODES; at++) {
            if (at != but && status.primary != NULL && is(status.primary, status.primary_len, names[at])) {
                trimtab_cluster_free(cluster);
                trimtab_cluster_events_free(events);
                return (unsigned)at;
            }
        }
        trimtab_cluster_free(cluster);
    }
}

/* Waits until all nodes know of the same primary. */
static MAYBE_UNUSED unsigned agreed_primary(void)
{
    for (;;) {
        unsigned primary = wait_for_primary(0, -1), others = 0;
        for (unsigned at = 1; at < NODES; at++) {
            others += wait_for_primary(at, -1) != primary;
        }
        if (others == 0) {
            return primary;
        }
    }
}

/* Waits for an event of a kind whose texts contain these; NULL for any. */
static MAYBE_UNUSED void wait_for(trimtab_cluster_events *events, int32_t kind, const char *name, const char *detail)
{
    trimtab_cluster_event event = new_event();
    char text[512];
    for (;;) {
        OK(trimtab_cluster_events_next(events, PATIENCE_MS, &event));
        CHECK(event.kind >= TRIMTAB_CLUSTER_ROLE && event.kind <= TRIMTAB_CLUSTER_RECOVERED);
        if (event.kind != kind) {
            continue;
        }
        snprintf(text, sizeof text, "%.*s", (int)event.name_len, event.name != NULL ? event.name : "");
        if (name != NULL && strstr(text, name) == NULL) {
            continue;
        }
        snprintf(text, sizeof text, "%.*s", (int)event.detail_len, event.detail != NULL ? event.detail : "");
        if (detail == NULL || strstr(text, detail) != NULL) {
            return;
        }
    }
}

/* One of the nodes as `cluster` has it. */
static MAYBE_UNUSED trimtab_cluster_node node_of(const trimtab_cluster *cluster, const char *name)
{
    trimtab_cluster_node node;
    uint32_t nodes = status_of(cluster).nodes;
    for (uint32_t at = 0; at < nodes; at++) {
        memset(&node, 0, sizeof node);
        node.struct_size = sizeof node;
        OK(trimtab_cluster_node_read(cluster, at, &node));
        if (is(node.name, node.name_len, name)) {
            return node;
        }
    }
    memset(&node, 0, sizeof node);
    return node;
}

/*
 * Waits until a node votes itself, as far as it has a vote, and those who have one are these, with a link to each. A founder that
 * came after the first election has its vote a little later, which the others may not know at first: when this has been waited for
 * on each of them all vote, and one may be closed.
 */
static MAYBE_UNUSED void wait_for_voters(const trimtab_store *store, const char *const *voters, unsigned count)
{
    trimtab_cluster_events *events = NULL;
    trimtab_cluster_event event = new_event();
    OK(trimtab_cluster_events_new(store, &events));
    for (;;) {
        trimtab_cluster *cluster = NULL;
        OK(trimtab_store_cluster(store, &cluster));
        int takes_part = status_of(cluster).standing == TRIMTAB_STANDING_ACTIVE;
        uint32_t nodes = status_of(cluster).nodes, voting = 0, found = 0;
        for (uint32_t at = 0; at < nodes; at++) {
            trimtab_cluster_node node;
            memset(&node, 0, sizeof node);
            node.struct_size = sizeof node;
            OK(trimtab_cluster_node_read(cluster, at, &node));
            voting += node.is_voter != 0;
        }
        for (unsigned at = 0; at < count; at++) {
            trimtab_cluster_node node = node_of(cluster, voters[at]);
            found += node.is_voter != 0 && node.is_linked != 0;
        }
        trimtab_cluster_free(cluster);
        if (takes_part && voting == count && found == count) {
            trimtab_cluster_events_free(events);
            return;
        }
        /* Members and links that change are told. */
        OK(trimtab_cluster_events_next(events, PATIENCE_MS, &event));
    }
}

#endif
