/* SPDX-License-Identifier: MIT */
/*
 * Calls of Celery put together: groups, which run side by side, chains, of which each gets the
 * result of the one before, and chords, a group whose results one more task gets as a list.
 *
 *     struct wf_celery_signature *parts[] = {
 *         wf_celery_signature_of(&add_task, &(struct add_args){1, 2}, 0, NULL),
 *         wf_celery_signature_create("tasks.add", "[3, 4]", NULL, NULL)};
 *     struct wf_celery_signature *sum = wf_celery_signature_create("tasks.sum", NULL, NULL, NULL);
 *     struct wf_celery_signature *chord = wf_celery_chord(parts, 2, sum);
 *
 *     err = wf_celery_client_apply(client, chord, &sent, limit, &error);
 *     err = wf_celery_client_collect(client, wf_json_root(sent), &values, limit, &error);
 *     ... wf_json_destroy(values), wf_json_destroy(sent) ...
 *     wf_celery_signature_destroy(chord);
 *
 * Whoever makes one of others gives these away. What goes wrong in between, lack of memory or text
 * that is no JSON, is told where the whole is used; so what is returned needs no check.
 */
#ifndef WEFT_CELERY_CANVAS_H
#define WEFT_CELERY_CANVAS_H

#include <weft/celery_client.h>
#include <weft/task.h>

WF_BEGIN_DECLS

struct wf_celery_signature;

/*
 * A call of a task by its name.
 *
 * args     a JSON array; NULL: none. In a chain, or as the body of a chord, the result of what ran
 *          before comes in front of them.
 * kwargs   a JSON object; NULL: none
 * apply    may be NULL; its root_id and parent_id are not used
 *
 * Returns it; the caller gives it away or destroys it.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_signature *wf_celery_signature_create(const char *name, const char *args,
                                                              const char *kwargs,
                                                              const struct wf_celery_apply *apply);

/*
 * The same for a task with types, from a struct NAME_args.
 *
 * skip   how many of the first arguments are left out, as they come from what ran before
 *
 * Context: any, never blocks.
 */
WF_API struct wf_celery_signature *wf_celery_signature_of(const struct wf_task_type *type,
                                                          const void *args, size_t skip,
                                                          const struct wf_celery_apply *apply);

/*
 * One that was written as JSON, by Celery or by wf_celery_signature_text.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_signature *wf_celery_signature_read(const char *text);

/*
 * Makes it take no result of what ran before it. Returns `signature`.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_signature *wf_celery_immutable(struct wf_celery_signature *signature);

/*
 * A group, a chain and a chord of others, which they own from here on; NULL among them counts as
 * one without memory.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_signature *wf_celery_group(struct wf_celery_signature *const *parts,
                                                   size_t count);
WF_API struct wf_celery_signature *wf_celery_chain(struct wf_celery_signature *const *parts,
                                                   size_t count);
WF_API struct wf_celery_signature *wf_celery_chord(struct wf_celery_signature *const *parts,
                                                   size_t count, struct wf_celery_signature *body);

/*
 * It as JSON: for wf_celery_replace, for `callbacks` of struct wf_celery_apply, or to be stored.
 *
 * ret_text   receives the text, which lives as long as the signature
 *
 * Returns 0; -EINVAL when something in it is not right, with a text that says what; or -ENOMEM.
 * Context: any, never blocks.
 */
WF_API int wf_celery_signature_text(const struct wf_celery_signature *signature,
                                    const char **ret_text, struct wf_error *reterr);

/* Destroys it, with all it owns. NULL is fine. Context: any, never blocks. */
WF_API void wf_celery_signature_destroy(struct wf_celery_signature *signature);

/*
 * Sends what is to be run of it first; what follows the workers send. A signature can be sent any
 * number of times.
 *
 * ret_sent   receives what results are to be waited for, to be given to wf_json_destroy: [[id,
 *            parent], null], the id being that of the last task; of a group the members, in the
 *            same form, in place of the null. May be NULL
 *
 * Returns 0, or, when some of it may have been sent,
 *   -EINVAL    something in it is not right
 *   -ENOTSUP   there is a chord, and no Redis as backend to count its parts
 *   or an error of wf_celery_client_send
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_apply(struct wf_celery_client *client,
                                  const struct wf_celery_signature *signature,
                                  struct wf_json **ret_sent, wf_deadline deadline,
                                  struct wf_error *reterr);

/*
 * Waits for all the results of what was sent.
 *
 * sent         as wf_celery_client_apply gave it, or a part of it, or as read from `children` of a
 *              result
 * ret_values   receives the value, of a group an array of values in the order of its members, to be
 *              given to wf_json_destroy
 *
 * Returns 0; or the error of the first member, in that order, that has failed; or an error of
 * wf_celery_client_wait.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_collect(struct wf_celery_client *client,
                                    const struct wf_json_value *sent, struct wf_json **ret_values,
                                    wf_deadline deadline, struct wf_error *reterr);

WF_END_DECLS

#endif
