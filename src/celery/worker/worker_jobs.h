/* SPDX-License-Identifier: MIT */
/*
 * What a worker knows of its messages and of the tasks that it offers, for others to look at and to
 * change: which jobs there are, and how far they have come; how many of each task there were; how
 * often and for how long a task may run; which ids are revoked. All under the worker's lock.
 *
 *     job    waiting    held: it waits for its eta, for its turn under a rate limit, for a slot
 *            active     its task runs
 *
 * A job that waits for its eta or its turn can be woken, so that one that is revoked ends at once,
 * and another rate limit counts at once. Who has the same task's turn: the first in line waits for
 * a token, the others for him.
 */
#ifndef WFI_CELERY_WORKER_JOBS_H
#define WFI_CELERY_WORKER_JOBS_H

#include "celery/worker/worker_record.h"

void wfi_jobs_init(struct wfi_worker *worker);
/* No job is left. */
void wfi_jobs_fini(struct wfi_worker *worker);

/*
 * The task of this name, if it can be called from outside; those of the library's own cannot.
 * Returns 0, -ENOENT, or -ENOMEM.
 */
int wfi_jobs_offer(struct wfi_worker *worker, const char *name, struct wfi_offer **ret_offer);

/* Whether a task is one that can be. */
bool wfi_jobs_may_offer(const struct wf_task_type *type);

/* As wfi_jobs_offer, under the lock. */
int wfi_jobs_offer_locked(struct wfi_worker *worker, const char *name,
                          struct wfi_offer **ret_offer);

/* A job that waits, and one that has ended. add returns false when it is revoked. */
bool wfi_jobs_add(struct wfi_job *job, struct wfi_offer *offer);
void wfi_jobs_remove(struct wfi_job *job);

/* The job after this one, the first for NULL; NULL at the end. Under the lock. */
struct wfi_job *wfi_jobs_next(struct wfi_worker *worker, struct wfi_job *job);

/* Until the deadline, or until it is woken. Returns 0, 1 when it is revoked, or -ECANCELED. */
int wfi_jobs_wait(struct wfi_job *job, wf_deadline deadline);

/* Until its task may begin. Returns the same. */
int wfi_jobs_wait_turn(struct wfi_job *job);

/* It has a slot. Returns false when it is revoked. */
bool wfi_jobs_activate(struct wfi_job *job);

/* How long its task may run, in seconds, as the message says or, else, as the task does; 0: for
 * ever. */
void wfi_jobs_limits(struct wfi_job *job, double *ret_hard_s, double *ret_soft_s);

/* Its task was started, or, with NULL, has ended. */
void wfi_jobs_run(struct wfi_job *job, struct wf_future *running);

/* Ends a task that runs: `signum` is what a process gets; others are asked to stop. Under the lock.
 */
void wfi_jobs_terminate(struct wfi_job *job, int signum);

/* Another rate limit; those who wait for their turn look again. Under the lock. */
void wfi_jobs_set_rate(struct wfi_offer *offer, double per_s, const char *text);

/* Adds an id, and wakes jobs. Under the lock. Returns 0 or -ENOMEM. */
int wfi_jobs_revoke(struct wfi_worker *worker, const char *id);
void wfi_jobs_wake_revoked(struct wfi_worker *worker);

#endif
