# Writes the table of judged kernels (see judge_kernels.awk). Compilers do not know dynamic shared memory.
BEGIN {
  FS = "\t"
  printf "kernels for %s, nvcc %s, revision %s; instructions counted in %s\n\n", arch, version, revision, counted
  row = "| %-58s | %9s | %5s | %6s | %5s | %6s | %4s | %5s | %6s | %8s | %s |\n"
  printf row, "kernel", "registers", "stack", "spills", "loads", "shared", "mma", "wgmma", "copies", "ldmatrix", "verdict"
  print "|---|---|---|---|---|---|---|---|---|---|---|"
  row = "| %-58s | %9d | %5d | %6d | %5d | %6d | %4d | %5d | %6d | %8d | %s |\n"
}
{
  file = $2; sub(/.*\//, "", file); sub(/\.cu$/, "", file)
  printf row, file ": " $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $1
}
