/* SPDX-License-Identifier: MIT */
/*
 * What the texts show of subprocess: files are unzipped and a sound is played by the computer's own
 * programs. Ten archives are made, then unzipped at once, by fibers that wait for one program each;
 * what comes out is compared with what went in.
 *
 *     subprocess_files
 *
 * Everything happens in a folder made for it below the current one, which is removed at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/child.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/task.h>

enum { ARCHIVES = 10, LINES = 100, ARGUMENTS = 8, SAMPLES_A_SECOND = 8000 };

/* Programs that do the same job; the first that is installed does it. "@" is the name of a file. */
struct tool {
    const char *name;
    const char *argv[ARGUMENTS];
};

static const struct tool zippers[] = {
    {"zip", {"zip", "-q", "@.zip", "@.txt"}},
    {"python3 -m zipfile", {"python3", "-m", "zipfile", "-c", "@.zip", "@.txt"}},
    {"bsdtar", {"bsdtar", "-c", "-f", "@.zip", "--format", "zip", "@.txt"}},
};
static const struct tool unzippers[] = {
    {"unzip", {"unzip", "-q", "-o", "@.zip", "-d", "out"}},
    {"python3 -m zipfile", {"python3", "-m", "zipfile", "-e", "@.zip", "out"}},
    {"bsdtar", {"bsdtar", "-x", "-f", "@.zip", "-C", "out"}},
};
/* The one that desktops call by default, and what plays without a desktop. */
static const struct tool players[] = {
    {"pw-play", {"pw-play", "sound.wav"}},
    {"paplay", {"paplay", "sound.wav"}},
    {"aplay", {"aplay", "-q", "sound.wav"}},
    {"ffplay", {"ffplay", "-v", "error", "-nodisp", "-autoexit", "sound.wav"}},
    {"xdg-open", {"xdg-open", "sound.wav"}},
};
#define COUNT(tools) (sizeof(tools) / sizeof *(tools))

static char folder[] = "subprocess_files.XXXXXX";

static int run(const char *const *argv, const char *cwd, wf_deadline deadline,
               struct wf_error *reterr)
{
    struct wf_run_options options = {.child = {.argv = argv, .cwd = cwd}, .check = true};
    struct wf_run_result result;
    int err = wf_run(&options, &result, deadline, reterr);
    wf_run_result_fini(&result);
    return err;
}

/* Has the tool do its job on one file. */
static int use(const struct tool *tool, const char *file, wf_deadline deadline,
               struct wf_error *reterr)
{
    char names[ARGUMENTS][64];
    const char *argv[ARGUMENTS + 1] = {NULL};
    for (int i = 0; i < ARGUMENTS && tool->argv[i]; i++) {
        argv[i] = tool->argv[i];
        if (*argv[i] == '@') {
            snprintf(names[i], sizeof names[i], "%s%s", file, argv[i] + 1);
            argv[i] = names[i];
        }
    }
    return run(argv, folder, deadline, reterr);
}

static bool is_installed(const struct tool *tool)
{
    const char *const argv[] = {"sh", "-c", "command -v \"$0\"", tool->argv[0], NULL};
    return run(argv, NULL, WF_FOREVER, NULL) == 0;
}

static const struct tool *find_tool(const struct tool *tools, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_installed(&tools[i]))
            return &tools[i];
    return NULL;
}

/* What is in file `number`: a song of its own. */
static size_t write_song(FILE *f, int number)
{
    size_t bytes = 0;
    for (int line = 1; line <= LINES; line++)
        bytes += (size_t)fprintf(f, "song %d, line %d\n", number, line);
    return bytes;
}

static FILE *open_file(const char *name, const char *mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, mode);
}

/* Bytes of the file if it is the song, else -EBADMSG. */
static int compare_song(const char *name, int number)
{
    char *text = NULL, line[64];
    size_t bytes = 0;
    FILE *f = open_file(name, "r"), *expected = open_memstream(&text, &bytes);
    if (!f || !expected)
        return -errno;
    write_song(expected, number);
    fclose(expected);
    size_t at = 0;
    int good = 1;
    while (good && fgets(line, sizeof line, f)) {
        size_t len = strlen(line);
        good = at + len <= bytes && memcmp(text + at, line, len) == 0;
        at += len;
    }
    fclose(f);
    free(text);
    return good && at == bytes ? (int)bytes : -EBADMSG;
}

WF_TASK(int, zip, (struct tool *, tool), (int, number))
WF_TASK(int, unzip, (struct tool *, tool), (int, number))

/* Writes a song and packs it; gives its size. */
int zip(struct wf_task *self, struct tool *tool, int number, int *ret)
{
    char name[32], file[40];
    snprintf(name, sizeof name, "song-%02d", number);
    snprintf(file, sizeof file, "%s.txt", name);
    FILE *f = open_file(file, "w");
    if (!f)
        return wf_task_fail(self, -errno, "%s: %s", file, wf_strerror(-errno));
    *ret = (int)write_song(f, number);
    if (fclose(f) != 0)
        return wf_task_fail(self, -errno, "%s: %s", file, wf_strerror(-errno));
    struct wf_error error;
    int err = use(tool, name, wf_after(WF_SECONDS(60)), &error);
    return err ? wf_task_fail(self, err, "%s", error.text) : 0;
}
WF_TASK_DEFINE(zip)

/* Unpacks an archive and compares; gives the size of what came out. */
int unzip(struct wf_task *self, struct tool *tool, int number, int *ret)
{
    char name[32], file[40];
    struct wf_error error;
    snprintf(name, sizeof name, "song-%02d", number);
    int err = use(tool, name, wf_after(WF_SECONDS(60)), &error);
    if (err)
        return wf_task_fail(self, err, "%s", error.text);
    snprintf(file, sizeof file, "out/%s.txt", name);
    *ret = compare_song(file, number);
    return *ret < 0 ? wf_task_fail(self, *ret, "%s is not what was packed", file) : 0;
}
WF_TASK_DEFINE(unzip)

static int zip_all(struct wf_executor *on, struct tool *tool)
{
    zip_future futures[ARCHIVES];
    struct wf_error error;
    int failed = 0, bytes;
    for (int i = 0; i < ARCHIVES; i++)
        futures[i] = zip_submit(on, tool, i + 1);
    for (int i = 0; i < ARCHIVES; i++)
        if (zip_result(&futures[i], &bytes, WF_FOREVER, &error) && ++failed)
            fprintf(stderr, "song-%02d.zip: %s\n", i + 1, error.text);
    printf("made %d archives by %s\n", ARCHIVES - failed, tool->name);
    return failed;
}

static int unzip_all(struct wf_executor *on, struct tool *tool)
{
    unzip_future futures[ARCHIVES];
    struct wf_error error;
    int failed = 0, bytes;
    int64_t start_ns = wf_now();
    for (int i = 0; i < ARCHIVES; i++)
        futures[i] = unzip_submit(on, tool, i + 1);
    for (int i = 0; i < ARCHIVES; i++)
        if (unzip_result(&futures[i], &bytes, WF_FOREVER, &error) && ++failed)
            fprintf(stderr, "song-%02d.zip: %s\n", i + 1, error.text);
        else
            printf("song-%02d.zip: song-%02d.txt, %d bytes, as before\n", i + 1, i + 1, bytes);
    printf("unzipped %d archives at once in %.3f seconds, by %s\n", ARCHIVES - failed,
           (double)(wf_now() - start_ns) / 1e9, tool->name);
    return failed;
}

static void put_number(FILE *f, uint32_t number, int bytes)
{
    for (; bytes > 0; bytes--, number >>= 8)
        putc((int)(number & 0xff), f);
}

/* A fifth of a second of the tone A, as triangles. */
static int write_sound(void)
{
    FILE *f = open_file("sound.wav", "w");
    uint32_t samples = SAMPLES_A_SECOND / 5;
    if (!f)
        return -errno;
    fputs("RIFF", f);
    put_number(f, 36 + samples, 4);
    fputs("WAVEfmt ", f);
    put_number(f, 16, 4);
    put_number(f, 1, 2); /* plain samples, of one channel */
    put_number(f, 1, 2);
    put_number(f, SAMPLES_A_SECOND, 4);
    put_number(f, SAMPLES_A_SECOND, 4);
    put_number(f, 1, 2); /* of a byte each */
    put_number(f, 8, 2);
    fputs("data", f);
    put_number(f, samples, 4);
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t phase = i * 440 % SAMPLES_A_SECOND * 128 / SAMPLES_A_SECOND; /* 0 to 127 */
        put_number(f, 96 + (phase < 64 ? phase : 127 - phase), 1);
    }
    return fclose(f) == 0 ? 0 : -errno;
}

/* Plays it where there is something to play it by, and says so where there is not. */
static void play_sound(void)
{
    struct wf_error error;
    const struct tool *player = find_tool(players, COUNT(players));
    int err = write_sound();
    if (err)
        printf("sound: none, the file: %s\n", wf_strerror(err));
    else if (!player)
        puts("sound: none, no player is installed (pw-play, paplay, aplay, ffplay, xdg-open)");
    else if (use(player, "sound", wf_after(WF_SECONDS(10)), &error))
        printf("sound: none, %s\n", error.text);
    else
        printf("sound: played by %s\n", player->name);
}

int main(void)
{
    struct wf_error error;
    struct wf_executor *on = NULL;
    const struct tool *zipper = find_tool(zippers, COUNT(zippers));
    const struct tool *unzipper = find_tool(unzippers, COUNT(unzippers));
    if (!zipper || !unzipper) {
        fprintf(stderr, "subprocess_files: needs one of zip, python3, bsdtar, and one of unzip, "
                        "python3, bsdtar\n");
        return 1;
    }
    if (!mkdtemp(folder)) {
        fprintf(stderr, "subprocess_files: %s: %s\n", folder, wf_strerror(-errno));
        return 1;
    }
    const char *const make_out[] = {"mkdir", "out", NULL}, *const clean[] = {"rm", "-r", folder,
                                                                             NULL};
    int failed = 1;
    int err = run(make_out, folder, WF_FOREVER, &error);
    if (!err)
        err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on, &error);
    if (!err)
        failed = zip_all(on, (struct tool *)zipper) || unzip_all(on, (struct tool *)unzipper);
    if (!err)
        play_sound();
    wf_executor_destroy(on);
    if (!err)
        err = run(clean, NULL, WF_FOREVER, &error);
    if (err)
        fprintf(stderr, "subprocess_files: %s\n", error.text);
    return err || failed;
}
