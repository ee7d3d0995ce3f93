/* test_gguf_vocab.c: vocabularies in GGUF files: WordPiece, chat templates, what a name stands for. */
#include "tests/unit/gguf_fixture.h"
#include "tests/unit/suite.h"

static pl_vocab *read_back(pl_source **s, const char *pre)
{
    const pl_open_options options = { .how = PL_OPEN_WINDOWS, .pre = pre };
    ck_assert_msg(pl_source_open(only_gguf, path, &options, s) == PL_OK, "%s", pl_error());
    ck_assert_ptr_nonnull((*s)->model->vocab);
    return (*s)->model->vocab;
}

static const char *const words[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\xE2\x96\x81" "a", "b", "\xE2\x96\x81" "ab" };

static void make_words(tiny *m)
{
    make_model(m, PL_VOCAB_BPE);
    m->vocab = (pl_vocab){ .kind = PL_VOCAB_WPM, .pre = "default", .count = PL_COUNT(words), .token = m->vocab.token,
                           .type = m->vocab.type, .bos = 2, .eos = 3, .unk = 1, .pad = 0, .sep = 3, .mask = 4,
                           .add_bos = true, .add_eos = true, .lowercase = true, .strip_accents = true };
    for (int i = 0; i < PL_COUNT(words); i++) {
        m->vocab.token[i] = text(words[i]);
        m->vocab.type[i] = i < 5 ? PL_TOKEN_CONTROL : PL_TOKEN_NORMAL;
    }
}

START_TEST(word_pieces)
{
    for (int i = 0; i < 4; i++) {
        tiny m;
        pl_source *s;
        make_words(&m);
        m.vocab.lowercase = i & 1;
        m.vocab.strip_accents = i & 2;
        write_model(&m, path);
        const pl_vocab *v = read_back(&s, "qwen2");     /* which is for byte-level ones */
        ck_assert_int_eq(v->kind, PL_VOCAB_WPM);
        ck_assert_str_eq(v->pre, "default");
        ck_assert_str_eq(v->token[7].s, "\xE2\x96\x81" "ab");
        ck_assert(v->bos == 2 && v->eos == 3 && v->sep == 3 && v->unk == 1 && v->pad == 0 && v->mask == 4);
        ck_assert(v->add_bos && v->add_eos && !v->add_space_prefix && v->eogs == 0);
        ck_assert(v->lowercase == m.vocab.lowercase && v->strip_accents == m.vocab.strip_accents);
        ck_assert_int_eq(s->model->metas, m.model.metas);
        pl_source_close(s);
        close_model(&m);
    }
}
END_TEST

/* Where a file does not say it, the numbers of the first BERT, if there are so many tokens. */
START_TEST(word_piece_defaults)
{
    tiny m;
    pl_source *s;
    make_words(&m);
    m.vocab.bos = m.vocab.eos = m.vocab.unk = m.vocab.sep = m.vocab.pad = m.vocab.mask = -1;
    write_model(&m, path);
    const pl_vocab *v = read_back(&s, NULL);
    ck_assert(v->bos == -1 && v->eos == -1 && v->sep == -1 && v->unk == -1 && v->mask == -1 && v->pad == 0);
    pl_source_close(s);
    close_model(&m);
}
END_TEST

START_TEST(chat_templates)
{
    tiny m;
    pl_source *s;
    pl_chat chat[] = { { "tool_use", "tokenizer.chat_template.tool_use", "tools" },
                       { "rag", "tokenizer.chat_template.rag", "finds" } };
    make_model(&m, PL_VOCAB_BPE);
    m.vocab.chat = chat;
    m.vocab.chats = 2;
    write_model(&m, path);
    const pl_vocab *v = read_back(&s, NULL);
    ck_assert_str_eq(v->chat_template, "{{ messages }}\n");
    int found = 0;                      /* the others are carried as they are */
    for (int i = 0; i < s->model->metas; i++) {
        const pl_meta *meta = &s->model->meta[i];
        if (!strcmp(meta->key, "tokenizer.chat_template.rag")) {
            found++;
            ck_assert_str_eq(meta->value.text.s, "finds");
        }
        if (strcmp(meta->key, "tokenizer.chat_templates")) continue;
        const pl_text *names = meta->value.array;
        ck_assert(meta->type == PL_META_ARRAY && meta->count == 2);
        ck_assert_str_eq(names[0].s, "tool_use");
        ck_assert_str_eq(names[1].s, "rag");
        found++;
    }
    ck_assert_int_eq(found, 2);
    pl_source_close(s);
    close_model(&m);
}
END_TEST

/* A name says more than how words are cut; another name can be given; an unknown one is carried. */
START_TEST(names)
{
    static const struct { const char *pre; bool whole, nfc; } cases[] = {
        { "gpt-2", false, false }, { "llama-bpe", true, false }, { "qwen2", false, true }, { "tekken", true, false },
        { "of-tomorrow", false, false },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        tiny m;
        pl_source *s;
        make_model(&m, PL_VOCAB_BPE);
        m.vocab.pre = cases[i].pre;
        write_model(&m, path);
        const pl_vocab *v = read_back(&s, NULL);
        ck_assert_str_eq(v->pre, cases[i].pre);
        ck_assert(v->whole_words == cases[i].whole && v->nfc == cases[i].nfc && !v->add_bos);
        pl_source_close(s);
        v = read_back(&s, "llama3");
        ck_assert_str_eq(v->pre, "llama3");
        ck_assert(v->whole_words && !v->nfc && !v->add_bos);    /* which the file says */
        pl_source_close(s);
        close_model(&m);
    }
}
END_TEST

/* Phi-3's control tokens take white space with them, by the model's name. */
START_TEST(phi3)
{
    static const char *const model_names[] = { "tiny", "Phi 3", "Phi-3 mini", "my-phi3" };
    for (int i = 0; i < PL_COUNT(model_names); i++) {
        tiny m;
        pl_source *s;
        make_model(&m, PL_VOCAB_SPM);
        m.model.name = model_names[i];
        write_model(&m, path);
        const pl_vocab *v = read_back(&s, NULL);
        ck_assert_int_eq(v->strip != NULL, i > 1);
        if (v->strip) ck_assert(v->strip[0] == 0 && v->strip[1] == 0 && v->strip[2] == PL_TOKEN_RSTRIP && v->strip[5] == 0);
        pl_source_close(s);
        close_model(&m);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        word_pieces, word_piece_defaults, chat_templates, names, phi3,
    };
    return run_cases("gguf_vocab", setup, teardown, tests, PL_COUNT(tests));
}
