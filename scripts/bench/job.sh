#!/usr/bin/env bash
# Measures a job of many tiny items: seconds until the first record, memory, the cost of the journal.
#   scripts/bench/job.sh [--items N] [--images] [--keep]
# Items are prompts of a few words to the small committed model, one token each; with --images every item is
# a PNG of 32 x 32 pixels in a folder. The start includes reading the model and the first step. The journal's
# share is the time to append the same records alone, over the time of the run. Prints a table, writes
# runs/bench/job.json. Run it on a quiet machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
items=200000 images=0 keep=0
while [ $# -gt 0 ]; do
  case $1 in
    --items) items=$2; shift 2 ;;
    --images) images=1; shift ;;
    --keep) keep=1; shift ;;
    *) echo "[bench] unknown option $1. Known: --items, --images, --keep" >&2; exit 2 ;;
  esac
done
mkdir -p runs/bench
cmake --preset cpu-release >/dev/null
cmake --build --preset cpu-release --target retinue journal_bench

work=$(mktemp -d runs/bench/job.XXXXXX)
cleanup() { [ "$keep" = 1 ] || rm -rf "$work"; }
trap cleanup EXIT
if [ "$images" = 1 ]; then
  kind="PNGs of 32 x 32 pixels in a folder"
  input=$work/in
  # One file under many names: what is measured is reading by name.
  base64 -d >"$work/tiny.png" <<'PNG'
iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAGyklEQVR42hXVEdvGIBiG4ReH4XAYDofhMAyH4XB44TAMw2EYhuEwDIfD8Nu3H9DZ8XQ/936/H8MP8WP8Mf2QP+Yfyw/1Y/2hf5gf2w/7Y/9x/ODH+cP98D/Cj+tH/JF+5B/lx/2j/mg/nh/vj/7j9xsYBsTAODANyIF5YBlQA+uAHjAD24Ad2AeOAQbOATfgB8LANRAH0kAeKAP3QB1oA8/AO9CHDxAMAiEYBZNACmbBIlCCVaAFRrAJrGAXHAIEp8AJvCAILkEUJEEWFMEtqIImeASvoIsPGBlGxMg4Mo3IkXlkGVEj64geMSPbiB3ZR44RRs4RN+JHwsg1EkfSSB4pI/dIHWkjz8g70scPmBgmxMQ4MU3IiXlimVAT64SeMBPbhJ3YJ44JJs4JN+EnwsQ1ESfSRJ4oE/dEnWgTz8Q70acPkAwSIRklk0RKZskiUZJVoiVGskmsZJccEiSnxEm8JEguSZQkSZYUyS2pkiZ5JK+kyw+YGWbEzDgzzciZeWaZUTPrjJ4xM9uMndlnjhlmzhk342fCzDUTZ9JMnikz90ydaTPPzDvT5w9YGBbEwrgwLciFeWFZUAvrgl4wC9uCXdgXjgUWzgW34BfCwrUQF9JCXigL90JdaAvPwrvQlw9QDAqhGBWTQipmxaJQilWhFUaxKaxiVxwKFKfCKbwiKC5FVCRFVhTFraiKpngUr6KrD1gZVsTKuDKtyJV5ZVlRK+uKXjEr24pd2VeOFVbOFbfiV8LKtRJX0kpeKSv3Sl1pK8/Ku9LXD9AMGqEZNZNGambNolGaVaM1RrNprGbXHBo0p8ZpvCZoLk3UJE3WFM2tqZqmeTSvpusPMAwGYRgNk0EaZsNiUIbVoA3GsBmsYTccBgynwRm8IRguQzQkQzYUw22ohmZ4DK+hmw/YGDbExrgxbciNeWPZUBvrht4wG9uG3dg3jg02zg234TfCxrURN9JG3igb90bdaBvPxrvRtw+wDBZhGS2TRVpmy2JRltWiLcayWaxltxwWLKfFWbwlWC5LtCRLthTLbamWZnksr6XbD9gZdsTOuDPtyJ15Z9lRO+uO3jE7247d2XeOHXbOHbfjd8LOtRN30k7eKTv3Tt1pO8/Ou9P3DzgYDsTBeDAdyIP5YDlQB+uBPjAH24E92A+OAw7OA3fgD8LBdRAP0kE+KAf3QT1oB8/Be9CPD/gv4K8ivxL7auYrgm9Vv2X64v4F8ovM96jf2L/BfFf/Dv//TnDgIcAFERJkKHBDhQYPvNC/38fvZDgRJ+PJdCJP5pPlRJ2sJ/rEnGwn9mQ/Oc7/488Td+JPwsl1Ek/SST4pJ/dJPWknz8l70s8PcAwO4Rgdk0M6ZsfiUI7VoR3GsTmsY3cc7v/yp8M5vCM4Lkd0JEd2FMftqI7meByvo7sP8Awe4Rk9k0d6Zs/iUZ7Voz3Gs3msZ/cc/n80p8d5vCd4Lk/0JE/2FM/tqZ7meTyvp/sPCAwBERgDU0AG5sASUIE1oAMmsAVsYA8c4X/wZ8AFfCAErkAMpEAOlMAdqIEWeAJvoIcPuBguxMV4MV3Ii/liuVAX64W+MBfbhb3YL47r/1nPC3fhL8LFdREv0kW+KBf3Rb1oF8/Fe9GvD4gMEREZI1NERubIElGRNaIjJrJFbGSPHPE/NGfERXwkRK5IjKRIjpTIHamRFnkib6THD0gMCZEYE1NCJubEklCJNaETJrElbGJPHOk/kmfCJXwiJK5ETKRETpTEnaiJlngSb6KnD8gMGZEZM1NGZubMklGZNaMzJrNlbGbPHPk/8GfGZXwmZK5MzKRMzpTMnamZlnkyb6bnDygMBVEYC1NBFubCUlCFtaALprAVbGEvHOV/nc6CK/hCKFyFWEiFXCiFu1ALrfAU3kIvH3Az3Iib8Wa6kTfzzXKjbtYbfWNutht7s98c9/+ynjfuxt+Em+sm3qSbfFNu7pt6026em/em3x9QGSqiMlamiqzMlaWiKmtFV0xlq9jKXjnqfxWcFVfxlVC5KrGSKrlSKnelVlrlqbyVXj+gMTREY2xMDdmYG0tDNdaGbpjG1rCNvXG0/6I5G67hG6FxNWIjNXKjNO5GbbTG03gbvX3Aw/AgHsaH6UE+zA/Lg3pYH/SDedge7MP+cDz/NXY+uAf/EB6uh/iQHvJDebgf6kN7eB7eh/58wMvwIl7Gl+lFvswvy4t6WV/0i3nZXuzL/nK8/yV5vrgX/xJerpf4kl7yS3m5X+pLe3le3pf+fkBn6IjO2Jk6sjN3lo7qrB3dMZ2tYzt75+j/FXx2XMd3QufqxE7q5E7p3J3aaZ2n83Z65w80CuBMrqY5NQAAAABJRU5ErkJggg==
PNG
  for ((folder = 0; folder * 1000 < items; folder++)); do
    mkdir -p "$input/$folder"
    last=$((items - folder * 1000 < 1000 ? items - folder * 1000 : 1000))
    for ((i = 0; i < last; i++)); do echo "$work/tiny.png"; echo "$input/$folder/$i.png"; done |
      xargs -n 2 ln
  done
else
  kind="prompts of three words in a manifest"
  input=$work/list.jsonl
  awk -v n="$items" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\":\"item-%d\",\"prompt\":\"Name item %d.\"}\n", i, i }' \
    >"$input"
fi

now() { date +%s.%N; }
segment=$work/out/journal/r00000.e0.seg
begin=$(now)
build/cpu-release/bin/retinue caption --model configs/models/emoji-captioner --input "$input" --output "$work/out" \
  --max-new-tokens 1 --max-sequences 128 --threads 1 --no-progress --quiet &
pid=$!
# The start line comes first, then records.
until [ -e "$segment" ] && [ "$(wc -l <"$segment")" -ge 2 ]; do
  kill -0 $pid || { echo "[bench] the job ended before its first record" >&2; exit 1; }
  sleep 0.02
done
start_s=$(echo "$(now) - $begin" | bc)
rss() { awk "/^$1:/ { print \$2 }" "/proc/$pid/status" 2>/dev/null; }
rss_start=$(rss VmRSS) rss_10=0 rss_50=0 rss_95=0
while kill -0 $pid 2>/dev/null; do
  lines=$(wc -l <"$segment")
  kib=$(rss VmRSS) || true
  if [ -n "$kib" ]; then
    [ "$rss_10" != 0 ] || [ "$lines" -lt $((items / 10)) ] || rss_10=$kib
    [ "$rss_50" != 0 ] || [ "$lines" -lt $((items / 2)) ] || rss_50=$kib
    [ "$rss_95" != 0 ] || [ "$lines" -lt $((items * 95 / 100)) ] || rss_95=$kib
    peak=$(rss VmHWM) || true
  fi
  sleep 0.2
done
code=0
wait $pid || code=$?
end=$(now)
run_s=$(awk -F'[:,]' '/"seconds"/ { print $2 + 0; exit }' "$work/out/report.json")
records=$(($(wc -l <"$segment") - 1))
captions=$(wc -l <"$work/out/captions.jsonl")
append_us=$(build/cpu-release/bin/journal_bench "$segment")
share=$(echo "scale=3; 100 * $append_us * $records / 1000000 / $run_s" | bc)
total_s=$(echo "$end - $begin" | bc)

printf '%-34s %s\n' items "$items: $kind" "exit code, captions" "$code, $captions" \
  "start to first record, s" "$start_s" "run, s" "$run_s" "process, s" "$total_s" \
  "RSS at start, 10, 50, 95 %, KiB" "$rss_start $rss_10 $rss_50 $rss_95" "peak RSS, KiB" "$peak" \
  "append of a record, us" "$append_us" "journal, % of the run" "$share"
cat >runs/bench/job.json <<JSON
{"schema_version": 1, "items": $items, "pictures": $images, "exit_code": $code, "captions": $captions,
 "start_s": $start_s, "run_s": $run_s, "process_s": $total_s, "rss_kib": [$rss_start, $rss_10, $rss_50, $rss_95],
 "peak_rss_kib": $peak, "append_us": $append_us, "journal_percent": $share, "cpu": "$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)"}
JSON
[ "$code" = 0 ] && [ "$captions" = "$items" ]
