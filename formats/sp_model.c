/* sp_model.c: reading SentencePiece's tokenizer.model, a message in the wire format of protocol buffers. */
#include "formats/sp_model.h"

#include <math.h>
#include <string.h>

#include "core/fs.h"
#include "core/text.h"

/* Numbers of the fields that matter; the file's own schema calls them pieces, trainer_spec, ... */
enum {
    MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3,
    PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3,
    TRAINER_TYPE = 3, TRAINER_UNK = 40, TRAINER_BOS = 41, TRAINER_EOS = 42, TRAINER_PAD = 43,
    NORMALIZER_TABLE = 2, NORMALIZER_PREFIX = 3, NORMALIZER_SQUEEZE = 4,
    TYPE_UNIGRAM = 1, TYPE_BPE = 2
};
enum { MAX_FILE = 1 << 28 };

/* A message: bytes that are left of it, and where they are from. */
typedef struct message { const uint8_t *at, *end; const char *path; } message;

enum { VARINT = 0, WIDE = 1, BYTES = 2, NARROW = 5 };
typedef struct field {
    int number, wire;
    uint64_t value;             /* of a number */
    message bytes;              /* of BYTES */
} field;

static pl_status broken(const message *m) { return pl_fail(PL_E_INPUT, "%s: not a SentencePiece model", m->path); }

static bool varint(message *m, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool fixed(message *m, int bytes, uint64_t *out)
{
    *out = 0;
    if (m->end - m->at < bytes) return false;
    for (int i = 0; i < bytes; i++) *out |= (uint64_t)*m->at++ << 8 * i;
    return true;
}

/* The next field; *more is false at the message's end. */
static pl_status next_field(message *m, field *f, bool *more)
{
    uint64_t key;
    *more = m->at < m->end;
    if (!*more) return PL_OK;
    if (!varint(m, &key) || key >> 3 == 0 || key >> 3 > INT32_MAX) return broken(m);
    *f = (field){ .number = (int)(key >> 3), .wire = (int)(key & 7) };
    bool ok = false;
    switch (f->wire) {
    case VARINT: ok = varint(m, &f->value); break;
    case WIDE: ok = fixed(m, 8, &f->value); break;
    case NARROW: ok = fixed(m, 4, &f->value); break;
    case BYTES:
        ok = varint(m, &f->value) && f->value <= (uint64_t)(m->end - m->at);
        if (ok) {
            f->bytes = (message){ m->at, m->at + f->value, m->path };
            m->at += f->value;
        }
        break;
    default: break;             /* groups, which the schema has not */
    }
    return ok ? PL_OK : broken(m);
}

/* `to`: where the text goes. */
static pl_status read_piece(message m, int32_t id, char **to, pl_sp_model *out)
{
    field f;
    bool more;
    uint64_t type = PL_TOKEN_NORMAL;
    message text = { NULL, NULL, m.path };
    uint32_t score = 0;
    for (;;) {
        PL_TRY(next_field(&m, &f, &more));
        if (!more) break;
        if (f.number == PIECE_TEXT && f.wire == BYTES) text = f.bytes;
        else if (f.number == PIECE_SCORE && f.wire == NARROW) score = (uint32_t)f.value;
        else if (f.number == PIECE_TYPE && f.wire == VARINT) type = f.value;
    }
    const size_t len = (size_t)(text.end - text.at);
    if (len == 0 || len > PL_MAX_TOKEN_BYTES || memchr(text.at, 0, len) ||
        pl_utf8_check((const char *)text.at, len) >= 0)
        return pl_fail(PL_E_INPUT, "%s: piece %d is no text of 1 to %d bytes", m.path, id, PL_MAX_TOKEN_BYTES);
    memcpy(&out->score[id], &score, sizeof score);
    if (isnan(out->score[id])) return pl_fail(PL_E_INPUT, "%s: the score of piece %d is not a number", m.path, id);
    if (type < PL_TOKEN_NORMAL || type > PL_TOKEN_BYTE)
        return pl_fail(PL_E_INPUT, "%s: piece %d has the unknown type %llu", m.path, id, (unsigned long long)type);
    out->type[id] = (uint8_t)type;
    out->piece[id] = (pl_text){ *to, (uint32_t)len };
    memcpy(*to, text.at, len);
    (*to)[len] = 0;
    *to += len + 1;
    return PL_OK;
}

static pl_status read_trainer(message m, pl_sp_model *out)
{
    field f;
    bool more;
    uint64_t type = TYPE_UNIGRAM;
    for (;;) {
        PL_TRY(next_field(&m, &f, &more));
        if (!more) break;
        if (f.wire != VARINT) continue;
        /* A negative id is a huge number here: none. */
        int32_t id = f.value < (uint64_t)out->count ? (int32_t)f.value : -1;
        switch (f.number) {
        case TRAINER_TYPE: type = f.value; break;
        case TRAINER_UNK: out->unk = id; break;
        case TRAINER_BOS: out->bos = id; break;
        case TRAINER_EOS: out->eos = id; break;
        case TRAINER_PAD: out->pad = id; break;
        default: break;
        }
    }
    if (type != TYPE_BPE)
        return pl_fail(PL_E_INPUT, "%s: a SentencePiece model of type %s is not supported, only BPE", m.path,
                       type == TYPE_UNIGRAM ? "unigram" : "word or character");
    return PL_OK;
}

static pl_status read_normalizer(message m, pl_sp_model *out)
{
    field f;
    bool more;
    for (;;) {
        PL_TRY(next_field(&m, &f, &more));
        if (!more) return PL_OK;
        if (f.number == NORMALIZER_TABLE && f.wire == BYTES) out->rewrites = f.value > 0;
        else if (f.number == NORMALIZER_PREFIX && f.wire == VARINT) out->add_space_prefix = f.value != 0;
        else if (f.number == NORMALIZER_SQUEEZE && f.wire == VARINT) out->squeezes = f.value != 0;
    }
}

static pl_status count_pieces(message m, int32_t *out)
{
    field f;
    bool more;
    for (*out = 0;;) {
        PL_TRY(next_field(&m, &f, &more));
        if (!more) break;
        if (f.number != MODEL_PIECE || f.wire != BYTES) continue;
        if (++*out > PL_MAX_VOCAB)
            return pl_fail(PL_E_INPUT, "%s: more than %d pieces (PL_MAX_VOCAB)", m.path, PL_MAX_VOCAB);
    }
    return *out ? PL_OK : pl_fail(PL_E_INPUT, "%s: no pieces in it", m.path);
}

static pl_status read_model(message m, pl_arena *arena, pl_sp_model *out)
{
    field f;
    bool more;
    int32_t id = 0;
    message trainer = { m.at, m.at, m.path }, normalizer = trainer;
    PL_TRY(count_pieces(m, &out->count));
    out->piece = PL_NEW(arena, pl_text, out->count);
    out->score = PL_NEW(arena, float, out->count);
    out->type = PL_NEW(arena, uint8_t, out->count);
    /* A piece takes two bytes in front of its text at least, more than the NUL behind it. */
    char *to = PL_NEW(arena, char, m.end - m.at);
    if (!out->piece || !out->score || !out->type || !to) return PL_E_MEMORY;
    for (;;) {
        PL_TRY(next_field(&m, &f, &more));
        if (!more) break;
        if (f.wire != BYTES) continue;
        if (f.number == MODEL_PIECE) PL_TRY(read_piece(f.bytes, id++, &to, out));
        else if (f.number == MODEL_TRAINER) trainer = f.bytes;
        else if (f.number == MODEL_NORMALIZER) normalizer = f.bytes;
    }
    /* What the schema says where the file is silent. */
    out->unk = 0;
    out->bos = out->count > 1 ? 1 : -1;
    out->eos = out->count > 2 ? 2 : -1;
    out->pad = -1;
    out->add_space_prefix = out->squeezes = true;
    PL_TRY(read_trainer(trainer, out));
    return read_normalizer(normalizer, out);
}

pl_status pl_sp_model_read(const char *path, pl_arena *arena, pl_sp_model *out)
{
    char *data;
    size_t len;
    *out = (pl_sp_model){ 0 };
    PL_TRY(pl_file_load(path, MAX_FILE, &data, &len));
    pl_status status = read_model((message){ (uint8_t *)data, (uint8_t *)data + len, path }, arena, out);
    pl_free(data);
    return status;
}
