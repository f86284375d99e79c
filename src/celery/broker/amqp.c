/* SPDX-License-Identifier: MIT */
/*
 * Who does the work: the callers themselves, as with redis.c.
 *
 *  1. Frames go into `out` under the lock, those of one message behind each other. One caller at a
 *     time writes, all that there is; it cannot be cancelled then.
 *  2. One caller at a time reads (`reading`): whoever waits for something while nobody does. It
 *     takes frames until what it waits for has come, or it gives up. Only the reader touches the
 *     codec's state and the message that is being put together.
 *  3. After every read the reader notifies `progress`, under the lock: all who wait look again, and
 *     one of them reads on if the reader has left. It is a condition of the lock, as between giving
 *     that up and waiting for an event, another could clear the event.
 *  4. One request at a time is under way (`requests`): answers name no request. One that its caller
 *     gave up breaks the connection, or its answer would be taken for the next one's.
 *  5. `broken` is set once, with `why`; all who wait see it.
 *
 * Methods and their numbers: AMQP 0-9-1, https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf.
 */
#include "celery/broker/amqp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <amqp.h>
#include <amqp_framing.h>

#include <weft/cond.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/stream.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/broker/amqp_table.h"

#define READ_BYTES ((size_t)64 * 1024)
#define CHANNEL 1
#define FRAME_END 0xce
/* A method's fields but for tables, whose room is tried larger. */
#define METHOD_BYTES ((size_t)4096)
/* A buffer that a large message made larger is given back. */
#define KEPT_BYTES ((size_t)1024 * 1024)
/* A message larger than this is no task, and would fill the memory. */
#define BODY_MAX ((uint64_t)1024 * 1024 * 1024)

struct wfi_amqp {
    struct wf_stream *stream;
    amqp_connection_state_t codec; /* the reader's, as the next three */
    char *in;
    struct wfi_amqp_delivery *partial; /* the body that is arriving, or NULL */
    uint64_t body_left;
    uint32_t frame_max;
    int heartbeat_s;
    int64_t write_ns;
    bool confirm;
    WFI_ATOMIC(int64_t) heard_ns; /* when something last came, and was last sent */
    WFI_ATOMIC(int64_t) sent_ns;
    WFI_ATOMIC(int) broken, close_code;
    struct wf_mutex requests; /* held for a request and its answer */
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_buffer out;
    struct wfi_buffer sending; /* the writer's */
    bool writing, reading;
    struct wf_condition progress;
    struct wf_error why;
    struct wfi_list deliveries;
    amqp_method_number_t answer; /* which came last, 0 while a request waits */
    struct wfi_amqp_queue_state queue_state;
    bool blocked;
    uint64_t published, confirmed; /* confirmed: all up to here */
    struct wfi_list unconfirmed;   /* of struct publishing, by number */
};

struct publishing {
    struct wfi_link link;
    uint64_t number;
    bool confirmed, refused;
};

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
static void lock(struct wfi_amqp *amqp)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&amqp->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static void unlock(struct wfi_amqp *amqp)
{
    wf_mutex_unlock(&amqp->lock);
}

static amqp_bytes_t bytes_of(const char *text)
{
    return (amqp_bytes_t){.len = strlen(text), .bytes = (void *)(uintptr_t)text};
}

/* Under the lock. */
static void break_off(struct wfi_amqp *amqp, int err, const char *text)
{
    int whole = 0;
    if (!wfi_cas(&amqp->broken, &whole, err))
        return;
    if (text)
        wf_error_set(&amqp->why, err, "RabbitMQ: %.250s", text);
    else
        wf_error_set(&amqp->why, err, "the connection to RabbitMQ: %s", wf_strerror(err));
    (void)wf_stream_shutdown(amqp->stream, WF_SHUTDOWN_BOTH);
    (void)wf_condition_notify_all(&amqp->progress);
}

/* The error with which it broke, for the caller. Under the lock. */
static int tell_broken(const struct wfi_amqp *amqp, struct wf_error *reterr)
{
    if (reterr)
        *reterr = amqp->why;
    return amqp->why.code;
}

/* ---- frames out; under the lock ---- */

static void put16(char *at, unsigned value)
{
    at[0] = (char)(value >> 8);
    at[1] = (char)value;
}

static void put32(char *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

/* Writes head and end around the payload of `len` bytes that stands 7 bytes behind `at`. */
static void finish_frame(struct wfi_amqp *amqp, size_t at, int type, int channel, size_t len)
{
    char *frame = amqp->out.data + at;
    frame[0] = (char)type;
    put16(frame + 1, (unsigned)channel);
    put32(frame + 3, (uint32_t)len);
    frame[7 + len] = (char)FRAME_END;
    amqp->out.len = at + 8 + len;
}

/* Returns 0, WF_ETOOBIG when its tables do not fit into a frame, or -ENOMEM. */
static int put_method(struct wfi_amqp *amqp, int channel, amqp_method_number_t number, void *fields)
{
    size_t at = amqp->out.len;
    for (size_t room = METHOD_BYTES;; room = amqp->frame_max - 8) {
        if (wfi_buffer_reserve(&amqp->out, room + 12))
            return -ENOMEM;
        amqp_bytes_t space = {.len = room - 4, .bytes = amqp->out.data + at + 11};
        int len = amqp_encode_method(number, fields, space);
        if (len >= 0) {
            put32(amqp->out.data + at + 7, number);
            finish_frame(amqp, at, AMQP_FRAME_METHOD, channel, (size_t)len + 4);
            return 0;
        }
        if (room != METHOD_BYTES || amqp->frame_max - 8 <= METHOD_BYTES)
            return WF_ETOOBIG;
    }
}

static int put_content_head(struct wfi_amqp *amqp, uint64_t body_len,
                            amqp_basic_properties_t *properties)
{
    size_t at = amqp->out.len, room = amqp->frame_max - 8;
    if (wfi_buffer_reserve(&amqp->out, room + 8))
        return -ENOMEM;
    char *payload = amqp->out.data + at + 7;
    put16(payload, AMQP_BASIC_CLASS);
    put16(payload + 2, 0);
    put32(payload + 4, (uint32_t)(body_len >> 32));
    put32(payload + 8, (uint32_t)body_len);
    amqp_bytes_t space = {.len = room - 12, .bytes = payload + 12};
    int len = amqp_encode_properties(AMQP_BASIC_CLASS, properties, space);
    if (len < 0)
        return WF_ETOOBIG;
    finish_frame(amqp, at, AMQP_FRAME_HEADER, CHANNEL, (size_t)len + 12);
    return 0;
}

static int put_body(struct wfi_amqp *amqp, const char *body, size_t len)
{
    size_t most = amqp->frame_max - 8;
    while (len) {
        size_t piece = len < most ? len : most, at = amqp->out.len;
        if (wfi_buffer_reserve(&amqp->out, piece + 8))
            return -ENOMEM;
        memcpy(amqp->out.data + at + 7, body, piece);
        finish_frame(amqp, at, AMQP_FRAME_BODY, CHANNEL, piece);
        body += piece;
        len -= piece;
    }
    return 0;
}

/* Sends what is in `out`, unless somebody else does already. */
static void write_all(struct wfi_amqp *amqp)
{
    if (amqp->writing)
        return;
    amqp->writing = true;
    while (amqp->out.len && !wfi_load(&amqp->broken)) {
        struct wfi_buffer filled = amqp->out;
        amqp->out = amqp->sending;
        amqp->sending = filled;
        unlock(amqp);
        int err = 0;
        WF_SHIELD(WF_FOREVER) {
            err = wf_stream_write(amqp->stream, amqp->sending.data, amqp->sending.len,
                                  wf_after(amqp->write_ns));
        }
        wfi_store_relaxed(&amqp->sent_ns, wf_now());
        lock(amqp);
        if (amqp->sending.size > KEPT_BYTES)
            wfi_buffer_reset(&amqp->sending);
        wfi_buffer_clear(&amqp->sending);
        if (err)
            break_off(amqp, err, NULL);
    }
    amqp->writing = false;
}

/* ---- frames in; the reader's ---- */

static void copy_text(char *out, size_t size, amqp_bytes_t text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    if (len)
        memcpy(out, text.bytes, len);
    out[len] = '\0';
}

static void write_bytes(struct wf_json_writer *w, const char *key, amqp_bytes_t bytes)
{
    wf_json_write_key(w, key);
    wf_json_write_string(w, bytes.bytes ? bytes.bytes : "", bytes.len);
}

static void write_properties(struct wf_json_writer *w, const amqp_basic_properties_t *p)
{
    if (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
        write_bytes(w, "content_type", p->content_type);
    if (p->_flags & AMQP_BASIC_CONTENT_ENCODING_FLAG)
        write_bytes(w, "content_encoding", p->content_encoding);
    if (p->_flags & AMQP_BASIC_CORRELATION_ID_FLAG)
        write_bytes(w, "correlation_id", p->correlation_id);
    if (p->_flags & AMQP_BASIC_REPLY_TO_FLAG)
        write_bytes(w, "reply_to", p->reply_to);
    if (p->_flags & AMQP_BASIC_EXPIRATION_FLAG)
        write_bytes(w, "expiration", p->expiration);
    if (p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG) {
        wf_json_write_key(w, "delivery_mode");
        wf_json_write_int(w, p->delivery_mode);
    }
    if (p->_flags & AMQP_BASIC_PRIORITY_FLAG) {
        wf_json_write_key(w, "priority");
        wf_json_write_int(w, p->priority);
    }
    if (p->_flags & AMQP_BASIC_HEADERS_FLAG) {
        wf_json_write_key(w, "headers");
        wfi_amqp_table_write(w, &p->headers);
    }
}

/* What basic.deliver says; the properties follow when the head has come. */
struct delivered {
    char exchange[256], routing_key[256];
};

static int begin_delivery(struct wfi_amqp *amqp, const amqp_basic_deliver_t *deliver)
{
    struct wfi_amqp_delivery *delivery = wfi_zalloc(sizeof *delivery + sizeof(struct delivered));
    if (!delivery)
        return -ENOMEM;
    struct delivered *delivered = (struct delivered *)(void *)(delivery + 1);
    delivery->tag = deliver->delivery_tag;
    delivery->redelivered = deliver->redelivered != 0;
    copy_text(delivery->consumer, sizeof delivery->consumer, deliver->consumer_tag);
    copy_text(delivered->exchange, sizeof delivered->exchange, deliver->exchange);
    copy_text(delivered->routing_key, sizeof delivered->routing_key, deliver->routing_key);
    amqp->partial = delivery;
    amqp->body_left = UINT64_MAX; /* its head is to come */
    return 0;
}

static int take_head(struct wfi_amqp *amqp, uint64_t body_size, const amqp_basic_properties_t *p)
{
    struct wfi_amqp_delivery *delivery = amqp->partial;
    struct delivered *delivered = (struct delivered *)(void *)(delivery + 1);
    struct wf_json_writer *w;
    if (body_size > BODY_MAX)
        return WF_ETOOBIG;
    delivery->body = wfi_alloc((size_t)body_size + 1);
    if (!delivery->body)
        return -ENOMEM;
    delivery->body[0] = '\0';
    amqp->body_left = body_size;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_object(w);
    write_properties(w, p);
    wf_json_write_key(w, "delivery_info");
    wf_json_write_object(w);
    wf_json_write_key(w, "exchange");
    wf_json_write_string(w, delivered->exchange, strlen(delivered->exchange));
    wf_json_write_key(w, "routing_key");
    wf_json_write_string(w, delivered->routing_key, strlen(delivered->routing_key));
    wf_json_write_key(w, "redelivered");
    wf_json_write_bool(w, delivery->redelivered);
    wf_json_write_end(w);
    wf_json_write_end(w);
    const char *text;
    size_t len;
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wf_json_read(text, len, NULL, &delivery->properties, NULL);
    wf_json_writer_destroy(w);
    return err == -ENOMEM ? err : err ? WF_EPROTOCOL : 0;
}

/* The server ends a consumer: its queue was deleted. */
static int note_cancel(struct wfi_amqp *amqp, const amqp_basic_cancel_t *cancel)
{
    struct wfi_amqp_delivery *delivery = wfi_zalloc(sizeof *delivery + sizeof(struct delivered));
    if (!delivery)
        return -ENOMEM;
    delivery->canceled = true;
    copy_text(delivery->consumer, sizeof delivery->consumer, cancel->consumer_tag);
    lock(amqp);
    wfi_list_push_back(&amqp->deliveries, &delivery->link);
    unlock(amqp);
    return 0;
}

/* What a close of the server's is for those who use the connection. */
static int close_error(int channel, int code)
{
    switch (code) {
    case AMQP_CONNECTION_FORCED: /* it stops */
    case AMQP_INTERNAL_ERROR:
    case AMQP_RESOURCE_ERROR:
        return -ECONNRESET;
    case AMQP_ACCESS_REFUSED:
        return channel ? -EREMOTEIO : -EACCES;
    default:
        return -EREMOTEIO;
    }
}

/* The server refuses something, and closes channel or connection. */
static int take_close(struct wfi_amqp *amqp, int channel, uint16_t code, amqp_bytes_t words)
{
    char text[300];
    copy_text(text, sizeof text, words);
    lock(amqp);
    if (channel)
        (void)put_method(amqp, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD,
                         &(amqp_channel_close_ok_t){0});
    else
        (void)put_method(amqp, 0, AMQP_CONNECTION_CLOSE_OK_METHOD,
                         &(amqp_connection_close_ok_t){0});
    write_all(amqp);
    wfi_store(&amqp->close_code, code);
    break_off(amqp, close_error(channel, code), text);
    unlock(amqp);
    return 0;
}

static void confirm(struct wfi_amqp *amqp, uint64_t tag, bool multiple, bool refused)
{
    lock(amqp);
    struct wfi_link *link = wfi_list_first(&amqp->unconfirmed), *next;
    for (; link; link = next) {
        struct publishing *p = wfi_container_of(link, struct publishing, link);
        next = wfi_list_next(&amqp->unconfirmed, link);
        if (p->number == tag || (multiple && p->number < tag)) {
            p->confirmed = true;
            p->refused = refused;
            wfi_list_remove(&p->link);
        }
    }
    unlock(amqp);
}

static int take_method(struct wfi_amqp *amqp, int channel, const amqp_method_t *method)
{
    void *fields = method->decoded;
    int err = 0;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        return amqp->partial ? WF_EPROTOCOL : begin_delivery(amqp, fields);
    case AMQP_BASIC_CANCEL_METHOD:
        return note_cancel(amqp, fields);
    case AMQP_CONNECTION_CLOSE_METHOD:
        return take_close(amqp, 0, ((amqp_connection_close_t *)fields)->reply_code,
                          ((amqp_connection_close_t *)fields)->reply_text);
    case AMQP_CHANNEL_CLOSE_METHOD:
        return take_close(amqp, channel, ((amqp_channel_close_t *)fields)->reply_code,
                          ((amqp_channel_close_t *)fields)->reply_text);
    case AMQP_BASIC_ACK_METHOD:
        confirm(amqp, ((amqp_basic_ack_t *)fields)->delivery_tag,
                ((amqp_basic_ack_t *)fields)->multiple != 0, false);
        return 0;
    case AMQP_BASIC_NACK_METHOD:
        confirm(amqp, ((amqp_basic_nack_t *)fields)->delivery_tag,
                ((amqp_basic_nack_t *)fields)->multiple != 0, true);
        return 0;
    default:
        break;
    }
    lock(amqp);
    if (method->id == AMQP_CONNECTION_BLOCKED_METHOD) {
        amqp->blocked = true;
    } else if (method->id == AMQP_CONNECTION_UNBLOCKED_METHOD) {
        amqp->blocked = false;
    } else if (method->id == AMQP_CHANNEL_FLOW_METHOD) {
        amqp_channel_flow_t *flow = fields;
        amqp->blocked = !flow->active;
        (void)put_method(amqp, CHANNEL, AMQP_CHANNEL_FLOW_OK_METHOD,
                         &(amqp_channel_flow_ok_t){.active = flow->active});
        write_all(amqp);
    } else {
        if (method->id == AMQP_QUEUE_DECLARE_OK_METHOD) {
            amqp_queue_declare_ok_t *ok = fields;
            copy_text(amqp->queue_state.name, sizeof amqp->queue_state.name, ok->queue);
            amqp->queue_state.messages = ok->message_count;
            amqp->queue_state.consumers = ok->consumer_count;
        } else if (method->id == AMQP_CONNECTION_TUNE_METHOD) {
            amqp_connection_tune_t *tune = fields;
            if (tune->frame_max && tune->frame_max < AMQP_FRAME_MIN_SIZE)
                err = WF_EPROTOCOL; /* what is written counts on room for a head */
            else if (tune->frame_max && tune->frame_max < amqp->frame_max)
                amqp->frame_max = tune->frame_max;
            if (tune->heartbeat < amqp->heartbeat_s && tune->heartbeat)
                amqp->heartbeat_s = tune->heartbeat;
        }
        amqp->answer = method->id;
    }
    unlock(amqp);
    return err;
}

static int take_body(struct wfi_amqp *amqp, amqp_bytes_t piece)
{
    struct wfi_amqp_delivery *delivery = amqp->partial;
    if (!delivery || !delivery->body || piece.len > amqp->body_left)
        return WF_EPROTOCOL;
    memcpy(delivery->body + delivery->len, piece.bytes, piece.len);
    delivery->len += piece.len;
    delivery->body[delivery->len] = '\0';
    amqp->body_left -= piece.len;
    return 0;
}

static int take_frame(struct wfi_amqp *amqp, const amqp_frame_t *frame)
{
    int err = 0;
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        return take_method(amqp, frame->channel, &frame->payload.method);
    case AMQP_FRAME_HEADER:
        if (!amqp->partial || amqp->partial->body)
            return WF_EPROTOCOL;
        err =
            take_head(amqp, frame->payload.properties.body_size, frame->payload.properties.decoded);
        break;
    case AMQP_FRAME_BODY:
        err = take_body(amqp, frame->payload.body_fragment);
        break;
    case AMQP_FRAME_HEARTBEAT:
        return 0;
    default:
        return WF_EPROTOCOL; /* it wants another version: AMQP_PSEUDOFRAME_PROTOCOL_HEADER */
    }
    if (!err && amqp->body_left == 0) {
        lock(amqp);
        wfi_list_push_back(&amqp->deliveries, &amqp->partial->link);
        unlock(amqp);
        amqp->partial = NULL;
    }
    return err;
}

static int decode(struct wfi_amqp *amqp, size_t len)
{
    amqp_bytes_t rest = {.len = len, .bytes = amqp->in};
    while (rest.len) {
        amqp_frame_t frame;
        int used = amqp_handle_input(amqp->codec, rest, &frame);
        if (used < 0)
            return used == AMQP_STATUS_NO_MEMORY ? -ENOMEM : WF_EPROTOCOL;
        rest.bytes = (char *)rest.bytes + used;
        rest.len -= (size_t)used;
        if (frame.frame_type == 0)
            continue; /* not whole yet */
        int err = take_frame(amqp, &frame);
        if (err)
            return err;
        amqp_maybe_release_buffers(amqp->codec);
    }
    return 0;
}

/* A sign of life when it is time for one. Returns when the next is due, or when the server has been
 * silent for too long, whichever is first; -ETIMEDOUT when it has. */
static int64_t heartbeat(struct wfi_amqp *amqp)
{
    static const char beat[8] = {AMQP_FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, (char)FRAME_END};
    if (!amqp->heartbeat_s)
        return INT64_MAX;
    int64_t now = wf_now(), period = WF_SECONDS(amqp->heartbeat_s);
    int64_t silent_at = wfi_load_relaxed(&amqp->heard_ns) + 2 * period;
    if (now >= silent_at)
        return -ETIMEDOUT;
    if (now - wfi_load_relaxed(&amqp->sent_ns) >= period / 2) {
        lock(amqp);
        if (!amqp->out.len && !wfi_buffer_append(&amqp->out, beat, sizeof beat))
            write_all(amqp);
        unlock(amqp);
    }
    int64_t due = wfi_load_relaxed(&amqp->sent_ns) + period / 2;
    if (due <= now) /* somebody is at writing, or there was no memory */
        due = now + period / 2;
    return due < silent_at ? due : silent_at;
}

/* As the reader, under the lock. Returns 0, -ETIMEDOUT or -ECANCELED; else the connection is
 * broken. */
static int read_some(struct wfi_amqp *amqp, wf_deadline deadline)
{
    int err = 0;
    amqp->reading = true;
    unlock(amqp);
    int64_t beat = heartbeat(amqp);
    ssize_t n = beat == -ETIMEDOUT ? WF_ESHORT
                                   : wf_stream_read(amqp->stream, amqp->in, READ_BYTES,
                                                    wf_earlier(deadline, (wf_deadline){beat}));
    bool gave_up = n == -ECANCELED || (n == -ETIMEDOUT && wf_now() >= deadline.ns);
    if (n > 0) {
        wfi_store_relaxed(&amqp->heard_ns, wf_now());
        err = decode(amqp, (size_t)n);
    } else if (n != -ETIMEDOUT && n != -ECANCELED) {
        err = n ? (int)n : WF_ESHORT;
    }
    lock(amqp);
    amqp->reading = false;
    if (err)
        break_off(amqp, err, beat == -ETIMEDOUT ? "no sign of life for too long" : NULL);
    (void)wf_condition_notify_all(&amqp->progress);
    return gave_up ? (int)n : 0;
}

/* Waits for something to happen, reading if nobody does. Under the lock. Returns 0, -ETIMEDOUT or
 * -ECANCELED, or, when the connection is broken, why. */
static int wait_a_bit(struct wfi_amqp *amqp, wf_deadline deadline)
{
    if (wfi_load(&amqp->broken))
        return wfi_load(&amqp->broken);
    if (!amqp->reading)
        return read_some(amqp, deadline);
    return wf_condition_wait(&amqp->progress, deadline);
}

/* ---- requests ---- */

/* Waits for the answer `number`; under the lock. */
static int wait_for_answer(struct wfi_amqp *amqp, amqp_method_number_t number, wf_deadline deadline,
                           struct wf_error *reterr)
{
    int err = 0;
    while (!err && amqp->answer != number) {
        if (amqp->answer)
            break_off(amqp, WF_EPROTOCOL, "an answer that was not asked for");
        err = wait_a_bit(amqp, deadline);
    }
    if (err && !wfi_load(&amqp->broken)) {
        break_off(amqp, -ECONNABORTED, "a request was given up"); /* see 4 at the top */
        return wf_error_set(reterr, err, NULL);
    }
    return err ? tell_broken(amqp, reterr) : 0;
}

/* Sends a request and waits for its answer. */
static int request(struct wfi_amqp *amqp, int channel, amqp_method_number_t number, void *fields,
                   amqp_method_number_t answer, wf_deadline deadline, struct wf_error *reterr)
{
    int err = wf_mutex_lock(&amqp->requests, deadline);
    if (err)
        return wf_error_set(reterr, err, NULL);
    lock(amqp);
    amqp->answer = 0;
    if (wfi_load(&amqp->broken))
        err = tell_broken(amqp, reterr);
    else if ((err = put_method(amqp, channel, number, fields)))
        wf_error_set(reterr, err, NULL);
    if (!err) {
        write_all(amqp);
        err = wait_for_answer(amqp, answer, deadline, reterr);
    }
    unlock(amqp);
    wf_mutex_unlock(&amqp->requests);
    return err;
}

/* Makes a table of a text, which may be NULL; `ret_json` is to be destroyed after use. */
static int make_arguments(const char *text, size_t len, amqp_pool_t *pool,
                          struct wf_json **ret_json, amqp_table_t *ret, struct wf_error *reterr)
{
    *ret_json = NULL;
    *ret = amqp_empty_table;
    if (!text)
        return 0;
    int err = wf_json_read(text, len, NULL, ret_json, reterr);
    if (!err) {
        err = wfi_amqp_table_make(wf_json_root(*ret_json), pool, ret);
        if (err)
            wf_error_set(reterr, err, "a table of arguments or headers: %s", wf_strerror(err));
    }
    return err;
}

int wfi_amqp_declare_queue(struct wfi_amqp *amqp, const struct wfi_amqp_queue *queue,
                           struct wfi_amqp_queue_state *ret_state, wf_deadline deadline,
                           struct wf_error *reterr)
{
    amqp_queue_declare_t fields = {.queue = bytes_of(queue->name),
                                   .passive = queue->passive,
                                   .durable = queue->durable,
                                   .exclusive = queue->exclusive,
                                   .auto_delete = queue->auto_delete};
    struct wf_json *json;
    amqp_pool_t pool;
    init_amqp_pool(&pool, 4096);
    int err = make_arguments(queue->arguments, queue->arguments ? strlen(queue->arguments) : 0,
                             &pool, &json, &fields.arguments, reterr);
    if (!err)
        err = request(amqp, CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &fields,
                      AMQP_QUEUE_DECLARE_OK_METHOD, deadline, reterr);
    if (!err && ret_state) {
        lock(amqp);
        *ret_state = amqp->queue_state;
        unlock(amqp);
    }
    wf_json_destroy(json);
    empty_amqp_pool(&pool);
    return err;
}

int wfi_amqp_delete_queue(struct wfi_amqp *amqp, const char *queue, wf_deadline deadline,
                          struct wf_error *reterr)
{
    amqp_queue_delete_t fields = {.queue = bytes_of(queue)};
    return request(amqp, CHANNEL, AMQP_QUEUE_DELETE_METHOD, &fields, AMQP_QUEUE_DELETE_OK_METHOD,
                   deadline, reterr);
}

int wfi_amqp_declare_exchange(struct wfi_amqp *amqp, const struct wfi_amqp_exchange *exchange,
                              wf_deadline deadline, struct wf_error *reterr)
{
    amqp_exchange_declare_t fields = {.exchange = bytes_of(exchange->name),
                                      .type = bytes_of(exchange->type),
                                      .durable = exchange->durable,
                                      .auto_delete = exchange->auto_delete};
    return request(amqp, CHANNEL, AMQP_EXCHANGE_DECLARE_METHOD, &fields,
                   AMQP_EXCHANGE_DECLARE_OK_METHOD, deadline, reterr);
}

int wfi_amqp_bind(struct wfi_amqp *amqp, const char *queue, const char *exchange,
                  const char *routing_key, wf_deadline deadline, struct wf_error *reterr)
{
    amqp_queue_bind_t fields = {.queue = bytes_of(queue),
                                .exchange = bytes_of(exchange),
                                .routing_key = bytes_of(routing_key)};
    return request(amqp, CHANNEL, AMQP_QUEUE_BIND_METHOD, &fields, AMQP_QUEUE_BIND_OK_METHOD,
                   deadline, reterr);
}

int wfi_amqp_qos(struct wfi_amqp *amqp, uint16_t count, bool global, wf_deadline deadline,
                 struct wf_error *reterr)
{
    amqp_basic_qos_t fields = {.prefetch_count = count, .global = global};
    return request(amqp, CHANNEL, AMQP_BASIC_QOS_METHOD, &fields, AMQP_BASIC_QOS_OK_METHOD,
                   deadline, reterr);
}

int wfi_amqp_consume(struct wfi_amqp *amqp, const char *queue, const char *consumer, bool no_ack,
                     wf_deadline deadline, struct wf_error *reterr)
{
    amqp_basic_consume_t fields = {
        .queue = bytes_of(queue), .consumer_tag = bytes_of(consumer), .no_ack = no_ack};
    return request(amqp, CHANNEL, AMQP_BASIC_CONSUME_METHOD, &fields, AMQP_BASIC_CONSUME_OK_METHOD,
                   deadline, reterr);
}

int wfi_amqp_cancel(struct wfi_amqp *amqp, const char *consumer, wf_deadline deadline,
                    struct wf_error *reterr)
{
    amqp_basic_cancel_t fields = {.consumer_tag = bytes_of(consumer)};
    return request(amqp, CHANNEL, AMQP_BASIC_CANCEL_METHOD, &fields, AMQP_BASIC_CANCEL_OK_METHOD,
                   deadline, reterr);
}

/* ---- messages ---- */

void wfi_amqp_delivery_destroy(struct wfi_amqp_delivery *delivery)
{
    if (!delivery)
        return;
    wf_json_destroy(delivery->properties);
    wfi_free(delivery->body);
    wfi_free(delivery);
}

/* Waits until there is a delivery. Under the lock. */
static int wait_for_delivery(struct wfi_amqp *amqp, wf_deadline deadline, struct wf_error *reterr)
{
    int err = 0;
    while (!err && wfi_list_empty(&amqp->deliveries))
        err = wait_a_bit(amqp, deadline);
    if (!wfi_list_empty(&amqp->deliveries))
        return 0;
    return err == wfi_load(&amqp->broken) ? tell_broken(amqp, reterr)
                                          : wf_error_set(reterr, err, NULL);
}

int wfi_amqp_receive(struct wfi_amqp *amqp, struct wfi_amqp_delivery **ret_delivery,
                     wf_deadline deadline, struct wf_error *reterr)
{
    lock(amqp);
    int err = wait_for_delivery(amqp, deadline, reterr);
    if (!err)
        *ret_delivery =
            wfi_container_of(wfi_list_pop_front(&amqp->deliveries), struct wfi_amqp_delivery, link);
    unlock(amqp);
    return err;
}

int wfi_amqp_receive_all(struct wfi_amqp *amqp, struct wfi_list *list, wf_deadline deadline,
                         struct wf_error *reterr)
{
    lock(amqp);
    int err = wait_for_delivery(amqp, deadline, reterr);
    for (struct wfi_link *link; !err && (link = wfi_list_pop_front(&amqp->deliveries));)
        wfi_list_push_back(list, link);
    unlock(amqp);
    return err;
}

/* A method without an answer. */
static int send_method(struct wfi_amqp *amqp, amqp_method_number_t number, void *fields,
                       struct wf_error *reterr)
{
    lock(amqp);
    int err = wfi_load(&amqp->broken);
    if (!err && (err = put_method(amqp, CHANNEL, number, fields)))
        wf_error_set(reterr, err, NULL);
    else if (!err)
        write_all(amqp);
    if (wfi_load(&amqp->broken))
        err = tell_broken(amqp, reterr);
    unlock(amqp);
    return err;
}

int wfi_amqp_ack(struct wfi_amqp *amqp, uint64_t tag, struct wf_error *reterr)
{
    return send_method(amqp, AMQP_BASIC_ACK_METHOD, &(amqp_basic_ack_t){.delivery_tag = tag},
                       reterr);
}

int wfi_amqp_reject(struct wfi_amqp *amqp, uint64_t tag, bool requeue, struct wf_error *reterr)
{
    return send_method(amqp, AMQP_BASIC_REJECT_METHOD,
                       &(amqp_basic_reject_t){.delivery_tag = tag, .requeue = requeue}, reterr);
}

int wfi_amqp_settle(struct wfi_amqp *amqp, const struct wfi_amqp_settlement *settlements,
                    size_t count, struct wf_error *reterr)
{
    lock(amqp);
    int err = wfi_load(&amqp->broken);
    for (size_t i = 0; i < count && !err; i++) {
        const struct wfi_amqp_settlement *s = &settlements[i];
        if (s->how == WFI_AMQP_ACK || s->how == WFI_AMQP_ACK_ALL)
            err = put_method(amqp, CHANNEL, AMQP_BASIC_ACK_METHOD,
                             &(amqp_basic_ack_t){.delivery_tag = s->tag,
                                                 .multiple = s->how == WFI_AMQP_ACK_ALL});
        else
            err = put_method(amqp, CHANNEL, AMQP_BASIC_REJECT_METHOD,
                             &(amqp_basic_reject_t){.delivery_tag = s->tag,
                                                    .requeue = s->how == WFI_AMQP_REQUEUE});
    }
    if (wfi_load(&amqp->broken)) {
        err = tell_broken(amqp, reterr);
    } else {
        if (err)
            wf_error_set(reterr, err, NULL); /* those before it go out */
        write_all(amqp);
        if (!err && wfi_load(&amqp->broken))
            err = tell_broken(amqp, reterr);
    }
    unlock(amqp);
    return err;
}

static void fill_properties(const struct wfi_properties *from, amqp_basic_properties_t *to)
{
    const struct {
        const char *text;
        amqp_bytes_t *at;
        amqp_flags_t flag;
    } texts[] = {
        {from->content_type ? from->content_type : WFI_CONTENT_JSON, &to->content_type,
         AMQP_BASIC_CONTENT_TYPE_FLAG},
        {from->content_encoding ? from->content_encoding : WFI_CONTENT_UTF8, &to->content_encoding,
         AMQP_BASIC_CONTENT_ENCODING_FLAG},
        {from->correlation_id, &to->correlation_id, AMQP_BASIC_CORRELATION_ID_FLAG},
        {from->reply_to, &to->reply_to, AMQP_BASIC_REPLY_TO_FLAG},
        {from->expiration, &to->expiration, AMQP_BASIC_EXPIRATION_FLAG},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text) {
            *texts[i].at = bytes_of(texts[i].text);
            to->_flags |= texts[i].flag;
        }
    to->delivery_mode = (uint8_t)(from->delivery_mode ? from->delivery_mode : 2);
    to->priority = (uint8_t)from->priority;
    to->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG;
}

/* Puts a whole message into `out`, or nothing. Under the lock. */
static int put_message(struct wfi_amqp *amqp, const struct wfi_amqp_publish *message,
                       amqp_basic_properties_t *properties)
{
    size_t before = amqp->out.len;
    amqp_basic_publish_t fields = {.exchange = bytes_of(message->exchange),
                                   .routing_key = bytes_of(message->routing_key)};
    int err = put_method(amqp, CHANNEL, AMQP_BASIC_PUBLISH_METHOD, &fields);
    if (!err)
        err = put_content_head(amqp, message->body_len, properties);
    if (!err)
        err = put_body(amqp, message->body, message->body_len);
    if (err)
        amqp->out.len = before;
    return err;
}

static int publish(struct wfi_amqp *amqp, const struct wfi_amqp_publish *message,
                   amqp_basic_properties_t *properties, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct publishing p = {0};
    int err = 0;
    lock(amqp);
    while (!err && amqp->blocked)
        err = wait_a_bit(amqp, deadline);
    if (!err)
        err = wfi_load(&amqp->broken);
    if (!err)
        err = put_message(amqp, message, properties);
    if (!err) {
        p.number = ++amqp->published;
        if (amqp->confirm)
            wfi_list_push_back(&amqp->unconfirmed, &p.link);
        write_all(amqp);
        while (!err && amqp->confirm && !p.confirmed)
            err = wait_a_bit(amqp, deadline);
        wfi_list_remove(&p.link);
        if (p.confirmed)
            err = 0;
    }
    int broken = wfi_load(&amqp->broken);
    if (broken && !p.confirmed)
        err = tell_broken(amqp, reterr);
    else if (err)
        wf_error_set(reterr, err, NULL);
    unlock(amqp);
    if (!err && p.refused)
        err = wf_error_set(reterr, -EAGAIN, "RabbitMQ refused to take the message over");
    return err;
}

int wfi_amqp_publish(struct wfi_amqp *amqp, const struct wfi_amqp_publish *message,
                     wf_deadline deadline, struct wf_error *reterr)
{
    amqp_basic_properties_t properties = {0};
    struct wf_json *json;
    amqp_pool_t pool;
    init_amqp_pool(&pool, 4096);
    if (strlen(message->routing_key) > 255 || strlen(message->exchange) > 255)
        return wf_error_set(reterr, -EINVAL, "a routing key or exchange of more than 255 bytes");
    fill_properties(message->properties, &properties);
    int err = make_arguments(message->headers, message->headers_len, &pool, &json,
                             &properties.headers, reterr);
    if (!err) {
        if (message->headers)
            properties._flags |= AMQP_BASIC_HEADERS_FLAG;
        err = publish(amqp, message, &properties, deadline, reterr);
    }
    wf_json_destroy(json);
    empty_amqp_pool(&pool);
    return err;
}

/* ---- life ---- */

static int start(struct wfi_amqp *amqp, const struct wfi_celery_url *url, wf_deadline deadline,
                 struct wf_error *reterr)
{
    static const char hello[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    static const char capabilities[] =
        "{\"product\": \"weft\", \"platform\": \"C\", \"capabilities\": "
        "{\"consumer_cancel_notify\": true, \"connection.blocked\": true, "
        "\"authentication_failure_close\": true, \"publisher_confirms\": true, "
        "\"basic.nack\": true}}";
    char response[400];
    int len = snprintf(response, sizeof response, "%c%s%c%s", 0, url->user, 0, url->password);
    amqp_connection_start_ok_t fields = {.mechanism = bytes_of("PLAIN"),
                                         .response = {.len = (size_t)len, .bytes = response},
                                         .locale = bytes_of("en_US")};
    struct wf_json *json;
    amqp_pool_t pool;
    lock(amqp);
    int err = wfi_buffer_append(&amqp->out, hello, sizeof hello);
    if (!err) {
        write_all(amqp);
        err = wait_for_answer(amqp, AMQP_CONNECTION_START_METHOD, deadline, reterr);
    } else {
        wf_error_set(reterr, err, NULL);
    }
    unlock(amqp);
    if (err)
        return err;
    init_amqp_pool(&pool, 4096);
    err = make_arguments(capabilities, sizeof capabilities - 1, &pool, &json,
                         &fields.client_properties, reterr);
    if (!err)
        err = request(amqp, 0, AMQP_CONNECTION_START_OK_METHOD, &fields,
                      AMQP_CONNECTION_TUNE_METHOD, deadline, reterr);
    wf_json_destroy(json);
    empty_amqp_pool(&pool);
    return err;
}

static int tune(struct wfi_amqp *amqp, const struct wfi_celery_url *url, wf_deadline deadline,
                struct wf_error *reterr)
{
    amqp_connection_tune_ok_t fields = {.channel_max = CHANNEL,
                                        .frame_max = amqp->frame_max,
                                        .heartbeat = (uint16_t)amqp->heartbeat_s};
    lock(amqp);
    int err = put_method(amqp, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &fields);
    unlock(amqp);
    if (!err && amqp_tune_connection(amqp->codec, CHANNEL, (int)amqp->frame_max, 0))
        err = -ENOMEM;
    if (err)
        return wf_error_set(reterr, err, NULL);
    return request(amqp, 0, AMQP_CONNECTION_OPEN_METHOD,
                   &(amqp_connection_open_t){.virtual_host = bytes_of(url->vhost)},
                   AMQP_CONNECTION_OPEN_OK_METHOD, deadline, reterr);
}

static int greet(struct wfi_amqp *amqp, const struct wfi_celery_url *url, wf_deadline deadline,
                 struct wf_error *reterr)
{
    int err = start(amqp, url, deadline, reterr);
    if (!err)
        err = tune(amqp, url, deadline, reterr);
    if (!err)
        err = request(amqp, CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &(amqp_channel_open_t){0},
                      AMQP_CHANNEL_OPEN_OK_METHOD, deadline, reterr);
    if (!err && amqp->confirm)
        err = request(amqp, CHANNEL, AMQP_CONFIRM_SELECT_METHOD, &(amqp_confirm_select_t){0},
                      AMQP_CONFIRM_SELECT_OK_METHOD, deadline, reterr);
    return err;
}

int wfi_amqp_open(const struct wfi_celery_url *url, const struct wfi_amqp_options *options,
                  struct wfi_amqp **ret_amqp, wf_deadline deadline, struct wf_error *reterr)
{
    static const struct wfi_amqp_options defaults = {0};
    char shown[WFI_CELERY_URL_BYTES];
    struct wfi_amqp *amqp = wfi_zalloc(sizeof *amqp);
    if (!amqp)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (!options)
        options = &defaults;
    wf_mutex_init(&amqp->requests);
    wf_mutex_init(&amqp->lock);
    wf_condition_init(&amqp->progress, &amqp->lock);
    amqp->frame_max = 131072;
    amqp->write_ns = options->write_ns ? options->write_ns : WF_SECONDS(30);
    amqp->confirm = options->confirm;
    amqp->in = wfi_alloc(READ_BYTES);
    amqp->codec = amqp_new_connection();
    int err = amqp->in && amqp->codec ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    if (!err)
        err = wf_dial(url->endpoint, NULL, &amqp->stream, deadline, reterr);
    if (!err) {
        wfi_store_relaxed(&amqp->heard_ns, wf_now());
        wfi_store_relaxed(&amqp->sent_ns, wf_now());
        int wanted = options->heartbeat_s;
        amqp->heartbeat_s = wanted;
        err = greet(amqp, url, deadline, reterr);
    }
    if (err) {
        wfi_amqp_break(amqp);
        wfi_amqp_close(amqp, WF_NOW);
        if (reterr)
            wf_error_prefix(reterr, "%.150s", wfi_celery_url_format(url, shown));
        return err;
    }
    *ret_amqp = amqp;
    return 0;
}

int wfi_amqp_refusal(const struct wfi_amqp *amqp)
{
    return wfi_load(&((struct wfi_amqp *)(uintptr_t)amqp)->close_code);
}

bool wfi_amqp_is_open(const struct wfi_amqp *amqp)
{
    return !wfi_load(&((struct wfi_amqp *)(uintptr_t)amqp)->broken);
}

bool wfi_amqp_is_blocked(struct wfi_amqp *amqp)
{
    lock(amqp);
    const bool blocked = amqp->blocked;
    unlock(amqp);
    return blocked;
}

void wfi_amqp_break(struct wfi_amqp *amqp)
{
    if (!amqp->stream)
        return;
    lock(amqp);
    break_off(amqp, -EPIPE, NULL);
    unlock(amqp);
}

void wfi_amqp_close(struct wfi_amqp *amqp, wf_deadline deadline)
{
    if (!amqp)
        return;
    if (amqp->stream && wfi_amqp_is_open(amqp)) {
        WF_SHIELD(deadline) {
            (void)request(amqp, 0, AMQP_CONNECTION_CLOSE_METHOD,
                          &(amqp_connection_close_t){.reply_code = AMQP_REPLY_SUCCESS},
                          AMQP_CONNECTION_CLOSE_OK_METHOD, deadline, NULL);
        }
    }
    wf_stream_close(amqp->stream);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&amqp->deliveries));)
        wfi_amqp_delivery_destroy(wfi_container_of(link, struct wfi_amqp_delivery, link));
    wfi_amqp_delivery_destroy(amqp->partial);
    if (amqp->codec)
        amqp_destroy_connection(amqp->codec);
    wfi_buffer_reset(&amqp->out);
    wfi_buffer_reset(&amqp->sending);
    wf_condition_fini(&amqp->progress);
    wf_mutex_fini(&amqp->lock);
    wf_mutex_fini(&amqp->requests);
    wfi_free(amqp->in);
    wfi_free(amqp);
}
