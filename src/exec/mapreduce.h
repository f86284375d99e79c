/* SPDX-License-Identifier: MIT */
/* What the two ends of a map-reduce have in common. */
#ifndef WFI_EXEC_MAPREDUCE_H
#define WFI_EXEC_MAPREDUCE_H

#include <weft/mapreduce.h>

enum {
    WFI_PART_FORMAT = 1, /* the first byte of every part's result */
    WFI_PARTITIONS_MAX = 4096,
};

#endif
