# Writes gpu_check.txt from facts.tsv (key, value), steps.tsv and bench.tsv, in that order.
BEGIN { FS = "\t" }
FNR == 1 { part++ }
part == 1 && FNR == 1 { print "GPU CHECK" (emulated ? " ON THE EMULATOR: no result about a GPU" : ""); print "" }
FILENAME ~ /facts\.tsv$/ { printf "%-12s %s\n", $1, $2; next }
FILENAME ~ /steps\.tsv$/ {
  if (!steps++) {
    printf "\n%-21s %-10s %7s %6s %8s %7s  %s\n", "step", "status", "seconds", "tests", "failures", "on GPU", "detail"
  }
  printf "%-21s %-10s %7s %6s %8s %7s  %s\n", $1, $2, $3, $4, $5, $6, $7
  if ($2 == "passed") passed++; else if ($2 == "left out") left_out++; else if ($2 == "not run") not_run++; else failed++
  next
}
FILENAME ~ /bench\.tsv$/ {
  if (!rows++) {
    printf "\n%-56s %10s %9s %9s %10s %6s\n", "op (median; ratio: limit / median)", "us", "GB/s", "TFLOP/s", "limit us", "ratio"
  }
  if ($1 == "ERROR") { printf "%-56s FAILED: %s\n", $2, $9; next }
  printf "%-56s %10s %9s %9s %10s %6s  %s\n", $2, $3, $4, $5, $6, $7, ($1 == "" ? "" : $1 " (" $8 ", " $9 ")")
}
END {
  printf "\n%d passed, %d failed, %d NOT RUN, %d left out: %s\n", passed, failed, not_run, left_out, \
    (failed + not_run == 0 && passed > 0) ? "all well" : "NOT WELL"
}
