"""bench.py: planish beside its peers, on this machine, in one run.

usage: bench.py SECTION [--planish BIN] [--llama DIR] [--model HF_FOLDER] [--work DIR] [--repeats N]

SECTION       what is measured                                                    peer needed
  encode      convert into the digest sink, one thread: GB of input per second    none
  convert     whole command, F16 GGUF to q8_0, q4_0 or --types, by both encoders  llama-quantize --pure
  speed       prefill and decode of q8_0, q4_0, f16 files                         llama-bench
  perplexity  fast mode, f16 q8_0 q4_0, llama-perplexity's protocol               llama-perplexity
  exact       exact mode of the checkpoint in f32                                 transformers
  mlx         exact mode of MLX folders of --types                                mlx_lm on the CPU
  memory      own memory of converting the F16 GGUF to every type, by `best`      none
  errors      what `best` takes from the reference's error, per type and matrix   none (--tool, --mini, numpy)

--llama is the folder with llama.cpp's programs. Runs alternate A B A B; medians and spreads go to
docs/results/SECTION.json, from which render.py makes docs/results.md. docs/results.md says how the
models are made.
"""
import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SAME = ["--pure", "--encoder", "reference"]        # what llama-quantize --pure does, byte by byte


def sh(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stderr[-2000:]}")
    return done


def spread(values):
    return (max(values) - min(values)) / statistics.median(values)


def summary(values):
    return {"median": statistics.median(values), "spread": spread(values), "runs": len(values)}


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    return {"cpu": model.group(1) if model else platform.processor(),
            "threads": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 2)}


def sync_file(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def timed(command, out=None):
    """Seconds of a command until its output is on disk."""
    if out and os.path.exists(out):
        os.remove(out)
    os.sync()
    began = time.monotonic()
    sh(*command)
    if out:
        sync_file(out)
    return time.monotonic() - began


def f16_gguf(a):
    path = os.path.join(a.work, os.path.basename(a.model.rstrip("/")) + "-f16.gguf")
    if not os.path.exists(path):
        sh(a.planish, "convert", a.model, "-o", path, "--type", "f16")
    return path


def packed(a, kind):
    path = os.path.join(a.work, f"{os.path.basename(a.model.rstrip('/'))}-{kind}.gguf")
    if not os.path.exists(path):
        sh(a.planish, "convert", a.model, "-o", path, "--type", kind, *SAME)
    return path


def section_encode(a):
    path, rows = f16_gguf(a), []
    size = os.path.getsize(path)
    for kind in a.types or ("q8_0", "q4_0", "q5_0", "q4_1", "q5_1"):
        rates = []
        for _ in range(a.repeats):
            r = sh(a.planish, "convert", path, "--to", "digest", "--type", kind, *SAME, "--threads", 1)
            rates.append(size / float(re.search(r"in ([\d.]+) s", r.stdout).group(1)) / 1e9)
        rows.append({"type": kind, "gb_per_s": summary(rates)})
    return {"input": os.path.basename(path), "bytes": size, "rows": rows}


def section_convert(a):
    """Whole commands: the reference's bytes, the search, llama-quantize; with --stats all three get them."""
    path, rows = f16_gguf(a), []
    size, threads = os.path.getsize(path), machine()["threads"]
    out = os.path.join(a.work, "convert-out.gguf")
    for kind in a.types or ("q8_0", "q4_0"):
        seconds = {"planish": [], "best": [], "llama": []}
        theirs = kind.upper() + ("_S" if kind in ("q3_k", "q4_k", "q5_k") else "")
        ours = [a.planish, "convert", path, "-o", out, "--type", kind, "--pure", "--threads", threads]
        if a.stats:
            ours += ["--stats", a.stats]
        peer = [f"{a.llama}/llama-quantize", *(["--imatrix", a.stats] if a.stats else []), "--pure", path, out, theirs, threads]
        for _ in range(a.repeats):
            seconds["planish"].append(timed([*ours, "--encoder", "reference"], out))
            seconds["best"].append(timed(ours, out))
            seconds["llama"].append(timed(peer, out))
        os.remove(out)
        median = {k: statistics.median(v) for k, v in seconds.items()}
        rows.append({"type": kind, **{k + "_s": summary(v) for k, v in seconds.items()},
                     "times_as_fast": median["llama"] / median["planish"], "best_times": median["llama"] / median["best"],
                     **{k + "_gb_per_s": size / v / 1e9 for k, v in median.items()}})
    return {"input": os.path.basename(path), "bytes": size, "threads": threads, "rows": rows}


def section_speed(a):
    rows, threads = [], machine()["threads"]
    for kind in ("q8_0", "q4_0", "f16"):
        path, ours, peer = packed(a, kind), [], {"pp": [], "tg": []}
        for _ in range(a.repeats):
            ours.append(json.loads(sh(a.planish, "bench", path, "--pp", a.pp, "--tg", a.tg, "--repeats", 3,
                                      "--threads", threads, "--json").stdout))
            r = json.loads(sh(f"{a.llama}/llama-bench", "-m", path, "-p", a.pp, "-n", a.tg, "-r", 3, "-t",
                              threads, "-o", "json").stdout)
            for test in r:
                peer["pp" if test["n_gen"] == 0 else "tg"].append(test["avg_ts"])
        pp, tg = [r["pp_tps"] for r in ours], [r["tg_tps"] for r in ours]
        rows.append({"type": kind, "bytes": os.path.getsize(path), "pp": summary(pp), "tg": summary(tg),
                     "llama_pp": summary(peer["pp"]), "llama_tg": summary(peer["tg"]),
                     "pp_ratio": statistics.median(pp) / statistics.median(peer["pp"]),
                     "tg_ratio": statistics.median(tg) / statistics.median(peer["tg"]),
                     "tg_gbps": statistics.median(r["tg_gbps"] for r in ours),
                     "read_gbps": max(r["read_gbps"] for r in ours),
                     "bandwidth_share": statistics.median(r["tg_bandwidth_share"] for r in ours)})
    return {"model": os.path.basename(a.model.rstrip("/")), "threads": threads, "pp": a.pp, "tg": a.tg,
            "rows": rows}


def section_perplexity(a):
    rows, threads = [], machine()["threads"]
    text = os.path.join(ROOT, "calib-data", a.text)
    for kind in ("f16", "q8_0", "q4_0"):
        path = packed(a, kind)
        report = os.path.join(a.work, "check.json")
        sh(a.planish, "check", path, "--text", text, "--ctx", a.ctx, "--chunks", a.chunks, "--mode", "fast",
           "--protocol", "lcpp", "--json", report)
        ours = json.load(open(report))
        r = sh(f"{a.llama}/llama-perplexity", "-m", path, "-f", text, "-c", a.ctx, "--chunks", a.chunks, "-t",
               threads)
        peer = float(re.search(r"Final estimate: PPL = ([\d.]+)", r.stdout + r.stderr).group(1))
        rows.append({"type": kind, "planish": ours["ppl"], "llama": peer, "difference": ours["ppl"] / peer - 1,
                     "chunks": ours["chunks"], "tokens": ours["tokens_scored"]})
    return {"model": os.path.basename(a.model.rstrip("/")), "text": a.text, "ctx": a.ctx, "rows": rows}


def transformers_perplexity(folder, text, ctx, chunks, bos):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(machine()["threads"])
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    ids = tok.encode(open(text, encoding="utf-8").read(), add_special_tokens=False).ids
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    step, nll, count = ctx - bool(bos), 0.0, 0
    for c in range(min(chunks, len(ids) // step)):
        window = ([model.config.bos_token_id] if bos else []) + ids[c * step:(c + 1) * step]
        with torch.no_grad():
            logits = model(torch.tensor([window])).logits[0]
        logp = torch.log_softmax(logits.double(), -1)
        nll -= sum(logp[i, window[i + 1]].item() for i in range(ctx - 1))
        count += ctx - 1
    return math.exp(nll / count), count


def section_exact(a):
    text = os.path.join(ROOT, "calib-data", a.text)
    bos = "always" if a.bos else "never"
    report = os.path.join(a.work, "check.json")
    sh(a.planish, "check", a.model, "--text", text, "--ctx", a.ctx, "--chunks", a.chunks, "--mode", "exact",
       "--protocol", "full", "--bos", bos, "--json", report)
    ours = json.load(open(report))
    peer, count = transformers_perplexity(a.model, text, a.ctx, a.chunks, a.bos)
    row = {"planish": ours["ppl"], "transformers": peer, "difference": ours["ppl"] / peer - 1, "tokens": count,
           "planish_pp_tps": ours["pp_tps"]}
    return {"model": os.path.basename(a.model.rstrip("/")), "text": a.text, "ctx": a.ctx, "chunks": a.chunks,
            "bos": bos, "rows": [row]}


def mlx_perplexity(folder, text, ctx, chunks):
    """mlx_lm's own evaluation on the CPU in float32, of the matrices as mlx_lm decodes them: its kernels for packed ones
    need a second for each token there."""
    import mlx.core as mx
    from mlx_lm.perplexity import eval_ppl
    from mlx_lm.utils import dequantize_model, load_model
    from pathlib import Path
    from tokenizers import Tokenizer
    mx.set_default_device(mx.cpu)
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    ids = tok.encode(open(text, encoding="utf-8").read(), add_special_tokens=False).ids[:ctx * chunks]
    model, _ = load_model(Path(folder))
    model.set_dtype(mx.float32)
    return eval_ppl(dequantize_model(model), mx.array(ids).reshape(-1, ctx), batch_size=1)[0]


def section_mlx(a):
    text, rows = os.path.join(ROOT, "calib-data", a.text), []
    for kind in a.types or ("affine4-g64", "mxfp4"):
        folder, report = os.path.join(a.work, "mlx-" + kind), os.path.join(a.work, "check.json")
        if not os.path.exists(folder):
            sh(a.planish, "convert", a.model, "-o", folder, "--to", "mlx", "--type", kind)
        sh(a.planish, "check", folder, "--text", text, "--ctx", a.ctx, "--chunks", a.chunks, "--mode", "exact",
           "--protocol", "full", "--bos", "never", "--json", report)
        ours = json.load(open(report))
        peer = mlx_perplexity(folder, text, a.ctx, a.chunks)
        rows.append({"type": kind, "planish": ours["ppl"], "mlx": peer, "difference": ours["ppl"] / peer - 1,
                     "tokens": ours["tokens_scored"]})
    return {"model": os.path.basename(a.model.rstrip("/")), "text": a.text, "ctx": a.ctx, "rows": rows}


TYPES = ("q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_xs", "iq4_nl", "iq3_s",
         "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s", "tq2_0", "tq1_0", "q2_0", "q1_0", "mxfp4", "nvfp4")


def own_memory(pid):
    """Bytes of resident memory that is no file's."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def cpu_seconds(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def section_memory(a):
    """The token table, the largest matrix, comes first, so what takes long is stopped after --seconds of processor time,
    many ranges of every worker later."""
    path, rows = f16_gguf(a), []
    out = os.path.join(a.work, "memory-out.gguf")
    threads = machine()["threads"]
    for kind in a.types or TYPES:
        command = [a.planish, "convert", path, "-o", out, "--type", kind, "--pure", "--threads", str(threads), "--force"]
        command += ["--stats", a.stats] if a.stats else []
        plan = json.loads(sh(*command, "--dry-run", "--json").stdout)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        most, spent = 0, 0.0
        while process.poll() is None and spent < a.seconds:
            spent = max(spent, cpu_seconds(process.pid))
            most = max(most, own_memory(process.pid))
            time.sleep(0.001)
        whole = process.poll() is not None
        if not whole:
            process.terminate()
        if process.wait() and whole:
            sys.exit(f"{kind}: exit {process.returncode}")
        rows.append({"type": kind, "planned": plan["peak_planned"], "peak": most, "whole": whole})
        for name in os.listdir(a.work):                 # what was stopped is kept to be resumed
            if name.startswith(os.path.basename(out)):
                os.remove(os.path.join(a.work, name))
    return {"input": os.path.basename(path), "bytes": os.path.getsize(path), "threads": threads,
            "stats": bool(a.stats), "rows": rows}


def matrices(a, count):
    """Named weights [rows][cols of a multiple of 256]: noise of two kinds; of matrices of real models the rows with the
    largest values, where the outliers are."""
    import numpy as np
    from safetensors import safe_open
    rng, width = np.random.default_rng(1), 1024
    yield "Gaussian", rng.standard_normal((count // width, width))
    yield "t5", rng.standard_t(5, (count // width, width))
    real = [("Smol attn_q", a.model, "model.layers.7.self_attn.q_proj.weight"),
            ("Smol ffn_down", a.model, "model.layers.15.mlp.down_proj.weight"),
            ("Mini ffn_down 0", a.mini, "encoder.layer.0.output.dense.weight"),
            ("Mini ffn_down 1", a.mini, "encoder.layer.1.output.dense.weight"),
            ("Mini ffn_down 2", a.mini, "encoder.layer.2.output.dense.weight")]
    for name, folder, tensor in real:
        with safe_open(os.path.join(folder, "model.safetensors"), "np") as f:
            w = f.get_tensor(tensor)
        yield name, w[np.argsort(-np.abs(w).max(1), kind="stable")[:count // w.shape[1]]]


def coded(a, verb, kind, w, h):
    """The values that an encoder's blocks decode to."""
    import numpy as np
    files = {name: os.path.join(a.work, "errors." + name) for name in ("f32", "h", "blocks", "values")}
    factor = 1.0
    if verb == "best" and kind == "nvfp4":              # as the method does it: the factor of the whole matrix
        factor = 2.0 ** math.ceil(math.log2(float(np.abs(w).max()) / (4 * 448)))
    (w / np.float32(factor)).tofile(files["f32"])
    h.tofile(files["h"])
    sh(a.tool, verb, kind, files["f32"], files["blocks"], *([files["h"]] if np.ptp(h) else []))
    sh(a.tool, "decode", kind, files["blocks"], files["values"])
    return np.fromfile(files["values"], np.float32).reshape(w.shape).astype(np.float64) * factor


def section_errors(a):
    import numpy as np
    rows = {kind: {"type": kind, "change": []} for kind in a.types or TYPES}
    names = []
    for name, w in matrices(a, 1 << 17):
        w = np.ascontiguousarray(w, np.float32)
        far = w.astype(np.float64)
        names.append({"name": name, "kurtosis": float(np.mean((far - far.mean()) ** 4) / far.var() ** 2)})
        ones, spread_out = np.ones(w.shape[1], np.float32), np.exp(np.random.default_rng(2).standard_normal(w.shape[1]))
        for kind, row in rows.items():
            change = []
            for h in (ones, (spread_out / spread_out.mean()).astype(np.float32)):
                theirs, ours = (float((h * (far - coded(a, verb, kind, w, h)) ** 2).sum()) for verb in ("encode", "best"))
                change.append(ours / theirs - 1)
            row["change"].append(change)
    return {"matrices": names, "rows": list(rows.values())}


def main():
    sections = {k[8:]: v for k, v in globals().items() if k.startswith("section_")}
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("section", choices=sections)
    ap.add_argument("--planish", default=os.path.join(ROOT, "build/cli/planish"))
    ap.add_argument("--llama", default=os.environ.get("LLAMA_BIN", ""))
    ap.add_argument("--model", default=os.path.join(ROOT, "calib-data/stories260k"))
    ap.add_argument("--work", default=os.path.join(ROOT, "models/bench"))
    ap.add_argument("--name", help="of the result file, default: the section's")
    ap.add_argument("--variant", default="", help="what to say of the model beside each figure")
    ap.add_argument("--types", nargs="+", help="storage types instead of the section's own (encode, convert)")
    ap.add_argument("--repeats", type=int, default=5)
    ap.add_argument("--pp", type=int, default=512)
    ap.add_argument("--tg", type=int, default=32)
    ap.add_argument("--ctx", type=int, default=512)
    ap.add_argument("--chunks", type=int, default=16)
    ap.add_argument("--text", default="wikitext2-test.txt")
    ap.add_argument("--bos", action="store_true")
    ap.add_argument("--stats", help="of the model's activations (memory, convert)")
    ap.add_argument("--seconds", type=float, default=10, help="processor time for one type (memory)")
    ap.add_argument("--tool", default=os.path.join(ROOT, "build/tests/interop/encode_tool"))
    ap.add_argument("--mini", help="folder of all-MiniLM-L6-v2, from tests/model/make_minilm.py (errors)")
    a = ap.parse_args()
    os.makedirs(a.work, exist_ok=True)
    result = {"section": a.section, "variant": a.variant, "machine": machine()}
    result.update(sections[a.section](a))
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    out = os.path.join(ROOT, "docs/results", (a.name or a.section) + ".json")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
