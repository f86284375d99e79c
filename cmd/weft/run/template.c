/* SPDX-License-Identifier: MIT */
#include "run/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum part_kind { PART_TEXT, PART_ARG, PART_NUMBER, PART_SLOT };

/* Of an argument. */
enum form { FORM_WHOLE, FORM_NO_EXTENSION, FORM_BASE, FORM_DIRECTORY, FORM_BASE_NO_EXTENSION };

struct part {
    enum part_kind kind;
    enum form form;
    size_t index; /* 1 for the first argument; 0: all of them, with blanks between */
    const char *text;
    size_t len;
};

struct word {
    size_t first, count; /* of the parts */
};

struct template
{
    struct template_options options;
    struct word *words;
    size_t word_count;
    struct part *parts;
    size_t part_count, part_size;
    bool marked; /* has a mark at all */
    bool failed; /* memory ran out */
};

/* ---- reading ---- */

static void add_part(struct template *t, struct part part)
{
    if (t->part_count == t->part_size) {
        size_t size = t->part_size ? t->part_size * 2 : 16;
        struct part *grown = realloc(t->parts, size * sizeof(*grown));
        if (!grown) {
            t->failed = true;
            return;
        }
        t->parts = grown;
        t->part_size = size;
    }
    t->parts[t->part_count++] = part;
    t->words[t->word_count].count++;
    t->marked = t->marked || part.kind != PART_TEXT;
}

static const struct {
    const char *text;
    enum part_kind kind;
    enum form form;
    bool numbered; /* may have the number of an argument in front */
} marks[] = {
    {"}", PART_ARG, FORM_WHOLE, true},
    {".}", PART_ARG, FORM_NO_EXTENSION, true},
    {"/}", PART_ARG, FORM_BASE, true},
    {"//}", PART_ARG, FORM_DIRECTORY, true},
    {"/.}", PART_ARG, FORM_BASE_NO_EXTENSION, true},
    {"#}", PART_NUMBER, FORM_WHOLE, false},
    {"%}", PART_SLOT, FORM_WHOLE, false},
};

/* The mark that `text` begins with. Returns its length, 0 when there is none. */
static size_t read_mark(const struct template_options *options, const char *text, struct part *ret)
{
    if (options->mark) {
        size_t len = strlen(options->mark);
        *ret = (struct part){.kind = PART_ARG, .text = text, .len = len};
        return strncmp(text, options->mark, len) == 0 ? len : 0;
    }
    if (*text != '{')
        return 0;
    size_t digits = strspn(text + 1, "0123456789");
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t len = strlen(marks[i].text);
        if ((digits && !marks[i].numbered) || strncmp(text + 1 + digits, marks[i].text, len) != 0)
            continue;
        *ret = (struct part){
            .kind = marks[i].kind, .form = marks[i].form, .text = text, .len = 1 + digits + len};
        /* What is too long to be read is out of range in any case. */
        ret->index = digits > 9 ? SIZE_MAX : digits ? strtoul(text + 1, NULL, 10) : 0;
        if (digits && ret->index == 0)
            ret->index = SIZE_MAX;
        return ret->len;
    }
    return 0;
}

static int read_word(struct template *t, const char *word, struct wf_error *reterr)
{
    const char *from = word, *at = word;
    for (;;) {
        struct part mark = {0};
        size_t len = *at ? read_mark(&t->options, at, &mark) : 0;
        if (*at && !len) {
            at++;
            continue;
        }
        if (at > from || (!*at && at == word))
            add_part(t, (struct part){.text = from, .len = (size_t)(at - from)});
        if (!*at)
            return 0;
        if (mark.index > t->options.args)
            return wf_error_set(reterr, -EINVAL,
                                "%.*s in the command: a job has %zu argument%s (-n says how many; "
                                "-I STR leaves braces alone)",
                                (int)(len < 40 ? len : 40), at, t->options.args,
                                t->options.args == 1 ? "" : "s");
        add_part(t, mark);
        at += len;
        from = at;
    }
}

static int read_words(struct template *t, char *const *words, size_t count, struct wf_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        t->words[t->word_count].first = t->part_count;
        int err = read_word(t, words[i], reterr);
        if (err)
            return err;
        t->word_count++;
    }
    if (!t->marked) {
        t->words[t->word_count].first = t->part_count;
        add_part(t, (struct part){.kind = PART_ARG});
        t->word_count++;
    }
    return t->failed ? wf_error_set(reterr, -ENOMEM, NULL) : 0;
}

int template_create(char *const *words, size_t count, const struct template_options *options,
                    struct template **ret_template, struct wf_error *reterr)
{
    if (count == 0 && !options->shell)
        return wf_error_set(reterr, -EINVAL, "missing COMMAND");
    struct template *t = calloc(1, sizeof(*t));
    if (!t)
        return wf_error_set(reterr, -ENOMEM, NULL);
    t->options = *options;
    t->words = calloc(count + 1, sizeof(*t->words));
    int err = t->words ? read_words(t, words, count, reterr) : wf_error_set(reterr, -ENOMEM, NULL);
    if (err) {
        template_destroy(t);
        return err;
    }
    *ret_template = t;
    return 0;
}

void template_destroy(struct template *t)
{
    if (!t)
        return;
    free(t->words);
    free(t->parts);
    free(t);
}

const char *template_program(const struct template *t)
{
    if (t->options.shell)
        return "/bin/sh";
    /* The first word is a whole string of the caller's when it has no mark. */
    const struct part *part = &t->parts[t->words[0].first];
    return t->words[0].count == 1 && part->kind == PART_TEXT ? part->text : NULL;
}

/* ---- expanding ---- */

/* A stretch of an argument. */
struct piece {
    const char *at;
    size_t len;
};

static struct piece base(struct piece p)
{
    const char *slash = memrchr(p.at, '/', p.len);
    return slash ? (struct piece){slash + 1, (size_t)(p.at + p.len - slash - 1)} : p;
}

/* Up to the last dot of the last component. */
static struct piece without_extension(struct piece p)
{
    for (size_t i = p.len; i-- > 0 && p.at[i] != '/';)
        if (p.at[i] == '.')
            return (struct piece){p.at, i};
    return p;
}

/* As dirname(1) has it. */
static struct piece directory(struct piece p)
{
    bool root = p.len && p.at[0] == '/';
    while (p.len && p.at[p.len - 1] == '/')
        p.len--;
    while (p.len && p.at[p.len - 1] != '/')
        p.len--;
    while (p.len && p.at[p.len - 1] == '/')
        p.len--;
    return p.len ? p : root ? (struct piece){"/", 1} : (struct piece){".", 1};
}

static struct piece formed(const char *arg, enum form form)
{
    struct piece p = {arg, strlen(arg)};
    switch (form) {
    case FORM_NO_EXTENSION:
        return without_extension(p);
    case FORM_BASE:
        return base(p);
    case FORM_DIRECTORY:
        return directory(p);
    case FORM_BASE_NO_EXTENSION:
        return without_extension(base(p));
    default:
        return p;
    }
}

static void put_piece(const struct template *t, struct piece p, struct words *out)
{
    if (t->options.shell)
        words_quote(out, p.at, p.len);
    else
        words_put(out, p.at, p.len);
}

static void put_arg(const struct template *t, const struct part *part,
                    const struct template_job *job, struct words *out)
{
    if (part->index) {
        if (part->index <= job->count)
            put_piece(t, formed(job->args[part->index - 1], part->form), out);
        return;
    }
    for (size_t i = 0; i < job->count; i++) {
        if (i)
            words_put(out, " ", 1);
        put_piece(t, formed(job->args[i], part->form), out);
    }
}

static void put_word(const struct template *t, const struct word *word,
                     const struct template_job *job, struct words *out)
{
    for (size_t i = 0; i < word->count; i++) {
        const struct part *part = &t->parts[word->first + i];
        if (part->kind == PART_TEXT)
            words_put(out, part->text, part->len);
        else if (part->kind == PART_ARG)
            put_arg(t, part, job, out);
        else if (part->kind == PART_NUMBER)
            words_printf(out, "%llu", (unsigned long long)job->number);
        else
            words_printf(out, "%u", job->slot);
    }
}

static void expand_shell(const struct template *t, const struct template_job *job,
                         struct words *out)
{
    words_add(out, "/bin/sh", 7);
    words_add(out, "-c", 2);
    /* Without a command the arguments are the commands. */
    bool bare = t->word_count == 1 && t->words[0].count == 1 && !t->parts[0].text;
    for (size_t i = 0; bare && i < job->count; i++) {
        words_put(out, " ", i ? 1 : 0);
        words_puts(out, job->args[i]);
    }
    for (size_t i = 0; !bare && i < t->word_count; i++) {
        words_put(out, " ", i ? 1 : 0);
        put_word(t, &t->words[i], job, out);
    }
    words_end(out);
}

void template_expand(const struct template *t, const struct template_job *job, struct words *out)
{
    if (t->options.shell) {
        expand_shell(t, job, out);
        return;
    }
    for (size_t i = 0; i < t->word_count; i++) {
        const struct word *word = &t->words[i];
        const struct part *part = &t->parts[word->first];
        if (word->count != 1 || part->kind != PART_ARG) {
            put_word(t, word, job, out);
            words_end(out);
            continue;
        }
        size_t from = part->index ? part->index - 1 : 0;
        size_t to = part->index && part->index < job->count ? part->index : job->count;
        for (size_t arg = from; arg < to; arg++) {
            struct piece p = formed(job->args[arg], part->form);
            words_add(out, p.at, p.len);
        }
    }
}

void template_put_text(const struct template *t, char *const *argv, struct words *out)
{
    if (t->options.shell) {
        words_puts(out, argv[2]);
        return;
    }
    for (size_t i = 0; argv[i]; i++) {
        words_put(out, " ", i ? 1 : 0);
        words_quote(out, argv[i], strlen(argv[i]));
    }
}
