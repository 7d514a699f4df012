#!/usr/bin/env bash
# Screenshots of the monitor's page while a job runs, to be looked at: phone (390 x 844) and desktop
# (1440 x 900), light and dark, the first screen and the whole page.
#   scripts/monitor_screenshots.sh [--output DIR] [--items N] [--program FILE]
#     --output   runs/monitor-screenshots
#     --items    items of the job          (60000: some two minutes)
#     --program  build/bin/retinue
# Needs python3, curl and Chromium (Debian: chromium). Some items of the job are missing, and some have names that are
# markup. Fails when such a name does not show as text, or when the browser reports an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
output=runs/monitor-screenshots items=60000 program=build/bin/retinue
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2 ;;
    --items) items=$2 ;;
    --program) program=$2 ;;
    --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[monitor_screenshots] unknown option $1. Known: --output --items --program" >&2; exit 2 ;;
  esac
  shift 2
done
browser=$(command -v chromium chromium-browser google-chrome | head -n 1 || true)
[ -n "$browser" ] || { echo "[monitor_screenshots] no Chromium here. Install it: apt-get install chromium" >&2; exit 2; }
[ -x "$program" ] || { echo "[monitor_screenshots] $program is not there. Build it: scripts/build.sh" >&2; exit 2; }
mkdir -p "$output"
work=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill "$job" 2>/dev/null || true; wait || true; rm -rf "$work"' EXIT

python3 - "$items" "$work/list.jsonl" <<'PYTHON'
import json, pathlib, sys
examples = pathlib.Path("configs/examples").resolve()
lines = map(json.loads, (examples / "manifest.jsonl").read_text().splitlines())
images = [str(examples / line["image"]) for line in lines if "image" in line]
with open(sys.argv[2], "w") as out:
    for i in range(int(sys.argv[1])):
        name = f"<img src=x onerror=alert({i})>" if i % 60 == 5 else f"scene-{i:06}"
        print(json.dumps({"id": name, "image": "missing.png" if i % 50 == 5 else images[i % len(images)]}), file=out)
PYTHON
"$program" caption --model configs/models/emoji-captioner --device cpu --ranks 4 --tensor-parallel 2 --threads 1 \
  --max-new-tokens 64 --input "$work/list.jsonl" --output "$work/job" --monitor 0 2>"$work/log" &
job=$!
for _ in $(seq 600); do
  url=$(sed -n 's/.*\[monitor\] \(http[^ ]*\).*/\1/p' "$work/log")
  if [ -n "$url" ] && curl -s "${url}status" | grep -q '"phase":"running"'; then break; fi
  sleep 0.05
done
[ -n "$url" ] || { cat "$work/log" >&2; exit 1; }
sleep 25  # for a few points of the charts
browse() {
  "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/browser" \
    --virtual-time-budget=3000 --enable-logging=stderr "$@" "$url" 2>"$work/browser.log" ||
    { cat "$work/browser.log" >&2; exit 1; }
}
browse --dump-dom >"$work/page"
grep -q '&lt;img src=x onerror' "$work/page" || { echo "[monitor_screenshots] no name with markup is on the page" >&2; exit 1; }
if grep -q '<img src="\?x' "$work/page"; then echo "[monitor_screenshots] a name became markup" >&2; exit 1; fi
grep -q '<strong class="number" id="counted">[0-9]' "$work/page" || { echo "[monitor_screenshots] the page shows no count" >&2; exit 1; }
if grep 'CONSOLE' "$work/browser.log" >&2; then echo "[monitor_screenshots] the page's console has complaints" >&2; exit 1; fi
# In Chromium's settings 0 is dark and 1 is light.
for scheme in 0:dark 1:light; do
  for size in 390,844:phone 1440,900:desktop 390,5000:phone-whole 1440,2600:desktop-whole; do
    file=$output/${size#*:}-${scheme#*:}.png
    browse --blink-settings=preferredColorScheme="${scheme%:*}" --window-size="${size%:*}" --screenshot="$file"
    echo "$file"
  done
done
