"""llama_cpp.py: llama.cpp through the C functions that the Python package xllamacpp carries.

Its parameter structs are only handed on, with a few fields left at their defaults, so their exact layout
does not matter as long as ours are not smaller.
"""
import ctypes
import math
import pathlib


class Params(ctypes.Structure):
    _fields_ = [("opaque", ctypes.c_char * 512)]


class Batch(ctypes.Structure):
    """llama_batch: a count and six pointers."""
    _fields_ = [("n_tokens", ctypes.c_int32), ("pointers", ctypes.c_void_p * 6)]


def library():
    import xllamacpp
    lib = ctypes.CDLL(str(next(pathlib.Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))))
    void, i32 = ctypes.c_void_p, ctypes.c_int32
    signatures = {
        "llama_model_default_params": (Params,),
        "llama_context_default_params": (Params,),
        "llama_model_load_from_file": (void, ctypes.c_char_p, Params),
        "llama_model_get_vocab": (void, void),
        "llama_vocab_n_tokens": (i32, void),
        "llama_tokenize": (i32, void, ctypes.c_char_p, i32, ctypes.POINTER(i32), i32, ctypes.c_bool, ctypes.c_bool),
        "llama_init_from_model": (void, void, Params),
        "llama_set_n_threads": (None, void, i32, i32),
        "llama_get_memory": (void, void),
        "llama_memory_clear": (None, void, ctypes.c_bool),
        "llama_batch_get_one": (Batch, ctypes.POINTER(i32), i32),
        "llama_decode": (i32, void, Batch),
        "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), void, i32),
        "llama_free": (None, void),
        "llama_model_free": (None, void),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class LlamaCpp:
    def __init__(self, path, threads=2):
        self.lib, self.threads, self.context = library(), threads, None
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.lib.llama_log_set(self.quiet, None)
        self.lib.llama_backend_init()
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), self.lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self.vocab = self.lib.llama_model_get_vocab(self.model)

    def close(self):
        if self.context:
            self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)
        self.model = self.context = None

    def encode(self, text, special):
        """Ids of a text in bytes. Of invalid UTF-8 llama.cpp keeps the bytes or ends the process, so it gets
        what others read there."""
        text = text.decode("utf-8", "replace").encode()
        room = len(text) * 4 + 16
        ids = (ctypes.c_int32 * room)()
        count = self.lib.llama_tokenize(self.vocab, text, len(text), ids, room, True, special)
        if count < 0:
            raise RuntimeError(f"llama_tokenize: {count}")
        return ids[:count]

    def logits(self, ids, start=False):
        """Logits after these ids, as a list-like of floats valid until the next call. start: an empty cache."""
        if not self.context:
            self.context = self.lib.llama_init_from_model(self.model, self.lib.llama_context_default_params())
            if not self.context:
                raise RuntimeError("llama.cpp makes no context")
            self.lib.llama_set_n_threads(self.context, self.threads, self.threads)
        if start:
            self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        array = (ctypes.c_int32 * len(ids))(*ids)
        code = self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(array, len(ids)))
        if code:
            raise RuntimeError(f"llama_decode: {code}")
        return self.lib.llama_get_logits_ith(self.context, -1)[:self.lib.llama_vocab_n_tokens(self.vocab)]

    def greedy(self, ids, count):
        """The likeliest continuation, first maximum wins."""
        out, logits = [], self.logits(ids, start=True)
        for _ in range(count):
            out.append(max(range(len(logits)), key=logits.__getitem__))
            logits = self.logits(out[-1:])
        return out

    def nll(self, ids):
        """Sum of the negative log probabilities of ids[1:], each after those before it."""
        total = 0.0
        for i, target in enumerate(ids[1:]):
            logits = self.logits([ids[i]], start=i == 0)
            top = max(logits)
            total += math.log(sum(math.exp(x - top) for x in logits)) + top - logits[target]
        return total
