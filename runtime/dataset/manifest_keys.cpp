#include "runtime/dataset/manifest_keys.h"

#include "runtime/dataset/openai_batch.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 9> kRead = {
    "id", "image", "images", "video", "fps", "prompt", "messages", "system", "conversations"};
/// Those of a batch but logprobs, which in a line is that of an earlier answer.
constexpr std::array<std::string_view, 13> kSampling = {"max_new_tokens",
                                                        "max_tokens",
                                                        "max_completion_tokens",
                                                        "temperature",
                                                        "top_p",
                                                        "top_k",
                                                        "min_p",
                                                        "repetition_penalty",
                                                        "presence_penalty",
                                                        "seed",
                                                        "stop",
                                                        "stop_token_ids",
                                                        "ignore_eos"};
/// Those of vLLM and transformers that are not served, but with the value that changes nothing.
constexpr std::array<std::string_view, 15> kUnservedSampling = {
    "frequency_penalty", "length_penalty",  "no_repeat_ngram_size",
    "min_tokens",        "min_new_tokens",  "logit_bias",
    "best_of",           "num_beams",       "use_beam_search",
    "bad_words",         "response_format", "guided_json",
    "guided_regex",      "guided_choice",   "structured_outputs"};
constexpr std::array<std::string_view, 10> kMediaElsewhere = {
    "image_path", "image_paths", "image_url",  "image_file", "img",
    "img_path",   "picture",     "video_path", "video_url",  "video_file"};

DataError bad(std::string message) { return {"manifest", std::move(message)}; }

template <std::size_t n>
bool holds(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Without case, hyphens, underscores and spaces.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != '-' && c != '_' && c != ' ')
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// Whether the texts differ by one letter more, less or other, or by two neighbours exchanged.
bool one_edit(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > 1) return false;
  std::size_t same = 0;
  while (same < a.size() && a[same] == b[same]) ++same;
  const auto rest = [](std::string_view text, std::size_t from) {
    return text.substr(std::min(from, text.size()));
  };
  if (a.size() < b.size()) return rest(a, same) == rest(b, same + 1);
  if (rest(a, same + 1) == rest(b, same + 1)) return true;
  return same + 1 < a.size() && a[same] == b[same + 1] && a[same + 1] == b[same] &&
         rest(a, same + 2) == rest(b, same + 2);
}

/// The key of ours that `key` is a slip of; empty: none.
std::string_view meant_by(const std::string& key, const Json& line) {
  constexpr std::array<std::string_view, 1> kQuestion = {"question"};
  const auto there = [&](std::string_view own) { return line.contains(own); };
  for (const std::span<const std::string_view> names :
       {std::span<const std::string_view>(kRead), std::span<const std::string_view>(kQuestion),
        std::span<const std::string_view>(kSampling)})
    if (const auto own = near_name(key, names, there); !own.empty()) return own;
  return {};
}

}  // namespace

std::string_view near_name(std::string_view key, std::span<const std::string_view> names,
                           const std::function<bool(std::string_view)>& there) {
  constexpr std::size_t kShort = 5;  // short names are one letter from many words
  const std::string name = plain(key);
  for (const std::string_view own : names) {
    const std::string wanted = plain(own);
    if (name == wanted ? !there(own) : wanted.size() >= kShort && one_edit(name, wanted))
      return own;
  }
  return {};
}

bool has_value(const Json& line, std::string_view key) {
  const auto found = line.find(key);
  if (found == line.end() || found->is_null()) return false;
  if (found->is_string()) return !found->get_ref<const std::string&>().empty();
  return !found->is_array() || !found->empty();
}

std::optional<DataError> check_keys(const Json& line, ItemSink& sink) {
  const bool asks =
      line.contains("prompt") || line.contains("messages") || line.contains("conversations");
  const bool shows = line.contains("image") || line.contains("images") || line.contains("video") ||
                     line.contains("messages");
  for (const auto& [key, value] : line.items()) {
    if (holds(kRead, key) || holds(kSampling, key) || holds(kUnservedSampling, key) ||
        (key == "question" && !asks))
      continue;
    if (has_value(line, key)) {
      if (const auto own = meant_by(key, line); !own.empty() && key != "question")
        return bad(
            fmt::format("{}: is not read, and may mean \"{}\". Correct or rename it.", key, own));
      if (is_vision_option(key)) return bad(fmt::format("{}: is not served yet. Remove it.", key));
      if (!shows && holds(kMediaElsewhere, key))
        return bad(
            fmt::format("{}: is not read, so the line shows nothing. Name it image, images "
                        "or video.",
                        key));
    }
    sink.passed_over(fmt::format("key \"{}\"", key),
                     "no key of a manifest: kept out of the answer");
  }
  return std::nullopt;
}

std::optional<DataError> read_sampling(const Json& line, Item& item) {
  ItemSampling sampling;
  bool any = false;
  for (const std::string_view key : kSampling) {
    if (!has_value(line, key)) continue;
    if (auto error = read_sampling_key(std::string(key), line[key], line, sampling)) return error;
    any = true;
  }
  for (const std::string_view key : kUnservedSampling)
    if (has_value(line, key))
      if (auto error = read_sampling_key(std::string(key), line[key], line, sampling)) return error;
  if (any) item.sampling = std::move(sampling);
  return std::nullopt;
}

}  // namespace retinue::runtime::detail
