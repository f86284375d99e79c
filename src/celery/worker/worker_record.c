/* SPDX-License-Identifier: MIT */
#include "celery/worker/worker_record.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

void wfi_worker_lock(struct wfi_worker *worker)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&worker->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

void wfi_worker_unlock(struct wfi_worker *worker)
{
    wf_mutex_unlock(&worker->lock);
}

bool wfi_worker_logs(const struct wfi_worker *worker, enum wf_celery_level level)
{
    return worker->options->log && level >= worker->options->level;
}

void wfi_worker_say(struct wfi_worker *worker, enum wf_celery_level level, const char *format, ...)
{
    char line[700];
    va_list args;
    if (!wfi_worker_logs(worker, level))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* Names and texts of a message are anybody's: none of them begins a line of its own. */
    for (char *at = line; *at; at++)
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    worker->options->log(worker->options->log_arg, level, line);
}

int64_t wfi_worker_now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void wfi_worker_count_begun(struct wfi_worker *worker)
{
    if (wfi_fetch_sub(&worker->not_begun, 1) == 1)
        wf_event_set(&worker->wake);
}

void wfi_worker_stop(struct wfi_worker *worker)
{
    wfi_store(&worker->stopping, true);
    wf_event_set(&worker->wake);
}
