#!/usr/bin/env bash
# What an attack on the monitor costs the job: pairs of jobs over the same pictures, one left alone and
# one under attack (scripts/monitor_attack.py), in turns. The job and its monitor have one core, the
# attacker another, so that all that is lost is what the server takes.
#   scripts/monitor_attack.sh [--rounds N] [--items N] [--requests N] [--program FILE]
#     --rounds    pairs                       (5)
#     --items     pictures per job            (30000)
#     --requests  per attack                  (10000)
#     --program   build/bin/retinue
# Prints a line per job and the medians; exit code 1 when the median of the pairs loses more than 2 %,
# an answer is a wrong one, or memory grows. Needs python3, curl and two cores; checks /metrics where promtool is (Debian: prometheus).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=5 items=30000 requests=10000 program=build/bin/retinue
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --items) items=$2 ;;
    --requests) requests=$2 ;;
    --program) program=$2 ;;
    --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[monitor_attack] unknown option $1. Known: --rounds --items --requests --program" >&2; exit 2 ;;
  esac
  shift 2
done
[ -x "$program" ] || { echo "[monitor_attack] $program is not there. Build it: scripts/build.sh" >&2; exit 2; }
work=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill "$job" 2>/dev/null || true; rm -rf "$work"' EXIT

python3 - "$items" "$work/list.jsonl" <<'PYTHON'
import json, pathlib, sys
examples = pathlib.Path("configs/examples").resolve()
lines = map(json.loads, (examples / "manifest.jsonl").read_text().splitlines())
images = [str(examples / line["image"]) for line in lines if "image" in line]
with open(sys.argv[2], "w") as out:
    for i in range(int(sys.argv[1])):
        print(json.dumps({"id": str(i), "image": images[i % len(images)]}), file=out)
PYTHON

# run NAME ATTACKED: one job; sets rate (items/s), server_ms (the server thread's processor time) and grown_kib.
run() {
  local name=$1 attacked=$2 url port
  rm -rf "$work/job"
  taskset -c 0 "$program" caption --model configs/models/emoji-captioner --device cpu --threads 1 --max-new-tokens 64 \
    --input "$work/list.jsonl" --output "$work/job" --monitor 0 --no-progress 2>"$work/log" &
  job=$!
  for _ in $(seq 600); do
    url=$(sed -n 's/.*\[monitor\] \(http[^ ]*\).*/\1/p' "$work/log")
    if [ -n "$url" ] && curl -s "${url}status" | grep -q '"phase":"running"'; then break; fi
    sleep 0.05
  done
  port=${url##*:} port=${port%/}
  server_ms=0 before=0 after=0
  if [ "$attacked" = 1 ]; then
    taskset -c 1 python3 scripts/monitor_attack.py "$port" $((requests / 10)) >/dev/null || true
    before=$(awk '/VmRSS/ { print $2 }' "/proc/$job/status")
    if [ "$tool" = 1 ]; then curl -s "${url}metrics" | promtool check metrics; fi
    taskset -c 1 python3 scripts/monitor_attack.py "$port" "$requests" >"$work/attack.json" || wrong=1
    after=$(awk '/VmRSS/ { print $2 }' "/proc/$job/status" 2>/dev/null || echo 0)
    if [ -z "$after" ] || [ "$after" = 0 ]; then
      echo "[monitor_attack] the job ended before the attack did: give it more --items" >&2
      exit 2
    fi
    server_ms=$(server_time "$job")
  fi
  wait "$job" || { echo "[monitor_attack] the job failed:" >&2; cat "$work/log" >&2; exit 1; }
  job=
  rate=$(python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); t = r["this_run"]; print(t["done"] / t["seconds"])' "$work/job/report.json")
  grown_kib=$((after - before))
  printf '%-9s %8.1f items/s' "$name" "$rate"
  if [ "$attacked" = 1 ]; then
    seconds=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["seconds"])' "$work/attack.json")
    printf '   server thread %5d ms of processor; memory grew %6d KiB; attack %s' "$server_ms" "$grown_kib" "$(cat "$work/attack.json")"
  fi
  echo
}

# Milliseconds of processor time of the thread that runs at nice 19: the server's.
server_time() {
  for task in /proc/"$1"/task/*/stat; do
    sed 's/.*) //' "$task"
  done | awk -v hertz="$(getconf CLK_TCK)" '$17 == 19 { ticks += $12 + $13 } END { print int(1000 * ticks / hertz) }'
}

tool=0 wrong=0
if command -v promtool >/dev/null; then tool=1; else echo "promtool is not here: /metrics is not checked"; fi
losses=() grown=()
for round in $(seq "$rounds"); do
  # In turns who goes first, so that a drift of the machine falls on both.
  if [ $((round % 2)) = 1 ]; then order="0 1"; else order="1 0"; fi
  for attacked in $order; do
    if [ "$attacked" = 1 ]; then run attacked 1; attacked_rate=$rate; grown+=("$grown_kib"); else run alone 0; alone_rate=$rate; fi
  done
  losses+=("$(awk -v a="$alone_rate" -v b="$attacked_rate" 'BEGIN { printf "%.2f", 100 * (1 - b / a) }')")
done
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'; }
loss=$(median "${losses[@]}") growth=$(median "${grown[@]}")
echo "loss of throughput under attack, per pair: ${losses[*]} %; median $loss %; memory grew by a median of $growth KiB"
awk -v loss="$loss" -v growth="$growth" -v wrong="$wrong" 'BEGIN { exit loss > 2 || growth > 8192 || wrong }'
