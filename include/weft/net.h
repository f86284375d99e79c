/* SPDX-License-Identifier: MIT */
/* The network: addresses, streams, listeners. */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <weft/address.h>
#include <weft/listener.h>
#include <weft/stream.h>

#endif
