/* gguf_vocab_write.c: a vocabulary as the tokenizer keys of a GGUF file. */
#include <string.h>

#include "core/half.h"
#include "core/log.h"
#include "formats/gguf_emit.h"

/* "left right". A space inside a piece could not be told from the one between them; byte-level
 * pieces have none. */
static void emit_merges(pl_emitter *e, const pl_vocab *v)
{
    pl_emit_key_array(e, PL_GGUF_TOK_MERGES, PL_META_STRING, v->merges);
    for (int32_t i = 0; i < v->merges && e->status == PL_OK; i++) {
        const pl_text *left = &v->token[v->merge[i].left], *right = &v->token[v->merge[i].right];
        if (memchr(left->s, ' ', left->len) || memchr(right->s, ' ', right->len))
            e->status = pl_fail(PL_E_WISH, "merge %d has a piece with a space in it, which GGUF "
                                "cannot hold", i);
        pl_emit_number(e, (uint64_t)left->len + 1 + right->len, 8);
        pl_emit_bytes(e, left->s, left->len);
        pl_emit_bytes(e, " ", 1);
        pl_emit_bytes(e, right->s, right->len);
    }
}

static bool has_meta(const pl_model *model, const char *key)
{
    for (int i = 0; i < model->metas; i++)
        if (!strcmp(model->meta[i].key, key)) return true;
    return false;
}

/* Ids that end a text. Runtimes know eos, and many tokens by their text; for others there are two
 * keys. */
static void emit_ends(pl_emitter *e, const pl_model *model)
{
    static const char *const keys[] = { PL_GGUF_TOK_EOT, PL_GGUF_TOK_EOM };
    const pl_vocab *v = model->vocab;
    if (has_meta(model, keys[0]) || has_meta(model, keys[1])) return;
    int used = 0;
    for (int i = 0; i < v->eogs; i++) {
        if (v->eog[i] == v->eos || pl_gguf_ends_by_text(&v->token[v->eog[i]])) continue;
        if (used < PL_COUNT(keys)) pl_emit_key_u32(e, keys[used++], v->eog[i]);
        else if (e->file)
            pl_log(PL_LOG_WARN, "token %d ends a text too, but GGUF has no key left to say so",
                   v->eog[i]);
    }
}

static void emit_chat(pl_emitter *e, const pl_vocab *v)
{
    pl_emit_key_text(e, PL_GGUF_TOK_CHAT, v->chat_template);
    if (!v->chats) return;
    pl_emit_key_array(e, PL_GGUF_TOK_CHATS, PL_META_STRING, v->chats);
    for (int32_t i = 0; i < v->chats; i++) pl_emit_text(e, v->chat[i].name, strlen(v->chat[i].name));
    for (int32_t i = 0; i < v->chats; i++) pl_emit_key_text(e, v->chat[i].key, v->chat[i].text);
}

/* What readers are told about white space, case and the ends of a text. */
static void emit_flags(pl_emitter *e, const pl_vocab *v)
{
    pl_emit_key_bool(e, PL_GGUF_TOK_ADD_BOS, v->add_bos);
    pl_emit_key_bool(e, PL_GGUF_TOK_ADD_EOS, v->add_eos);
    if (v->kind != PL_VOCAB_WPM) {
        pl_emit_key_bool(e, PL_GGUF_TOK_PREFIX, v->add_space_prefix);
        return;
    }
    pl_emit_key_bool(e, PL_GGUF_TOK_ADD_SEP, !v->add_eos);
    pl_emit_key_bool(e, PL_GGUF_TOK_LOWERCASE, v->lowercase);
    if (v->strip_accents != v->lowercase) pl_emit_key_bool(e, PL_GGUF_TOK_ACCENTS, v->strip_accents);
}

void pl_emit_vocab(pl_emitter *e, const pl_model *model)
{
    static const char *const models[] = { [PL_VOCAB_BPE] = "gpt2", [PL_VOCAB_SPM] = "llama", [PL_VOCAB_WPM] = "bert" };
    const pl_vocab *v = model->vocab;
    const struct { const char *key; int32_t id; } ids[] = {
        { PL_GGUF_TOK_BOS, v->bos }, { PL_GGUF_TOK_EOS, v->eos },
        { PL_GGUF_TOK_UNK, v->unk }, { PL_GGUF_TOK_PAD, v->pad },
        { PL_GGUF_TOK_SEP, v->sep }, { PL_GGUF_TOK_MASK, v->mask },
    };
    pl_emit_key_text(e, PL_GGUF_TOK_MODEL, models[v->kind]);
    pl_emit_key_text(e, PL_GGUF_TOK_PRE, v->pre);
    pl_emit_key_array(e, PL_GGUF_TOK_TOKENS, PL_META_STRING, v->count);
    for (int32_t i = 0; i < v->count; i++) pl_emit_text(e, v->token[i].s, v->token[i].len);
    if (v->score) {
        pl_emit_key_array(e, PL_GGUF_TOK_SCORES, PL_META_F32, v->count);
        for (int32_t i = 0; i < v->count; i++) pl_emit_number(e, pl_f32_bits(v->score[i]), 4);
    }
    pl_emit_key_array(e, PL_GGUF_TOK_TYPES, PL_META_I32, v->count);
    for (int32_t i = 0; i < v->count; i++) pl_emit_number(e, v->type[i], 4);
    if (v->kind == PL_VOCAB_BPE) emit_merges(e, v);
    for (int i = 0; i < PL_COUNT(ids); i++)
        if (ids[i].id >= 0) pl_emit_key_u32(e, ids[i].key, ids[i].id);
    emit_ends(e, model);
    emit_flags(e, v);
    emit_chat(e, v);
}
