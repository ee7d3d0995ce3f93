/* pack_frames.c: frames of a pack: their table, their digests, reading them. */
#include <string.h>

#include "core/hash.h"
#include "core/zst.h"
#include "formats/pack.h"

const uint8_t pl_pack_magic[8] = { 0x89, 'p', 'l', '\r', '\n', 0x1a, '\n', 0 };
const uint8_t pl_pack_tail_magic[8] = "plindex";
const uint8_t pl_pack_share_magic[8] = "plshare";       /* of a share, which has no digests */

/* ---- numbers ---- */

static void put(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t take(const uint8_t *from, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

/* ---- head, tail and table ---- */

void pl_pack_put_head(uint8_t head[PL_PACK_HEAD])
{
    memset(head, 0, PL_PACK_HEAD);
    memcpy(head, pl_pack_magic, 8);
    put(head + 8, PL_PACK_VERSION, 4);
}

bool pl_pack_take_tail(const uint8_t tail[PL_PACK_TAIL], int64_t size, pl_pack *pack)
{
    uint64_t at = take(tail + 8, 8), bytes = take(tail + 16, 8), table = take(tail + 24, 8);
    uint64_t frames = take(tail + 32, 8), end = (uint64_t)size - PL_PACK_TAIL;
    if (size < PL_PACK_PAGE + PL_PACK_TAIL || take(tail + 40, 8) != (uint64_t)size || at < PL_PACK_PAGE ||
        at % PL_PACK_PAGE || at >= end || bytes > PL_MAX_JSON_BYTES || frames > PL_PACK_MAX_FRAMES ||
        table != (at + bytes + PL_PACK_ALIGN - 1) / PL_PACK_ALIGN * PL_PACK_ALIGN ||
        table + frames * PL_PACK_ENTRY != end)
        return false;
    pack->index_at = (int64_t)at;
    pack->index_bytes = (int64_t)bytes;
    pack->table_at = (int64_t)table;
    pack->frames = (int64_t)frames;
    pack->size = size;
    memcpy(pack->sha.byte, tail + PL_PACK_TAIL - 32, 32);
    return true;
}

pl_status pl_pack_put_tail(pl_pack *pack, const char *index, const uint8_t *table, uint8_t tail[PL_PACK_TAIL])
{
    static const uint8_t zeros[PL_PACK_ALIGN];
    uint8_t head[PL_PACK_HEAD];
    uint64_t numbers[] = { (uint64_t)pack->index_at, (uint64_t)pack->index_bytes, (uint64_t)pack->table_at,
                           (uint64_t)pack->frames, (uint64_t)pack->size };
    memset(tail, 0, PL_PACK_TAIL);
    memcpy(tail, pl_pack_tail_magic, 8);
    for (int i = 0; i < PL_COUNT(numbers); i++) put(tail + 8 + 8 * i, numbers[i], 8);
    pl_sha *sha;
    PL_TRY(pl_sha_create(&sha));
    pl_pack_put_head(head);
    pl_sha_update(sha, head, sizeof head);
    pl_sha_update(sha, index, (size_t)pack->index_bytes);
    pl_sha_update(sha, zeros, (size_t)(pack->table_at - pack->index_at - pack->index_bytes));
    pl_sha_update(sha, table, (size_t)pack->frames * PL_PACK_ENTRY);
    pl_sha_update(sha, tail, PL_PACK_TAIL - 32);
    pl_status code = pl_sha_finish(sha, &pack->sha);
    pl_sha_destroy(sha);
    memcpy(tail + PL_PACK_TAIL - 32, pack->sha.byte, 32);
    return code;
}

void pl_pack_put_table(const pl_pack_frame *frame, int64_t frames, uint8_t *out)
{
    for (int64_t i = 0; i < frames; i++, frame++, out += PL_PACK_ENTRY) {
        put(out, (uint64_t)frame->at, 8);
        put(out + 8, frame->stored, 4);
        put(out + 12, frame->content, 4);
        put(out + 16, frame->zstd, 4);
        put(out + 20, 0, 4);
        put(out + 24, frame->check, 8);
        memcpy(out + 32, frame->sha.byte, 32);
    }
}

pl_status pl_pack_take_table(const uint8_t *bytes, const char *path, pl_pack *pack)
{
    int64_t end = PL_PACK_PAGE;
    for (int64_t i = 0; i < pack->frames; i++, bytes += PL_PACK_ENTRY) {
        pl_pack_frame *f = &pack->frame[i];
        uint64_t at = take(bytes, 8), kind = take(bytes + 16, 8);
        *f = (pl_pack_frame){ .at = (int64_t)at, .stored = (uint32_t)take(bytes + 8, 4),
                              .content = (uint32_t)take(bytes + 12, 4), .zstd = kind == 1, .known = true,
                              .check = take(bytes + 24, 8) };
        memcpy(f->sha.byte, bytes + 32, 32);
        bool sizes = f->stored && f->content && f->content <= PL_PACK_FRAME &&
                     (f->zstd ? pack->zstd && f->stored < f->content : f->stored == f->content);
        if (kind > 1 || !sizes || at < (uint64_t)end || at > (uint64_t)pack->index_at ||
            f->stored > (uint64_t)pack->index_at - at)
            return pl_fail(PL_E_INPUT, "%s: frame %lld (kind %llu, %u bytes at %llu for %u) cannot be", path,
                           (long long)i, (unsigned long long)kind, f->stored, (unsigned long long)at, f->content);
        end = f->at + f->stored;
    }
    return PL_OK;
}

/* ---- content ---- */

pl_status pl_pack_know(pl_pack_frame *frame, const void *stored)
{
    frame->check = pl_hash_64(stored, frame->stored);
    PL_TRY(pl_sha_bytes(stored, frame->stored, &frame->sha));
    frame->known = true;
    return PL_OK;
}

const char *pl_pack_segment_of(const pl_pack *pack, int64_t frame)
{
    int low = 0, high = pack->segments;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (pack->segment[middle].first <= frame) low = middle;
        else high = middle;
    }
    return pack->segments ? pack->segment[low].name : "?";
}

bool pl_pack_plain(const pl_pack *pack, const pl_pack_blob *blob, int64_t *at)
{
    int64_t n = pl_pack_frames_of(blob);
    *at = n ? pack->frame[blob->first].at : 0;
    for (int64_t i = 0; i < n; i++) {
        const pl_pack_frame *f = &pack->frame[blob->first + i];
        if (f->zstd || f->at != *at + i * blob->frame) return false;
    }
    return true;
}

static pl_status damaged(const pl_pack *pack, const pl_file *file, int64_t frame, const char *how)
{
    const pl_pack_frame *f = &pack->frame[frame];
    return pl_fail(PL_E_INPUT, "%s: segment '%s' is damaged: %s of the %u bytes from byte %lld on", pl_file_path(file),
                   pl_pack_segment_of(pack, frame), how, f->stored, (long long)f->at);
}

pl_status pl_pack_check(const pl_pack *pack, const pl_file *file, int64_t frame, bool sha, const void *stored)
{
    const pl_pack_frame *f = &pack->frame[frame];
    if (pl_hash_64(stored, f->stored) != f->check) return damaged(pack, file, frame, "another XXH3");
    if (!sha) return PL_OK;
    pl_sha256 found;
    PL_TRY(pl_sha_bytes(stored, f->stored, &found));
    return memcmp(&found, &f->sha, sizeof found) ? damaged(pack, file, frame, "another SHA-256") : PL_OK;
}

pl_status pl_pack_expand(const pl_pack *pack, const pl_file *file, int64_t frame, const void *stored, void *out)
{
    const pl_pack_frame *f = &pack->frame[frame];
    if (!f->zstd && out != stored) memcpy(out, stored, f->content);
    pl_status code = f->zstd ? pl_zstd_unpack(stored, f->stored, out, f->content) : PL_OK;
    return code == PL_E_INPUT ? damaged(pack, file, frame, "no zstd frame in place") : code;
}

/* The same without a layout. */
static pl_status take_frames(const pl_pack *pack, const pl_file *file, const pl_pack_blob *blob, const uint8_t *stored,
                             uint8_t *out)
{
    for (int64_t i = 0; i < pl_pack_frames_of(blob); i++) {
        const uint8_t *from = stored + (pack->frame[blob->first + i].at - pack->frame[blob->first].at);
        PL_TRY(pl_pack_expand(pack, file, blob->first + i, from, out + i * blob->frame));
    }
    return PL_OK;
}

pl_status pl_pack_take(const pl_pack *pack, const pl_file *file, const pl_pack_blob *blob,
                       const pl_arrangement *layout, const uint8_t *stored, uint8_t *out)
{
    int64_t at;
    if (!layout) return take_frames(pack, file, blob, stored, out);
    if (pl_pack_plain(pack, blob, &at)) return pl_arrangement_restore(layout, stored, out);
    uint8_t *content = pl_alloc_aligned(blob->bytes, 1);
    pl_status code = content ? take_frames(pack, file, blob, stored, content) : PL_E_MEMORY;
    if (code == PL_OK) code = pl_arrangement_restore(layout, content, out);
    pl_free(content);
    return code;
}

pl_status pl_pack_read_stored(const pl_pack *pack, pl_file *file, int64_t frame, bool sha, void *out)
{
    PL_TRY(pl_file_read(file, pack->frame[frame].at, out, pack->frame[frame].stored));
    return pl_pack_check(pack, file, frame, sha, out);
}

/* Bytes from .. to-1, which belong to nothing. */
static pl_status check_gap(const pl_pack *pack, pl_file *file, int64_t from, int64_t to, int64_t frame, uint8_t *bytes)
{
    while (from < to) {
        int64_t n = pl_min64(to - from, PL_PACK_FRAME);
        PL_TRY(pl_file_read(file, from, bytes, (size_t)n));
        for (int64_t i = 0; i < n; i++)
            if (bytes[i])
                return pl_fail(PL_E_INPUT, "%s: segment '%s' is damaged: byte %lld is %d, should be 0",
                               pl_file_path(file), frame < 0 ? "file head" : pl_pack_segment_of(pack, frame),
                               (long long)(from + i), bytes[i]);
        from += n;
    }
    return PL_OK;
}

pl_status pl_pack_verify(const pl_pack *pack, pl_file *file, pl_arena *scratch)
{
    int64_t end = PL_PACK_HEAD;
    pl_arena_mark mark = pl_arena_save(scratch);
    uint8_t *bytes = pl_arena_alloc(scratch, PL_PACK_FRAME, 1);
    pl_status code = bytes ? PL_OK : PL_E_MEMORY;
    for (int64_t i = 0; i <= pack->frames && code == PL_OK; i++) {
        int64_t at = i < pack->frames ? pack->frame[i].at : pack->index_at;
        code = check_gap(pack, file, end, at, i - 1, bytes);
        if (code == PL_OK && i < pack->frames) code = pl_pack_read_stored(pack, file, i, true, bytes);
        if (i < pack->frames) end = at + pack->frame[i].stored;
    }
    pl_arena_restore(scratch, mark);
    return code;
}

/* The content of one frame. out: [frame->content]. */
static pl_status read_frame(const pl_pack *pack, pl_file *file, int64_t frame, void *out, pl_arena *scratch)
{
    const pl_pack_frame *f = &pack->frame[frame];
    if (!f->zstd) return pl_pack_read_stored(pack, file, frame, false, out);
    pl_arena_mark mark = pl_arena_save(scratch);
    uint8_t *stored = pl_arena_alloc(scratch, f->stored, 1);
    pl_status code = stored ? pl_pack_read_stored(pack, file, frame, false, stored) : PL_E_MEMORY;
    if (code == PL_OK) code = pl_pack_expand(pack, file, frame, stored, out);
    pl_arena_restore(scratch, mark);
    return code;
}

pl_status pl_pack_read(const pl_pack *pack, pl_file *file, const pl_pack_blob *blob, int64_t from, int64_t len,
                       void *out, pl_arena *scratch)
{
    uint8_t *to = out;
    while (len > 0) {
        int64_t frame = blob->first + from / blob->frame, skip = from % blob->frame;
        const pl_pack_frame *f = &pack->frame[frame];
        int64_t n = pl_min64(len, f->content - skip);
        if (n == f->content) {
            PL_TRY(read_frame(pack, file, frame, to, scratch));
        } else {
            pl_arena_mark mark = pl_arena_save(scratch);
            uint8_t *whole = pl_arena_alloc(scratch, f->content, 1);
            pl_status code = whole ? read_frame(pack, file, frame, whole, scratch) : PL_E_MEMORY;
            if (code == PL_OK) memcpy(to, whole + skip, (size_t)n);
            pl_arena_restore(scratch, mark);
            if (code != PL_OK) return code;
        }
        to += n;
        from += n;
        len -= n;
    }
    return PL_OK;
}
