/* SPDX-License-Identifier: MIT */
/*
 * How weft/task.h makes its declarations. Nothing here is for direct use.
 *
 * WF_TASK counts its arguments (result, name and zero to eight pairs), so that a task without
 * parameters needs no macro of its own, and hands the pairs on in five shapes: members, formal
 * parameters, initialisers, fields to pass, and rows of the parameter table (WF_TM_, WF_TF_,
 * WF_TI_, WF_TP_, WF_TR_; WF_TT_ gives types alone, WF_TS_ takes a pair's brackets off). Formal
 * parameters of the functions made here carry the prefix wfi_, so that a parameter may be called
 * `on` or `scope`.
 */
#ifndef WEFT_TASK_MACROS_H
#define WEFT_TASK_MACROS_H

#define WF_TASK_PICK_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, N, ...) N
#define WF_TASK_COUNT_(...) \
    WF_TASK_PICK_(__VA_ARGS__, too_many_parameters, 8, 7, 6, 5, 4, 3, 2, 1, 0, no_name, no_name)
#define WF_TASK_JOIN_(a, b) WF_TASK_JOIN2_(a, b)
#define WF_TASK_JOIN2_(a, b) a##b

#define WF_TM_(T, n) T n;
#define WF_TF_(T, n) , T n
#define WF_TT_(T, n) , T
#define WF_TI_(T, n) .n = n,
#define WF_TP_(T, n) , wfi_args->n
#define WF_TS_(T, n) T, n
#define WF_TR_(...) WF_TR2_(__VA_ARGS__)
#define WF_TR2_(NAME, T, n)                               \
    {#n, #T, WF_TASK_PARAM_KIND_(T), (uint32_t)sizeof(T), \
     (uint32_t)offsetof(struct NAME##_args, n)},

/* A closed list; through a pointer, so that a type that has no values (an array) is no error. */
#define WF_TASK_PARAM_KIND_(T) \
    _Generic((T *)0,                                                                               \
        _Bool *: WF_PARAM_BOOL,                                                                    \
        char *: WF_PARAM_INT,                                                                      \
        signed char *: WF_PARAM_INT,                                                               \
        short *: WF_PARAM_INT,                                                                     \
        int *: WF_PARAM_INT,                                                                       \
        long *: WF_PARAM_INT,                                                                      \
        long long *: WF_PARAM_INT,                                                                 \
        unsigned char *: WF_PARAM_UINT,                                                            \
        unsigned short *: WF_PARAM_UINT,                                                           \
        unsigned int *: WF_PARAM_UINT,                                                             \
        unsigned long *: WF_PARAM_UINT,                                                            \
        unsigned long long *: WF_PARAM_UINT,                                                       \
        float *: WF_PARAM_DOUBLE,                                                                  \
        double *: WF_PARAM_DOUBLE,                                                                 \
        const char **: WF_PARAM_STRING,                                                            \
        char **: WF_PARAM_STRING,                                                                  \
        struct wf_bytes *: WF_PARAM_BYTES,                                                         \
        struct wf_json **: WF_PARAM_JSON,                                                          \
        const struct wf_json **: WF_PARAM_JSON,                                                    \
        default: WF_PARAM_OPAQUE)

#define WF_TASK_UNUSED_ __attribute__((unused))

/* The first byte after the arguments at which a result of this type may stand. */
#define WF_TASK_RESULT_OFFSET_(R, NAME) \
    ((uint32_t)((sizeof(struct NAME##_args) + _Alignof(R) - 1) / _Alignof(R) * _Alignof(R)))
#define WF_TASK_ALIGN_(R, NAME)                                          \
    ((uint32_t)(_Alignof(R) > _Alignof(struct NAME##_args) ? _Alignof(R) \
                                                           : _Alignof(struct NAME##_args)))

#define WF_TASK_SHAPE_(NAME)                                                                   \
    .abi = WF_TASK_ABI, .params = NAME##_params, .param_count = NAME##_param_count,            \
    .args_bytes = (uint32_t)sizeof(struct NAME##_args), .result_offset = NAME##_result_offset, \
    .result_bytes = (uint32_t)sizeof(NAME##_value), .align = NAME##_align,                     \
    .result_type = NAME##_result_text, .result_kind = (enum wf_param_kind)NAME##_result_kind

#define WF_TASK_EXTERN_(NAME, FOREIGN) extern const struct wf_task_type NAME##_task;
#define WF_TASK_FOREIGN_(NAME, FOREIGN)                                             \
    static const struct wf_task_type NAME##_task WF_TASK_UNUSED_ = {                \
        .name = FOREIGN,                                                            \
        .file = __FILE__,                                                           \
        .line = __LINE__,                                                           \
        WF_TASK_SHAPE_(NAME),                                                       \
        .drop_result = (int)NAME##_result_kind == WF_PARAM_STRING  ? wf_drop_string \
                       : (int)NAME##_result_kind == WF_PARAM_BYTES ? wf_drop_bytes  \
                       : (int)NAME##_result_kind == WF_PARAM_JSON  ? wf_drop_json   \
                                                                   : NULL};

#define WF_TASK_0(LINK, FOREIGN, R, NAME) \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 0, (char wfi_none;), (), (), (0), (), ({0}))
#define WF_TASK_1(LINK, FOREIGN, R, NAME, a)                                                 \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 1, (WF_TM_ a), (WF_TF_ a), (WF_TT_ a), (WF_TI_ a), \
                  (WF_TP_ a), (WF_TR_(NAME, WF_TS_ a)))
#define WF_TASK_2(LINK, FOREIGN, R, NAME, a, b)                                        \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 2, (WF_TM_ a WF_TM_ b), (WF_TF_ a WF_TF_ b), \
                  (WF_TT_ a WF_TT_ b), (WF_TI_ a WF_TI_ b), (WF_TP_ a WF_TP_ b),       \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b)))
#define WF_TASK_3(LINK, FOREIGN, R, NAME, a, b, c)                            \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 3, (WF_TM_ a WF_TM_ b WF_TM_ c),    \
                  (WF_TF_ a WF_TF_ b WF_TF_ c), (WF_TT_ a WF_TT_ b WF_TT_ c), \
                  (WF_TI_ a WF_TI_ b WF_TI_ c), (WF_TP_ a WF_TP_ b WF_TP_ c), \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c)))
#define WF_TASK_4(LINK, FOREIGN, R, NAME, a, b, c, d)                                           \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 4, (WF_TM_ a WF_TM_ b WF_TM_ c WF_TM_ d),             \
                  (WF_TF_ a WF_TF_ b WF_TF_ c WF_TF_ d), (WF_TT_ a WF_TT_ b WF_TT_ c WF_TT_ d), \
                  (WF_TI_ a WF_TI_ b WF_TI_ c WF_TI_ d), (WF_TP_ a WF_TP_ b WF_TP_ c WF_TP_ d), \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c)         \
                       WF_TR_(NAME, WF_TS_ d)))
#define WF_TASK_5(LINK, FOREIGN, R, NAME, a, b, c, d, e)                                     \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 5, (WF_TM_ a WF_TM_ b WF_TM_ c WF_TM_ d WF_TM_ e), \
                  (WF_TF_ a WF_TF_ b WF_TF_ c WF_TF_ d WF_TF_ e),                            \
                  (WF_TT_ a WF_TT_ b WF_TT_ c WF_TT_ d WF_TT_ e),                            \
                  (WF_TI_ a WF_TI_ b WF_TI_ c WF_TI_ d WF_TI_ e),                            \
                  (WF_TP_ a WF_TP_ b WF_TP_ c WF_TP_ d WF_TP_ e),                            \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c)      \
                       WF_TR_(NAME, WF_TS_ d) WF_TR_(NAME, WF_TS_ e)))
#define WF_TASK_6(LINK, FOREIGN, R, NAME, a, b, c, d, e, f)                             \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 6,                                            \
                  (WF_TM_ a WF_TM_ b WF_TM_ c WF_TM_ d WF_TM_ e WF_TM_ f),              \
                  (WF_TF_ a WF_TF_ b WF_TF_ c WF_TF_ d WF_TF_ e WF_TF_ f),              \
                  (WF_TT_ a WF_TT_ b WF_TT_ c WF_TT_ d WF_TT_ e WF_TT_ f),              \
                  (WF_TI_ a WF_TI_ b WF_TI_ c WF_TI_ d WF_TI_ e WF_TI_ f),              \
                  (WF_TP_ a WF_TP_ b WF_TP_ c WF_TP_ d WF_TP_ e WF_TP_ f),              \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c) \
                       WF_TR_(NAME, WF_TS_ d) WF_TR_(NAME, WF_TS_ e) WF_TR_(NAME, WF_TS_ f)))
#define WF_TASK_7(LINK, FOREIGN, R, NAME, a, b, c, d, e, f, g)                              \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 7,                                                \
                  (WF_TM_ a WF_TM_ b WF_TM_ c WF_TM_ d WF_TM_ e WF_TM_ f WF_TM_ g),         \
                  (WF_TF_ a WF_TF_ b WF_TF_ c WF_TF_ d WF_TF_ e WF_TF_ f WF_TF_ g),         \
                  (WF_TT_ a WF_TT_ b WF_TT_ c WF_TT_ d WF_TT_ e WF_TT_ f WF_TT_ g),         \
                  (WF_TI_ a WF_TI_ b WF_TI_ c WF_TI_ d WF_TI_ e WF_TI_ f WF_TI_ g),         \
                  (WF_TP_ a WF_TP_ b WF_TP_ c WF_TP_ d WF_TP_ e WF_TP_ f WF_TP_ g),         \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c)     \
                       WF_TR_(NAME, WF_TS_ d) WF_TR_(NAME, WF_TS_ e) WF_TR_(NAME, WF_TS_ f) \
                           WF_TR_(NAME, WF_TS_ g)))
#define WF_TASK_8(LINK, FOREIGN, R, NAME, a, b, c, d, e, f, g, h)                            \
    WF_TASK_BODY_(LINK, FOREIGN, R, NAME, 8,                                                 \
                  (WF_TM_ a WF_TM_ b WF_TM_ c WF_TM_ d WF_TM_ e WF_TM_ f WF_TM_ g WF_TM_ h), \
                  (WF_TF_ a WF_TF_ b WF_TF_ c WF_TF_ d WF_TF_ e WF_TF_ f WF_TF_ g WF_TF_ h), \
                  (WF_TT_ a WF_TT_ b WF_TT_ c WF_TT_ d WF_TT_ e WF_TT_ f WF_TT_ g WF_TT_ h), \
                  (WF_TI_ a WF_TI_ b WF_TI_ c WF_TI_ d WF_TI_ e WF_TI_ f WF_TI_ g WF_TI_ h), \
                  (WF_TP_ a WF_TP_ b WF_TP_ c WF_TP_ d WF_TP_ e WF_TP_ f WF_TP_ g WF_TP_ h), \
                  (WF_TR_(NAME, WF_TS_ a) WF_TR_(NAME, WF_TS_ b) WF_TR_(NAME, WF_TS_ c)      \
                       WF_TR_(NAME, WF_TS_ d) WF_TR_(NAME, WF_TS_ e) WF_TR_(NAME, WF_TS_ f)  \
                           WF_TR_(NAME, WF_TS_ g) WF_TR_(NAME, WF_TS_ h)))

#define WF_TASK_OPEN_(...) __VA_ARGS__

#define WF_TASK_BODY_(LINK, FOREIGN, R, NAME, COUNT, MEMBERS, FORMALS, TYPES, INITS, PASSES, ROWS) \
    struct NAME##_args {                                                                           \
        WF_TASK_OPEN_ MEMBERS                                                                      \
    };                                                                                             \
    typedef R NAME##_value;                                                                        \
    typedef struct {                                                                               \
        struct wf_future *future;                                                                  \
    } NAME##_future;                                                                               \
    typedef struct {                                                                               \
        struct wf_map *map;                                                                        \
    } NAME##_stream;                                                                               \
    int NAME(struct wf_task *WF_TASK_OPEN_ TYPES, R *);                                            \
    static const struct wf_param NAME##_params[] WF_TASK_UNUSED_ = {WF_TASK_OPEN_ ROWS};           \
    enum {                                                                                         \
        NAME##_param_count = COUNT,                                                                \
        NAME##_result_offset = WF_TASK_RESULT_OFFSET_(R, NAME),                                    \
        NAME##_align = WF_TASK_ALIGN_(R, NAME),                                                    \
        NAME##_result_kind = WF_TASK_PARAM_KIND_(R)                                                \
    };                                                                                             \
    static const char NAME##_result_text[] WF_TASK_UNUSED_ = #R;                                   \
    LINK(NAME, FOREIGN)                                                                            \
    WF_TASK_UNUSED_ static inline int NAME##_call_(struct wf_task *wfi_self, void *wfi_in,         \
                                                   void *wfi_ret)                                  \
    {                                                                                              \
        struct NAME##_args *wfi_args = (struct NAME##_args *)wfi_in;                               \
        (void)wfi_args;                                                                            \
        return NAME(wfi_self WF_TASK_OPEN_ PASSES, (R *)wfi_ret);                                  \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline NAME##_future NAME##_submit_with(                                \
        struct wf_executor *wfi_on,                                                                \
        const struct wf_submit_options *wfi_options WF_TASK_OPEN_ FORMALS)                         \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        NAME##_future wfi_f = {wf_submit(wfi_on, &NAME##_task, wfi_options, &wfi_args)};           \
        return wfi_f;                                                                              \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline NAME##_future NAME##_submit(                                     \
        struct wf_executor *wfi_on WF_TASK_OPEN_ FORMALS)                                          \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        NAME##_future wfi_f = {wf_submit(wfi_on, &NAME##_task, NULL, &wfi_args)};                  \
        return wfi_f;                                                                              \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline NAME##_future NAME##_spawn_with(                                 \
        struct wf_scope *wfi_scope,                                                                \
        const struct wf_submit_options *wfi_options WF_TASK_OPEN_ FORMALS)                         \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        NAME##_future wfi_f = {wf_spawn(wfi_scope, &NAME##_task, wfi_options, &wfi_args)};         \
        return wfi_f;                                                                              \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline NAME##_future NAME##_spawn(                                      \
        struct wf_scope *wfi_scope WF_TASK_OPEN_ FORMALS)                                          \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        NAME##_future wfi_f = {wf_spawn(wfi_scope, &NAME##_task, NULL, &wfi_args)};                \
        return wfi_f;                                                                              \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_go(struct wf_scope *wfi_scope WF_TASK_OPEN_ FORMALS)  \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        return wf_go(wfi_scope, &NAME##_task, NULL, &wfi_args);                                    \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_result(                                               \
        NAME##_future *wfi_f, R *wfi_ret, wf_deadline wfi_deadline, struct wf_error *wfi_reterr)   \
    {                                                                                              \
        return wf_future_result(&wfi_f->future, wfi_ret, wfi_deadline, wfi_reterr);                \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline void NAME##_drop(NAME##_future *wfi_f)                           \
    {                                                                                              \
        wf_future_drop(&wfi_f->future);                                                            \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_process_(                                             \
        const struct wf_process_options *wfi_options, struct wf_process **wfi_ret,                 \
        struct wf_error *wfi_reterr WF_TASK_OPEN_ FORMALS)                                         \
    {                                                                                              \
        struct NAME##_args wfi_args = {WF_TASK_OPEN_ INITS};                                       \
        return wf_process_create(wfi_options, &NAME##_task, &wfi_args, wfi_ret, wfi_reterr);       \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_pull_(void (*wfi_next)(void), void *wfi_arg,          \
                                                   void *wfi_ret)                                  \
    {                                                                                              \
        int (*wfi_typed)(void *, struct NAME##_args *) =                                           \
            (int (*)(void *, struct NAME##_args *))wfi_next;                                       \
        return wfi_typed(wfi_arg, (struct NAME##_args *)wfi_ret);                                  \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_map(                                                  \
        struct wf_executor *wfi_on, const struct wf_map_options *wfi_options,                      \
        int (*wfi_next)(void *arg, struct NAME##_args *ret_args), void *wfi_arg,                   \
        NAME##_stream *ret_stream, struct wf_error *wfi_reterr)                                    \
    {                                                                                              \
        return wf_map_create(wfi_on, &NAME##_task, wfi_options, NAME##_pull_,                      \
                             (void (*)(void))wfi_next, wfi_arg, &ret_stream->map, wfi_reterr);     \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_map_next(NAME##_stream *wfi_stream, R *wfi_ret,       \
                                                      wf_deadline wfi_deadline,                    \
                                                      struct wf_error *wfi_reterr)                 \
    {                                                                                              \
        return wf_map_next(wfi_stream->map, wfi_ret, wfi_deadline, wfi_reterr);                    \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline void NAME##_map_close(NAME##_stream *wfi_stream)                 \
    {                                                                                              \
        wf_map_close(wfi_stream->map);                                                             \
        wfi_stream->map = NULL;                                                                    \
    }                                                                                              \
    WF_TASK_UNUSED_ static inline int NAME##_each(                                                 \
        struct wf_executor *wfi_on, const struct wf_map_options *wfi_options,                      \
        const struct NAME##_args *wfi_items, size_t wfi_count, R *ret_results,                     \
        wf_deadline wfi_deadline, struct wf_error *wfi_reterr)                                     \
    {                                                                                              \
        return wf_map_each(wfi_on, &NAME##_task, wfi_options, wfi_items, wfi_count, ret_results,   \
                           wfi_deadline, wfi_reterr);                                              \
    }

#define WF_TASK_DEFINE_(NAME, ...)                                    \
    const struct wf_task_type NAME##_task = {.name = #NAME,           \
                                             .file = __FILE__,        \
                                             .line = __LINE__,        \
                                             WF_TASK_SHAPE_(NAME),    \
                                             .call = NAME##_call_,    \
                                             __VA_ARGS__};            \
    static struct wf_task_entry NAME##_entry_ = {&NAME##_task, NULL}; \
    __attribute__((constructor)) static void NAME##_register_(void)   \
    {                                                                 \
        wf_task_register(&NAME##_entry_);                             \
    }                                                                 \
    __attribute__((destructor)) static void NAME##_unregister_(void)  \
    {                                                                 \
        wf_task_unregister(&NAME##_entry_);                           \
    }

#define WF_WIRE_(T, ENCODE, DECODE, LINE)                                                         \
    static struct wf_wire WF_TASK_JOIN_(wfi_wire_, LINE) = {#T, sizeof(T), ENCODE, DECODE, NULL}; \
    __attribute__((constructor)) static void WF_TASK_JOIN_(wfi_wire_register_, LINE)(void)        \
    {                                                                                             \
        wf_wire_register(&WF_TASK_JOIN_(wfi_wire_, LINE));                                        \
    }                                                                                             \
    __attribute__((destructor)) static void WF_TASK_JOIN_(wfi_wire_unregister_, LINE)(void)       \
    {                                                                                             \
        wf_wire_unregister(&WF_TASK_JOIN_(wfi_wire_, LINE));                                      \
    }

#endif
