"""tiny_models.py: one small random checkpoint per architecture, and what each of its features changes.

A random model as one comes from the constructor shows little: attention is uniform, logits are near zero.
Weights here are large enough that a window, a cap, a norm or a wavelength that is treated wrongly shows.
"""
import copy
import dataclasses
import math
import typing

import torch
import transformers

WINDOW = 8
HIDDEN, HEADS, GROUPS = 64, 4, 2


@dataclasses.dataclass(frozen=True)
class Spec:
    """One checkpoint: config(rows, id) makes its configuration, where id(token) is a token's number; pre is
    what llama.cpp's converter calls the family's pre-tokenizer; stop lists the tokens that end a text; lacking
    is a feature that llama.cpp does not know."""
    cls: type
    tokenizer: str
    config: typing.Callable
    rows: int
    dtype: torch.dtype
    pre: str | None
    stop: tuple
    features: dict
    lacking: str | None = None


# ---- features: name -> (changes to the configuration, change to the model) ----

def zero(*names):
    def change(model):
        for name, p in model.named_parameters():
            if name.endswith(names):
                p.data.zero_()
    return change


def without(*modules):
    """Replaces modules of these names by the identity."""
    def change(model):
        for parent in list(model.modules()):
            for name in modules:
                if hasattr(parent, name):
                    setattr(parent, name, torch.nn.Identity())
    return change


def unit_embedding(model):
    model.model.embed_tokens.embed_scale = torch.tensor(1.0)


def swap_halves(model):
    for name, p in model.named_parameters():
        if name.endswith("gate_up_proj.weight"):
            p.data = p.data.roll(p.shape[0] // 2, 0)


def tie(model):
    model.lm_head.weight.data = model.get_input_embeddings().weight.data


def raw_router(model):
    """Weights of the chosen experts as softmax over all gives them, not made to sum to one."""
    def hook(_, args, out):
        logits, _, chosen = out
        return logits, torch.softmax(logits.float(), -1).gather(-1, chosen), chosen

    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(hook)


def rope(theta=10000.0, **scaling):
    return {"rope_type": "default", "rope_theta": theta} | scaling


def rope_off(theta=10000.0, **kept):
    return {"rope_parameters": rope(theta, **kept)}, None


WINDOW_OFF = {"sliding_window": 4096}, None
QK_NORM_OFF = {}, without("q_norm", "k_norm")
BIAS_OFF = {}, zero("q_proj.bias", "k_proj.bias", "v_proj.bias")

# ---- configurations ----


def base(rows, layers=2, ff=96, **rest):
    return {"vocab_size": rows, "hidden_size": HIDDEN, "intermediate_size": ff, "num_hidden_layers": layers,
            "num_attention_heads": HEADS, "num_key_value_heads": GROUPS, "max_position_embeddings": 256,
            "rope_parameters": rope()} | rest


LLAMA3_ROPE = rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=32)      # wavelengths 6 (kept), 20 (between), 63 ... (slowed)
YARN = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LONGROPE = rope(rope_type="longrope", short_factor=[1.0, 1.05, 1.1, 1.2, 1.35, 1.5],
                long_factor=[1.0, 1.4, 2.1, 3.0, 4.5, 6.5], partial_rotary_factor=0.75,
                original_max_position_embeddings=16)
SHORT_ONLY = LONGROPE | {"long_factor": LONGROPE["short_factor"]}
LOCAL_THETA, GLOBAL_THETA = 100.0, 10000.0
GEMMA3_ROPE = {"full_attention": rope(GLOBAL_THETA, rope_type="linear", factor=4.0),
               "sliding_attention": rope(LOCAL_THETA)}


def llama(rows, id):
    return transformers.LlamaConfig(**base(
        rows, max_position_embeddings=256, rope_parameters=LLAMA3_ROPE, rms_norm_eps=1e-5,
        bos_token_id=id("<|begin_of_text|>"), eos_token_id=[id("<|end_of_text|>"), id("<|eom_id|>"), id("<|eot_id|>")],
        pad_token_id=id("<|finetune_right_pad_id|>"), tie_word_embeddings=False))


def mistral(rows, id):
    return transformers.MistralConfig(**base(rows, head_dim=32, sliding_window=WINDOW, rms_norm_eps=1e-5,
                                             rope_parameters=rope(1000.0), tie_word_embeddings=False))


def qwen2(rows, id, **rest):
    return transformers.Qwen2Config(**base(
        rows, bos_token_id=id("<|endoftext|>"), eos_token_id=id("<|im_end|>"), use_sliding_window=False,
        sliding_window=128, max_window_layers=2, tie_word_embeddings=True) | rest)


def qwen2_yarn(rows, id):
    return qwen2(rows, id, rope_parameters=YARN, tie_word_embeddings=False)


def qwen3(rows, id):
    return transformers.Qwen3Config(**base(
        rows, head_dim=32, bos_token_id=id("<|endoftext|>"), eos_token_id=id("<|im_end|>"), attention_bias=False,
        rope_parameters=rope(1000000.0), tie_word_embeddings=True))


def gemma2(rows, id):
    return transformers.Gemma2Config(**base(
        rows, layers=4, ff=32, num_key_value_heads=1, head_dim=32, sliding_window=WINDOW, query_pre_attn_scalar=12,
        attn_logit_softcapping=2.0, final_logit_softcapping=6.0, hidden_activation="gelu_pytorch_tanh"))


def gemma3(rows, id):
    return transformers.Gemma3TextConfig(**base(
        rows, layers=8, ff=64, hidden_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
        sliding_window=WINDOW, query_pre_attn_scalar=32, rope_parameters=copy.deepcopy(GEMMA3_ROPE),
        eos_token_id=[id("<eos>"), id("<end_of_turn>")]))


def phi3(rows, id, **rest):
    return transformers.Phi3Config(**base(
        rows, bos_token_id=id("<s>"), eos_token_id=id("<|endoftext|>"), pad_token_id=id("<|endoftext|>"),
        original_max_position_embeddings=256, sliding_window=2047, tie_word_embeddings=False) | rest)


def phi3_longrope(rows, id):
    return phi3(rows, id, rope_parameters=dict(LONGROPE), max_position_embeddings=64, sliding_window=262144,
                original_max_position_embeddings=16, num_key_value_heads=HEADS)


def smollm3(rows, id):
    return transformers.SmolLM3Config(**base(
        rows, layers=4, ff=64, bos_token_id=id("<|begin_of_text|>"), eos_token_id=id("<|im_end|>"),
        pad_token_id=id("<|im_end|>"), rope_parameters=rope(2000000.0), tie_word_embeddings=True))


def gpt2(rows, id):
    return transformers.GPT2Config(vocab_size=rows, n_embd=HIDDEN, n_layer=2, n_head=HEADS, n_positions=64, n_ctx=64,
                                   bos_token_id=id("<|endoftext|>"), eos_token_id=id("<|endoftext|>"))


def mixtral(rows, id):
    return transformers.MixtralConfig(**base(rows, ff=32, num_local_experts=4, num_experts_per_tok=2,
                                             rope_parameters=rope(1000000.0), tie_word_embeddings=False))


def qwen2_moe(rows, id):
    return transformers.Qwen2MoeConfig(**base(
        rows, ff=96, bos_token_id=id("<|endoftext|>"), eos_token_id=id("<|im_end|>"), num_experts=4,
        num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=64, norm_topk_prob=False,
        decoder_sparse_step=1, use_sliding_window=False, num_key_value_heads=HEADS, tie_word_embeddings=False))


def qwen3_moe(rows, id):
    return transformers.Qwen3MoeConfig(**base(
        rows, ff=96, head_dim=32, bos_token_id=id("<|endoftext|>"), eos_token_id=id("<|im_end|>"), num_experts=6,
        num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1,
        mlp_only_layers=[], tie_word_embeddings=True))


def bert(rows, id):
    return transformers.BertConfig(
        vocab_size=rows, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=HEADS, intermediate_size=64,
        max_position_embeddings=64, type_vocab_size=2, layer_norm_eps=1e-12, hidden_act="gelu", pad_token_id=0)


T = transformers
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
IM_STOP = ("<|im_end|>", "<|endoftext|>")
MOE = {"one expert less": ({"num_experts_per_tok": 1}, None)}
SPECS = {
    "llama": Spec(T.LlamaForCausalLM, "llama3", llama, 384, BF16, "llama-bpe",
                  ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
                  {"llama3 scaling": rope_off(), "own lm_head": ({}, tie)}),
    "qwen2": Spec(T.Qwen2ForCausalLM, "qwen2", qwen2, 384, BF16, "qwen2", IM_STOP,
                  {"q, k, v biases": BIAS_OFF}),
    "gemma3": Spec(T.Gemma3ForCausalLM, "gemma", gemma3, 448, BF16, None, ("<eos>", "<end_of_turn>"),
                   {"window": WINDOW_OFF, "q, k norms": QK_NORM_OFF,
                    "local base": ({"rope_parameters": GEMMA3_ROPE | {"sliding_attention": rope(GLOBAL_THETA)}}, None),
                    "global scale": ({"rope_parameters": GEMMA3_ROPE | {"full_attention": rope(GLOBAL_THETA)}}, None),
                    "global layer": ({"layer_types": ["sliding_attention"] * 8}, None),
                    "scaled embedding": ({}, unit_embedding),
                    "norms behind": ({}, without("post_attention_layernorm", "post_feedforward_layernorm"))}),
    "mixtral": Spec(T.MixtralForCausalLM, "mixtral", mixtral, 384, BF16, None, ("</s>",),
                    MOE | {"weights sum to 1": ({}, raw_router)}),
    "mistral": Spec(T.MistralForCausalLM, "mistral", mistral, 384, F16, None, ("</s>",), {"window": WINDOW_OFF},
                    "window"),
    "qwen2-yarn": Spec(T.Qwen2ForCausalLM, "qwen2", qwen2_yarn, 384, BF16, "qwen2", IM_STOP,
                       {"yarn": rope_off(), "q, k, v biases": BIAS_OFF,
                        "yarn's factor": ({"rope_parameters": YARN | {"attention_factor": 1.0}}, None)}),
    "qwen3": Spec(T.Qwen3ForCausalLM, "qwen3", qwen3, 384, BF16, "qwen2", IM_STOP, {"q, k norms": QK_NORM_OFF}),
    "gemma2": Spec(T.Gemma2ForCausalLM, "gemma", gemma2, 432, BF16, None, ("<eos>", "<end_of_turn>"),
                   {"window": WINDOW_OFF, "attention cap": ({"attn_logit_softcapping": None}, None),
                    "final cap": ({"final_logit_softcapping": None}, None),
                    "query scale": ({"query_pre_attn_scalar": 32}, None),
                    "global layers": ({"layer_types": ["sliding_attention"] * 4}, None),
                    "scaled embedding": ({}, unit_embedding),
                    "norms behind": ({}, without("post_attention_layernorm", "post_feedforward_layernorm"))},
                   "query scale"),
    "phi3": Spec(T.Phi3ForCausalLM, "phi3", phi3, 384, F16, None, ("<|endoftext|>", "<|end|>", "<|user|>"),
                 {"wavelengths": rope_off(500.0, partial_rotary_factor=1.0), "gate before up": ({}, swap_halves)}),
    "phi3-longrope": Spec(T.Phi3ForCausalLM, "phi3", phi3_longrope, 384, BF16, None,
                          ("<|endoftext|>", "<|end|>", "<|user|>"),
                          {"scaling": rope_off(partial_rotary_factor=0.75),
                           "long factors": ({"rope_parameters": SHORT_ONLY}, None),
                           "its factor": ({"rope_parameters": LONGROPE | {"attention_factor": 1.0}}, None)}),
    "smollm3": Spec(T.SmolLM3ForCausalLM, "smollm3", smollm3, 384, BF16, "smaug-bpe", ("<|im_end|>",),
                    {"layer without rope": ({"no_rope_layers": [1, 1, 1, 1]}, None)}),
    "gpt2": Spec(T.GPT2LMHeadModel, "gpt2", gpt2, 384, F16, "gpt-2", ("<|endoftext|>",),
                 {"positions": ({}, zero("wpe.weight")),
                  "biases": ({}, zero("c_attn.bias", "c_proj.bias", "c_fc.bias")),
                  "norm biases": ({}, zero("ln_1.bias", "ln_2.bias", "ln_f.bias"))}),
    "qwen2_moe": Spec(T.Qwen2MoeForCausalLM, "qwen2", qwen2_moe, 384, BF16, "qwen2", IM_STOP,
                      MOE | {"q, k, v biases": BIAS_OFF, "weights not summing to 1": ({"norm_topk_prob": True}, None),
                             "shared expert": ({}, zero("shared_expert.down_proj.weight")),
                             "its gate": ({}, zero("shared_expert_gate.weight"))}),
    "qwen3_moe": Spec(T.Qwen3MoeForCausalLM, "qwen3", qwen3_moe, 384, BF16, "qwen2", IM_STOP,
                      MOE | {"weights sum to 1": ({"norm_topk_prob": False}, None), "q, k norms": QK_NORM_OFF}),
    "bert": Spec(T.BertModel, "bert", bert, 352, F32, "jina-v2-en", (),
                 {"token types": ({}, zero("token_type_embeddings.weight")),
                  "positions": ({}, zero("position_embeddings.weight")),
                  "biases": ({}, zero("dense.bias", "query.bias", "key.bias", "value.bias")),
                  "norm biases": ({}, zero("LayerNorm.bias"))}),
}

# ---- weights ----


def draw(name, shape, gemma, generator):
    """Random values of a parameter, by what it is."""
    x = torch.randn(shape, generator=generator)
    part = name.split(".")[-2]
    norm = "norm" in part.lower() or part.startswith("ln_")
    if norm and name.endswith("weight"):
        middle = 1.6 if part in ("q_norm", "k_norm") else 1.0        # sharper attention
        return 0.3 * x + middle - int(gemma)             # gemma multiplies by 1 + w
    if name.endswith("bias"):
        return 0.3 * x
    if any(word in part for word in ("embed", "wte", "wpe", "lm_head")):
        return 0.25 * x
    inner = shape[0] if part in ("c_attn", "c_proj", "c_fc") else shape[-1]       # Conv1D is transposed
    gain = {"gate": 3.0, "shared_expert_gate": 2.0, "q_proj": 1.6, "k_proj": 1.6, "qkv_proj": 1.5, "c_attn": 1.5,
            "query": 1.6, "key": 1.6}.get(part, 1.0)
    return gain / math.sqrt(inner) * x


def build(name, id, seed):
    """A model with random weights of the checkpoint's type."""
    spec = SPECS[name]
    config = spec.config(spec.rows, id)
    config.dtype = spec.dtype
    model = spec.cls(config).to(spec.dtype)
    generator = torch.Generator().manual_seed(1000 * seed + sorted(SPECS).index(name))
    for key, p in sorted(model.named_parameters()):
        p.data.copy_(draw(key, p.shape, name.startswith("gemma"), generator).to(spec.dtype))
    if spec.stop:
        model.generation_config = transformers.GenerationConfig(
            bos_token_id=config.bos_token_id, pad_token_id=config.pad_token_id, eos_token_id=[id(t) for t in spec.stop],
            do_sample=True, temperature=0.6, top_p=0.9)
    return model


def load(name, folder, changes=None, change=None):
    """The checkpoint of a folder in float32 with eager attention, with other settings or other parts."""
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in copy.deepcopy(changes or {}).items():
        setattr(config, key, value)
    model = SPECS[name].cls.from_pretrained(folder, config=config, dtype=F32, attn_implementation="eager")
    model.eval()
    if change:
        change(model)
    return model


def run(model, ids):
    """Logits [tokens][rows] of a whole sequence, or an encoder's last hidden states."""
    with torch.inference_mode():
        batch = torch.tensor([ids])
        if isinstance(model, transformers.BertModel):
            return model(batch).last_hidden_state[0]
        return model(batch, use_cache=False).logits[0]


def attention_entropy(model, ids):
    """Mean entropy of attention as a share of the uniform one's, over the later half of the positions."""
    with torch.inference_mode():
        maps = model(torch.tensor([ids]), output_attentions=True).attentions
    p = torch.stack([a[0] for a in maps])[:, :, len(ids) // 2:]
    seen = (p > 0).sum(-1).clamp(min=2)
    return ((-(p * p.clamp(min=1e-30).log()).sum(-1)) / seen.log()).mean().item()


def router_margin(model, ids):
    """The smallest distance between the last chosen and the first refused expert's logits; None without any."""
    gaps = []

    def hook(module, args, out):
        top = out[0].topk(module.top_k + 1).values
        gaps.append((top[:, -2] - top[:, -1]).min().item())

    hooks = [m.register_forward_hook(hook) for m in model.modules() if type(m).__name__.endswith("TopKRouter")]
    run(model, ids)
    for h in hooks:
        h.remove()
    return min(gaps) if gaps else None
