#include "runtime/output/record.h"

#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A data: address holds the whole image; a record needs only its type.
std::string shown(const std::string& path) {
  return path.starts_with("data:") ? path.substr(0, path.find(',')) : path;
}

Json to_json_of(const ShownMedia& media) {
  Json json;
  json["kind"] = media.video ? "video" : "image";
  if (media.paths.size() == 1) {
    json["path"] = shown(media.paths[0]);
  } else {
    json["paths"] = Json::array();
    for (const std::string& path : media.paths) json["paths"].push_back(shown(path));
  }
  json["width"] = media.width;
  json["height"] = media.height;
  json["visual_tokens"] = media.visual_tokens;
  return json;
}

}  // namespace

std::string to_json(const Record& record) {
  Json json;
  json["id"] = record.id;
  json["caption"] = record.caption;
  json["finish_reason"] = record.finish_reason;
  json["prompt_tokens"] = record.prompt_tokens;
  json["completion_tokens"] = record.completion_tokens;
  json["input"] = {{"media", Json::array()}};
  for (const ShownMedia& media : record.media) json["input"]["media"].push_back(to_json_of(media));
  json["sha256"] = record.sha256.empty() ? Json() : Json(record.sha256);
  json["numerics"] = record.numerics;
  if (record.with_logprobs) {
    json["token_ids"] = record.token_ids;
    json["logprobs"] = record.logprobs;
    if (!record.top_logprobs.empty()) json["top_logprobs"] = record.top_logprobs;
  }
  return line(json);
}

std::string to_json(const FailureRecord& failure) {
  Json json;
  json["id"] = failure.id;
  if (!failure.source.empty()) json["source"] = failure.source;
  json["stage"] = failure.stage;
  json["message"] = failure.message;
  return line(json);
}

}  // namespace retinue::runtime
