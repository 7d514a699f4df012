# Writes the table of judged kernels (see judge_kernels.awk). Compilers do not know dynamic shared memory.
BEGIN {
  FS = "\t"
  printf "kernels for %s, nvcc %s, revision %s; instructions counted in %s", arch, version, revision, counted
  print counted == "SASS" ? "\n" : "; main loops not read: no cuobjdump\n"
  row = "| %-58s | %9s | %5s | %6s | %5s | %6s | %4s | %5s | %6s | %8s | %5s | %5s | %5s | %s |\n"
  printf row, "kernel", "registers", "stack", "spills", "loads", "shared", "mma", "wgmma", "copies", "ldmatrix",
    "loop", "mma %", "bytes", "verdict"
  print "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
}
{
  file = $2; sub(/.*\//, "", file); sub(/\.cu$/, "", file)
  share = $13 == "-" || $13 == 0 ? "-" : sprintf("%.1f", 100 * $14 / $13)
  printf row, file ": " $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, share, $17, $1
}
