#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/media/media_decoder.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The messages between a rank and its isolated worker, over a socket. Both run the same executable
/// on the same machine, so numbers are sent as they lie in memory.
///
///   request  RequestHead, `head_bytes` of pack_request(), then the files, one after the other
///   answer   AnswerHead, then `body_bytes`
///
/// The worker trusts the rank. The rank trusts no answer, because a hostile image may control the
/// worker: it checks every number before it takes memory for it.

enum class Want : std::uint32_t { kHeader, kPatches };

inline constexpr std::uint32_t kRequestMark = 0x52415131, kAnswerMark = 0x41415131;

struct RequestHead {
  std::uint32_t mark = kRequestMark;
  Want want = Want::kHeader;
  std::uint64_t head_bytes = 0;
};

/// The arguments of read_header and read_patches, without the bytes of the files.
struct DecodeRequest {
  MediaReference media;  ///< files have the names that messages use
  std::vector<std::uint64_t> file_bytes;
  VisionProcessorSpec spec;
  ImageOptions image;
};

std::string pack_request(const DecodeRequest& request);
/// Nothing where `packed` did not come from pack_request.
std::optional<DecodeRequest> unpack_request(std::string_view packed);

enum class AnswerKind : std::uint32_t {
  kHeader,    ///< body: timestamps, f64
  kPatches,   ///< body: Patches::pixels
  kError,     ///< body: stage, a zero, message
  kNoMemory,  ///< no body
};

struct AnswerHead {
  std::uint32_t mark = kAnswerMark;
  AnswerKind kind = AnswerKind::kError;
  std::uint64_t body_bytes = 0;
  layers::GridThw grid_thw = {};  ///< kHeader, kPatches
  ImageSize size = {};            ///< kHeader
  std::int64_t frames = 0;        ///< kHeader
};

/// The parts of a request that an answer is checked against.
struct Asked {
  Want want = Want::kHeader;
  MediaKind kind = MediaKind::kImage;
  std::int64_t patch_size = 16, temporal_patch_size = 2, merge_size = 2;
  std::int64_t memory_bytes = 0;  ///< the worker's limit: it cannot hold more pixels
};

/// Returns the error in the head of an answer; empty where its body may be received.
std::string_view validation_error(const AnswerHead& head, const Asked& asked);

/// Parse the body of a kHeader or a kError whose head is valid; nothing where the body is not.
std::optional<MediaHeader> read_header_answer(const AnswerHead& head, const Asked& asked,
                                              std::span<const std::byte> body);
std::optional<DataError> read_error_answer(std::span<const std::byte> body);

}  // namespace retinue::runtime
