/* SPDX-License-Identifier: MIT */
/*
 * JSON: any bytes to the reader. What it takes, the writer writes; that is read again, and written
 * again to the same bytes.
 */
#include <weft/json.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct wf_json_writer *write_all(const struct wf_json *json, bool ascii, const char **text,
                                        size_t *len)
{
    struct wf_json_writer *w;
    const struct wf_json_writer_options options = {.ascii = ascii, .spaced = ascii};
    check(wf_json_writer_create(&options, &w) == 0);
    wf_json_write_value(w, wf_json_root(json));
    wf_json_write_line_end(w);
    check(wf_json_writer_text(w, text, len) == 0);
    return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wf_json *json, *again;
    struct wf_error err = {0};
    const int code = wf_json_read((const char *)data, size, NULL, &json, &err);
    if (code != 0) {
        check(err.code == code && err.text[0] != '\0');
        return 0;
    }
    for (int ascii = 0; ascii < 2; ascii++) {
        const char *text, *text_again;
        size_t len, len_again;
        struct wf_json_writer *w = write_all(json, ascii, &text, &len);
        check(wf_json_read(text, len, NULL, &again, NULL) == 0);
        struct wf_json_writer *w_again = write_all(again, ascii, &text_again, &len_again);
        check(len == len_again && memcmp(text, text_again, len) == 0);
        wf_json_writer_destroy(w);
        wf_json_writer_destroy(w_again);
        wf_json_destroy(again);
    }
    wf_json_destroy(json);
    return 0;
}
