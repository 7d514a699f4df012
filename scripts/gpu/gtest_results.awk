# Summarises a GoogleTest JSON file in one line, tab-separated:
#   tests, failures, tests that ran on CUDA, the first failing tests (at most five, comma-separated)
# A test ran on CUDA when it recorded the property "cuda", or has Cuda or Nccl in its name. Disabled tests do not count.
function value(line) { sub(/^[^:]*: */, "", line); gsub(/[",]/, "", line); return line }
function close_test() {
  if (test == "") return
  if (counted && (on_cuda || suite test ~ /[Cc]uda|[Nn]ccl/)) cuda++
  if (counted && bad) { failing++; if (failing <= 5) names = names (names == "" ? "" : ", ") suite "." test }
  test = ""
}
/^  "tests": / && tests == "" { tests = value($0) + 0 }
/^  "failures": / && failures == "" { failures = value($0) + 0 }
/^ *"testsuites": / { listed = 1 }
# Suites are indented by six, tests by ten.
/^      "name": / { close_test(); suite = value($0) }
/^          "name": / { close_test(); test = value($0); on_cuda = 0; bad = 0; counted = 1 }
/^          "status": "NOTRUN"/ { counted = 0 }
/^          "cuda": / { on_cuda = 1 }
/^          "failures": \[/ { bad = 1 }
END {
  close_test()
  if (tests == "") exit 1
  if (failing > 5) names = names " and " failing - 5 " more"
  printf "%d\t%d\t%d\t%s\n", tests, failures, cuda, names
}
