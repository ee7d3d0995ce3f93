/* target_pack.c: packs whose digests are right, as nothing behind them would be reached else: index and table say what they
 * like. The parts: the text of the index, the table of frames, what lies between head and index. */
#include <string.h>

#include "formats/pack.h"
#include "formats/registry.h"
#include "tests/fuzz/fuzz.h"

enum { EXPANDED = 8 << 20 };        /* bytes of content under a map */

static uint64_t number(const uint8_t *from, int bytes)
{
    uint64_t value = 0;
    while (bytes--) value = value << 8 | from[bytes];
    return value;
}

/* Digests of the frames that lie inside. Returns the bytes of all contents. */
static uint64_t settle(uint8_t *table, int64_t frames, const uint8_t *file, int64_t end)
{
    uint64_t content = 0;
    for (uint8_t *entry = table; frames--; entry += PL_PACK_ENTRY) {
        uint64_t at = number(entry, 8);
        pl_pack_frame f = { .stored = (uint32_t)number(entry + 8, 4) };
        content += number(entry + 12, 4);
        if (at > (uint64_t)end || f.stored > (uint64_t)end - at || !fuzz_must(pl_pack_know(&f, file + at))) continue;
        for (int i = 0; i < 8; i++) entry[24 + i] = (uint8_t)(f.check >> 8 * i);
        memcpy(entry + 32, f.sha.byte, sizeof f.sha);
    }
    return content;
}

static void open_and_use(const char *path, pl_open_how how)
{
    static const pl_source_ops *const formats[] = { &pl_source_pack, NULL };
    pl_source *s;
    pl_arena *scratch;
    if (fuzz_refused(pl_source_open(formats, path, &(pl_open_options){ .how = how }, &s))) return;
    if (fuzz_must(pl_arena_create(&scratch))) {
        fuzz_refused(s->ops->verify(s, scratch));
        pl_arena_destroy(scratch);
    }
    fuzz_use_model(s);
}

static void run_pack(const fuzz_part *part, int parts)
{
    if (parts < 3) return;
    pl_pack pack = { .index_bytes = (int64_t)part[0].len, .frames = (int64_t)part[1].len / PL_PACK_ENTRY };
    int64_t end = PL_PACK_PAGE + (int64_t)part[2].len;
    pack.index_at = (end + PL_PACK_PAGE - 1) / PL_PACK_PAGE * PL_PACK_PAGE;
    pack.table_at = (pack.index_at + pack.index_bytes + PL_PACK_ALIGN - 1) / PL_PACK_ALIGN * PL_PACK_ALIGN;
    pack.size = pack.table_at + pack.frames * PL_PACK_ENTRY + PL_PACK_TAIL;
    uint8_t *file = pl_alloc(pack.size, 1);
    if (!file) return;
    pl_pack_put_head(file);
    memcpy(file + PL_PACK_PAGE, part[2].data, part[2].len);
    memcpy(file + pack.index_at, part[0].data, part[0].len);
    memcpy(file + pack.table_at, part[1].data, (size_t)pack.frames * PL_PACK_ENTRY);
    uint64_t content = settle(file + pack.table_at, pack.frames, file, end);
    if (fuzz_must(pl_pack_put_tail(&pack, (char *)file + pack.index_at, file + pack.table_at,
                                   file + pack.size - PL_PACK_TAIL))) {
        const char *path = fuzz_file("model.pl", &(fuzz_part){ file, (size_t)pack.size });
        open_and_use(path, part[0].len % 16 == 1 && content < EXPANDED ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
    }
    pl_free(file);
}

const fuzz_target fuzz_pack = { "pack", "jt", run_pack };
