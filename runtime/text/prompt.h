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

/// How the placeholder of a video is expanded; transformers ≥ 5.10 differs from 4.57.
enum class VideoPrompt {
  kInner,  ///< 4.57: each pair of frames has a vision_start and vision_end; the template's are gone
  kOuter,  ///< later: the template's vision_start and vision_end stay around all pairs
};

/// Ids from config.json; their texts come from the tokenizer.
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

/// One run of placeholders: an image, or one pair of frames of a video.
struct VisualSpan {
  std::size_t item = 0;         ///< index into the conversation's media
  std::int64_t frame = 0;       ///< index below its grid_thw.frames
  std::size_t first_token = 0;  ///< in Prompt::ids
  std::size_t visual_tokens = 0;
  layers::GridThw grid_thw;  ///< of this run alone: frames = 1
};

/// A tokenised prompt. The feature rows of an image or video have the order of its spans, by
/// `frame`.
struct Prompt {
  std::vector<std::int32_t> ids;
  std::vector<VisualSpan> visuals;
};

/// Runs the template, expands placeholders and tokenises the text.
/// transformers: Qwen3VLProcessor.__call__ after apply_chat_template
///   media  one per conversation.media, in that order
/// Special tokens that a user wrote in messages or tools stay ordinary text: see special_marks.h.
/// Non-special added tokens (<think>, <tool_call>) stay tokens.
/// Errors: template and media that do not fit each other; a template that refuses.
Result<Prompt> build_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                            const Conversation& conversation, std::span<const MediaGrid> media,
                            const PromptOptions& options);

}  // namespace retinue::runtime
