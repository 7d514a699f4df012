#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/input/chat_template.h"
#include "runtime/input/tokenizer.h"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

enum class MediaKind { kImage, kVideo };

/// Where the bytes of a picture or clip lie.
enum class MediaPlace : std::uint8_t {
  kWhole,   ///< a file, or a data: address
  kRange,   ///< `bytes` of the file from `offset` on: a member of an archive
  kBase64,  ///< the same, as base64 text: a data: address in a manifest
  kCell,    ///< row `offset`, value `bytes` of column `member` of a Parquet file
};

/// The bytes of a picture, of a frame or of a clip.
struct MediaFile {
  MediaFile(std::string file) : path(std::move(file)) {}  // NOLINT: a path names a whole file
  MediaFile(const char* file) : path(file) {}             // NOLINT: as above

  /// For messages and records: the path, "archive.tar:member", "table.parquet:row", and of a data:
  /// address its type.
  [[nodiscard]] std::string name() const;

  std::string path;  ///< as it is opened; or data:…
  MediaPlace place = MediaPlace::kWhole;
  std::string member;  ///< of the archive at `path`; of a data: address what stands before the text
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// An image or video that a message names.
struct MediaReference {
  MediaKind kind = MediaKind::kImage;
  std::vector<MediaFile> files;  ///< one; for a video given as frames one per frame
  double fps = 0.0;              ///< of a list of frames, as the message says; 0: not said
};

/// Messages in the form that templates take, and what they show in order of appearance.
struct Conversation {
  std::shared_ptr<const nlohmann::ordered_json> messages;
  std::vector<MediaReference> media;
};

/// Reads OpenAI-style messages: content is a string or a list of {type: text | image | image_url |
/// video | video_url, …} in any order. Paths are relative to `base_dir`; file:// is taken off,
/// data: stays as it is. DataError for anything else, also for http:// and for media where the
/// template shows none (system and assistant messages).
Result<Conversation> parse_messages(const nlohmann::ordered_json& messages,
                                    const std::string& base_dir);

/// What decoding one item gave.
struct MediaGrid {
  MediaKind kind = MediaKind::kImage;
  layers::GridThw grid_thw;
  std::vector<double> timestamps_s;  ///< videos: one per grid_thw.frames, see pair_timestamps
};

/// One time per pair of frames: the mean of the two, the last frame repeated when odd.
std::vector<double> pair_timestamps(std::span<const double> frames_s);

/// Where transformers ≥ 5.10 differs from 4.57 in what a video's placeholder becomes.
enum class VideoPrompt {
  kInner,  ///< 4.57: each pair has its own vision_start and vision_end, the template's pair is gone
  kOuter,  ///< later: the template's pair stays around all of them
};

/// Ids of config.json; their texts are looked up in the tokenizer.
struct VisionTokenIds {
  std::int32_t image_pad = 151655;
  std::int32_t video_pad = 151656;
  std::int32_t vision_start = 151652;
  std::int32_t vision_end = 151653;
};

struct PromptOptions {
  RenderOptions render;
  VideoPrompt video = VideoPrompt::kInner;
  VisionTokenIds tokens;
  std::int64_t spatial_merge_size = 2;
};

/// One block of placeholders: an image, or one pair of a video's frames.
struct VisualSpan {
  std::size_t item = 0;         ///< which of the conversation's media
  std::int64_t frame = 0;       ///< which of its grid_thw.frames
  std::size_t first_token = 0;  ///< in Prompt::ids
  std::size_t visual_tokens = 0;
  layers::GridThw grid_thw;  ///< of this block alone: frames = 1
};

/// A tokenised prompt. Rows of an item's features follow its spans: span by span, `frame`
/// ascending.
struct Prompt {
  std::vector<std::int32_t> ids;
  std::vector<VisualSpan> visuals;
};

/// Template, expansion of placeholders, tokens of the whole text.
/// transformers: Qwen3VLProcessor.__call__ after apply_chat_template
///   media   one per conversation.media, in that order
/// Special tokens written in messages or tools are ordinary text: while the template runs, a
/// noncharacter (U+FDD0 …) stands behind the first character of whatever could begin one, so that
/// only the template's own are tokens. Non-special added tokens (<think>, <tool_call>) stay tokens.
/// DataError when template and media do not fit each other, or the template refuses.
Result<Prompt> build_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                            const Conversation& conversation, std::span<const MediaGrid> media,
                            const PromptOptions& options);

}  // namespace retinue::runtime
