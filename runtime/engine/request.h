#pragma once

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
  double temperature = 0;  ///< 0: greedy, and nothing below but the penalties counts
  double top_p = 1;
  std::int64_t top_k = 0;  ///< 0: all
  double min_p = 0;
  double repetition_penalty = 1;  ///< on every id of prompt and output, once
  double presence_penalty = 0;    ///< on every id of the output, once
  std::uint64_t seed = 0;
};

/// Names content: of a page of the cache every token up to its end, with positions and pixels; of
/// an image its bytes and how they became pixels. Zeros name nothing.
using ContentKey = std::array<std::uint64_t, 2>;

/// An image or video of a request, without its pixels: these are asked of the PixelSource of the
/// rank that will encode it.
struct VisualItem {
  std::uint64_t key =
      0;  ///< names the pixels to every rank's PixelSource; unique among live requests
  layers::GridThw grid;
  ContentKey content{};  ///< equal keys promise equal pixels; zeros: shared with nobody
};

struct Request {
  std::uint64_t id = 0;           ///< the caller's; unique among live requests
  std::vector<std::int32_t> ids;  ///< prompt with placeholders expanded
  std::vector<VisualItem> items;  ///< in prompt order
  SamplingParams sampling;
  std::uint64_t sampling_stream =
      0;  ///< hash of id and prompt: keys the random numbers, not arrival order
  std::int64_t max_new_tokens = 256;
  std::vector<std::int32_t> stop_ids;  ///< end-of-sequence ids; empty: none ends it
  /// Asked after each token with all output ids so far; true ends the request. For stop texts.
  std::function<bool(std::span<const std::int32_t>)> stop;
  bool logprobs = false;
  std::int64_t top_logprobs = 0;  ///< this many of the likeliest tokens beside the chosen one
  /// Ends a request whose output ends in this many repeats of one to 64 tokens. 0: never.
  std::int64_t max_repeats = 0;
  /// How many tokens are likely to come; 0: as many as others had. Orders the queue, admits.
  std::int64_t expected_new_tokens = 0;
  bool hash_logits = false;    ///< every row that a token was chosen from; for proofs of equality
  bool prompt_logits = false;  ///< trace: keep the logits of every prompt token
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

/// A token that could have been chosen.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;  ///< natural, of the unmodified distribution
};

/// A finished request.
struct Completion {
  std::uint64_t id = 0;
  std::int64_t prompt_tokens = 0;
  std::vector<std::int32_t> ids;  ///< output; the id that ended it is not in it
  FinishReason finish_reason = FinishReason::kLength;
  std::vector<float> logprobs;  ///< per output id, where asked for
  /// [ids, top_logprobs], likeliest first, where asked for.
  std::vector<TokenLogprob> top_logprobs;
  std::string logits_sha256;  ///< of the rows that tokens were chosen from, where asked for
  std::vector<std::byte>
      prompt_logits;               ///< [prompt_tokens, vocab] in the model's dtype, where asked for
  std::optional<DataError> error;  ///< the request failed; ids are what came before
  double first_token_s = 0, finished_s = 0;  ///< since submit
};

/// Where the engine gets pixels. Called on the rank that owns an item; the engine itself opens no
/// file.
class PixelSource {
 public:
  virtual ~PixelSource() = default;
  /// Start getting the pixels of an item; returns at once.
  virtual void prefetch(std::uint64_t key) = 0;
  /// The patches, once they are there; nothing while they are not. A value is given out once.
  virtual std::optional<Result<layers::Patches>> take(std::uint64_t key) = 0;
};

}  // namespace retinue::runtime
