/* SPDX-License-Identifier: MIT */
/* Ordered map: conformance group EXE. */
#include "engines.h"

#include <errno.h>
#include <sys/mman.h>

#include "os/sanitizer.h"

/* In memory that worker processes share; and of this one alone. */
static WFI_ATOMIC(int) * ran;
static WFI_ATOMIC(int) dropped;

WF_TASK(int, square, (int, n))
WF_TASK(int, wait_if, (struct wf_event *, event))
WF_TASK(int *, box, (int *, owned))

int square(struct wf_task *self, int n, int *ret)
{
    wfi_fetch_add(ran, 1);
    if (n < 0)
        return wf_task_fail(self, n, "negative: %d", n);
    *ret = n * n;
    return 0;
}
WF_TASK_DEFINE(square)

int wait_if(struct wf_task *self, struct wf_event *event, int *ret)
{
    (void)self;
    *ret = 1;
    return event ? wf_event_wait(event, party_soon()) : 0;
}
WF_TASK_DEFINE(wait_if)

int box(struct wf_task *self, int *owned, int **ret)
{
    (void)self;
    *ret = malloc(sizeof **ret);
    check(*ret != NULL);
    **ret = *owned + 1;
    return 0;
}

static void drop_args(void *args)
{
    free(((struct box_args *)args)->owned);
    wfi_fetch_add(&dropped, 1);
}

static void drop_result(void *result)
{
    free(*(int **)result);
}
WF_TASK_DEFINE_WITH(box, .drop_args = drop_args, .drop_result = drop_result)

/* For worker processes: the number goes there and is a new one. */
static ssize_t encode_owned(const void *value, void *buf, size_t capacity)
{
    if (capacity >= sizeof(int))
        memcpy(buf, *(int *const *)value, sizeof(int));
    return sizeof(int);
}

static int decode_owned(void *value, const void *buf, size_t len)
{
    int *made = malloc(sizeof *made);
    check(made != NULL && len == sizeof *made);
    memcpy(made, buf, sizeof *made);
    *(int **)value = made;
    return 0;
}
WF_WIRE(int *, encode_owned, decode_owned)

struct count {
    int at, end;
    int taken, most_ahead;
    int fail_at, fail_code;
    int source_fails_at;
};

static int next(void *arg, struct square_args *ret_args)
{
    struct count *count = arg;
    if (count->source_fails_at && count->at == count->source_fails_at)
        return -EPROTO;
    if (count->at == count->end)
        return 0;
    ret_args->n = count->at;
    if (count->fail_code && count->at == count->fail_at)
        ret_args->n = count->fail_code;
    count->at++;
    if (count->at - count->taken > count->most_ahead)
        count->most_ahead = count->at - count->taken;
    return 1;
}

/* EXE-01 */
static void same_as_serial(struct wf_executor *on)
{
    struct square_args items[10];
    int results[10];
    for (int i = 0; i < 10; i++)
        items[i].n = i;
    square_future f[10];
    for (int i = 0; i < 10; i++)
        f[i] = square_submit(on, i);
    for (int i = 0; i < 10; i++) {
        check_int(square_result(&f[i], &results[i], party_soon(), NULL), 0);
        check_int(results[i], i * i);
    }
    static const int chunks[] = {0, 1, 3, 4, 10, 50};
    for (int c = 0; c < 6; c++) {
        memset(results, 0, sizeof results);
        struct wf_map_options options = {.chunk = chunks[c]};
        check_int(square_each(on, &options, items, 10, results, party_soon(), NULL), 0);
        for (int i = 0; i < 10; i++)
            check_int(results[i], i * i);
    }
    check_int(square_each(on, NULL, items, 0, results, party_soon(), NULL), 0);
}

static void map_equals_the_serial_run(void **state)
{
    (void)state;
    ON_EVERYTHING(same_as_serial);
}

/* EXE-02: items 1 and 2 arrive, then the error at its place, and the fourth behind it. */
static void fails_in_place(struct wf_executor *on)
{
    for (int chunk = 1; chunk <= 3; chunk++) {
        struct count count = {.end = 4, .fail_at = 2, .fail_code = -EIO};
        square_stream s;
        struct wf_error error;
        int value = -1;
        check_int(square_map(on, &(struct wf_map_options){.chunk = chunk}, next, &count, &s, NULL),
                  0);
        check_int(square_map_next(&s, &value, party_soon(), &error), 1);
        check_int(value, 0);
        check_int(square_map_next(&s, &value, party_soon(), &error), 1);
        check_int(value, 1);
        check_int(square_map_next(&s, &value, party_soon(), &error), -EIO);
        check(strcmp(error.text, "negative: -5") == 0 && strcmp(error.task, "square") == 0);
        check_int(square_map_next(&s, &value, party_soon(), &error), 1);
        check_int(value, 9);
        check_int(square_map_next(&s, &value, party_soon(), &error), 0);
        square_map_close(&s);

        struct square_args items[] = {{0}, {1}, {-EIO}, {3}};
        int results[4] = {-1, -1, -1, -1};
        check_int(square_each(on, &(struct wf_map_options){.chunk = chunk}, items, 4, results,
                              party_soon(), &error),
                  -EIO);
        check(strcmp(error.text, "item 2: negative: -5") == 0);
        check(results[1] == 1 && results[2] == -1 && results[3] == -1);
    }
}

static void an_error_arrives_at_its_place(void **state)
{
    (void)state;
    ON_EVERYTHING(fails_in_place);
}

/* EXE-03 */
static void times_out(struct wf_executor *on)
{
    struct wf_event slow;
    wf_event_init(&slow);
    struct wait_if_args items[] = {{NULL}, {NULL}, {&slow}};
    int results[3] = {0};
    struct wf_error error;
    /* Time enough for the first two, whatever the machine does besides. */
    int64_t patience = wfi_under_valgrind() ? WF_SECONDS(1) : WF_MILLISECONDS(100);
    check_int(wait_if_each(on, NULL, items, 3, results, wf_after(patience), &error), -ETIMEDOUT);
    check(results[0] == 1 && results[1] == 1 && results[2] == 0);
    wf_event_set(&slow);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    wf_event_fini(&slow);
}

static void a_deadline_holds_for_the_whole(void **state)
{
    (void)state;
    ON_CONCURRENT(times_out);
}

/* EXE-05 */
static void bad_numbers(struct wf_executor *on)
{
    struct count count = {.end = 4};
    square_stream s = {NULL};
    struct wf_error error;
    check_int(square_map(on, &(struct wf_map_options){.look_ahead = -1}, next, &count, &s, &error),
              -EINVAL);
    check_int(square_map(on, &(struct wf_map_options){.chunk = -1}, next, &count, &s, &error),
              -EINVAL);
    check(s.map == NULL);
    check_int(count.at, 0);
    square_map_close(&s);
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    ON_EVERYTHING(bad_numbers);
}

/* EXE-06 */
static void endless(struct wf_executor *on)
{
    for (int chunk = 1; chunk <= 2; chunk++) {
        struct count count = {.end = -1};
        square_stream s;
        struct wf_map_options options = {.look_ahead = 2, .chunk = chunk};
        check_int(square_map(on, &options, next, &count, &s, NULL), 0);
        for (int i = 0; i < 1000; i++) {
            int value = -1;
            check_int(square_map_next(&s, &value, party_soon(), NULL), 1);
            count.taken++;
            check_int(value, i * i);
        }
        check(count.most_ahead <= 2);
        square_map_close(&s);

        count = (struct count){.end = 0};
        check_int(square_map(on, &options, next, &count, &s, NULL), 0);
        check_int(square_map_next(&s, NULL, party_soon(), NULL), 0);
        square_map_close(&s);

        count = (struct count){.end = -1, .source_fails_at = 3};
        struct wf_error error;
        check_int(square_map(on, &options, next, &count, &s, NULL), 0);
        for (int i = 0; i < 3; i++)
            check_int(square_map_next(&s, NULL, party_soon(), NULL), 1);
        check_int(square_map_next(&s, NULL, party_soon(), &error), -EPROTO);
        check_int(square_map_next(&s, NULL, party_soon(), &error), 0);
        square_map_close(&s);
    }
}

static void an_endless_source_flows_within_the_look_ahead(void **state)
{
    (void)state;
    ON_EVERYTHING(endless);
}

/* EXE-08: results are never read; all within the look-ahead run. */
static void never_read(struct wf_executor *on)
{
    wfi_store(ran, 0);
    struct count count = {.end = 10};
    square_stream s;
    check_int(square_map(on, &(struct wf_map_options){.look_ahead = 10}, next, &count, &s, NULL),
              0);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    check_int(wfi_load(ran), 10);
    square_map_close(&s);
}

static void results_need_not_be_read(void **state)
{
    (void)state;
    ON_EVERYTHING(never_read);
}

struct boxes {
    int at, end;
};

static int next_box(void *arg, struct box_args *ret_args)
{
    struct boxes *boxes = arg;
    if (boxes->at == boxes->end)
        return 0;
    ret_args->owned = malloc(sizeof(int));
    check(ret_args->owned != NULL);
    *ret_args->owned = boxes->at++;
    return 1;
}

/* EXE-09: arguments are destroyed once, results handed out or destroyed, wherever the reader stops.
 */
static void owned(struct wf_executor *on)
{
    for (int chunk = 1; chunk <= 4; chunk += 3)
        for (int stop = 0; stop <= 20; stop += 3) {
            struct boxes boxes = {0, 20};
            box_stream s;
            wfi_store(&dropped, 0);
            check_int(box_map(on, &(struct wf_map_options){.look_ahead = 8, .chunk = chunk},
                              next_box, &boxes, &s, NULL),
                      0);
            for (int i = 0; i < stop; i++) {
                int *value = NULL;
                check_int(box_map_next(&s, &value, party_soon(), NULL), 1);
                check_int(*value, i + 1);
                free(value);
            }
            box_map_close(&s);
            party_reaches(&dropped, boxes.at);
            check_int(wfi_load(&dropped), boxes.at);
        }
}

static void what_items_own_is_destroyed_once(void **state)
{
    (void)state;
    ON_EVERYTHING(owned);
}

static void memory(struct wf_executor *on)
{
    for (int chunk = 1; chunk <= 3; chunk++)
        for (uint64_t n = 1;; n++) {
            struct square_args items[8];
            int results[8];
            for (int i = 0; i < 8; i++)
                items[i].n = i;
            wfi_alloc_watch(n);
            int err = square_each(on, &(struct wf_map_options){.chunk = chunk}, items, 8, results,
                                  party_soon(), NULL);
            bool reached = wfi_alloc_unwatch();
            check(err == 0 || (reached && (err == -ENOMEM || err == -EAGAIN)));
            if (!reached)
                break;
        }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    ON_ALL(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_equals_the_serial_run),
        cmocka_unit_test(an_error_arrives_at_its_place),
        cmocka_unit_test(a_deadline_holds_for_the_whole),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(an_endless_source_flows_within_the_look_ahead),
        cmocka_unit_test(results_need_not_be_read),
        cmocka_unit_test(what_items_own_is_destroyed_once),
        cmocka_unit_test(any_allocation_may_fail),
    };
    ran = mmap(NULL, sizeof *ran, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct wf_error error;
    if (ran == MAP_FAILED || wf_processes_init(&error))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
