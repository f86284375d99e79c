/* SPDX-License-Identifier: MIT */
/*
 * Results over rpc://: workers send them to a queue of the client's, of which every task's reply_to
 * tells. It is not deleted when the connection breaks, as Celery's own is, but some time later: so
 * what is sent meanwhile arrives on the next one.
 */
#include "celery/backend/results.h"

#include <errno.h>

#include <weft/scope.h>

#include "celery/broker/amqp.h"

#define CONNECT_NS WF_SECONDS(4)
#define CLOSE_NS WF_SECONDS(1)
#define HEARTBEAT_S 60
#define QUEUE_ARGUMENTS "{\"x-expires\": 600000}" /* ms without anybody who consumes */

static int listen(struct wfi_amqp *amqp, const char *name, struct wf_error *reterr)
{
    const wf_deadline deadline = wf_after(CONNECT_NS);
    const struct wfi_amqp_queue queue = {.name = name, .arguments = QUEUE_ARGUMENTS};
    int err = wfi_amqp_declare_queue(amqp, &queue, NULL, deadline, reterr);
    if (!err)
        err = wfi_amqp_consume(amqp, name, name, true, deadline, reterr);
    return err;
}

static void take(struct wfi_results *results, const struct wfi_amqp_delivery *delivery)
{
    const struct wf_json_value *properties = wf_json_root(delivery->properties);
    const char *id = wfi_json_c_string(wf_json_get(properties, "correlation_id"));
    if (id)
        wfi_results_arrived(results, id, delivery->body, delivery->len);
}

int wfi_results_rpc(struct wfi_results *results, const struct wfi_celery_url *url,
                    const char *queue, bool *ret_worked, struct wf_error *reterr)
{
    struct wfi_amqp *amqp = NULL;
    const struct wfi_amqp_options options = {.heartbeat_s = HEARTBEAT_S};
    int err = wfi_amqp_open(url, &options, &amqp, wf_after(CONNECT_NS), reterr);
    if (!err)
        err = listen(amqp, queue, reterr);
    if (!err) {
        *ret_worked = true;
        wfi_results_set_there(results, true);
    }
    while (!err) {
        struct wfi_amqp_delivery *delivery = NULL;
        err = wfi_amqp_receive(amqp, &delivery, WF_FOREVER, reterr);
        if (!err && delivery->canceled)
            err = wf_error_set(reterr, -ECONNRESET, "the queue of results was deleted");
        if (!err)
            take(results, delivery);
        wfi_amqp_delivery_destroy(delivery);
    }
    wfi_results_set_there(results, false);
    if (err == -ECANCELED && amqp && wfi_amqp_is_open(amqp)) { /* it ends: nobody will ask */
        wf_deadline limit = wf_after(CLOSE_NS);
        WF_SHIELD(limit) {
            (void)wfi_amqp_delete_queue(amqp, queue, limit, NULL);
        }
    }
    wfi_amqp_close(amqp, wf_after(CLOSE_NS));
    return err;
}
