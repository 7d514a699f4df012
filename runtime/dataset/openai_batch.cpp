#include "runtime/dataset/openai_batch.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

DataError bad(std::string message) { return {"manifest", std::move(message)}; }

/// Keys of a body that do not affect the answer.
constexpr std::array<std::string_view, 17> kPassedOver = {"model",
                                                          "stream",
                                                          "stream_options",
                                                          "user",
                                                          "metadata",
                                                          "store",
                                                          "service_tier",
                                                          "priority",
                                                          "request_id",
                                                          "cache_salt",
                                                          "safety_identifier",
                                                          "prompt_cache_key",
                                                          "parallel_tool_calls",
                                                          "return_token_ids",
                                                          "return_tokens_as_token_ids",
                                                          "messages",
                                                          "include_reasoning"};

/// Keys that are supported with this value alone, which is also their default.
struct Only {
  std::string_view key;
  const char* value;
};
constexpr std::array<Only, 23> kOnly = {{{"n", "1"},
                                         {"best_of", "1"},
                                         {"top_logprobs", "0"},
                                         {"frequency_penalty", "0.0"},
                                         {"length_penalty", "1.0"},
                                         {"min_tokens", "0"},
                                         {"min_new_tokens", "0"},
                                         {"no_repeat_ngram_size", "0"},
                                         {"num_beams", "1"},
                                         {"logit_bias", "{}"},
                                         {"tools", "[]"},
                                         {"functions", "[]"},
                                         {"tool_choice", "\"none\""},
                                         {"function_call", "\"none\""},
                                         {"response_format", "{\"type\":\"text\"}"},
                                         {"bad_words", "[]"},
                                         {"use_beam_search", "false"},
                                         {"echo", "false"},
                                         {"add_generation_prompt", "true"},
                                         {"continue_final_message", "false"},
                                         {"include_stop_str_in_output", "false"},
                                         {"skip_special_tokens", "true"},
                                         {"modalities", "[\"text\"]"}}};

/// Converts a value; an error where it has another type or is out of bounds.
template <class T>
std::optional<DataError> take(const Json& value, const std::string& key, std::optional<T>& to) {
  const auto refuse = [&](const char* wanted, const std::string& got) {
    return bad(fmt::format("body.{}: wanted {}, got {}", key, wanted, got));
  };
  if constexpr (std::is_same_v<T, double>) {
    if (!value.is_number()) return refuse("a number", value.type_name());
    to = value.get<double>();
  } else {
    // A data frame writes 16.0 where a column also holds an empty cell.
    const bool whole = value.is_number_float() && std::abs(value.get<double>()) < 9e15 &&
                       std::trunc(value.get<double>()) == value.get<double>();
    if (!value.is_number_integer() && !whole) return refuse("a whole number", value.type_name());
    // Sums of tokens stay far from the limits of 64 bits.
    const bool seed = std::is_same_v<T, std::uint64_t>;
    const double size = std::abs(value.get<double>());
    if (!seed && size > std::numeric_limits<std::int32_t>::max())
      return refuse("at most 2147483647", value.dump());
    to = value.is_number_unsigned() ? static_cast<T>(value.get<std::uint64_t>())
                                    : static_cast<T>(value.get<std::int64_t>());
  }
  return std::nullopt;
}

std::optional<DataError> take_flag(const Json& value, const std::string& key, bool& to) {
  if (!value.is_boolean())
    return bad(fmt::format("body.{}: wanted true or false, got {}", key, value.type_name()));
  to = value.get<bool>();
  return std::nullopt;
}

std::optional<DataError> take_stop(const Json& value, ItemSampling& sampling) {
  if (value == "") return std::nullopt;  // absent, as in a manifest
  std::vector<std::string> texts;
  for (const Json& text : value.is_array() ? value : Json::array({value})) {
    if (!text.is_string()) return bad("body.stop: wanted a text or a list of texts");
    texts.push_back(text.get<std::string>());
  }
  sampling.stop = std::move(texts);
  return std::nullopt;
}

std::optional<DataError> take_stop_ids(const Json& value, ItemSampling& sampling) {
  if (!value.is_array()) return bad("body.stop_token_ids: wanted a list of ids");
  for (const Json& id : value) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
        id.get<std::int64_t>() > 0x7FFFFFFF)
      return bad("body.stop_token_ids: wanted a list of ids");
    sampling.stop_ids.push_back(id.get<std::int32_t>());
  }
  return std::nullopt;
}

/// Reads a key of a body. `longest` records that max_completion_tokens overrides max_tokens.
std::optional<DataError> read_field(const std::string& key, const Json& value, const Json& body,
                                    ItemSampling& sampling) {
  if (key == "max_completion_tokens") return take(value, key, sampling.max_new_tokens);
  if (key == "max_tokens") {
    std::optional<std::int64_t> older;
    if (auto error = take(value, key, older)) return error;
    const auto newer = body.find("max_completion_tokens");
    if (newer == body.end() || !newer->is_number()) sampling.max_new_tokens = older;
    return std::nullopt;
  }
  if (key == "temperature") return take(value, key, sampling.temperature);
  if (key == "top_p") return take(value, key, sampling.top_p);
  if (key == "min_p") return take(value, key, sampling.min_p);
  if (key == "repetition_penalty") return take(value, key, sampling.repetition_penalty);
  if (key == "presence_penalty") return take(value, key, sampling.presence_penalty);
  if (key == "seed") return take(value, key, sampling.seed);
  if (key == "top_k") {
    // In vLLM -1 means all.
    auto error = take(value, key, sampling.top_k);
    if (!error && *sampling.top_k == -1) sampling.top_k = 0;
    return error;
  }
  if (key == "stop") return take_stop(value, sampling);
  if (key == "stop_token_ids") return take_stop_ids(value, sampling);
  if (key == "ignore_eos") return take_flag(value, key, sampling.ignore_eos);
  if (key == "logprobs") return take_flag(value, key, sampling.logprobs);
  if (std::find(kPassedOver.begin(), kPassedOver.end(), key) != kPassedOver.end())
    return std::nullopt;
  for (const Only& only : kOnly) {
    if (only.key != key) continue;
    if (value == Json::parse(only.value)) return std::nullopt;
    const std::string got = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return bad(fmt::format("body.{}: {} is not served", key, got.substr(0, 60)));
  }
  return bad(fmt::format("body.{}: is not known, so what it asks for is not done", key));
}

}  // namespace

std::optional<DataError> read_sampling_key(const std::string& key, const Json& value,
                                           const Json& line, ItemSampling& sampling) {
  const bool ours = key == "max_new_tokens";
  for (const char* other : {"max_tokens", "max_completion_tokens"})
    if (ours && line.contains(other) && !line[other].is_null())
      return bad(fmt::format("max_new_tokens and {} in one line: give one of them", other));
  auto error =
      ours ? take(value, key, sampling.max_new_tokens) : read_field(key, value, line, sampling);
  constexpr std::string_view kBody = "body.";
  if (error && error->message.starts_with(kBody)) error->message.erase(0, kBody.size());
  return error;
}

bool is_batch_line(const Json& line) {
  return line.is_object() && line.contains("custom_id") && line.contains("body");
}

std::optional<DataError> read_batch_line(const Json& line, const std::string& base_dir, Item& item,
                                         ItemSink& sink) {
  const Json& id = line["custom_id"];
  if (!id.is_string() || id.get_ref<const std::string&>().empty())
    return bad("custom_id: wanted a string that is not empty");
  item.id = id.get<std::string>();
  if (line.value("method", Json("POST")) != "POST") return bad("method: wanted POST");
  if (const Json url = line.value("url", Json("/v1/chat/completions"));
      url != "/v1/chat/completions")
    return bad(fmt::format("url: {} is not served, /v1/chat/completions is", url.dump()));
  for (const auto& [key, value] : line.items())
    if (key != "custom_id" && key != "method" && key != "url" && key != "body" && !value.is_null())
      sink.passed_over(fmt::format("key \"{}\" beside body", key), "no key of a request");
  const Json& body = line["body"];
  if (!body.is_object() || !body.contains("messages")) return bad("body: has no messages");
  ItemSampling sampling;
  for (const auto& [key, value] : body.items())
    if (!value.is_null())
      if (auto error = read_field(key, value, body, sampling)) return error;
  item.sampling = std::move(sampling);
  auto conversation = parse_messages(body["messages"], base_dir);
  if (!conversation.ok()) return conversation.error();
  item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
  item.media = std::move(conversation->media);
  return std::nullopt;
}

}  // namespace retinue::runtime::detail
