/* SPDX-License-Identifier: MIT */
/*
 * An account of 1000, and two threads, ta and tb, that draw 800 each. With the lock, tb is refused.
 * Without it, both look at the balance before either takes its money, and the account ends at -600:
 * every time, for neither goes on before both have looked. That is the wrong order of things, not a
 * data race: the balance is an atomic.
 *
 *     lock_concurrent [--no-lock]
 */
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>

#include <weft/event.h>
#include <weft/latch.h>
#include <weft/mutex.h>
#include <weft/threads.h>

struct account {
    atomic_long balance;
    struct wf_mutex *lock;       /* NULL: --no-lock */
    struct wf_event someone_in;  /* a thread has looked at the balance */
    struct wf_latch both_looked; /* without the lock: two have */
};

WF_TASK(wf_none, draw, (struct account *, account), (long, amount))

/* What lies between looking and taking. With the lock, a switch of threads does no harm. */
static int hesitate(struct account *account)
{
    wf_event_set(&account->someone_in);
    if (account->lock)
        return wf_sleep(wf_after(WF_MILLISECONDS(100)));
    wf_latch_count_down(&account->both_looked, 1);
    return wf_latch_wait(&account->both_looked, WF_FOREVER);
}

static int take(const char *name, struct account *account, long amount)
{
    if (atomic_load(&account->balance) < amount) {
        printf("%s 取钱失败，余额不足\n", name);
        return 0;
    }
    int err = hesitate(account);
    if (err)
        return err;
    printf("%s 取钱成功\n", name);
    printf("%s 当前余额 %ld\n", name, atomic_fetch_sub(&account->balance, amount) - amount);
    return 0;
}

int draw(struct wf_task *self, struct account *account, long amount, wf_none *ret)
{
    int err = 0;
    *ret = (wf_none){0};
    if (!account->lock)
        return take(wf_task_name(self), account, amount);
    WF_LOCKED(account->lock)
    {
        err = take(wf_task_name(self), account, amount);
    }
    return err;
}
WF_TASK_DEFINE(draw)

static int draw_twice(struct wf_executor *on, struct account *account, struct wf_error *reterr)
{
    draw_future ta = draw_submit_with(on, &(struct wf_submit_options){.name = "ta"}, account, 800);
    int err = wf_event_wait(&account->someone_in, WF_FOREVER); /* ta comes first */
    draw_future tb = draw_submit_with(on, &(struct wf_submit_options){.name = "tb"}, account, 800);
    int ta_err = draw_result(&ta, &(wf_none){0}, WF_FOREVER, reterr);
    int tb_err = draw_result(&tb, &(wf_none){0}, WF_FOREVER, reterr);
    return err ? err : ta_err ? ta_err : tb_err;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"no-lock", no_argument, NULL, 'n'}, {0}};
    static struct wf_mutex lock = WF_MUTEX_INIT;
    struct account account = {.balance = 1000,
                              .lock = &lock,
                              .someone_in = WF_EVENT_INIT,
                              .both_looked = WF_LATCH_INIT(2)};
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'n')
            return 2;
        account.lock = NULL;
    }
    int err = wf_threads_create(&(struct wf_threads_options){.workers = 2}, &on, &error);
    if (!err)
        err = draw_twice(on, &account, &error);
    if (err)
        fprintf(stderr, "lock_concurrent: %s\n", error.text);
    wf_executor_destroy(on);
    return err ? 1 : 0;
}
