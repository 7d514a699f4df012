# Reads facts of kernels from compiler output; prints a line per kernel, tab-separated:
#   mangled name, registers, stack bytes, spill stores, spill loads, shared bytes, mma, wgmma, async copies, ldmatrix
# Input: the text of `ptxas -v`, then the PTX, then (where there is one) the output of cuobjdump -sass; an argument
# kind=ptxas|ptx|sass comes before each file. Instructions in SASS replace those in PTX.
function number_before(words,   at) {
  at = index($0, words)
  if (!at) return 0
  match(substr($0, 1, at - 1), /[0-9]+ *$/)
  return substr($0, RSTART, RLENGTH) + 0
}
function count(kernel, what) { found[kernel, kind, what]++ }

kind == "ptxas" && /Compiling entry function/ {
  split($0, part, "'"); name = part[2]
  if (!(name in known)) { known[name] = 1; order[++kernels] = name }
  next
}
# A called function is not listed, and its numbers must not overwrite those of the kernel before it.
kind == "ptxas" && /Function properties for/ { of = $NF; next }
kind == "ptxas" && /bytes stack frame/ && of == name {
  stack[name] = number_before(" bytes stack frame")
  stores[name] = number_before(" bytes spill stores")
  loads[name] = number_before(" bytes spill loads")
  next
}
kind == "ptxas" && /Used [0-9]+ registers/ && name != "" {
  registers[name] = number_before(" registers")
  shared[name] = number_before(" bytes smem")
  next
}
kind == "ptx" && /\.entry / { name = $0; sub(/.*\.entry +/, "", name); sub(/[^A-Za-z0-9_$.].*/, "", name); next }
kind == "ptx" && /^\.func|\.func / { name = "" }
kind == "ptx" && name != "" {
  if (/[ \t]wgmma\.mma_async/) count(name, "wgmma")
  else if (/[ \t]mma\.sync/) count(name, "mma")
  else if (/[ \t]cp\.async\.(ca|cg|bulk)/) count(name, "copies")
  else if (/[ \t]ldmatrix/) count(name, "ldmatrix")
}
kind == "sass" && /Function : / { name = $NF; sass[name] = 1; next }
kind == "sass" && name != "" {
  if (/[ \t]HGMMA/) count(name, "wgmma")
  else if (/[ \t](HMMA|IMMA|QMMA)/) count(name, "mma")
  else if (/[ \t](LDGSTS|UBLKCP|UTMALDG)/) count(name, "copies")
  else if (/[ \t]LDSM/) count(name, "ldmatrix")
}
END {
  for (i = 1; i <= kernels; i++) {
    k = order[i]
    from = (k in sass) ? "sass" : "ptx"
    printf "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", k, registers[k], stack[k], stores[k], loads[k], shared[k],
      found[k, from, "mma"], found[k, from, "wgmma"], found[k, from, "copies"], found[k, from, "ldmatrix"]
  }
}
