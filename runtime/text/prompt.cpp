#include "runtime/text/prompt.h"

#include "runtime/text/special_marks.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

// Deeper than any message. Bounds the recursion over foreign JSON.
constexpr int kMaxDepth = 100;

bool too_deep(const Json& json, int depth = 0) {
  if (depth > kMaxDepth) return true;
  return json.is_structured() && std::any_of(json.begin(), json.end(), [&](const Json& child) {
           return too_deep(child, depth + 1);
         });
}

/// A run of placeholders in the text.
struct Block {
  std::size_t item;
  std::int64_t frame;
  std::int32_t pad;
  std::size_t tokens;
};

/// Replaces each placeholder of the template by the right number of placeholders.
class Expander {
 public:
  Expander(const Tokenizer& tokenizer, const PromptOptions& options,
           std::span<const MediaGrid> media)
      : options_(options),
        media_(media),
        image_(tokenizer.id_to_token(options.tokens.image_pad)),
        video_(tokenizer.id_to_token(options.tokens.video_pad)),
        start_(tokenizer.id_to_token(options.tokens.vision_start)),
        end_(tokenizer.id_to_token(options.tokens.vision_end)) {}

  [[nodiscard]] bool tokens_known() const {
    return !image_.empty() && !video_.empty() && !start_.empty() && !end_.empty();
  }

  ///   plain  offsets of characters that users wrote, in `text`; afterwards in `out`
  std::optional<DataError> run(const std::string& text, const std::vector<std::size_t>& plain) {
    const std::string_view whole = text;
    auto next_plain = plain.begin();
    for (std::size_t at = 0; at < whole.size();) {
      const bool written_by_user = next_plain != plain.end() && *next_plain == at;
      if (written_by_user) {
        ++next_plain;
        this->plain.push_back(out.size());
      }
      const std::string_view rest = whole.substr(at);
      const bool image = !written_by_user && rest.starts_with(image_);
      const bool video = !written_by_user && rest.starts_with(video_);
      if (!image && !video) {
        out += whole[at++];
        continue;
      }
      const MediaKind kind = image ? MediaKind::kImage : MediaKind::kVideo;
      if (item_ >= media_.size() || media_[item_].kind != kind) {
        return DataError{
            "prompt",
            fmt::format("the template shows {} as item {}, which the messages do not have",
                        image ? "an image" : "a video", item_)};
      }
      at += image ? image_.size() : video_.size();
      if (image) {
        put_pads(image_, options_.tokens.image_pad, 0);
      } else {
        const bool after =
            whole.substr(at).starts_with(end_) && !std::binary_search(next_plain, plain.end(), at);
        put_video(after, at);
      }
      ++item_;
    }
    if (item_ != media_.size()) {
      return DataError{"prompt",
                       fmt::format("the messages have {} images and videos, the template shows {}",
                                   media_.size(), item_)};
    }
    return std::nullopt;
  }

  std::string out;
  std::vector<std::size_t> plain;
  std::vector<Block> blocks;

 private:
  void put_pads(std::string_view pad, std::int32_t id, std::int64_t frame) {
    const layers::GridThw& grid = media_[item_].grid_thw;
    const std::int64_t merged = options_.spatial_merge_size * options_.spatial_merge_size;
    const auto count = static_cast<std::size_t>(grid.rows * grid.columns / merged);
    for (std::size_t i = 0; i < count; ++i) out += pad;
    blocks.push_back({item_, frame, id, count});
  }

  /// 4.57 replaces the template's vision_start, pad and vision_end. `at` is behind the pad.
  void put_video(bool end_follows, std::size_t& at) {
    const bool triple = end_follows && out.ends_with(start_) &&
                        !std::binary_search(plain.begin(), plain.end(), out.size() - start_.size());
    if (triple && options_.video == VideoPrompt::kInner) {
      out.erase(out.size() - start_.size());
      at += end_.size();
    }
    const MediaGrid& video = media_[item_];
    for (std::int64_t frame = 0; frame < video.grid_thw.frames; ++frame) {
      out += fmt::format("<{:.1f} seconds>", video.timestamps_s[static_cast<std::size_t>(frame)]);
      out += start_;
      put_pads(video_, options_.tokens.video_pad, frame);
      out += end_;
    }
  }

  const PromptOptions& options_;
  std::span<const MediaGrid> media_;
  std::string image_, video_, start_, end_;
  std::size_t item_ = 0;
};

/// The texts of a conversation, with the message that each belongs to.
struct MessageText {
  std::size_t message;
  std::optional<std::size_t> part;  ///< of a content that is a list
  std::string text;
};

std::vector<MessageText> texts_of(const Json& messages) {
  std::vector<MessageText> texts;
  const auto add = [&](std::size_t message, std::optional<std::size_t> part, const Json& text) {
    constexpr std::string_view kBlank = " \t\r\n";
    const std::string all = text.is_string() ? text.get<std::string>() : "";
    const auto begin = all.find_first_not_of(kBlank);
    if (begin == std::string::npos) return;
    // Templates may trim a text.
    texts.push_back({message, part, all.substr(begin, all.find_last_not_of(kBlank) - begin + 1)});
  };
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json content = messages[i].value("content", Json());
    if (!content.is_array()) {
      add(i, std::nullopt, content);
      continue;
    }
    for (std::size_t k = 0; k < content.size(); ++k)
      if (content[k].is_object()) add(i, k, content[k].value("text", Json()));
  }
  return texts;
}

/// Whether the rendered text holds all texts, one behind the other: the usual case, and cheap.
bool holds_in_order(const std::string& rendered, const std::vector<MessageText>& texts) {
  std::size_t from = 0;
  for (const MessageText& text : texts) {
    const auto at = rendered.find(text.text, from);
    if (at == std::string::npos) return false;
    from = at + text.text.size();
  }
  return true;
}

/// Finds a text that the template drops: the model would answer without it. A text that does not
/// appear as it is may have been changed (a template removes thoughts), so each is made one letter
/// longer: the template drops a text whose change leaves the result the same.
std::optional<DataError> find_dropped(const ChatTemplate& chat_template, const Json& messages,
                                      const RenderOptions& render, const std::string& rendered) {
  const std::vector<MessageText> texts = texts_of(messages);
  if (holds_in_order(rendered, texts)) return std::nullopt;
  Json changed = messages;
  for (const MessageText& text : texts) {
    Json& content = changed[text.message]["content"];
    Json& value = text.part ? content[*text.part]["text"] : content;
    const Json before = value;
    value = text.text + "x";
    const Result<std::string> again = chat_template.render(changed, render);
    value = before;
    if (!again || again.value() != rendered) continue;
    return DataError{
        "prompt",
        fmt::format("message {} ({}): wanted a message that the chat template shows the model, got "
                    "one that it leaves out. Move its text into another message.",
                    text.message, messages[text.message].value("role", ""))};
  }
  return std::nullopt;
}

std::optional<DataError> check_media(const Conversation& conversation,
                                     std::span<const MediaGrid> media, std::int64_t merge) {
  if (media.size() != conversation.media.size()) {
    return DataError{"prompt",
                     fmt::format("the messages have {} images and videos, {} were decoded",
                                 conversation.media.size(), media.size())};
  }
  for (std::size_t i = 0; i < media.size(); ++i) {
    const auto& [kind, grid, times] = media[i];
    const auto refuse = [&](std::string_view what) {
      return DataError{"prompt", fmt::format("item {}: {}", i, what)};
    };
    if (kind != conversation.media[i].kind)
      return refuse("an image where a video was named, or the reverse");
    if (grid.frames < 1 || grid.rows < 1 || grid.columns < 1 || grid.rows % merge != 0 ||
        grid.columns % merge != 0) {
      return refuse(fmt::format("grid {}x{}x{} is not divisible by {}", grid.frames, grid.rows,
                                grid.columns, merge));
    }
    if (kind == MediaKind::kImage && grid.frames != 1) return refuse("an image has one frame");
    if (kind == MediaKind::kVideo && times.size() != static_cast<std::size_t>(grid.frames)) {
      return refuse(fmt::format("{} timestamps for {} pairs of frames", times.size(), grid.frames));
    }
    if (!std::all_of(times.begin(), times.end(), [](double t) { return std::isfinite(t); })) {
      return refuse("a timestamp is not finite");
    }
  }
  return std::nullopt;
}

/// Finds the runs among the ids; false where there is a pad too many or too few.
bool locate(const std::vector<Block>& blocks, std::span<const MediaGrid> media,
            const VisionTokenIds& tokens, Prompt& prompt) {
  std::size_t next = 0;
  for (std::size_t i = 0; i < prompt.ids.size();) {
    if (prompt.ids[i] != tokens.image_pad && prompt.ids[i] != tokens.video_pad) {
      ++i;
      continue;
    }
    if (next == blocks.size()) return false;
    const Block& block = blocks[next++];
    if (prompt.ids.size() - i < block.tokens) return false;
    for (std::size_t k = 0; k < block.tokens; ++k) {
      if (prompt.ids[i + k] != block.pad) return false;
    }
    const layers::GridThw& grid = media[block.item].grid_thw;
    prompt.visuals.push_back(
        {block.item, block.frame, i, block.tokens, {1, grid.rows, grid.columns}});
    i += block.tokens;
  }
  return next == blocks.size();
}

}  // namespace

Result<Prompt> build_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                            const Conversation& conversation, std::span<const MediaGrid> media,
                            const PromptOptions& options) {
  check(conversation.messages != nullptr, "a conversation has messages");
  if (auto error = check_media(conversation, media, options.spatial_merge_size)) return *error;

  std::vector<const Json*> inputs{conversation.messages.get()};
  if (options.render.tools != nullptr) inputs.push_back(options.render.tools);
  for (const Json* input : inputs) {
    if (too_deep(*input)) return DataError{"prompt", "the messages are nested too deeply"};
  }
  const auto marks = SpecialMarks::choose(tokenizer.special_tokens(), inputs);
  if (!marks) return DataError{"prompt", "the messages hold every Unicode noncharacter"};
  const Json messages = marks->mark(*conversation.messages);
  const Json tools = options.render.tools != nullptr ? marks->mark(*options.render.tools) : Json();
  RenderOptions render = options.render;
  if (render.tools != nullptr) render.tools = &tools;
  Result<std::string> rendered = chat_template.render(messages, render);
  if (!rendered) return rendered.error();
  std::string text = std::move(rendered).value();
  if (auto error = find_dropped(chat_template, messages, render, text)) return *error;
  const std::vector<std::size_t> plain = marks->unmark(text);

  Expander expander(tokenizer, options, media);
  if (!expander.tokens_known()) {
    throw UsageError(
        "[prompt] config.json names vision tokens that tokenizer.json does not have. "
        "Use both files of one checkpoint.");
  }
  if (auto error = expander.run(text, plain)) return *error;
  Prompt prompt;
  prompt.ids = tokenizer.encode(expander.out, expander.plain);
  if (!locate(expander.blocks, media, options.tokens, prompt)) {
    return DataError{"prompt", "the placeholders of the text and of the tokens differ in number"};
  }
  return prompt;
}

}  // namespace retinue::runtime
