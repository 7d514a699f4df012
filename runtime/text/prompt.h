#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/messages.h"
#include "runtime/text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

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
