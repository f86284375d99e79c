/* SPDX-License-Identifier: MIT */
/*
 * Addresses: IPv4, IPv6 and Unix, as values; and names to addresses.
 *
 *     struct wf_address at;
 *     wf_address_parse("127.0.0.1:8080", &at);
 */
#ifndef WEFT_ADDRESS_H
#define WEFT_ADDRESS_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_address {
    uint64_t words_[17]; /* the system's form; copied freely, zeroed is no address */
};

/* Room for the text of any address. */
#define WF_ADDRESS_TEXT_BYTES 160

/*
 * Reads a numeric address: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/path",
 * "unix:@name" (a name without a file).
 *
 * Returns 0, or
 *   -EINVAL         not an address in this form
 *   -ENAMETOOLONG   a Unix path above 107 bytes
 * Context: any, never blocks.
 */
WF_API int wf_address_parse(const char *text, struct wf_address *ret_address);

/*
 * Writes the text that wf_address_parse reads, cut to `bytes`. Returns `ret_text`.
 * Context: any, never blocks.
 */
WF_API const char *wf_address_format(const struct wf_address *address, char *ret_text,
                                     size_t bytes);

/*
 * The port; 0 for a Unix address.
 * Context: any, never blocks.
 */
WF_API uint16_t wf_address_port(const struct wf_address *address);

/*
 * True if both name the same endpoint.
 * Context: any, never blocks.
 */
WF_API bool wf_address_equal(const struct wf_address *a, const struct wf_address *b);

/*
 * Takes "host:port" apart, as it stands in a URL: "example.org:80", "[::1]:80". A missing port
 * gives `default_port`; when that is 0 the port may not be missing.
 *
 * ret_host   receives the host without brackets, at most `host_bytes` with the end
 *
 * Returns 0, or
 *   -EINVAL         no host, no port, or a port that is no number up to 65535
 *   -ENAMETOOLONG   the host does not fit
 * Context: any, never blocks.
 */
WF_API int wf_address_split(const char *endpoint, uint16_t default_port, char *ret_host,
                            size_t host_bytes, uint16_t *ret_port);

/*
 * Finds the addresses of a host, in the order in which to try them. Numeric addresses, and
 * localhost with the names below it, are answered at once. Other names go to the system's resolver,
 * which runs on a thread of its own: the caller waits like for anything else, and when it stops
 * waiting the question is left to end by itself.
 *
 * ret_addresses   receives at most `max` addresses
 *
 * Returns the number of addresses, at least 1, or
 *   WF_ERESOLVE   no such name, no address, or no answer from the name servers; see the text
 *   -EINVAL       an empty or overlong host, or max below 1
 *   -ETIMEDOUT    the deadline passed first
 *   -ECANCELED    the calling task was cancelled
 *   -ENOMEM, -EAGAIN (no thread)
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_resolve(const char *host, uint16_t port, struct wf_address *ret_addresses, int max,
                      wf_deadline deadline, struct wf_error *reterr);

WF_END_DECLS

#endif
