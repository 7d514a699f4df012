#pragma once
// Tested through tests/runtime/jobs/verbs_test.cpp.

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

/// The prompt of every item that has none of its own.
struct JobPrompt {
  std::string prompt;
  std::string system;
};

/// An item that is ready for the engine.
struct PreparedRequest {
  Request request;                   ///< id is the item's index
  std::vector<MediaHeader> headers;  ///< per image or video, in prompt order
  std::vector<MediaBytes> files;     ///< their bytes
  std::string sha256;                ///< of all bytes; empty where there are none
  std::vector<std::string> stop;     ///< texts that end the answer
};

/// Reads the files of an item, builds its prompt and request. Any number of threads may call it.
///   index     of the item in the table that all ranks hold
///   tables    as in read_media
///   isolated  reads the headers; null: this process does
/// Errors: the item's own; files and headers that cannot be read; messages that do not render.
Result<PreparedRequest> prepare_request(const Item& item, std::size_t index,
                                        const ModelFiles& model, const JobPrompt& prompt,
                                        const Sampling& sampling, OpenTables* tables = nullptr,
                                        IsolatedDecoder* isolated = nullptr);

/// The decoder of --isolate-decode; null without that option.
std::unique_ptr<IsolatedDecoder> isolated_decoder(const RunOptions& options,
                                                  const ModelFiles& model);

/// The only item of `ask` and `trace`: --image, --video, --prompt, --system, or --messages.
/// Throws: UsageError for a file of messages that cannot be used, or where nothing is asked.
Item item_of(const AskOptions& options);

/// What the log says of an item whose lists of frames have no rate; empty for others.
std::string assumed_rate_warning(const Item& item);

/// prepare_request for the only item. Throws: UsageError instead of returning an error, because
/// there is no other item to go on with.
PreparedRequest prepare_single_request(const Item& item, const AskOptions& options,
                                       const ModelFiles& model, const Sampling& sampling,
                                       IsolatedDecoder* isolated);

/// Narrows the sizing to this one request, whose sizes are known.
void fit_sizing(EngineSizing& sizing, const PreparedRequest& prepared);

}  // namespace retinue::runtime
