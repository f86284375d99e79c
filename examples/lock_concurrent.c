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
#include <weft/thread.h>

struct account {
    atomic_long balance;
    struct wf_mutex *lock;       /* NULL: --no-lock */
    struct wf_event someone_in;  /* a thread has looked at the balance */
    struct wf_latch both_looked; /* without the lock: two have */
};

enum { AMOUNT = 800 };

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

static int draw(void *arg)
{
    struct account *account = arg;
    const char *name = wf_thread_name(wf_thread_self());
    int err = 0;
    if (!account->lock)
        return take(name, account, AMOUNT);
    WF_LOCKED(account->lock) {
        err = take(name, account, AMOUNT);
    }
    return err;
}

/* Returns what the threads failed with, or 0. */
static int draw_twice(struct account *account, struct wf_error *reterr)
{
    struct wf_thread *ta = NULL, *tb = NULL;
    int ta_err = 0, tb_err = 0;
    int err =
        wf_thread_create(&(struct wf_thread_options){.name = "ta"}, draw, account, &ta, reterr);
    if (!err)
        err =
            wf_thread_create(&(struct wf_thread_options){.name = "tb"}, draw, account, &tb, reterr);
    if (!err)
        err = wf_thread_start(ta);
    if (!err)
        err = wf_event_wait(&account->someone_in, WF_FOREVER); /* ta comes first */
    if (!err)
        err = wf_thread_start(tb);
    if (!err)
        err = wf_thread_join(ta, &ta_err, WF_FOREVER);
    if (!err)
        err = wf_thread_join(tb, &tb_err, WF_FOREVER);
    wf_thread_destroy(tb);
    wf_thread_destroy(ta);
    err = err ? err : ta_err ? ta_err : tb_err;
    return err ? wf_error_set(reterr, err, NULL) : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"no-lock", no_argument, NULL, 'n'}, {0}};
    static struct wf_mutex lock = WF_MUTEX_INIT;
    struct account account = {.balance = 1000,
                              .lock = &lock,
                              .someone_in = WF_EVENT_INIT,
                              .both_looked = WF_LATCH_INIT(2)};
    struct wf_error error = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'n')
            return 2;
        account.lock = NULL;
    }
    int err = draw_twice(&account, &error);
    if (err)
        fprintf(stderr, "lock_concurrent: %s\n", error.text);
    return err ? 1 : 0;
}
