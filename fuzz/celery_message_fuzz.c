/* SPDX-License-Identifier: MIT */
/*
 * What comes from a broker: any bytes as a message. A task that can be read is written, and that is
 * read and written again to the same bytes; what follows from its end is walked. The same bytes are
 * read as an event, a request of remote control and a stored result.
 */
#include "celery/message/canvas.h"
#include "celery/message/control.h"
#include "celery/message/monitor_event.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void make_id(void *arg, char ret_id[WFI_ID_BYTES])
{
    (void)arg;
    strcpy(ret_id, "11111111-1111-4111-8111-111111111111");
}

/* The message as text, to be freed. */
static char *write_message(const struct wfi_message *m, size_t *ret_len)
{
    struct wf_json_writer *w;
    const char *text;
    check(wfi_message_writer_create(&w) == 0);
    check(wfi_message_write_redis(w, m) == 0);
    check(wf_json_writer_text(w, &text, ret_len) == 0);
    char *copy = malloc(*ret_len + 1);
    memcpy(copy, text, *ret_len + 1);
    wf_json_writer_destroy(w);
    return copy;
}

static void write_again(const struct wfi_message *m)
{
    struct wfi_message_in in;
    struct wf_error err;
    size_t len, again_len;
    char *text = write_message(m, &len);
    check(wfi_message_read_redis(text, len, &in, &err) == WFI_MESSAGE_RUN);
    check(wfi_message_read_body(&in, 0, &err) == WFI_MESSAGE_RUN);
    char *again = write_message(&in.message, &again_len);
    check(len == again_len && memcmp(text, again, len) == 0);
    free(again);
    free(text);
    wfi_message_in_reset(&in);
}

/* Everything that is to be sent can be read. */
static void check_steps(const struct wfi_canvas *c)
{
    for (size_t i = 0; i < wfi_canvas_count(c); i++) {
        const struct wfi_canvas_step *step = wfi_canvas_step(c, i);
        struct wfi_message_in in;
        struct wf_error err;
        size_t len;
        if (step->kind != WFI_STEP_SEND)
            continue;
        char *text = write_message(&step->message, &len);
        check(wfi_message_read_redis(text, len, &in, &err) >= 0);
        wfi_message_in_reset(&in);
        free(text);
    }
}

static void end_task(const struct wfi_message *request)
{
    static const char exception[] = "{\"exc_type\": \"E\", \"exc_message\": [1]}";
    const struct wfi_json_piece result = {.text = "[1]", .len = 3};
    const struct wfi_result failure = {.state = WFI_STATE_FAILURE,
                                       .result = {.text = exception, .len = sizeof exception - 1}};
    const struct wfi_canvas_context context = {
        .request = request, .origin = "fuzz", .now_us = 1, .new_id = make_id};
    static const char done[] = "[1, \"a\", \"SUCCESS\", [1]]";
    static const char failed[] = "[1, \"b\", \"FAILURE\", {\"exc_type\": \"E\"}]";
    static const struct wfi_json_piece members[] = {{.text = done, .len = sizeof done - 1},
                                                    {.text = failed, .len = sizeof failed - 1}};
    struct wfi_chord_part part;
    const bool is_part = wfi_chord_part_of(request, &part);

    for (int how = 0; how < 6; how++) {
        struct wfi_canvas *c;
        struct wf_error err;
        int code = 0;
        check(wfi_canvas_create(&c) == 0);
        if (how == 0)
            code = wfi_canvas_succeeded(c, &context, &result, &err);
        else if (how == 1)
            code = wfi_canvas_failed(c, &context, &failure, &err);
        else if (how == 2)
            code = wfi_canvas_retry(c, &context, 7, &err);
        else if (how == 3 && wf_json_count(request->callbacks.value) > 0)
            code = wfi_canvas_replace(c, &context, wf_json_at(request->callbacks.value, 0), &err);
        else if (is_part)
            code = wfi_canvas_chord_complete(c, &context, &part, members, how == 4 ? 1 : 2, &err);
        check(code == 0 || code == WF_EPARSE || code == WF_ETOOBIG);
        if (code == 0)
            check_steps(c);
        wfi_canvas_destroy(c);
    }
}

static void read_task(const char *text, size_t len)
{
    struct wfi_message_in in;
    struct wf_error err = {0};
    int fate = wfi_message_read_redis(text, len, &in, &err);
    if (fate == WFI_MESSAGE_RUN)
        fate = wfi_message_read_body(&in, 1 << 20, &err);
    check(fate >= WFI_MESSAGE_RUN && fate <= WFI_MESSAGE_FAIL);
    check(fate == WFI_MESSAGE_RUN || err.text[0] != '\0');
    check((fate == WFI_MESSAGE_FAIL) == (in.exc_type != NULL));
    if (fate == WFI_MESSAGE_RUN) {
        write_again(&in.message);
        end_task(&in.message);
    }
    wfi_message_in_reset(&in);
}

static void read_others(const char *text, size_t len)
{
    struct wfi_envelope envelope;
    struct wfi_control_request request;
    struct wfi_result_in result;
    struct wf_error err;
    struct wf_json *body = NULL;

    if (wfi_envelope_read_redis(text, len, &envelope, &err) == 0) {
        struct wfi_celery_event event;
        const int fate = wfi_control_read(&envelope, "w1@here", 1, &body, &request);
        check(fate >= WFI_CONTROL_DO && fate <= WFI_CONTROL_DROP);
        if (body && wfi_event_read(wf_json_root(body), &event) == 0)
            check(event.hostname != NULL);
        wf_json_destroy(body);
    }
    wfi_envelope_reset(&envelope);
    if (wfi_result_read(text, len, &result, &err) == 0) {
        struct wfi_exception e;
        check(result.result.status != NULL);
        if (wfi_exception_read(result.result.result.value, &e) == 0) {
            wfi_exception_to_error(&e, &err);
            check(err.code < 0 && err.text[0] != '\0');
        }
    }
    wfi_result_in_reset(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_task((const char *)data, size);
    read_others((const char *)data, size);
    return 0;
}
