/*
 * Nodes whose links are secured with certificates, made by openssl: those that one authority has signed are a cluster, and one
 * whose certificate is of another stays out, and both ends say why.
 */
#include "cluster.h"

enum { VOTERS = 3, ALL_SECONDS = 280 };

static const char *const voters[VOTERS] = {"a", "b", "c"};

static void run(const char *script)
{
    char command[2048];
    int length = snprintf(command, sizeof command, "set -e; cd '%s'; { %s; } >openssl.log 2>&1", folder, script);
    CHECK(length > 0 && (size_t)length < sizeof command);
    CHECK(system(command) == 0);
}

/* An authority, NAME.pem and NAME.key. */
static void make_authority(const char *name)
{
    char script[512];
    snprintf(script, sizeof script,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s -out %s.pem "
             "-keyout %s.key",
             name, name, name);
    run(script);
}

/* A certificate for the node's name, AUTHORITY-NODE.pem. Its key is in a file of its own, or after it. */
static void issue(const char *authority, const char *node, int in_one)
{
    char script[1024];
    snprintf(script, sizeof script,
             "name=%s; node=%s; own=$name-$node; "
             "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$node -out $own.csr -keyout $own.key; "
             "printf 'subjectAltName=DNS:%%s\\nextendedKeyUsage=serverAuth,clientAuth\\n' $node >$own.ext; "
             "openssl x509 -req -in $own.csr -CA $name.pem -CAkey $name.key -CAcreateserial -days 2 -extfile $own.ext "
             "-out $own.pem; %s",
             authority, node, in_one ? "cat $own.key >>$own.pem; rm $own.key" : ":");
    run(script);
}

static void open_secured(unsigned node, const char *authority, const char *directory)
{
    char paths[3][128] = {"", "", ""};
    trimtab_cluster_options *options = NULL;
    OK(trimtab_cluster_options_new(STR(names[node]), &options));
    for (unsigned at = 0; at < VOTERS; at++) {
        OK(trimtab_cluster_options_add_member(options, STR(names[at]), STR(addresses[at]), 0));
    }
    issue(authority, names[node], node == 0);
    snprintf(paths[0], sizeof paths[0], "%s/%s-%s.pem", folder, authority, names[node]);
    if (node != 0) {
        snprintf(paths[1], sizeof paths[1], "%s/%s-%s.key", folder, authority, names[node]);
    }
    snprintf(paths[2], sizeof paths[2], "%s/%s.pem", folder, authority);
    OK(trimtab_cluster_options_set_tls(options, STR(paths[0]), STR(paths[1]), STR(paths[2])));
    OK(trimtab_cluster_options_set_cluster(options, STR("secured")));
    OK(trimtab_cluster_options_set_patience_ms(options, PATIENCE_MS));
    OK(trimtab_cluster_options_set_message_bytes(options, 16 << 10));
    OK(trimtab_cluster_options_set_transfer_timeout_ms(options, PATIENCE_MS));
    OK(join_as(directory, options, &stores[node]));
    trimtab_cluster_options_free(options);
}

static void close_node(unsigned node)
{
    OK(trimtab_store_close(stores[node]));
    trimtab_store_free(stores[node]);
    stores[node] = NULL;
}

static int contains(const char *text, size_t len, const char *part)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)len, text != NULL ? text : "");
    return strstr(copy, part) != NULL;
}

/* A write on two of three, at a node that is one of them. */
static void goes_on(unsigned node, const char *value)
{
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    call.timeout_ms = PATIENCE_MS;
    OK(trimtab_store_put(stores[node], BYTES("key"), BYTES(value), &call, &result));
    CHECK(result.nodes == 2 && has(stores[node], "key", value));
}

/* Waits until `node` has no link to `other`, and its trouble with it, or who it refused last, has this. */
static void wait_for_reason(unsigned node, const char *other, const char *trouble, const char *refusal)
{
    trimtab_cluster_events *events = NULL;
    trimtab_cluster_event event = new_event();
    OK(trimtab_cluster_events_new(stores[node], &events));
    for (int is_there = 0; !is_there;) {
        trimtab_cluster *cluster = NULL;
        OK(trimtab_store_cluster(stores[node], &cluster));
        trimtab_cluster_status status = status_of(cluster);
        trimtab_cluster_node seen = node_of(cluster, other);
        CHECK(seen.name != NULL);
        is_there = seen.is_linked == 0;
        is_there = is_there && (trouble == NULL || contains(seen.trouble, seen.trouble_len, trouble));
        is_there = is_there && (refusal == NULL || contains(status.last_refusal, status.last_refusal_len, refusal));
        trimtab_cluster_free(cluster);
        if (!is_there) {
            OK(trimtab_cluster_events_next(events, PATIENCE_MS, &event));
        }
    }
    trimtab_cluster_events_free(events);
}

/* It knows of nobody, and takes no write. */
static void takes_no_part(unsigned node)
{
    trimtab_store_call call = new_call();
    trimtab_cluster *cluster = NULL;
    OK(trimtab_store_cluster(stores[node], &cluster));
    CHECK(status_of(cluster).primary == NULL);
    for (unsigned at = 0; at < VOTERS; at++) {
        CHECK(node_of(cluster, names[at]).is_linked == (at == node));
    }
    trimtab_cluster_free(cluster);
    call.timeout_ms = 50;
    CHECK(trimtab_store_put(stores[node], BYTES("key"), BYTES("theirs"), &call, NULL) != TRIMTAB_OK);
}

int main(void)
{
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    trimtab_cluster_events *events = NULL;
    alarm(ALL_SECONDS);
    make_folder();
    choose_addresses();
    make_authority("ours");
    make_authority("theirs");
    for (unsigned at = 0; at < VOTERS; at++) {
        open_secured(at, "ours", voters[at]);
    }
    for (unsigned at = 0; at < VOTERS; at++) {
        wait_for_voters(stores[at], voters, VOTERS);
    }
    call.timeout_ms = PATIENCE_MS;
    call.durability = TRIMTAB_DURABILITY_ALL;
    OK(trimtab_store_put(stores[0], BYTES("key"), BYTES("all"), &call, &result));
    CHECK(result.nodes == VOTERS && has(stores[1], "key", "all") && has(stores[2], "key", "all"));

    /*
     * The one whose name comes first dials. A stranger that does judges the others first, and takes none of their certificates:
     * all they hear is that somebody did not, and from where.
     */
    close_node(0);
    open_secured(0, "theirs", "stranger-a");
    for (unsigned other = 1; other < VOTERS; other++) {
        wait_for_reason(other, names[0], NULL, "certificate");
        wait_for_reason(0, names[other], "certificate", NULL);
    }
    takes_no_part(0);
    goes_on(1, "without a");
    close_node(0);
    open_secured(0, "ours", voters[0]);
    wait_for_voters(stores[0], voters, VOTERS);
    CHECK(has(stores[0], "key", "without a"));

    /* One that is dialled is judged by those who dial, who know whom they meant to reach. */
    close_node(2);
    open_secured(2, "theirs", "stranger-c");
    for (unsigned other = 0; other < 2; other++) {
        wait_for_reason(other, names[2], "certificate", NULL);
    }
    wait_for_reason(2, names[0], NULL, "certificate");
    takes_no_part(2);
    goes_on(0, "without c");

    /* Once all have both authorities, links are made. */
    run("cat ours.pem theirs.pem >both.pem; cp both.pem ours.pem; cp both.pem theirs.pem");
    OK(trimtab_cluster_events_new(stores[0], &events));
    for (unsigned at = 0; at < VOTERS; at++) {
        OK(trimtab_store_reload_certificates(stores[at]));
    }
    wait_for(events, TRIMTAB_CLUSTER_LINK_UP, names[2], NULL);
    trimtab_cluster_events_free(events);
    wait_for_voters(stores[2], voters, VOTERS);
    CHECK(has(stores[2], "key", "without c"));
    trimtab_cluster *cluster = NULL;
    OK(trimtab_store_cluster(stores[0], &cluster));
    CHECK(node_of(cluster, names[2]).trouble == NULL);
    trimtab_cluster_free(cluster);
    /* What cannot be read changes nothing. */
    run("echo none >theirs.pem");
    CHECK(trimtab_store_reload_certificates(stores[2]) != TRIMTAB_OK && strstr(last_error(), "theirs.pem") != NULL);
    OK(trimtab_store_put(stores[2], BYTES("key"), BYTES("of all"), &call, &result));
    CHECK(result.nodes == VOTERS);
    for (unsigned at = 0; at < VOTERS; at++) {
        close_node(at);
    }
    remove_folder();
    printf("cluster_secured: nodes with certificates, strangers that are refused and say why, authorities that are read anew\n");
    return 0;
}
