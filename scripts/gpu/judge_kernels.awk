# Checks kernels against the demands of hot_kernels.txt. Input: that file, then lines of
#   source, short name, registers, stack, spill stores, spill loads, shared, mma, wgmma, copies, ldmatrix,
#   and of the main loop: instructions, mma, calls, local, bytes (tabs); "-" where no SASS was read
# Output: the same with a verdict in front: "ok", "ok: reason" or "BAD: what". Exits 1 when a kernel is bad or a demand
# names no kernel (on standard error).
BEGIN { FS = "\t"; OFS = "\t" }
FNR == NR {
  if (/^#/ || /^[ \t]*$/) next
  # A pattern may have single spaces; two or more part the columns.
  split($0, word, /  +/)
  pattern[++demands] = word[1]; tensor[demands] = word[2]; room[demands] = word[3]; bytes[demands] = word[4]
  reason[demands] = word[5]
  if (word[2] !~ /^(mma|-|[0-9]+%)$/ || word[3] !~ /^(whole|calls|spills)$/ || word[4] !~ /^(-|[0-9]+)$/ || word[5] == "") {
    printf "[kernels] %s:%d: wanted PATTERN mma|N%%|- whole|calls|spills BYTES|- REASON, two spaces apart, got '%s'\n",
      FILENAME, FNR, $0 >"/dev/stderr"
    bad = 1
  }
  next
}
{
  demand = 0
  # Every demand that matches counts as used, not only the deciding one.
  for (i = demands; i >= 1; i--) if ($2 ~ "^(" pattern[i] ")$") { demand = i; used[i] = 1 }
  verdict = "ok"
  spilled = $5 + $6 > 0
  may_spill = demand && room[demand] == "spills"
  if (spilled && may_spill) verdict = "ok: " reason[demand]
  else if (spilled) verdict = "BAD: spills " $5 " bytes, reads " $6
  if (demand && tensor[demand] != "-" && $8 + $9 == 0) verdict = "BAD: no mma, though " reason[demand]
  if (demand && $12 != "-") {
    floor = tensor[demand] ~ /%/ ? tensor[demand] + 0 : 0
    if (100 * $13 < floor * $12) verdict = "BAD: " $13 " mma among " $12 " instructions of the main loop, wanted " floor "%"
    if (!may_spill && (room[demand] == "calls" ? 0 : $14) + $15 > 0) verdict = "BAD: the main loop has " $14 " calls and " $15 " accesses to local memory"
    if (bytes[demand] != "-" && $16 < bytes[demand])
      verdict = "BAD: the main loop reads at most " $16 " bytes at once, wanted " bytes[demand]
  }
  if (verdict ~ /^BAD/) bad = 1
  print verdict, $0
}
END {
  for (i = 1; i <= demands; i++) if (!used[i]) {
    printf "[kernels] no kernel is called %s. If it was renamed, rename it in hot_kernels.txt, too.\n", pattern[i] >"/dev/stderr"
    bad = 1
  }
  exit bad
}
