/* SPDX-License-Identifier: MIT */
/*
 * What every public header needs: how a symbol is exported, and that the headers parse as C++.
 */
#ifndef WEFT_API_H
#define WEFT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WF_API __attribute__((visibility("default")))

/* The caller has to look at what the function returns. */
#define WF_MUST_USE __attribute__((warn_unused_result))

#define WF_PRINTF(at, first) __attribute__((format(printf, at, first)))

#ifdef __cplusplus
#define WF_BEGIN_DECLS extern "C" {
#define WF_END_DECLS }
#else
#define WF_BEGIN_DECLS
#define WF_END_DECLS
#endif

#endif
