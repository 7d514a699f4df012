# Reads the output of `cuobjdump -sass`; prints a line per kernel with facts of its main loop, tab-separated:
#   mangled name, instructions, mma, calls, local loads and stores, bytes of the widest access to global memory
# A loop is what lies between a branch backwards and its target. The main one has the most mma; without any, the most
# accesses to global memory; of equals it is the smallest. A kernel without loops counts whole. An instruction is an issue slot of a
# scheduler, so mma / instructions says how seldom a warp gives work to the tensor cores.
function width(text) { return text ~ /\.128/ ? 16 : text ~ /\.64/ ? 8 : text ~ /\.(U|S)?16/ ? 2 : text ~ /\.(U|S)8/ ? 1 : 4 }
function consider(first, last,   i, n, of_mma, of_global, of_calls, of_local, widest, better) {
  for (i = 1; i <= lines; i++) {
    if (address[i] < first || address[i] > last) continue
    n++
    if (opcode[i] ~ /^(HMMA|IMMA|QMMA|HGMMA|QGMMA)/) of_mma++
    else if (opcode[i] ~ /^(LDG|STG|LDGSTS|UBLKCP|UTMALDG)/) {
      of_global++
      if (width(opcode[i]) > widest) widest = width(opcode[i])
    } else if (opcode[i] ~ /^CALL/) of_calls++
    else if (opcode[i] ~ /^(LDL|STL)/) of_local++
  }
  if (found && of_mma != mma) better = of_mma > mma
  else if (found && !mma && of_global != global) better = of_global > global
  else better = !found || n < size
  if (!better) return
  found = 1; size = n; mma = of_mma + 0; global = of_global + 0; calls = of_calls + 0; local = of_local + 0; wide = widest + 0
}
function print_kernel(   i) {
  if (name == "") return
  found = size = mma = global = calls = local = wide = 0
  for (i = 1; i <= branches; i++) consider(to[i], from[i])
  if (!branches) consider(0, address[lines])
  printf "%s\t%d\t%d\t%d\t%d\t%d\n", name, size, mma, calls, local, wide
}
# Awk has no hexadecimal numbers.
function number(hex,   i, value) {
  for (i = 1; i <= length(hex); i++) value = value * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
  return value
}
/Function : / { print_kernel(); name = $NF; lines = branches = 0; next }
/^[ \t]*\/\*[0-9a-f]+\*\/[ \t]+[@A-Z]/ {
  match($0, /\/\*[0-9a-f]+\*\//)
  at = number(substr($0, RSTART + 2, RLENGTH - 4))
  text = substr($0, RSTART + RLENGTH)
  sub(/^[ \t]+/, "", text); sub(/^@!?U?P[0-9T]+[ \t]+/, "", text)
  address[++lines] = at; opcode[lines] = text; sub(/[ \t;].*/, "", opcode[lines])
  if (opcode[lines] ~ /^BRA/ && match(text, /0x[0-9a-f]+/)) {
    target = number(substr(text, RSTART + 2, RLENGTH - 2))
    if (target < at) { to[++branches] = target; from[branches] = at }
  }
}
END { print_kernel() }
