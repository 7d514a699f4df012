# A line of JSON with the speed of a job of the 32B's shape, from its report.json: captions per second without the
# time that the weights took, and the operations that the arithmetic of a caption takes.
#   -v name=STEP
function number(key,   at) {
  at = index($0, "\"" key "\":")
  return at ? substr($0, at + length(key) + 3) + 0 : 0
}
/"this_run":/ { inside = 1 }
inside && /"seconds":/ { seconds = number("seconds") }
inside && /"done":/ { done = number("done") }
inside && /"media":/ { media = number("media") }
inside && /"prompt_tokens":/ { prompt = number("prompt_tokens") }
inside && /"completion_tokens":/ { completion = number("completion_tokens") }
inside && /}/ { inside = 0 }
/"weights_s":/ { weights = number("weights_s") }
END {
  seconds -= weights
  if (seconds <= 0 || done == 0) exit 1
  # Products of a decoder layer: qkv, o_proj, gate, up, down. A multiply-add counts as two operations.
  layer = 2 * (5120 * (64 + 2 * 8) * 128 + 64 * 128 * 5120 + 3 * 5120 * 25600)
  head = 2 * 5120 * 151936
  # Attention of a prompt sees half of its keys; a decoded token sees about the prompt and half an answer.
  p = prompt / done; c = completion / done
  attention = 4 * 64 * 64 * 128 * (p * p / 2 + c * (p + c / 2))
  # The tower: 4096 patches of 1024 x 1024; 27 layers of qkv, proj, fc1, fc2; the mergers and attention.
  patches = 4096
  tower = 27 * (2 * patches * (4 * 1152 * 1152 + 2 * 1152 * 4304) + 4 * patches * patches * 1152) \
    + 4 * 2 * patches / 4 * (4608 * 4608 + 4608 * 5120)
  flops = (p + c - 1) * 64 * layer + c * head + attention + media / done * tower
  printf "{\"job\":\"%s\",\"per_s\":%.4f,\"flops\":%.4e}\n", name, done / seconds, flops
}
