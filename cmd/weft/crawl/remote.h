/* SPDX-License-Identifier: MIT */
/*
 * Pages fetched and taken apart in worker processes, one at a time in each: what a page does to the
 * parser costs that page alone. The frontier, the output and the limits stay here.
 */
#ifndef WEFT_CMD_CRAWL_REMOTE_H
#define WEFT_CMD_CRAWL_REMOTE_H

#include <weft/executor.h>

#include "crawl/crawl.h"

/* Worker processes for a crawl with these options. Returns 0 or a negative code. */
int remote_create(const struct crawl_options *options, struct wf_executor **ret_on,
                  struct wf_error *reterr);

/*
 * As page_fetch, in one of the processes. A page whose worker died is one with an error. What the
 * page points to is in *ret_answer, to be given to wf_result_free, or in the reader.
 */
int remote_fetch(struct wf_executor *on, struct page_reader *reader,
                 const struct page_request *request, int64_t timeout_ns, struct page *ret_page,
                 const void **ret_answer);

#endif
