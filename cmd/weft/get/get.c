/* SPDX-License-Identifier: MIT */
#include "get/get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/scope.h>
#include <weft/url.h>
#include <weft/worker.h>

#include "get/fetch.h"
#include "get/save.h"

WF_TASK(wf_none, get_worker, (struct get *, get))

/* Short sections, which a cancelled worker has to get through as well. */
static void lock(struct get *get)
{
    WF_SHIELD(WF_FOREVER) {
        if (wf_mutex_lock(&get->lock, WF_FOREVER))
            abort(); /* neither cancelled nor late: the lock was used wrongly */
    }
}

static void unlock(struct get *get)
{
    wf_mutex_unlock(&get->lock);
}

/* The list */

int get_add(struct get *get, const char *url, struct wf_error *reterr)
{
    char text[WF_URL_BYTES_MAX];
    struct wf_error error = {0};
    int err = wf_url_canonical(NULL, url, strlen(url), text, sizeof text, NULL, &error);
    if (err < 0)
        return wf_error_set(reterr, WF_EPARSE, "%s", error.text);
    if ((get->count & (get->count - 1)) == 0) {
        size_t room = get->count ? 2 * get->count : 1;
        struct get_item *grown = realloc(get->items, room * sizeof *grown);
        if (!grown)
            return wf_error_set(reterr, -ENOMEM, NULL);
        get->items = grown;
    }
    struct get_item *item = &get->items[get->count];
    *item = (struct get_item){.url = strdup(url)};
    if (!item->url)
        return wf_error_set(reterr, -ENOMEM, NULL);
    get->count++;
    return 0;
}

static int compare_urls(const void *a, const void *b)
{
    const struct get_item *const *x = a, *const *y = b;
    int order = strcmp((*x)->url, (*y)->url);
    return order ? order : (*x > *y) - (*x < *y);
}

/* The items sorted by URL, equal ones in the order of the list; to be freed. */
static struct get_item **sorted(const struct get *get)
{
    struct get_item **items = malloc((get->count + 1) * sizeof(struct get_item *));
    for (size_t i = 0; items && i < get->count; i++)
        items[i] = &get->items[i];
    if (items)
        qsort(items, get->count, sizeof(struct get_item *), compare_urls);
    return items;
}

int get_unique(struct get *get)
{
    struct get_item **items = sorted(get);
    if (!items)
        return -ENOMEM;
    for (size_t i = get->count; i-- > 1;)
        if (strcmp(items[i]->url, items[i - 1]->url) == 0) {
            free(items[i]->url);
            items[i]->url = NULL;
        }
    free(items);
    size_t kept = 0;
    for (size_t i = 0; i < get->count; i++)
        if (get->items[i].url)
            get->items[kept++] = get->items[i];
    get->count = kept;
    return 0;
}

int get_read_list(struct get *get, FILE *file)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int err = 0;
    struct wf_error error;
    while (!err && (len = getline(&line, &size, file)) >= 0) {
        while (len > 0 && strchr(" \t\r\n", line[len - 1]))
            line[--len] = '\0';
        const char *url = line + strspn(line, " \t");
        if (*url && *url != '#') {
            err = get_add(get, url, &error);
            if (err == WF_EPARSE)
                fprintf(stderr, "weft get: %s\n", error.text);
        }
    }
    if (!err && ferror(file))
        err = -errno;
    free(line);
    return err;
}

/* Sizes */

int get_read_sizes(struct get *get, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    struct get_item **items = sorted(get);
    char *line = NULL;
    size_t size = 0;
    int err = items ? 0 : -ENOMEM;
    while (!err && getline(&line, &size, file) >= 0) {
        char *url;
        unsigned long long bytes = strtoull(line, &url, 10);
        url += strspn(url, " ");
        url[strcspn(url, "\r\n")] = '\0';
        struct get_item wanted = {.url = url}, *key = &wanted;
        size_t low = 0, high = get->count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (strcmp(items[middle]->url, key->url) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < get->count && strcmp(items[low]->url, key->url) == 0; low++) {
            items[low]->before = (size_t)bytes;
            items[low]->known_before = true;
        }
    }
    if (!err && ferror(file))
        err = -errno;
    free(line);
    free(items);
    fclose(file);
    return err;
}

int get_write_sizes(const struct get *get, const char *path)
{
    struct get_item **items = sorted(get);
    FILE *file = items ? fopen(path, "we") : NULL;
    int err = items ? 0 : -ENOMEM;
    if (items && !file)
        err = -errno;
    for (size_t i = 0; !err && i < get->count; i++) {
        const struct get_item *item = items[i];
        /* What was known before stands until a whole answer says the same or nothing was known. */
        size_t bytes = item->known_before ? item->before : item->bytes;
        bool last = i + 1 == get->count || strcmp(item->url, items[i + 1]->url) != 0;
        if (last && (item->known_before || (item->done && !item->error.code)) &&
            fprintf(file, "%zu %s\n", bytes, item->url) < 0)
            err = -errno;
    }
    if (file && fclose(file) && !err)
        err = -errno;
    free(items);
    return err;
}

/* Downloading */

/* A body on its way into a file; written on a thread that may block. */
struct save_call {
    const char *directory, *name;
    const struct fetch_answer *answer;
    struct wf_error *error;
    int err;
};

static void save(void *arg)
{
    struct save_call *call = arg;
    call->err = save_body(call->directory, call->name, call->answer->body, call->answer->body_len,
                          call->error);
}

static int save_answer(struct get *get, size_t index, const struct fetch_answer *answer)
{
    struct get_item *item = &get->items[index];
    unsigned number = 1;
    for (size_t i = 0; i < index; i++)
        number += strcmp(get->items[i].url, item->url) == 0;
    char name[SAVE_NAME_BYTES];
    save_name(name, item->url, number);
    struct save_call call = {get->options->directory, name, answer, &item->error, 0};
    int err = wf_block(save, &call);
    return err ? wf_error_set(&item->error, err, "%s: %s", item->url, wf_strerror(err)) : call.err;
}

/* Printing. With the lock. */

static bool is_marked(const struct get_item *item)
{
    return item->error.code || item->status < 200 || item->status > 299 || item->differs;
}

static void print_item(struct get_item *item)
{
    printf("Read %zu from %s", item->bytes, item->url);
    if (item->error.code)
        printf("  ! %s", item->error.text);
    else if (item->status < 200 || item->status > 299)
        printf("  ! status %d", item->status);
    if (item->differs)
        printf("  ! %zu bytes before", item->before);
    putchar('\n');
    item->printed = true;
}

static void print_ready(struct get *get, struct get_item *item)
{
    if (get->options->as_completed) {
        print_item(item);
    } else {
        for (; get->printed < get->count && get->items[get->printed].done; get->printed++)
            print_item(&get->items[get->printed]);
    }
    fflush(stdout);
}

/* Compares with what the same URL has answered before, and tells those that will be asked. */
static void compare_sizes(struct get *get, struct get_item *item)
{
    if (item->error.code)
        return;
    item->differs = item->known_before && item->before != item->bytes;
    for (size_t i = 0; i < get->count; i++) {
        struct get_item *other = &get->items[i];
        if (other != item && !other->done && !other->known_before &&
            strcmp(other->url, item->url) == 0) {
            other->before = item->bytes;
            other->known_before = true;
        }
    }
}

static void report(struct get *get, struct get_item *item, const struct fetch_answer *answer)
{
    lock(get);
    item->status = answer->status;
    item->bytes = answer->body_len;
    item->done = true;
    compare_sizes(get, item);
    get->done++;
    get->marked += is_marked(item);
    print_ready(get, item);
    unlock(get);
}

int get_worker(struct wf_task *self, struct get *get, wf_none *ret)
{
    (void)ret;
    for (;;) {
        lock(get);
        size_t index = get->next;
        get->next += index < get->count;
        unlock(get);
        if (index == get->count)
            return 0;
        struct get_item *item = &get->items[index];
        struct fetch_request request = {item->url, get->options->directory != NULL,
                                        get->options->timeout_ns};
        struct fetch_answer answer;
        int err = get->remote ? fetch_there(get->remote, &request, &answer, &item->error)
                              : fetch_here(get->http, &request, &answer, &item->error);
        if (err == -ECANCELED && wf_checkpoint(self)) {
            fetch_answer_fini(&answer);
            return -ECANCELED;
        }
        if (!err && get->options->directory)
            save_answer(get, index, &answer);
        report(get, item, &answer);
        fetch_answer_fini(&answer);
    }
}
WF_TASK_DEFINE(get_worker)

int get_run(struct get *get, struct wf_executor *on, struct wf_error *reterr)
{
    struct wf_scope scope;
    struct wf_http_options http = {.body_bytes_max = get->options->body_bytes_max};
    int err = get->options->processes
                  ? fetch_workers_create(get->options->concurrency, http.body_bytes_max,
                                         &get->remote, reterr)
                  : wf_http_create(&http, &get->http, reterr);
    if (err)
        return err;
    wf_scope_open(&scope, on, WF_FOREVER);
    for (int i = 0; i < get->options->concurrency && (size_t)i < get->count; i++)
        if (get_worker_go(&scope, get))
            break; /* the refusal has failed the scope */
    err = wf_scope_close(&scope, reterr);
    wf_executor_destroy(get->remote);
    wf_http_destroy(get->http);
    return err;
}

void get_fini(struct get *get)
{
    for (size_t i = 0; i < get->count; i++)
        free(get->items[i].url);
    free(get->items);
    wf_mutex_fini(&get->lock);
}
