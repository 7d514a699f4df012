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

/// The result of an item: one line of captions.jsonl. Its bytes do not depend on time, rank, batch
/// or other items.
struct Record {
  std::string id;
  std::string caption;
  std::string finish_reason;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<ShownMedia> media;
  std::string sha256;    ///< of the bytes of images and videos; empty without any
  std::string numerics;  ///< fingerprint of all that decides bits beside the request: retinue info
  bool with_logprobs = false;
  std::vector<std::int32_t> token_ids;  ///< with logprobs
  std::vector<float> logprobs;
  /// The likeliest tokens at each position, likeliest first; empty where none were requested.
  std::vector<std::vector<std::pair<std::int32_t, float>>> top_logprobs;
};

/// Why an item has no record: one line of failures.jsonl.
struct FailureRecord {
  std::string id;
  std::string source;  ///< "list.jsonl:17"; empty where no manifest named the item
  std::string stage;
  std::string message;
};

/// One line without its end. The keys and their order are part of the command line's contract.
/// Malformed UTF-8 becomes U+FFFD.
std::string to_json(const Record& record);
std::string to_json(const FailureRecord& failure);

}  // namespace retinue::runtime
