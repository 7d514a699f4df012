#include "runtime/jobs/prepared_request.h"

#include "layers/spec/json_text.h"
#include "parallel/base/file.h"
#include "parallel/base/hash.h"
#include "parallel/base/rng.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/media/video.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// Images and videos, then the prompt: the order of the model card's examples.
Conversation conversation_of(const Item& item, const JobPrompt& prompt) {
  Conversation conversation;
  conversation.media = item.media;
  if (!item.messages.empty()) {
    conversation.messages = std::make_shared<const Json>(Json::parse(item.messages));
    return conversation;
  }
  Json content = Json::array();
  for (const MediaReference& media : item.media)
    content.push_back({{"type", media.kind == MediaKind::kVideo ? "video" : "image"}});
  const std::string& text = item.prompt ? *item.prompt : prompt.prompt;
  if (!text.empty()) content.push_back({{"type", "text"}, {"text", text}});
  Json messages = Json::array();
  const std::string& system = item.system ? *item.system : prompt.system;
  if (!system.empty()) messages.push_back(Json{{"role", "system"}, {"content", system}});
  messages.push_back(Json{{"role", "user"}, {"content", std::move(content)}});
  conversation.messages = std::make_shared<const Json>(std::move(messages));
  return conversation;
}

/// Names the pixels of the `index`-th image or video of a prompt with these files (digest and
/// sizes). Everything else that pixels depend on is the same for a whole run.
ContentKey content_of(const std::string& files, const MediaReference& media, std::size_t index) {
  const std::string hex =
      sha256_hex(fmt::format("{} {} {} {}", files, index, static_cast<int>(media.kind), media.fps));
  const auto half = [&](std::size_t at) {
    std::uint64_t value = 0;
    std::from_chars(hex.data() + at, hex.data() + at + 16, value, 16);
    return value;
  };
  return {half(0), half(16)};
}

/// The same item and prompt give the same random numbers, whenever and wherever they run.
std::uint64_t stream_of(const Item& item, const std::vector<std::int32_t>& ids) {
  std::uint64_t hash = fnv1a64(item.id);
  for (const std::int32_t id : ids)
    hash = mix64(hash ^ static_cast<std::uint64_t>(static_cast<std::uint32_t>(id)));
  return hash;
}

}  // namespace

std::unique_ptr<IsolatedDecoder> isolated_decoder(const RunOptions& options,
                                                  const ModelFiles& model) {
  if (!options.isolate_decode) return nullptr;
  return std::make_unique<IsolatedDecoder>(model.processor, model.image);
}

Result<PreparedRequest> prepare_request(const Item& item, std::size_t index,
                                        const ModelFiles& model, const JobPrompt& prompt,
                                        const Sampling& job_sampling, OpenTables* tables,
                                        IsolatedDecoder* isolated) {
  if (item.error) return *item.error;
  Sampling sampling = job_sampling;
  if (item.sampling) {
    auto own = resolve_sampling(*item.sampling, job_sampling, model);
    if (!own.ok()) return own.error();
    sampling = std::move(own).value();
  }
  if (item.media.size() > kMaxMediaPerItem)
    return DataError{"prompt", fmt::format("{} images and videos, at most {} in one prompt",
                                           item.media.size(), kMaxMediaPerItem)};
  PreparedRequest prepared;
  std::vector<MediaGrid> grids;
  for (std::size_t i = 0; i < item.media.size(); ++i) {
    auto files = read_media(item.media[i], tables);
    if (!files.ok()) return files.error();
    auto header = isolated != nullptr
                      ? isolated->header(item.media[i], **files)
                      : read_header(item.media[i], **files, model.processor, model.image);
    if (!header.ok()) return header.error();
    prepared.files.push_back(std::move(files).value());
    grids.push_back(header->grid);
    prepared.request.images.push_back({media_key(index, i), header->grid.grid_thw});
    prepared.headers.push_back(std::move(header).value());
  }
  auto built = build_prompt(model.chat_template, model.tokenizer, conversation_of(item, prompt),
                            grids, model.prompt);
  if (!built.ok()) return built.error();
  Request& request = prepared.request;
  if (!prepared.files.empty()) {
    prepared.sha256 = sha256_of(prepared.files);
    // The digest is over all bytes: their sizes add where one file ends and the next begins.
    std::string files = prepared.sha256;
    for (const MediaBytes& media : prepared.files)
      for (const FileBytes& file : *media) files += fmt::format(" {}", file.size());
    for (std::size_t i = 0; i < request.images.size(); ++i)
      request.images[i].content = content_of(files, item.media[i], i);
  }
  request.id = index;
  request.ids = std::move(built->ids);
  request.sampling = sampling.params;
  request.sampling_stream = stream_of(item, request.ids);
  request.max_new_tokens = sampling.max_new_tokens;
  request.stop_ids = std::move(sampling.stop_ids);
  request.max_repeats = sampling.max_repeats;
  request.logprobs = item.sampling && item.sampling->logprobs;
  prepared.stop = std::move(sampling.stop);
  return prepared;
}

Item item_of(const AskOptions& options) {
  Item item;
  if (!options.messages.empty()) {
    if (!options.image.empty() || !options.video.empty() || !options.prompt.empty() ||
        !options.system.empty())
      throw UsageError("[--messages] excludes --image, --video, --prompt and --system");
    const auto text = read_file(options.messages, "[--messages]");
    if (!text) throw UsageError(fmt::format("[--messages] {}: cannot be read", options.messages));
    Json json = layers::parse_json<Json>(*text, "[--messages] " + options.messages);
    // Two forms are common: the bare list, and the body of a request.
    if (json.is_object() && json.contains("messages")) json = Json(json["messages"]);
    auto conversation =
        parse_messages(json, std::filesystem::path(options.messages).parent_path().string());
    if (!conversation.ok())
      throw UsageError(
          fmt::format("[--messages] {}: {}", options.messages, conversation.error().message));
    item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
    item.media = std::move(conversation->media);
  } else {
    if (options.prompt.empty() && options.image.empty() && options.video.empty())
      throw UsageError(
          "[--prompt] nothing is asked. Give --prompt, --image, --video or --messages.");
    for (const std::string& path : options.image)
      item.media.push_back({MediaKind::kImage, {path}, 0.0});
    for (const std::string& path : options.video)
      item.media.push_back({MediaKind::kVideo, {path}, 0.0});
  }
  for (MediaReference& media : item.media) {
    auto expanded = expand_frame_folder(std::move(media));
    if (!expanded.ok())
      throw UsageError(fmt::format("[{}] {}", expanded.error().stage, expanded.error().message));
    media = std::move(expanded).value();
  }
  return item;
}

std::string assumed_rate_warning(const Item& item) {
  if (!std::ranges::any_of(item.media, &MediaReference::assumes_rate)) return "";
  return fmt::format(
      "[video] a list of frames has no \"fps\": {:.0f} frames per second are assumed, as "
      "transformers does",
      kAssumedFps);
}

PreparedRequest prepare_single_request(const Item& item, const AskOptions& options,
                                       const ModelFiles& model, const Sampling& sampling,
                                       IsolatedDecoder* isolated) {
  auto prepared = prepare_request(item, 0, model, {options.prompt, options.system}, sampling,
                                  nullptr, isolated);
  if (!prepared.ok())
    throw UsageError(fmt::format("[{}] {}", prepared.error().stage, prepared.error().message));
  return std::move(prepared).value();
}

void fit_sizing(EngineSizing& sizing, const PreparedRequest& prepared) {
  sizing.max_image_patches = 0;
  for (const RequestImage& image : prepared.request.images)
    sizing.max_image_patches = std::max(sizing.max_image_patches, image.grid.patches());
  sizing.max_text_tokens = static_cast<std::int64_t>(prepared.request.ids.size());
  sizing.max_new_tokens = prepared.request.max_new_tokens;
  if (!sizing.max_sequences) sizing.max_sequences = 1;
}

}  // namespace retinue::runtime
