#include "runtime/dataset/manifest_conversation.h"

#include "runtime/text/messages.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kImage = "<image>", kVideo = "<video>";

DataError bad(const std::string& message) { return {"manifest", "conversations: " + message}; }

struct Turn {
  std::string role, text;
};

std::string role_of(const std::string& from) {
  if (from == "human" || from == "user") return "user";
  if (from == "gpt" || from == "assistant") return "assistant";
  return from == "system" ? from : "";
}

std::optional<std::string> text_in(const Json& turn, const char* key, const char* other) {
  for (const char* name : {key, other})
    if (const auto found = turn.find(name); found != turn.end() && found->is_string())
      return found->get<std::string>();
  return std::nullopt;
}

Result<std::vector<Turn>> turns_of(const Json& json) {
  if (!json.is_array()) return bad(fmt::format("wanted a list of turns, got {}", json.type_name()));
  std::vector<Turn> turns;
  for (const Json& turn : json) {
    const auto from = turn.is_object() ? text_in(turn, "from", "role") : std::nullopt;
    auto text = turn.is_object() ? text_in(turn, "value", "content") : std::nullopt;
    if (!from || !text)
      return bad(fmt::format("turn {}: wanted an object with from and value", turns.size()));
    const std::string role = role_of(*from);
    if (role.empty())
      return bad(fmt::format("turn {}: wanted human, gpt or system, got \"{}\"", turns.size(),
                             from->substr(0, 40)));
    turns.push_back({role, std::move(*text)});
  }
  return turns;
}

void add_text(Json& content, std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (!text.empty()) content.push_back({{"type", "text"}, {"text", text}});
}

/// Appends a turn's parts; `next` is the first of the media that is not shown yet.
std::optional<DataError> split(const Turn& turn, const Json& media, std::size_t& next,
                               Json& content) {
  std::string_view rest = turn.text;
  while (true) {
    const auto at = std::min(rest.find(kImage), rest.find(kVideo));
    add_text(content, rest.substr(0, at));
    if (at == std::string_view::npos) return std::nullopt;
    const bool image = rest.substr(at).starts_with(kImage);
    if (next == media.size() || (media[next]["type"] == "image") != image)
      return bad(fmt::format("{} {} is no {} of the line", image ? kImage : kVideo, next + 1,
                             image ? "image" : "video"));
    content.push_back(media[next++]);
    rest.remove_prefix(at + kImage.size());
  }
}

bool is_marked(const std::vector<Turn>& turns) {
  return std::any_of(turns.begin(), turns.end(), [](const Turn& turn) {
    return turn.role == "user" && (turn.text.find(kImage) != std::string::npos ||
                                   turn.text.find(kVideo) != std::string::npos);
  });
}

}  // namespace

Result<Json> read_conversations(const Json& json, const Json& media, const std::string& system,
                                bool& left_out) {
  auto read = turns_of(json);
  if (!read.ok()) return read.error();
  std::vector<Turn> turns = std::move(read).value();
  left_out = turns.size() > 1 && turns.back().role == "assistant";
  if (left_out) turns.pop_back();
  if (turns.empty() || turns.back().role != "user")
    return bad("no turn of a human is left to answer");
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  std::size_t next = 0;
  const bool marked = is_marked(turns);
  for (const Turn& turn : turns) {
    if (turn.role != "user") {
      messages.push_back({{"role", turn.role}, {"content", turn.text}});
      continue;
    }
    Json content = Json::array();
    for (; !marked && next < media.size(); ++next) content.push_back(media[next]);
    if (auto error = split(turn, media, next, content)) return *error;
    messages.push_back({{"role", "user"}, {"content", std::move(content)}});
  }
  if (next != media.size())
    return bad(
        fmt::format("wanted a mark for each of {} images and videos, got {}", media.size(), next));
  return messages;
}

std::optional<DataError> take_conversations(const Json& turns, Item& item, ItemSink& sink) {
  Json media = Json::array();
  for (const MediaReference& shown : item.media) {
    const char* type = shown.kind == MediaKind::kVideo ? "video" : "image";
    media.push_back({{"type", type}, {type, "of the line"}});
  }
  bool left_out = false;
  auto messages = read_conversations(turns, media, item.system.value_or(""), left_out);
  if (!messages.ok()) return messages.error();
  // The media are in the item, in this order.
  auto conversation = parse_messages(messages.value(), "");
  if (!conversation.ok()) return conversation.error();
  item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
  item.system.reset();  // is among the messages
  if (left_out)
    sink.passed_over("last answer of \"conversations\"", "the model gives this answer itself");
  return std::nullopt;
}

}  // namespace retinue::runtime::detail
