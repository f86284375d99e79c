/* SPDX-License-Identifier: MIT */
/*
 * JSON, in the dialect Python's json module speaks: integers of any size, NaN and Infinity, lone
 * surrogates in strings. Pure: bytes in, bytes out.
 *
 * Writing goes through a writer that keeps the text it made. A failure (only memory can run out) is
 * remembered and told at the end, so that the calls in between need no checks:
 *
 *     wf_json_write_object(w);
 *     wf_json_write_key(w, "title");
 *     wf_json_write_string(w, title, title_len);
 *     wf_json_write_end(w);
 *     wf_json_write_line_end(w);
 *     err = wf_json_writer_text(w, &text, &len);
 *
 * Reading gives a tree that lives until wf_json_destroy. Strings in it are UTF-8, with a lone
 * surrogate as the three bytes that its number would have (WTF-8); the writer takes that form back.
 */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_json_writer;

/* How the text looks. All false: UTF-8, no spaces. Both true: as Python's json.dumps does it. */
struct wf_json_writer_options {
    bool ascii;  /* characters outside ASCII as \u escapes */
    bool spaced; /* a space behind each comma and colon */
};

/*
 * Makes an empty writer.
 *
 * options      may be NULL for the defaults.
 * ret_writer   receives the writer, to be given to wf_json_writer_destroy; untouched on error.
 *
 * Returns 0, or
 *   -ENOMEM   out of memory
 * Context: any, never blocks.
 */
WF_API int wf_json_writer_create(const struct wf_json_writer_options *options,
                                 struct wf_json_writer **ret_writer);

/*
 * Frees the writer and its text. `w` may be NULL.
 * Context: any, never blocks.
 */
WF_API void wf_json_writer_destroy(struct wf_json_writer *w);

/*
 * Forgets the text, all open objects and arrays, and any error, and keeps the memory for the next.
 * Context: any, never blocks; one caller at a time for one writer, as all functions below.
 */
WF_API void wf_json_writer_clear(struct wf_json_writer *w);

/*
 * The text made so far.
 *
 * ret_text   receives the text, NUL-terminated; the writer owns it, and the next call on the writer
 *            ends its life. Untouched on error.
 * ret_len    receives its length; may be NULL.
 *
 * Returns 0, or
 *   -ENOMEM    memory ran out in this call or an earlier one; the text is not whole
 *   WF_ESTATE  an object or array is still open
 * Context: any, never blocks.
 */
WF_API int wf_json_writer_text(struct wf_json_writer *w, const char **ret_text, size_t *ret_len);

/*
 * Opens an object; its members follow, each a key and a value, then wf_json_write_end.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_object(struct wf_json_writer *w);

/*
 * Opens an array; its values follow, then wf_json_write_end.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_array(struct wf_json_writer *w);

/*
 * Closes the innermost open object or array. That one is open is the caller's to know.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_end(struct wf_json_writer *w);

/*
 * Writes the key of the next member of the innermost open object.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_key(struct wf_json_writer *w, const char *key);

/*
 * The same for a key of `len` bytes, which may hold anything a string may.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_key_bytes(struct wf_json_writer *w, const char *key, size_t len);

/*
 * Writes a string of `len` bytes of UTF-8. Bytes that are no UTF-8 become U+FFFD; a lone surrogate
 * in its three-byte form becomes its escape.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_string(struct wf_json_writer *w, const char *text, size_t len);

/*
 * Writes a whole number.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_int(struct wf_json_writer *w, int64_t number);
WF_API void wf_json_write_uint(struct wf_json_writer *w, uint64_t number);

/*
 * Writes a number with the fewest digits that read back as the same number, in Python's form: 1.0,
 * 1e+16, NaN, -Infinity.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_double(struct wf_json_writer *w, double number);

/*
 * Writes true or false.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_bool(struct wf_json_writer *w, bool value);

/*
 * Writes null.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_null(struct wf_json_writer *w);

/*
 * Writes a value made elsewhere, as it is: `len` bytes that must be one whole JSON value (a number
 * with more digits than any type holds, or a text that was stored).
 * Context: any, never blocks.
 */
WF_API void wf_json_write_raw(struct wf_json_writer *w, const char *text, size_t len);

struct wf_json_value;

/*
 * Writes a value that was read, with all it holds. Integers and doubles keep their value, not
 * always their spelling.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_value(struct wf_json_writer *w, const struct wf_json_value *value);

/*
 * Ends a line behind a whole value, so that several make up JSON Lines.
 * Context: any, never blocks.
 */
WF_API void wf_json_write_line_end(struct wf_json_writer *w);

/* What a value is. A number is an integer unless it has a point or an exponent, or is NaN or
 * Infinity. */
enum wf_json_type {
    WF_JSON_NULL,
    WF_JSON_BOOL,
    WF_JSON_INT,
    WF_JSON_DOUBLE,
    WF_JSON_STRING,
    WF_JSON_ARRAY,
    WF_JSON_OBJECT,
};

/* Zero means the default. */
struct wf_json_options {
    unsigned depth_max; /* arrays and objects inside each other: 1,000, as many as Python takes */
    size_t bytes_max;   /* of memory for the values: a text of [],[], ... takes eleven times its
                           length; no limit */
};

struct wf_json;

/*
 * Reads one JSON text: UTF-8, with or without a byte order mark, white space around it.
 *
 * options    may be NULL for the defaults.
 * ret_json   receives the tree, to be given to wf_json_destroy; it does not need `text` any more.
 *            Untouched on error.
 * reterr     receives a text that says what was expected, with line and column (in characters).
 *
 * Returns 0, or
 *   WF_EPARSE    it is no JSON
 *   WF_ETOOBIG   nested deeper than the limit, or 4 GiB and more
 *   -EMSGSIZE    its values take more than bytes_max
 *   -ENOMEM      out of memory
 * Context: any, never blocks.
 */
WF_API int wf_json_read(const char *text, size_t len, const struct wf_json_options *options,
                        struct wf_json **ret_json, struct wf_error *reterr);

/*
 * Frees a tree with all its values. `json` may be NULL.
 * Context: any, never blocks.
 */
WF_API void wf_json_destroy(struct wf_json *json);

/*
 * The outermost value. It and all below it live as long as the tree, and are never changed: any
 * number of callers may read them.
 * Context: any, never blocks.
 */
WF_API const struct wf_json_value *wf_json_root(const struct wf_json *json);

/*
 * What a value is; NULL, which stands for one that is missing, counts as null.
 * Context: any, never blocks.
 */
WF_API enum wf_json_type wf_json_type(const struct wf_json_value *value);

/*
 * How many values an array or object holds; 0 for all others.
 * Context: any, never blocks.
 */
WF_API size_t wf_json_count(const struct wf_json_value *value);

/*
 * The value at `index` of an array or object, in the order of the text, at constant cost; NULL
 * behind the last, and for all other types.
 * Context: any, never blocks.
 */
WF_API const struct wf_json_value *wf_json_at(const struct wf_json_value *value, size_t index);

/*
 * The member of an object with this key, the last one if there are several; NULL if there is none
 * or `value` is no object. Looks through the members one by one.
 * Context: any, never blocks.
 */
WF_API const struct wf_json_value *wf_json_get(const struct wf_json_value *value, const char *key);

/*
 * The key of a value that is a member of an object, NUL-terminated; NULL for any other value.
 *
 * ret_len   receives its length, which counts NULs inside; may be NULL.
 * Context: any, never blocks.
 */
WF_API const char *wf_json_key(const struct wf_json_value *value, size_t *ret_len);

/*
 * The text of a string, or of a number as it was written; NUL-terminated. NULL for other types.
 *
 * ret_len   receives its length, which counts NULs inside; may be NULL.
 * Context: any, never blocks.
 */
WF_API const char *wf_json_text(const struct wf_json_value *value, size_t *ret_len);

/*
 * The value of true or false. Returns 0, or
 *   -EINVAL   it is neither
 * Context: any, never blocks.
 */
WF_API int wf_json_bool(const struct wf_json_value *value, bool *ret);

/*
 * The value of an integer. Returns 0, or
 *   -EINVAL   it is no integer
 *   -ERANGE   it has no room in 64 bits; wf_json_text has its digits
 * Context: any, never blocks.
 */
WF_API int wf_json_int(const struct wf_json_value *value, int64_t *ret);

/*
 * The value of any number as a double, rounded to the nearest; infinite if it is too large. Returns
 * 0, or
 *   -EINVAL   it is no number
 * Context: any, never blocks.
 */
WF_API int wf_json_double(const struct wf_json_value *value, double *ret);

WF_END_DECLS

#endif
