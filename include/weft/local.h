/* SPDX-License-Identifier: MIT */
/*
 * Two kinds of variables that are not shared.
 *
 * A context local has a value that belongs to the task: it starts with the value its submitter saw,
 * on whatever engine it runs, and what it sets is seen by itself and by the tasks it submits later,
 * but not by its submitter.
 *
 *     WF_LOCAL(const char *, request_id)                     (in a header, or atop a file)
 *     WF_LOCAL_DEFINE(const char *, request_id, "none")      (in one file)
 *
 *     err = request_id_set("r-17");
 *     puts(request_id_get());
 *
 * An object local is an object that every thread and every fiber has for itself, made when it first
 * asks and ended when it ends: a connection, a session, a scratch buffer.
 *
 *     WF_OBJECT(struct session, session)
 *     WF_OBJECT_DEFINE(struct session, session, session_open, session_close)
 *
 *     struct session *mine;
 *     err = session_object(&mine);
 */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_local {
    const char *name;
    size_t bytes;
    const void *initial; /* what is seen where nothing was set */
};

/*
 * The value the caller sees. Valid until the calling party sets a context local or ends its task.
 * Context: any, never blocks.
 */
WF_API const void *wf_local_get(const struct wf_local *local);

/*
 * Sets the value for the caller's task from here on; *value is copied.
 *
 * Returns 0, or
 *   -ENOMEM   no memory; the value is as it was
 * Context: any, never blocks.
 */
WF_API WF_MUST_USE int wf_local_set(const struct wf_local *local, const void *value);

/* What a stretch of its own keeps in the caller's frame. */
struct wf_local_stretch {
    void *outer;
};

/*
 * Begins a stretch of the caller's code that sees the context locals as they are, and whose own
 * settings end with it: for a party that does one piece of work after another for others (a
 * connection its requests), where no piece may see what one before it has set.
 *
 * stretch   storage, the caller's
 * Context: any, never blocks.
 */
WF_API void wf_local_enter(struct wf_local_stretch *stretch);

/*
 * Ends it: the values are as they were.
 * Context: any, never blocks; in reverse order of entering.
 */
WF_API void wf_local_leave(struct wf_local_stretch *stretch);

/* Declares the context local NAME of type T: T NAME_get(void), int NAME_set(T value). */
#define WF_LOCAL(T, NAME)                                                     \
    extern const struct wf_local NAME##_local;                                \
    static inline __attribute__((unused)) T NAME##_get(void)                  \
    {                                                                         \
        return *(T const *)wf_local_get(&NAME##_local);                       \
    }                                                                         \
    static inline __attribute__((unused)) WF_MUST_USE int NAME##_set(T value) \
    {                                                                         \
        return wf_local_set(&NAME##_local, (const void *)&value);             \
    }

/* Defines it; the rest is its initial value: 7, "none", {1, 2}. */
#define WF_LOCAL_DEFINE(T, NAME, ...)                  \
    static T const NAME##_local_initial = __VA_ARGS__; \
    const struct wf_local NAME##_local = {#NAME, sizeof(T), (const void *)&NAME##_local_initial};

struct wf_object {
    const char *name;
    size_t bytes;
    int (*init)(void *object);  /* on zeroed memory; may be NULL; negative: nothing was made */
    void (*fini)(void *object); /* on the party it belongs to, as it ends; may be NULL */
};

/*
 * The calling party's own object, made if it has none yet. It is ended with its party, in the
 * reverse order of making; on the main thread, only if that ends by pthread_exit.
 *
 * ret_object   receives it; it stays the party's
 *
 * Returns 0, or
 *   -ENOMEM   no memory
 *   what `init` returned, negative
 * Context: any, never blocks unless `init` does.
 */
WF_API WF_MUST_USE int wf_object_get(const struct wf_object *object, void **ret_object);

/* Declares the object local NAME of type T: int NAME_object(T **ret_object). */
#define WF_OBJECT(T, NAME)                                                              \
    extern const struct wf_object NAME##_object_type;                                   \
    static inline __attribute__((unused)) WF_MUST_USE int NAME##_object(T **ret_object) \
    {                                                                                   \
        void *object;                                                                   \
        int err = wf_object_get(&NAME##_object_type, &object);                          \
        if (!err)                                                                       \
            *ret_object = (T *)object;                                                  \
        return err;                                                                     \
    }

/* Defines it: INIT is int INIT(T *), FINI is void FINI(T *). */
#define WF_OBJECT_DEFINE(T, NAME, INIT, FINI)                                          \
    static int NAME##_object_init(void *object)                                        \
    {                                                                                  \
        return INIT((T *)object);                                                      \
    }                                                                                  \
    static void NAME##_object_fini(void *object)                                       \
    {                                                                                  \
        FINI((T *)object);                                                             \
    }                                                                                  \
    const struct wf_object NAME##_object_type = {#NAME, sizeof(T), NAME##_object_init, \
                                                 NAME##_object_fini};

WF_END_DECLS

#endif
