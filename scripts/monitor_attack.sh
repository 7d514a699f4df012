#!/usr/bin/env bash
# Measures what an attack on the monitor costs the job. One job runs alone and under attack (scripts/monitor_attack.py)
# in turns of a few seconds, so that a drift of the machine affects both. The job and its monitor have one core and the
# attacker another, so the loss is the server's share of the job's core.
#   scripts/monitor_attack.sh [--windows N] [--requests N] [--program FILE]
#     --windows   windows under attack, each between two without   (16)
#     --requests  requests in all                                  (16000)
#     --program   build/bin/retinue
# Prints a line per window and the medians. Exit code 1: the median window loses more than 2 %, an answer is wrong, or
# memory grows. Needs python3, curl and two cores; checks /metrics where promtool is installed (Debian: prometheus).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
windows=16 requests=16000 program=build/bin/retinue
while [ $# -gt 0 ]; do
  case $1 in
    --windows) windows=$2 ;;
    --requests) requests=$2 ;;
    --program) program=$2 ;;
    --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[monitor_attack] unknown option $1. Known: --windows --requests --program" >&2; exit 2 ;;
  esac
  shift 2
done
[ -x "$program" ] || { echo "[monitor_attack] $program is not there. Build it: scripts/build.sh" >&2; exit 2; }
work=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill "$job" 2>/dev/null || true; wait; rm -rf "$work"' EXIT

# More items than the job can do: it is stopped after the last window.
python3 - "$work/list.jsonl" <<'PYTHON'
import json, pathlib, sys
examples = pathlib.Path("configs/examples").resolve()
lines = map(json.loads, (examples / "manifest.jsonl").read_text().splitlines())
images = [str(examples / line["image"]) for line in lines if "image" in line]
with open(sys.argv[1], "w") as out:
    for i in range(1000000):
        print(json.dumps({"id": str(i), "image": images[i % len(images)]}), file=out)
PYTHON
taskset -c 0 "$program" caption --model configs/models/emoji-captioner --device cpu --threads 1 --max-new-tokens 64 \
  --input "$work/list.jsonl" --output "$work/job" --monitor 0 --no-progress 2>"$work/log" &
job=$!
url=
for _ in $(seq 600); do
  url=$(sed -n 's/.*\[monitor\] \(http[^ ]*\).*/\1/p' "$work/log")
  if [ -n "$url" ] && curl -s "${url}status" | grep -q '"phase":"running"'; then break; fi
  sleep 0.05
done
[ -n "$url" ] || { echo "[monitor_attack] the job has no monitor:" >&2; cat "$work/log" >&2; exit 1; }
port=${url##*:} port=${port%/}

# Items done and the time of that count, from the status that the job publishes once a second.
status() {
  curl -s "${url}status" | taskset -c 1 python3 -c \
    'import json, sys; s = json.load(sys.stdin); print(s["this_run"]["done"], s["updated_unix_s"])' ||
    { echo "[monitor_attack] the job ended:" >&2; cat "$work/log" >&2; exit 1; }
}
# Milliseconds of processor time of the thread that runs at nice 19: the server's.
server_ms() {
  for task in /proc/"$job"/task/*/stat; do
    sed 's/.*) //' "$task"
  done | awk -v hertz="$(getconf CLK_TCK)" '$17 == 19 { ticks += $12 + $13 } END { print int(1000 * ticks / hertz) }'
}
resident_kib() { awk '/VmRSS/ { print $2 }' "/proc/$job/status"; }
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'; }
rate() { awk "BEGIN { printf \"%.1f\", ($3 - $1) / ($4 - $2) }"; } # DONE SECONDS DONE SECONDS

wrong=0 length=5 alone=() attacked=() losses=()
# The first requests of each kind allocate what stays allocated.
taskset -c 1 python3 scripts/monitor_attack.py "$port" $((requests / 10)) >/dev/null || wrong=1
if command -v promtool >/dev/null; then
  curl -s "${url}metrics" | promtool check metrics || wrong=1
else
  echo "promtool is not installed: /metrics is not checked"
fi
leave_alone() { # adds a window to `alone`
  local before
  sleep 1.5
  before=$(status)
  sleep "$length"
  # shellcheck disable=SC2046
  alone+=("$(rate $before $(status))")
}
kib=$(resident_kib) ms=0
leave_alone
for window in $(seq "$windows"); do
  taskset -c 1 python3 scripts/monitor_attack.py "$port" $((requests / windows)) >"$work/attack.json" &
  attack=$!
  sleep 1.5
  before=$(status) ms_before=$(server_ms)
  wait $attack || wrong=1
  # shellcheck disable=SC2046
  attacked+=("$(rate $before $(status))")
  ms=$((ms + $(server_ms) - ms_before))
  length=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["seconds"] - 1.5)' "$work/attack.json")
  leave_alone
  losses+=("$(awk "BEGIN { printf \"%.2f\", 100 * (1 - 2 * ${attacked[-1]} / (${alone[-2]} + ${alone[-1]})) }")")
  echo "window $window: ${alone[-2]} items/s alone, ${attacked[-1]} under attack, ${alone[-1]} alone: ${losses[-1]} % lost;" \
    "attack $(cat "$work/attack.json")"
done
growth=$(($(resident_kib) - kib))
loss=$(median "${losses[@]}")
echo "loss of throughput under attack, median of $windows windows: $loss % (quartiles $(printf '%s\n' "${losses[@]}" | sort -n |
  awk '{ v[NR] = $1 } END { print v[int((NR + 3) / 4)], v[int((3 * NR + 3) / 4)] }') %); the server's thread took $ms ms of" \
  "processor in these windows; memory grew by $growth KiB"
awk -v loss="$loss" -v growth="$growth" -v wrong="$wrong" 'BEGIN { exit loss > 2 || growth > 8192 || wrong }'
