/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer where a fuzzer runs as a test: each input of the corpus as it is, every
 * start of it, and a fixed number of inputs made of the corpus by cutting, doubling and spoiling
 * bytes. The bytes end where memory that cannot be touched begins, so reading on is a crash in any
 * build. What it makes follows from WEFT_SEED; the one in force is printed.
 *
 *     json_fuzz CORPUS-FOLDER [FILE]...       the files alone, where there are any
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    INPUT_BYTES_MAX = 1 << 16,
    INPUT_COUNT_MAX = 512,
    STARTS_MAX = 512,
    MADE_COUNT = 20000,
};

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input inputs[INPUT_COUNT_MAX];
static size_t input_count;
static uint8_t *guard; /* the first byte after the room for an input */
static uint64_t random_state;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t below(size_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return n ? (size_t)(random_state % n) : 0;
}

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    if (!file || !bytes)
        die(path);
    size_t len = fread(bytes, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    if (input_count < INPUT_COUNT_MAX)
        inputs[input_count++] = (struct input){bytes, len};
    else
        free(bytes);
}

static int by_content(const void *a, const void *b)
{
    const struct input *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Sorted, so that a seed means the same on every file system. */
static void load_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        die(path);
    struct dirent *entry;
    char name[4096];
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            load(name);
        }
    closedir(folder);
    qsort(inputs, input_count, sizeof inputs[0], by_content);
}

static void run(const uint8_t *bytes, size_t len)
{
    memmove(guard - len, bytes, len);
    LLVMFuzzerTestOneInput(guard - len, len);
}

/* One input out of one or two of the corpus. Returns its length. */
static size_t make(uint8_t *out)
{
    const struct input *a = &inputs[below(input_count)], *b = &inputs[below(input_count)];
    size_t head = below(a->len + 1), from = below(b->len + 1);
    size_t tail = b->len - from < INPUT_BYTES_MAX - head ? b->len - from : INPUT_BYTES_MAX - head;
    memcpy(out, a->bytes, head);
    memcpy(out + head, b->bytes + from, tail);
    size_t len = head + tail;
    for (size_t n = below(5); len > 0 && n > 0; n--) {
        size_t at = below(len);
        switch (below(3)) {
        case 0:
            out[at] = (uint8_t)below(256);
            break;
        case 1:
            out[at] ^= (uint8_t)(1u << below(8));
            break;
        default: /* a byte that means something in such inputs */
            out[at] = a->bytes[below(a->len ? a->len : 1)];
        }
    }
    return len;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("WEFT_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) | 1 : 20240229;
    printf("WEFT_SEED=%" PRIu64 "\n", random_state);
    fflush(stdout);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, INPUT_BYTES_MAX + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + INPUT_BYTES_MAX, page, PROT_NONE) != 0)
        die("guard page");
    guard = map + INPUT_BYTES_MAX;

    if (argc == 2)
        load_folder(argv[1]);
    for (int i = 2; i < argc; i++)
        load(argv[i]);
    if (input_count == 0) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER [FILE]...\n", argv[0]);
        return 2;
    }
    uint8_t *made = malloc(INPUT_BYTES_MAX);
    if (!made)
        die("memory");
    size_t runs = 0;
    for (size_t i = 0; i < input_count; i++) {
        run(inputs[i].bytes, inputs[i].len);
        for (size_t len = 0; len < inputs[i].len && len < STARTS_MAX; len++, runs++)
            run(inputs[i].bytes, len);
        runs++;
    }
    for (int i = 0; argc == 2 && i < MADE_COUNT; i++, runs++)
        run(made, make(made));
    free(made);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].bytes);
    printf("%zu inputs\n[  PASSED  ] 1 test(s).\n", runs);
    return 0;
}
