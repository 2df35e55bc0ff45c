// The mailbox that a server's events wait in, until Go takes them.
//
// Nothing here calls Go. An event happens on a thread of trimtab's own, whose sessions would wait for Go's
// scheduler, or within a call by Go, whose caller may hold locks. So it is copied, and Go's poller told.

#ifndef TRIMTAB_GO_C_EVENTS_H
#define TRIMTAB_GO_C_EVENTS_H

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "c.h"

// Twice what a pool takes: all backends of the largest may be added at once, and removed again.
#define TRIMTAB_GO_EVENTS_MAX 131072

typedef struct trimtab_go_event {
    struct trimtab_go_event *next;
    int32_t kind;
    uint32_t number;
    uint64_t id;
    // The texts one after another, behind this struct, and where each of them ends.
    char *texts;
    size_t name_end, listener_end, pool_end, backend_end, value_end, detail_end, node_end;
} trimtab_go_event;

typedef struct trimtab_go_mailbox {
    pthread_mutex_t lock;
    trimtab_go_event *first;
    trimtab_go_event *last;
    uint32_t count;
    // Events that found no room, all of them after those that wait.
    uint64_t lost;
    // An eventfd: readable when there is something new.
    int descriptor;
    uint8_t is_wanted;
    uint8_t has_stopped;
} trimtab_go_mailbox;

static inline trimtab_go_mailbox *trimtab_go_mailbox_new(int descriptor, int is_wanted) {
    trimtab_go_mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL) return NULL;
    // Without attributes it cannot fail.
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->descriptor = descriptor;
    mailbox->is_wanted = is_wanted != 0;
    return mailbox;
}

static inline void trimtab_go_events_free(trimtab_go_event *event) {
    while (event != NULL) {
        trimtab_go_event *next = event->next;
        free(event);
        event = next;
    }
}

// When nobody puts anything in any more: after the server was freed.
static inline void trimtab_go_mailbox_free(trimtab_go_mailbox *mailbox) {
    trimtab_go_events_free(mailbox->first);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

static inline size_t trimtab_go_append(char *texts, size_t at, const char *text, size_t length) {
    if (length != 0) memcpy(texts + at, text, length);
    return at + length;
}

static inline trimtab_go_event *trimtab_go_event_of(const trimtab_event *told) {
    size_t length = told->name_len + told->listener_len + told->pool_len + told->backend_len + told->value_len +
                    told->detail_len + told->node_len;
    trimtab_go_event *event = malloc(sizeof *event + length);
    if (event == NULL) return NULL;
    char *texts = (char *)(event + 1);
    event->next = NULL;
    event->kind = told->kind;
    event->number = told->number;
    event->texts = texts;
    event->name_end = trimtab_go_append(texts, 0, told->name, told->name_len);
    event->listener_end = trimtab_go_append(texts, event->name_end, told->listener, told->listener_len);
    event->pool_end = trimtab_go_append(texts, event->listener_end, told->pool, told->pool_len);
    event->backend_end = trimtab_go_append(texts, event->pool_end, told->backend, told->backend_len);
    event->value_end = trimtab_go_append(texts, event->backend_end, told->value, told->value_len);
    event->detail_end = trimtab_go_append(texts, event->value_end, told->detail, told->detail_len);
    event->node_end = trimtab_go_append(texts, event->detail_end, told->node, told->node_len);
    return event;
}

// Puts a copy of what is told into the mailbox; `id` is the backend's, where that is told.
static inline void trimtab_go_put(trimtab_go_mailbox *mailbox, const trimtab_event *told, uint64_t id) {
    int is_end = told->kind == TRIMTAB_EVENT_STOPPED;
    if (!mailbox->is_wanted && !is_end) return;
    trimtab_go_event *event = mailbox->is_wanted ? trimtab_go_event_of(told) : NULL;
    if (event != NULL) event->id = id;
    pthread_mutex_lock(&mailbox->lock);
    // Whoever takes takes all, so what comes to others needs no second word.
    int is_news = is_end || (mailbox->first == NULL && mailbox->lost == 0);
    if (is_end) mailbox->has_stopped = 1;
    if (event != NULL && mailbox->lost == 0 && mailbox->count < TRIMTAB_GO_EVENTS_MAX) {
        if (mailbox->first == NULL) {
            mailbox->first = event;
        } else {
            mailbox->last->next = event;
        }
        mailbox->last = event;
        mailbox->count++;
        event = NULL;
    } else if (mailbox->is_wanted) {
        mailbox->lost++;
    }
    pthread_mutex_unlock(&mailbox->lock);
    free(event);
    const uint64_t one = 1;
    while (is_news && write(mailbox->descriptor, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

// What trimtab calls. `user_data` is the mailbox.
static inline void trimtab_go_tell(const trimtab_event *told, void *user_data) {
    trimtab_go_put(user_data, told, 0);
}

typedef struct trimtab_go_events {
    trimtab_go_event *first;
    uint32_t count;
    uint64_t lost;
} trimtab_go_events;

// All that wait; the caller frees them.
static inline trimtab_go_events trimtab_go_mailbox_take(trimtab_go_mailbox *mailbox) {
    pthread_mutex_lock(&mailbox->lock);
    trimtab_go_events taken = {.first = mailbox->first, .count = mailbox->count, .lost = mailbox->lost};
    mailbox->first = NULL;
    mailbox->last = NULL;
    mailbox->count = 0;
    mailbox->lost = 0;
    pthread_mutex_unlock(&mailbox->lock);
    return taken;
}

// Whether the server has told of its end.
static inline int trimtab_go_mailbox_has_stopped(trimtab_go_mailbox *mailbox) {
    pthread_mutex_lock(&mailbox->lock);
    int has_stopped = mailbox->has_stopped;
    pthread_mutex_unlock(&mailbox->lock);
    return has_stopped;
}

#endif
