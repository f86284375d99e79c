/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <string.h>

#include <weft/json.h>

static const char *text_of(const struct wf_error *error, int err)
{
    return error->text[0] ? error->text : wf_strerror(err);
}

int client_open(const struct command *command, const struct addresses *addresses,
                struct wf_celery_client **ret_client)
{
    struct wf_error error = {0};
    int err =
        wf_celery_client_create(&(struct wf_celery_client_options){.broker = addresses->broker,
                                                                   .backend = addresses->backend},
                                ret_client, &error);
    if (!err)
        return -1;
    fprintf(stderr, "weft %s: %s\n", command->name, text_of(&error, err));
    return err == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
}

int client_failed(const struct command *command, const struct addresses *addresses, int err,
                  struct wf_error *error)
{
    const bool wrong = err == -EINVAL || err == -ERANGE;
    if (addresses->is_default && !wrong)
        wf_error_prefix(error, "no broker is named (-b, CELERY_BROKER_URL), so %s",
                        addresses->broker);
    fprintf(stderr, "weft %s: %s\n", command->name, text_of(error, err));
    return wrong ? EXIT_USAGE : EXIT_FAILED;
}

int client_print_written(const char *before, struct wf_json_writer *w)
{
    const char *text;
    size_t len;
    int err = wf_json_writer_text(w, &text, &len);
    if (err)
        return err;
    fputs(before, stdout);
    fwrite(text, 1, len, stdout);
    putchar('\n');
    return 0;
}

int client_print(const char *before, const struct wf_json_value *value)
{
    struct wf_json_writer *w;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, value);
    err = client_print_written(before, w);
    wf_json_writer_destroy(w);
    return err;
}

int client_end(const struct command *command, int err, int status)
{
    errno = 0;
    if (!err && (fflush(stdout) || ferror(stdout)))
        err = errno ? -errno : -EIO;
    if (!err)
        return status;
    fprintf(stderr, "weft %s: cannot write standard output: %s\n", command->name, wf_strerror(err));
    return EXIT_FAILED;
}
