"""tiny_peer.py: llama.cpp on a small GGUF file: logits of every position, or an encoder's pooled vector."""
import ctypes
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from llama_cpp import LlamaCpp  # noqa: E402


def decoder(path, ids):
    """Logits [tokens][vocab], token by token; keys and values go through llama.cpp's cache of 16-bit floats."""
    peer = LlamaCpp(path)
    try:
        return np.array([peer.logits([id], start=i == 0) for i, id in enumerate(ids)], np.float32)
    finally:
        peer.close()


def encoder(path, ids, width):
    """The vector of a text, pooled as the file says."""
    peer = LlamaCpp(path)
    lib = peer.lib
    lib.llama_set_embeddings.argtypes = ctypes.c_void_p, ctypes.c_bool
    lib.llama_encode.argtypes = lib.llama_decode.argtypes
    lib.llama_get_embeddings_seq.restype = ctypes.POINTER(ctypes.c_float)
    lib.llama_get_embeddings_seq.argtypes = ctypes.c_void_p, ctypes.c_int32
    try:
        peer.context = lib.llama_init_from_model(peer.model, lib.llama_context_default_params())
        if not peer.context:
            raise RuntimeError("llama.cpp makes no context")
        lib.llama_set_n_threads(peer.context, peer.threads, peer.threads)
        lib.llama_set_embeddings(peer.context, True)
        array = (ctypes.c_int32 * len(ids))(*ids)
        code = lib.llama_encode(peer.context, lib.llama_batch_get_one(array, len(ids)))
        vector = lib.llama_get_embeddings_seq(peer.context, 0)
        if code or not vector:
            raise RuntimeError(f"llama_encode: {code}")
        return np.array(vector[:width], np.float32)
    finally:
        peer.close()


def distance(got, expected):
    """Largest difference as a share of the largest value, and how many positions agree on the likeliest token."""
    same = int((got.argmax(-1) == expected.argmax(-1)).sum())
    return float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max())), same


def tokens(path, texts, special):
    """Ids of texts; special: whether special tokens in them are recognised."""
    peer = LlamaCpp(path)
    try:
        return [peer.encode(text.encode(), special) for text in texts]
    finally:
        peer.close()


def compare_last(path, expected):
    """The same of the last position, with what llama.cpp lacks left out of the expectation."""
    got = decoder(path, expected["ids"].tolist())[-1:]
    return *distance(got, expected["last_in_llama_cpp"][None]), 1


def compare(path, expected):
    """A GGUF file against expected.safetensors, as numpy arrays: (distance, agreeing positions, positions)."""
    if "hidden" in expected:
        got = encoder(path, expected["ids"].tolist(), expected["mean"].size)
        return *distance(got[None], expected["mean"][None]), 1
    return *distance(decoder(path, expected["ids"].tolist()), expected["logits"]), len(expected["ids"])
