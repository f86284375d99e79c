# SPDX-License-Identifier: MIT
"""Empties the queue of RabbitMQ at a port, and fills it with task messages: of standard input, the
body and then the headers of each, in one array of JSON."""
import json
import sys
import uuid

import amqp

body, *headers = json.load(sys.stdin)
connection = amqp.Connection(f"127.0.0.1:{sys.argv[1]}")
connection.connect()
channel = connection.channel()
channel.exchange_declare("celery", "direct", durable=True, auto_delete=False)
channel.queue_declare("celery", durable=True, auto_delete=False)
channel.queue_bind("celery", "celery", "celery")
channel.queue_purge("celery")
for each in headers:
    channel.basic_publish(amqp.Message(
        body, content_type="application/json", content_encoding="utf-8", application_headers=each,
        delivery_mode=2, priority=0, correlation_id=each["id"], reply_to=str(uuid.uuid4())),
        "", "celery")
connection.close()
