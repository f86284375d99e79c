/* SPDX-License-Identifier: MIT */
/*
 * The limit of the benchmarks Q3 and Q4: what RabbitMQ gives to a consumer that does nothing with
 * its messages, by librabbitmq alone, with as many at a time as the workers have.
 *
 *     rabbit_consumer PORT PREFETCH STEP COUNT    takes COUNT messages of the queue `celery`, and
 *                                                 acknowledges STEP of them together
 *
 * Prints messages a second, from the first to the last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#define CHANNEL 1

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int begin(amqp_connection_state_t c, int port, uint16_t prefetch)
{
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    if (!socket || amqp_socket_open(socket, "127.0.0.1", port) ||
        amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type !=
            AMQP_RESPONSE_NORMAL)
        return -1;
    if (!amqp_channel_open(c, CHANNEL) || !amqp_basic_qos(c, CHANNEL, 0, prefetch, 0) ||
        !amqp_basic_consume(c, CHANNEL, amqp_cstring_bytes("celery"), amqp_empty_bytes, 0, 0, 0,
                            amqp_empty_table))
        return -1;
    return 0;
}

static int consume(amqp_connection_state_t c, int step, int count)
{
    double start = 0;
    for (int i = 1; i <= count; i++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(c);
        if (amqp_consume_message(c, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
            return -1;
        const uint64_t tag = envelope.delivery_tag;
        amqp_destroy_envelope(&envelope);
        if (i == 1)
            start = seconds();
        if ((i % step == 0 || i == count) && amqp_basic_ack(c, CHANNEL, tag, 1))
            return -1;
    }
    printf("%f\n", (count - 1) / (seconds() - start));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5 || atoi(argv[3]) < 1) {
        fprintf(stderr, "usage: %s PORT PREFETCH STEP COUNT\n", argv[0]);
        return 2;
    }
    amqp_connection_state_t c = amqp_new_connection();
    int err = c ? begin(c, atoi(argv[1]), (uint16_t)atoi(argv[2])) : -1;
    if (!err)
        err = consume(c, atoi(argv[3]), atoi(argv[4]));
    if (err)
        fprintf(stderr, "RabbitMQ did not serve\n");
    if (c)
        amqp_destroy_connection(c);
    return err ? 1 : 0;
}
