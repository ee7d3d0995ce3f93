"""bench.py: planish beside its peers, on this machine, in one run.

usage: bench.py SECTION [--planish BIN] [--llama DIR] [--model HF_FOLDER] [--work DIR] [--repeats N]

SECTION       what is measured                                                    peer needed
  encode      convert into the digest sink, one thread: GB of input per second    none
  convert     whole command, F16 GGUF to q8_0 and q4_0                            llama-quantize --pure
  speed       prefill and decode of q8_0, q4_0, f16 files                         llama-bench
  perplexity  fast mode, f16 q8_0 q4_0, llama-perplexity's protocol               llama-perplexity
  exact       exact mode of the checkpoint in f32                                 transformers

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
    path, rows = f16_gguf(a), []
    size, threads = os.path.getsize(path), machine()["threads"]
    out = os.path.join(a.work, "convert-out.gguf")
    for kind in a.types or ("q8_0", "q4_0"):
        ours, peer = [], []
        theirs = kind.upper() + ("_S" if kind in ("q2_k", "q3_k", "q4_k", "q5_k") else "")
        for _ in range(a.repeats):
            ours.append(timed([a.planish, "convert", path, "-o", out, "--type", kind, *SAME, "--threads", threads], out))
            peer.append(timed([f"{a.llama}/llama-quantize", "--pure", path, out, theirs, threads], out))
        os.remove(out)
        rows.append({"type": kind, "planish_s": summary(ours), "llama_s": summary(peer),
                     "times_as_fast": statistics.median(peer) / statistics.median(ours),
                     "planish_gb_per_s": size / statistics.median(ours) / 1e9,
                     "llama_gb_per_s": size / statistics.median(peer) / 1e9})
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
