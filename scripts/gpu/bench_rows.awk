# Compares rows of a benchmark's JSON (one result per line) with bench_floors.txt; prints, tab-separated:
#   verdict ("", "below aim", "BELOW FLOOR" or "ERROR"), name, us, GB/s, TFLOP/s, limit us, ratio, floor, aim
# Input: bench_floors.txt, then the JSON; with -v shown_only=1 there are no demands. Exits 1 when a row is below its
# floor or has failed, 2 when there is no row. With json_field.awk.
FNR == NR {
  if (/^#/ || /^[ \t]*$/) next
  pattern[++floors] = $0
  sub(/[ \t]+[0-9.]+[ \t]+[0-9.]+[ \t]*$/, "", pattern[floors])
  floor_of[floors] = $(NF - 1); aim_of[floors] = $NF
  next
}
/"group":/ {
  name = field("name")
  rows++
  if (index($0, "\"error\":")) {
    printf "ERROR\t%s\t\t\t\t\t\t\t%s\n", name, field("error")
    bad = 1
    next
  }
  ratio = field("ratio") + 0
  verdict = ""; floor = ""; aim = ""
  for (i = 1; i <= floors; i++) if (!shown_only && name ~ "^(" pattern[i] ")$") {
    floor = floor_of[i]; aim = aim_of[i]
    if (ratio < aim) verdict = "below aim"
    if (ratio < floor) { verdict = "BELOW FLOOR"; bad = 1 }
    break
  }
  printf "%s\t%s\t%.1f\t%.1f\t%.2f\t%.1f\t%.3f\t%s\t%s\n", verdict, name, field("us"), field("gb_per_s"),
    field("tflop_per_s"), field("limit_us"), ratio, floor, aim
}
END { exit rows == 0 ? 2 : bad }
