/* SPDX-License-Identifier: MIT */
/* Buffers, numbers and words of the test site; see text.h. */
#include "site/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void site_buffer_free(struct site_buffer *buf)
{
    free(buf->data);
    *buf = (struct site_buffer){0};
}

void site_buffer_clear(struct site_buffer *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static bool reserve(struct site_buffer *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (buf->cap - buf->len >= more)
        return true;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap - buf->len < more) {
        if (cap > SIZE_MAX / 2) {
            buf->failed = true;
            return false;
        }
        cap *= 2;
    }
    char *grown = realloc(buf->data, cap);
    if (!grown) {
        buf->failed = true;
        return false;
    }
    buf->data = grown;
    buf->cap = cap;
    return true;
}

void site_put(struct site_buffer *buf, const void *data, size_t len)
{
    if (len == 0 || !reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void site_put_text(struct site_buffer *buf, const char *text)
{
    site_put(buf, text, strlen(text));
}

void site_put_char(struct site_buffer *buf, char c)
{
    site_put(buf, &c, 1);
}

void site_put_format(struct site_buffer *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* One byte more than is kept: vsnprintf always ends with a zero. */
    if (len < 0 || !reserve(buf, (size_t)len + 1))
        return;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void site_put_json(struct site_buffer *buf, const char *text, size_t len)
{
    site_put_char(buf, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            site_put_char(buf, '\\');
            site_put_char(buf, (char)c);
        } else if (c < 0x20) {
            site_put_format(buf, "\\u%04x", c);
        } else {
            site_put_char(buf, (char)c);
        }
    }
    site_put_char(buf, '"');
}

/* The finaliser of splitmix64: every bit of the input moves half of the output's. */
static uint64_t scramble(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t site_mix(uint64_t a, uint64_t b)
{
    return scramble(scramble(a + UINT64_C(0x9e3779b97f4a7c15)) ^ b);
}

uint64_t site_next(struct site_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return scramble(random->state);
}

uint32_t site_below(struct site_random *random, uint32_t bound)
{
    return (uint32_t)(((site_next(random) >> 32) * bound) >> 32);
}

static const char *const chinese[] = {
    "并发编程", "线程池",   "协程",     "信号量",   "死锁",     "生产者消费者", "队列",
    "爬虫",     "性能优化", "源码分析", "内存模型", "调度器",   "从零开始",     "入门教程",
    "实战笔记", "网络编程", "缓存一致", "分布式锁", "消息队列", "垃圾回收",     "踩坑记录",
    "面试题",   "设计模式", "数据结构", "算法导论", "微服务",   "容器化部署",   "日志系统",
};

static const char *const latin[] = {
    "Python",
    "C++",
    "Linux",
    "epoll",
    "Redis",
    "asyncio",
    "Docker",
    "Kubernetes",
    "MySQL",
    "HTTP/1.1",
    "Rust",
    "goroutine",
    "futex",
    "io_uring",
    "RPC",
    "TLS",
    "Spring Boot",
    "WebSocket",
    "JSON",
    "C#",
    "std::vector<int>",
    "a && b",
    "R&D",
    "\"hello\"",
    "it's alive",
    "x < y",
    "p -> next",
    "\xe2\x80\x94 part two",
    "\xc2\xa9 2022",
    "wait\xe2\x80\xa6",
};

/* Whole phrases: a page of 70 KB is then put together in a few hundred steps. */
static const char *const phrases[] = {
    "the queue is full and the producer waits until a slot is free, ",
    "a fiber that sleeps costs a few kilobytes and no thread at all. ",
    "多线程的执行顺序是不确定的，由系统调度。",
    "while the socket has nothing to read, other work goes on; ",
    "线程被阻塞之后回到就绪状态，等待下一次调度。",
    "whoever holds the lock wakes the one that has waited longest. ",
    "返回结果的顺序和参数的顺序一致，",
    "after the last item the channel is closed and every reader ends. ",
    "first measure, then change one thing, then measure again: ",
    "任务队列里的任务由空闲的线程取走执行。",
    "the same function runs serially, on threads and on fibers, ",
    "under load the pool keeps its size and the queue grows. ",
    "a deadline is a point in time, and it is handed on as it is; ",
    "协程在等待网络的时候把处理器让给别的协程，",
    "two threads that write one word without a lock are a race. ",
    "what is not closed stays open, and what is not joined goes on. ",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void site_title(struct site_buffer *out, struct site_random *random)
{
    uint32_t parts = 2 + site_below(random, 4);
    for (uint32_t i = 0; i < parts; i++) {
        if (i)
            site_put_char(out, ' ');
        if (site_below(random, 5) < 3)
            site_put_text(out, chinese[site_below(random, COUNT(chinese))]);
        else
            site_put_text(out, latin[site_below(random, COUNT(latin))]);
    }
}

/* Reads one well-formed UTF-8 character; the texts here are our own. */
static size_t read_char(const char *text, uint32_t *ret_code)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) {
        *ret_code = s[0];
        return 1;
    }
    if (s[0] < 0xe0) {
        *ret_code = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3fu);
        return 2;
    }
    *ret_code = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3fu);
    return 3;
}

static const struct {
    uint32_t code;
    const char *name;
} entities[] = {
    {'&', "amp"},   {'<', "lt"},       {'>', "gt"},        {'"', "quot"},
    {0xa9, "copy"}, {0x2014, "mdash"}, {0x2026, "hellip"},
};

static const char *entity_name(uint32_t code)
{
    for (size_t i = 0; i < COUNT(entities); i++)
        if (entities[i].code == code)
            return entities[i].name;
    return NULL;
}

void site_escape(struct site_buffer *out, const char *text, size_t len, struct site_random *random)
{
    for (size_t i = 0; i < len;) {
        uint32_t code;
        size_t bytes = read_char(text + i, &code);
        const char *name = entity_name(code);
        bool must = code == '&' || code == '<' || code == '"';
        /* One character in sixteen of those that may stand as they are is escaped all the same. */
        bool may = name || code == '\'' || code >= 0x80;
        if (!must && !(may && site_below(random, 16) == 0)) {
            site_put(out, text + i, bytes);
        } else {
            uint32_t form = site_below(random, 3);
            if (form == 0 && name)
                site_put_format(out, "&%s;", name);
            else if (form == 1)
                site_put_format(out, "&#x%X;", (unsigned)code);
            else
                site_put_format(out, "&#%u;", (unsigned)code);
        }
        i += bytes;
    }
}

void site_words(struct site_buffer *out, size_t bytes, struct site_random *random)
{
    size_t end = out->len + bytes;
    while (out->len < end && !out->failed)
        site_put_text(out, phrases[site_below(random, COUNT(phrases))]);
}
