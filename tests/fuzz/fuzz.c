/* fuzz.c: running one input: its files, the count of memory, failing allocations. */
#include "tests/fuzz/fuzz.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool allocations_fail;

_Noreturn void fuzz_die(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not true: %s; last sentence: %s\n", file, line, what, pl_error());
    abort();
}

bool fuzz_refused(pl_status code)
{
    if (code == PL_OK) return false;
    fuzz_check(pl_error()[0]);
    fuzz_check(code == PL_E_INPUT || code == PL_E_WISH || (allocations_fail && code == PL_E_MEMORY));
    return true;
}

bool fuzz_succeeded(pl_status code, const char *file, int line)
{
    if (code == PL_OK) return true;
    if (!allocations_fail) fuzz_die(file, line, "this call succeeds");
    return false;
}

/* ---- files ---- */

static char home[64];

static void leave_home(void)
{
    if (rmdir(home)) fprintf(stderr, "'%s' could not be removed\n", home);
}

const char *fuzz_folder_path(void)
{
    if (home[0]) return home;
    const char *base = getenv("PLANISH_FUZZ_TMP");
    if (!base) base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(home, sizeof home, "%s/planish-fuzz-XXXXXX", base);
    fuzz_check(mkdtemp(home) != NULL);
    atexit(leave_home);
    return home;
}

const char *fuzz_path(const char *name)
{
    static char path[4][640];
    static int next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", fuzz_folder_path(), name);
    return to;
}

/* Names of the files that the input under way has. */
static char written[8][64];
static int files_written;

const char *fuzz_file(const char *name, const fuzz_part *part)
{
    const char *path = fuzz_path(name);
    if (!part) return path;
    FILE *file = fopen(path, "wb");
    fuzz_check(file && fwrite(part->data, 1, part->len, file) == part->len && fclose(file) == 0);
    snprintf(written[files_written++ % 8], sizeof written[0], "%s", name);
    return path;
}

/* ---- memory ---- */

/* Of the sanitizers' allocator, where it is linked. */
int __sanitizer_install_malloc_and_free_hooks(void (*taken)(const volatile void *, size_t),
                                              void (*freed)(const volatile void *))
    __attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *p) __attribute__((weak));

static atomic_llong held, most;

static void on_taken(const volatile void *p, size_t size)
{
    long long now = atomic_fetch_add(&held, (long long)size) + (long long)size;
    if (now > atomic_load(&most)) atomic_store(&most, now);
}

static void on_freed(const volatile void *p)
{
    if (p) atomic_fetch_sub(&held, (long long)__sanitizer_get_allocated_size(p));
}

static void count_memory(void)
{
    static bool done;
    if (!done && __sanitizer_install_malloc_and_free_hooks)
        __sanitizer_install_malloc_and_free_hooks(on_taken, on_freed);
    done = true;
}

/* ---- one input ---- */

int fuzz_split_parts(const uint8_t *data, size_t len, fuzz_part part[FUZZ_PARTS])
{
    size_t cut = sizeof FUZZ_CUT - 1;
    const uint8_t *end = data + len;
    int parts = 0;
    while (parts < FUZZ_PARTS) {
        const uint8_t *at = memmem(data, (size_t)(end - data), FUZZ_CUT, cut);
        if (parts == FUZZ_PARTS - 1) at = NULL;
        part[parts++] = (fuzz_part){ data, (size_t)((at ? at : end) - data) };
        if (!at) break;
        data = at + cut;
    }
    return parts;
}

void fuzz_run(const fuzz_target *target, const uint8_t *data, size_t len)
{
    static const uint8_t none[1];
    fuzz_part part[FUZZ_PARTS];
    int parts = fuzz_split_parts(len ? data : none, len, part);
    count_memory();
    fuzz_folder_path();
    files_written = 0;
    pl_fail(PL_OK, "%s", "");
    long long before = atomic_load(&held);
    atomic_store(&most, before);
    target->run(part, parts);
    if (atomic_load(&most) - before > (long long)len + FUZZ_SPARE) {
        fprintf(stderr, "%zu bytes of input made the heap grow by %lld bytes\n", len,
                atomic_load(&most) - before);
        abort();
    }
    for (int i = 0; i < files_written && i < 8; i++) unlink(fuzz_path(written[i]));
}

static void run_without_memory(const fuzz_part *part, int parts)
{
    size_t len = 0;
    if (part[0].len < 3) return;
    const uint8_t *head = part[0].data, *data = head + 3;
    const fuzz_target *target = fuzz_targets[head[2] % 10];
    for (int i = 0; i < parts; i++) len = (size_t)(part[i].data + part[i].len - data);
    fuzz_part rest[FUZZ_PARTS];
    int count = fuzz_split_parts(data, len, rest);
    allocations_fail = true;
    pl_mem_fail_after(head[0] | head[1] << 8);
    target->run(rest, count);
    pl_mem_fail_after(-1);
    allocations_fail = false;
}

static const fuzz_target fuzz_memory = { "memory", "t", run_without_memory };

const fuzz_target *const fuzz_targets[] = {
    &fuzz_json, &fuzz_recipe, &fuzz_safetensors, &fuzz_index, &fuzz_config, &fuzz_tokenizer,
    &fuzz_sp_model, &fuzz_gguf, &fuzz_split, &fuzz_folder, &fuzz_imatrix, &fuzz_layout, &fuzz_pack, &fuzz_memory, NULL
};

const fuzz_target *fuzz_find(const char *name)
{
    for (int i = 0; fuzz_targets[i]; i++)
        if (!strcmp(fuzz_targets[i]->name, name)) return fuzz_targets[i];
    return NULL;
}
