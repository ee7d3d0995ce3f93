/* runtimes.c: the tables of runtimes. A version stands here if the project's own history or documentation names it: the
 * release that has the change (mlx, mlx-lm, compressed-tensors), the pull request (llama.cpp, whose releases are
 * numbered by build), the oldest documentation seen that describes it (transformers, vLLM). */
#include "cli/runtimes.h"

const pl_runtime_fact pl_runtime_facts[] = {
    { "gguf", "llama.cpp", NULL, "pull request 3552 (October 2023)" },       /* GGUF 3 */
    { "gguf", "llama.cpp", "iq*", "pull request 6302 (March 2024)" },
    { "gguf", "llama.cpp", "bf16", "pull request 6412 (May 2024)" },
    { "gguf", "llama.cpp", "tq*", "pull request 8151 (September 2024)" },
    { "gguf", "llama.cpp", "mxfp4", "pull request 15091 (August 2025)" },
    { "gguf", "llama.cpp", "nvfp4*", "pull request 19769 (2026)" },
    { "gguf", "llama.cpp", "q1_0", "pull request 21273 (April 2026)" },
    { "gguf", "llama.cpp", "q2_0", "pull request 24448 (2026)" },
    { "gguf", "gguf (Python)", NULL, NULL },
    { "gguf", "vLLM", NULL, "0.6.4, on GPUs" },
    { "mlx", "mlx-lm", NULL, "0.22.0" },
    { "mlx", "mlx-lm", "model gemma3_text", "0.22.0" },
    { "mlx", "mlx-lm", "model qwen3*", "0.24.1" },
    { "mlx", "mlx-lm", "model smollm3", "0.26.0" },
    { "mlx", "mlx-lm", "affine5", "0.26.0 with mlx 0.26.0" },
    { "mlx", "mlx-lm", "mxfp4", "0.27.0 with mlx 0.29.0" },
    { "mlx", "mlx-lm", "mxfp8", "0.30.1 with mlx 0.29.4" },
    { "mlx", "mlx-lm", "nvfp4", "0.30.1 with mlx 0.29.4" },
    { "mlx", "safetensors (Python)", NULL, NULL },
    { "compressed-tensors", "compressed-tensors", NULL, NULL },
    { "compressed-tensors", "compressed-tensors", "*-quantized", "0.5.0" },
    { "compressed-tensors", "compressed-tensors", "nvfp4-pack-quantized", "0.10.0" },
    { "compressed-tensors", "compressed-tensors", "mxfp4-pack-quantized", "0.13.0" },
    { "compressed-tensors", "transformers", NULL, "4.49.0" },
    { "compressed-tensors", "transformers", "*fp4-pack-quantized", NULL },
    { "compressed-tensors", "vLLM", NULL, NULL },
    { "compressed-tensors", "vLLM", "int-quantized", "0.6.0" },
    { "compressed-tensors", "vLLM", "pack-quantized", "0.11.2" },
    { "compressed-tensors", "safetensors (Python)", NULL, NULL },
    { "gptq", "transformers", NULL, "4.35.2" },
    { "gptq", "vLLM", NULL, "0.6.4" },
    { "gptq", "safetensors (Python)", NULL, NULL },
    { "awq", "transformers", NULL, "4.35.2" },
    { "awq", "vLLM", NULL, "0.6.4" },
    { "awq", "safetensors (Python)", NULL, NULL },
    { "dense", "transformers", NULL, NULL },
    { "dense", "mlx-lm", NULL, NULL },
    { "dense", "vLLM", NULL, NULL },
    { "dense", "safetensors (Python)", NULL, NULL },
};
const int pl_runtime_facts_count = PL_COUNT(pl_runtime_facts);

/* Nothing from the folder at hand is imported, nothing fetched from the network; an error is one line. */
const char pl_runtime_prelude[] =
    "import os, sys\n"
    "sys.path[:] = [p for p in sys.path if p not in ('', os.getcwd())]\n"
    "os.environ.update(HF_HUB_OFFLINE='1', TRANSFORMERS_OFFLINE='1', PYTHONDONTWRITEBYTECODE='1')\n"
    "import importlib.util\n"
    "from importlib.metadata import version\n"
    "path = sys.argv[1]\n"
    "def tell(kind, value, trace):\n"
    "    print('%s: %s' % (kind.__name__, ' '.join(str(value).split())), file=sys.stderr)\n"
    "sys.excepthook = tell\n"
    "if any(importlib.util.find_spec(m) is None for m in sys.argv[2].split()):\n"
    "    sys.exit(66)\n";

/* Missing weights are only a warning to transformers. */
#define TRANSFORMERS                                                                                   \
    "import transformers\n"                                                                            \
    "config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)\n"                  \
    "causal = any('ForCausalLM' in n or 'LMHead' in n for n in config.architectures or [])\n"          \
    "kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModel\n"                 \
    "model, info = kind.from_pretrained(path, local_files_only=True, output_loading_info=True)\n"      \
    "for key in ('missing_keys', 'mismatched_keys', 'error_msgs'):\n"                                  \
    "    if info.get(key):\n"                                                                          \
    "        sys.exit('%s: %s' % (key.replace('_', ' '), ', '.join(map(str, list(info[key])[:3]))))\n"

const pl_runtime_trial pl_runtime_trials[] = {
    { "gguf", "llama.cpp", "llama-bench", { "-m", "%", "-p", "1", "-n", "0", "-r", "1", "-ngl", "0" }, NULL, NULL },
    { "gguf", "llama.cpp", "llama-simple", { "-m", "%", "-n", "1", "-ngl", "0", "a" }, NULL, NULL },
    { "gguf", "llama.cpp", "llama-completion", { "-m", "%", "-n", "1", "-ngl", "0", "-no-cnv", "-p", "a" }, NULL,
      NULL },
    { "gguf", "llama.cpp", "llama-cli", { "-m", "%", "-n", "1", "-ngl", "0", "-no-cnv", "-p", "a" }, NULL, NULL },
    { "gguf", "gguf (Python)", NULL, { NULL }, "gguf numpy",
      "import gguf\n"
      "for t in gguf.GGUFReader(path).tensors:\n"
      "    if t.data.nbytes != t.n_bytes:\n"
      "        sys.exit('%s has %d bytes, %d are expected' % (t.name, t.data.nbytes, t.n_bytes))\n"
      "print(version('gguf'))\n" },
    { "mlx", "mlx-lm", NULL, { NULL }, "mlx_lm mlx",
      "import pathlib\n"
      "from mlx_lm.utils import load_model\n"
      "load_model(pathlib.Path(path))\n"
      "print(version('mlx-lm') + ' with mlx ' + version('mlx'))\n" },
    { "dense", "transformers", NULL, { NULL }, "transformers torch",
      TRANSFORMERS "print(transformers.__version__)\n" },
    { "compressed-tensors", "transformers", NULL, { NULL }, "transformers torch compressed_tensors",
      TRANSFORMERS "print(transformers.__version__ + ' with compressed-tensors ' + version('compressed-tensors'))\n" },
    { "compressed-tensors", "compressed-tensors", NULL, { NULL }, "compressed_tensors",
      "import json\n"
      "from compressed_tensors.quantization import QuantizationConfig\n"
      "with open(os.path.join(path, 'config.json'), encoding='utf-8') as f:\n"
      "    QuantizationConfig.model_validate(json.load(f)['quantization_config'])\n"
      "print('config.json is understood by ' + version('compressed-tensors'))\n" },
    { "gptq awq", "transformers", NULL, { NULL }, "transformers torch gptqmodel",
      TRANSFORMERS "print(transformers.__version__ + ' with gptqmodel ' + version('gptqmodel'))\n" },
    { "mlx compressed-tensors gptq awq dense", "safetensors (Python)", NULL, { NULL }, "safetensors numpy",
      "import json, safetensors\n"
      "index = os.path.join(path, 'model.safetensors.index.json')\n"
      "places = {None: 'model.safetensors'}\n"
      "if os.path.exists(index):\n"
      "    with open(index, encoding='utf-8') as f:\n"
      "        places = json.load(f)['weight_map']\n"
      "for name in sorted(set(places.values())):\n"
      "    with safetensors.safe_open(os.path.join(path, name), framework='numpy') as f:\n"
      "        keys = set(f.keys())\n"
      "        for key in keys | {k for k, v in places.items() if k and v == name}:\n"
      "            f.get_slice(key).get_shape()\n"
      "print(version('safetensors'))\n" },
};
const int pl_runtime_trials_count = PL_COUNT(pl_runtime_trials);
