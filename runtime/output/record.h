#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {

/// An image or video as a record names it.
struct ShownMedia {
  bool video = false;
  std::vector<std::string> paths;
  std::int64_t width = 0;  ///< as in the file, upright
  std::int64_t height = 0;
  std::int64_t visual_tokens = 0;
};

/// What came of an item: one line of captions.jsonl. Nothing in it depends on when, where or beside
/// what it was made.
struct Record {
  std::string id;
  std::string caption;
  std::string finish_reason;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<ShownMedia> media;
  std::string sha256;    ///< of the input bytes; empty without any
  std::string numerics;  ///< names what the bits depend on beside the question; see retinue info
  bool with_logprobs = false;
  std::vector<std::int32_t> token_ids;  ///< with logprobs
  std::vector<float> logprobs;
  /// Of each token the likeliest, likeliest first; empty where none were asked for.
  std::vector<std::vector<std::pair<std::int32_t, float>>> top_logprobs;
};

/// Why an item has no record: one line of failures.jsonl.
struct Failure {
  std::string id;
  std::string source;  ///< "list.jsonl:17", where it came from one
  std::string stage;
  std::string message;
};

/// One line without its end; keys in the order of the command line's contract. Bytes that are no
/// UTF-8 become U+FFFD.
std::string to_json(const Record& record);
std::string to_json(const Failure& failure);

}  // namespace retinue::runtime
