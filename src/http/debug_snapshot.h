/* SPDX-License-Identifier: MIT */
/* What the live page shows, as JSON; and one thing that was seen, for the list of all tasks. */
#ifndef WFI_HTTP_DEBUG_SNAPSHOT_H
#define WFI_HTTP_DEBUG_SNAPSHOT_H

#include <weft/inspect.h>
#include <weft/json.h>
#include <weft/latency.h>
#include <weft/server.h>

/* What is told of the server between two snapshots. */
struct wfi_debug_past {
    int64_t taken_ns; /* 0: there was none */
    struct wf_latency latency;
};

/*
 * Writes a snapshot. Lets other fibers run now and then.
 *
 * past   of the snapshot before; becomes that of this one
 *
 * Returns 0, -ENOMEM or -ECANCELED.
 */
int wfi_debug_snapshot(const struct wf_server *server, struct wfi_debug_past *past,
                       struct wf_json_writer *writer);

void wfi_debug_write_task(struct wf_json_writer *w, const struct wf_seen_task *task);
void wfi_debug_write_party(struct wf_json_writer *w, const struct wf_seen_party *party);
void wfi_debug_write_worker(struct wf_json_writer *w, const struct wf_seen_worker *worker);
void wfi_debug_write_executor(struct wf_json_writer *w, const struct wf_seen_executor *executor);
void wfi_debug_write_offload(struct wf_json_writer *w, const struct wf_seen_offload *offload);
void wfi_debug_write_process(struct wf_json_writer *w, const struct wf_seen_process *process);

const char *wfi_debug_party_state(enum wf_party_state state);
const char *wfi_debug_process_state(enum wf_worker_state state);
/* Where a party is: "weft_0.12", a thread's name, or its number. */
void wfi_debug_place(const struct wf_seen_party *party, char *ret_text, size_t room);

#endif
