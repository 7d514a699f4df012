"""Trains the captioner from random weights; a stopped run resumes from its last checkpoint.

The schedule follows time, not steps, so that a budget of minutes is kept on any machine; only training time counts.
Writes log.csv and checkpoint.pt to the work folder (runs/demo/NAME).
"""

import argparse
import csv
import math
import signal
import time

import torch
import torch.multiprocessing as processes

import architecture
import batched_forward
import batches
import glyphs
import grammar
import muon
import tokenizer as demo_tokenizer

EVERY = 20  # steps between two lines of the log


def curriculum(progress):
    """Numbers of objects in a scene; every entry is equally likely."""
    if progress < 0.04:
        return (1,)
    if progress < 0.10:
        return (1, 1, 2)
    if progress < 0.20:
        return (1, 2, 2, 3)
    return (1, 2, 2, 3, 3, 3)


def schedule(progress, step):
    """Factor on the learning rates: warm-up, a plateau, cosine to zero."""
    decay = 1.0 if progress < 0.5 else 0.5 + 0.5 * math.cos(math.pi * (progress - 0.5) / 0.5)
    return min(1.0, (step + 1) / 100) * max(0.005, decay)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="captioner")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--objects", type=int, default=len(glyphs.NAMES), help="the first N of the object set")
    parser.add_argument("--matrix-rate", type=float, default=0.02)
    parser.add_argument("--other-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-seconds", type=float, default=180)
    return parser.parse_args()


def main():
    args = arguments()
    folder = glyphs.WORK / args.name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = demo_tokenizer.build()
    model = architecture.fresh_model(tokenizer)
    pool = glyphs.NAMES[: args.objects]
    relation_tokens = [tokenizer.encode(" " + text).ids[0] for text in grammar.RELATIONS]
    forward = batched_forward.BatchedForward(model, 1 + len(pool), len(grammar.BACKGROUNDS), relation_tokens)
    optimiser = muon.Muon(forward, args.matrix_rate, args.other_rate)
    step, spent = 0, 0.0
    saved, log = folder / "checkpoint.pt", folder / "log.csv"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        forward.load_state_dict(state["forward"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
        rows = [row for row in csv.reader(open(log)) if row[0] == "step" or int(row[0]) <= step]
        csv.writer(open(log, "w", newline="")).writerows(rows)
        print(f"resumes at step {step}, {spent / 60:.1f} minutes in", flush=True)
    else:
        log.write_text("step,minutes,loss,head_loss,token_accuracy,cell_accuracy,relation_accuracy,learning_rate_factor\n")

    glyphs.load()
    context = processes.get_context("spawn")
    queue, progress = context.Queue(8), context.Value("d", spent / 60 / args.minutes)
    worker = context.Process(target=batches.produce, daemon=True, args=(
        queue, progress, step, tokenizer.to_str(), args.batch, pool, curriculum))
    worker.start()

    def save():
        torch.save({"forward": forward.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent},
                   saved.with_suffix(".part"))
        saved.with_suffix(".part").replace(saved)

    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    sums, waited, last_save, clock = [0.0] * 5, 0.0, time.monotonic(), time.monotonic()
    while spent < 60 * args.minutes and not stopped:
        before = time.monotonic()
        _, batch = queue.get()
        waited += time.monotonic() - before
        with torch.autocast("cpu", torch.bfloat16):
            answer, heads, tokens, cells, related = forward(batch)
        done = spent / 60 / args.minutes
        (answer + (1.0 if done < 0.7 else 0.4) * heads).backward()
        torch.nn.utils.clip_grad_norm_(forward.parameters(), 1.0)
        factor = schedule(done, step)
        optimiser.step(factor)
        for p in forward.parameters():
            p.grad = None
        step += 1
        now = time.monotonic()
        spent += min(now - clock, 60.0)
        clock, progress.value = now, spent / 60 / args.minutes
        sums = [s + float(v) / EVERY for s, v in zip(sums, (answer.detach(), heads.detach(), tokens, cells, related))]
        if step % EVERY == 0:
            line = [step, f"{spent / 60:.2f}", *(f"{s:.4f}" for s in sums), f"{factor:.4f}"]
            with open(log, "a", newline="") as out:
                csv.writer(out).writerow(line)
            if step % (EVERY * 5) == 0:
                print(*line, f"waited {waited:.1f} s", flush=True)
                waited = 0.0
            sums = [0.0] * 5
        if now - last_save > args.save_seconds:
            save()
            last_save = now
    save()
    worker.terminate()


if __name__ == "__main__":
    main()
