// Any bytes as the answer of an isolated worker: a grid and pixels that fit each other, or an error.
#include "runtime/decode/isolated_protocol.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace {

using namespace retinue::runtime;

void read_answer(AnswerHead head, std::span<const std::byte> body, const Asked& asked) {
  if (!validation_error(head, asked).empty()) return;
  // As many bytes as are there, where the head has no opinion of its own.
  if (head.body_bytes > static_cast<std::uint64_t>(asked.memory_bytes)) std::abort();
  if (head.kind == AnswerKind::kPatches && head.body_bytes == 0) std::abort();
  if (head.body_bytes > body.size()) return;
  body = body.first(head.body_bytes);
  if (head.kind == AnswerKind::kError) {
    const auto error = read_error_answer(body);
    if (error && (error->stage.empty() || error->message.empty())) std::abort();
  } else if (head.kind == AnswerKind::kHeader) {
    const auto header = read_header_answer(head, asked, body);
    if (!header) return;
    if (header->grid.grid_thw.patches() <= 0 || header->size.pixels() <= 0) std::abort();
    for (const double time : header->grid.timestamps_s)
      if (!std::isfinite(time)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  AnswerHead head;
  if (size < sizeof(head)) return 0;
  std::memcpy(static_cast<void*>(&head), data, sizeof(head));
  const auto body = std::as_bytes(std::span(data, size)).subspan(sizeof(head));
  for (const Want want : {Want::kHeader, Want::kPatches})
    for (const MediaKind kind : {MediaKind::kImage, MediaKind::kVideo})
      for (const bool mended : {false, true}) {
        // Reaches the code behind the first checks, too.
        if (mended) head.mark = kAnswerMark, head.kind = static_cast<AnswerKind>(data[4] % 4);
        if (mended && head.kind != AnswerKind::kPatches) head.body_bytes = body.size();
        read_answer(head, body, {.want = want, .kind = kind, .memory_bytes = 1 << 30});
      }
  (void)unpack_request({reinterpret_cast<const char*>(data), size});
  return 0;
}
