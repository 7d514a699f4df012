#!/usr/bin/env bash
# Screenshots of a study's index.html or compare.html, to be looked at: phone (390 wide) and desktop (1440 wide), light
# and dark. Fails when the browser reports an error or refuses a part of the page.
#   scripts/study_screenshots.sh PAGE [--output DIR]
#     --output   runs/study-screenshots
# Needs Chromium (Debian: chromium).
set -euo pipefail
page= output=runs/study-screenshots
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2; shift 2 ;;
    --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "[study_screenshots] unknown option $1. Known: --output" >&2; exit 2 ;;
    *) page=$(realpath "$1"); shift ;;
  esac
done
[ -f "$page" ] || { echo "[study_screenshots] give a page that 'retinue study' wrote: DIR/index.html" >&2; exit 2; }
browser=$(command -v chromium chromium-browser google-chrome | head -n 1 || true)
[ -n "$browser" ] || { echo "[study_screenshots] no Chromium here. Install it: apt-get install chromium" >&2; exit 2; }
mkdir -p "$output"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# In Chromium's settings 0 is dark and 1 is light.
for scheme in 0:dark 1:light; do
  for size in 390,6000:phone 1440,2600:desktop; do
    file=$output/${size#*:}-${scheme#*:}.png
    timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/browser" \
      --virtual-time-budget=3000 --enable-logging=stderr --blink-settings=preferredColorScheme="${scheme%:*}" \
      --window-size="${size%:*}" --screenshot="$file" "file://$page" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    if grep CONSOLE "$work/log" >&2; then echo "[study_screenshots] the page's console has complaints" >&2; exit 1; fi
    echo "$file"
  done
done
