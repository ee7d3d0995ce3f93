/* seeds.c: the smallest checkpoint that a config.json asks for: seeds FOLDER writes model.safetensors
 * beside the config.json there, from the architecture's own table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/half.h"
#include "core/json.h"
#include "core/rng.h"
#include "formats/arch.h"

enum { MOST = 1 << 18 };

typedef struct writer { char header[MOST]; uint8_t data[MOST]; size_t header_len, len; } writer;

static _Noreturn void stop(const char *why)
{
    fprintf(stderr, "seeds: %s\n", why);
    exit(1);
}

static void add(writer *w, const char *name, const pl_arch_tensor *row, const pl_hparams *hp)
{
    int64_t rows = row->rows(hp), cols = row->cols(hp), first = rows, second = cols;
    if (row->transposed) first = cols, second = rows;
    size_t bytes = (size_t)(rows * cols * 2);
    if (w->len + bytes > MOST || w->header_len + 512 > MOST) stop("the checkpoint would be too large");
    w->header_len += (size_t)snprintf(w->header + w->header_len, 512, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld",
                                      w->header_len ? "," : "{", name, (long long)first);
    if (cols > 1)
        w->header_len += (size_t)snprintf(w->header + w->header_len, 32, ",%lld", (long long)second);
    w->header_len += (size_t)snprintf(w->header + w->header_len, 64, "],\"data_offsets\":[%zu,%zu]}", w->len,
                                      w->len + bytes);
    for (size_t i = 0; i < bytes; i += 2) {
        uint16_t value = pl_f32_to_bf16((float)(pl_rng_bits(7, w->len, i) % 64) / 32.0f - 1.0f);
        memcpy(w->data + w->len + i, &value, 2);
    }
    w->len += bytes;
}

static void add_row(writer *w, const pl_arch *arch, const pl_arch_tensor *row, const pl_hparams *hp, pl_arena *arena)
{
    bool layered = strstr(row->hf, "%d") != NULL;
    int layers = layered ? hp->layers : 1, experts = pl_arch_per_expert(row) ? hp->experts : 1;
    for (int layer = 0; layer < layers; layer++)
        for (int expert = 0; expert < experts; expert++) {
            pl_id id = pl_id_make(row->role, layered ? layer : -1, pl_arch_per_expert(row) ? expert : -1);
            if (pl_arch_row_of(arch, id) != row) continue;         /* another spelling */
            const char *name = pl_arch_name(arch, PL_NAMES_HF, id, arena);
            if (name) add(w, name, row, hp);
        }
}

int main(int argc, char **argv)
{
    static writer w;
    static pl_hparams hp;
    char path[PATH_MAX];
    pl_json *config;
    pl_arena *arena;
    if (argc != 2) stop("usage: seeds FOLDER");
    snprintf(path, sizeof path, "%s/config.json", argv[1]);
    if (pl_arena_create(&arena) != PL_OK || pl_json_load(path, &config) != PL_OK) stop(pl_error());
    const char *name = pl_json_text(pl_json_first(pl_json_get(config, "architectures")));
    const pl_arch *arch = name ? pl_arch_find_hf(name) : NULL;
    if (!arch) stop("an architecture that is not known");
    if (arch->config(config, path, &hp) != PL_OK) stop(pl_error());
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (row->role < 0 || !row->hf || !row->required || (row->when && !row->when(&hp))) continue;
        if (row->role != PL_OUTPUT || !hp.tied) add_row(&w, arch, row, &hp, arena);
    }
    w.header[w.header_len++] = '}';
    snprintf(path, sizeof path, "%s/model.safetensors", argv[1]);
    FILE *file = fopen(path, "wb");
    uint64_t len = w.header_len;
    if (!file || fwrite(&len, 8, 1, file) != 1 || fwrite(w.header, w.header_len, 1, file) != 1 ||
        fwrite(w.data, w.len, 1, file) != 1 || fclose(file))
        stop("cannot write");
    pl_json_free(config);
    pl_arena_destroy(arena);
    return 0;
}
