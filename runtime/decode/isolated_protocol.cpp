#include "runtime/decode/isolated_protocol.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace retinue::runtime {
namespace {

constexpr std::uint64_t kMaxErrorBytes = 16 << 10;
/// Far above what any model accepts, and small enough that products do not overflow.
constexpr std::int64_t kMaxGrid = std::int64_t{1} << 16;
constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;

static_assert(std::is_trivially_copyable_v<VisionProcessorSpec> &&
              std::is_trivially_copyable_v<ImageOptions> &&
              std::is_trivially_copyable_v<AnswerHead>);

template <class T>
void put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <class T>
bool take(std::string_view& in, T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (in.size() < sizeof(T)) return false;
  std::memcpy(&value, in.data(), sizeof(T));
  in.remove_prefix(sizeof(T));
  return true;
}

bool between(std::int64_t value, std::int64_t low, std::int64_t high) {
  return value >= low && value <= high;
}

std::int64_t pixel_bytes(const layers::GridThw& grid, const Asked& asked) {
  return grid.patches() * 3 * asked.temporal_patch_size * asked.patch_size * asked.patch_size;
}

/// Whether an image that fits the worker's memory can have this grid. A larger one would cost this
/// process memory, as placeholders of a prompt or as pixels.
bool is_possible(const layers::GridThw& grid, const Asked& asked) {
  return between(grid.frames, 1, kMaxGrid) && between(grid.rows, 1, kMaxGrid) &&
         between(grid.columns, 1, kMaxGrid) && grid.rows % asked.merge_size == 0 &&
         grid.columns % asked.merge_size == 0 &&
         (asked.kind == MediaKind::kVideo || grid.frames == 1) &&
         grid.patches() <= asked.memory_bytes && pixel_bytes(grid, asked) <= asked.memory_bytes;
}

}  // namespace

std::string pack_request(const DecodeRequest& request) {
  std::string out;
  put(out, request.spec);
  put(out, request.image);
  put(out, request.media.kind);
  put(out, request.media.fps);
  put(out, std::uint64_t{request.media.files.size()});
  for (std::size_t i = 0; i < request.media.files.size(); ++i) {
    const std::string name = request.media.files[i].name();
    put(out, request.file_bytes[i]);
    put(out, std::uint64_t{name.size()});
    out += name;
  }
  return out;
}

std::optional<DecodeRequest> unpack_request(std::string_view packed) {
  DecodeRequest request;
  std::uint64_t files = 0;
  if (!take(packed, request.spec) || !take(packed, request.image) ||
      !take(packed, request.media.kind) || !take(packed, request.media.fps) || !take(packed, files))
    return std::nullopt;
  for (; files > 0; --files) {
    std::uint64_t bytes = 0, name_bytes = 0;
    if (!take(packed, bytes) || !take(packed, name_bytes) || name_bytes > packed.size())
      return std::nullopt;
    request.file_bytes.push_back(bytes);
    request.media.files.emplace_back(std::string(packed.substr(0, name_bytes)));
    packed.remove_prefix(name_bytes);
  }
  if (!packed.empty()) return std::nullopt;
  return request;
}

std::string_view validation_error(const AnswerHead& head, const Asked& asked) {
  if (head.mark != kAnswerMark) return "not an answer";
  switch (head.kind) {
    case AnswerKind::kNoMemory:
      return head.body_bytes == 0 ? "" : "a body where none belongs";
    case AnswerKind::kError:
      return head.body_bytes <= kMaxErrorBytes ? "" : "an endless message";
    case AnswerKind::kHeader: {
      if (asked.want != Want::kHeader) return "an answer to another request";
      if (!is_possible(head.grid_thw, asked)) return "an impossible grid";
      if (!between(head.size.height, 1, kMaxSide) || !between(head.size.width, 1, kMaxSide) ||
          !between(head.frames, 1, kMaxSide))
        return "an impossible size";
      const auto times =
          static_cast<std::uint64_t>(asked.kind == MediaKind::kVideo ? head.grid_thw.frames : 0);
      return head.body_bytes == times * sizeof(double) ? "" : "not one time per frame";
    }
    case AnswerKind::kPatches:
      if (asked.want != Want::kPatches) return "an answer to another request";
      if (!is_possible(head.grid_thw, asked)) return "an impossible grid";
      return head.body_bytes == static_cast<std::uint64_t>(pixel_bytes(head.grid_thw, asked))
                 ? ""
                 : "not the pixels of its grid";
  }
  return "an unknown kind of answer";
}

std::optional<MediaHeader> read_header_answer(const AnswerHead& head, const Asked& asked,
                                              std::span<const std::byte> body) {
  MediaHeader header;
  header.grid.kind = asked.kind;
  header.grid.grid_thw = head.grid_thw;
  header.grid.timestamps_s.resize(body.size() / sizeof(double));
  if (!body.empty()) std::memcpy(header.grid.timestamps_s.data(), body.data(), body.size());
  if (!std::ranges::all_of(header.grid.timestamps_s,
                           [](double time) { return std::isfinite(time); }))
    return std::nullopt;
  header.size = head.size;
  header.frames = head.frames;
  return header;
}

std::optional<DataError> read_error_answer(std::span<const std::byte> body) {
  const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
  const auto zero = text.find('\0');
  if (zero == std::string_view::npos || zero == 0 || zero > 16 || zero + 1 == text.size())
    return std::nullopt;
  const std::string_view stage = text.substr(0, zero);
  if (!std::ranges::all_of(stage, [](char c) { return c >= 'a' && c <= 'z'; })) return std::nullopt;
  return DataError{std::string(stage), std::string(text.substr(zero + 1))};
}

}  // namespace retinue::runtime
