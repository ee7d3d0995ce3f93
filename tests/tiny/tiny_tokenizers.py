"""tiny_tokenizers.py: small tokenizers with the rules of each family, in the files the families publish.

Trained on the texts of calib-data; only vocabulary and merges are ours. Every writer takes the folder of a
checkpoint and returns how many tokens there are; nothing depends on the time or the order of a hash table.
"""
import collections
import io
import json
import pathlib

import sentencepiece
import tokenizers
from transformers.convert_slow_tokenizer import generate_merges

CALIB = pathlib.Path(__file__).resolve().parents[2] / "calib-data"
SPACE = "\u2581"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

LLAMA3_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
IM_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
INST_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}")
TURN_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content']"
    " | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}")
PHI3_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")


# What prose has too rarely for a hundred merges: where the families' expressions split differently.
PRACTICE = ["it's it's we're we'll I've he'd I'm don't IT'S 's're", "12 123 1234 2024 12 123 45 345",
            "if  x:\n\n    y\n\n\n  z  \n\n\ta\t\tb", "!! ?? ... == -- //", "e\u0301 \u00e9 caf\u00e9"] * 100


def corpus(size=60000):
    """The beginnings of the texts, as lines. The encyclopedia's foreign letters come along."""
    parts = []
    for name in ("tinystories.txt", "austen.txt", "manzoni-it.txt", "wikitext2-test.txt"):
        parts += (CALIB / name).read_text(encoding="utf-8")[:size].split("\n")
    return [line for line in parts if line.strip()] + PRACTICE


def write_json(path, value, indent=None):
    separators = (",", ":") if indent is None else None
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators) + "\n",
                    encoding="utf-8")


def added(id, content, special=True, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special} | flags


def decoder_entries(tokens):
    """added_tokens_decoder of a tokenizer_config.json."""
    return {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in tokens}


def template(first, first_id, last=None, last_id=None):
    """TemplateProcessing that puts `first`, and `last` if given, around a text."""
    def special(token, kind):
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def sequence(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}

    single, pair = [special(first, 0), sequence("A", 0)], [special(first, 0), sequence("A", 0)]
    ids = {first: {"id": first, "ids": [first_id], "tokens": [first]}}
    if last:
        single.append(special(last, 0))
        pair += [special(last, 0), sequence("B", 1), special(last, 1)]
        ids[last] = {"id": last, "ids": [last_id], "tokens": [last]}
    else:
        pair += [special(first, 1), sequence("B", 1)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": ids}


# ---- byte-level BPE ----

def byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def split_then_bytes(regex, trim=True):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
        byte_level(False, trim, False)]}


def train_bytes(pre_tokenizer, size, normalizer=None):
    """Vocabulary and merges of a byte-level BPE with `size` tokens; pre_tokenizer as tokenizer.json has it."""
    doc = json.loads(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())
    doc["pre_tokenizer"], doc["normalizer"] = pre_tokenizer, normalizer
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(doc))
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet),
                                             show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def bpe_doc(vocab, merges, tokens, model, joined_merges=True, **rest):
    """A tokenizer.json around a BPE model; joined_merges: "a b" as before 2024 instead of ["a", "b"]."""
    merges = [" ".join(m) if joined_merges else list(m) for m in merges]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
            "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None} | rest | {
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False} | model
        | {"vocab": vocab, "merges": merges}}


# Whole words that no merge makes: with ignore_merges a word of the text that is in the vocabulary is found.
UNMERGED = ["\u0120yesterday", "\u0120together", "Chapter", "\u0120...", "007"]


def llama3(folder, size=384):
    """Llama 3: digits in threes, words found whole before merging, <|begin_of_text|> in front."""
    pre = split_then_bytes(LLAMA3)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>",
             "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"]
    vocab, merges = train_bytes(pre, size - len(names) - len(UNMERGED))
    for word in UNMERGED:
        vocab[word] = len(vocab)
    tokens = [added(len(vocab) + i, name) for i, name in enumerate(names)]
    post = {"type": "Sequence", "processors": [byte_level(True, False, True), template(names[0], len(vocab))]}
    write_json(folder / "tokenizer.json", bpe_doc(
        vocab, merges, tokens, {"ignore_merges": True}, pre_tokenizer=pre, post_processor=post,
        decoder=byte_level(True, True, True)))
    write_json(folder / "tokenizer_config.json", {
        "added_tokens_decoder": decoder_entries(tokens), "bos_token": names[0], "chat_template": LLAMA3_CHAT,
        "clean_up_tokenization_spaces": True, "eos_token": "<|eot_id|>",
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 256,
        "pad_token": "<|finetune_right_pad_id|>", "tokenizer_class": "PreTrainedTokenizerFast"}, 2)
    return len(vocab) + len(tokens)


def smollm3(folder, size=384):
    """SmolLM3: Llama 3's rules, no token in front, special and ordinary added tokens, merges as pairs."""
    pre = split_then_bytes(LLAMA3)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<think>", "</think>", "<|im_start|>", "<|im_end|>"]
    vocab, merges = train_bytes(pre, size - len(names) - len(UNMERGED))
    for word in UNMERGED:
        vocab[word] = len(vocab)
    tokens = [added(len(vocab) + i, name, "think" not in name) for i, name in enumerate(names)]
    write_json(folder / "tokenizer.json", bpe_doc(
        vocab, merges, tokens, {"ignore_merges": True}, joined_merges=False, pre_tokenizer=pre,
        post_processor=byte_level(True, False, True), decoder=byte_level(True, True, True)))
    write_json(folder / "tokenizer_config.json", {
        "added_tokens_decoder": decoder_entries(tokens), "bos_token": None, "clean_up_tokenization_spaces": True,
        "eos_token": "<|im_end|>", "fast": False, "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072, "pad_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"}, 2)
    (folder / "chat_template.jinja").write_text(IM_CHAT, encoding="utf-8")
    return len(vocab) + len(tokens)


def qwen2(folder, size=377, thinking=False):
    """Qwen 2, and 3 with `thinking`: NFC, each digit alone; fewer tokens than rows of the embedding."""
    pre, normalizer = split_then_bytes(QWEN2, False), {"type": "NFC"}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = ["<tool_call>", "</tool_call>", "<think>", "</think>"] if thinking else []
    vocab, merges = train_bytes(pre, size - len(names) - len(plain), normalizer)
    tokens = [added(len(vocab) + i, name, name in names) for i, name in enumerate(names + plain)]
    write_json(folder / "tokenizer.json", bpe_doc(
        vocab, merges, tokens, {"continuing_subword_prefix": "", "end_of_word_suffix": "", "ignore_merges": False},
        normalizer=normalizer, pre_tokenizer=pre, post_processor=byte_level(False, False, False),
        decoder=byte_level(False, False, False)))
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder_entries(tokens),
        "additional_special_tokens": names[1:], "bos_token": None, "chat_template": IM_CHAT,
        "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 131072, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}, 2)
    return len(vocab) + len(tokens)


def qwen3(folder, size=377):
    return qwen2(folder, size, thinking=True)


def gpt2(folder, size=384):
    """GPT-2: the ByteLevel pre-tokenizer's own expression; also vocab.json and merges.txt."""
    pre, end = byte_level(False, True, True), "<|endoftext|>"
    vocab, merges = train_bytes(pre, size - 1)
    vocab[end] = len(vocab)
    tokens = [added(vocab[end], end, normalized=True)]
    write_json(folder / "tokenizer.json", bpe_doc(
        vocab, merges, tokens, {"continuing_subword_prefix": "", "end_of_word_suffix": ""}, pre_tokenizer=pre,
        post_processor=byte_level(True, False, True), decoder=byte_level(True, True, True)))
    write_json(folder / "tokenizer_config.json", {"model_max_length": 64})
    write_json(folder / "vocab.json", vocab)
    lines = ["#version: 0.2"] + [" ".join(m) for m in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(vocab)


# ---- SentencePiece BPE ----

def train_pieces(folder, size, **options):
    """Writes tokenizer.model; returns its pieces with their scores, and the merges that transformers' converter
    derives from the scores."""
    model = io.BytesIO()
    lines = (line.replace("\n", " ").replace("\t", " ") for line in corpus())
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, model_type="bpe", vocab_size=size, character_coverage=0.995,
        byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False, normalization_rule_name="identity", num_threads=1, minloglevel=2, **options)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    assert sp.get_piece_size() == size
    pieces = [(sp.id_to_piece(i), sp.get_score(i)) for i in range(size)]
    vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
    return vocab, generate_merges(vocab, pieces)


PIECES = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
FUSE = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = FUSE + [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, REPLACE]}


def llama2_doc(vocab, merges, tokens, **rest):
    return bpe_doc(vocab, merges, tokens, PIECES, **({
        "normalizer": PREPEND, "post_processor": template("<s>", 1),
        "decoder": {"type": "Sequence", "decoders": STRIP}} | rest))


def llama2_config(tokens, **rest):
    return {"add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": decoder_entries(tokens),
            "additional_special_tokens": [], "bos_token": "<s>", "clean_up_tokenization_spaces": False,
            "eos_token": "</s>", "legacy": True, "model_max_length": 4096, "pad_token": None,
            "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer",
            "unk_token": "<unk>", "use_default_system_prompt": False} | rest


def mistral(folder, size=384):
    """Mistral 7B v0.3: control tokens for instructions, Metaspace with prepend_scheme "first"."""
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[control_8]"]
    vocab, merges = train_pieces(folder, size, control_symbols=names[3:], add_dummy_prefix=True)
    tokens = [added(vocab[name], name) for name in names]
    write_json(folder / "tokenizer.json", llama2_doc(vocab, merges, tokens, normalizer=None, pre_tokenizer={
        "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}))
    write_json(folder / "tokenizer_config.json", llama2_config(tokens, chat_template=INST_CHAT, legacy=False), 2)
    return size


def mixtral(folder, size=384):
    """Mixtral 8x7B v0.1 and Llama 2: the space in front is the normalizer's."""
    names = ["<unk>", "<s>", "</s>"]
    vocab, merges = train_pieces(folder, size, add_dummy_prefix=True)
    tokens = [added(vocab[name], name) for name in names]
    write_json(folder / "tokenizer.json", llama2_doc(vocab, merges, tokens))
    write_json(folder / "tokenizer_config.json", llama2_config(tokens, chat_template=INST_CHAT), 2)
    return size


def phi3(folder, size=384):
    """Phi-3: Llama 2's rules; added tokens behind tokenizer.model's that take the spaces after them."""
    names = ["<unk>", "<s>", "</s>"]
    extra = ["<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>", "<|user|>"]
    pieces = size - len(extra) - 2              # two rows of the embedding stay without a token
    vocab, merges = train_pieces(folder, pieces, add_dummy_prefix=True)
    tokens = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>", False, rstrip=True)]
    tokens += [added(pieces + i, name, rstrip=name != "<|endoftext|>") for i, name in enumerate(extra)]
    assert [vocab[name] for name in names] == [0, 1, 2]
    write_json(folder / "tokenizer.json", llama2_doc(vocab, merges, tokens))
    write_json(folder / "tokenizer_config.json", llama2_config(
        tokens, chat_template=PHI3_CHAT, eos_token="<|endoftext|>", pad_token="<|endoftext|>", legacy=False,
        add_bos_token=True), 2)
    write_json(folder / "added_tokens.json", {name: pieces + i for i, name in enumerate(extra)}, 2)
    return pieces + len(extra)


def gemma(folder, size=432):
    """Gemma 2 and 3: no space in front, runs of spaces and line ends and tags as user-defined tokens."""
    turns = ["<start_of_turn>", "<end_of_turn>"]
    marks = ["<mask>", "[@BOS@]", "<unused0>"]
    runs = ["\n" * i for i in range(1, 5)] + [SPACE * i for i in range(2, 7)] + ["\t", "<table>", "<h1>", "</h1>"]
    vocab, merges = train_pieces(
        folder, size, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
        eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols=marks + turns + runs)
    control = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokens = [added(vocab[name], name, name in control + turns) for name in control + marks + turns + runs]
    write_json(folder / "tokenizer.json", bpe_doc(
        vocab, merges, tokens, PIECES, joined_merges=False, normalizer=REPLACE,
        pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        post_processor=template("<bos>", 2), decoder={"type": "Sequence", "decoders": FUSE}))
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": decoder_entries(tokens),
        "additional_special_tokens": turns, "bos_token": "<bos>", "chat_template": TURN_CHAT,
        "clean_up_tokenization_spaces": False, "eos_token": "<eos>", "model_max_length": 8192,
        "pad_token": "<pad>", "sp_model_kwargs": {}, "spaces_between_special_tokens": False,
        "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": False}, 2)
    return size


# ---- WordPiece ----

def word_pieces(normalizer, size):
    """Characters alone and within a word, a few foreign ones, then the beginnings and continuations that save
    most. (The package's trainer numbers pieces in the order of a hash table.)"""
    doc = json.loads(tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]")).to_str())
    doc["normalizer"], doc["pre_tokenizer"] = normalizer, {"type": "BertPreTokenizer"}
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(doc))
    words = collections.Counter()
    for line in corpus():
        text = tokenizer.normalizer.normalize_str(line)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    plain = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    pieces = plain + ["##" + c for c in plain if c.isalnum()]
    pieces += ["\u4e2d", "\u6587", "\u043a", "##\u043a", "\u20ac"]
    gains = collections.Counter()
    for word, count in words.items():
        if word.isascii() and word.isalnum():
            for end in range(2, len(word) + 1):
                gains[word[:end]] += count * (end - 1)
            for start in range(1, len(word) - 1):
                gains["##" + word[start:]] += count * (len(word) - start - 1)
    best = sorted(gains, key=lambda piece: (-gains[piece], piece))
    return pieces + best[:size - len(pieces)]


def bert(folder, size=352):
    """all-MiniLM-L6-v2: lower case without accents; its tokenizer.json asks for padding and truncation."""
    names = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                  "strip_accents": None, "lowercase": True}
    vocab = {token: i for i, token in enumerate(names + word_pieces(normalizer, size - len(names)))}
    tokens = [added(vocab[name], name) for name in names if "unused" not in name]
    doc = {"version": "1.0",
           "truncation": {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0},
           "padding": {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                       "pad_type_id": 0, "pad_token": "[PAD]"},
           "added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"},
           "post_processor": template("[CLS]", vocab["[CLS]"], "[SEP]", vocab["[SEP]"]),
           "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
           "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                     "max_input_chars_per_word": 100, "vocab": vocab}}
    write_json(folder / "tokenizer.json", doc)
    names = {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]",
             "unk_token": "[UNK]"}
    write_json(folder / "special_tokens_map.json", names)
    write_json(folder / "tokenizer_config.json", names | {
        "do_basic_tokenize": True, "do_lower_case": True, "model_max_length": 64, "never_split": None,
        "strip_accents": None, "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer"})
    order = sorted(vocab, key=vocab.get)
    (folder / "vocab.txt").write_text("\n".join(order) + "\n", encoding="utf-8")
    write_json(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}], 2)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False}, 2)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": 64, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}, 2)
    return len(vocab)
