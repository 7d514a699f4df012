#pragma once
// Tested through tests/runtime/engine/engine_test.cpp.

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// How the next token is chosen.  HF GenerationConfig, in the order of its logits processors.
struct SamplingParams {
  double temperature = 0;  ///< 0: greedy; of the rest only the penalties count then
  double top_p = 1;
  std::int64_t top_k = 0;  ///< 0: all
  double min_p = 0;
  double repetition_penalty = 1;  ///< on every id of prompt and output, once
  double presence_penalty = 0;    ///< on every id of the output, once
  std::uint64_t seed = 0;
};

/// Hash of content. A KV block's covers every token up to its end, with positions and pixels; an
/// image's covers its bytes and how they become pixels. Zeros: unknown content.
using ContentKey = std::array<std::uint64_t, 2>;

/// An image or video of a request, without its pixels: the rank that encodes it gets them from its
/// PixelSource.
struct RequestImage {
  std::uint64_t key = 0;  ///< names the pixels on every rank; unique among live requests
  layers::GridThw grid;
  ContentKey content{};  ///< equal keys promise equal pixels; zeros: shared with no other image
};

struct Request {
  std::uint64_t id = 0;              ///< the caller's; unique among live requests
  std::vector<std::int32_t> ids;     ///< prompt with placeholders expanded
  std::vector<RequestImage> images;  ///< in prompt order
  SamplingParams sampling;
  std::uint64_t sampling_stream = 0;  ///< keys the random numbers, whatever the order of arrival
  std::int64_t max_new_tokens = 256;
  std::vector<std::int32_t> stop_ids;  ///< end-of-sequence ids; empty: none ends it
  /// Called after each token with all output ids so far; true ends the request. For stop texts.
  std::function<bool(std::span<const std::int32_t>)> stop;
  bool logprobs = false;
  std::int64_t top_logprobs = 0;  ///< likeliest tokens to report beside each chosen one
  /// Ends a request whose output ends in this many repeats of one to 64 tokens. 0: never.
  std::int64_t max_repeats = 0;
  /// Predicted output length, for admission and order; 0: as other requests had.
  std::int64_t expected_new_tokens = 0;
  bool hash_logits = false;    ///< hash every row that a token is chosen from; for tests
  bool prompt_logits = false;  ///< keep the logits of every prompt token; for traces
};

enum class FinishReason { kStop, kLength, kRepetition };
constexpr const char* name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kRepetition:
      return "repetition";
  }
  return "";
}

/// A candidate for a token.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;  ///< natural, of the unmodified distribution
};

/// A finished request.
struct Completion {
  std::uint64_t id = 0;
  std::int64_t prompt_tokens = 0;
  std::vector<std::int32_t> ids;  ///< output, without the id that ended it
  FinishReason finish_reason = FinishReason::kLength;
  std::vector<float> logprobs;  ///< per output id, where asked for
  /// [ids, top_logprobs], likeliest first, where asked for.
  std::vector<TokenLogprob> top_logprobs;
  std::string logits_sha256;  ///< of the rows that tokens were chosen from, where asked for
  std::vector<std::byte> prompt_logits;  ///< [prompt_tokens, vocab], the model's dtype, where asked
  std::optional<DataError> error;        ///< the request failed; ids hold the output before that
  double first_token_s = 0, finished_s = 0;  ///< since submit
};

/// Gives the engine pixels. Called on the rank that encodes an image; the engine itself opens no
/// file.
class PixelSource {
 public:
  virtual ~PixelSource() = default;
  /// Starts to get the pixels of an image; returns at once.
  virtual void prefetch(std::uint64_t key) = 0;
  /// The patches, once they are ready; nothing before. A value is given out once.
  virtual std::optional<Result<layers::Patches>> take(std::uint64_t key) = 0;
};

}  // namespace retinue::runtime
