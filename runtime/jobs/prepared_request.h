#pragma once

#include "runtime/dataset/item.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/decode/isolated_decoder.h"
#include "runtime/engine/engine_plan.h"
#include "runtime/engine/request.h"
#include "runtime/jobs/model_files.h"
#include "runtime/media/media_decoder.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// What a job says to every item that does not say it itself.
struct JobPrompt {
  std::string prompt;
  std::string system;
};

/// An item made ready for the engine.
struct PreparedRequest {
  Request request;                   ///< id is the item's index
  std::vector<MediaHeader> headers;  ///< per image or video, in prompt order
  std::vector<MediaBytes> files;     ///< what was read for them
  std::string sha256;                ///< of the bytes; empty without any
  std::vector<std::string> stop;     ///< texts that end it
};

/// Reads the files of an item, builds its prompt and request. Any number of threads may.
///   index   of the item in the table that all ranks hold
///   tables  as in read_media
///   apart   reads the headers; null: this process does
/// Errors: the item's own; files and headers that cannot be read; messages that do not render.
Result<PreparedRequest> prepare_request(const Item& item, std::size_t index,
                                        const ModelFiles& model, const JobPrompt& prompt,
                                        const Sampling& sampling, OpenTables* tables = nullptr,
                                        IsolatedDecoder* isolated = nullptr);

/// --isolate-decode; null where it is not asked for.
std::unique_ptr<IsolatedDecoder> isolated_decoder(const RunOptions& options,
                                                  const ModelFiles& model);

/// The item of a verb that asks once: --image, --video, --prompt, --system, or --messages.
/// Throws: UsageError for a file of messages that cannot be used, or for nothing asked.
Item item_of(const AskOptions& options);

/// prepare_request of the only item. Throws: UsageError with its reason: who types one question wants
/// to hear it at once.
PreparedRequest prepare_single_request(const Item& item, const AskOptions& options,
                                       const ModelFiles& model, const Sampling& sampling,
                                       IsolatedDecoder* isolated);

/// Narrows a plan to this one question, whose sizes are known.
void fit_sizing(EngineSizing& sizing, const PreparedRequest& prepared, const ModelFiles& model);

}  // namespace retinue::runtime
