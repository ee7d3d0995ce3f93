"""tiny_texts.py: texts that tokenizers take apart differently if one of their rules is missing."""
import json

import tokenizers

FAMILY = "\U0001F468\u200d\U0001F469\u200d\U0001F467"
TEXTS = [
    "", " ", "   ", "\n", "\n\n\n", "\t", " \t\n ", "a", " a", "   a", "a ", "a  b   c     d",
    "Once upon a time, there was a little girl.", "Hello, world!", " leading and trailing ",
    "It's we're we'll I've he'd I'm don't", "IT'S WE'RE I'LL YOU'VE HE'D I'M DON'T", "I\u2019m you\u2019re 's ''s '",
    "well, yesterday together Chapter 007", "0 12 345 6789 1234567890", "3.14159, 1,000,000 v1.2.3-rc4", "a1b22c333",
    "x\u00b2+y\u00b3=\u00bd \u0661\u0662\u0663 \u2160\u2161",
    "caf\u00e9 na\u00efve \u00c9t\u00e9 Stra\u00dfe", "cafe\u0301 n\u0303o e\u0301\u0300",
    "\u00c5ngstr\u00f6m \u212b \ufb01n \uff21\uff22",
    "\u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e\u306e\u6587",
    "\ud55c\uad6d\uc5b4 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac "
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928\u094d\u0926\u0940",
    f"{FAMILY} \U0001F600\U0001F44D\U0001F3FD \u2764\ufe0f \U0001F1EE\U0001F1F9",
    "\u200b\u200d\ufeff\u00ad\u00a0\u2003\u3000x", "\u0085\u2028\u2029y",
    "line\nline\r\nline\n\n  indented\n\n\n\n\ttab\t\ttabs",
    "def f(x):\n    return x**2  # squared\n\n\nclass A:\n\tpass\n",
    "!! ?? ... --- == // {\"key\": [1, null]} https://example.org/a?b=c&d=%20#e", "don't!!!\n\n\nstop...\n",
    "\u2581under\u2581\u2581line \u2581", "\u0120\u010a <0x0A> <0xFF> <unk> </s",
    "\ufffd \x01\x1f\x7f", "\U0010ffff\ue000",
    "x" * 120, "ab" * 40 + " " * 20 + "=" * 30, "[CLS] [SEP] [MASK] [UNK] [PAD]", "<|", "<|im_start", "|>",
]


def texts(special):
    """The list for a tokenizer with these added tokens, which also stand inside texts."""
    out = list(TEXTS)
    for token in special:
        out.append(f"a{token}b {token} c{token}\n{token}{token}  d")
    return out + ["".join(special), " ".join(special)]


def is_control(token):
    """Whether GGUF files call an added token a control token: llama.cpp's converter also goes by its looks."""
    text = token["content"]
    return (token["special"] or text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
            or text.startswith("<|") and text.endswith("|>") or text.startswith("<unused") and text.endswith(">"))


def cases(folder):
    """For each text: ids as the tokenizer gives them, without what its template adds (bare), and with control
    tokens in the text read as text (literal)."""
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) | {"padding": None, "truncation": None}
    whole = tokenizers.Tokenizer.from_str(json.dumps(doc))
    # Without a token that is not in the vocabulary those behind it would move up, so ids are looked up by name.
    fewer = doc | {"added_tokens": [t for t in doc["added_tokens"] if not is_control(t)]}
    plain = tokenizers.Tokenizer.from_str(json.dumps(fewer))

    def find(token):        # an added token comes with the spaces that it takes along
        found = whole.token_to_id(token)
        return whole.token_to_id(token.strip()) if found is None else found

    return [{"text": text, "ids": whole.encode(text).ids, "bare": whole.encode(text, add_special_tokens=False).ids,
             "literal": [find(token) for token in plain.encode(text).tokens]}
            for text in texts([t["content"] for t in doc["added_tokens"]])]
