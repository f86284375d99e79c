/* SPDX-License-Identifier: MIT */
/* What a crawl says on standard error while it goes on: a line that is rewritten on a terminal,
 * plain lines elsewhere. */
#ifndef WEFT_CMD_CRAWL_PROGRESS_H
#define WEFT_CMD_CRAWL_PROGRESS_H

#include "crawl/crawl.h"

/* Prints the state of the crawl if it is time to, or in any case when it is the `last`. With the
 * crawl's lock, or after its end. */
void progress_tell(struct crawl *crawl, bool last);

#endif
