# Shortens demangled kernels to the name in the source: no return type, namespaces, parameters or casts of template
# arguments. `void a::(anonymous namespace)::k<(int)64, b::T>(b::P, int)` reads `k<64, T>`.
{
  gsub(/\(anonymous namespace\)::/, "")
  gsub(/\((int|bool|unsigned int|long|[A-Za-z_:0-9]*::[A-Za-z_0-9]+)\)/, "")
  depth = 0; out = ""
  for (i = 1; i <= length($0); i++) {
    c = substr($0, i, 1)
    if (c == "<") depth++
    if (c == ">") depth--
    if (c == "(" && depth == 0) break
    out = out c
  }
  gsub(/[A-Za-z_][A-Za-z_0-9]*::/, "", out)
  while (match(out, /^[a-z_ ]+ [A-Za-z_]/)) out = substr(out, RSTART + RLENGTH - 1)
  while (gsub(/> >/, ">>", out)) {}
  print out
}
